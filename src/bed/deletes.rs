//! The queue of deletes: what the user removed is gone from view at once, and goes from the service
//! in batches.
//!
//! A delete is acknowledged when the state file has it. An ID is not a name: what was moved
//! elsewhere since must not be deleted for the name it had, so an object that was not seen in its
//! place of late is looked for first.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::{Bed, Error};
use crate::api;
use crate::state::{Delete, Phase, RowId};
use crate::types::{Entry, FileId};

/// IDs in one call (`003`).
const BATCH: usize = 100;

/// How long after the last removal a batch goes that is not full.
const QUIET: Duration = Duration::from_millis(200);

/// How long what was seen of an object is taken for true when it is to be deleted.
pub const SURE: Duration = Duration::from_secs(10);

/// From this many doubtful objects of a folder on, one listing is cheaper than asking for each.
const MANY: usize = 3;

/// How long the service is left alone after it failed, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One delete in the queue.
#[derive(Clone, Debug)]
struct Waiting {
    delete: Delete,
    /// When the object was last seen in its place.
    seen: Option<Instant>,
    /// Somebody has it open: it goes when that ends.
    is_held: bool,
}

/// The deletes that were acknowledged and are not done.
#[derive(Debug)]
pub(super) struct Deletes {
    queue: Mutex<Vec<Waiting>>,
    changed: Notify,
    /// One batch is on its way at a time.
    sending: Semaphore,
}

