//! The log of a staged file: which of its bytes lie over its base, so that this is known after a
//! crash. It lies beside the file, and is written after the bytes that it tells of.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rangemap::RangeSet;

/// What the name of a log ends with, after the name of its file.
const END: &str = ".extents";

/// Bytes of one entry: two numbers, little-endian. A range that was written; or, with `CUT` as the
/// second, the offset below which the base still shows.
const ENTRY: usize = 16;
const CUT: u64 = u64::MAX;

/// The log of one staged file.
#[derive(Debug)]
pub(super) struct ExtentLog {
    file: File,
}

/// What a log tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The offset below which the base still shows.
    pub(super) base: u64,
    /// What was written below it.
    pub(super) written: RangeSet<u64>,
}

/// Where the log of a staged file is.
fn place(staged: &Path) -> PathBuf {
    let mut name = staged.as_os_str().to_owned();
    name.push(END);
    name.into()
}

/// Whether the name is that of a log.
pub fn is_log(name: &str) -> bool {
    name.ends_with(END)
}

impl ExtentLog {
    /// Begins the log of a file over a base of `base` bytes.
    pub(super) fn begin(staged: &Path, base: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let log = Self { file: options.open(place(staged))? };
        log.cut(base)?;
        Ok(log)
    }

    /// Opens the log of a staged file, to go on with it.
    pub(super) fn open(staged: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().append(true).open(place(staged))? })
    }

    /// What the log tells of a file that was staged before; `None` if it has none, as without a base.
    /// What a crash cut off of it goes.
    pub(super) fn read(staged: &Path) -> io::Result<Option<Told>> {
        let bytes = match std::fs::read(place(staged)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let mut told = Told::default();
        // An entry that a crash cut off is none.
        let whole = bytes.len() / ENTRY * ENTRY;
        for (position, entry) in bytes[..whole].chunks_exact(ENTRY).enumerate() {
            let number = |at: usize| {
                let mut number = [0; 8];
                number.copy_from_slice(&entry[at..at + 8]);
                u64::from_le_bytes(number)
            };
            match (number(0), number(8)) {
                (base, CUT) => {
                    told.base = if position == 0 { base } else { told.base.min(base) };
                    told.written.remove(base..u64::MAX);
                }
                (start, end) if start < end => told.written.insert(start..end),
                _ => {}
            }
        }
        if whole < bytes.len() {
            Self::open(staged)?.file.set_len(whole as u64)?;
        }
        Ok(Some(told))
    }

    /// These bytes were written.
    pub(super) fn wrote(&self, range: &Range<u64>) -> io::Result<()> {
        self.add(range.start, range.end)
    }

    /// The base shows only below this offset from now on.
    pub(super) fn cut(&self, base: u64) -> io::Result<()> {
        self.add(base, CUT)
    }

    fn add(&self, first: u64, second: u64) -> io::Result<()> {
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&first.to_le_bytes());
        entry[8..].copy_from_slice(&second.to_le_bytes());
        let len = self.file.metadata()?.len();
        // What is written of an entry would shift those after it.
        (&self.file).write_all(&entry).inspect_err(|_| drop(self.file.set_len(len)))
    }

    /// Has the disk keep it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Takes the log of a staged file from disk, if there is one.
    pub(super) fn remove(staged: &Path) -> io::Result<()> {
        match std::fs::remove_file(place(staged)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
