//! A flight: one range of blocks on its way from the CDN into the cache, by one GET at a time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Error;
use super::asked::Asked;
use super::crew::Crew;
use super::proof::Admitted;
use super::reading::Reading;
use super::stream::SNIFF;
use crate::api::{self, Download};
use crate::cache::BLOCK;
use crate::types::Picture;

/// A flight that waits for its reader this long gives its connection back.
const IDLE: Duration = Duration::from_secs(15);

/// Tries without a single new block before a flight gives up.
const TRIES: usize = 5;

/// How far a flight has come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Every block of the flight before this one is in the cache, or was.
    pub(super) next: u64,
    /// The block after its last.
    pub(super) end: u64,
    /// The server knows no ranges: the flight begins at the file's start.
    pub(super) is_whole: bool,
    /// Set once, when the flight has given up.
    pub(super) failed: Option<Error>,
}

/// The reader's side of a flight. Dropping it ends the flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// The stream it is for.
    pub(super) stream: u64,
    /// The block after the last that was asked for: a flight that had to begin at the file's start
    /// goes no further than is worth it.
    asked: watch::Sender<u64>,
    progress: watch::Receiver<Progress>,
    waits: Arc<()>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Flight {
    /// Starts to bring the blocks.
    pub(super) fn start(
        crew: Arc<Crew>, reading: Reading, stream: u64, blocks: Range<u64>,
    ) -> Self {
        let Range { start: first, end } = blocks;
        let (asked, asks) = watch::channel(end);
        tracing::trace!("{:?}: blocks {first}..{end} are fetched", reading.file.name);
        let begin = Progress { next: first, end, is_whole: false, failed: None };
        let (progress, progressed) = watch::channel(begin);
        let pilot = Pilot { crew: crew.clone(), reading, fresh: None, asks, progress };
        let task = crew.runtime.spawn(pilot.fly()).abort_handle();
        Self { stream, asked, progress: progressed, waits: Arc::new(()), task }
    }

    /// Whether it goes on.
    pub(super) fn is_alive(&self) -> bool {
        self.progress.has_changed().is_ok() && self.progress.borrow().failed.is_none()
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.waits) > 1
    }

    /// The blocks that are still to come.
    pub(super) fn blocks(&self) -> Range<u64> {
        let progress = self.progress.borrow();
        progress.next..progress.end
    }

    /// Whether the server knew no ranges, and sends the whole file.
    pub(super) fn is_whole(&self) -> bool {
        self.progress.borrow().is_whole
    }

    /// Tells that a reader has come so far.
    pub(super) fn ask_for(&self, end: u64) {
        self.asked.send_if_modified(|asked| {
            let is_more = end > *asked;
            *asked = end.max(*asked);
            is_more
        });
    }

    /// Waits for one of its blocks.
    pub(super) fn ask(&self, number: u64) -> Asked {
        Asked::new(number, self.progress.clone(), self.waits.clone())
    }
}

/// The flight's own side: runs as a task.
struct Pilot {
    crew: Arc<Crew>,
    reading: Reading,
    /// What `detail` told since, with a fresher link than the file's own.
    fresh: Option<Picture>,
    asks: watch::Receiver<u64>,
    progress: watch::Sender<Progress>,
}

/// A body on its way into blocks.
struct Body {
    download: Download,
    /// Where in the file the next chunk begins.
    position: u64,
    /// The beginning of the next block.
    block: BytesMut,
}

/// Why one stream of bytes ended before the flight did.
enum Ended {
    /// Nobody asks for more, or another flight brings it: not an error.
    Needless,
    /// Worth another try.
    Broken(Error),
    /// Nothing came for too long: worth another try at once, by another connection.
    Stalled(Error),
    /// The link is no longer valid.
    Expired(Error),
    /// Not worth another try.
    Failed(Error),
}

impl Pilot {
    async fn fly(mut self) {
        if let Err(error) = self.bring().await {
            let error = self.rejected().unwrap_or(error);
            tracing::warn!("{error}");
            self.reading.proof.fail(error.clone());
            self.progress.send_modify(|progress| progress.failed = Some(error));
        }
        let Self { crew, reading, progress, .. } = self;
        // From here on the flight is not alive, and makes room for the next.
        drop(progress);
        crew.pump(&reading);
    }

