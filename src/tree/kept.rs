//! Kept listings: what is known of folders goes into the state file, so that the next mount need not
//! ask for it.
//!
//! What is kept of a folder is believed while the state file has its mark. Who changes the folder at
//! the service holds a `Changing` from before the call until the tree knows what came of it; that
//! takes the mark away. It comes back when nobody changes the folder, with the entries as they are
//! then. So whatever a crash cuts off, what is believed afterwards was true.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::folder::Changed;
use super::fresh::View;
use super::listing::{self, adopt};
use super::table::Table;
use super::{Error, Tree};
use crate::api::Client;
use crate::aside::aside;
use crate::names;
use crate::state::{self, EntryChange, State, Writing};
use crate::types::{Entry, EntryKind, FileId, Ino};

/// How long changes are gathered before they are written.
const QUIET: Duration = Duration::from_secs(1);

/// Entries that are read or written at a time, the state file being locked meanwhile.
const BATCH: usize = 500;

/// Which kept listings are believed.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Before the tree's table. Whoever writes under it has the right to write before.
    marks: Mutex<Marks>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    /// Folders that have the mark in the state file.
    believed: HashSet<FileId>,
    /// How many changes of a folder are under way.
    changing: HashMap<FileId, u32>,
}

impl Marks {
    /// Takes the marks of these folders away, here and in the state file, for who has the right to write.
    fn doubt(&mut self, writing: Writing<'_>, folders: &[FileId]) -> Result<(), state::Error> {
        writing.doubt_listings(folders.iter().filter(|folder| self.believed.contains(*folder)))?;
        self.believed.retain(|folder| !folders.contains(folder));
        Ok(())
    }
}

impl Kept {
    /// What the state file has. If it cannot be read nothing is believed.
    pub(super) fn new(state: &State, root: &FileId) -> Self {
        let listed = state.forget_lost_listings(root).and_then(|()| state.listed_folders());
        let believed = listed.unwrap_or_else(|error| {
            tracing::warn!("folders are listed anew: {error}");
            HashSet::new()
        });
        let marks = Mutex::new(Marks { believed, changing: HashMap::new() });
        Self { marks, changed: Notify::new() }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be written.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(super) fn has(&self, folder: &FileId) -> bool {
        self.marks().believed.contains(folder)
    }
}

/// Folders are being changed at the service: what is kept of them is not believed.
#[must_use]
pub struct Changing<'a> {
    tree: &'a Tree,
    folders: Vec<FileId>,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut marks = self.tree.kept.marks();
        for folder in &self.folders {
            if let Some(count) = marks.changing.get_mut(folder) {
                *count -= 1;
                if *count == 0 {
                    marks.changing.remove(folder);
                }
            }
        }
        self.tree.kept.wake();
    }
}

