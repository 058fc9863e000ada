//! The block cache: blocks of remote content in memory, least recently used out first.
//!
//! A file ID never changes its bytes, so a block under an ID is never stale.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lru::LruCache;

use crate::types::FileId;

/// Bytes in a block; only the last block of a file is shorter. The kernel's read-ahead asks for as
/// much at a time.
pub const BLOCK: u64 = 128 << 10;

/// The least that a cache holds, in bytes: a block must not go before its reader has taken it.
const LEAST: u64 = 1 << 20;

/// Blocks of all files, bounded in bytes.
#[derive(Debug)]
pub struct BlockCache {
    blocks: Mutex<Blocks>,
    capacity: u64,
}

#[derive(Debug)]
struct Blocks {
    lru: LruCache<(FileId, u64), Bytes>,
    bytes: u64,
}

impl BlockCache {
    /// A cache that holds at most `capacity` bytes, but at least what readers need on the way.
    pub fn new(capacity: u64) -> Self {
        let blocks = Blocks { lru: LruCache::unbounded(), bytes: 0 };
        Self { blocks: Mutex::new(blocks), capacity: capacity.max(LEAST) }
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bound, in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.blocks().bytes
    }

    /// Block `number` of the file, counted from 0.
    pub fn get(&self, file: &FileId, number: u64) -> Option<Bytes> {
        self.blocks().lru.get(&(file.clone(), number)).cloned()
    }

    /// Whether the block is here, without counting as a use.
    pub fn contains(&self, file: &FileId, number: u64) -> bool {
        self.blocks().lru.contains(&(file.clone(), number))
    }

    /// Throws out the first `count` blocks of a file: all that it has.
    pub fn forget(&self, file: &FileId, count: u64) {
        let mut blocks = self.blocks();
        for number in 0..count {
            if let Some(old) = blocks.lru.pop(&(file.clone(), number)) {
                blocks.bytes -= old.len() as u64;
            }
        }
    }

    /// Keeps a block, and drops the least recently used ones that no longer fit.
    pub fn put(&self, file: &FileId, number: u64, block: Bytes) {
        let mut blocks = self.blocks();
        blocks.bytes += block.len() as u64;
        if let Some(old) = blocks.lru.put((file.clone(), number), block) {
            blocks.bytes -= old.len() as u64;
        }
        while blocks.bytes > self.capacity {
            match blocks.lru.pop_lru() {
                Some((_, old)) => blocks.bytes -= old.len() as u64,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let cache = BlockCache { capacity: 2 * BLOCK, ..BlockCache::new(0) };
        let file = FileId::new("f");
        let block = || Bytes::from(vec![0; BLOCK as usize]);
        cache.put(&file, 0, block());
        cache.put(&file, 1, block());
        assert!(cache.get(&file, 0).is_some());
        cache.put(&file, 2, block());
        let here: Vec<_> = (0..3).map(|number| cache.contains(&file, number)).collect();
        assert_eq!(here, [true, false, true]);
        assert_eq!(cache.held(), 2 * BLOCK);
    }

    #[test]
    fn a_file_that_is_forgotten_leaves_room_and_other_files() {
        let cache = BlockCache::new(4 * BLOCK);
        let (bad, good) = (FileId::new("bad"), FileId::new("good"));
        for number in 0..3 {
            cache.put(&bad, number, Bytes::from_static(b"bad"));
        }
        cache.put(&good, 0, Bytes::from_static(b"good"));
        cache.forget(&bad, 3);
        assert!((0..3).all(|number| !cache.contains(&bad, number)));
        assert_eq!(cache.get(&good, 0).as_deref(), Some(&b"good"[..]));
        assert_eq!(cache.held(), 4);
    }

    #[test]
    fn a_block_put_twice_counts_once() {
        let cache = BlockCache::new(4 * BLOCK);
        let file = FileId::new("f");
        cache.put(&file, 0, Bytes::from_static(b"abc"));
        cache.put(&file, 0, Bytes::from_static(b"ab"));
        assert_eq!(cache.held(), 2);
    }
}
