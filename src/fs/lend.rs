//! Lending: the kernel reads an open file, or writes a new one, by itself on the local disk (FUSE
//! passthrough).
//!
//! A file is lent to who opens it for reading while all of its object is in the cache and nothing was
//! written over it here; and to who makes it, and writes it (`lent_staged`). The first open decides
//! for all until the last close, since the kernel mixes no two ways in one inode. So whoever comes to
//! change an object that is lent finds another inode under its name: who had it open before goes on
//! reading what it was, and who opens it later gets what it is.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lent_staged::LentStaged;
use super::local::State;
use super::{Error, Fs, Result};
use crate::cache::Whole;
use crate::types::{Entry, FileId, Ino};

/// What the kernel knows the lent bytes by: a number, which is given back when nobody has it any more.
pub struct Backing {
    number: u32,
    give_back: Box<dyn Fn(u32) + Send + Sync>,
}

impl Backing {
    /// A number of the kernel's, and how it is given back.
    pub fn new(number: u32, give_back: impl Fn(u32) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { number, give_back: Box::new(give_back) })
    }

    /// The number.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        (self.give_back)(self.number);
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backing").field(&self.number).finish()
    }
}

/// How long it is waited for that a close is told, between looks, in milliseconds.
const PAUSES: [u64; 6] = [1, 2, 5, 10, 20, 40];

/// How long an object is not lent that somebody is about to change.
const SPARED: Duration = Duration::from_secs(1);

/// A file that is lent.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) what: What,
    pub(super) backing: Arc<Backing>,
}

/// The bytes that are lent.
#[derive(Debug)]
pub(super) enum What {
    /// Those of an object.
    Object {
        id: FileId,
        /// Held for as long as the kernel reads it: the cache then neither mends it nor frees parts of
        /// it. `None`: it is another file by now that the cache has of it.
        _whole: Option<Whole>,
    },
    /// Those that are staged here.
    Staged(LentStaged),
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
    /// What the kernel is to use for a file that was just opened, if it is to do without this program.
    /// `register` makes a file on the local disk known to it, if that can be. The error is that it was
    /// lent to others since it was looked at, and that this handle cannot have the same: the kernel
    /// must never write to an object that is lent.
    pub fn lend(
        &self, handle: u64, register: impl FnOnce(&File) -> Option<Arc<Backing>>,
    ) -> Result<Option<Arc<Backing>>> {
        // A control file has no bytes on the disk.
        let Ok(file) = self.handles.file(handle) else { return Ok(None) };
        let mut state = file.local.state();
        if let Some(lent) = &state.lent {
            let backing = lent.backing.clone();
            drop(state);
            self.part(file.local.ino, file.writable)?;
            self.lend_too(&file)?;
            return Ok(Some(backing));
        }
        // Who came first, and still has it open, goes on by calls.
        if state.opens > 1 {
            return Ok(None);
        }
        if file.writable {
            return self.lend_staged(&mut state, &file, register);
        }
        let object = self.lendable(file.local.ino, &state);
        let Some(object) = object.filter(|it| !self.spared.objects().contains_key(&it.id)) else {
            return Ok(None);
        };
        let Some(whole) = self.reader.whole(&object) else { return Ok(None) };
        let backing = register(whole.file());
        let what = What::Object { id: object.id.clone(), _whole: Some(whole) };
        state.lent = backing.clone().map(|backing| Lent { what, backing });
        Ok(backing)
    }

    /// Whether the file is lent, and would not be what is lent any more if it is opened now, or
    /// changed.
    pub fn is_lent_otherwise(&self, ino: Ino, is_change: bool) -> bool {
        let Some(local) = self.locals.get(ino) else { return false };
        let state = local.state();
        let is_otherwise = match state.lent.as_ref().map(|lent| &lent.what) {
            None => false,
            Some(What::Object { id, .. }) => {
                let object = self.lendable(ino, &state).filter(|_| !is_change);
                object.is_none_or(|it| it.id != *id)
            }
            Some(What::Staged(_)) => state.lent_staged().is_none(),
        };
        // What was taken aside since has the same bytes, until somebody writes over them.
        let is_same = state.is_aside && state.dirty().is_none() && !is_change;
        is_otherwise && !is_same
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
        let info = self.tree.info(ino)?;
        // What was taken aside since is this inode's alone.
        let entry = info.entry().ok_or(Error::Invalid("who reads it has it from another name"))?;
        // Or the other inode may be lent before the kernel comes to it.
        self.spared.objects().insert(entry.id.clone(), Instant::now());
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
