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
mod hash;
mod log;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rangemap::RangeSet;

use crate::disk::{punch, release, reserve};
pub use base::Part;
use disk::Disk;
use hash::Prefix;
pub use hash::Sum;
use log::ExtentLog;
pub use log::is_log;

/// Bytes of the label in the name of a file on disk, at most.
const LABEL: usize = 100;

/// Bytes hashed or copied at a time.
const CHUNK: usize = 1 << 20;

/// One file's staged bytes.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    disk: Disk,
    /// `None`: the file has no name, and goes with the value.
    path: Option<PathBuf>,
    /// Tells which bytes lie over the base. There is none without a base or a name.
    log: Option<ExtentLog>,
    /// What is hashed so far. Locked before `extents`, and only by who may wait for the disk.
    prefix: Mutex<Prefix>,
    extents: Mutex<Extents>,
}

/// Which bytes the staged file holds.
#[derive(Clone, Debug)]
struct Extents {
    /// Bytes the file has, written, missing and holes together; the file on disk is as long.
    len: u64,
    /// The base still shows through below this offset, where nothing was written. At most `len`.
    base: u64,
    /// What was written or filled, below `base`. Above it everything is here.
    present: RangeSet<u64>,
    /// What of `present` was filled in and never written, and is not proven to be the base's.
    filled: RangeSet<u64>,
    /// Counts the changes of content; filling is none.
    generation: u64,
    /// Bytes that are hashed, or being hashed, and whether any of them changed since.
    hashed: u64,
    is_rewritten: bool,
    /// Whether somebody hashes behind the writer.
    is_followed: bool,
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
        let (file, path) = Self::named(label, |builder| builder.tempfile_in(dir))?.keep()?;
        let begun = file.set_len(base).and_then(|()| match base {
            0 => Ok(None),
            _ => ExtentLog::begin(&path, base).map(Some),
        });
        match begun {
            Ok(log) => Ok(Self::over(file, Some(path), log, base)),
            Err(error) => {
                Self::remove_from(&path)?;
                Err(error)
            }
        }
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
        Ok(Self::over(file, None, None, base))
    }

    /// Opens what was staged before as the file `path`. What was filled in is missing again.
    pub fn reopen(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        let (log, told) = ExtentLog::reopen(path)?.unzip();
        let told = told.unwrap_or_default();
        let staged = Self::over(file, Some(path.to_owned()), log, told.base.min(len));
        {
            let mut extents = staged.extents();
            extents.len = len;
            extents.present = told.written;
        }
        Ok(staged)
    }

    fn over(file: File, path: Option<PathBuf>, log: Option<ExtentLog>, base: u64) -> Self {
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
        let (disk, prefix, extents) = (Disk::default(), Mutex::default(), Mutex::new(extents));
        Self { file, disk, path, log, prefix, extents }
    }

    /// Has the disk keep what was written so far, over a power failure too: all of the generation that
    /// was told before.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.keeps(|| {
            self.file.sync_data()?;
            self.log.as_ref().map_or(Ok(()), ExtentLog::sync)
        })
    }

    /// Whether something that was written had no place on the disk, and is missing in the file.
    pub fn has_refused(&self) -> bool {
        self.disk.has_refused()
    }

    /// The file is taken for what is in it, whatever is missing: who wrote it was told.
    pub fn accept(&self) {
        self.disk.takes(0..u64::MAX);
    }

    /// Takes the bytes from disk. Open handles go on reading them.
    pub fn remove(&self) -> io::Result<()> {
        self.path.as_ref().map_or(Ok(()), |path| Self::remove_from(path))
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
        self.path.as_ref()?.file_name()?.to_str()
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
        self.path.as_deref()
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
        let (written, result) = write_all(&self.file, data, offset);
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
            let _longer = self.file.set_len(extents.len);
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
        punch(&self.file, &range)?;
        self.wrote(&mut extents, range)
    }

    /// Has the disk reserve room for these bytes, or for none. The content stays.
    pub fn reserve(&self, range: &Range<u64>) -> io::Result<()> {
        let extents = self.extents();
        reserve(&self.file, range).inspect_err(|_| release(&self.file, range, extents.len))
    }

    /// Bytes that the disk has allotted to the file.
    pub fn allotted(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks() * 512)
    }

    /// Logs what is new of a write over the base.
    fn log_write(&self, extents: &Extents, range: Range<u64>) -> io::Result<()> {
        let over = range.start..range.end.min(extents.base);
        let Some(log) = self.log.as_ref().filter(|_| !over.is_empty()) else { return Ok(()) };
        let is_new = extents.present.gaps(&over).next().is_some()
            || extents.filled.overlapping(&over).next().is_some();
        if is_new { log.wrote(&over) } else { Ok(()) }
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
        self.file.set_len(len)?;
        self.disk.takes(len..u64::MAX);
        if let Some(log) = self.log.as_ref().filter(|_| len < extents.base) {
            log.cut(len)?;
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
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(Staged::Bytes(bytes))
    }

    /// Another handle on the bytes, for sending them.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// A copy of the content without a name, which later writes do not reach.
    pub fn snapshot(&self, dir: &Path) -> io::Result<Self> {
        let copy = Self::nameless(dir, 0)?;
        let extents = self.extents();
        let mut buffer = vec![0; CHUNK.min(extents.len as usize)];
        let mut offset = 0;
        while offset < extents.len {
            let want = buffer.len().min((extents.len - offset) as usize);
            self.file.read_exact_at(&mut buffer[..want], offset)?;
            copy.file.write_all_at(&buffer[..want], offset)?;
            offset += want as u64;
        }
        self.disk.has_kept()?;
        // What the disk would not keep of the copy must not be sent otherwise than it was written.
        copy.file.sync_data()?;
        let (hashed, is_rewritten, is_followed) = (0, false, false);
        let rest = extents.clone();
        drop(extents);
        *copy.extents() = Extents { hashed, is_rewritten, is_followed, ..rest };
        Ok(copy)
    }
}

/// Writes as much as there is room for: how much that was, and why it was not all.
fn write_all(file: &File, data: &[u8], offset: u64) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < data.len() {
        match file.write_at(&data[written..], offset + written as u64) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
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

impl Extents {
    /// The content changed at `offset` and after it.
    fn changed_from(&mut self, offset: u64) {
        self.generation += 1;
        self.is_rewritten |= offset < self.hashed;
    }

    /// These bytes were written over, and no log tells of it: those of the base among them are missing
    /// again.
    fn lose(&mut self, range: &Range<u64>) {
        let filled: Vec<Range<u64>> = self.filled.overlapping(range).cloned().collect();
        for part in filled {
            let part = part.start.max(range.start)..part.end.min(range.end);
            self.present.remove(part.clone());
            self.filled.remove(part.clone());
            self.is_rewritten |= part.start < self.hashed;
        }
    }

    fn missing(&self, within: Range<u64>) -> Option<Range<u64>> {
        let end = within.end.min(self.base);
        if within.start >= end {
            return None;
        }
        self.present.gaps(&(within.start..end)).next()
    }
}

#[cfg(test)]
mod tests;
