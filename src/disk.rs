//! The disk that a folder lies on: how large it is, and how much of it is free.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The room on a disk, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Of all of it.
    pub total: u64,
    /// Free for who asks.
    pub free: u64,
}

/// The room on the disk that `path` lies on.
pub fn space(path: &Path) -> io::Result<Space> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut figures = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is a string ended by NUL, and `figures` has room for what the call writes.
    if unsafe { libc::statvfs(path.as_ptr(), figures.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has written all of it.
    let figures = unsafe { figures.assume_init() };
    Ok(Space {
        total: figures.f_blocks * figures.f_frsize,
        free: figures.f_bavail * figures.f_frsize,
    })
}
