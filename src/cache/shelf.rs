//! The shelf: the folder of data files, which are open and how much each holds, and what goes when
//! the bound is reached.

use std::collections::HashMap;
use std::fs::{File, FileTimes, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lru::LruCache;

use super::data::DataFile;
use super::{Key, unless_gone};
use crate::config;
use crate::disk::{self, Spare};
use crate::process::share_of_open_files;
use crate::types::FileId;

/// Data files that are open, each with two descriptors; more only while they are in use. One in `PART`
/// of the descriptors that the process may have, within bounds.
const FEWEST_OPEN: usize = 8;
const MOST_OPEN: usize = 64;
const PART: u64 = 32;

/// The lock file: one process at a time has the folder.
const LOCK: &str = "lock";

/// Of a full cache, what is freed at a time: a sixteenth.
const FREED: u64 = 16;

/// Of the disk, what is left free: a twentieth, and no more than is worth it, in bytes.
const LEFT_FREE: u64 = 20;
const MOST_LEFT_FREE: u64 = 1 << 30;

/// The folder of data files.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    limit: u64,
    most_open: usize,
    /// What `allowed` told last.
    allowed: AtomicU64,
    /// Over `DataFile::held`.
    state: Mutex<State>,
    _lock: File,
}

#[derive(Debug)]
struct State {
    open: LruCache<Key, Arc<DataFile>>,
    /// What lies in the folder, as far as it is known.
    kept: HashMap<Key, Kept>,
    /// Of all that is kept.
    bytes: u64,
    /// Files that are being forgotten: nothing of them counts as held.
    forgetting: HashMap<Key, u32>,
    /// Whether `kept` has all that lies in the folder.
    is_scanned: bool,
}

/// A file in the folder.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// As the disk allots them.
    bytes: u64,
    used: SystemTime,
    is_pinned: bool,
}

impl Shelf {
    /// Takes the folder, made if need be. An error if another process has it.
    pub(super) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        config::make_private(dir).map_err(io::Error::other)?;
        let lock = private(&dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let state = State {
            open: LruCache::unbounded(),
            kept: HashMap::new(),
            bytes: 0,
            forgetting: HashMap::new(),
            is_scanned: false,
        };
        Ok(Self {
            dir: dir.to_owned(),
            limit,
            most_open: share_of_open_files(PART, FEWEST_OPEN, MOST_OPEN),
            state: Mutex::new(state),
            _lock: lock,
            allowed: AtomicU64::new(limit),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bound, in bytes.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes held now.
    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Learns what earlier mounts left, and clears away what is of no use.
    pub(super) fn scan(&self) -> io::Result<()> {
        let mut found: HashMap<Key, [Option<(u64, SystemTime)>; 3]> = HashMap::new();
        for entry in std::fs::read_dir(&self.dir)?.flatten() {
            let Some((key, kind)) = entry.file_name().to_str().and_then(Key::parse) else {
                continue;
            };
            if let Ok(metadata) = entry.metadata() {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.entry(key).or_default()[kind] = Some((metadata.blocks() * 512, used));
            }
        }
        for (key, [data, sidecar, pin]) in found {
            let mut state = self.state();
            match (data, sidecar) {
                (Some((bytes, used)), Some((more, _))) => {
                    let kept = Kept { bytes: bytes + more, used, is_pinned: pin.is_some() };
                    if let std::collections::hash_map::Entry::Vacant(slot) = state.kept.entry(key) {
                        slot.insert(kept);
                        state.bytes += kept.bytes;
                    }
                }
                _ if !state.kept.contains_key(&key) => drop(self.unlink(key)),
                _ => {}
            }
        }
        self.state().is_scanned = true;
        Ok(())
    }

    /// The data file of a remote file, if there is one.
    pub(super) fn find(&self, key: Key, id: &FileId, size: u64) -> Option<Arc<DataFile>> {
        let mut state = self.state();
        if state.forgetting.contains_key(&key) {
            return None;
        }
        if let Some(file) = state.open.get(&key).cloned() {
            state.touch(key);
            return Some(file);
        }
        if state.is_scanned && !state.kept.contains_key(&key) {
            return None;
        }
        match DataFile::open(&self.dir, key, id, size) {
            Ok(Some(file)) => {
                file.touch();
                Some(self.shelve(&mut state, key, file))
            }
            Ok(None) => {
                self.remove_from(&mut state, key);
                None
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!("the cache of {:?} cannot be read: {error}", id.as_str());
                }
                None
            }
        }
    }

    /// The data file of a remote file, made if there is none.
    pub(super) fn get_or_make(
        &self, key: Key, id: &FileId, size: u64,
    ) -> io::Result<Arc<DataFile>> {
        match self.find(key, id, size) {
            Some(file) if file.is_unlinked() => self.remove(key),
            Some(file) => return Ok(file),
            None => {}
        }
        let made = match DataFile::create(&self.dir, key, id, size) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody cleared the cache away.
                config::make_private(&self.dir).map_err(io::Error::other)?;
                DataFile::create(&self.dir, key, id, size)?
            }
            made => made?,
        };
        Ok(self.shelve(&mut self.state(), key, made))
    }

