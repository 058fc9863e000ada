//! [`Store`]: where the bytes of new slices go, memory or a folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::{Content, Slice};
use crate::digest::{self, Hasher};

/// Where the bytes of new slices go.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory,
    /// A folder with one file a slice.
    Folder(PathBuf),
}

impl Store {
    /// A place for a slice of `len` bytes.
    pub(crate) fn sink(&self, len: u64) -> io::Result<Sink> {
        let target = match self {
            Store::Memory => {
                Target::Memory(Vec::with_capacity(usize::try_from(len).map_err(io::Error::other)?))
            }
            Store::Folder(folder) => {
                let path = folder.join(digest::key());
                Target::File { file: File::create_new(&path)?, path }
            }
        };
        Ok(Sink { target, hasher: Hasher::default(), len: 0 })
    }

    /// Keeps bytes that are all there.
    pub(crate) fn keep(&self, bytes: &[u8]) -> io::Result<Content> {
        let mut sink = self.sink(bytes.len() as u64)?;
        sink.write(bytes)?;
        Ok(Content::new(vec![sink.finish().slice]))
    }

    /// Deletes every file of the folder for which `keep` is false.
    pub(crate) fn sweep(&self, keep: impl Fn(&Path) -> bool) -> io::Result<()> {
        if let Store::Folder(folder) = self {
            for file in fs::read_dir(folder)? {
                let path = file?.path();
                if !keep(&path) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

/// A slice while it comes in. Writes block, but only for as long as the page cache takes.
pub(crate) struct Sink {
    target: Target,
    hasher: Hasher,
    len: u64,
}

enum Target {
    Memory(Vec<u8>),
    File { file: File, path: PathBuf },
}

/// A slice that has come in.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) slice: Slice,
    pub(crate) md5: String,
    pub(crate) size: u64,
}

impl Sink {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        match &mut self.target {
            Target::Memory(memory) => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
            Target::File { file, .. } => file.write_all(bytes),
        }
    }

    pub(crate) fn finish(self) -> Stored {
        let slice = match self.target {
            Target::Memory(memory) => Slice::Memory(Bytes::from(memory)),
            Target::File { path, .. } => Slice::File { path, len: self.len },
        };
        Stored { slice, md5: self.hasher.finish(), size: self.len }
    }
}
