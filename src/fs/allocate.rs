//! Preallocation: room for what will be written, and holes in what was.

use std::io;
use std::ops::Range;

use super::{Error, Fs, Result};
use crate::disk::is_full;
use crate::staging::StagedFile;

/// Zeros take the place of bytes, inside the file.
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
/// The same, and the file is lengthened by what lies beyond its end.
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
const ZERO_INSIDE: i32 = ZERO | libc::FALLOC_FL_KEEP_SIZE;

impl Fs {
    /// What `fallocate` asks for by `mode`: room on the local disk, where the bytes are staged.
    pub async fn fallocate(&self, handle: u64, range: Range<u64>, mode: i32) -> Result<()> {
        let file = self.writable_file(handle)?;
        if i64::try_from(range.end).is_err() {
            return Err(Error::TooLarge);
        }
        let staged = self.stage(&file.local)?;
        match mode {
            0 | libc::FALLOC_FL_KEEP_SIZE => self.reserve(&staged, &range)?,
            PUNCH | ZERO | ZERO_INSIDE => {
                self.state.room().insist(is_full, || staged.zero(range.clone()))?;
            }
            _ => return Err(Error::NotSupported),
        }
        if mode & libc::FALLOC_FL_KEEP_SIZE == 0 && staged.size() < range.end {
            self.cut(&staged, range.end)?;
        }
        self.mark_written(handle);
        // Again, since an upload may have ended between the two.
        self.tree.set_staged(file.local.ino, true);
        self.touch(file.local.ino);
        Ok(())
    }

    /// What cannot be had is not tried: nothing gives way for it.
    fn reserve(&self, staged: &StagedFile, range: &Range<u64>) -> Result<()> {
        let room = self.state.room();
        let bytes = (range.end - range.start).saturating_sub(staged.allotted()?);
        if !room.may_hold(bytes) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC).into());
        }
        Ok(room.ask(bytes, || staged.reserve(range))?)
    }
}
