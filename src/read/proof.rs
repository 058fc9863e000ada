//! The proof of a file: whether the bytes that were handed out of it are those of the listing's md5.
//!
//! A *sum* hashes the blocks of one reading from the first on, in order, as they are handed out; so
//! what it judges is what the readers got, whichever flights brought it. Blocks come a little out
//! of order, since the kernel asks for several at once: the sum takes those *strays* from the cache
//! when it comes to them.
//!
//! A block is hashed where it is handed out, before the reader has it: some 50 microseconds,
//! during which the flight goes on receiving. The last block to come can so be held back.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use md5::{Digest, Md5 as Hasher};

use super::Error;
use crate::api::Version;
use crate::cache::{BLOCK, BlockCache, Print};
use crate::types::{Entry, Md5};

/// Sums of one file at once, for as many readers at different places.
const MOST_SUMS: usize = 4;

/// Strays of one file that are remembered.
const MOST_STRAYS: usize = 8192;

/// How far ahead of a sum, in blocks, a flight may begin that brings what the sum will come to.
const NEAR: u64 = 8192;

/// What is known of the truth of one file's bytes.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Lock order: only the cache is locked under it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sums: Vec<Sum>,
    /// Blocks that were handed out before a sum came to them, and were not fetched again since.
    strays: BTreeSet<u64>,
    /// A block was handed out that no sum will count. The kernel may have kept it.
    is_doubtful: bool,
    /// A sum came out right, and nothing was fetched since.
    is_proven: bool,
    /// Why nothing is handed out until all have closed the file.
    refuted: Option<Error>,
    /// Why the last flight brought nothing.
    failure: Option<Error>,
    /// Of the content that was fetched last.
    version: Version,
}

/// The running md5 of one reading.
#[derive(Debug, Default)]
struct Sum {
    hasher: Hasher,
    /// Of the same blocks: by it the cache tells whether what it holds is what was proven.
    print: Print,
    /// The blocks before this one are hashed.
    next: u64,
}

/// How an open finds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// All that was handed out is being counted, or is proven.
    Good,
    /// Something that was handed out is not.
    Doubtful,
    /// Wrong bytes came.
    Refuted,
}

impl Proof {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves at worst a sum that comes out wrong: an error, not wrong bytes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a file stands that is opened, whereupon the kernel drops its pages unless all is good.
    /// `alone` tells that nobody else has it open: then also a refuted one starts afresh. Whoever
    /// still has it open would go on reading, with wrong bytes in hand.
    pub(super) fn open(&self, alone: bool) -> Standing {
        let mut state = self.state();
        match (state.refuted.is_some(), alone) {
            (true, true) => {
                *state = State::default();
                return Standing::Refuted;
            }
            (true, false) => return Standing::Doubtful,
            (false, _) => {}
        }
        match std::mem::take(&mut state.is_doubtful) {
            true => Standing::Doubtful,
            false => Standing::Good,
        }
    }

    /// Nobody has the file open. What the sums are of, the kernel may still show, so they go on when
    /// the file is opened again; the strays it then drops.
    pub(super) fn rest(&self) {
        let mut state = self.state();
        state.is_doubtful |= !state.strays.is_empty();
        state.strays.clear();
    }

    /// Told when the first block is asked for: a sum will come to what follows.
    pub(super) fn begin(&self) {
        self.state().begin_sum();
    }

    /// Told why a flight gave up.
    pub(super) fn fail(&self, error: Error) {
        self.state().failure = Some(error);
    }

    /// Why the file could not be read the last time.
    pub(super) fn failure(&self) -> Option<Error> {
        let state = self.state();
        state.refuted.clone().or_else(|| state.failure.clone())
    }

