//! A reading: what is read of a file, and how.

use std::ops::Range;
use std::sync::Arc;

use super::Error;
use super::proof::Proof;
use crate::api;
use crate::cache::BLOCK;
use crate::types::Entry;

/// A file up to this size, in bytes, is had as a whole.
const SMALL: u64 = 128 << 10;

/// What is read of a file, and how.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) file: Arc<Entry>,
    /// Nothing is wanted from this offset on.
    pub(super) limit: u64,
    pub(super) proof: Arc<Proof>,
    /// Whether the proof judges the bytes, or the reader does.
    pub(super) prove: bool,
}

impl Reading {
    /// The blocks that are wanted where `len` bytes from `offset` are, and these bytes; `None` if there
    /// are none.
    pub(super) fn span(&self, offset: u64, len: usize) -> Option<(Range<u64>, Range<u64>)> {
        let end = offset.saturating_add(len as u64).min(self.limit);
        if offset >= end {
            return None;
        }
        // A small file is had as a whole, so that nothing of it is handed out unproven.
        let is_small = self.prove && self.limit == self.file.size() && self.limit <= SMALL;
        let numbers = match is_small {
            true => 0..self.blocks(),
            false => offset / BLOCK..end.div_ceil(BLOCK),
        };
        Some((numbers, offset..end))
    }

    /// Nothing is fetched from this block on.
    pub(super) fn blocks(&self) -> u64 {
        self.limit.div_ceil(BLOCK)
    }

    fn name(&self) -> Box<str> {
        self.file.name.clone()
    }

    /// The client's error, with the name of the file.
    pub(super) fn fetch_error(&self, error: api::Error) -> Error {
        Error::Fetch { name: self.name(), source: Arc::new(error) }
    }

    /// The body ended at this offset, before its end.
    pub(super) fn short(&self, at: u64) -> Error {
        Error::Short { name: self.name(), at }
    }

    /// There is no link to read.
    pub(super) fn no_link(&self) -> Error {
        Error::NoLink { name: self.name() }
    }

    /// Moderation took the bytes away.
    pub(super) fn rejected(&self, status: i64) -> Error {
        Error::Rejected { name: self.name(), status }
    }

    /// The link serves so many bytes, which is wrong.
    pub(super) fn mismatch(&self, served: u64) -> Error {
        Error::Mismatch { name: self.name(), served, listed: self.file.size() }
    }
}
