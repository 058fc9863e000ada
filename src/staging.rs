//! A staged file: bytes written here that the service has not got yet, on local disk.
//!
//! A file that is changed in part need not be fetched first. A staged file starts over a *base*,
//! the remote content, and keeps the *extents* written over it. What lies inside the base and was
//! never written is *missing*: whoever needs it fetches it and `fill`s it in, once.
//!
//! On disk it is a sparse file of the content's length, and beside it a log of what was written over
//! the base. Both outlive the value, until they are removed.

mod base;
mod disk;
mod extents;
mod hash;
mod log;
mod open;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rangemap::RangeSet;

use crate::disk::{punch, release, reserve};
pub use base::Part;
use disk::{Disk, write_all};
use extents::Extents;
use hash::Prefix;
pub use hash::Sum;
pub use log::is_log;
use log::{ExtentLog, Told};
use open::{Number, OPEN, Open};

/// Bytes of the label in the name of a file on disk, at most.
const LABEL: usize = 100;

/// Bytes hashed or copied at a time.
const CHUNK: usize = 1 << 20;

/// One file's staged bytes. It has no descriptor of its own, unless it has no name.
#[derive(Debug)]
pub struct StagedFile {
    on_disk: OnDisk,
    disk: Arc<Disk>,
    /// What is hashed so far. Locked before `extents`, and only by who may wait for the disk.
    prefix: Mutex<Prefix>,
    extents: Mutex<Extents>,
}

/// Where the bytes are on disk.
#[derive(Debug)]
enum OnDisk {
    /// In a file without a name, which goes with the value.
    Nameless(Arc<Open>),
    /// In the file of this path, which is open while it is used.
    Named { path: PathBuf, number: Number, has_log: bool },
}

/// What a read of a staged file comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Staged {
    /// The bytes, fewer than asked only at the end of the file.
    Bytes(Vec<u8>),
    /// This part of the base must be filled in first.
    Missing(Range<u64>),
}

impl StagedFile {
    /// Stages a file over a base of `base` bytes, as a file in `dir` whose name begins with the
    /// time and ends with `label`, so that a person finds it after a crash.
    ///
    /// Fails as the disk does: full, read-only, gone.
    pub fn create(dir: &Path, label: &str, base: u64) -> io::Result<Self> {
        let (number, disk) = (Number::new(), Arc::<Disk>::default());
        let mut path = PathBuf::new();
        OPEN.get(number, || {
            let (file, made) = Self::named(label, |builder| builder.tempfile_in(dir))?.keep()?;
            let begun = file.set_len(base).and_then(|()| match base {
                0 => Ok(None),
                _ => ExtentLog::begin(&made, base).map(Some),
            });
            let log = match begun {
                Ok(log) => log,
                Err(error) => {
                    Self::remove_from(&made)?;
                    return Err(error);
                }
            };
            path = made;
            Ok(Open::new(file, log, disk.clone()))
        })?;
        Ok(Self::over(OnDisk::Named { path, number, has_log: base > 0 }, disk, base))
    }

    /// Makes a file by a name that tells the time and the label.
    fn named<F>(
        label: &str, make: impl FnOnce(&tempfile::Builder<'_, '_>) -> io::Result<F>,
    ) -> io::Result<F> {
        let time = jiff::Zoned::now().strftime("%Y%m%dT%H%M%S");
        let (prefix, suffix) = (format!("{time}-"), format!("-{}", plain(label)));
        make(tempfile::Builder::new().prefix(&prefix).suffix(&suffix))
    }

    /// Stages bytes for this process alone: they go with the value.
    pub fn nameless(dir: &Path, base: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(dir)?;
        file.set_len(base)?;
        let disk = Arc::<Disk>::default();
        let open = Arc::new(Open::new(file, None, disk.clone()));
        Ok(Self::over(OnDisk::Nameless(open), disk, base))
    }

    /// What was staged before as the file `path`. What was filled in is missing again.
    pub fn reopen(path: &Path) -> io::Result<Self> {
        let len = std::fs::metadata(path)?.len();
        let told = ExtentLog::read(path)?;
        let has_log = told.is_some();
        let Told { base, written } = told.unwrap_or_default();
        let on_disk = OnDisk::Named { path: path.to_owned(), number: Number::new(), has_log };
        let staged = Self::over(on_disk, Arc::default(), base.min(len));
        {
            let mut extents = staged.extents();
            extents.len = len;
            extents.present = written;
        }
        Ok(staged)
    }

