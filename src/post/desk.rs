//! A desk: what is known of one folder that pictures go to, while they do. It decides which picture is
//! there already, and what the others are called.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::{Error, Inner, Outcome, Shared, folder, source};
use crate::staging::Sum;
use crate::types::{Entry, FileId, Md5};

/// The content of a picture.
pub(super) type Content = (Md5, u64);

/// One folder.
pub(super) struct Desk {
    pub(super) folder: FileId,
    pub(super) names: Arc<Names>,
    /// The pictures that the listing told, by content: of several the oldest.
    twins: HashMap<Content, Entry>,
    /// What becomes of each content that is being uploaded.
    under_way: HashMap<Content, Shared>,
}

/// The names of a folder that cannot be had.
#[derive(Default)]
pub(super) struct Names(Mutex<HashSet<String>>);

impl Desk {
    /// The folder as it was just listed, with what the state file knows that a listing may not. What is
    /// `removed` gives no link; its name cannot be had while it is there.
    pub(super) async fn new(
        post: &Inner, folder: FileId, rows: Vec<Entry>, removed: &HashSet<FileId>,
    ) -> Result<Self, Error> {
        let mut twins: HashMap<Content, Entry> = HashMap::new();
        let mut names: HashSet<String> = HashSet::new();
        let mut listed = HashSet::new();
        for row in rows {
            names.insert(row.name.to_string());
            listed.insert(row.id.clone());
            let Some(content) = content(&row).filter(|_| !removed.contains(&row.id)) else {
                continue;
            };
            let known = twins.get(&content);
            if known.is_none_or(|known| row.created < known.created) {
                twins.insert(content, row);
            }
        }
        // What a mount is about to put there.
        let pending = post.state.locals()?.into_iter().filter(|row| row.folder == folder);
        names.extend(pending.map(|row| row.name));
        for posted in post.state.posted_to(&folder)? {
            if listed.contains(&posted.object) || removed.contains(&posted.object) {
                continue;
            }
            // Not listed: not yet, or no more.
            if let Some(entry) = post.there(&posted.object).await? {
                names.insert(entry.name.to_string());
                if let Some(content) = posted.content {
                    twins.entry(content).or_insert(entry);
                }
            }
        }
        let names = Arc::new(Names(Mutex::new(names)));
        Ok(Self { folder, names, twins, under_way: HashMap::new() })
    }

    /// The picture of this content that is there.
    pub(super) fn twin(&self, sum: Sum) -> Option<&Entry> {
        self.twins.get(&(sum.md5, sum.size))
    }

    /// What becomes of an upload of this content that was begun.
    pub(super) fn under_way(&self, sum: Sum) -> Option<&Shared> {
        self.under_way.get(&(sum.md5, sum.size))
    }

    /// An upload of this content begins; what becomes of it is put where others wait for it.
    pub(super) fn begin(&mut self, sum: Sum) -> OwnedMutexGuard<Outcome> {
        let shared = Shared::default();
        let guard = shared.clone().try_lock_owned().expect("nobody else has it yet");
        self.under_way.insert((sum.md5, sum.size), shared);
        guard
    }
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are taken too.
    pub(super) fn add<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.lock().extend(names.into_iter().map(str::to_owned));
    }

    /// Takes the name, or the first like it that is free: `a-1.png` for `a.png`.
    pub(super) fn take(&self, name: &str) -> Result<String, Error> {
        let mut taken = self.lock();
        let (stem, extension) = source::split(name);
        let point = if extension.is_empty() { "" } else { "." };
        let others = (1u64..).map(|number| format!("{stem}-{number}{point}{extension}"));
        let mut names = std::iter::once(name.to_owned()).chain(others);
        let free = names.find(|name| !taken.contains(name)).expect("numbers do not end");
        folder::check_name(&free)?;
        taken.insert(free.clone());
        Ok(free)
    }
}

/// What a row says of its bytes; `None` for a folder, and where it tells no md5.
pub(super) fn content(row: &Entry) -> Option<Content> {
    let picture = row.picture()?;
    Some((picture.md5?, picture.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let names = Names::default();
        names.add(["b-1.png"]);
        for (name, free) in [
            ("a.png", "a.png"),
            ("a.png", "a-1.png"),
            ("a.png", "a-2.png"),
            ("b.png", "b.png"),
            ("b.png", "b-2.png"),
            (".b", ".b"),
            (".b", ".b-1"),
        ] {
            assert_eq!(names.take(name).expect("free"), free);
        }
        let long = format!("{}.png", "a".repeat(250));
        assert!(names.take(&long).is_ok());
        assert!(names.take(&long).is_err());
    }
}
