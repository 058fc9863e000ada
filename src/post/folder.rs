//! Folders on the way to where a picture is to go: found as cheaply as is safe, and made where they
//! are missing.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Error, Inner};
use crate::api::{self, Client, Staleness};
use crate::names;
use crate::state::Posted;
use crate::tree::SCRATCH_PREFIX;
use crate::types::{Entry, EntryKind, FileId};

/// How often a `mkdir` whose answer was lost is asked for again, after looking.
const REPEATS: usize = 3;

/// A folder of the bed.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: FileId,
    age: Age,
}

/// How long a folder is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// It was made here and now: nothing is in it.
    New,
    /// It was made a while ago: listings may not know it yet.
    Young,
    Old,
}

impl Place {
    fn old(id: FileId) -> Self {
        Self { id, age: Age::Old }
    }
}

/// The folders that were found so far, by their paths from the bed's root.
pub(super) struct Walk {
    pub(super) post: Arc<Inner>,
    found: HashMap<String, Place>,
    /// Whether what the state file keeps may be believed where it is fresh.
    trusts: bool,
}

impl Walk {
    pub(super) fn new(post: Arc<Inner>) -> Self {
        Self { post, found: HashMap::new(), trusts: true }
    }

    /// The folder of this path, with the rows in it.
    pub(super) async fn list(&mut self, path: &str) -> Result<(Place, Vec<Entry>), Error> {
        let place = self.find(path).await?;
        if place.age == Age::New {
            return Ok((place, Vec::new()));
        }
        match self.post.client.list_all(&place.id).await {
            Err(error) if error.is_not_found() && place.age == Age::Young => {
                Ok((place, Vec::new()))
            }
            Err(error) if error.is_not_found() && self.trusts => {
                self.distrust();
                Box::pin(self.list(path)).await
            }
            rows => Ok((place, rows?)),
        }
    }

    /// The folder of this path, made if it is not there.
    pub(super) async fn find(&mut self, path: &str) -> Result<Place, Error> {
        match self.walk(path).await {
            Err(error) if self.trusts && error.api().is_some_and(|error| error.is_not_found()) => {
                self.distrust();
                self.walk(path).await
            }
            found => found,
        }
    }

    /// What was found on the word of the state file is looked for anew.
    fn distrust(&mut self) {
        self.trusts = false;
        self.found.retain(|_, place| place.age != Age::Old);
    }

    async fn walk(&mut self, path: &str) -> Result<Place, Error> {
        let mut at = Place::old(FileId::root());
        let mut so_far = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            so_far.push('/');
            so_far.push_str(name);
            at = match self.found.get(&so_far) {
                Some(place) => place.clone(),
                None => {
                    let place = self.child(&at, name).await?;
                    self.found.insert(so_far.clone(), place.clone());
                    place
                }
            };
        }
        Ok(at)
    }

    async fn child(&self, at: &Place, name: &str) -> Result<Place, Error> {
        let client = &self.post.client;
        if at.age != Age::New {
            if let Some(id) = self.kept(&at.id, name)? {
                return Ok(Place::old(id));
            }
            if let Some(id) = self.made(&at.id, name).await? {
                return Ok(Place { id, age: Age::Young });
            }
            match look(client, &at.id, name).await {
                Err(error) if error.is_not_found() && at.age == Age::Young => {}
                found => {
                    if let Some(id) = found? {
                        return Ok(Place::old(id));
                    }
                }
            }
        }
        let place = make(client, &at.id, name).await?;
        let (object, folder, name) = (place.id.clone(), at.id.clone(), name.to_owned());
        self.post.state.post(&Posted { object, folder, name, content: None })?;
        Ok(place)
    }

    /// A folder of this name that was made of late, if it is still there.
    async fn made(&self, parent: &FileId, name: &str) -> Result<Option<FileId>, Error> {
        let posted = self.post.state.posted_to(parent)?.into_iter().rev();
        let made = posted.filter(|posted| posted.content.is_none() && *posted.name == *name);
        for made in made {
            let found = self.post.there(&made.object).await?;
            if found.is_some_and(|entry| *entry.name == *name) {
                return Ok(Some(made.object));
            }
        }
        Ok(None)
    }

    /// What the state file says, if that is as fresh as a mount would want it.
    fn kept(&self, parent: &FileId, name: &str) -> Result<Option<FileId>, Error> {
        let listed = self.post.state.listed(parent)?;
        let now = jiff::Timestamp::now().as_second();
        let fresh = self.post.fresh.as_secs().cast_signed();
        let is_fresh = listed.is_some_and(|listed| (0..fresh).contains(&(now - listed)));
        match self.trusts && is_fresh {
            true => Ok(self.post.state.folder_named(parent, name)?),
            false => Ok(None),
        }
    }
}

/// The parts of a path, each of which the service would take as a name.
pub(super) fn check(path: &str) -> Result<(), Error> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    if path.trim_start_matches('/').starts_with(SCRATCH_PREFIX) {
        return Err(Error::Scratch);
    }
    parts.try_for_each(check_name)
}

/// Whether the service would take the name.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let checked = names::check(name.as_ref());
    checked.map(drop).map_err(|source| Error::Name { name: name.to_owned(), source })
}

/// The folder of this name in another, asked for page by page until it comes.
async fn look(client: &Client, parent: &FileId, name: &str) -> Result<Option<FileId>, api::Error> {
    let mut pages = client.pages(parent);
    while let Some(rows) = pages.next().await? {
        let is_it = |row: &Entry| *row.name == *name && row.kind == EntryKind::Folder;
        if let Some(row) = rows.into_iter().find(is_it) {
            return Ok(Some(row.id));
        }
    }
    Ok(None)
}

/// Makes a folder. Where the answer was lost, or another was quicker, it is looked for.
async fn make(client: &Client, parent: &FileId, name: &str) -> Result<Place, Error> {
    let mut repeats = REPEATS;
    loop {
        let error = match client.mkdir(parent, name).await {
            Ok(id) => return Ok(Place { id, age: Age::New }),
            Err(error) if error.may_be_done() || error.is_refused() => error,
            Err(error) => return Err(error.into()),
        };
        for pause in Staleness::looks(client.staleness().effect()) {
            if let Some(id) = look(client, parent, name).await? {
                return Ok(Place { id, age: Age::Young });
            }
            tokio::time::sleep(pause).await;
        }
        if error.is_refused() || repeats == 0 {
            return Err(error.into());
        }
        repeats -= 1;
    }
}
