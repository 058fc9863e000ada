//! A text file: read as it is, and replaced in one step or not at all.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// The largest file that is taken for a text, in bytes: all of it is held in memory.
const LARGEST: u64 = 256 << 20;

/// Why a text file cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Error {
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{0}: it is no file; name the files")]
    NotAFile(PathBuf),
    #[error("{0}: larger than 256 MiB")]
    TooLarge(PathBuf),
    #[error(
        "{0} was changed by another program meanwhile; it is left as that made it: run it again"
    )]
    Changed(PathBuf),
}

/// A text, and the file that held it when it was read.
pub struct TextFile {
    /// The file itself, where symbolic links lead.
    path: PathBuf,
    seen: Metadata,
    /// What it held.
    pub text: Vec<u8>,
}

impl TextFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { what: "reading", path: path.to_owned(), source };
        let real = path.canonicalize().map_err(failed)?;
        // A pipe or device would be waited for.
        if !fs::metadata(&real).map_err(failed)?.is_file() {
            return Err(Error::NotAFile(path.to_owned()));
        }
        let file = File::open(&real).map_err(failed)?;
        let seen = file.metadata().map_err(failed)?;
        let mut text = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > LARGEST {
            return Err(Error::TooLarge(path.to_owned()));
        }
        Ok(Self { path: real, seen, text })
    }

    /// Puts a file with this text, and with the mode and owner of the old one, in its place. At any
    /// moment, and after a crash, it has the old text or the new one.
    pub fn replace(&self, text: &[u8]) -> Result<(), Error> {
        let failed = |source| Error::Io { what: "writing", path: self.path.clone(), source };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        // Whoever may not write the file may not have it replaced either.
        File::options().write(true).open(&self.path).map_err(failed)?;
        let new = tempfile::Builder::new().prefix(".bedfs-relink-").tempfile_in(folder);
        let mut new = new.map_err(failed)?;
        new.write_all(text).map_err(failed)?;
        let own = new.as_file().metadata().map_err(failed)?;
        if (own.uid(), own.gid()) != (self.seen.uid(), self.seen.gid()) {
            fchown(new.as_file(), Some(self.seen.uid()), Some(self.seen.gid())).map_err(failed)?;
        }
        new.as_file().set_permissions(self.seen.permissions()).map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        let is_same = fs::metadata(&self.path).is_ok_and(|now| print(&now) == print(&self.seen));
        if !is_same {
            return Err(Error::Changed(self.path.clone()));
        }
        new.persist(&self.path).map_err(|error| failed(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

/// What is another when a file was changed.
fn print(of: &Metadata) -> impl PartialEq {
    (of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_not_its_symbolic_link() {
        let dir = tempfile::tempdir().expect("a folder");
        let (real, link) = (dir.path().join("a.md"), dir.path().join("link.md"));
        fs::write(&real, b"old\xff\r\n").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("set");
        std::os::unix::fs::symlink("a.md", &link).expect("linked");
        let file = TextFile::read(&link).expect("read");
        assert_eq!(file.text, b"old\xff\r\n");
        file.replace(b"new").expect("replaced");
        assert_eq!(fs::read(&real).expect("read"), b"new");
        assert_eq!(fs::metadata(&real).expect("there").mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2, "nothing is left beside");
    }

    #[test]
    fn what_another_program_wrote_meanwhile_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.md");
        fs::write(&path, b"old").expect("written");
        let file = TextFile::read(&path).expect("read");
        fs::write(&path, b"theirs").expect("written");
        assert!(matches!(file.replace(b"new"), Err(Error::Changed(_))));
        assert_eq!(fs::read(&path).expect("read"), b"theirs");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(matches!(TextFile::read(dir.path()), Err(Error::NotAFile(_))));
        assert!(matches!(TextFile::read(&dir.path().join("none")), Err(Error::Io { .. })));
        assert!(matches!(TextFile::read(Path::new("/dev/null")), Err(Error::NotAFile(_))));
    }
}