    async fn bring(&mut self) -> Result<(), Error> {
        let (mut tries, mut pauses) = (TRIES, pauses());
        let mut has_fresh_link = false;
        loop {
            let before = self.next();
            let Err(ended) = self.stream().await else { return Ok(()) };
            if self.next() > before {
                (tries, pauses) = (TRIES, self::pauses());
            }
            match ended {
                Ended::Needless => return Ok(()),
                Ended::Expired(error) if !has_fresh_link => {
                    has_fresh_link = true;
                    self.fetch_link().await.map_err(|better| better.unwrap_or(error))?;
                }
                Ended::Stalled(_) if tries > 1 => tries -= 1,
                Ended::Broken(_) if tries > 1 => {
                    tries -= 1;
                    tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(2))).await;
                }
                Ended::Broken(error)
                | Ended::Stalled(error)
                | Ended::Expired(error)
                | Ended::Failed(error) => return Err(error),
            }
        }
    }

    fn next(&self) -> u64 {
        self.progress.borrow().next
    }

    fn end(&self) -> u64 {
        self.progress.borrow().end
    }

    fn is_whole(&self) -> bool {
        self.progress.borrow().is_whole
    }

    /// One GET, from the next block to the last or to the end of the connection.
    async fn stream(&mut self) -> Result<(), Ended> {
        let crew = self.crew.clone();
        let _turn = crew.gets.acquire().await;
        let (step, download) = (crew.lanes.step(), self.open().await?);
        let position = download.first;
        let block = BytesMut::with_capacity(BLOCK as usize);
        let mut body = Body { download, position, block };
        while self.next() < self.end() {
            let chunk = match body.download.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(Ended::Broken(self.reading.short(self.next() * BLOCK))),
                Err(error) => return Err(self.ended(error)),
            };
            self.crew.lanes.landed(step, chunk.len() as u64);
            self.land(chunk, &mut body).await?;
        }
        Ok(())
    }

    /// Puts a chunk into blocks, and full blocks into the cache.
    async fn land(&mut self, chunk: Bytes, body: &mut Body) -> Result<(), Ended> {
        let mut chunk = chunk;
        let file = self.reading.file.clone();
        while !chunk.is_empty() && self.next() < self.end() {
            let number = body.position / BLOCK;
            let end = ((number + 1) * BLOCK).min(file.size());
            let part = chunk.split_to(chunk.len().min((end - body.position) as usize));
            body.position += part.len() as u64;
            body.block.extend_from_slice(&part);
            if body.position < end {
                return Ok(());
            }
            self.expect_end(&chunk, body).await?;
            // Each block has an allocation of its own and just as large.
            let room = BytesMut::with_capacity(BLOCK as usize);
            let whole = std::mem::replace(&mut body.block, room);
            self.keep(number, whole.freeze()).await;
            if number == self.next() {
                self.progress.send_modify(|progress| progress.next += 1);
                self.go_on().await?;
            }
        }
        Ok(())
    }

    /// Puts a block into the cache, unless it is there: from a server that knows no ranges it may
    /// come a second time.
    async fn keep(&self, number: u64, block: Bytes) {
        let Reading { file, proof, .. } = &self.reading;
        if self.is_whole() && self.crew.cache.missing(file, number..number + 1).is_none() {
            return;
        }
        proof.land(number);
        self.crew.cache.put(file, number, block).await;
    }

    /// A body that told no size must end with the file: an error page goes on, or ends before.
    async fn expect_end(&self, rest: &Bytes, body: &mut Body) -> Result<(), Ended> {
        let listed = self.reading.file.size();
        if body.download.total.or(body.download.length).is_some() || body.position < listed {
            return Ok(());
        }
        let more = match rest.is_empty() {
            true => body.download.chunk().await.map_err(|error| self.ended(error))?,
            false => Some(rest.clone()),
        };
        match more {
            None => Ok(()),
            Some(more) => {
                let served = listed + more.len() as u64;
                Err(Ended::Expired(self.reading.mismatch(served)))
            }
        }
    }

    /// Between two blocks: a flight from the file's start waits for its reader.
    async fn go_on(&mut self) -> Result<(), Ended> {
        let next = self.next();
        if !self.is_whole() || next >= self.end() {
            return Ok(());
        }
        let reach = self.crew.cache.reach() / BLOCK;
        let wanted = self.asks.wait_for(|asked| next < asked + (*asked).max(SNIFF).min(reach));
        match tokio::time::timeout(IDLE, wanted).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Needless),
        }
    }

    /// Asks for everything from the next block on.
    async fn open(&mut self) -> Result<Download, Ended> {
        let picture = self.fresh.as_ref().or(self.reading.file.picture());
        let Some(link) = picture.and_then(|picture| picture.link.as_ref()) else {
            return Err(Ended::Expired(self.reading.no_link()));
        };
        let listed = self.reading.file.size();
        let first = self.next() * BLOCK;
        let last = (self.end() * BLOCK).min(listed) - 1;
        let range = Some((first, last));
        let download = self.crew.client.download(&link.download, range).await;
        let download = download.map_err(|error| self.ended(error))?;
        let served = match download.total {
            Some(total) => Some(total),
            None if !download.status_is_partial => download.length,
            None => None,
        };
        match served {
            Some(served) if served != listed => match download.explain().await {
                Some(error) => Err(self.ended(error)),
                // Perhaps a placeholder for what was rejected since: the service is asked.
                None => Err(Ended::Expired(self.reading.mismatch(served))),
            },
            _ if !download.status_is_partial => self.begin_at_start(download),
            // From where it was asked for; else the blocks would be shifted.
            _ if download.first != first => {
                Err(Ended::Broken(self.reading.short(self.next() * BLOCK)))
            }
            _ => {
                self.crew.has_ranges.store(true, Ordering::Relaxed);
                self.admit(download)
            }
        }
    }

    /// The server knows no ranges, and sends the whole file: this flight takes all of it, alone.
    fn begin_at_start(&mut self, download: Download) -> Result<Download, Ended> {
        let all = self.reading.file.size().div_ceil(BLOCK);
        if self.next() == 0 && self.end() == all {
            return self.admit(download);
        }
        self.crew.has_ranges.store(false, Ordering::Relaxed);
        if !self.is_whole() && self.crew.has_whole(&self.reading.file) {
            return Err(Ended::Needless);
        }
        self.progress.send_modify(|progress| {
            (progress.next, progress.end, progress.is_whole) = (0, all, true);
        });
        self.admit(download)
    }

    /// The download if its blocks may stand beside those of the flights before it.
    fn admit(&self, download: Download) -> Result<Download, Ended> {
        let Reading { file, proof, prove, .. } = &self.reading;
        match proof.admit(file, self.next(), &download.version, *prove) {
            Ok(Admitted::Alone) if self.crew.flights(file) == 1 => {
                self.crew.cache.forget(file);
                Ok(download)
            }
            Ok(Admitted::Beside | Admitted::Alone) => Ok(download),
            Err(error) => {
                proof.refute(error.clone());
                self.crew.cache.forget(file);
                Err(Ended::Failed(error))
            }
        }
    }

    /// Asks the service for the link of today. The error is the reason where there is a better one
    /// than the CDN's.
    async fn fetch_link(&mut self) -> Result<(), Option<Error>> {
        match self.crew.client.detail(&self.reading.file.id).await {
            Ok(entry) => {
                self.fresh = entry.picture().cloned();
                let link = self.fresh.as_ref().and_then(|picture| picture.link.as_ref());
                link.map(|_| ()).ok_or(None)
            }
            Err(error) => Err(Some(self.reading.fetch_error(error))),
        }
    }

    fn ended(&self, error: api::Error) -> Ended {
        if error.is_expired() || error.is_not_found() {
            Ended::Expired(self.reading.fetch_error(error))
        } else if error.is_timed_out() {
            Ended::Stalled(self.reading.fetch_error(error))
        } else if error.is_transient() && !error.is_denied() {
            Ended::Broken(self.reading.fetch_error(error))
        } else {
            Ended::Failed(self.reading.fetch_error(error))
        }
    }

    /// The reason behind every failure to read what moderation took away.
    fn rejected(&self) -> Option<Error> {
        let picture = self.fresh.as_ref().or(self.reading.file.picture())?;
        picture.is_rejected().then(|| self.reading.rejected(picture.status))
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(TRIES)
        .with_jitter()
        .build()
}
