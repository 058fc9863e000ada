//! A carried file system: what this program knows and no state file tells, on its way to the program
//! that takes its place under the same mount.
//!
//! It is taken down when nothing is under way that changes it: the caller holds requests back, and what
//! goes on behind callers' backs waits. What the state file tells is left to it, as after a crash.

mod file;
mod open;

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use tokio::sync::SemaphorePermit;

use super::control::Node;
use super::handle::{FileHandle, Handle};
use super::lend::Backing;
use super::{Fs, Result, STRUCTURE, turn};
use crate::pending;
use crate::state::RowId;
use crate::tree;
use crate::types::{Account, Ino};
use file::CarriedFile;
use open::CarriedHandle;

/// Why the file system cannot be carried now.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Busy {
    #[error("{0:?} is being worked on")]
    InUse(String),
    #[error("wrong bytes came of {0:?}, which a program has open")]
    Refuted(String),
    #[error("a folder that a program reads cannot be listed: {0}")]
    Listing(Box<super::Error>),
}

/// While this is held nothing goes on behind the callers' backs.
pub struct Unattended<'a>(SemaphorePermit<'a>);

/// While this is held nothing changes what is carried but what callers ask for.
pub struct Still<'a> {
    _permits: [SemaphorePermit<'a>; 4],
}

/// All that is carried, beside the tree.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// The account's figures, as far as they are known.
    pub account: Option<Account>,
    /// Files of which the kernel may have pages.
    known: Vec<Ino>,
    files: Vec<CarriedFile>,
    handles: Vec<(u64, CarriedHandle)>,
    last_handle: u64,
    control: Vec<Node>,
}

impl Carried {
    /// Rows of the state file that are of files here.
    fn rows(&self) -> HashSet<RowId> {
        self.files.iter().flat_map(CarriedFile::rows).collect()
    }
}

impl Fs {
    /// Waits until nothing goes on behind the callers' backs, and lets nothing of that begin. Uploads are
    /// waited for to their end.
    pub async fn come_to_rest(&self) -> Unattended<'_> {
        let all = self.unattended.acquire_many(STRUCTURE).await;
        Unattended(all.expect("the semaphores are never closed"))
    }

    /// Waits until nothing is changed at all. For who holds requests back: they would wait for this.
    pub async fn come_to_a_stop<'a>(&'a self, unattended: Unattended<'a>) -> Still<'a> {
        let renaming = turn(&self.renaming).await;
        let structure = self.structure.acquire_many(STRUCTURE).await;
        let structure = structure.expect("the semaphores are never closed");
        let clearing = turn(&self.clearing).await;
        Still { _permits: [unattended.0, renaming, structure, clearing] }
    }

    /// Waits until the names are known of each folder that is read while it is being listed.
    pub async fn know_names(&self) -> Result<(), Busy> {
        for (number, handle) in self.handles.all().0 {
            if let Handle::Folder(_) = handle {
                let known = self.readdir(number, usize::MAX).await;
                known.map_err(|error| Busy::Listing(Box::new(error)))?;
            }
        }
        Ok(())
    }

    /// All that the next program has to know, while requests are held back. The `descriptors` are those
    /// that it must get.
    pub fn carry(
        &self, _still: &Still<'_>, descriptors: &mut Vec<RawFd>,
    ) -> Result<(tree::Carried, Carried), Busy> {
        let mut files = Vec::new();
        for local in self.locals.all() {
            let path = || self.tree.path(local.ino);
            let entry = self.tree.info(local.ino).ok().and_then(|info| info.entry().cloned());
            let state = local.state();
            if state.users > 0 || state.uploading {
                drop(state);
                return Err(Busy::InUse(path()));
            }
            if state.opens > 0 && entry.is_some_and(|entry| self.reader.is_refuted(&entry.id)) {
                drop(state);
                return Err(Busy::Refuted(path()));
            }
            let place = state.held.as_ref().and_then(|object| self.bed.place_of_held(object));
            files.push(CarriedFile::of(local.ino, &state, place, descriptors));
        }
        let (open, last_handle) = self.handles.all();
        let handle = |(number, handle)| (number, CarriedHandle::of(handle, descriptors));
        let handles = open.into_iter().map(handle).collect();
        let tree = self.tree.carry();
        let carried = Carried {
            account: self.account.known(),
            known: tree.files().collect(),
            files,
            handles,
            last_handle,
            control: self.control.named(),
        };
        Ok((tree, carried))
    }

    /// Goes on with what was carried, over the tree that was. `backing` makes something of a number by
    /// which the kernel knows what is lent.
    pub fn resume(
        self: &Arc<Self>, carried: Carried, backing: impl Fn(u32) -> Arc<Backing>,
    ) -> Result<()> {
        self.is_resumed.store(true, Ordering::Relaxed);
        let rows = carried.rows();
        pending::take_over(&self.state, &self.options.staging, &rows)?;
        self.take_over(&rows)?;
        self.inherited().extend(carried.known);
        self.control.name_again(&carried.control);
        for file in carried.files {
            self.resume_file(file, &backing)?;
        }
        let mut handles = Vec::new();
        for (number, handle) in carried.handles {
            handles.push((number, handle.resume(&self.locals)?));
        }
        let is_let_go = |handle: &Handle| matches!(handle, Handle::File(file) if let_go(file));
        let let_go: Vec<u64> =
            handles.iter().filter(|(_, it)| is_let_go(it)).map(|(number, _)| *number).collect();
        self.handles.resume(handles, carried.last_handle);
        for number in let_go {
            let fs = self.clone();
            self.runtime.spawn(async move { fs.release(number).await });
        }
        Ok(())
    }
}

fn let_go(file: &FileHandle) -> bool {
    file.is_let_go.load(Ordering::Relaxed)
}
