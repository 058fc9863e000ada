//! A stream: the track of one reader that goes through a file in sequence, and how far ahead of it
//! bytes are worth bringing.
//!
//! Nothing is brought ahead of a reader who jumps about. Of the beginning of a file a little is, for
//! whoever looks at a picture's head. Then as much as was read in sequence, so that what is brought
//! for nothing is never more than what was wanted.

use std::ops::Range;

use crate::cache::BLOCK;

/// What is brought of the beginning of a file by the first look at it, in blocks.
pub(super) const SNIFF: u64 = (256 << 10) / BLOCK;

/// What is left of a file, in blocks, that is brought at once when its reader goes on past the
/// sniff: most pictures so cost two GETs.
const REST: u64 = (4 << 20) / BLOCK;

/// The widest window, in blocks.
const WIDEST: u64 = (64 << 20) / BLOCK;

/// Blocks that a reader may skip, or go back, and still be the same: at most as many as it has read.
const SLACK: u64 = (1 << 20) / BLOCK;

/// Streams of one file.
const MOST: usize = 8;

/// Asks of others after which a stream counts as left.
const PATIENCE: u32 = 16;

/// One reader's track.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u64,
    /// The first block that was asked for.
    begin: u64,
    /// The block that is asked for next if the reader goes on.
    next: u64,
    /// Blocks that were read in sequence.
    run: u64,
    /// Nothing was asked for but once.
    is_fresh: bool,
    /// The blocks before this one are on their way or here.
    pub(super) planned: u64,
    /// Nothing from this block on is wanted.
    limit: u64,
    /// Asks of other streams since its last.
    idle: u32,
}

/// The streams of one file, the one asked last at the end.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Stream>,
    last_id: u64,
}

impl Streams {
    /// Told that blocks are asked for, by a reader who wants nothing from `limit` on. The stream
    /// that they belong to is then the last one. Gives the IDs of streams that were left: what is on
    /// its way for them is for nothing.
    pub(super) fn ask(&mut self, numbers: &Range<u64>, limit: u64) -> Vec<u64> {
        let mut stream = match self.all.iter().rposition(|stream| stream.is_followed_by(numbers)) {
            Some(at) => self.all.remove(at),
            None => {
                self.last_id += 1;
                Stream::begin(self.last_id, numbers)
            }
        };
        stream.go_on(numbers, limit);
        let mut left = Vec::new();
        for other in &mut self.all {
            other.idle += 1;
            if other.idle == PATIENCE {
                other.run = 0;
                left.push(other.id);
            }
        }
        if self.all.len() == MOST {
            left.push(self.all.remove(0).id);
        }
        self.all.push(stream);
        left
    }

    /// The one asked last.
    pub(super) fn last(&mut self) -> Option<&mut Stream> {
        self.all.last_mut()
    }

    /// How many have a window.
    pub(super) fn count(&self) -> usize {
        self.all.iter().filter(|stream| stream.run > 0 && !stream.is_fresh).count()
    }

    /// Those that have a window, the one asked last first.
    pub(super) fn running(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.all.iter_mut().rev().filter(|stream| stream.run > 0)
    }
}

impl Stream {
    fn begin(id: u64, numbers: &Range<u64>) -> Self {
        let (begin, next, planned) = (numbers.start, numbers.start, numbers.start);
        Self { id, begin, next, run: 0, is_fresh: true, planned, limit: 0, idle: 0 }
    }

    /// The block that its reader asks for next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the blocks are near the next ones, or those just before the first: the kernel asks for
    /// several parts at once, and they come in any order.
    fn is_followed_by(&self, numbers: &Range<u64>) -> bool {
        let slack = self.run.min(SLACK);
        let near = self.next.saturating_sub(slack)..=self.next + slack;
        near.contains(&numbers.start) || self.run > 0 && numbers.end == self.begin
    }

    fn go_on(&mut self, numbers: &Range<u64>, limit: u64) {
        let before = self.begin.saturating_sub(numbers.start);
        let more = before + numbers.end.saturating_sub(numbers.start.max(self.next));
        self.begin -= before;
        self.is_fresh &= self.run == 0 || more == 0;
        self.run += more;
        self.next = self.next.max(numbers.end);
        self.planned = self.planned.max(numbers.start);
        (self.limit, self.idle) = (limit, 0);
    }

    /// The block up to which bytes are worth bringing; `reach` bounds the window, in blocks.
    pub(super) fn target(&self, reach: u64) -> u64 {
        let ahead = match self.begin {
            0 if self.next <= SNIFF => SNIFF - self.next,
            _ if self.is_fresh => 0,
            0 if self.limit.saturating_sub(self.next) <= REST => REST,
            _ => self.run.min(WIDEST).min(reach),
        };
        (self.next + ahead).min(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = 1 << 20;

    /// What the last of these asks has brought, in all.
    fn target(asks: &[(u64, u64)], limit: u64) -> u64 {
        let mut streams = Streams::default();
        for (from, to) in asks {
            streams.ask(&(*from..*to), limit);
        }
        let stream = streams.running().next().expect("the one asked last");
        stream.target(ALL)
    }

    #[test]
    fn a_look_at_the_beginning_brings_no_more_than_a_sniff() {
        assert_eq!(target(&[(0, 1)], ALL), SNIFF);
        assert_eq!(target(&[(0, 1), (1, 2), (2, 4), (4, 15)], ALL), SNIFF);
        assert_eq!(target(&[(0, 1)], 3), 3);
    }

    #[test]
    fn what_follows_a_sniff_is_brought_as_far_as_was_read_or_to_a_near_end() {
        assert_eq!(target(&[(0, 8), (8, 16), (16, 24)], ALL), 48);
        assert_eq!(target(&[(0, 8), (8, 16), (16, 24)], 200), 200);
        assert_eq!(target(&[(0, 64), (64, 128), (128, 256)], ALL), 512);
        assert_eq!(target(&[(0, 8192), (8192, 16384)], ALL), 16384 + WIDEST);
    }

    #[test]
    fn parts_that_come_in_any_order_are_one_reading() {
        assert_eq!(target(&[(8, 16), (0, 8)], ALL), SNIFF);
        assert_eq!(target(&[(0, 8), (16, 24), (8, 16)], 200), 200);
        assert_eq!(target(&[(0, 8), (16, 24), (8, 16), (24, 32)], ALL), 32 + 24);
    }

    #[test]
    fn who_jumps_about_gets_what_was_asked_for_alone() {
        assert_eq!(target(&[(500, 501)], ALL), 501);
        assert_eq!(target(&[(500, 501), (9000, 9001), (40, 41)], ALL), 41);
    }

    #[test]
    fn a_small_seek_is_the_same_reader_and_a_wide_one_another() {
        assert_eq!(target(&[(500, 600), (600, 700), (720, 730)], ALL), 730 + 210);
        assert_eq!(target(&[(500, 600), (600, 700), (690, 700)], ALL), 700 + 200);
        assert_eq!(target(&[(500, 600), (600, 700), (900, 910)], ALL), 910);
    }

    #[test]
    fn a_stream_that_others_follow_upon_is_left() {
        let mut streams = Streams::default();
        streams.ask(&(500..600), ALL);
        let mut left = Vec::new();
        for number in 0..u64::from(PATIENCE) {
            let at = 10_000 + number;
            left.extend(streams.ask(&(at..at + 1), ALL));
        }
        assert_eq!(left, [1]);
    }
}
