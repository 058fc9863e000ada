//! Inode numbers: what an object is known by to programs, in every mount.
//!
//! The number of an object comes of its file ID, and so costs nothing to keep. A file that had a number
//! before it had this ID, since it was new here, written anew or renamed by a copy, keeps it: that is
//! kept with the attributes, by the new ID.

use std::fmt;
use std::hash::{BuildHasher, Hasher as _, RandomState};

use md5::{Digest, Md5};

use super::FileId;

/// Bits of a number that are left out: with 52 it is exact in every language's numbers, and no two of a
/// million are alike by chance but once in ten thousand beds.
const UNUSED: u32 = 12;

/// The first number that is not the root's.
const FIRST: u64 = 2;

/// An inode number of the mount. 1 is its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount.
    pub const ROOT: Self = Self(1);

    /// The number of an object that never had another. The same for ever: programs remember it.
    pub fn of(object: &FileId) -> Self {
        let digest: [u8; 16] = Md5::digest(object.as_str()).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self::cut(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// A number for something new, that nothing had before.
    pub fn random() -> Self {
        Self::cut(RandomState::new().build_hasher().finish())
    }

    fn cut(bits: u64) -> Self {
        Self(FIRST + (bits >> UNUSED))
    }

    /// The number to try where somebody has this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1).max(FIRST))
    }
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_object_never_changes() {
        // Programs remember these: another way to make them is another file to each.
        assert_eq!(Ino::of(&FileId::new("1")), Ino(2_289_439_196_021_806));
        assert_ne!(Ino::of(&FileId::new("1")), Ino::of(&FileId::new("2")));
        assert!((0..1000).all(|_| (FIRST..FIRST + (1 << 52)).contains(&Ino::random().0)));
    }
}