    fn shelve(&self, state: &mut State, key: Key, file: DataFile) -> Arc<DataFile> {
        let file = Arc::new(file);
        state.open.put(key, file.clone());
        state.account(key, file.allotted(), || self.is_pinned(key));
        state.touch(key);
        while state.open.len() > self.most_open {
            // Whoever uses one has it alone: two would not know of each other's blocks.
            let idle = state.open.iter().rev().find(|(_, file)| Arc::strong_count(file) == 1);
            let Some(idle) = idle.map(|(key, _)| *key) else { break };
            state.open.pop(&idle);
        }
        file
    }

    /// Told after a data file grew or shrank. One that had to go meanwhile does not count.
    pub(super) fn account(&self, key: Key, file: &DataFile) {
        let mut state = self.state();
        if state.open.peek(&key).is_some_and(|open| std::ptr::eq(&**open, file)) {
            state.account(key, file.allotted(), || self.is_pinned(key));
        }
    }

    /// Makes room for `bytes` more of the file `key`, in the file itself if all else is gone.
    pub(super) fn make_room(&self, key: Key, file: &DataFile, at: u64, bytes: u64) {
        let mut state = self.state();
        let allowed = self.allowed(state.bytes);
        if state.bytes + bytes <= allowed {
            return;
        }
        let aim = (allowed - allowed / FREED).saturating_sub(bytes);
        self.shrink_to(&mut state, aim, Some(key));
        if state.bytes + bytes > allowed && !self.is_pinned(key) {
            // A quarter at a time, since what a sidecar tells of blocks that went is not taken back.
            let excess = (state.bytes - aim.min(state.bytes)).max(allowed / 4);
            if let Err(error) = file.punch(at, excess) {
                tracing::debug!("no hole can be punched into a cached file: {error}");
                self.remove_from(&mut state, key);
            }
            state.account(key, file.allotted(), || false);
        }
    }

    /// Removes files until no more than `aim` bytes are held: the least recently used first, and those
    /// that are pinned never, nor `but`.
    fn shrink_to(&self, state: &mut State, aim: u64, but: Option<Key>) {
        let mut goers: Vec<(SystemTime, Key)> = state
            .kept
            .iter()
            .filter(|(key, kept)| Some(**key) != but && !kept.is_pinned)
            .map(|(key, kept)| (kept.used, *key))
            .collect();
        goers.sort_unstable();
        for (_, goer) in goers {
            if state.bytes <= aim {
                return;
            }
            self.remove_from(state, goer);
        }
    }

    /// Whether so much may be held beside what is pinned.
    pub(super) fn fits_pinned(&self, key: Key, bytes: u64) -> bool {
        let state = self.state();
        let others = state.kept.iter().filter(|(other, kept)| **other != key && kept.is_pinned);
        let pinned: u64 = others.map(|(_, kept)| kept.bytes).sum();
        pinned + bytes <= self.allowed(state.bytes)
    }

    /// Bytes that may be held: the bound, or less where the disk is nearly full.
    fn allowed(&self, held: u64) -> u64 {
        let Ok(space) = disk::space(&self.dir) else { return self.limit };
        let left_free = (space.total / LEFT_FREE).min(MOST_LEFT_FREE);
        let allowed = self.limit.min((held + space.free).saturating_sub(left_free));
        self.allowed.store(allowed, Ordering::Relaxed);
        allowed
    }