impl Tree {
    /// Folders are about to be changed at the service, until the value is dropped.
    pub fn changing<'a>(
        &self, folders: impl IntoIterator<Item = &'a FileId>,
    ) -> Result<Changing<'_>, state::Error> {
        let real_root = self.real_root();
        let as_asked_for = |folder: &FileId| match real_root.as_ref() == Some(folder) {
            true => FileId::root(),
            false => folder.clone(),
        };
        let folders = folders.into_iter().filter(|folder| !folder.is_local());
        let folders: Vec<FileId> = folders.map(as_asked_for).collect();
        {
            let mut marks = self.kept.marks();
            for folder in &folders {
                *marks.changing.entry(folder.clone()).or_default() += 1;
            }
        }
        // While it counts as being changed no mark comes back.
        let changing = Changing { tree: self, folders };
        self.doubt(&changing.folders)?;
        Ok(changing)
    }

    /// What is kept of these folders is not believed any more.
    fn doubt(&self, folders: &[FileId]) -> Result<(), state::Error> {
        if !folders.iter().any(|folder| self.kept.has(folder)) {
            return Ok(());
        }
        let writing = self.state.writing()?;
        self.kept.marks().doubt(writing, folders)
    }

    /// Nothing that is kept is believed any more.
    pub(super) fn doubt_kept(&self) -> Result<(), Error> {
        let writing = self.state.writing()?;
        let mut marks = self.kept.marks();
        writing.doubt_all_listings()?;
        marks.believed.clear();
        Ok(())
    }

    /// Writes what changes into the state file, for as long as the mount lives.
    pub async fn run_keeping(self: Arc<Self>) -> Infallible {
        loop {
            self.kept.changed.notified().await;
            tokio::time::sleep(QUIET).await;
            let tree = self.clone();
            // It takes a while for a large folder.
            let kept = AssertUnwindSafe(aside(move || tree.keep())).catch_unwind().await;
            if let Err(panic) = kept {
                self.keep_anew();
                resume_unwind(panic);
            }
        }
    }

    /// What the state file has of any folder is not what it should be: all is written anew.
    fn keep_anew(&self) {
        let mut table = self.table();
        table.folders_mut().for_each(|folder| folder.changed = Changed::All);
        let folders: Vec<Ino> = table.folders().map(|(ino, _)| ino).collect();
        table.unsaved.extend(folders);
        drop(table);
        self.kept.wake();
    }

    /// Writes what changed into the state file. What cannot be written is tried again with the next
    /// change.
    pub fn keep(&self) {
        let folders = std::mem::take(&mut self.table().unsaved);
        for ino in folders {
            match self.keep_folder(ino) {
                Ok(true) | Err(Error::NotFound) => {}
                Ok(false) => {
                    self.table().unsaved.insert(ino);
                }
                Err(error) => {
                    tracing::warn!("a listing is not kept: {error}");
                    let mut table = self.table();
                    table.unsaved.insert(ino);
                    if let Ok(folder) = table.folder_mut(ino) {
                        folder.changed = Changed::All;
                    }
                }
            }
        }
    }

    /// Whether it is kept as it is; not while it is being changed.
    fn keep_folder(&self, ino: Ino) -> Result<bool, Error> {
        let (id, changed, listed_at) = {
            let mut table = self.table();
            let folder = table.folder_mut(ino)?;
            let id = folder.id.clone().filter(|id| !id.is_local()).ok_or(Error::NotFound)?;
            let is_known = matches!(folder.view, View::Listed(_) | View::Kept(_));
            let listed_at = is_known.then_some(folder.listed_at);
            let was_known = !matches!(folder.view, View::Unknown);
            (id, was_known.then(|| std::mem::take(&mut folder.changed)), listed_at)
        };
        if listed_at.is_none() {
            // What is not known has to be asked for by the next mount too. Until then it is told.
            self.doubt(std::slice::from_ref(&id))?;
        }
        let Some(changed) = changed else { return Ok(true) };
        let changes = match changed {
            Changed::Nothing => Vec::new(),
            Changed::Some(ids) => {
                let table = self.table();
                ids.into_iter().map(|id| change(&table, ino, id)).collect()
            }
            Changed::All => {
                self.doubt(std::slice::from_ref(&id))?;
                self.state.forget_listing(&id)?;
                self.keep_all(ino, &id)?;
                Vec::new()
            }
        };
        let writing = self.state.writing()?;
        let mut marks = self.kept.marks();
        let is_settled = {
            let table = self.table();
            let folder = table.folder(ino)?;
            folder.changed.is_nothing() && folder.id.as_ref() == Some(&id)
        };
        let is_true = is_settled && !marks.changing.contains_key(&id);
        let listed_at = listed_at.filter(|_| is_true);
        writing.keep_listing(&id, &changes, listed_at)?;
        if listed_at.is_some() {
            marks.believed.insert(id);
        }
        Ok(is_true)
    }

    fn keep_all(&self, ino: Ino, id: &FileId) -> Result<(), Error> {
        let children: Vec<Ino> = self.table().folder(ino)?.children.values().copied().collect();
        for batch in children.chunks(BATCH) {
            let changes: Vec<EntryChange> = {
                let table = self.table();
                let ids = batch.iter().filter_map(|child| table.get(*child).ok()?.id());
                let ids = ids.map(FileId::new).filter(|id| !id.is_local());
                ids.map(|id| change(&table, ino, id)).collect()
            };
            self.state.keep_listing(id, &changes, None)?;
        }
        Ok(())
    }

    /// Takes a folder's children from the state file; `None` if they are not there, or not believed.
    /// Else when they were listed, in seconds since the epoch.
    pub(super) fn take_kept(&self, ino: Ino, id: &FileId) -> Result<Option<i64>, Error> {
        let Some(listed) = self.state.listed(id)? else { return Ok(None) };
        let deleted = self.state.deleted_in(id)?;
        let mut after = String::new();
        loop {
            let mut batch = self.state.entries_after(id, &after, BATCH)?;
            let Some((_, last)) = batch.last() else { break };
            after = last.id.as_str().to_owned();
            let rows: Vec<Entry> = batch.iter().map(|(_, row)| row.clone()).collect();
            if id.is_root() {
                self.learn_root_id(&rows);
            }
            let mut attributes = self.attributes(&rows)?;
            let mut table = self.table();
            let folder = table.folder_mut(ino)?;
            // What is taken from the state file is nothing that it has not got.
            let changed = std::mem::take(&mut folder.changed);
            batch.retain(|(_, row)| {
                !deleted.contains(&row.id) && !folder.gone.contains_key(&row.id)
            });
            for (shown, row) in batch {
                if table.find_in(ino, &row.id).is_some() {
                    continue;
                }
                let number = attributes.get(&row.id).and_then(|set| set.ino);
                if let Some(child) = adopt(&mut table, ino, shown, &row, number) {
                    listing::set_attributes(table.get_mut(child)?, &mut attributes);
                }
            }
            table.folder_mut(ino)?.changed = changed;
        }
        let marks = self.kept.marks();
        let mut table = self.table();
        let folder = table.folder_mut(ino)?;
        // It may have been changed meanwhile.
        let is_true = marks.believed.contains(id) && folder.id.as_ref() == Some(id);
        if is_true {
            // They are no children, so nothing else would ever take them out of what is kept.
            deleted.iter().for_each(|object| folder.changed.note(object.as_str()));
            if !deleted.is_empty() {
                table.unsaved.insert(ino);
            }
        }
        Ok(is_true.then_some(listed))
    }
}

