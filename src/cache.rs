//! The block cache: blocks of remote files, on disk across mounts, and in memory while they are
//! fresh.
//!
//! A file ID never changes its bytes, so a block under an ID is never stale. The disk may be full,
//! slow, read-only or gone: that costs speed, and never a read.

mod beside;
mod data;
mod memory;
mod print;
mod shelf;
mod sidecar;
mod writer;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5 as Hasher};

use crate::disk::Spare;
use crate::types::{Entry, FileId};
pub use beside::beside;
use data::DataFile;
use memory::Memory;
pub use print::Print;
use shelf::Shelf;
use writer::{Target, Writer};

/// Bytes in a block; only the last block of a file is shorter. Four times the least that the kernel
/// asks for, so that reading here and there brings little that was not asked for.
pub const BLOCK: u64 = 16 << 10;

/// Bytes in memory: what readers and the writer have under way.
const MEMORY: u64 = 32 << 20;

/// A file in the folder of the cache: the md5 of its ID, which may have any characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u128);

/// The extensions of a key's files; a pin is empty, and there if the file is pinned.
const KINDS: [&str; 3] = ["data", "sums", "pin"];

impl Key {
    fn of(id: &FileId) -> Self {
        Self(u128::from_be_bytes(Hasher::digest(id.as_str().as_bytes()).into()))
    }

    /// The key of one of its files, and which of the kinds that is.
    fn parse(name: &str) -> Option<(Self, usize)> {
        let (key, extension) = name.split_once('.')?;
        let kind = KINDS.iter().position(|kind| *kind == extension)?;
        Some((Self(u128::from_str_radix(key, 16).ok().filter(|_| key.len() == 32)?), kind))
    }

    fn name(self, kind: usize) -> String {
        format!("{:032x}.{}", self.0, KINDS[kind])
    }

    fn data(self) -> String {
        self.name(0)
    }

    fn sidecar(self) -> String {
        self.name(1)
    }

    fn pin(self) -> String {
        self.name(2)
    }
}

/// Blocks of all files, bounded in bytes.
#[derive(Debug)]
pub struct BlockCache {
    memory: Memory,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    shelf: Arc<Shelf>,
    writer: Writer,
}

impl BlockCache {
    /// A cache that is gone with the process.
    pub fn in_memory() -> Self {
        Self { memory: Memory::new(MEMORY), disk: None }
    }

    /// A cache in the folder `dir`, which is made, bounded to `limit` bytes there. Where that cannot
    /// be, it is in memory alone.
    pub fn on_disk(dir: &Path, limit: u64) -> Self {
        let begun = || -> io::Result<Disk> {
            let shelf = Arc::new(Shelf::open(dir, limit)?);
            let writer = Writer::start(shelf.clone())?;
            Ok(Disk { shelf, writer })
        };
        let disk = match limit {
            0 => None,
            _ => begun()
                .inspect_err(|error| tracing::warn!("no cache in {}: {error}", dir.display()))
                .ok(),
        };
        Self { disk, ..Self::in_memory() }
    }

    /// What may go from the disk to make room there; `None` where there is no cache on disk.
    pub fn spare(&self) -> Option<Arc<dyn Spare>> {
        self.disk.as_ref().map(|disk| disk.shelf.clone() as _)
    }

    /// The bound, in bytes: of the disk where there is a cache on disk.
    pub fn capacity(&self) -> u64 {
        self.disk.as_ref().map_or(MEMORY, |disk| disk.shelf.limit())
    }

    /// Bytes held now, where the bound is.
    pub fn held(&self) -> u64 {
        self.disk.as_ref().map_or_else(|| self.memory.held(), |disk| disk.shelf.bytes())
    }

    /// How far ahead of a reader blocks may be brought, in bytes, and still be here when it comes.
    pub fn reach(&self) -> u64 {
        let disk = self.disk.as_ref().filter(|disk| !disk.writer.is_resting());
        disk.map_or(0, |disk| disk.shelf.allowed_last() / 4).max(MEMORY / 4)
    }

    fn data(&self, file: &Entry) -> Option<Arc<DataFile>> {
        self.disk.as_ref()?.shelf.find(Key::of(&file.id), &file.id, file.size())
    }

