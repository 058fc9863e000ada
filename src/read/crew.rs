//! The crew: the streams and flights of all files, and which blocks are brought when.
//!
//! What a reader asks for is brought at once. What is brought ahead of it comes in pieces, as many at
//! once as there are lanes: each is begun when a reader asks or a flight ends.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::asked::Asked;
use super::flight::Flight;
use super::lanes::Lanes;
use super::reading::Reading;
use super::stream::Streams;
use crate::api::Client;
use crate::cache::{BLOCK, BlockCache};
use crate::types::{Entry, FileId};

/// GETs at once, of all files.
const MOST_GETS: usize = 32;

/// Of a window that is shared by several lanes, what each GET brings: no less than is worth a request,
/// and not so much that a reader waits for one lane.
const LEAST_PIECE: u64 = (256 << 10) / BLOCK;
const MOST_PIECE: u64 = (16 << 20) / BLOCK;

/// Everything that brings blocks.
pub(super) struct Crew {
    pub(super) client: Client,
    pub(super) cache: Arc<BlockCache>,
    pub(super) lanes: Lanes,
    /// Where flights run: readers ask from any thread.
    pub(super) runtime: Handle,
    /// One permit a GET.
    pub(super) gets: Semaphore,
    /// Whether the CDN answered the last range with a range.
    pub(super) has_ranges: AtomicBool,
    /// Lock order: only the lanes and the cache are locked under it.
    files: Mutex<HashMap<FileId, Reads>>,
}

/// What is read of one file.
#[derive(Default)]
struct Reads {
    streams: Streams,
    flights: Vec<Flight>,
}

