//! The reader: bytes of remote files, each fetched once and none for nothing.
//!
//! Bytes come in blocks through a bounded cache. What is not there is brought by a *flight*: one
//! GET that streams block after block, and pauses (the connection then fills and the server stops)
//! once it is a *window* ahead of what was asked for. The window doubles while a reader goes on in
//! sequence, so a sniff at the first bytes of a picture costs little and a copy runs at full speed.
//! All who want a block wait for the one flight that is about to bring it.

mod flight;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::api::{self, Client};
use crate::cache::{BLOCK, BlockCache};
use crate::types::{Entry, FileId};
use flight::{Flight, Plan};

/// A block this near ahead of a flight is waited for rather than fetched by a flight of its own.
const NEAR: u64 = 8;

/// The widest window, in blocks; also what the first flight from the start of a file asks for, so
/// that a picture up to there costs one GET.
const WIDEST: u64 = 32;

/// What a flight from elsewhere in a file asks for, in blocks. A server sends ahead of what is read,
/// so whoever jumps about pays for little more than this.
const NARROW: u64 = 4;

/// Flights of one file at once.
const MOST_FLIGHTS: usize = 4;

/// Why bytes of a remote file could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service or the CDN failed, and went on failing.
    #[error("reading {name:?}: {source}")]
    Fetch {
        /// The file, as the service names it.
        name: Box<str>,
        /// What the client told.
        source: Arc<api::Error>,
    },
    /// The CDN serves something else than the listing promised.
    #[error("reading {name:?}: the link serves {served} bytes where the listing says {listed}")]
    Mismatch {
        /// The file, as the service names it.
        name: Box<str>,
        /// Bytes that the CDN says the file has.
        served: u64,
        /// Bytes that the listing says it has.
        listed: u64,
    },
    /// The body ended before its end, again and again.
    #[error("reading {name:?}: the download broke off at byte {at}, several times")]
    Short {
        /// The file, as the service names it.
        name: Box<str>,
        /// Offset in the file.
        at: u64,
    },
    /// The service tells no link for the file.
    #[error("reading {name:?}: the service tells no link for it")]
    NoLink {
        /// The file, as the service names it.
        name: Box<str>,
    },
    /// Moderation rejected the file, and the service does not give its bytes.
    #[error("reading {name:?}: rejected by moderation (status {status})")]
    Rejected {
        /// The file, as the service names it.
        name: Box<str>,
        /// Over 100.
        status: i64,
    },
}

/// Reads remote files through one cache.
pub struct Reader {
    client: Client,
    cache: Arc<BlockCache>,
    /// Lock order: innermost, nothing else is locked under it.
    files: Mutex<HashMap<FileId, Vec<Flight>>>,
}

impl Reader {
    /// A reader whose blocks live in `cache`.
    pub fn new(client: Client, cache: BlockCache) -> Self {
        Self { client, cache: Arc::new(cache), files: Mutex::new(HashMap::new()) }
    }

    /// The cache the blocks live in.
    pub fn cache(&self) -> &BlockCache {
        &self.cache
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Vec<Flight>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `len` bytes from `offset`, fewer only at the end of the file.
    pub async fn read(&self, file: &Arc<Entry>, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        self.read_until(file, offset, len, file.size()).await
    }

    /// As `read`, for a reader who wants nothing at or beyond `limit`: nothing is fetched there.
    pub async fn read_until(
        &self, file: &Arc<Entry>, offset: u64, len: usize, limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let limit = limit.min(file.size());
        let end = offset.saturating_add(len as u64).min(limit);
        if offset >= end {
            return Ok(Vec::new());
        }
        self.announce(file, offset / BLOCK, (end - 1) / BLOCK);
        let mut bytes = Vec::with_capacity((end - offset) as usize);
        for number in offset / BLOCK..=(end - 1) / BLOCK {
            let block = self.block(file, number, limit).await?;
            let first = number * BLOCK;
            let from = offset.saturating_sub(first) as usize;
            let to = ((end - first) as usize).min(block.len());
            bytes.extend_from_slice(&block[from..to]);
        }
        Ok(bytes)
    }

    /// Ends the flights of a file that nobody has open any more.
    pub fn close(&self, file: &FileId) {
        self.files().remove(file);
    }

    async fn block(&self, file: &Arc<Entry>, number: u64, limit: u64) -> Result<Bytes, Error> {
        loop {
            if let Some(block) = self.cache.get(&file.id, number) {
                return Ok(block);
            }
            let Some(mut progress) = self.progress(file, number, limit) else {
                continue;
            };
            match progress.wait_for(|at| at.next > number || at.failed.is_some()).await {
                Ok(at) => {
                    if let (Some(error), true) = (&at.failed, at.next <= number) {
                        return Err(error.clone());
                    }
                }
                // The flight ended before it came here: another is needed.
                Err(_) => continue,
            }
        }
    }

    /// The progress of the flight that will bring the block: one under way, or a new one. `None` if
    /// it has just come.
    fn progress(
        &self, file: &Arc<Entry>, number: u64, limit: u64,
    ) -> Option<watch::Receiver<flight::Progress>> {
        let mut files = self.files();
        let flights = files.entry(file.id.clone()).or_default();
        if let Some(flight) = flights.iter_mut().find(|flight| flight.is_near(number, NEAR)) {
            flight.ask_for(number);
            return Some(flight.progress());
        }
        // A flight puts a block into the cache before it goes on, so looking now misses none.
        if self.cache.contains(&file.id, number) {
            return None;
        }
        let reach = flights.iter().find_map(|flight| flight.next_reach(number));
        let reach = reach.unwrap_or(if number == 0 { WIDEST } else { NARROW });
        let end = limit.div_ceil(BLOCK).min(number + reach);
        // A reader who jumps about leaves flights behind: the oldest makes room.
        if flights.len() >= MOST_FLIGHTS {
            flights.remove(0);
        }
        let plan = Plan { first: number, end, widest: self.widest() };
        let flight = Flight::start(self.client.clone(), self.cache.clone(), file.clone(), plan);
        let progress = flight.progress();
        flights.push(flight);
        Some(progress)
    }

    /// Tells a flight that its reader has come this far, so that it stays ahead of it.
    fn announce(&self, file: &Entry, first: u64, last: u64) {
        if let Some(flights) = self.files().get_mut(&file.id)
            && let Some(flight) = flights.iter_mut().find(|flight| flight.has_brought(first))
        {
            flight.ask_for(last);
        }
    }

    /// All windows together must fit the cache, or blocks would go before they are read.
    fn widest(&self) -> u64 {
        WIDEST.min(self.cache.capacity() / BLOCK / 4).max(1)
    }
}
