//! [`Extents`]: which bytes of a file are staged, and which show through from the base.

use std::ops::Range;

use rangemap::RangeSet;

/// Which bytes the staged file holds.
#[derive(Clone, Debug)]
pub(super) struct Extents {
    /// Bytes the file has, written, missing and holes together; the file on disk is as long.
    pub(super) len: u64,
    /// The base still shows through below this offset, where nothing was written. At most `len`.
    pub(super) base: u64,
    /// What was written or filled, below `base`. Above it everything is here.
    pub(super) present: RangeSet<u64>,
    /// What of `present` was filled in and never written, and is not proven to be the base's.
    pub(super) filled: RangeSet<u64>,
    /// Counts the changes of content; filling is none.
    pub(super) generation: u64,
    /// Bytes that are hashed, or being hashed, and whether any of them changed since.
    pub(super) hashed: u64,
    pub(super) is_rewritten: bool,
    /// Whether somebody hashes behind the writer.
    pub(super) is_followed: bool,
}

impl Extents {
    /// The content changed at `offset` and after it.
    pub(super) fn changed_from(&mut self, offset: u64) {
        self.generation += 1;
        self.is_rewritten |= offset < self.hashed;
    }

    /// These bytes were written over, and no log tells of it: those of the base among them are missing
    /// again.
    pub(super) fn lose(&mut self, range: &Range<u64>) {
        let filled: Vec<Range<u64>> = self.filled.overlapping(range).cloned().collect();
        for part in filled {
            let part = part.start.max(range.start)..part.end.min(range.end);
            self.present.remove(part.clone());
            self.filled.remove(part.clone());
            self.is_rewritten |= part.start < self.hashed;
        }
    }

    /// The first part of the base in this range that is not here.
    pub(super) fn missing(&self, within: Range<u64>) -> Option<Range<u64>> {
        let end = within.end.min(self.base);
        if within.start >= end {
            return None;
        }
        self.present.gaps(&(within.start..end)).next()
    }
}
