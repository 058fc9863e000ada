//! A gallery: the folders of the bed as they were last listed, to be looked at without a mount.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::Semaphore;

use crate::api::{self, Client};
use crate::names;
use crate::state::{self, Shown, State};
use crate::tree::{CONTROL_NAME, SCRATCH_PREFIX};
use crate::types::{Entry, FileId};

/// Folders that are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// Why a folder cannot be shown.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Error {
    #[error("the bed has no folder {0:?}")]
    NotThere(String),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    State(#[from] state::Error),
}

/// What a folder holds, under the names that a mount shows.
type Rows = Arc<Vec<Shown>>;

/// The folders of one account.
pub struct Gallery {
    client: Client,
    state: Arc<State>,
    /// How long a listing is taken for true.
    fresh: Duration,
    /// One folder is listed at a time.
    turn: Semaphore,
    /// Innermost.
    listed: Mutex<LruCache<FileId, (Instant, Rows)>>,
}

impl Gallery {
    /// Nothing is asked for yet.
    pub fn new(client: Client, state: Arc<State>, fresh: Duration) -> Self {
        let listed = Mutex::new(LruCache::new(MOST));
        Self { client, state, fresh, turn: Semaphore::new(1), listed }
    }

    fn listed(&self) -> MutexGuard<'_, LruCache<FileId, (Instant, Rows)>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies in the folder of this path, of names as a mount shows them.
    pub async fn folder(&self, path: &str) -> Result<Rows, Error> {
        let _turn = self.turn.acquire().await.expect("the semaphore is never closed");
        let mut rows = self.rows(&FileId::root()).await?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let is_it = |row: &&Shown| *row.0 == *name && row.1.picture().is_none();
            let id = rows.iter().find(is_it).map(|(_, entry)| entry.id.clone());
            rows = self.rows(&id.ok_or_else(|| Error::NotThere(path.to_owned()))?).await?;
        }
        Ok(rows)
    }

    /// A picture of a folder that was shown.
    pub fn picture(&self, id: &FileId) -> Option<Entry> {
        let listed = self.listed();
        let mut rows = listed.iter().flat_map(|(_, (_, rows))| rows.iter());
        let found = rows.find(|(_, entry)| entry.id == *id && entry.picture().is_some());
        found.map(|(_, entry)| entry.clone())
    }

    /// The folders are listed again when they are next shown.
    pub fn forget(&self) {
        for (_, (at, _)) in self.listed().iter_mut() {
            *at = at.checked_sub(self.fresh).unwrap_or(*at);
        }
    }

    async fn rows(&self, folder: &FileId) -> Result<Rows, Error> {
        if let Some((at, rows)) = self.listed().get(folder)
            && at.elapsed() < self.fresh
        {
            return Ok(rows.clone());
        }
        let begun = Instant::now();
        let mut rows = self.client.list_all(folder).await?;
        rows.retain(|row| !(folder.is_root() && row.name.starts_with(SCRATCH_PREFIX)));
        let is_reserved = |name: &str| folder.is_root() && name == CONTROL_NAME;
        let mut rows = names::assign(rows, is_reserved);
        self.hide_deleted(&mut rows)?;
        rows.sort_by(|a, b| b.1.created.cmp(&a.1.created).then_with(|| a.0.cmp(&b.0)));
        let rows = Arc::new(rows);
        self.listed().put(folder.clone(), (begun, rows.clone()));
        Ok(rows)
    }

    /// What was removed here, and the service is not told of yet, is not shown.
    fn hide_deleted(&self, rows: &mut Vec<Shown>) -> Result<(), Error> {
        let deletes = self.state.deletes()?;
        let gone: HashSet<&FileId> = deletes.iter().map(|row| &row.object).collect();
        rows.retain(|(_, entry)| !gone.contains(&entry.id));
        Ok(())
    }
}
