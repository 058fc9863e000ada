//! Room on the disk of an account's folder, and who has it when there is little.
//!
//! Copies of what the service has too give way to everything (`Spare`). What must not fail, as
//! recording a removal, which makes room, may have the reserve as well. What can be refused, as a
//! write, is refused until the reserve is whole again.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::reserve::Reserve;
use super::{Space, space};

/// Bytes under which a disk counts as full to who is not told why something failed.
const LITTLE: u64 = 64 << 10;

/// What may go from the disk at any time.
pub trait Spare: Debug + Send + Sync {
    /// The folder in which it is.
    fn dir(&self) -> &Path;

    /// Bytes that could go.
    fn bytes(&self) -> u64;

    /// Has about so many bytes go. Whether any did.
    fn give_way(&self, bytes: u64) -> bool;
}

/// The room on the disk of one folder.
#[derive(Debug)]
pub struct Room {
    dir: PathBuf,
    reserve: Reserve,
    spare: OnceLock<Arc<dyn Spare>>,
}

impl Room {
    /// The room on the disk of `dir`, which is there. Nothing is reserved before something is done.
    pub fn of(dir: &Path) -> Self {
        let space = space(dir).unwrap_or(Space { total: 0, free: 0 });
        Self { dir: dir.to_owned(), reserve: Reserve::of(dir, space), spare: OnceLock::new() }
    }

    /// Has this give way from now on, if it is on the same disk.
    pub fn add_spare(&self, spare: Arc<dyn Spare>) {
        let disk = |dir: &Path| fs::metadata(dir).map(|metadata| metadata.dev()).ok();
        if disk(&self.dir).is_some_and(|ours| disk(spare.dir()) == Some(ours)) {
            // There is one cache.
            let _first = self.spare.set(spare);
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes that are reserved for what must not fail.
    pub fn reserved(&self) -> u64 {
        self.reserve.size()
    }

    /// Does what needs about so many bytes and can be refused.
    pub fn ask<T>(&self, bytes: u64, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.hold()?;
        loop {
            match work() {
                Err(error) if is_full(&error) && self.make_way(bytes) => {}
                done => return done,
            }
        }
    }

    /// Fails if the disk is full, or all but full.
    pub fn hold(&self) -> io::Result<()> {
        while !self.reserve.is_whole() {
            match self.reserve.fill() {
                Err(error) if is_full(&error) && self.make_way(self.reserve.size()) => {}
                Err(error) if is_full(&error) => return Err(error),
                // What is wrong with the disk is told to who uses it.
                Ok(()) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// Does what must not fail for want of room. `is_short` tells whether it did.
    pub fn insist<T, E>(
        &self, is_short: impl Fn(&E) -> bool, mut work: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            match work() {
                Err(error) if is_short(&error) && self.give() => {}
                done => return done,
            }
        }
    }

    fn give(&self) -> bool {
        self.make_way(self.reserve.size()) || self.reserve.give()
    }

    /// Takes back what was given up, if there is room again.
    pub fn restore(&self) {
        if !self.reserve.is_whole()
            && let Err(error) = self.reserve.fill()
        {
            tracing::debug!("the reserve on the disk of {}: {error}", self.dir.display());
        }
    }

    fn make_way(&self, bytes: u64) -> bool {
        self.spare.get().is_some_and(|spare| spare.give_way(bytes))
    }

    /// Whether there may be room for so many bytes: not even all that is spare would do, if not.
    pub fn may_hold(&self, bytes: u64) -> bool {
        let spare = self.spare.get().map_or(0, |spare| spare.bytes());
        space(&self.dir).is_ok_and(|space| space.free.saturating_add(spare) >= bytes)
    }

    /// Whether next to nothing is free.
    pub fn is_used_up(&self) -> bool {
        space(&self.dir).is_ok_and(|space| space.free < LITTLE)
    }
}

/// Whether the disk, or what the user may have of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
