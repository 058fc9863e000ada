//! Writes into a file: to its staged bytes on the local disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle::FileHandle;
use super::{Error, Fs, Result};
use crate::aside::detach;
use crate::staging::StagedFile;

impl Fs {
    /// Writes to the local disk; `None` if something has to be recorded before.
    pub fn write_here(&self, handle: u64, offset: u64, data: &[u8]) -> Option<Result<()>> {
        let file = match self.file_to_write(handle) {
            Ok(file) => file,
            Err(error) => return Some(Err(error)),
        };
        let staged = self.staged_here(&file.local)?;
        Some(self.write_staged(&file, staged, offset, data))
    }

    /// As `write_here`, and records what has to be.
    pub async fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<()> {
        let file = self.file_to_write(handle)?;
        self.write_staged(&file, self.stage(&file.local)?, offset, data)
    }

    /// An open file that may be written to.
    pub(super) fn writable_file(&self, handle: u64) -> Result<Arc<FileHandle>> {
        let file = self.handles.file(handle)?;
        if file.writable { Ok(file) } else { Err(Error::BadHandle) }
    }

    /// The same for a write.
    fn file_to_write(&self, handle: u64) -> Result<Arc<FileHandle>> {
        let file = self.writable_file(handle)?;
        match file.is_rolled_back.load(Ordering::Relaxed) {
            // What would follow here is gone.
            true => Err(io::Error::from_raw_os_error(libc::ENOSPC).into()),
            false => Ok(file),
        }
    }

    fn write_staged(
        &self, file: &FileHandle, staged: Arc<StagedFile>, offset: u64, data: &[u8],
    ) -> Result<()> {
        file.wrote.store(true, Ordering::Relaxed);
        self.state.room().ask(data.len() as u64, || staged.write_at(offset, data))?;
        self.follow(staged);
        // Again, since an upload may have ended between the two.
        self.tree.set_staged(file.local.ino, true);
        self.written(file.local.ino);
        Ok(())
    }

    /// Has what is written hashed behind the writer.
    fn follow(&self, staged: Arc<StagedFile>) {
        if !staged.wants_follower() {
            return;
        }
        detach(&self.runtime, move || {
            if let Err(error) = staged.follow() {
                // The sum reads it again, and tells.
                tracing::warn!("hashing what is written: {error}");
            }
        });
    }
}
