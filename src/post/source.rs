//! A source: the bytes of one picture on this machine, summed and ready to be sent.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Zoned;
use md5::{Digest, Md5 as Hasher};
use tokio::task::spawn_blocking;

use super::pattern::Facts;
use super::{Error, Pattern};
use crate::kind::Kind;
use crate::names;
use crate::staging::Sum;
use crate::types::Md5;

/// Bytes hashed at a time: all of a picture that is ever in memory.
const CHUNK: usize = 256 << 10;

/// What is to be uploaded.
#[derive(Debug)]
pub enum Item {
    /// The file of this path.
    Path(PathBuf),
    /// Bytes that came in and are kept in a file of this process alone.
    Bytes {
        /// What they are called, if that is known.
        name: Option<String>,
        /// The file.
        file: File,
    },
}

/// An open file whose content is known.
#[derive(Debug)]
pub(super) struct Source {
    file: Arc<File>,
    pub(super) sum: Sum,
    /// Size, change and modification when it was summed.
    stamp: [i64; 5],
    kind: Option<Kind>,
    /// `None`: nobody said what it is called.
    name: Option<String>,
    /// Whether it is called otherwise, by characters that the service refuses.
    pub(super) is_mended: bool,
}

impl Source {
    /// Opens and sums what is to be uploaded; with `most` only a picture of at most so many bytes.
    pub(super) async fn read(item: Item, most: Option<u64>) -> Result<Self, Error> {
        let read = spawn_blocking(move || Self::read_now(item, most)).await;
        read.map_err(|error| Error::local("reading it", io::Error::other(error)))?
    }

    fn read_now(item: Item, most: Option<u64>) -> Result<Self, Error> {
        let (name, file) = match item {
            Item::Bytes { name, file } => (name, file),
            Item::Path(path) => {
                let name = path.file_name().ok_or(Error::NotAFile)?;
                let name = name.to_str().ok_or(Error::NotUtf8)?.to_owned();
                // Whoever opens a pipe otherwise waits for its writer.
                let mut options = OpenOptions::new();
                let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(&path);
                (Some(name), file.map_err(|error| Error::local("opening it", error))?)
            }
        };
        let reading = |error| Error::local("reading it", error);
        let metadata = file.metadata().map_err(reading)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile);
        }
        let kind = Kind::of(&file).map_err(reading)?;
        if let Some(most) = most {
            if metadata.len() > most {
                return Err(Error::TooLarge { size: metadata.len(), most });
            }
            kind.ok_or(Error::NotAPicture)?;
        }
        let sum = sum(&file).map_err(reading)?;
        let stamp = stamp(&file).map_err(reading)?;
        if sum.size != metadata.len() {
            return Err(Error::Upload(crate::upload::Error::Changed));
        }
        let mended = name.as_deref().map(names::mended);
        let is_mended = mended != name;
        Ok(Self { file: Arc::new(file), sum, stamp, kind, name: mended, is_mended })
    }

    /// The bytes, for sending them.
    pub(super) fn reader(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Whether the bytes are still those that were summed, as far as the file system tells.
    pub(super) fn is_unchanged(&self) -> bool {
        stamp(&self.file).is_ok_and(|stamp| stamp == self.stamp)
    }

    /// Its own name, or the time where it has none, and what the pattern makes of it.
    pub(super) fn path(&self, pattern: Option<&Pattern>, now: &Zoned) -> Result<String, Error> {
        let named = self.name.as_deref().map(split);
        let told = self.kind.map(|kind| kind.extension);
        let (stem, extension) = match named {
            Some((stem, "")) => (stem.to_owned(), told.unwrap_or("")),
            Some((stem, extension)) => (stem.to_owned(), extension),
            None => (now.strftime("%Y%m%d-%H%M%S").to_string(), told.unwrap_or("")),
        };
        let is_wanted = pattern.is_none_or(Pattern::wants_extension);
        if self.name.is_none() && told.is_none() && is_wanted {
            return Err(Error::Kindless);
        }
        match (pattern, &self.name) {
            (Some(pattern), _) => {
                let facts = Facts { stem: &stem, extension, md5: self.sum.md5, now };
                let path = pattern.path(&facts);
                let name = path.rsplit('/').next().unwrap_or_default();
                // A link is made with the extension of the name.
                match split(name).1.is_empty() && !extension.is_empty() {
                    true => Ok(format!("{path}.{extension}")),
                    false => Ok(path),
                }
            }
            (None, Some(name)) if split(name).1.is_empty() && !extension.is_empty() => {
                Ok(format!("{name}.{extension}"))
            }
            (None, Some(name)) => Ok(name.clone()),
            (None, None) => Ok(format!("{stem}.{extension}")),
        }
    }
}

/// What stands before the extension, and the extension without its point.
pub(super) fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

fn sum(file: &File) -> io::Result<Sum> {
    let (mut hasher, mut size) = (Hasher::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read_at(&mut chunk, size) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&chunk[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Sum { md5: Md5::new(hasher.finalize().into()), size, generation: 0 })
}

fn stamp(file: &File) -> io::Result<[i64; 5]> {
    let metadata = file.metadata()?;
    Ok([
        metadata.len() as i64,
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_last_point() {
        assert_eq!(split("a.b.png"), ("a.b", "png"));
        assert_eq!(split(".png"), (".png", ""));
        assert_eq!(split("a."), ("a.", ""));
        assert_eq!(split("a"), ("a", ""));
    }
}
