//! A mount point: a folder of this machine on which a mount is, or is to be.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::disk;

/// What `/proc/mounts` shows as the type of our mounts, after `fuse.`.
pub const SUBTYPE: &str = "bedfs";

/// How long a mount may take to answer who just looks.
pub const ANSWER: Duration = Duration::from_secs(2);

/// The most dead mounts that are taken away one from above the other.
const MOST_DEAD: usize = 10;

/// Why a mount point cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Error {
    #[error("the mount point {0} does not exist; run: mkdir -p {0}")]
    Missing(PathBuf),
    #[error("the mount point {0} is not a folder; name an empty one")]
    NotAFolder(PathBuf),
    #[error("everything on this machine lies under {0}; name an empty folder")]
    Root(PathBuf),
    #[error("a mount on {0} died; run: bedfs umount {0}")]
    Stale(PathBuf),
    #[error("what is mounted on {0} died, and is not of bedfs; run: umount -l {0}")]
    Foreign(PathBuf),
    #[error("bedfs is mounted on {0} already; to end that, run: bedfs umount {0}")]
    Mounted(PathBuf),
    #[error("bedfs is not mounted on {0}; bedfs status says where it is")]
    NotMounted(PathBuf),
    #[error("{0} is in use: close what is open in it (lsof {0} tells), and leave it")]
    Busy(PathBuf),
    #[error("the mount point {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Takes away what mounts of ours whose processes died left on the path, checks that something can
/// be mounted there, and gives it in full.
pub fn make_free(path: &Path) -> Result<PathBuf, Error> {
    for _ in 0..MOST_DEAD {
        match check_free(path) {
            Err(Error::Stale(_)) => unmount(&find(path).map_err(foreign)?, true)?,
            checked => return checked,
        }
    }
    check_free(path)
}

fn foreign(error: Error) -> Error {
    match error {
        Error::NotMounted(path) => Error::Foreign(path),
        error => error,
    }
}

/// Checks that something can be mounted on the path, and gives it in full.
pub fn check_free(path: &Path) -> Result<PathBuf, Error> {
    let full = match as_named(path).map_or_else(|| path.canonicalize(), Ok) {
        Ok(full) => full,
        Err(error) => return Err(unusable(path, error)),
    };
    if is_ours(&full) {
        return Err(if is_dead(&full) { Error::Stale(full) } else { Error::Mounted(full) });
    }
    match fs::metadata(&full) {
        Ok(metadata) if !metadata.is_dir() => Err(Error::NotAFolder(full)),
        Ok(_) if full.parent().is_none() => Err(Error::Root(full)),
        Ok(_) => Ok(full),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Whether there is something in the folder, which a mount on it would hide.
pub fn has_content(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

fn unusable(path: &Path, error: io::Error) -> Error {
    match error.raw_os_error() {
        _ if is_lost(&error) => Error::Stale(path.to_owned()),
        Some(libc::ENOENT) => Error::Missing(path.to_owned()),
        _ => Error::Io { path: path.to_owned(), source: error },
    }
}

/// The path, if a mount of ours is there by just this name: nothing is asked of it.
fn as_named(path: &Path) -> Option<PathBuf> {
    let full: PathBuf = std::path::absolute(path).ok()?.components().collect();
    Some(full).filter(|full| is_ours(full))
}

/// The path of a mount of ours, in full, whether it lives or not.
pub fn find(path: &Path) -> Result<PathBuf, Error> {
    if let Some(full) = as_named(path) {
        return Ok(full);
    }
    // A dead mount cannot be resolved, but the folder it is on can.
    let full = path.canonicalize().or_else(|_| {
        let absolute = std::path::absolute(path)?;
        match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
            _ => Ok(absolute),
        }
    });
    let full = full.map_err(|source: io::Error| Error::Io { path: path.to_owned(), source })?;
    if is_ours(&full) { Ok(full) } else { Err(Error::NotMounted(full)) }
}

/// Whether the mount's process is gone.
pub fn is_dead(full: &Path) -> bool {
    let full = full.to_owned();
    // This asks the process, waits for no change that is under way in the folder, and is not remembered
    // by the kernel.
    let asked = within(ANSWER, move || disk::space(&full));
    asked.is_some_and(|told| told.is_err_and(|error| is_lost(&error)))
}

/// What is asked of a mount, if it answers in time: one that does not must not hold up who asks. The
/// question goes on beyond that, for nobody.
pub fn within<T: Send + 'static>(
    time: Duration, ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, given) = mpsc::channel();
    std::thread::spawn(move || done.send(ask()));
    given.recv_timeout(time).ok()
}

/// Whether a failure says that a mount's process is gone.
pub fn is_lost(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
}

/// Whether the topmost mount on the path is one of ours.
pub fn is_ours(full: &Path) -> bool {
    let mounts = mounts().into_iter();
    mounts.rev().find(|(target, _)| target == full).is_some_and(|(_, is_ours)| is_ours)
}

/// Where mounts of ours are, as far as this process sees.
pub fn all_ours() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mounts().into_iter().map(|(target, _)| target).collect();
    found.sort();
    found.dedup();
    found.retain(|target| is_ours(target));
    found
}

/// Every mount's target, and whether it is one of ours.
fn mounts() -> Vec<(PathBuf, bool)> {
    let table = fs::read("/proc/self/mounts").unwrap_or_default();
    let lines = table.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (_source, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
        let is_ours = kind.strip_prefix(b"fuse.") == Some(SUBTYPE.as_bytes());
        Some((PathBuf::from(unescape(target)), is_ours))
    });
    lines.collect()
}

/// A path as `fstab(5)` writes it.
pub fn unescaped(field: &str) -> PathBuf {
    unescape(field.as_bytes()).into()
}

/// `/proc/mounts` writes blanks and backslashes as `\040` and the like.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) if byte == b'\\' => {
                plain.push(code);
                rest = &after[3..];
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain)
}

/// Unmounts; `lazily` takes it out of sight even while it is in use.
pub fn unmount(full: &Path, lazily: bool) -> Result<(), Error> {
    let failed = |source| Error::Io { path: full.to_owned(), source };
    let flags = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match rustix::mount::unmount(full, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(Error::Busy(full.to_owned())),
        Err(Errno::PERM) => by_fusermount(full, lazily),
        Err(error) => Err(failed(error.into())),
    }
}

/// An ordinary user may not unmount, but `fusermount3` may for them.
fn by_fusermount(full: &Path, lazily: bool) -> Result<(), Error> {
    let failed = |source| Error::Io { path: full.to_owned(), source };
    let mut command = Command::new("fusermount3");
    command.arg(if lazily { "-uz" } else { "-u" }).arg("--").arg(full);
    let output = command.output().map_err(|error| {
        failed(io::Error::other(format!("fusermount3 (of the package fuse3): {error}")))
    })?;
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false if words.contains("busy") => Err(Error::Busy(full.to_owned())),
        false => Err(failed(io::Error::other(words))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_tables_are_unescaped() {
        assert_eq!(unescape(br"/mnt/my\040pictures\134x"), OsString::from(r"/mnt/my pictures\x"));
        assert_eq!(unescape(br"/a\"), OsString::from(r"/a\"));
    }

    #[test]
    fn what_cannot_be_mounted_on_is_told_apart() {
        assert!(matches!(check_free(Path::new("/no/such/place")), Err(Error::Missing(_))));
        assert!(matches!(check_free(Path::new("/proc/version")), Err(Error::NotAFolder(_))));
        assert!(matches!(find(Path::new("/proc")), Err(Error::NotMounted(_))));
    }
}