    /// The error of a file of which wrong bytes came.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.state().refuted.clone().map_or(Ok(()), Err)
    }

    /// From now on the file is not read, until all have closed it and it is opened anew. The kernel
    /// asks again at once for what could not be read: that must neither be paid for nor succeed.
    pub(super) fn refute(&self, error: Error) {
        *self.state() = State { refuted: Some(error), ..State::default() };
    }

    /// Told before a block that was fetched comes into the cache: it may not be the one of that
    /// number that was handed out.
    pub(super) fn land(&self, number: u64) {
        let mut state = self.state();
        state.failure = None;
        if state.strays.remove(&number) {
            state.is_doubtful = true;
        }
    }

    /// Told before blocks from `first` on are fetched: whether they may stand beside those that
    /// were fetched before. Where the version is another, a sum that will come to these blocks
    /// decides by md5, or the reader where there is nothing to `prove` here; else they must not be
    /// mixed.
    pub(super) fn admit(
        &self, file: &Entry, first: u64, version: &Version, prove: bool,
    ) -> Result<Admitted, Error> {
        let mut state = self.state();
        state.is_proven = false;
        let is_new = state.version.contradicts(version);
        if is_new || state.version == Version::default() {
            state.version = version.clone();
        }
        if !is_new {
            return Ok(Admitted::Beside);
        }
        let name = &file.name;
        tracing::info!("reading {name:?}: the link serves another version than before");
        state.is_doubtful = true;
        let follows = |sum: &Sum| (sum.next..=sum.next + NEAR).contains(&first);
        match listed(file) {
            Some(_) if first == 0 => Ok(Admitted::Alone),
            Some(_) if !prove || state.sums.iter().any(follows) => Ok(Admitted::Beside),
            _ => Err(Error::Swapped { name: name.clone() }),
        }
    }

    /// Counts a block that a reader is about to get. An error if a reading of the whole file comes
    /// out wrong with it: the reader must not get it then.
    pub(super) fn hand_out(
        &self, cache: &BlockCache, file: &Entry, number: u64, block: &Bytes,
    ) -> Result<(), Error> {
        let Some(listed) = listed(file) else {
            return self.check();
        };
        let mut state = self.state();
        if let Some(error) = &state.refuted {
            return Err(error.clone());
        }
        let held = |stray| cache.get(file, stray..stray + 1).pop().flatten();
        state.count(number, block, held);
        let blocks = file.size().div_ceil(BLOCK);
        let done: Vec<_> = state.sums.extract_if(.., |sum| sum.next == blocks).collect();
        for sum in done {
            let found = Md5::new(sum.hasher.finalize().into());
            if found != listed {
                let name = file.name.clone();
                return Err(Error::Corrupted { name, expected: listed, found });
            }
            state.is_proven = true;
            cache.prove(file, &sum.print);
        }
        Ok(())
    }
}

/// How blocks of another version are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Beside the blocks that are here.
    Beside,
    /// In place of the blocks that are here.
    Alone,
}

impl State {
    fn begin_sum(&mut self) {
        // The kernel may ask for a block in several parts: one sum is enough for these.
        if self.sums.iter().any(|sum| sum.next <= 1) {
            return;
        }
        if self.sums.len() == MOST_SUMS {
            let least = (0..MOST_SUMS).min_by_key(|&at| self.sums[at].next).unwrap_or(0);
            self.sums.remove(least);
        }
        self.sums.push(Sum::default());
    }

    fn count(&mut self, number: u64, block: &Bytes, held: impl Fn(u64) -> Option<Bytes>) {
        if number == 0 {
            self.begin_sum();
        }
        let mut is_counted = self.is_proven;
        for sum in &mut self.sums {
            if sum.next == number {
                sum.add(block);
                sum.gather(&mut self.strays, &held);
            }
            is_counted |= number < sum.next;
        }
        if !is_counted {
            self.strays.insert(number);
        }
        if self.strays.len() > MOST_STRAYS {
            // The one that a sum comes to last.
            self.strays.pop_last();
            self.is_doubtful = true;
        }
    }
}

impl Sum {
    fn add(&mut self, block: &Bytes) {
        self.hasher.update(block);
        self.print.add(block);
        self.next += 1;
    }

    /// Takes in the strays that are next, as far as they are still held.
    fn gather(&mut self, strays: &mut BTreeSet<u64>, held: impl Fn(u64) -> Option<Bytes>) {
        while strays.contains(&self.next)
            && let Some(block) = held(self.next)
        {
            strays.remove(&self.next);
            self.add(&block);
        }
    }
}

