//! The scratch: folders in the bed's root, hidden from the mount, where objects lie that are on
//! their way into a name or out of one.
//!
//! A mount makes scratch folders of its own, at first use, so that two mounts never meet there. An
//! object keeps its name in them (a move cannot change it), so each folder holds one of a name.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::{Error, folder};
use crate::api::Client;
use crate::tree::SCRATCH_PREFIX;
use crate::types::FileId;

/// The scratch folders of one mount.
pub(super) struct Scratch {
    client: Client,
    slots: Arc<Mutex<Vec<Slot>>>,
    /// Objects that lie there for nothing and could not be deleted.
    junk: Mutex<Vec<FileId>>,
    /// One folder is made at a time, or a crowd would make one each.
    making: Semaphore,
}

#[derive(Debug)]
struct Slot {
    folder: FileId,
    taken: HashSet<String>,
}

/// One name in one scratch folder, free for its holder alone until dropped.
#[derive(Debug)]
pub(super) struct Spot {
    slots: Arc<Mutex<Vec<Slot>>>,
    folder: FileId,
    name: String,
}

impl Scratch {
    pub(super) fn new(client: Client) -> Self {
        Self { client, slots: Arc::default(), junk: Mutex::default(), making: Semaphore::new(1) }
    }

    /// A place for an object of this name.
    pub(super) async fn take(&self, name: &str) -> Result<Spot, Error> {
        if let Some(spot) = self.free_spot(name) {
            return Ok(spot);
        }
        let _turn = self.making.acquire().await.expect("the semaphore is never closed");
        if let Some(spot) = self.free_spot(name) {
            return Ok(spot);
        }
        let random = RandomState::new().build_hasher().finish();
        let folder_name = format!("{SCRATCH_PREFIX}{:08x}", random as u32);
        let folder = folder::make(&self.client, &FileId::root(), &folder_name).await?;
        let taken = HashSet::from([name.to_owned()]);
        lock(&self.slots).push(Slot { folder: folder.clone(), taken });
        Ok(Spot { slots: self.slots.clone(), folder, name: name.to_owned() })
    }

    fn free_spot(&self, name: &str) -> Option<Spot> {
        let mut slots = lock(&self.slots);
        let slot = slots.iter_mut().find(|slot| !slot.taken.contains(name))?;
        slot.taken.insert(name.to_owned());
        let folder = slot.folder.clone();
        Some(Spot { slots: self.slots.clone(), folder, name: name.to_owned() })
    }

    /// Remembers an object that lies there for nothing.
    pub(super) fn add_junk(&self, id: &FileId) {
        self.junk.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
    }

    /// Deletes what lies there for nothing, and the folders in which nothing lies then.
    pub(super) async fn tidy(&self) {
        let junk = std::mem::take(&mut *self.junk.lock().unwrap_or_else(PoisonError::into_inner));
        // One by one: a batch may be refused for one of it that is gone.
        for id in junk {
            if let Err(error) = self.client.delete(std::slice::from_ref(&id)).await {
                tracing::warn!("{id} stays in a scratch folder: {error}");
            }
        }
        let slots = std::mem::take(&mut *lock(&self.slots));
        for slot in slots {
            if let Err(error) = folder::remove(&self.client, &slot.folder).await {
                tracing::warn!("the scratch folder {} stays: {error}", slot.folder);
            }
        }
    }
}

impl Spot {
    /// The scratch folder.
    pub(super) fn folder(&self) -> &FileId {
        &self.folder
    }

    /// Something lies here: the spot is never given out again.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }

    /// Unless the service refused, something may lie here now. Hands the error on.
    pub(super) fn leave_unless_refused(self, error: Error) -> Error {
        if !error.api().is_some_and(crate::api::Error::is_refused) {
            self.leave();
        }
        error
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.folder == self.folder) {
            slot.taken.remove(&self.name);
        }
    }
}

fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
