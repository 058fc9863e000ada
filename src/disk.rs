//! The disk that a folder lies on: how large it is, how much of it is free, what a file takes of it,
//! and who gives way when it is full.

mod reserve;
mod room;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, seek};

pub use room::{Room, Spare, is_full};

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
    let figures = rustix::fs::statvfs(path)?;
    Ok(Space {
        total: figures.f_blocks * figures.f_frsize,
        free: figures.f_bavail * figures.f_frsize,
    })
}

/// Has the disk reserve room for these bytes of a file, whose length stays.
pub fn reserve(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    allocate(file, FallocateFlags::KEEP_SIZE, bytes)
}

/// The same, and lengthens the file to the end of them.
fn prepare(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    allocate(file, FallocateFlags::empty(), bytes)
}

/// Has the disk take back what it reserved of these bytes of a file of `len`, and nothing was written
/// to: what some disks leave when they fail to reserve all. What cannot be taken back stays.
pub fn release(file: &File, bytes: &Range<u64>, len: u64) {
    let mut at = bytes.start;
    let end = bytes.end.min(len);
    while let Some(hole) = next_hole(file, at, end) {
        at = hole.end;
        let _stays = punch(file, &hole);
    }
    // What lies behind the end is taken back by a cut, even one that cuts nothing.
    let _stays = file.set_len(len);
}

/// The first part from `at` to `end` that nothing was written to.
fn next_hole(file: &File, at: u64, end: u64) -> Option<Range<u64>> {
    // No file of here is read or written where its offset is.
    let hole = seek(file, SeekFrom::Hole(at)).ok().filter(|hole| at < end && *hole < end)?;
    Some(hole..seek(file, SeekFrom::Data(hole)).unwrap_or(end).min(end))
}

/// Has the disk take back the room of these bytes of a file, which then are zeros.
pub fn punch(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    allocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, bytes)
}

fn allocate(file: &File, how: FallocateFlags, bytes: &Range<u64>) -> io::Result<()> {
    if i64::try_from(bytes.end).is_err() {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(rustix::fs::fallocate(file, how, bytes.start, bytes.end - bytes.start)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn what_was_reserved_and_not_written_to_is_given_back_and_nothing_else() {
        const MIB: u64 = 1 << 20;
        let file = tempfile::tempfile().expect("a file");
        let write = |at| file.write_all_at(b"written", at).expect("there is room");
        write(0);
        write(MIB);
        file.set_len(2 * MIB).expect("lengthened");
        reserve(&file, &(0..8 * MIB)).expect("there is room");
        let allotted = || file.metadata().expect("told").blocks() * 512;
        assert!(allotted() >= 8 * MIB);
        release(&file, &(0..8 * MIB), 2 * MIB);
        assert!(allotted() <= MIB / 2, "{} bytes are left", allotted());
        assert_eq!(file.metadata().expect("told").len(), 2 * MIB);
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, MIB).expect("read");
        assert_eq!(&bytes, b"written\0");
    }
}
