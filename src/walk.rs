//! A walk: from the root of the bed along a path, without a mount.
//!
//! What mounts kept of listings shows the way, but what others did since then it does not know. So each
//! step that it tells is confirmed by one `detail`; a folder where it tells nothing, or is refuted, is
//! listed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::{self, Client};
use crate::names;
use crate::state::{self, State};
use crate::tree::CONTROL_NAME;
use crate::types::{Entry, FileId};

/// Why a path leads nowhere.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Error {
    #[error("the bed has no {0:?}")]
    NotThere(String),
    #[error("{0:?} is not a folder")]
    NotAFolder(String),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    State(#[from] state::Error),
}

/// Finds what lies at paths. What was found out on the way to one serves for the others.
pub struct Walk<'a> {
    client: &'a Client,
    state: &'a State,
    /// What folders hold, under the names that a mount shows.
    listed: HashMap<FileId, HashMap<Arc<str>, Entry>>,
    /// Kept entries that the service confirmed.
    confirmed: HashMap<FileId, Entry>,
}

impl<'a> Walk<'a> {
    /// Nothing is asked for yet.
    pub fn new(client: &'a Client, state: &'a State) -> Self {
        Self { client, state, listed: HashMap::new(), confirmed: HashMap::new() }
    }

    /// What lies at a path, of names as a mount shows them; not the root itself.
    pub async fn find(&mut self, path: &str) -> Result<Entry, Error> {
        let mut found: Option<Entry> = None;
        let mut way = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let folder = match &found {
                None => FileId::root(),
                Some(entry) if entry.picture().is_none() => entry.id.clone(),
                Some(_) => return Err(Error::NotAFolder(way)),
            };
            way = if way.is_empty() { name.to_owned() } else { format!("{way}/{name}") };
            let next = self.child(&folder, name).await?;
            found = Some(next.ok_or_else(|| Error::NotThere(way.clone()))?);
        }
        found.ok_or_else(|| Error::NotThere(path.to_owned()))
    }

    async fn child(&mut self, folder: &FileId, name: &str) -> Result<Option<Entry>, Error> {
        if !self.listed.contains_key(folder) {
            if let Some(kept) = self.state.entry_named(folder, name)?
                && let Some(entry) = self.confirm(folder, kept).await?
            {
                return Ok(Some(entry));
            }
            let rows = self.client.list_all(folder).await?;
            let shown = names::assign(rows, |name| folder.is_root() && name == CONTROL_NAME);
            self.listed.insert(folder.clone(), shown.into_iter().collect());
        }
        Ok(self.listed[folder].get(name).cloned())
    }

    /// The entry as the service tells it now, if it still has the name and the folder.
    async fn confirm(&mut self, folder: &FileId, kept: Entry) -> Result<Option<Entry>, Error> {
        if let Some(entry) = self.confirmed.get(&kept.id) {
            return Ok(Some(entry.clone()));
        }
        let fresh = match self.client.detail(&kept.id).await {
            Ok(fresh) => fresh,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let real = if folder.is_root() { self.state.real_root()? } else { Some(folder.clone()) };
        if fresh.name != kept.name || Some(&fresh.parent) != real.as_ref() {
            return Ok(None);
        }
        self.confirmed.insert(fresh.id.clone(), fresh.clone());
        Ok(Some(fresh))
    }
}
