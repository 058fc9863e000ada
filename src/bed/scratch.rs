//! The scratch: folders in the bed's root, hidden from the mount, where objects lie that are on
//! their way into a name or out of one.
//!
//! A mount makes scratch folders of its own, at first use, so that two machines never meet there. An
//! object keeps its name in them (a move cannot change it), so each folder holds one of a name. What
//! lies there and is named by nothing unfinished in the state file is junk.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Error, folder};
use crate::api::{self, Client, Staleness};
use crate::state::{Retired, State};
use crate::tree::SCRATCH_PREFIX;
use crate::types::{Entry, EntryKind, FileId};

/// The scratch folders of one mount.
pub(super) struct Scratch {
    client: Client,
    state: Arc<State>,
    slots: Arc<Mutex<Vec<Slot>>>,
    /// One folder is made at a time, or a crowd would make one each.
    making: Semaphore,
    /// One tidies at a time: the others wait until what it has in hand is done.
    tidying: Semaphore,
    /// When the mount began.
    born: Instant,
}

/// One scratch folder.
#[derive(Debug)]
struct Slot {
    name: String,
    folder: FileId,
    /// Names for which there is no room: something lies there, or may.
    taken: HashSet<String>,
    /// Objects that nobody wants, which a listing may not show yet.
    junk: Vec<FileId>,
    /// Made by a mount that ended without removing it: nothing new comes into it.
    is_inherited: bool,
    /// When it was made, or inherited.
    since: Instant,
}

/// Room for one name in one scratch folder. It stays taken until it is freed.
#[derive(Debug)]
pub(super) struct Spot {
    slots: Arc<Mutex<Vec<Slot>>>,
    folder: FileId,
    name: String,
}

impl Scratch {
    pub(super) fn new(client: Client, state: Arc<State>) -> Self {
        Self {
            client,
            state,
            slots: Arc::default(),
            making: Semaphore::new(1),
            tidying: Semaphore::new(1),
            born: Instant::now(),
        }
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
        self.state.scratch_begins(&folder_name)?;
        let folder = folder::make(&self.client, &FileId::root(), &folder_name).await?;
        self.state.scratch_made(&folder_name, &folder)?;
        lock(&self.slots).push(Slot {
            name: folder_name,
            folder: folder.clone(),
            taken: HashSet::from([name.to_owned()]),
            junk: Vec::new(),
            is_inherited: false,
            since: Instant::now(),
        });
        Ok(Spot { slots: self.slots.clone(), folder, name: name.to_owned() })
    }

    fn free_spot(&self, name: &str) -> Option<Spot> {
        let mut slots = lock(&self.slots);
        let slot =
            slots.iter_mut().find(|slot| !slot.is_inherited && !slot.taken.contains(name))?;
        slot.taken.insert(name.to_owned());
        let folder = slot.folder.clone();
        Some(Spot { slots: self.slots.clone(), folder, name: name.to_owned() })
    }

    /// Takes over the folders that mounts before this one left. One that was being made may come
    /// about some seconds later, so it is looked for again at the end.
    pub(super) async fn inherit(&self) -> Result<(), Error> {
        let _turn = self.making.acquire().await.expect("the semaphore is never closed");
        let rows = self.state.scratch()?;
        let mut root: Option<Vec<Entry>> = None;
        for row in rows {
            if lock(&self.slots).iter().any(|slot| slot.name == row.name) {
                continue;
            }
            let folder = match (row.folder, &root) {
                (Some(folder), _) => Some(folder),
                (None, Some(rows)) => find(rows, &row.name),
                (None, None) => {
                    find(root.insert(self.client.list_all(&FileId::root()).await?), &row.name)
                }
            };
            let Some(folder) = folder else {
                let staleness = self.client.staleness();
                if self.born.elapsed() > staleness.effect() + staleness.listing() {
                    // It was never made.
                    self.state.scratch_gone(&row.name)?;
                }
                continue;
            };
            self.state.scratch_made(&row.name, &folder)?;
            let (taken, junk) = (HashSet::new(), Vec::new());
            let since = self.born;
            let slot = Slot { name: row.name, folder, taken, junk, is_inherited: true, since };
            lock(&self.slots).push(slot);
        }
        Ok(())
    }

    /// Whether a folder is one of these.
    pub(super) fn has(&self, folder: &FileId) -> bool {
        lock(&self.slots).iter().any(|slot| slot.folder == *folder)
    }

