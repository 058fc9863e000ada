//! A claim: a content and a name of a folder that one process is about to put there, so that others of
//! this machine do not at the same time. The system ends it with its process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use md5::{Digest, Md5 as Hasher};

use crate::staging::Sum;
use crate::types::FileId;

/// The file whose bytes stand for what is claimed; it has none of its own.
const FILE: &str = "post.lock";

/// How often it is looked whether another process is done with the same content.
const LOOK: Duration = Duration::from_millis(100);

/// What is claimed is free when the value is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    file: File,
    folder: FileId,
}

impl Claim {
    /// Claims the content in the folder, when whoever has it is done with it.
    pub(super) async fn content(dir: &Path, folder: &FileId, sum: Sum) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let claim = Self { file: options.open(dir.join(FILE))?, folder: folder.clone() };
        let content = format!("content {} {}", sum.md5, sum.size);
        while !claim.take(&content)? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(claim)
    }

    /// Claims a name in the folder too; `false` if another has it.
    pub(super) fn name(&self, name: &str) -> io::Result<bool> {
        self.take(&format!("name {name}"))
    }

    fn take(&self, what: &str) -> io::Result<bool> {
        let sum: [u8; 16] = Hasher::digest(format!("{}\n{what}", self.folder)).into();
        let [a, b, c, d, e, f, ..] = sum;
        let byte = libc::off_t::from_be_bytes([0, 0, a, b, c, d, e, f]);
        // SAFETY: all bytes zero are a `flock` struct, of integers alone.
        let mut range: libc::flock = unsafe { std::mem::zeroed() };
        range.l_type = libc::F_WRLCK as libc::c_short;
        range.l_whence = libc::SEEK_SET as libc::c_short;
        range.l_start = byte;
        range.l_len = 1;
        // SAFETY: the descriptor is open, and the struct lives as long as the call.
        let taken = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &range) };
        if taken == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied => Ok(false),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Md5;

    #[tokio::test]
    async fn what_one_claims_another_gets_when_that_is_done() {
        let dir = tempfile::tempdir().expect("a folder");
        let sum = |byte| Sum { md5: Md5::new([byte; 16]), size: 7, generation: 0 };
        let claim = async |folder: &str, byte| {
            Claim::content(dir.path(), &FileId::new(folder), sum(byte)).await
        };
        let one = claim("1", 1).await.expect("claimed");
        assert!(one.name("a.png").expect("claimed"));
        let other = claim("1", 2).await.expect("claimed");
        assert!(!other.name("a.png").expect("told"));
        assert!(other.name("b.png").expect("claimed"));
        assert!(claim("2", 1).await.expect("claimed").name("a.png").expect("claimed"));
        let waits = claim("1", 1);
        let (mut waits, soon) = (std::pin::pin!(waits), Duration::from_millis(150));
        assert!(tokio::time::timeout(soon, waits.as_mut()).await.is_err());
        drop(one);
        assert!(waits.await.expect("claimed").name("a.png").expect("claimed"));
    }
}
