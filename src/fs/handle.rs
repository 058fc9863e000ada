//! Handles: what the kernel holds for each open file and folder.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::control::Snapshot;
use super::dir::DirEntry;
use super::local::LocalFile;
use super::{Error, Result};
use crate::tree::Coming;
use crate::types::Ino;

/// An open file.
#[derive(Debug)]
pub(super) struct FileHandle {
    pub(super) local: Arc<LocalFile>,
    pub(super) writable: bool,
    /// The thread group that opened it; `None` if it could not be told.
    pub(super) opener: Option<u32>,
    /// Whether bytes came through this handle since its last flush.
    pub(super) wrote: AtomicBool,
    /// Whether what was written through it is not there any more, for want of room.
    pub(super) is_rolled_back: AtomicBool,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct FolderHandle {
    pub(super) ino: Ino,
    /// Its names when the reading began, and those that came since.
    pub(super) names: Mutex<Names>,
}

/// The names of an open folder, in the order in which they are given.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) known: Arc<Vec<DirEntry>>,
    /// The rest of them, while the folder is being listed for the first time, and how many of those
    /// have come.
    pub(super) coming: Option<(Coming, usize)>,
}

/// What a handle is of.
#[derive(Debug)]
pub(super) enum Handle {
    File(Arc<FileHandle>),
    Folder(Arc<FolderHandle>),
    /// A control file as it was when it was opened.
    Snapshot(Arc<Snapshot>),
}

/// All open handles by number.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: Mutex<HashMap<u64, Handle>>,
    last: AtomicU64,
}

impl Handles {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, handle: Handle) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.open().insert(number, handle);
        number
    }

    pub(super) fn add_file(&self, file: FileHandle) -> u64 {
        self.add(Handle::File(Arc::new(file)))
    }

    pub(super) fn add_folder(&self, folder: FolderHandle) -> u64 {
        self.add(Handle::Folder(Arc::new(folder)))
    }

    pub(super) fn add_snapshot(&self, snapshot: Arc<Snapshot>) -> u64 {
        self.add(Handle::Snapshot(snapshot))
    }

    /// Open files and folders, control files too.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    pub(super) fn file(&self, number: u64) -> Result<Arc<FileHandle>> {
        match self.open().get(&number) {
            Some(Handle::File(file)) => Ok(file.clone()),
            _ => Err(Error::BadHandle),
        }
    }

    pub(super) fn folder(&self, number: u64) -> Result<Arc<FolderHandle>> {
        match self.open().get(&number) {
            Some(Handle::Folder(folder)) => Ok(folder.clone()),
            _ => Err(Error::BadHandle),
        }
    }

    pub(super) fn snapshot(&self, number: u64) -> Option<Arc<Snapshot>> {
        match self.open().get(&number) {
            Some(Handle::Snapshot(snapshot)) => Some(snapshot.clone()),
            _ => None,
        }
    }

    /// Closes the handle.
    pub(super) fn close(&self, number: u64) {
        self.open().remove(&number);
    }
}