    fn over(on_disk: OnDisk, disk: Arc<Disk>, base: u64) -> Self {
        let extents = Extents {
            len: base,
            base,
            present: RangeSet::new(),
            filled: RangeSet::new(),
            generation: 0,
            hashed: 0,
            is_rewritten: false,
            is_followed: false,
        };
        Self { on_disk, disk, prefix: Mutex::default(), extents: Mutex::new(extents) }
    }

    /// The file on disk, open for as long as this is held. Not to be held while the network is waited
    /// for.
    fn open(&self) -> io::Result<Arc<Open>> {
        let (path, number, has_log) = match &self.on_disk {
            OnDisk::Nameless(open) => return Ok(open.clone()),
            OnDisk::Named { path, number, has_log } => (path, *number, *has_log),
        };
        OPEN.get(number, || {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            let log = has_log.then(|| ExtentLog::open(path)).transpose()?;
            Ok(Open::new(file, log, self.disk.clone()))
        })
    }

    /// Does a change of the file on disk, or of the log, that a sync has to bring there.
    fn change<T>(&self, change: impl FnOnce(&Open) -> io::Result<T>) -> io::Result<T> {
        let open = self.open()?;
        let changed = change(&open);
        // One that failed may have come half the way.
        self.disk.changed();
        changed
    }

    /// Has the disk keep what was written so far, over a power failure too: all of the generation that
    /// was told before.
    pub fn sync(&self) -> io::Result<()> {
        self.open()?.sync()
    }

    /// Whether something that was written had no place on the disk, and is missing in the file.
    pub fn has_refused(&self) -> bool {
        self.disk.has_refused()
    }

    /// The file is taken for what is in it, whatever is missing: who wrote it was told.
    pub fn accept(&self) {
        self.disk.takes(0..u64::MAX);
    }

    /// Takes the bytes from disk. Whoever is in the middle of reading them may come to an error.
    pub fn remove(&self) -> io::Result<()> {
        self.path().map_or(Ok(()), Self::remove_from)
    }

    /// Takes what was staged as the file `path` from disk, if it is there.
    pub fn remove_from(path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        ExtentLog::remove(path)
    }

    /// The name of the file on disk.
    pub fn name(&self) -> Option<&str> {
        self.path()?.file_name()?.to_str()
    }

