//! The md5 of a staged file: hashed behind the writer while it is written in sequence, so that a
//! close has only the rest to read.
//!
//! The hasher keeps to a *prefix* of the file. A change inside it is noted, and the next sum begins
//! anew.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, MutexGuard, PoisonError};

use md5::{Digest, Md5 as Hasher};

use super::{CHUNK, Extents, StagedFile};
use crate::aside::aside;
use crate::types::Md5;

/// Bytes that are written before somebody is sent to hash them.
const LAG: u64 = 8 << 20;

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

/// The beginning of the content, hashed.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    hasher: Hasher,
    len: u64,
}

impl StagedFile {
    fn prefix(&self) -> MutexGuard<'_, Prefix> {
        // A panic leaves at worst a sum that comes out wrong, which the service refuses.
        self.prefix.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The md5 of the whole content, nothing of which may be missing. Reads what is not hashed yet:
    /// not for a session thread.
    pub fn sum(&self) -> io::Result<Sum> {
        let mut prefix = self.prefix();
        let (size, generation) = {
            let mut extents = self.extents();
            if std::mem::take(&mut extents.is_rewritten) || prefix.len > extents.len {
                *prefix = Prefix::default();
            }
            (extents.len, extents.generation)
        };
        self.hash_to(&mut prefix, size)?;
        self.disk.has_kept()?;
        Ok(Sum { md5: Md5::new(prefix.hasher.clone().finalize().into()), size, generation })
    }

    /// `sum`, on a thread where it holds nobody up.
    pub async fn sum_aside(self: Arc<Self>) -> io::Result<Sum> {
        aside(move || self.sum()).await
    }

    /// Whether somebody should be sent to `follow` the writer; told once until that has ended.
    pub fn wants_follower(&self) -> bool {
        let mut extents = self.extents();
        let is_wanted = extents.can_follow() && extents.len - extents.hashed >= LAG;
        extents.is_followed |= is_wanted;
        is_wanted
    }

    /// Hashes what is written in sequence, until the writer is caught up with. Not for a session
    /// thread.
    pub fn follow(&self) -> io::Result<()> {
        let mut prefix = self.prefix();
        loop {
            let whole = {
                let mut extents = self.extents();
                let whole = extents.len / CHUNK as u64 * CHUNK as u64;
                extents.is_followed = false;
                if !extents.can_follow() || whole <= prefix.len {
                    return Ok(());
                }
                extents.is_followed = true;
                whole
            };
            self.hash_to(&mut prefix, whole)?;
        }
    }

    /// Hashes on, up to `end`. Bytes that change meanwhile make the sum one of nothing: the generation
    /// tells.
    fn hash_to(&self, prefix: &mut Prefix, end: u64) -> io::Result<()> {
        if prefix.len >= end {
            return Ok(());
        }
        let open = self.open()?;
        let mut buffer = vec![0; CHUNK.min((end - prefix.len) as usize)];
        while prefix.len < end {
            let want = buffer.len().min((end - prefix.len) as usize);
            self.extents().hashed = prefix.len + want as u64;
            match open.file.read_exact_at(&mut buffer[..want], prefix.len) {
                // Cut meanwhile.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read?,
            }
            prefix.hasher.update(&buffer[..want]);
            prefix.len += want as u64;
        }
        Ok(())
    }
}

impl Extents {
    /// Whether hashing on now would not be in vain.
    fn can_follow(&self) -> bool {
        self.base == 0 && !self.is_rewritten && !self.is_followed
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::staged;
    use super::*;

    fn md5(bytes: &[u8]) -> Md5 {
        Md5::new(Hasher::digest(bytes).into())
    }

    #[test]
    fn what_is_hashed_behind_the_writer_comes_to_the_same_sum() {
        let (_dir, file) = staged(0);
        let content: Vec<u8> = (0..LAG as usize + 3 * CHUNK / 2).map(|at| (at / 7) as u8).collect();
        for (number, part) in content.chunks(CHUNK).enumerate() {
            file.write_at((number * CHUNK) as u64, part).expect("written");
            if file.wants_follower() {
                file.follow().expect("hashed");
            }
        }
        assert!(file.prefix().len >= LAG, "it was followed");
        assert_eq!(file.sum().expect("hashed").md5, md5(&content));
        file.write_at(content.len() as u64, b"more").expect("written");
        assert_eq!(file.sum().expect("hashed").md5, md5(&[&content, &b"more"[..]].concat()));
    }

    #[test]
    fn a_change_in_what_is_hashed_is_hashed_anew() {
        let (_dir, file) = staged(0);
        file.write_at(0, b"0123456789").expect("written");
        file.sum().expect("hashed");
        file.write_at(3, b"x").expect("written");
        assert_eq!(file.sum().expect("hashed").md5, md5(b"012x456789"));
        file.truncate(4).expect("cut");
        assert_eq!(file.sum().expect("hashed").md5, md5(b"012x"));
        file.truncate(6).expect("lengthened");
        assert_eq!(file.sum().expect("hashed").md5, md5(b"012x\0\0"));
    }
}