impl Deletes {
    /// The deletes that a mount before this one left.
    pub(super) fn new(left: Vec<Delete>) -> Self {
        let waiting = |delete| Waiting { delete, seen: None, is_held: false };
        let changed = Notify::new();
        if !left.is_empty() {
            changed.notify_one();
        }
        Self {
            queue: Mutex::new(left.into_iter().map(waiting).collect()),
            changed,
            sending: Semaphore::new(1),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a delete that the state file has, for when nobody has the object open.
    pub(super) fn hold(&self, delete: Delete) {
        self.queue().push(Waiting { delete, seen: Some(Instant::now()), is_held: true });
    }

    /// The object lies elsewhere now.
    pub(super) fn relocate(&self, object: &FileId, folder: &FileId) {
        for waiting in self.queue().iter_mut().filter(|waiting| waiting.delete.object == *object) {
            waiting.delete.folder = folder.clone();
        }
    }

    fn free(&self) -> Vec<Waiting> {
        self.queue().iter().filter(|waiting| !waiting.is_held).cloned().collect()
    }

    fn end(&self, objects: &HashSet<FileId>) {
        self.queue().retain(|waiting| !objects.contains(&waiting.delete.object));
    }
}

impl Bed {
    /// Acknowledges removals: of objects, each with when it was last seen in its place, and of rows
    /// of the state file, which are in `phase` then. The objects that are `held` go when they are
    /// released.
    pub fn remove(
        &self, deletes: Vec<(Delete, Option<Instant>)>, rows: &[RowId], phase: Phase, is_held: bool,
    ) -> Result<(), Error> {
        let all: Vec<Delete> = deletes.iter().map(|(delete, _)| delete.clone()).collect();
        self.state.remove(&all, rows, phase)?;
        self.take_in(deletes, is_held);
        Ok(())
    }

    /// Takes in deletes that the state file has.
    pub fn take_in(&self, deletes: Vec<(Delete, Option<Instant>)>, is_held: bool) {
        let mut queue = self.deletes.queue();
        for (delete, seen) in deletes {
            if queue.iter().all(|waiting| waiting.delete.object != delete.object) {
                queue.push(Waiting { delete, seen, is_held });
            }
        }
        drop(queue);
        self.deletes.changed.notify_one();
    }

    /// The object came to stand again: some services give bytes that they know the ID of before.
    pub fn undelete(&self, object: &FileId) {
        self.deletes.end(&HashSet::from([object.clone()]));
    }

    /// Nobody has the object open any more.
    pub fn release(&self, object: &FileId) {
        for waiting in self.deletes.queue().iter_mut() {
            waiting.is_held &= waiting.delete.object != *object;
        }
        self.deletes.changed.notify_one();
    }

    /// Sends deletes in batches, for as long as the mount lives.
    pub async fn run_deletes(&self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.deletes.free().is_empty() {
                self.deletes.changed.notified().await;
            }
            self.quiet_or_full().await;
            match api::in_background(self.send_one_batch(|_| true)).await {
                Ok(_) => pause = FIRST_PAUSE,
                Err(error) => match self.refused_for() {
                    // Told once, by who asked the service.
                    Some(wait) => tokio::time::sleep(wait.max(FIRST_PAUSE)).await,
                    None => {
                        tracing::warn!("deleting, again in {} s: {error}", pause.as_secs());
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
            }
        }
    }

    /// Those that come shortly after go along.
    async fn quiet_or_full(&self) {
        while self.deletes.free().len() < BATCH {
            let another = self.deletes.changed.notified();
            if tokio::time::timeout(QUIET, another).await.is_err() {
                return;
            }
        }
    }

    /// Has the service delete now what is to go from this folder: all, or by this name.
    pub async fn flush_deletes(&self, folder: &FileId, name: Option<&str>) -> Result<(), Error> {
        let is_meant = |delete: &Delete| {
            delete.folder == *folder && name.is_none_or(|name| *delete.name == *name)
        };
        if self.deletes.free().iter().any(|waiting| is_meant(&waiting.delete)) {
            self.send_deletes(is_meant).await?;
        }
        Ok(())
    }

    /// Sends what is meant and not held; with it goes as much else as fits into the call.
    pub async fn send_deletes(&self, is_meant: impl Fn(&Delete) -> bool) -> Result<(), Error> {
        while self.send_one_batch(&is_meant).await? {}
        Ok(())
    }

    /// Whether there was anything to send.
    async fn send_one_batch(&self, is_meant: impl Fn(&Delete) -> bool) -> Result<bool, Error> {
        let _turn = self.deletes.sending.acquire().await.expect("the semaphore is never closed");
        let (meant, others): (Vec<_>, Vec<_>) =
            self.deletes.free().into_iter().partition(|waiting| is_meant(&waiting.delete));
        if meant.is_empty() {
            return Ok(false);
        }
        let batch: Vec<Waiting> = meant.into_iter().chain(others).take(BATCH).collect();
        self.send_batch(batch).await?;
        Ok(true)
    }

    async fn send_batch(&self, batch: Vec<Waiting>) -> Result<(), Error> {
        let all: Vec<FileId> = batch.iter().map(|waiting| waiting.delete.object.clone()).collect();
        let folders: HashSet<FileId> =
            batch.iter().map(|waiting| waiting.delete.folder.clone()).collect();
        let _change = self.tree.changing(&folders)?;
        let there = self.still_there(batch).await?;
        let objects: Vec<FileId> = there.iter().map(|delete| delete.object.clone()).collect();
        let mut refused = Vec::new();
        if !objects.is_empty() {
            match self.client.delete(&objects).await {
                Ok(()) => {}
                // One that is gone, or may not go, must not hold up the others.
                Err(error) if error.is_not_found() || error.is_refused() => {
                    refused = self.delete_each(&there).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.state.delete_ends(&all)?;
        self.deletes.end(&all.into_iter().collect());
        // Not before: a listing shows nothing that is to be deleted.
        refused.iter().for_each(|delete| self.tree.restore(&delete.folder, &delete.object));
        Ok(())
    }

    /// Deletes one by one, and gives those that the service refuses to delete.
    async fn delete_each<'a>(&self, deletes: &'a [Delete]) -> Result<Vec<&'a Delete>, Error> {
        let mut refused = Vec::new();
        for delete in deletes {
            match self.delete(&delete.object).await {
                Err(error) if error.api().is_some_and(api::Error::is_refused) => {
                    tracing::error!(
                        "{:?} is not deleted, and is shown again: {error}",
                        delete.name
                    );
                    refused.push(delete);
                }
                deleted => deleted?,
            }
        }
        Ok(refused)
    }

    /// Those of a batch that lie where they were when they were removed.
    async fn still_there(&self, batch: Vec<Waiting>) -> Result<Vec<Delete>, Error> {
        let is_sure = |waiting: &Waiting| waiting.seen.is_some_and(|seen| seen.elapsed() < SURE);
        let (sure, unsure): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_sure);
        let mut there: Vec<Delete> = sure.into_iter().map(|waiting| waiting.delete).collect();
        let mut folders: HashMap<FileId, Vec<Delete>> = HashMap::new();
        for Waiting { delete, .. } in unsure {
            folders.entry(delete.folder.clone()).or_default().push(delete);
        }
        for (folder, deletes) in folders {
            let rows = match deletes.len() >= MANY {
                true => self.client.list_all(&folder).await.unwrap_or_default(),
                false => Vec::new(),
            };
            let listed: HashMap<&FileId, &Entry> = rows.iter().map(|row| (&row.id, row)).collect();
            for delete in deletes {
                // A listing may lag behind: what it lacks is asked for.
                let is_there = match listed.get(&delete.object) {
                    Some(row) => *row.name == *delete.name,
                    // What is not known is not elsewhere either: its ID may be deleted.
                    None => {
                        let lies = self.lies_in(&delete.object, &delete.name, &folder).await?;
                        lies.unwrap_or(true)
                    }
                };
                match is_there {
                    true => there.push(delete),
                    false => tracing::info!("{:?} was moved or deleted elsewhere", delete.name),
                }
            }
        }
        Ok(there)
    }
}
