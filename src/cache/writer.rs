//! The writer: the thread that brings blocks to the disk, in the order they came, and never holds
//! up who reads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Key;
use super::shelf::Shelf;
use crate::types::FileId;

/// Blocks on their way to the disk.
const QUEUE: usize = 512;

/// Blocks that are written one after the other, with one entry in the sidecar.
const BATCH: usize = 64;

/// How long a block waits for its place: a disk that hangs must not stop who reads.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a disk that failed is left alone.
const REST: Duration = Duration::from_secs(5);

/// How long the end of the cache waits for the disk.
const END: Duration = Duration::from_secs(10);

/// The handle of the thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Sender<Job>,
    room: Arc<Semaphore>,
    rest: Arc<Rest>,
}

/// Until when a disk that failed is left alone.
#[derive(Debug, Default)]
struct Rest(Mutex<Option<Instant>>);

/// What the thread does.
#[derive(Debug)]
enum Job {
    /// Keeps a block.
    Put(Put),
    /// Remembers that all blocks, if they have this print, were proven.
    Prove { file: Target, print: u64 },
    /// All that came before of a file that is to be forgotten has arrived.
    Forgotten(Key),
    /// Tells that all that came before is done.
    Done(Sender<()>),
}

/// The file that a job is about.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) key: Key,
    pub(super) id: FileId,
    /// In bytes.
    pub(super) size: u64,
}

#[derive(Debug)]
struct Put {
    file: Target,
    number: u64,
    block: Bytes,
    /// In the queue, until the block is on disk.
    _place: OwnedSemaphorePermit,
}

impl Rest {
    fn is_on(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn begin(&self, error: &io::Error) {
        tracing::warn!("the cache on disk is left alone for a moment: {error}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }
}

impl Writer {
    /// Starts the thread, which first learns what the shelf holds.
    pub(super) fn start(shelf: Arc<Shelf>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let (room, rest) = (Arc::new(Semaphore::new(QUEUE)), Arc::new(Rest::default()));
        let thread = Thread { shelf, rest: rest.clone() };
        let run = move || thread.run(&queue);
        std::thread::Builder::new().name("cache".to_owned()).spawn(run)?;
        Ok(Self { jobs, room, rest })
    }

    /// Has the disk keep a block, if it is well: waits a little where it is slow.
    pub(super) async fn put(&self, file: Target, number: u64, block: Bytes) {
        if self.rest.is_on() {
            return;
        }
        let place = self.room.clone().acquire_owned();
        match tokio::time::timeout(PATIENCE, place).await {
            Ok(Ok(place)) => self.send(Job::Put(Put { file, number, block, _place: place })),
            Ok(Err(_)) => {}
            Err(_) => self.rest.begin(&io::ErrorKind::TimedOut.into()),
        }
    }

    /// Whether the disk failed, and is left alone.
    pub(super) fn is_resting(&self) -> bool {
        self.rest.is_on()
    }

    /// Remembers, after what was put before, that all blocks were proven if they have this print.
    pub(super) fn prove(&self, file: Target, print: u64) {
        self.send(Job::Prove { file, print });
    }

    /// Ends what [`Shelf::forget`] began, after what was put before.
    pub(super) fn forgotten(&self, key: Key) {
        self.send(Job::Forgotten(key));
    }

    /// Waits until what was put is on disk.
    pub(super) fn finish(&self) {
        let (done, wait) = channel();
        self.send(Job::Done(done));
        if wait.recv_timeout(END).is_err() {
            tracing::warn!("the cache on disk is not finished: its disk is slow");
        }
    }

    fn send(&self, job: Job) {
        // The thread is gone only if it died: the cache is then as if it were off.
        let _unheard = self.jobs.send(job);
    }
}

struct Thread {
    shelf: Arc<Shelf>,
    rest: Arc<Rest>,
}

impl Thread {
    /// Works until the handle is dropped. What a panic cuts off is not kept, and the disk rests.
    fn run(&self, queue: &Receiver<Job>) {
        let learn = || {
            if let Err(error) = self.shelf.scan() {
                tracing::warn!("the cache on disk cannot be looked through: {error}");
            }
        };
        let bug = |_| self.rest.begin(&io::Error::other("a bug in bedfs"));
        catch_unwind(AssertUnwindSafe(learn)).unwrap_or_else(bug);
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(queue))) {
            bug(panic);
        }
    }

    fn work(&self, queue: &Receiver<Job>) {
        let mut waiting = None;
        while let Some(job) = waiting.take().or_else(|| queue.recv().ok()) {
            match job {
                Job::Put(put) => {
                    let (batch, next) = batch(put, queue);
                    waiting = next;
                    if let Err(error) = self.write(batch) {
                        self.rest.begin(&error);
                    }
                }
                Job::Prove { file, print } => {
                    let found = self.shelf.find(file.key, &file.id, file.size);
                    if let Some(Err(error)) = found.map(|data| data.prove(print)) {
                        self.rest.begin(&error);
                    }
                }
                Job::Forgotten(key) => self.shelf.forgotten(key),
                // Who waited may have gone.
                Job::Done(done) => drop(done.send(())),
            }
        }
    }

    fn write(&self, batch: Vec<Put>) -> io::Result<()> {
        let Some(Put { file, number, .. }) = batch.last() else { return Ok(()) };
        if self.rest.is_on() || self.shelf.is_forgetting(file.key) {
            return Ok(());
        }
        let bytes = batch.iter().map(|put| put.block.len() as u64).sum();
        let data = self.shelf.get_or_make(file.key, &file.id, file.size)?;
        self.shelf.make_room(file.key, &data, number + 1, bytes);
        let blocks: Vec<_> = batch.iter().map(|put| (put.number, put.block.clone())).collect();
        let written = data.write(&blocks);
        self.shelf.account(file.key, &data);
        written
    }
}

/// What follows in the queue of the same file, and the job that ended it.
fn batch(first: Put, queue: &Receiver<Job>) -> (Vec<Put>, Option<Job>) {
    let key = first.file.key;
    let mut batch = vec![first];
    while batch.len() < BATCH {
        match queue.try_recv() {
            Ok(Job::Put(put)) if put.file.key == key => batch.push(put),
            Ok(other) => return (batch, Some(other)),
            Err(_) => break,
        }
    }
    (batch, None)
}
