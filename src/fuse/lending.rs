//! Lending as FUSE does it: passthrough, by an ID that the kernel gives a file on disk. The replies
//! to who opened a file are here, since they tell the kernel whether it goes on by itself.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fuser::{
    BackingId, FileAttr, FileHandle, FopenFlags, InitFlags, KernelConfig, ReplyCreate, ReplyOpen,
};

use tokio::runtime::Handle;

use super::GENERATION;
use super::convert::{Refuse, ino, open_flags};
use super::waiting::answer;
use crate::fs::{Backing, Error, Fs, Opened, Result};

/// Open files may be passed through to a disk, but not to another stack of file systems.
const STACK_DEPTH: u32 = 1;

/// Lets the kernel read open files by itself, where it can.
#[derive(Clone)]
pub(super) struct Lending {
    fs: Arc<Fs>,
    runtime: Handle,
    /// Whether the kernel can, as far as is known.
    is_possible: Arc<AtomicBool>,
}

impl Lending {
    pub(super) fn new(fs: Arc<Fs>, runtime: Handle) -> Self {
        Self { fs, runtime, is_possible: Arc::default() }
    }

    /// Asks for it, of a kernel that has it (6.9).
    pub(super) fn negotiate(&self, config: &mut KernelConfig) {
        let passthrough = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH);
        let is_possible = passthrough.is_ok() && config.set_max_stack_depth(STACK_DEPTH).is_ok();
        self.is_possible.store(is_possible, Ordering::Relaxed);
    }

    /// Answers who opened a file.
    pub(super) fn open(&self, reply: ReplyOpen, opened: Opened, read_only: bool) {
        let handle = FileHandle(opened.handle);
        match self.lend(opened, |file| reply.open_backing(file)) {
            Ok(Some(backing)) => reply.opened_passthrough(handle, lent_flags(read_only), &backing),
            Ok(None) => reply.opened(handle, open_flags(opened, read_only)),
            Err(error) => self.refuse(reply, opened, error),
        }
    }

    /// Answers who made a file, or found it there, and opened it.
    pub(super) fn create(
        &self, reply: ReplyCreate, ttl: &Duration, attr: &FileAttr, opened: Opened,
    ) {
        let handle = FileHandle(opened.handle);
        match self.lend(opened, |file| reply.open_backing(file)) {
            Ok(Some(backing)) => {
                let flags = lent_flags(false);
                reply.created_passthrough(ttl, attr, GENERATION, handle, flags, &backing);
            }
            Ok(None) => reply.created(ttl, attr, GENERATION, handle, open_flags(opened, false)),
            Err(error) => {
                // The kernel counts an inode with its answer, and gets none.
                self.fs.forget(ino(attr.ino), 1);
                self.refuse(reply, opened, error);
            }
        }
    }

    /// The ID by which the kernel is to read the file by itself, if it is. `register` gets a file such
    /// an ID; where that is refused, as to all but root, no other is tried.
    fn lend(
        &self, opened: Opened, register: impl FnOnce(&File) -> io::Result<BackingId>,
    ) -> Result<Option<Arc<BackingId>>> {
        if !self.is_possible.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let backing = self.fs.lend(opened.handle, |file| match register(file) {
            Ok(id) => Some(Arc::new(id) as Backing),
            Err(error) => {
                tracing::info!("the kernel does not read by itself: {error}");
                self.is_possible.store(false, Ordering::Relaxed);
                None
            }
        })?;
        Ok(backing.and_then(|backing| backing.downcast().ok()))
    }

    /// The kernel never hears of the handle, and so does not give it back.
    fn refuse(&self, reply: impl Refuse, opened: Opened, error: Error) {
        let fs = self.fs.clone();
        self.runtime.spawn(async move { fs.release(opened.handle).await });
        answer::<_, ()>("open", reply, Err(error), |_, ()| ());
    }
}

/// The kernel keeps no pages of its own of such a file.
fn lent_flags(read_only: bool) -> FopenFlags {
    if read_only { FopenFlags::FOPEN_NOFLUSH } else { FopenFlags::empty() }
}
