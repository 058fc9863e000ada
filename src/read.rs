//! The reader: bytes of remote files, each fetched once and none for nothing.
//!
//! Bytes come in blocks through a bounded cache. What is not there is brought by *flights*, each a GET
//! of one range. A *stream* is the track of a reader in sequence: the longer it is the more is
//! brought ahead of it, by as many flights at once as *lanes* were measured to be of use. A sniff at
//! the first bytes of a picture so costs little, who jumps about gets what it asks for, and a copy
//! runs at full speed. All who want a block wait for the one flight that is about to bring it.
//!
//! What is handed out is counted by the file's *proof*: whoever reads from the first byte on gets
//! the last block only if the md5 of the whole is the listing's.

mod asked;
mod crew;
mod error;
mod flight;
mod lanes;
mod proof;
mod reading;
mod stream;

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::Semaphore;

use crate::api::Client;
use crate::cache::{BLOCK, BlockCache};
use crate::types::{Entry, FileId};
pub use asked::Asked;
use crew::Crew;
pub use error::Error;
use proof::{Proof, Standing};
use reading::Reading;

/// Bytes of a pinned file that are asked for at a time.
const STRIDE: usize = 1 << 20;

/// Files whose proofs are kept: of those that are closed the kernel may still have pages.
const MOST_PROOFS: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");

/// Reads remote files through one cache.
pub struct Reader {
    crew: Arc<Crew>,
    cache: Arc<BlockCache>,
    /// Lock order: innermost.
    proofs: Mutex<LruCache<FileId, Arc<Proof>>>,
    /// One file at a time is brought for its pin.
    pinning: Semaphore,
}

impl Reader {
    /// A reader whose blocks live in `cache`.
    pub fn new(client: Client, cache: BlockCache) -> Self {
        let proofs = Mutex::new(LruCache::new(MOST_PROOFS));
        let cache = Arc::new(cache);
        Self {
            crew: Arc::new(Crew::new(client, cache.clone())),
            cache,
            proofs,
            pinning: Semaphore::new(1),
        }
    }

    /// The cache the blocks live in.
    pub fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// As `read`, if the bytes are here and proven; no network is waited for. What is missing is on
    /// its way then, so that parts that are asked for at once come in their order.
    pub fn read_here(
        &self, file: &Arc<Entry>, offset: u64, len: usize,
    ) -> Result<Vec<u8>, Option<Asked>> {
        let reading = self.reading(file, file.size(), true);
        let Some((numbers, bytes)) = reading.span(offset, len) else { return Ok(Vec::new()) };
        // What was refuted is not to be fetched, nor read.
        reading.proof.check().map_err(|_| None)?;
        // A flight without a link would ask for it, as does who reads on.
        let asked = file.has_link().then(|| self.crew.ask(&reading, &numbers)).flatten();
        let here = || self.cache.get(file, numbers.clone()).into_iter().collect();
        let here: Option<Vec<Bytes>> = self.cache.is_proven(file).then(here).flatten();
        here.map(|blocks| cut(numbers.start, &blocks, bytes)).ok_or(asked)
    }

    /// Whether these bytes are here, proven or not.
    pub fn has(&self, file: &Arc<Entry>, offset: u64, len: usize) -> bool {
        let reading = self.reading(file, file.size(), true);
        let missing = |(numbers, _)| self.cache.missing(file, numbers);
        reading.span(offset, len).and_then(missing).is_none()
    }

    /// As `read`, after `read_here`: what that asked for and did not get is not asked for again.
    pub async fn read_on(
        &self, file: &Arc<Entry>, offset: u64, len: usize, asked: Option<Asked>,
    ) -> Result<Vec<u8>, Error> {
        if let Some(asked) = asked {
            asked.come().await?;
        }
        self.read(file, offset, len).await
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
        let reading = self.reading(file, limit, prove);
        let Some((numbers, bytes)) = reading.span(offset, len) else { return Ok(Vec::new()) };
        let blocks = match prove {
            true => self.proven_blocks(&reading, &numbers).await?,
            false => self.blocks(&reading, &numbers).await?,
        };
        Ok(cut(numbers.start, &blocks, bytes))
    }

    fn reading(&self, file: &Arc<Entry>, limit: u64, prove: bool) -> Reading {
        let (limit, proof) = (limit.min(file.size()), self.proof(&file.id));
        Reading { file: file.clone(), limit, proof, prove }
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
        self.crew.stop(file);
        if let Some(proof) = self.proofs().peek(file) {
            proof.rest();
        }
    }