fn listed(file: &Entry) -> Option<Md5> {
    file.picture().and_then(|picture| picture.md5)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::types::{EntryKind, FileId, Picture};

    /// A file of `blocks` blocks with the md5 of `content`.
    fn file(content: &[Bytes]) -> Entry {
        let mut hasher = Hasher::new();
        content.iter().for_each(|block| hasher.update(block));
        let md5 = Some(Md5::new(hasher.finalize().into()));
        let size = content.len() as u64 * BLOCK;
        Entry {
            id: FileId::new("f"),
            name: "f.jpg".into(),
            parent: FileId::root(),
            created: 0,
            updated: 0,
            kind: EntryKind::File(Picture { size, md5, status: 0, traffic: 0, link: None }),
        }
    }

    struct Bed {
        file: Entry,
        cache: BlockCache,
        proof: Proof,
    }

    impl Bed {
        fn of(content: &[Bytes]) -> Self {
            let cache = BlockCache::in_memory();
            Self { file: file(content), cache, proof: Proof::default() }
        }

        fn put(&self, number: u64, block: &Bytes) {
            // In memory nothing is waited for.
            let put = self.cache.put(&self.file, number, block.clone());
            assert!(put.now_or_never().is_some());
        }

        fn hand_out(&self, number: u64, block: &Bytes) -> bool {
            self.put(number, block);
            self.proof.hand_out(&self.cache, &self.file, number, block).is_ok()
        }
    }

    fn content(blocks: u8) -> Vec<Bytes> {
        (0..blocks).map(|fill| Bytes::from(vec![fill; BLOCK as usize])).collect()
    }

    fn hand_out(content: &[Bytes], bad: Option<u64>, order: &[u64]) -> Vec<bool> {
        let (bed, wrong) = (Bed::of(content), Bytes::from(vec![99; BLOCK as usize]));
        let block = |number| if bad == Some(number) { &wrong } else { &content[number as usize] };
        order.iter().map(|&n| bed.hand_out(n, block(n))).collect()
    }

    #[test]
    fn the_last_block_of_a_wrong_whole_is_held_back() {
        let content = content(4);
        assert_eq!(hand_out(&content, None, &[0, 1, 2, 3]), [true; 4]);
        assert_eq!(hand_out(&content, Some(1), &[0, 1, 2, 3]), [true, true, true, false]);
        assert_eq!(hand_out(&content, Some(3), &[0, 0, 1, 1, 2, 3]).last(), Some(&false));
    }

    #[test]
    fn blocks_out_of_order_are_counted_when_their_turn_comes() {
        let content = content(4);
        assert_eq!(hand_out(&content, None, &[3, 0, 2, 1]), [true; 4]);
        assert_eq!(hand_out(&content, Some(3), &[3, 0, 2, 1]), [true, true, true, false]);
        assert_eq!(hand_out(&content, Some(0), &[3, 2]), [true; 2]);
    }

    #[test]
    fn each_of_two_readings_is_judged() {
        let content = content(3);
        assert_eq!(hand_out(&content, None, &[0, 1, 0, 1, 2, 2]), [true; 6]);
        let bed = Bed::of(&content);
        for number in [0, 1, 2] {
            assert!(bed.hand_out(number, &content[number as usize]));
        }
        assert_eq!(bed.proof.open(true), Standing::Good);
        let wrong = Bytes::from(vec![99; BLOCK as usize]);
        assert!(bed.hand_out(0, &wrong));
        assert!(bed.hand_out(1, &content[1]));
        assert!(!bed.hand_out(2, &content[2]));
    }

    #[test]
    fn what_no_sum_counts_makes_the_file_doubtful() {
        let content = content(3);
        let bed = Bed::of(&content);
        assert!(bed.hand_out(0, &content[0]));
        bed.proof.rest();
        assert_eq!(bed.proof.open(true), Standing::Good);
        assert!(bed.hand_out(2, &content[2]));
        bed.proof.rest();
        assert_eq!(bed.proof.open(true), Standing::Doubtful);
        assert_eq!(bed.proof.open(true), Standing::Good);
    }

    #[test]
    fn a_stray_that_is_fetched_again_is_not_counted() {
        let content = content(3);
        let bed = Bed::of(&content);
        assert!(bed.hand_out(2, &content[0]));
        bed.proof.land(2);
        bed.put(2, &content[2]);
        assert!(bed.hand_out(0, &content[0]) && bed.hand_out(1, &content[1]));
        assert!(!bed.proof.state().is_proven);
        assert_eq!(bed.proof.open(true), Standing::Doubtful);
    }

    #[test]
    fn a_refuted_file_is_read_again_when_all_have_closed_it() {
        let content = content(1);
        let bed = Bed::of(&content);
        bed.proof.refute(Error::Swapped { name: "f.jpg".into() });
        assert!(!bed.hand_out(0, &content[0]));
        assert_eq!(bed.proof.open(false), Standing::Doubtful);
        assert!(!bed.hand_out(0, &content[0]));
        assert_eq!(bed.proof.open(true), Standing::Refuted);
        assert!(bed.hand_out(0, &content[0]));
    }
}
