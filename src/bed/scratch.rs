//! The scratch: folders in the bed's root, hidden from the mount, where objects lie that are on
//! their way into a name or out of one.
//!
//! A mount makes scratch folders of its own, at first use, so that two mounts never meet there. An
//! object keeps its name in them (a move cannot change it), so each folder holds one of a name.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Error, folder};
use crate::api::Client;
use crate::tree::SCRATCH_PREFIX;
use crate::types::FileId;

/// How often, and how far apart, a folder is looked into before it is left: listings may lag.
const LOOKS: usize = 4;
const LOOK: Duration = Duration::from_secs(1);

/// The scratch folders of one mount.
pub(super) struct Scratch {
    client: Client,
    slots: Arc<Mutex<Vec<Slot>>>,
    /// One folder is made at a time, or a crowd would make one each.
    making: Semaphore,
}

#[derive(Debug)]
struct Slot {
    folder: FileId,
    /// By name: one object of a name has room.
    taken: HashMap<String, Lies>,
}

/// What lies under a name in a scratch folder.
#[derive(Clone, Debug)]
pub(super) enum Lies {
    /// Something is on its way in or out: a spot is held.
    Something,
    /// An object that is wanted.
    Wanted(FileId),
    /// A new version that could not be put into its folder.
    Version {
        /// The object.
        id: FileId,
        /// The folder it belongs into.
        folder: FileId,
    },
    /// An object that could not be deleted, and is to be.
    Junk(FileId),
    /// Perhaps an object of this name that nobody wants.
    Scrap,
}

/// One name in one scratch folder, for its holder alone until it is `free`d. One that is dropped, as
/// by a task that was ended, is taken for ever: nobody knows what lies there.
#[derive(Debug)]
pub(super) struct Spot {
    slots: Arc<Mutex<Vec<Slot>>>,
    folder: FileId,
    name: String,
}

impl Scratch {
    pub(super) fn new(client: Client) -> Self {
        Self { client, slots: Arc::default(), making: Semaphore::new(1) }
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
        let taken = HashMap::from([(name.to_owned(), Lies::Something)]);
        lock(&self.slots).push(Slot { folder: folder.clone(), taken });
        Ok(Spot { slots: self.slots.clone(), folder, name: name.to_owned() })
    }

    fn free_spot(&self, name: &str) -> Option<Spot> {
        let mut slots = lock(&self.slots);
        let slot = slots.iter_mut().find(|slot| !slot.taken.contains_key(name))?;
        slot.taken.insert(name.to_owned(), Lies::Something);
        let folder = slot.folder.clone();
        Some(Spot { slots: self.slots.clone(), folder, name: name.to_owned() })
    }

    /// A newer version is in place: those that could not be put there are not wanted any more.
    pub(super) fn supersede(&self, folder: &FileId, name: &str) {
        for slot in lock(&self.slots).iter_mut() {
            if let Some(lies) = slot.taken.get_mut(name)
                && let Lies::Version { id, folder: meant } = lies
                && meant == folder
            {
                *lies = Lies::Junk(id.clone());
            }
        }
    }

    /// Deletes what lies there for nothing, and the folders in which nothing lies then.
    pub(super) async fn tidy(&self) {
        let slots = std::mem::take(&mut *lock(&self.slots));
        for slot in slots {
            if let Err(error) = self.empty_out(&slot).await {
                tracing::warn!("the scratch folder {} stays: {error}", slot.folder);
            }
        }
    }

    /// A listing may lag, so what was put there is asked for by its ID as well.
    async fn empty_out(&self, slot: &Slot) -> Result<(), Error> {
        for lies in slot.taken.values() {
            let id = match lies {
                Lies::Something => return Err(Error::NotEmpty),
                Lies::Scrap => continue,
                Lies::Wanted(id) | Lies::Version { id, .. } => id,
                Lies::Junk(id) => {
                    // Whether it is gone is asked below.
                    let _asked = self.client.delete(std::slice::from_ref(id)).await;
                    id
                }
            };
            match self.client.detail(id).await {
                Err(error) if error.is_not_found() => {}
                Ok(entry) if entry.parent != slot.folder => {}
                Ok(_) => return Err(Error::NotEmpty),
                Err(error) => return Err(error.into()),
            }
        }
        for _ in 0..LOOKS {
            let rows = match self.client.list_all(&slot.folder).await {
                Ok(rows) if rows.is_empty() => {
                    return folder::delete_empty(&self.client, &slot.folder).await;
                }
                // Made a moment ago, it may not be known to listings yet.
                Err(error) if error.is_not_found() => Vec::new(),
                rows => rows?,
            };
            for row in rows.iter().filter(|row| slot.is_scrap(&row.name)) {
                self.client.delete(std::slice::from_ref(&row.id)).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Error::NotEmpty)
    }
}

impl Slot {
    fn is_scrap(&self, name: &str) -> bool {
        matches!(self.taken.get(name), Some(Lies::Scrap))
    }
}

impl Spot {
    /// The scratch folder.
    pub(super) fn folder(&self) -> &FileId {
        &self.folder
    }

    /// Something lies here: the spot is not given out again.
    pub(super) fn leave(self, lies: Lies) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.folder == self.folder) {
            slot.taken.insert(self.name.clone(), lies);
        }
    }

    /// Nothing lies here: another may have the spot.
    pub(super) fn free(self) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.folder == self.folder) {
            slot.taken.remove(&self.name);
        }
    }
}

fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