    /// Bytes of the file that are here.
    pub fn cached(&self, file: &Entry) -> u64 {
        self.cache.held_of(file)
    }

    /// Has all of a file kept on disk, across mounts, until it is evicted. What is missing comes in
    /// the background. An error if there is no room for it.
    pub fn pin(self: &Arc<Self>, file: &Arc<Entry>) -> io::Result<()> {
        self.cache.pin(file)?;
        let (reader, file) = (self.clone(), file.clone());
        tokio::spawn(async move {
            let _turn = reader.pinning.acquire().await;
            if let Err(error) = reader.bring(&file).await {
                tracing::warn!("pinned, and not all of it here: {error}");
            }
        });
        Ok(())
    }

    /// Brings what is missing of a file that is pinned.
    async fn bring(&self, file: &Arc<Entry>) -> Result<(), Error> {
        let mut offset = 0;
        while offset < file.size() && self.cache.is_pinned(file) {
            offset += self.read(file, offset, STRIDE).await?.len() as u64;
        }
        Ok(())
    }

    /// Throws out what is here of a file, and its pin.
    pub fn evict(&self, file: &Entry) -> io::Result<()> {
        self.crew.stop(&file.id);
        self.cache.evict(file)
    }

    /// Throws out what came of a file: it is fetched anew.
    pub fn forget(&self, file: &Entry) {
        self.crew.stop(&file.id);
        self.cache.forget(file);
    }

    fn proofs(&self) -> MutexGuard<'_, LruCache<FileId, Arc<Proof>>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proof(&self, file: &FileId) -> Arc<Proof> {
        self.proofs().get_or_insert(file.clone(), Arc::default).clone()
    }

    /// Blocks that a reader may have. Where they are the whole file, nothing of it was handed out
    /// when it turns out wrong, so it is fetched once more.
    async fn proven_blocks(
        &self, reading: &Reading, numbers: &Range<u64>,
    ) -> Result<Vec<Bytes>, Error> {
        let Reading { file, proof, .. } = reading;
        let mut is_last_try = *numbers != (0..file.size().div_ceil(BLOCK));
        loop {
            proof.check()?;
            let blocks = self.blocks(reading, numbers).await?;
            if self.cache.is_proven(file) {
                return Ok(blocks);
            }
            let handed = || numbers.clone().zip(&blocks);
            let counted = handed()
                .try_for_each(|(number, block)| proof.hand_out(&self.cache, file, number, block));
            let Err(error) = counted else { return Ok(blocks) };
            self.forget(file);
            if is_last_try {
                tracing::warn!("{error}");
                proof.refute(error.clone());
                return Err(error);
            }
            is_last_try = true;
        }
    }

    async fn blocks(&self, reading: &Reading, numbers: &Range<u64>) -> Result<Vec<Bytes>, Error> {
        self.crew.ask(reading, numbers);
        let mut blocks = Vec::with_capacity((numbers.end - numbers.start) as usize);
        loop {
            let rest = numbers.start + blocks.len() as u64..numbers.end;
            let here = self.cache.get(&reading.file, rest);
            blocks.extend(here.into_iter().map_while(|block| block));
            let next = numbers.start + blocks.len() as u64;
            if next == numbers.end {
                return Ok(blocks);
            }
            self.wait(reading, next..numbers.end).await?;
        }
    }

    /// Waits until the first of the blocks is here.
    async fn wait(&self, reading: &Reading, numbers: Range<u64>) -> Result<(), Error> {
        let Reading { file, .. } = reading;
        // The flight may have ended before it came here, and the block may have come meanwhile.
        let flight = self.crew.flight(file, numbers.start).or_else(|| {
            self.cache.missing(file, numbers.start..numbers.start + 1)?;
            self.crew.ask(reading, &numbers)
        });
        match flight {
            Some(asked) => asked.come().await,
            None => Ok(()),
        }
    }
}

/// The bytes of the range, out of the blocks from `first` on.
fn cut(first: u64, blocks: &[Bytes], range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    for (number, block) in (first..).zip(blocks) {
        let within = |at: u64| at.saturating_sub(number * BLOCK).min(block.len() as u64) as usize;
        bytes.extend_from_slice(&block[within(range.start)..within(range.end)]);
    }
    bytes
}