/// What is to be written of an object that was, or is, in the folder.
fn change(table: &Table, folder: Ino, id: FileId) -> EntryChange {
    let child = table.find_in(folder, &id);
    let entry = child.and_then(|child| {
        let shown = table.get(child).ok()?.name.clone();
        let entry = table.entry(child).or_else(|| table.folder_row(child, &shown))?;
        Some((shown, entry))
    });
    (id, entry)
}

/// The folder of this name in another one of the bed: as it is kept, if `trusts`, else as the service
/// says, which is kept then.
pub async fn find_folder(
    client: &Client, state: &State, parent: &FileId, name: &str, trusts: bool,
) -> Result<Option<FileId>, Error> {
    if let (true, Some(kept)) = (trusts, state.folder_named(parent, name)?) {
        return Ok(Some(kept));
    }
    let mut rows = client.list_all(parent).await?;
    rows.retain(|row| !(parent.is_root() && listing::is_scratch(row)));
    let is_it = |row: &&Entry| *row.name == *name && row.kind == EntryKind::Folder;
    let found = rows.iter().find(is_it).map(|row| row.id.clone());
    let shown = names::assign(rows, |_| false).into_iter();
    let changes: Vec<EntryChange> =
        shown.map(|(shown, row)| (row.id.clone(), Some((shown, row)))).collect();
    let now = jiff::Timestamp::now().as_second();
    let kept = state.forget_listing(parent);
    if let Err(error) = kept.and_then(|()| state.keep_listing(parent, &changes, Some(now))) {
        tracing::warn!("a listing is not kept: {error}");
    }
    Ok(found)
}
