//! A flight: one stream of blocks from the CDN into the cache, never far ahead of its reader.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Error;
use super::proof::{Admitted, Proof};
use crate::api::{self, Client, Download};
use crate::cache::{BLOCK, BlockCache};
use crate::types::{Entry, Picture};

/// A flight whose reader asks for nothing this long gives its connection back.
const IDLE: Duration = Duration::from_secs(15);

/// How much further than the one before a flight reaches.
const FURTHER: u64 = 8;

/// Tries without a single new block before a flight gives up.
const TRIES: usize = 5;

/// What a flight may bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The first block.
    pub(super) first: u64,
    /// The block after the last one.
    pub(super) end: u64,
    /// The widest window, in blocks.
    pub(super) widest: u64,
    /// Whether the reader leaves it to the file's proof to judge the bytes.
    pub(super) prove: bool,
}

/// What a flight works with.
pub(super) struct Crew {
    pub(super) client: Client,
    pub(super) cache: Arc<BlockCache>,
    pub(super) proof: Arc<Proof>,
}

/// How far a flight has come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Every block of the plan before this one is in the cache, or was.
    pub(super) next: u64,
    /// Set once, when the flight has given up.
    pub(super) failed: Option<Error>,
}

/// The reader's side of a flight. Dropping it ends the flight.
#[derive(Debug)]
pub(super) struct Flight {
    first: u64,
    end: u64,
    window: u64,
    widest: u64,
    /// The block that may not be fetched yet.
    limit: watch::Sender<u64>,
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Flight {
    /// Starts to bring the blocks of the plan.
    pub(super) fn start(crew: Crew, file: Arc<Entry>, plan: Plan) -> Self {
        let (limit, limits) = watch::channel(plan.first + 1);
        let (progress, progressed) = watch::channel(Progress { next: plan.first, failed: None });
        let Plan { first, end, widest, prove } = plan;
        let pilot = Pilot { crew, file, fresh: None, end, prove, limits, progress };
        let task = tokio::spawn(pilot.fly()).abort_handle();
        let mut flight = Self { first, end, window: 1, widest, limit, progress: progressed, task };
        flight.ask_for(first);
        flight
    }

    /// Whether the flight will bring the block soon: it is within `near` blocks of its window.
    pub(super) fn is_near(&self, number: u64, near: u64) -> bool {
        let next = self.progress.borrow().next;
        let under_way =
            self.progress.has_changed().is_ok() && self.progress.borrow().failed.is_none();
        under_way
            && next <= number
            && number < self.end
            && number < (*self.limit.borrow()).max(next) + near
    }

    /// Whether the block is among those this flight brought, or brings next.
    pub(super) fn has_brought(&self, number: u64) -> bool {
        self.first <= number && number <= self.progress.borrow().next
    }

    /// How far a flight that goes on where this one ended may reach: much further, for its reader
    /// reads on in sequence.
    pub(super) fn next_reach(&self, number: u64) -> Option<u64> {
        (number == self.end).then_some((self.end - self.first) * FURTHER)
    }

    /// How far the flight has come, now and later.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Lets the flight go a window beyond the block that a reader has reached. The window doubles
    /// when the reader is in the second half of it.
    pub(super) fn ask_for(&mut self, number: u64) {
        let limit = *self.limit.borrow();
        if number + 1 + self.window / 2 < limit {
            return;
        }
        if number > self.first {
            self.window = (self.window * 2).min(self.widest);
        }
        let wanted = (number + 1 + self.window).min(self.end);
        if wanted > limit {
            self.limit.send_replace(wanted);
        }
    }
}

/// The flight's own side: runs as a task.
struct Pilot {
    crew: Crew,
    file: Arc<Entry>,
    /// What `detail` told since, with a fresher link than the file's own.
    fresh: Option<Picture>,
    end: u64,
    prove: bool,
    limits: watch::Receiver<u64>,
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

/// Why one stream ended before the plan did.
enum Ended {
    /// Nobody asks for more, or another flight has been here: not an error.
    Needless,
    /// Worth another try.
    Broken(Error),
    /// The link is no longer valid.
    Expired(Error),
    /// Not worth another try.
    Failed(Error),
}

impl Pilot {
    async fn fly(mut self) {
        let mut tries = TRIES;
        let mut fresh_link = false;
        let mut pauses = pauses();
        loop {
            let before = self.next();
            let ended = match self.stream().await {
                Ok(()) => return,
                Err(ended) => ended,
            };
            if self.next() > before {
                (tries, pauses) = (TRIES, self::pauses());
            }
            let error = match ended {
                Ended::Needless => return,
                Ended::Expired(error) if !fresh_link => {
                    fresh_link = true;
                    match self.fetch_link().await {
                        Ok(()) => continue,
                        Err(None) => error,
                        Err(Some(error)) => error,
                    }
                }
                Ended::Broken(_) if tries > 1 => {
                    tries -= 1;
                    tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(2))).await;
                    continue;
                }
                Ended::Broken(error) | Ended::Expired(error) | Ended::Failed(error) => error,
            };
            let error = self.rejected().unwrap_or(error);
            tracing::warn!("{error}");
            self.progress.send_modify(|progress| progress.failed = Some(error));
            return;
        }
    }

    fn next(&self) -> u64 {
        self.progress.borrow().next
    }