    /// Those of the blocks `numbers`, counted from 0, that are here, each in its place.
    pub fn get(&self, file: &Entry, numbers: Range<u64>) -> Vec<Option<Bytes>> {
        let mut blocks = self.memory.get(Key::of(&file.id), numbers.clone());
        if blocks.iter().all(Option::is_some) {
            return blocks;
        }
        let Some(data) = self.data(file) else { return blocks };
        let first = |blocks: &[Option<Bytes>]| blocks.iter().position(Option::is_none);
        let (from, to) = (first(&blocks), blocks.iter().rposition(Option::is_none));
        let (Some(from), Some(to)) = (from, to) else { return blocks };
        match data.read(numbers.start + from as u64..numbers.start + to as u64 + 1) {
            Ok(read) => {
                for (block, read) in blocks[from..=to].iter_mut().zip(read) {
                    *block = block.take().or(read);
                }
            }
            Err(error) => {
                tracing::warn!("the cache of {:?} is given up: {error}", file.name);
                self.forget(file);
            }
        }
        blocks
    }

    /// The first run of the blocks `numbers` that are not here.
    pub fn missing(&self, file: &Entry, numbers: Range<u64>) -> Option<Range<u64>> {
        let mut here: Vec<u64> = self.memory.which(Key::of(&file.id), numbers.clone());
        if let Some(data) = self.data(file) {
            here.extend(data.which(&numbers));
            here.sort_unstable();
        }
        let mut at = numbers.start;
        for number in here {
            match number {
                _ if number < at => {}
                _ if number == at => at += 1,
                _ => return Some(at..number),
            }
        }
        (at < numbers.end).then_some(at..numbers.end)
    }

    /// Bytes of the file that are here.
    pub fn held_of(&self, file: &Entry) -> u64 {
        let (all, mut missing) = (0..file.size().div_ceil(BLOCK), 0);
        let mut from = all.start;
        while let Some(gap) = self.missing(file, from..all.end) {
            missing += (gap.end * BLOCK).min(file.size()) - gap.start * BLOCK;
            from = gap.end;
        }
        file.size() - missing
    }

    /// Keeps a block; what is put is to be had at once.
    pub async fn put(&self, file: &Entry, number: u64, block: Bytes) {
        let target = target(file);
        self.memory.put(target.key, number, block.clone());
        if let Some(disk) = &self.disk {
            disk.writer.put(target, number, block).await;
        }
    }

    /// Keeps in mind, across mounts, that all blocks were proven by md5 if they have this print.
    pub fn prove(&self, file: &Entry, print: &Print) {
        if let Some(disk) = &self.disk {
            disk.writer.prove(target(file), print.finish());
        }
    }

    /// Whether all of the file is on disk, and was proven by md5.
    pub fn is_proven(&self, file: &Entry) -> bool {
        self.data(file).is_some_and(|data| data.is_proven())
    }

    /// Throws out what is here of a file; a pin stays.
    pub fn forget(&self, file: &Entry) {
        let key = Key::of(&file.id);
        if let Some(disk) = &self.disk {
            disk.shelf.forget(key);
            disk.writer.forgotten(key);
        }
        self.memory.forget(key, file.size().div_ceil(BLOCK));
    }

    /// Never evicts the file from now on, also in later mounts. An error if there is no room for it,
    /// or no cache on disk.
    pub fn pin(&self, file: &Entry) -> io::Result<()> {
        let key = Key::of(&file.id);
        let disk = self.disk.as_ref().filter(|disk| disk.shelf.fits_pinned(key, file.size()));
        let disk = disk.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSPC))?;
        disk.shelf.pin(key, true)
    }

    /// Whether the file is pinned.
    pub fn is_pinned(&self, file: &Entry) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.shelf.is_pinned(Key::of(&file.id)))
    }

    /// Throws out what is here of a file, and its pin.
    pub fn evict(&self, file: &Entry) -> io::Result<()> {
        if let Some(disk) = &self.disk {
            disk.shelf.pin(Key::of(&file.id), false)?;
        }
        self.forget(file);
        Ok(())
    }

    /// Waits until what was put is on disk.
    pub fn finish(&self) {
        if let Some(disk) = &self.disk {
            disk.writer.finish();
        }
    }
}

fn target(file: &Entry) -> Target {
    Target { key: Key::of(&file.id), id: file.id.clone(), size: file.size() }
}

/// What is gone need not be removed.
fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