impl Crew {
    pub(super) fn new(client: Client, cache: Arc<BlockCache>) -> Self {
        Self {
            client,
            cache,
            lanes: Lanes::default(),
            runtime: Handle::current(),
            gets: Semaphore::new(MOST_GETS),
            has_ranges: AtomicBool::new(true),
            files: Mutex::default(),
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Reads>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told that a reader asks for blocks: what is missing of them is on its way then, and what is
    /// worth bringing ahead. The answer is the first that is missing.
    pub(super) fn ask(self: &Arc<Self>, reading: &Reading, numbers: &Range<u64>) -> Option<Asked> {
        if numbers.start == 0 && reading.prove {
            reading.proof.begin();
        }
        let mut files = self.files();
        let reach = self.reach(&files);
        let reads = files.entry(reading.file.id.clone()).or_default();
        let left = reads.streams.ask(numbers, reading.blocks());
        reads.flights.retain(|flight| {
            flight.is_alive() && (flight.is_awaited() || !left.contains(&flight.stream))
        });
        reads.flights.iter().for_each(|flight| flight.ask_for(numbers.end));
        self.bring(reads, reading, numbers, reach);
        self.bring_ahead(reads, reading, reach);
        let missing = self.cache.missing(&reading.file, numbers.clone())?;
        self.asked(&reads.flights, missing.start)
    }

    /// Told that a flight has ended: the next begins.
    pub(super) fn pump(self: &Arc<Self>, reading: &Reading) {
        let mut files = self.files();
        let reach = self.reach(&files);
        if let Some(reads) = files.get_mut(&reading.file.id) {
            reads.flights.retain(Flight::is_alive);
            self.bring_ahead(reads, reading, reach);
        }
    }

    /// The flight that brings a block; `None` if it is here, or on no way.
    pub(super) fn flight(&self, file: &Entry, number: u64) -> Option<Asked> {
        self.asked(&self.files().get(&file.id)?.flights, number)
    }

    fn asked(&self, flights: &[Flight], number: u64) -> Option<Asked> {
        let flight = flights.iter().find(|flight| self.covers(flight, number))?;
        Some(flight.ask(number))
    }

    /// Ends what is on its way of a file.
    pub(super) fn stop(&self, file: &FileId) {
        self.files().remove(file);
    }

    /// How many flights of the file there are.
    pub(super) fn flights(&self, file: &Entry) -> usize {
        let files = self.files();
        let flights = files.get(&file.id).map_or(&[][..], |reads| &reads.flights);
        flights.iter().filter(|flight| flight.is_alive()).count()
    }

    /// Whether a flight of the file goes from its first block to its last.
    pub(super) fn has_whole(&self, file: &Entry) -> bool {
        let all = file.size().div_ceil(BLOCK);
        let files = self.files();
        let flights = files.get(&file.id).map_or(&[][..], |reads| &reads.flights);
        flights
            .iter()
            .any(|flight| flight.is_alive() && flight.is_whole() && flight.blocks().end == all)
    }

    /// Blocks that may be ahead of each stream: all windows together must fit the cache, or blocks
    /// would go before they are read.
    fn reach(&self, files: &HashMap<FileId, Reads>) -> u64 {
        let streams: usize = files.values().map(|reads| reads.streams.count()).sum();
        self.cache.reach() / BLOCK / streams.max(1) as u64
    }

    fn covers(&self, flight: &Flight, number: u64) -> bool {
        // Where there are no ranges, any flight may turn out to bring all that it has not brought.
        let has_ranges = self.has_ranges.load(Ordering::Relaxed);
        let blocks = flight.blocks();
        flight.is_alive() && (blocks.contains(&number) || !has_ranges && blocks.start <= number)
    }

    /// The first run of the blocks that is neither here nor on its way.
    fn gap(&self, reads: &Reads, file: &Entry, numbers: Range<u64>) -> Option<Range<u64>> {
        let mut at = numbers.start;
        while at < numbers.end {
            if let Some(flight) = reads.flights.iter().find(|flight| self.covers(flight, at)) {
                at = flight.blocks().end.max(at + 1);
                continue;
            }
            let missing = self.cache.missing(file, at..numbers.end)?;
            if missing.start > at {
                at = missing.start;
                continue;
            }
            // A flight may end, or come on, at any moment: a gap is never empty.
            let starts = reads.flights.iter().filter(|flight| flight.is_alive());
            let starts = starts.map(|flight| flight.blocks().start).filter(|start| *start > at);
            let end = starts.min().map_or(missing.end, |start| missing.end.min(start));
            return Some(at..end);
        }
        None
    }

    /// Begins to bring what is asked for, and with the last of it what is worth it.
    fn bring(
        self: &Arc<Self>, reads: &mut Reads, reading: &Reading, numbers: &Range<u64>, reach: u64,
    ) {
        let Some(stream) = reads.streams.last() else { return };
        let (id, target) = (stream.id, stream.target(reach).max(numbers.end));
        let upto = target.min(numbers.start + self.piece(target - numbers.start)).max(numbers.end);
        let mut at = numbers.start;
        while let Some(gap) = self.gap(reads, &reading.file, at..upto) {
            if gap.start >= numbers.end {
                break;
            }
            at = gap.end;
            let flight = Flight::start(self.clone(), reading.clone(), id, gap);
            reads.flights.push(flight);
        }
        if let Some(stream) = reads.streams.last() {
            stream.planned = stream.planned.max(at);
        }
    }

    /// Begins to bring what is worth it ahead of the readers, as far as there are lanes.
    fn bring_ahead(self: &Arc<Self>, reads: &mut Reads, reading: &Reading, reach: u64) {
        if !self.has_ranges.load(Ordering::Relaxed) {
            return;
        }
        let lanes = self.lanes.count();
        let mut streams = std::mem::take(&mut reads.streams);
        for stream in streams.running() {
            let flights = reads.flights.iter().filter(|flight| flight.stream == stream.id);
            let mut active = flights.count();
            let target = stream.target(reach).min(reading.blocks());
            let piece = self.piece(target.saturating_sub(stream.next()));
            loop {
                let from = stream.planned.max(stream.next());
                let Some(gap) = self.gap(reads, &reading.file, from..target) else {
                    self.lanes.rest();
                    break;
                };
                // A little is worth no GET, unless it is the end.
                if target - gap.start < piece.div_ceil(2) && target < reading.blocks() {
                    self.lanes.rest();
                    break;
                }
                if active >= lanes {
                    self.lanes.want();
                    break;
                }
                let gap = gap.start..gap.end.min(gap.start + piece);
                stream.planned = gap.end;
                let flight = Flight::start(self.clone(), reading.clone(), stream.id, gap);
                reads.flights.push(flight);
                active += 1;
            }
        }
        reads.streams = streams;
    }

    /// Blocks of one GET, of a window of so many.
    fn piece(&self, window: u64) -> u64 {
        let share = window / self.lanes.count() as u64;
        share.max(LEAST_PIECE.min(window)).clamp(1, MOST_PIECE)
    }
}
