//! The reader: bytes of remote files, each fetched once and none for nothing.
//!
//! Bytes come in blocks through a bounded cache. What is not there is brought by a *flight*: one
//! GET that streams block after block, and pauses (the connection then fills and the server stops)
//! once it is a *window* ahead of what was asked for. The window doubles while a reader goes on in
//! sequence, so a sniff at the first bytes of a picture costs little and a copy runs at full speed.
//! All who want a block wait for the one flight that is about to bring it.
//!
//! What is handed out is counted by the file's *proof*: whoever reads from the first byte on gets
//! the last block only if the md5 of the whole is the listing's.

mod flight;
mod proof;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::watch;

use crate::api::{self, Client};
use crate::cache::{BLOCK, BlockCache};
use crate::types::{Entry, FileId, Md5};
use flight::{Crew, Flight, Plan};
use proof::{Proof, Standing};

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

/// Files whose proofs are kept: of those that are closed the kernel may still have pages.
const MOST_PROOFS: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");

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
    /// The bytes of the whole file have come, and are not those that the listing has the md5 of.
    #[error(
        "reading {name:?}: the md5 of what the link serves is {found}, the listing says {expected}"
    )]
    Corrupted {
        /// The file, as the service names it.
        name: Box<str>,
        /// The md5 of the listing.
        expected: Md5,
        /// The md5 of what came.
        found: Md5,
    },
    /// The link began to serve another content, and nothing can tell which one is right.
    #[error("reading {name:?}: the content behind the link changed meanwhile")]
    Swapped {
        /// The file, as the service names it.
        name: Box<str>,
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

impl Error {
    /// Whether wrong bytes came, rather than none.
    pub fn is_of_wrong_bytes(&self) -> bool {
        matches!(self, Self::Corrupted { .. } | Self::Swapped { .. })
    }
}

/// What is read of a file, and how.
struct Reading<'a> {
    file: &'a Arc<Entry>,
    /// Nothing is fetched from the block of this offset on.
    limit: u64,
    proof: Arc<Proof>,
    /// Whether the proof judges the bytes, or the reader does.
    prove: bool,
}

/// Reads remote files through one cache.
pub struct Reader {
    client: Client,
    cache: Arc<BlockCache>,
    /// Lock order: only the cache is locked under it.
    files: Mutex<HashMap<FileId, Vec<Flight>>>,
    /// Lock order: innermost.
    proofs: Mutex<LruCache<FileId, Arc<Proof>>>,
}

impl Reader {
    /// A reader whose blocks live in `cache`.
    pub fn new(client: Client, cache: BlockCache) -> Self {
        let proofs = Mutex::new(LruCache::new(MOST_PROOFS));
        Self { client, cache: Arc::new(cache), files: Mutex::new(HashMap::new()), proofs }
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
        self.read_blocks(file, offset, len, limit, true).await
    }

    /// As `read`, for a reader who proves the whole by itself, and may go on where others may not.
    pub async fn read_unproven(
        &self, file: &Arc<Entry>, offset: u64, len: usize,
    ) -> Result<Vec<u8>, Error> {
        self.read_blocks(file, offset, len, file.size(), false).await
    }

    async fn read_blocks(
        &self, file: &Arc<Entry>, offset: u64, len: usize, limit: u64, prove: bool,
    ) -> Result<Vec<u8>, Error> {
        let limit = limit.min(file.size());
        let end = offset.saturating_add(len as u64).min(limit);
        if offset >= end {
            return Ok(Vec::new());
        }
        self.announce(file, offset / BLOCK, (end - 1) / BLOCK);
        let reading = Reading { file, limit, proof: self.proof(&file.id), prove };
        let mut bytes = Vec::with_capacity((end - offset) as usize);
        for number in offset / BLOCK..=(end - 1) / BLOCK {
            let block = match prove {
                true => self.proven_block(&reading, number).await?,
                false => self.block(&reading, number).await?,
            };
            let first = number * BLOCK;
            let from = offset.saturating_sub(first) as usize;
            let to = ((end - first) as usize).min(block.len());
            bytes.extend_from_slice(&block[from..to]);
        }
        Ok(bytes)
    }

    /// Told when a file is opened, `alone` or while others have it open: whether pages that the
    /// kernel has of it may be wrong. Where wrong bytes came before, the file is fetched anew once
    /// all who had it open have closed it.
    pub fn open(&self, file: &Entry, alone: bool) -> bool {
        let proof = self.proofs().get(&file.id).cloned();
        let standing = proof.map_or(Standing::Good, |proof| proof.open(alone));
        if standing == Standing::Refuted {
            self.forget(file);
        }
        standing != Standing::Good
    }

    /// Ends the flights of a file that nobody has open any more.
    pub fn close(&self, file: &FileId) {
        self.files().remove(file);
        if let Some(proof) = self.proofs().peek(file) {
            proof.rest();
        }
    }

    /// Throws out what came of a file: it is fetched anew.
    pub fn forget(&self, file: &Entry) {
        self.files().remove(&file.id);
        self.cache.forget(&file.id, file.size().div_ceil(BLOCK));
    }

    fn proofs(&self) -> MutexGuard<'_, LruCache<FileId, Arc<Proof>>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proof(&self, file: &FileId) -> Arc<Proof> {
        self.proofs().get_or_insert(file.clone(), Arc::default).clone()
    }

    /// A block that a reader may have. Where the first block is the whole file, nothing of it was
    /// handed out when it turns out wrong, so it is fetched once more.
    async fn proven_block(&self, reading: &Reading<'_>, number: u64) -> Result<Bytes, Error> {
        let Reading { file, proof, .. } = reading;
        let mut is_last_try = file.size() > BLOCK;
        loop {
            proof.check()?;
            let block = self.block(reading, number).await?;
            let Err(error) = proof.hand_out(&self.cache, file, number, &block) else {
                return Ok(block);
            };
            self.forget(file);
            if is_last_try {
                tracing::warn!("{error}");
                proof.refute(error.clone());
                return Err(error);
            }
            is_last_try = true;
        }
    }

    async fn block(&self, reading: &Reading<'_>, number: u64) -> Result<Bytes, Error> {
        loop {
            if let Some(block) = self.cache.get(&reading.file.id, number) {
                return Ok(block);
            }
            let Some(mut progress) = self.progress(reading, number) else {
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
        &self, reading: &Reading<'_>, number: u64,
    ) -> Option<watch::Receiver<flight::Progress>> {
        let Reading { file, limit, proof, prove } = reading;
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
        let plan = Plan { first: number, end, widest: self.widest(), prove: *prove };
        let proof = proof.clone();
        let crew = Crew { client: self.client.clone(), cache: self.cache.clone(), proof };
        let flight = Flight::start(crew, Arc::clone(file), plan);
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
