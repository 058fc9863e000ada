//! Which staged files are open: those in use, and the ones used last, a bounded number in all.
//!
//! The kernel tells of bytes that it could not bring to the disk only while a descriptor is there to
//! tell it to. So a file that was changed is synced before its last descriptor is closed, and what
//! that came to is remembered by its [`Disk`].

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::disk::Disk;
use super::log::ExtentLog;
use crate::process;

/// Of the descriptors that the process may have, one in so many is a staged file, and as many again
/// are logs.
const SHARE: u64 = 16;

/// Files that are open at least, and at most.
const FEWEST: usize = 8;
const MOST: usize = 1024;

/// Where all of them are in use at once: between looks, and how many of these. Nobody waits for the
/// network with one.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS: usize = 5000;

/// The open staged files of this process.
pub(super) static OPEN: LazyLock<OpenFiles> =
    LazyLock::new(|| OpenFiles::new(process::share_of_open_files(SHARE, FEWEST, MOST)));

/// A staged file and its log, open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: Arc<File>,
    /// There is none without a base or a name.
    pub(super) log: Option<ExtentLog>,
    disk: Arc<Disk>,
}

impl Open {
    pub(super) fn new(file: File, log: Option<ExtentLog>, disk: Arc<Disk>) -> Self {
        Self { file: Arc::new(file), log, disk }
    }

    /// Has the disk keep all that was changed before.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.keeps(|| self.sync_both())
    }

    fn sync_both(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.log.as_ref().map_or(Ok(()), ExtentLog::sync)
    }
}

/// The number of a staged file in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Number(u64);

impl Number {
    /// One that no other file has.
    pub(super) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// Files that are open, the one used last first.
#[derive(Debug)]
pub(super) struct OpenFiles {
    most: usize,
    files: Mutex<LruCache<Number, Arc<Open>>>,
}

impl OpenFiles {
    fn new(most: usize) -> Self {
        Self { most, files: Mutex::new(LruCache::unbounded()) }
    }

    fn files(&self) -> MutexGuard<'_, LruCache<Number, Arc<Open>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, opened by `open` unless it is open. It stays so for as long as this is held.
    pub(super) fn get(
        &self, number: Number, mut open: impl FnMut() -> io::Result<Open>,
    ) -> io::Result<Arc<Open>> {
        if let Some(known) = self.files().get(&number) {
            return Ok(known.clone());
        }
        self.make_room(self.most);
        let opened = match open() {
            Err(error) if process::lacks_descriptors(&error) => {
                self.make_room(1);
                open()
            }
            opened => opened,
        };
        let opened = Arc::new(opened?);
        // If another was quicker, that one is it.
        Ok(self.files().get_or_insert(number, || opened).clone())
    }

    /// Nobody wants the file any more.
    pub(super) fn forget(&self, number: Number) {
        // Closed without the lock: the disk may have to free what has no name any more.
        let forgotten = self.files().pop(&number);
        drop(forgotten);
    }

    /// Closes files that are not in use until fewer than `most` are open, those first that need no
    /// sync. Whatever happens it ends.
    fn make_room(&self, most: usize) {
        for _ in 0..LOOKS {
            let (closed, changed) = {
                let mut files = self.files();
                if files.len() < most {
                    return;
                }
                // Whoever uses one got it under this lock.
                let is_idle = |open: &Arc<Open>| Arc::strong_count(open) == 1;
                let mut idle = files.iter().rev().filter(|(_, open)| is_idle(open));
                let oldest = idle.clone().next().map(|(number, _)| *number);
                let kept = idle.find(|(_, open)| !open.disk.is_behind()).map(|(number, _)| *number);
                match kept {
                    Some(number) => (files.pop(&number), None),
                    None => (None, oldest.and_then(|number| files.peek(&number).cloned())),
                }
            };
            match (closed, changed) {
                (Some(closed), _) => drop(closed),
                (None, Some(changed)) => changed.disk.catches_up(|| changed.sync_both()),
                (None, None) => std::thread::sleep(LOOK),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn opened(disk: &Arc<Disk>) -> io::Result<Open> {
        Ok(Open::new(tempfile::tempfile()?, None, disk.clone()))
    }

    #[test]
    fn what_is_not_in_use_is_closed_and_what_was_changed_is_synced_first() {
        let files = OpenFiles::new(2);
        let disks: [Arc<Disk>; 3] = Default::default();
        let numbers = disks.each_ref().map(|_| Number::new());
        let get = |at: usize| files.get(numbers[at], || opened(&disks[at])).expect("opened");
        let used = get(0);
        drop(get(1));
        drop(get(2));
        assert_eq!(files.files().iter().count(), 2);
        assert!(Arc::ptr_eq(&used, &get(0)), "one in use is not opened twice");
        let changed = get(2);
        (&*changed.file).write_all(b"changed").expect("written");
        disks[2].changed();
        drop((changed, used));
        // Used longer ago than the one that was changed, which would have to be synced.
        drop(get(0));
        drop(get(1));
        assert!(disks[2].is_behind() && files.files().contains(&numbers[2]));
        let used = get(1);
        drop(get(0));
        assert!(!disks[2].is_behind() && !files.files().contains(&numbers[2]));
        drop(used);
    }

    #[test]
    fn a_file_whose_bytes_were_lost_when_it_was_closed_tells_it_later() {
        let files = OpenFiles::new(1);
        let disk: Arc<Disk> = Arc::default();
        let lossy = File::options().write(true).open("/dev/full").expect("there is one");
        let mut lossy = Some(lossy);
        let open = || Ok(Open::new(lossy.take().expect("once"), None, disk.clone()));
        drop(files.get(Number::new(), open).expect("opened"));
        disk.changed();
        // A device cannot be synced.
        drop(files.get(Number::new(), || opened(&Arc::default())).expect("opened"));
        assert!(disk.has_kept().is_err());
    }
}