    fn extents(&self) -> MutexGuard<'_, Extents> {
        // Every change of the extents is complete before anything in it can panic.
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.extents().len
    }

    /// Where the bytes are on disk, if they have a name there.
    pub fn path(&self) -> Option<&Path> {
        match &self.on_disk {
            OnDisk::Nameless(_) => None,
            OnDisk::Named { path, .. } => Some(path),
        }
    }

    /// Rises with each change of content.
    pub fn generation(&self) -> u64 {
        self.extents().generation
    }

    /// Writes `data` at `offset`; a gap before it reads as zeros.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EFBIG))?;
        let mut extents = self.extents();
        let (written, result) = match self.open() {
            Ok(open) => write_all(&open.file, data, offset),
            Err(error) => (0, Err(error)),
        };
        self.disk.changed();
        let begun = offset..offset + written as u64;
        // What failed half way is in the file as far as it got.
        let logged =
            if begun.is_empty() { Ok(()) } else { self.wrote(&mut extents, begun.clone()) };
        let missed = if logged.is_ok() { begun.end..end } else { offset..end };
        result.and(logged).inspect_err(|error| self.disk.refuses(missed, error))
    }

    /// These bytes were written to the file on disk.
    fn wrote(&self, extents: &mut Extents, range: Range<u64>) -> io::Result<()> {
        if let Err(error) = self.log_write(extents, range.clone()) {
            extents.lose(&range);
            // Or they would come back when the file is lengthened.
            let _longer = self.change(|open| open.file.set_len(extents.len));
            return Err(error);
        }
        self.disk.takes(range.clone());
        extents.present.insert(range.clone());
        extents.filled.remove(range.clone());
        extents.len = extents.len.max(range.end);
        extents.changed_from(range.start);
        Ok(())
    }

    /// Makes these bytes zeros, as far as the file goes.
    pub fn zero(&self, range: Range<u64>) -> io::Result<()> {
        let mut extents = self.extents();
        let range = range.start..range.end.min(extents.len);
        if range.is_empty() {
            return Ok(());
        }
        self.change(|open| punch(&open.file, &range))?;
        self.wrote(&mut extents, range)
    }

    /// Has the disk reserve room for these bytes, or for none. The content stays.
    pub fn reserve(&self, range: &Range<u64>) -> io::Result<()> {
        let extents = self.extents();
        self.change(|open| {
            reserve(&open.file, range).inspect_err(|_| release(&open.file, range, extents.len))
        })
    }

    /// Bytes that the disk has allotted to the file.
    pub fn allotted(&self) -> io::Result<u64> {
        Ok(self.open()?.file.metadata()?.blocks() * 512)
    }

    /// Adds to the log, if there is one.
    fn log(&self, add: impl FnOnce(&ExtentLog) -> io::Result<()>) -> io::Result<()> {
        match &self.on_disk {
            OnDisk::Named { has_log: true, .. } => {
                self.change(|open| open.log.as_ref().map_or(Ok(()), add))
            }
            OnDisk::Named { .. } | OnDisk::Nameless(_) => Ok(()),
        }
    }

    /// Logs what is new of a write over the base.
    fn log_write(&self, extents: &Extents, range: Range<u64>) -> io::Result<()> {
        let over = range.start..range.end.min(extents.base);
        let is_new = extents.present.gaps(&over).next().is_some()
            || extents.filled.overlapping(&over).next().is_some();
        if over.is_empty() || !is_new { Ok(()) } else { self.log(|log| log.wrote(&over)) }
    }

    /// Cuts the file, or lengthens it with zeros.
    pub fn truncate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            self.disk.forget();
        }
        let mut extents = self.extents();
        if len == extents.len {
            return Ok(());
        }
        // Shrinking first drops whatever lies above, so that what grows again is zeros.
        self.change(|open| open.file.set_len(len))?;
        self.disk.takes(len..u64::MAX);
        if len < extents.base {
            self.log(|log| log.cut(len))?;
        }
        extents.base = extents.base.min(len);
        extents.present.remove(len..u64::MAX);
        extents.filled.remove(len..u64::MAX);
        extents.len = len;
        extents.changed_from(len);
        Ok(())
    }

    /// Up to `len` bytes from `offset`, or the first missing part of them.
    pub fn read_at(&self, offset: u64, len: usize) -> io::Result<Staged> {
        let extents = self.extents();
        let end = offset.saturating_add(len as u64).min(extents.len);
        if offset >= end {
            return Ok(Staged::Bytes(Vec::new()));
        }
        if let Some(missing) = extents.missing(offset..end) {
            return Ok(Staged::Missing(missing));
        }
        let mut bytes = vec![0; (end - offset) as usize];
        self.open()?.file.read_exact_at(&mut bytes, offset)?;
        Ok(Staged::Bytes(bytes))
    }

    /// The bytes, for sending them: open for as long as this is held.
    pub fn reader(&self) -> io::Result<Arc<File>> {
        Ok(self.open()?.file.clone())
    }

    /// A copy of the content without a name, which later writes do not reach.
    pub fn snapshot(&self, dir: &Path) -> io::Result<Self> {
        let copy = Self::nameless(dir, 0)?;
        let (from, to) = (self.open()?, copy.open()?);
        let extents = self.extents();
        let mut buffer = vec![0; CHUNK.min(extents.len as usize)];
        let mut offset = 0;
        while offset < extents.len {
            let want = buffer.len().min((extents.len - offset) as usize);
            from.file.read_exact_at(&mut buffer[..want], offset)?;
            to.file.write_all_at(&buffer[..want], offset)?;
            offset += want as u64;
        }
        self.disk.has_kept()?;
        // What the disk would not keep of the copy must not be sent otherwise than it was written.
        to.sync()?;
        let (hashed, is_rewritten, is_followed) = (0, false, false);
        let rest = extents.clone();
        drop(extents);
        *copy.extents() = Extents { hashed, is_rewritten, is_followed, ..rest };
        Ok(copy)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let OnDisk::Named { number, .. } = self.on_disk {
            OPEN.forget(number);
        }
    }
}

/// What of a label can stand in the name of a file.
fn plain(label: &str) -> String {
    let mut room = LABEL;
    let fits = |c: &char| {
        room = room.saturating_sub(c.len_utf8());
        room > 0
    };
    let label = label.chars().map(|c| if c == '/' { '%' } else { c });
    label.filter(|c| !c.is_control()).take_while(fits).collect()
}

#[cfg(test)]
mod tests;
