//! Lending as FUSE does it: passthrough, by an ID that the kernel gives a file on disk. The replies
//! to who opened a file are here, since they tell the kernel whether it goes on by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{FileAttr, FileHandle, FopenFlags, InitFlags, KernelConfig, ReplyCreate, ReplyOpen};

use tokio::runtime::Handle;

use super::GENERATION;
use super::convert::{Refuse, ino, open_flags};
use super::device::Device;
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
    /// There as soon as the session is.
    device: Arc<OnceLock<Arc<Device>>>,
}

impl Lending {
    pub(super) fn new(fs: Arc<Fs>, runtime: Handle) -> Self {
        Self { fs, runtime, is_possible: Arc::default(), device: Arc::default() }
    }

    /// Where the session's device is to be told.
    pub(super) fn device(&self) -> Arc<OnceLock<Arc<Device>>> {
        self.device.clone()
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
        match self.lend(opened) {
            Ok(Some(backing)) => {
                // SAFETY: the number stays the kernel's for as long as `backing` is there, and the
                // wrapping is undone before it could give it back.
                let number = unsafe { reply.wrap_backing(backing.number()) };
                reply.opened_passthrough(handle, lent_flags(read_only), &number);
                number.into_raw();
            }
            Ok(None) => reply.opened(handle, open_flags(opened, read_only)),
            Err(error) => self.refuse(reply, opened, error),
        }
    }

    /// Answers who made a file, or found it there, and opened it.
    pub(super) fn create(
        &self, reply: ReplyCreate, ttl: &Duration, attr: &FileAttr, opened: Opened,
    ) {
        let handle = FileHandle(opened.handle);
        match self.lend(opened) {
            Ok(Some(backing)) => {
                // SAFETY: as above.
                let number = unsafe { reply.wrap_backing(backing.number()) };
                let flags = lent_flags(false);
                reply.created_passthrough(ttl, attr, GENERATION, handle, flags, &number);
                number.into_raw();
            }
            Ok(None) => reply.created(ttl, attr, GENERATION, handle, open_flags(opened, false)),
            Err(error) => {
                // The kernel counts an inode with its answer, and gets none.
                self.fs.forget(ino(attr.ino), 1);
                self.refuse(reply, opened, error);
            }
        }
    }

    /// The number by which the kernel is to read the file by itself, if it is. Where a file is refused
    /// one, as to all but root, no other is tried.
    fn lend(&self, opened: Opened) -> Result<Option<Arc<Backing>>> {
        if !self.is_possible.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some(device) = self.device.get() else { return Ok(None) };
        self.fs.lend(opened.handle, |file| match device.register(file) {
            Ok(number) => Some(device.lent(number)),
            Err(error) => {
                tracing::info!("the kernel does not read by itself: {error}");
                self.is_possible.store(false, Ordering::Relaxed);
                None
            }
        })
    }

    /// The kernel never hears of the handle, and so does not give it back.
    fn refuse(&self, reply: impl Refuse, opened: Opened, error: Error) {
        self.fs.let_go(opened.handle);
        let fs = self.fs.clone();
        self.runtime.spawn(async move { fs.release(opened.handle).await });
        answer::<_, ()>("open", reply, Err(error), |_, ()| ());
    }
}

/// The kernel keeps no pages of its own of such a file.
fn lent_flags(read_only: bool) -> FopenFlags {
    if read_only { FopenFlags::FOPEN_NOFLUSH } else { FopenFlags::empty() }
}
