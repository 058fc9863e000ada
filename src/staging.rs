//! A staged file: bytes written here that the service has not got yet, on local disk.
//!
//! A file that is changed in part need not be fetched first. A staged file starts over a *base*,
//! the remote content, and keeps the *extents* written over it. What lies inside the base and was
//! never written is *missing*: whoever needs it fetches it and `fill`s it in, once.
//!
//! On disk it is a sparse file of the content's length. It outlives its value, until it is removed:
//! the state file tells which bytes are still wanted, and which of them were written.

mod base;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use md5::{Digest, Md5 as Hasher};
use rangemap::RangeSet;

use crate::types::Md5;
pub use base::Part;

/// Bytes of the label in the name of a file on disk, at most.
const LABEL: usize = 100;

/// Bytes hashed or copied at a time.
const CHUNK: usize = 1 << 20;

/// One file's staged bytes.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    /// `None`: the file has no name, and goes with the value.
    path: Option<PathBuf>,
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
}

/// What a read of a staged file comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Staged {
    /// The bytes, fewer than asked only at the end of the file.
    Bytes(Vec<u8>),
    /// This part of the base must be filled in first.
    Missing(Range<u64>),
}

/// The content of a staged file at one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Of all bytes.
    pub md5: Md5,
    /// Bytes.
    pub size: u64,
    /// The generation that was hashed.
    pub generation: u64,
}

/// Which part of a staged file's content is its own: what has to be known to open it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The base shows through below this offset, where nothing was written.
    pub base: u64,
    /// What was written below it, or filled in and proven.
    pub extents: Vec<Range<u64>>,
}

impl StagedFile {
    /// Stages a file over a base of `base` bytes, as a file in `dir` whose name begins with the
    /// time and ends with `label`, so that a person finds it after a crash.
    ///
    /// Fails as the disk does: full, read-only, gone.
    pub fn create(dir: &Path, label: &str, base: u64) -> io::Result<Self> {
        let time = jiff::Zoned::now().strftime("%Y%m%dT%H%M%S");
        let (file, path) = tempfile::Builder::new()
            .prefix(&format!("{time}-"))
            .suffix(&format!("-{}", plain(label)))
            .tempfile_in(dir)?
            .keep()?;
        let staged = Self::over(file, Some(path), base);
        if let Err(error) = staged.file.set_len(base) {
            staged.remove()?;
            return Err(error);
        }
        Ok(staged)
    }

    /// Stages bytes for this process alone: they go with the value.
    pub fn nameless(dir: &Path, base: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(dir)?;
        file.set_len(base)?;
        Ok(Self::over(file, None, base))
    }

    /// Opens what was staged before as the file `path`.
    pub fn reopen(path: &Path, own: &Own) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        let staged = Self::over(file, Some(path.to_owned()), own.base.min(len));
        {
            let mut extents = staged.extents();
            extents.len = len;
            extents.present.extend(own.extents.iter().cloned());
        }
        Ok(staged)
    }

    fn over(file: File, path: Option<PathBuf>, base: u64) -> Self {
        let extents = Extents {
            len: base,
            base,
            present: RangeSet::new(),
            filled: RangeSet::new(),
            generation: 0,
        };
        Self { file, path, extents: Mutex::new(extents) }
    }

    /// Which part of the content is its own. What was filled in and is not proven is none: it is
    /// fetched again.
    pub fn own(&self) -> Own {
        let extents = self.extents();
        let mut own = extents.present.clone();
        extents.filled.iter().for_each(|filled| own.remove(filled.clone()));
        let below = own.into_iter().filter(|extent| extent.start < extents.base);
        Own { base: extents.base, extents: below.collect() }
    }

    /// Has the disk keep what was written so far, over a power failure too.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Takes the bytes from disk. Open handles go on reading them.
    pub fn remove(&self) -> io::Result<()> {
        match self.path.as_ref().map(std::fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Some(_) | None => Ok(()),
        }
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
        self.file.write_all_at(data, offset)?;
        extents.present.insert(offset..end);
        extents.filled.remove(offset..end);
        extents.len = extents.len.max(end);
        extents.generation += 1;
        Ok(())
    }

    /// Cuts the file, or lengthens it with zeros.
    pub fn truncate(&self, len: u64) -> io::Result<()> {
        let mut extents = self.extents();
        if len == extents.len {
            return Ok(());
        }
        // Shrinking first drops whatever lies above, so that what grows again is zeros.
        self.file.set_len(len)?;
        extents.base = extents.base.min(len);
        extents.present.remove(len..u64::MAX);
        extents.filled.remove(len..u64::MAX);
        extents.len = len;
        extents.generation += 1;
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

    /// The md5 of the whole content, nothing of which may be missing. Reads it all: not for a
    /// session thread.
    pub fn sum(&self) -> io::Result<Sum> {
        let Extents { len, generation, .. } = *self.extents();
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; CHUNK.min(len as usize)];
        let mut offset = 0;
        while offset < len {
            let want = buffer.len().min((len - offset) as usize);
            match self.file.read_exact_at(&mut buffer[..want], offset) {
                // Cut meanwhile: then the generation tells that this sum is of nothing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read?,
            }
            hasher.update(&buffer[..want]);
            offset += want as u64;
        }
        Ok(Sum { md5: Md5::new(hasher.finalize().into()), size: len, generation })
    }

    /// `sum`, on a thread where it holds nobody up.
    pub async fn sum_aside(self: Arc<Self>) -> io::Result<Sum> {
        tokio::task::spawn_blocking(move || self.sum()).await.map_err(io::Error::other)?
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
        *copy.extents() = extents.clone();
        drop(extents);
        Ok(copy)
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

impl Extents {
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
