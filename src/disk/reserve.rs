//! The reserve: a file that takes up room on a disk for nothing, so that there is some left for what
//! must not fail when the disk is full.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Space, prepare, space};

/// The name of the file.
const FILE: &str = "reserve";

/// Bytes of it, at most; on a small disk that share of it.
const MOST: u64 = 4 << 20;
const SHARE: u64 = 16;

/// Of its bytes, what is given up at a time, and no less than this.
const STEPS: u64 = 8;
const LEAST: u64 = 64 << 10;

/// Bytes that a disk allots at a time.
const PAGE: u64 = 4096;

/// The reserve in one folder. Processes may share it.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    /// Bytes of it when it is whole.
    size: u64,
}

impl Reserve {
    /// The reserve of `dir`, for a disk of this size. Nothing is done yet.
    pub(super) fn of(dir: &Path, space: Space) -> Self {
        let size = (space.total / SHARE).min(MOST) / PAGE * PAGE;
        Self { path: dir.join(FILE), size }
    }

    /// Bytes of it when it is whole.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of it now. One that was copied or tampered with may have holes.
    fn held(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len().min(file.blocks() * 512))
    }

    /// Whether nothing of it is given up.
    pub(super) fn is_whole(&self) -> bool {
        self.held() >= self.size
    }

    /// Makes it whole, or leaves it as it is.
    pub(super) fn fill(&self) -> io::Result<()> {
        let held = self.held();
        if held >= self.size {
            return Ok(());
        }
        // Trying would take from others, for a moment, what there is.
        if space(self.path.parent().unwrap_or(&self.path))?.free < self.size - held {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let file = self.open()?;
        let filled = match prepare(&file, &(0..self.size)) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                write_noise(&file, held, self.size)
            }
            prepared => prepared,
        };
        filled.inspect_err(|_| {
            // What it got is for others; if it cannot be cut, so much more is reserved.
            let _cut = file.set_len(held);
        })
    }

    /// Gives some of it up. Whether there was any.
    pub(super) fn give(&self) -> bool {
        let held = self.held();
        let rest = held.saturating_sub((self.size / STEPS).max(LEAST));
        held > 0 && self.open().and_then(|file| file.set_len(rest)).is_ok()
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).open(&self.path)
    }
}

/// Writes bytes that no disk makes less of, where room cannot be reserved without.
fn write_noise(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for offset in (from..to).step_by(PAGE as usize) {
        let page: Vec<u8> = (0..PAGE / 8)
            .flat_map(|_| {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word.to_ne_bytes()
            })
            .collect();
        file.write_all_at(&page, offset)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_by_and_by_is_made_whole_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let reserve = Reserve::of(dir.path(), Space { total: 1 << 40, free: 0 });
        assert!(!reserve.is_whole());
        assert!(!reserve.give(), "there is none yet");
        reserve.fill().expect("there is room for 4 MiB");
        assert!(reserve.is_whole());
        assert_eq!((1..).find(|_| !reserve.give()), Some(STEPS + 1));
        assert_eq!(reserve.held(), 0);
        reserve.fill().expect("there is room for 4 MiB");
        assert!(reserve.is_whole());
    }

    #[test]
    fn noise_takes_the_room_where_it_cannot_be_reserved() {
        let dir = tempfile::tempdir().expect("a folder");
        let reserve = Reserve::of(dir.path(), Space { total: 1 << 20, free: 0 });
        let file = reserve.open().expect("made");
        write_noise(&file, 0, reserve.size()).expect("written");
        assert_eq!(reserve.size(), 64 << 10);
        file.sync_all().expect("synced");
        assert!(reserve.is_whole());
    }
}
