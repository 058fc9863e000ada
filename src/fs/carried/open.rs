//! A carried handle: what the kernel holds for an open file or folder.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::fs::control::CarriedSnapshot;
use crate::fs::dir::DirEntry;
use crate::fs::handle::{FileHandle, FolderHandle, Handle, Names};
use crate::fs::local::LocalFiles;
use crate::fs::{Error, Result};
use crate::types::Ino;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum CarriedHandle {
    File {
        ino: Ino,
        writable: bool,
        flags: i32,
        opener: Option<u32>,
        wrote: bool,
        is_let_go: bool,
    },
    /// Its names: the inode, the name, and whether it is a folder.
    Folder(Ino, Vec<(Ino, String, bool)>),
    Snapshot(CarriedSnapshot),
}

impl CarriedHandle {
    pub(super) fn of(handle: Handle, descriptors: &mut Vec<RawFd>) -> Self {
        match handle {
            Handle::File(file) => Self::File {
                ino: file.local.ino,
                writable: file.writable,
                flags: file.flags,
                opener: file.opener,
                wrote: file.wrote.load(Ordering::Relaxed),
                is_let_go: file.is_let_go.load(Ordering::Relaxed),
            },
            Handle::Folder(folder) => {
                let names = folder.names.lock().unwrap_or_else(PoisonError::into_inner);
                let names = names.known.iter();
                let name = |it: &DirEntry| (it.ino, it.name.to_string(), it.is_folder);
                Self::Folder(folder.ino, names.map(name).collect())
            }
            Handle::Snapshot(snapshot) => Self::Snapshot(snapshot.carry(descriptors)),
        }
    }

    /// The handle that was carried. The `locals` are there already.
    pub(super) fn resume(self, locals: &LocalFiles) -> Result<Handle> {
        Ok(match self {
            Self::File { ino, writable, flags, opener, wrote, is_let_go } => {
                let local = locals.get(ino).ok_or(Error::BadHandle)?;
                let (wrote, is_let_go) = (AtomicBool::new(wrote), AtomicBool::new(is_let_go));
                let file = FileHandle { local, writable, flags, opener, wrote, is_let_go };
                Handle::File(Arc::new(file))
            }
            Self::Folder(ino, names) => {
                let name = |(ino, name, is_folder): (Ino, String, bool)| DirEntry {
                    ino,
                    name: name.into(),
                    is_folder,
                };
                let known = Arc::new(names.into_iter().map(name).collect());
                let names = Mutex::new(Names { known, coming: None });
                Handle::Folder(Arc::new(FolderHandle { ino, names }))
            }
            Self::Snapshot(snapshot) => {
                let snapshot = snapshot.resume().map_err(Error::Cache)?;
                Handle::Snapshot(Arc::new(snapshot))
            }
        })
    }
}
