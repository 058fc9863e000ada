//! The disk that a folder lies on: how large it is, how much of it is free, what a file takes of it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsRawFd;
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

/// Has the disk reserve room for these bytes of a file, whose length stays.
pub fn reserve(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    allocate(file, 0, bytes)
}

/// Has the disk take back the room of these bytes of a file, which then are zeros.
pub fn punch(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    allocate(file, libc::FALLOC_FL_PUNCH_HOLE, bytes)
}

fn allocate(file: &File, how: i32, bytes: &Range<u64>) -> io::Result<()> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset = i64::try_from(bytes.start).map_err(too_large)?;
    let len = i64::try_from(bytes.end - bytes.start).map_err(too_large)?;
    let how = how | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the call takes numbers, and a descriptor that is open as long as `file` is.
    match unsafe { libc::fallocate(file.as_raw_fd(), how, offset, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