    /// Waits until the reader wants the next block.
    async fn permission(&mut self) -> Result<(), Ended> {
        let next = self.next();
        let wanted = self.limits.wait_for(|limit| *limit > next);
        match tokio::time::timeout(IDLE, wanted).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Needless),
        }
    }

    /// One GET, from the next block to the end of the plan or of the connection.
    async fn stream(&mut self) -> Result<(), Ended> {
        self.permission().await?;
        let download = self.open().await?;
        let position = download.first;
        let block = BytesMut::with_capacity(BLOCK as usize);
        let mut body = Body { download, position, block };
        while self.next() < self.end {
            let chunk = match body.download.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(Ended::Broken(self.short())),
                Err(error) => return Err(self.ended(error)),
            };
            self.land(chunk, &mut body).await?;
        }
        Ok(())
    }

    /// Puts a chunk into blocks, and full blocks into the cache: also those before the first one that
    /// is wanted, which a server that knows no ranges sends, and which are paid.
    async fn land(&mut self, chunk: Bytes, body: &mut Body) -> Result<(), Ended> {
        let mut chunk = chunk;
        while !chunk.is_empty() && self.next() < self.end {
            let number = body.position / BLOCK;
            let end = ((number + 1) * BLOCK).min(self.file.size());
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
            self.crew.proof.land(number);
            self.crew.cache.put(&self.file.id, number, whole.freeze());
            if number == self.next() {
                self.progress.send_modify(|progress| progress.next += 1);
                self.go_on().await?;
            }
        }
        Ok(())
    }

    /// A body that told no size must end with the file: an error page goes on, or ends before.
    async fn expect_end(&self, rest: &Bytes, body: &mut Body) -> Result<(), Ended> {
        let told = body.download.total.or(body.download.length).is_some();
        if told || body.position < self.file.size() {
            return Ok(());
        }
        let more = match rest.is_empty() {
            true => body.download.chunk().await.map_err(|error| self.ended(error))?,
            false => Some(rest.clone()),
        };
        match more {
            None => Ok(()),
            Some(more) => {
                let (name, listed) = (self.file.name.clone(), self.file.size());
                let served = listed + more.len() as u64;
                Err(Ended::Expired(Error::Mismatch { name, served, listed }))
            }
        }
    }

    /// Between two blocks: whether the next one is wanted, and not here already.
    async fn go_on(&mut self) -> Result<(), Ended> {
        let next = self.next();
        if next >= self.end {
            return Ok(());
        }
        if self.crew.cache.contains(&self.file.id, next) {
            return Err(Ended::Needless);
        }
        self.permission().await
    }

    /// Asks for everything from the next block on.
    async fn open(&self) -> Result<Download, Ended> {
        let Some(picture) = self.file.picture() else {
            return Err(Ended::Failed(self.no_link()));
        };
        let Some(link) = self.fresh.as_ref().unwrap_or(picture).link.as_ref() else {
            return Err(Ended::Expired(self.no_link()));
        };
        let first = self.next() * BLOCK;
        let last = (self.end * BLOCK).min(picture.size) - 1;
        let range = Some((first, last));
        let download = self
            .crew
            .client
            .download(&link.download, range)
            .await
            .map_err(|error| self.ended(error))?;
        let served = match download.total {
            Some(total) => Some(total),
            None if !download.status_is_partial => download.length,
            None => None,
        };
        match served {
            Some(served) if served != picture.size => {
                let name = self.file.name.clone();
                // Perhaps a placeholder for what was rejected since: the service is asked.
                Err(Ended::Expired(Error::Mismatch { name, served, listed: picture.size }))
            }
            // From where it was asked for, or from the start; else the blocks would be shifted.
            _ if download.first != first && download.first != 0 => Err(Ended::Broken(self.short())),
            _ => self.admit(download),
        }
    }

    /// The download if its blocks may stand beside those of the flights before it.
    fn admit(&self, download: Download) -> Result<Download, Ended> {
        let forget = || self.crew.cache.forget(&self.file.id, self.file.size().div_ceil(BLOCK));
        let first = self.next();
        match self.crew.proof.admit(&self.file, first, &download.version, self.prove) {
            Ok(Admitted::Beside) => Ok(download),
            Ok(Admitted::Alone) => {
                forget();
                Ok(download)
            }
            Err(error) => {
                self.crew.proof.refute(error.clone());
                forget();
                Err(Ended::Failed(error))
            }
        }
    }

    /// Asks the service for the link of today. The error is the reason where there is a better one
    /// than the CDN's.
    async fn fetch_link(&mut self) -> Result<(), Option<Error>> {
        match self.crew.client.detail(&self.file.id).await {
            Ok(entry) => {
                self.fresh = entry.picture().cloned();
                let link = self.fresh.as_ref().and_then(|picture| picture.link.as_ref());
                link.map(|_| ()).ok_or(None)
            }
            Err(error) => Err(Some(self.fetch(error))),
        }
    }

    fn ended(&self, error: api::Error) -> Ended {
        if error.is_expired() || error.is_not_found() {
            Ended::Expired(self.fetch(error))
        } else if error.is_transient() {
            Ended::Broken(self.fetch(error))
        } else {
            Ended::Failed(self.fetch(error))
        }
    }

    fn fetch(&self, error: api::Error) -> Error {
        Error::Fetch { name: self.file.name.clone(), source: Arc::new(error) }
    }

    fn short(&self) -> Error {
        Error::Short { name: self.file.name.clone(), at: self.next() * BLOCK }
    }

    fn no_link(&self) -> Error {
        Error::NoLink { name: self.file.name.clone() }
    }

    /// The reason behind every failure to read what moderation took away.
    fn rejected(&self) -> Option<Error> {
        let picture = self.fresh.as_ref().or(self.file.picture())?;
        if !picture.is_rejected() {
            return None;
        }
        let name = self.file.name.clone();
        Some(Error::Rejected { name, status: picture.status })
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
