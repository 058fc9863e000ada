//! A snapshot: the content of a control file at one moment, in memory while it is short.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use tempfile::{SpooledData, SpooledTempFile, spooled_tempfile_in};

use super::SLOW;
use super::node::Node;

/// What is longer is kept in a file without a name, in bytes.
const IN_MEMORY: usize = 1 << 20;

/// The bytes of a control file.
#[derive(Debug)]
pub(in crate::fs) enum Snapshot {
    Memory(Vec<u8>),
    File { file: File, size: u64 },
}

impl Snapshot {
    /// What is written by `write`; `dir` is where there is room.
    pub(super) fn written(
        dir: &Path, write: impl FnOnce(&mut SpooledTempFile) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut spool = spooled_tempfile_in(IN_MEMORY, dir);
        write(&mut spool)?;
        spool.flush()?;
        match spool.into_inner() {
            SpooledData::InMemory(bytes) => Ok(Self::Memory(bytes.into_inner())),
            SpooledData::OnDisk(file) => Self::of(file),
        }
    }

    /// The content of a file.
    pub(super) fn of(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self::File { file, size })
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Up to `len` bytes from `offset`, fewer only at the end.
    pub(in crate::fs) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let left = self.size().saturating_sub(offset);
        let len = len.min(usize::try_from(left).unwrap_or(usize::MAX));
        match self {
            Self::Memory(bytes) => {
                // Below the length, which is a usize.
                let from = bytes.len() - left as usize;
                Ok(bytes[from..from + len].to_vec())
            }
            Self::File { file, .. } => {
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes)
            }
        }
    }
}

/// The last snapshot of each control file, while it tells the size.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<HashMap<Node, Last>>);

struct Last {
    at: Instant,
    size: u64,
}

impl Snapshots {
    fn last(&self) -> MutexGuard<'_, HashMap<Node, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of the last one, if it is not older than that.
    pub(super) fn size(&self, node: &Node, fresh: Duration) -> Option<u64> {
        let last = self.last();
        last.get(node).filter(|last| last.at.elapsed() <= fresh).map(|last| last.size)
    }

    /// Notes the size of a new one.
    pub(super) fn keep(&self, node: &Node, snapshot: Snapshot) -> Arc<Snapshot> {
        let mut last = self.last();
        last.retain(|_, last| last.at.elapsed() <= SLOW);
        last.insert(node.clone(), Last { at: Instant::now(), size: snapshot.size() });
        Arc::new(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_in_memory_and_on_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        for size in [10, IN_MEMORY + 10] {
            let bytes: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            let snapshot =
                Snapshot::written(dir.path(), |out| out.write_all(&bytes)).expect("room");
            assert_eq!(snapshot.size(), size as u64);
            assert_eq!(snapshot.read(4, 3).expect("read"), bytes[4..7]);
            assert_eq!(snapshot.read(size as u64 - 2, 9).expect("read"), bytes[size - 2..]);
            assert!(snapshot.read(size as u64 + 1, 9).expect("read").is_empty());
        }
    }
}
