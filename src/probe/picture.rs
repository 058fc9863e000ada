//! A picture of the probe: the smallest valid PNG, of one grey pixel, with a text in it that makes
//! it unlike every other picture.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use md5::{Digest, Md5 as Hasher5};

use crate::staging::Sum;
use crate::types::Md5;

/// What every PNG begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// One pixel wide and high, 8 bits of grey.
const HEADER: &[u8] = b"\0\0\0\x01\0\0\0\x01\x08\0\0\0\0";
/// The pixel as a zlib stream with one stored block.
const PIXEL: &[u8] = b"\x78\x01\x01\x02\x00\xfd\xff\0\0\x00\x02\x00\x01";

/// Pictures made by this process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Bytes that no other object has, and their sum.
pub(super) struct Picture {
    bytes: Vec<u8>,
}

impl Picture {
    /// A picture; no two of a process have one size, for rows that do not tell the md5.
    pub(super) fn new() -> Self {
        let mut text = b"Comment\0bedfs ".to_vec();
        text.extend(random().bytes().chain(random().bytes()));
        text.extend(std::iter::repeat_n(b'.', COUNT.fetch_add(1, Relaxed)));
        let mut bytes = SIGNATURE.to_vec();
        for (kind, data) in [(b"IHDR", HEADER), (b"tEXt", &*text), (b"IDAT", PIXEL), (b"IEND", b"")]
        {
            chunk(&mut bytes, kind, data);
        }
        Self { bytes }
    }

    /// No bytes.
    pub(super) fn empty() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(super) fn sum(&self) -> Sum {
        let md5 = Md5::new(Hasher5::digest(&self.bytes).into());
        Sum { md5, size: self.bytes.len() as u64, generation: 0 }
    }

    /// The bytes as a file without a name.
    pub(super) fn file(&self) -> io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&self.bytes)?;
        Ok(file)
    }
}

/// Sixteen hexadecimal digits that differ each time.
pub(super) fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let checked = [kind, data].concat();
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(&checked);
    png.extend(crc(&checked).to_be_bytes());
}

/// The check sum of PNG, CRC-32.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_that_of_png() {
        assert_eq!(crc(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn no_two_pictures_are_alike() {
        let (one, other) = (Picture::new(), Picture::new());
        assert_ne!(one.sum().md5, other.sum().md5);
        assert_ne!(one.sum().size, other.sum().size);
        assert!(one.bytes.starts_with(SIGNATURE) && one.bytes.ends_with(b"IEND\xaeB`\x82"));
    }
}
