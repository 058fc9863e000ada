//! The memory tier: blocks that have just come or are about to be read, least recently used out
//! first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lru::LruCache;

use super::Key;

/// Blocks of all files, bounded in bytes.
#[derive(Debug)]
pub(super) struct Memory {
    blocks: Mutex<Blocks>,
    capacity: u64,
}

#[derive(Debug)]
struct Blocks {
    lru: LruCache<(Key, u64), Bytes>,
    bytes: u64,
}

impl Memory {
    /// Holds at most `capacity` bytes.
    pub(super) fn new(capacity: u64) -> Self {
        Self { blocks: Mutex::new(Blocks { lru: LruCache::unbounded(), bytes: 0 }), capacity }
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes held now.
    pub(super) fn held(&self) -> u64 {
        self.blocks().bytes
    }

    /// Those of the blocks that are here, each in its place.
    pub(super) fn get(&self, key: Key, numbers: std::ops::Range<u64>) -> Vec<Option<Bytes>> {
        let mut blocks = self.blocks();
        numbers.map(|number| blocks.lru.get(&(key, number)).cloned()).collect()
    }

    /// Which of the blocks are here, without counting as a use.
    pub(super) fn which(&self, key: Key, numbers: std::ops::Range<u64>) -> Vec<u64> {
        let blocks = self.blocks();
        numbers.filter(|number| blocks.lru.contains(&(key, *number))).collect()
    }

    /// Keeps a block, and drops the least recently used ones that no longer fit.
    pub(super) fn put(&self, key: Key, number: u64, block: Bytes) {
        let mut blocks = self.blocks();
        blocks.bytes += block.len() as u64;
        if let Some(old) = blocks.lru.put((key, number), block) {
            blocks.bytes -= old.len() as u64;
        }
        while blocks.bytes > self.capacity {
            match blocks.lru.pop_lru() {
                Some((_, old)) => blocks.bytes -= old.len() as u64,
                None => break,
            }
        }
    }

    /// Throws out the first `count` blocks of a file: all that it has.
    pub(super) fn forget(&self, key: Key, count: u64) {
        let mut blocks = self.blocks();
        for number in 0..count {
            if let Some(old) = blocks.lru.pop(&(key, number)) {
                blocks.bytes -= old.len() as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Key = Key(1);

    fn block() -> Bytes {
        Bytes::from_static(b"block")
    }

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let memory = Memory::new(10);
        memory.put(FILE, 0, block());
        memory.put(FILE, 1, block());
        assert!(memory.get(FILE, 0..1)[0].is_some());
        memory.put(FILE, 2, block());
        assert_eq!(memory.which(FILE, 0..3), [0, 2]);
        assert_eq!(memory.held(), 10);
    }

    #[test]
    fn a_file_that_is_forgotten_leaves_room_and_other_files() {
        let (memory, other) = (Memory::new(100), Key(2));
        (0..3).for_each(|number| memory.put(FILE, number, block()));
        memory.put(other, 0, block());
        memory.forget(FILE, 3);
        assert!(memory.which(FILE, 0..3).is_empty());
        assert_eq!(memory.get(other, 0..1), [Some(block())]);
        assert_eq!(memory.held(), 5);
    }

    #[test]
    fn a_block_put_twice_counts_once() {
        let memory = Memory::new(100);
        memory.put(FILE, 0, block());
        memory.put(FILE, 0, Bytes::from_static(b"ab"));
        assert_eq!(memory.held(), 2);
    }
}
