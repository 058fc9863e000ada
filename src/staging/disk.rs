//! The disk under a staged file, which may fail to keep what was written, or have no room for it.
//!
//! The kernel tells of that once: it takes the pages for clean then, gives wrong bytes for them after
//! it has dropped them, and the next sync succeeds. So a failure is remembered here, and whoever is to
//! answer for the bytes is told of it, until the file is cut to nothing. So is who wrote what the disk
//! refused to take, until that is written or cut off: half of a picture is none.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rangemap::RangeSet;

/// What a disk did with the bytes of one file.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// One sync at a time: the kernel tells one of two of the failure.
    syncing: Mutex<()>,
    /// The number of the error by which bytes were lost; 0: none were.
    lost: AtomicI32,
    /// Whether the file was changed since the last sync began.
    is_behind: AtomicBool,
    refused: Mutex<Refused>,
}

/// What was to be written and is not in the file.
#[derive(Debug, Default)]
struct Refused {
    bytes: RangeSet<u64>,
    /// The number of the error that was told last.
    error: i32,
}

impl Disk {
    /// Does a sync, unless one failed before.
    pub(super) fn keeps(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_kept()?;
        self.sync(sync)
    }

    /// Does a sync before the file is closed: what that comes to is told to who asks for the bytes.
    pub(super) fn catches_up(&self, sync: impl FnOnce() -> io::Result<()>) {
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let _told_later = self.sync(sync);
    }

    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.is_behind.store(false, Ordering::Relaxed);
        sync().inspect_err(|error| {
            self.lost.store(error.raw_os_error().unwrap_or(libc::EIO), Ordering::Relaxed);
        })
    }

    /// The error is that of the sync, or the write, that failed.
    pub(super) fn has_kept(&self) -> io::Result<()> {
        let refused = self.refused();
        let failed = match self.lost.load(Ordering::Relaxed) {
            0 if refused.bytes.is_empty() => return Ok(()),
            0 => refused.error,
            lost => lost,
        };
        Err(io::Error::from_raw_os_error(failed))
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These bytes could not be written.
    pub(super) fn refuses(&self, bytes: Range<u64>, error: &io::Error) {
        let mut refused = self.refused();
        refused.bytes.insert(bytes);
        refused.error = error.raw_os_error().unwrap_or(libc::EIO);
    }

    /// These bytes were written, or are not to be.
    pub(super) fn takes(&self, bytes: Range<u64>) {
        self.refused().bytes.remove(bytes);
    }

    /// Whether there is something that it refused to take.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused().bytes.is_empty()
    }

    /// The file was just changed.
    pub(super) fn changed(&self) {
        self.is_behind.store(true, Ordering::Relaxed);
    }

    /// Whether there may be bytes that no sync was asked for.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// No byte of before is in the file any more.
    pub(super) fn forget(&self) {
        self.lost.store(0, Ordering::Relaxed);
        self.refused().bytes.clear();
    }
}

/// Writes as much as there is room for: how much that was, and why it was not all.
pub(super) fn write_all(file: &File, data: &[u8], offset: u64) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < data.len() {
        match file.write_at(&data[written..], offset + written as u64) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_failed_once_fails_until_nothing_is_left_of_what_was_lost() {
        let disk = Disk::default();
        let errno = |result: io::Result<()>| result.err().and_then(|error| error.raw_os_error());
        assert_eq!(errno(disk.keeps(|| Ok(()))), None);
        let failed = || Err(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(errno(disk.keeps(failed)), Some(libc::ENOSPC));
        assert_eq!(errno(disk.keeps(|| Ok(()))), Some(libc::ENOSPC));
        assert_eq!(errno(disk.has_kept()), Some(libc::ENOSPC));
        disk.forget();
        assert_eq!(errno(disk.keeps(|| Ok(()))), None);
    }

    #[test]
    fn what_was_refused_is_told_until_all_of_it_is_written() {
        let disk = Disk::default();
        disk.refuses(10..20, &io::Error::from_raw_os_error(libc::ENOSPC));
        disk.refuses(20..30, &io::Error::from_raw_os_error(libc::EDQUOT));
        disk.takes(0..25);
        let told = disk.keeps(|| Ok(())).err().and_then(|error| error.raw_os_error());
        assert_eq!(told, Some(libc::EDQUOT));
        disk.takes(25..u64::MAX);
        assert!(disk.keeps(|| Ok(())).is_ok());
    }
}