    /// The folder of these in which an object is listed.
    pub(super) async fn find(&self, id: &FileId) -> Result<Option<FileId>, Error> {
        let folders: Vec<FileId> =
            lock(&self.slots).iter().map(|slot| slot.folder.clone()).collect();
        for folder in folders {
            let rows = match self.client.list_all(&folder).await {
                Err(error) if error.is_not_found() => continue,
                rows => rows?,
            };
            if rows.iter().any(|row| row.id == *id) {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// Deletes what nobody wants, and the folders in which nothing lies then: those inherited, or
    /// all. Nothing may be on its way through these.
    pub(super) async fn tidy(&self, all: bool) {
        let _turn = self.tidying.acquire().await.expect("the semaphore is never closed");
        let slots: Vec<Slot> =
            lock(&self.slots).extract_if(.., |slot| all || slot.is_inherited).collect();
        for mut slot in slots {
            if let Err(error) = self.empty_out(&slot).await {
                tracing::info!("the scratch folder {} stays for now: {error}", slot.name);
                slot.is_inherited = true;
                lock(&self.slots).push(slot);
            }
        }
    }

    /// A listing may lag, so what is known to lie there is asked for by its ID as well.
    async fn empty_out(&self, slot: &Slot) -> Result<(), Error> {
        if self.state.is_in_use(&slot.folder)? {
            return Err(Error::NotEmpty);
        }
        let wanted = self.state.wanted()?;
        for id in slot.junk.iter().filter(|id| !wanted.contains(*id)) {
            // Whether it is gone is asked below.
            let _asked = self.client.delete(std::slice::from_ref(id)).await;
        }
        for id in wanted.iter().chain(&slot.junk) {
            match self.client.detail(id).await {
                Err(error) if error.is_not_found() => {}
                Ok(entry) if entry.parent != slot.folder => {}
                Ok(_) => return Err(Error::NotEmpty),
                Err(error) => return Err(error.into()),
            }
        }
        let mut pauses = Staleness::looks(self.client.staleness().effect());
        loop {
            let pause = pauses.next();
            let rows = match self.client.list_all(&slot.folder).await {
                // Removed by hand, or by a try before this one.
                Err(error)
                    if error.is_not_found() && pause.is_none() && self.is_gone(slot).await =>
                {
                    return Ok(self.state.scratch_gone(&slot.name)?);
                }
                // Made a moment ago, and not known to listings yet.
                Err(error) if error.is_not_found() => None,
                rows => Some(rows?),
            };
            if rows.as_ref().is_some_and(Vec::is_empty) {
                match folder::delete_empty(&self.client, &slot.folder).await {
                    // Something lies there that is not listed yet.
                    Err(error) if error.api().is_some_and(api::Error::is_refused) => {}
                    deleted => {
                        deleted?;
                        return Ok(self.state.scratch_gone(&slot.name)?);
                    }
                }
            }
            for row in rows.iter().flatten().filter(|row| !wanted.contains(&row.id)) {
                self.clear(&row.id).await?;
            }
            tokio::time::sleep(pause.ok_or(Error::NotEmpty)?).await;
        }
    }
}

impl Scratch {
    /// Whether a folder that no listing shows is gone: it was not made a moment ago.
    async fn is_gone(&self, slot: &Slot) -> bool {
        slot.since.elapsed() > self.client.staleness().listing()
            && self.client.detail(&slot.folder).await.is_err_and(|error| error.is_not_found())
    }

    /// Deletes an object that nobody wants. What was here only for a while is never deleted: it goes
    /// where it belongs, or is there already, and a listing shows how it was.
    async fn clear(&self, id: &FileId) -> Result<(), Error> {
        let retired = self.state.retired()?.into_iter().find(|retired| retired.object == *id);
        let cleared = match retired {
            Some(retired) if retired.is_back => return Ok(()),
            Some(retired) => self.client.move_to(std::slice::from_ref(id), &retired.folder).await,
            None => self.client.delete(std::slice::from_ref(id)).await,
        };
        match cleared {
            Err(error) if !error.is_not_found() => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn find(rows: &[Entry], name: &str) -> Option<FileId> {
    let is_it = |row: &&Entry| *row.name == *name && row.kind == EntryKind::Folder;
    rows.iter().find(is_it).map(|row| row.id.clone())
}

impl Spot {
    /// The scratch folder.
    pub(super) fn folder(&self) -> &FileId {
        &self.folder
    }

    /// An object lies here that nobody wants, and could not be deleted.
    pub(super) fn leave_junk(self, id: FileId) {
        if let Some(slot) = lock(&self.slots).iter_mut().find(|slot| slot.folder == self.folder) {
            slot.junk.push(id);
        }
    }

    /// Nothing lies here: another may have the spot.
    pub(super) fn free(self) {
        if let Some(slot) = lock(&self.slots).iter_mut().find(|slot| slot.folder == self.folder) {
            slot.taken.remove(&self.name);
        }
    }
}

fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves and deletes of what lies in a scratch folder, for the rooms beside this one.
impl super::Bed {
    /// Takes an object out of this folder into a scratch folder. Whoever wants it there has said so
    /// in the state file before.
    pub(super) async fn retire(&self, entry: &Entry, folder: &FileId) -> Result<Spot, Error> {
        let spot = self.scratch.take(&entry.name).await?;
        self.state.retires(&entry.id, folder)?;
        self.bring(&entry.id, spot.folder()).await?;
        Ok(spot)
    }

    /// Removes the scratch folders of this mount, or those of earlier ones alone, but for what is wanted
    /// in them.
    pub(super) async fn tidy_scratch(&self, all: bool) {
        let ready = async {
            if all {
                self.scratch.inherit().await?;
            }
            self.return_retired().await
        };
        match ready.await {
            Ok(()) => self.scratch.tidy(all).await,
            Err(error) => tracing::info!("the scratch folders stay for now: {error}"),
        }
    }

    /// Has all that was taken aside, and that nothing unfinished wants there, back where it was.
    async fn return_retired(&self) -> Result<(), Error> {
        let wanted = self.state.wanted()?;
        for retired in self.state.retired()? {
            if !retired.is_back && !wanted.contains(&retired.object) {
                self.return_home(&retired).await?;
            }
        }
        Ok(())
    }

    /// Has an object that may have been taken aside back where it was. Listings and details may both
    /// lag behind, so that only a move tells for certain where it is then.
    pub(super) async fn return_home(&self, retired: &Retired) -> Result<(), Error> {
        let Retired { object, folder, .. } = retired;
        let scratch = self.state.scratch()?;
        let is_aside =
            |entry: &Entry| scratch.iter().any(|row| row.folder.as_ref() == Some(&entry.parent));
        let is_elsewhere = match self.client.detail(object).await {
            Err(error) if error.is_not_found() => true,
            // Who moved it elsewhere wants it there.
            found => {
                let found = found?;
                self.is_in(&found, folder).await? == Some(false) && !is_aside(&found)
            }
        };
        if !is_elsewhere && let Err(error) = self.bring(object, folder).await {
            // It may be refused for being there.
            let is_there = error.is_refused() && !is_aside(&self.client.detail(object).await?);
            if !is_there && !error.is_not_found() {
                return Err(error.into());
            }
        }
        Ok(self.state.returned(object, folder)?)
    }

    /// Deletes what lies in a scratch folder for nothing. A failure leaves it there, hidden.
    pub(super) async fn discard(&self, id: &FileId, spot: Option<Spot>) {
        match (self.delete(id).await, spot) {
            (Ok(()), Some(spot)) => spot.free(),
            (Ok(()), None) => {}
            (Err(error), spot) => {
                tracing::warn!("{id} stays in a scratch folder for now: {error}");
                if let Some(spot) = spot {
                    spot.leave_junk(id.clone());
                }
            }
        }
    }

    /// Moves one object. Done if the service says so, or if `detail` tells that it is there, since
    /// the answer to a move may be lost.
    pub(super) async fn bring(&self, id: &FileId, folder: &FileId) -> Result<(), api::Error> {
        let mut repeats = super::REPEATS;
        let mut there = folder.clone();
        let mut refusal = None;
        loop {
            let Err(error) = self.client.move_to(std::slice::from_ref(id), &there).await else {
                return Ok(());
            };
            if let Ok(entry) = self.client.detail(id).await
                && self.is_in(&entry, folder).await? == Some(true)
            {
                return Ok(());
            }
            match self.tree.real_root() {
                // "moving to the root: "" in one document, refused in another": by its real ID.
                Some(real) if there.is_root() && error.is_refused() => {
                    there = real;
                    refusal = Some(error);
                }
                _ if error.may_be_done() && repeats > 0 => repeats -= 1,
                // What the other spelling of the root came to says nothing of the object.
                _ => return Err(refusal.unwrap_or(error)),
            }
        }
    }
}
