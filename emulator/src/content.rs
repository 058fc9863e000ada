//! [`Content`]: the bytes of a file, in memory, generated, or on disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::digest::Hasher;

/// How many bytes are read at a time where the whole content is wanted.
const STEP: usize = 1 << 20;

/// The bytes of a file: its slices, one after the other. Cheap to clone, and never changed.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    slices: Arc<[Slice]>,
    len: u64,
}

/// A stretch of bytes, kept in one piece.
#[derive(Clone, Debug)]
pub(crate) enum Slice {
    Memory(Bytes),
    /// Bytes that follow from a seed.
    Generated {
        seed: u64,
        len: u64,
    },
    File {
        path: PathBuf,
        len: u64,
    },
}

impl Content {
    pub(crate) fn new(slices: Vec<Slice>) -> Content {
        let len = slices.iter().map(Slice::len).sum();
        Content { slices: slices.into(), len }
    }

    pub(crate) fn generated(seed: u64, len: u64) -> Content {
        Content::new(vec![Slice::Generated { seed, len }])
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Some of the bytes that begin at `offset`: at least one and at most `limit`, or none at the end.
    pub(crate) fn chunk(&self, offset: u64, limit: usize) -> io::Result<Bytes> {
        let mut start = 0;
        for slice in self.slices.iter() {
            let end = start + slice.len();
            if offset < end {
                let wanted = (end - offset).min(limit as u64);
                return slice.read(offset - start..offset - start + wanted);
            }
            start = end;
        }
        Ok(Bytes::new())
    }

    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.each(|chunk| all.extend_from_slice(chunk))?;
        Ok(all)
    }

    pub(crate) fn md5(&self) -> io::Result<String> {
        let mut hasher = Hasher::default();
        self.each(|chunk| hasher.update(chunk))?;
        Ok(hasher.finish())
    }

    fn each(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut offset = 0;
        while offset < self.len {
            let chunk = self.chunk(offset, STEP)?;
            take(&chunk);
            offset += chunk.len() as u64;
        }
        Ok(())
    }
}

impl Slice {
    fn len(&self) -> u64 {
        match self {
            Slice::Memory(bytes) => bytes.len() as u64,
            Slice::Generated { len, .. } | Slice::File { len, .. } => *len,
        }
    }

    /// The bytes of `range`, which lies within the slice.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let count = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        match self {
            Slice::Memory(bytes) => {
                let start = usize::try_from(range.start).map_err(io::Error::other)?;
                Ok(bytes.slice(start..start + count))
            }
            Slice::Generated { seed, .. } => Ok(generate(*seed, range)),
            Slice::File { path, .. } => {
                let mut bytes = vec![0; count];
                File::open(path)?.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            }
        }
    }
}

/// The bytes of `range` that follow from `seed`: every eight are the next of a SplitMix64 sequence.
fn generate(seed: u64, range: Range<u64>) -> Bytes {
    let words = range.start / 8..range.end.div_ceil(8);
    let mut bytes = Vec::with_capacity((words.end - words.start) as usize * 8);
    for index in words.clone() {
        bytes.extend_from_slice(&word(seed, index).to_le_bytes());
    }
    let skip = (range.start - words.start * 8) as usize;
    let count = (range.end - range.start) as usize;
    Bytes::from(bytes).slice(skip..skip + count)
}

fn word(seed: u64, index: u64) -> u64 {
    let mut word =
        seed.wrapping_mul(0xd134_2543_de82_ef95) ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
