//! Lending: the kernel reads an open file by itself, from the cache on disk (FUSE passthrough).
//!
//! A file is lent to who opens it for reading while all of its object is in the cache and nothing was
//! written over it here. The kernel mixes no two ways in one inode. So whoever comes to change a file
//! that is lent finds another inode under its name: who had it open before goes on reading what it
//! was, and who opens it later gets what it is.

use std::any::Any;
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::local::State;
use super::{Error, Fs, Result};
use crate::cache::Whole;
use crate::types::{Entry, FileId, Ino};

/// What the kernel knows the lent bytes by, for as long as it has them.
pub type Backing = Arc<dyn Any + Send + Sync>;

/// How long it is waited for that a close is told, between looks, in milliseconds.
const PAUSES: [u64; 6] = [1, 2, 5, 10, 20, 40];

/// How long an object is not lent that somebody is about to change.
const SPARED: Duration = Duration::from_secs(1);

/// An object that is lent, and by what.
#[derive(Debug)]
pub(super) struct Lent {
    object: FileId,
    backing: Backing,
    /// Held for as long as the kernel reads it: the cache then neither mends it nor frees parts of it.
    _whole: Whole,
}

/// Objects that somebody is about to change, and since when.
#[derive(Debug, Default)]
pub(super) struct Spared(Mutex<HashMap<FileId, Instant>>);

impl Spared {
    fn objects(&self) -> MutexGuard<'_, HashMap<FileId, Instant>> {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.retain(|_, since| since.elapsed() < SPARED);
        objects
    }
}

impl Fs {
    /// What the kernel is to read a file by that was just opened, if it is to do so by itself.
    /// `register` makes a file on the local disk known to it, if that can be. The error is that it was
    /// lent to others since it was looked at, and that this handle is not for reading alone: the kernel
    /// must never write what is lent.
    pub fn lend(
        &self, handle: u64, register: impl FnOnce(&File) -> Option<Backing>,
    ) -> Result<Option<Backing>> {
        // A control file has no bytes on the disk.
        let Ok(file) = self.handles.file(handle) else { return Ok(None) };
        let mut state = file.local.state();
        if let Some(lent) = &state.lent {
            let backing = lent.backing.clone();
            drop(state);
            self.part(file.local.ino, file.writable)?;
            return Ok(Some(backing));
        }
        // Who came first, and still has it open, reads by calls.
        if file.writable || state.opens > 1 {
            return Ok(None);
        }
        let object = self.lendable(file.local.ino, &state);
        let Some(object) = object.filter(|it| !self.spared.objects().contains_key(&it.id)) else {
            return Ok(None);
        };
        let Some(whole) = self.reader.whole(&object) else { return Ok(None) };
        let backing = register(whole.file());
        let lent = |backing| Lent { object: object.id.clone(), backing, _whole: whole };
        state.lent = backing.clone().map(lent);
        Ok(backing)
    }

    /// Whether the file is lent, and would not be what is lent any more if it is opened now, or
    /// changed.
    pub fn is_lent_otherwise(&self, ino: Ino, is_change: bool) -> bool {
        let Some(local) = self.locals.get(ino) else { return false };
        let state = local.state();
        let object = self.lendable(ino, &state).filter(|_| !is_change);
        state.lent.as_ref().is_some_and(|lent| object.is_none_or(|it| it.id != lent.object))
    }

    /// Waits a little for the end of that: the kernel tells of a last close some time after it.
    pub async fn closes_are_told(&self, ino: Ino, is_change: bool) {
        for pause in PAUSES {
            if !self.is_lent_otherwise(ino, is_change) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Before a file is opened or cut. Where it is lent otherwise its name is another inode's from
    /// now on, which the kernel is told to look for.
    pub(super) fn part(&self, ino: Ino, is_change: bool) -> Result<()> {
        if !self.is_lent_otherwise(ino, is_change) {
            return Ok(());
        }
        if let Some(entry) = self.tree.info(ino)?.entry() {
            // Or the other inode may be lent before the kernel comes to it.
            self.spared.objects().insert(entry.id.clone(), Instant::now());
        }
        self.tree.renew(ino)?;
        Err(Error::Stale)
    }

    /// The object of a file, if nothing else shows through.
    fn lendable(&self, ino: Ino, state: &State) -> Option<Arc<Entry>> {
        if state.is_aside || state.is_journaled() {
            return None;
        }
        self.tree.info(ino).ok()?.entry().cloned()
    }
}
