//! The disk under a staged file, which may fail to keep what was written.
//!
//! The kernel tells of that once: it takes the pages for clean then, gives wrong bytes for them after
//! it has dropped them, and the next sync succeeds. So a failure is remembered here, and whoever is to
//! answer for the bytes is told of it, until the file is cut to nothing.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a disk did with the bytes of one open file.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// One sync at a time: the kernel tells one of two of the failure.
    syncing: Mutex<()>,
    /// The number of the error by which bytes were lost; 0: none were.
    lost: AtomicI32,
}

impl Disk {
    /// Does a sync, unless one failed before.
    pub(super) fn keeps(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_kept()?;
        sync().inspect_err(|error| {
            self.lost.store(error.raw_os_error().unwrap_or(libc::EIO), Ordering::Relaxed);
        })
    }

    /// The error is that of the sync that failed.
    pub(super) fn has_kept(&self) -> io::Result<()> {
        match self.lost.load(Ordering::Relaxed) {
            0 => Ok(()),
            lost => Err(io::Error::from_raw_os_error(lost)),
        }
    }

    /// No byte of before is in the file any more.
    pub(super) fn forget(&self) {
        self.lost.store(0, Ordering::Relaxed);
    }
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
}
