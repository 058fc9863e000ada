//! A log file: bounded, so that nothing need rotate it, and found again by whoever rotates it all the
//! same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// Bytes after which a file becomes the old one, and a new one begins.
const BOUND: u64 = 8 << 20;

/// A file that lines are appended to. With the one before it (`.1`) it has twice the bound at most.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    bound: u64,
}

impl LogFile {
    /// Opens it, made for nobody else to read if it is not there.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let open = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let named = |error| io::Error::other(format!("the log {}: {error}", path.display()));
        let file = open.map_err(named)?;
        Ok(Self { path, file, bound: BOUND })
    }

    /// Sees to it that a line of so many bytes goes where it should.
    fn make_ready(&mut self, more: u64) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let identity = |file: &fs::Metadata| (file.dev(), file.ino());
        let is_there = fs::metadata(&self.path).is_ok_and(|it| identity(&it) == identity(&ours));
        let is_full = ours.len() > 0 && ours.len() + more > self.bound;
        // A device has no end, and no name to give away.
        if !ours.is_file() || (is_there && !is_full) {
            return Ok(());
        }
        if is_there {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
        }
        self.file = Self::open(&self.path)?.file;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The open file is better than none.
        let _full = self.make_ready(line.len() as u64);
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_full_file_becomes_the_old_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("log");
        let mut log = LogFile { bound: 10, ..LogFile::open(&path).expect("opened") };
        for line in ["first\n", "second\n", "third\n", "a line that is longer than the bound\n"] {
            log.write_all(line.as_bytes()).expect("written");
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("readable");
        assert_eq!(read("log.1"), "third\n");
        assert_eq!(read("log"), "a line that is longer than the bound\n");
        assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 2);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_somebody_took_away_is_begun_anew() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("log");
        let mut log = LogFile::open(&path).expect("opened");
        log.write_all(b"old\n").expect("written");
        fs::rename(&path, dir.path().join("rotated")).expect("renamed");
        log.write_all(b"new\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "new\n");
    }
}