    /// Bytes that could be held when room was wanted last.
    pub(super) fn allowed_last(&self) -> u64 {
        self.allowed.load(Ordering::Relaxed)
    }

    /// Whether the file is never evicted.
    pub(super) fn is_pinned(&self, key: Key) -> bool {
        self.dir.join(key.pin()).exists()
    }

    /// Has a file never evicted, or again as any other.
    pub(super) fn pin(&self, key: Key, is_pinned: bool) -> io::Result<()> {
        let path = self.dir.join(key.pin());
        match is_pinned {
            true => {
                config::make_private(&self.dir).map_err(io::Error::other)?;
                drop(private(&path)?);
            }
            false => unless_gone(std::fs::remove_file(path))?,
        }
        if let Some(kept) = self.state().kept.get_mut(&key) {
            kept.is_pinned = is_pinned;
        }
        Ok(())
    }

    /// Takes a data file from disk. Who has it open goes on reading it.
    pub(super) fn remove(&self, key: Key) {
        self.remove_from(&mut self.state(), key);
    }

    fn remove_from(&self, state: &mut State, key: Key) {
        state.open.pop(&key);
        if let Some(kept) = state.kept.remove(&key) {
            state.bytes -= kept.bytes;
        }
        if let Err(error) = self.unlink(key) {
            tracing::warn!("a cached file stays on disk: {error}");
        }
    }

    fn unlink(&self, key: Key) -> io::Result<()> {
        // The sidecar first: without it nothing is taken for held.
        unless_gone(std::fs::remove_file(self.dir.join(key.sidecar())))?;
        unless_gone(std::fs::remove_file(self.dir.join(key.data())))
    }

    /// Takes a data file from disk, and lets nothing of it count as held until `forgotten`.
    pub(super) fn forget(&self, key: Key) {
        let mut state = self.state();
        *state.forgetting.entry(key).or_default() += 1;
        self.remove_from(&mut state, key);
    }

    /// Ends what `forget` began, once all that was on its way to the disk has arrived there.
    pub(super) fn forgotten(&self, key: Key) {
        let mut state = self.state();
        self.remove_from(&mut state, key);
        if let Some(count) = state.forgetting.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                state.forgetting.remove(&key);
            }
        }
    }

    /// Whether the file is being forgotten.
    pub(super) fn is_forgetting(&self, key: Key) -> bool {
        self.state().forgetting.contains_key(&key)
    }
}

impl Spare for Shelf {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn bytes(&self) -> u64 {
        self.state().kept.values().filter(|kept| !kept.is_pinned).map(|kept| kept.bytes).sum()
    }

    fn give_way(&self, bytes: u64) -> bool {
        let is_scanned = self.state().is_scanned;
        if !is_scanned && let Err(error) = self.scan() {
            tracing::warn!("the cache on disk cannot be looked through: {error}");
        }
        let mut state = self.state();
        let before = state.kept.len();
        // At once what others will want next, since each time all are sorted.
        let aim = state.bytes.saturating_sub(bytes.max(state.bytes / FREED));
        self.shrink_to(&mut state, aim, None);
        state.kept.len() < before
    }
}

/// Opens a file that is for nobody else, made if need be.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

impl State {
    fn touch(&mut self, key: Key) {
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.used = SystemTime::now();
        }
    }

    fn account(&mut self, key: Key, bytes: u64, is_pinned: impl FnOnce() -> bool) {
        let kept = self.kept.entry(key).or_insert_with(|| Kept {
            bytes: 0,
            used: SystemTime::now(),
            is_pinned: is_pinned(),
        });
        self.bytes = self.bytes - kept.bytes + bytes;
        kept.bytes = bytes;
    }
}

impl DataFile {
    /// Tells the next mount that the file was used, for what that is worth.
    fn touch(&self) {
        if let Err(error) = self.set_times(FileTimes::new().set_modified(SystemTime::now())) {
            tracing::debug!("the time of a cached file cannot be set: {error}");
        }
    }
}
