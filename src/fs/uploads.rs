//! Uploads in the background: files that were closed get to the service at its pace.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use super::local::LocalFile;
use super::{Error, Fs, turn};
use crate::api;
use crate::bed;
use crate::config::Upload;
use crate::state::Phase;
use crate::types::Ino;
use crate::upload;

/// Files whose bytes are on their way at once. Those that the service checks are not counted: they
/// wait for it alone, and the calls of the next ones go meanwhile.
const AT_ONCE: usize = 16;

/// Files that are on their way, checked, or waiting to be tried again.
const MOST: usize = 256;

/// How long a file waits after a failure that may pass, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Files that wait for their upload.
#[derive(Debug)]
pub(super) struct Uploads {
    waiting: Mutex<BTreeSet<Ino>>,
    changed: Notify,
    /// A file has one of these until its bytes are sent.
    places: Arc<Semaphore>,
}

/// One of the places for files that are being sent.
pub(super) type Place = OwnedSemaphorePermit;

impl Default for Uploads {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { waiting: Mutex::default(), changed: Notify::default(), places }
    }
}

impl Uploads {
    fn waiting(&self) -> MutexGuard<'_, BTreeSet<Ino>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file wants to be uploaded.
    pub(super) fn add(&self, ino: Ino) {
        self.waiting().insert(ino);
        self.changed.notify_one();
    }

    /// The next file, and a place for it. Nothing is lost where this is dropped while it waits.
    async fn next(&self) -> (Place, Ino) {
        (self.place().await, self.take().await)
    }

    async fn take(&self) -> Ino {
        loop {
            if let Some(ino) = self.waiting().pop_first() {
                return ino;
            }
            self.changed.notified().await;
        }
    }

    async fn place(&self) -> Place {
        self.places.clone().acquire_owned().await.expect("the semaphores are never closed")
    }
}

impl Fs {
    /// Uploads what waits, for as long as the mount lives.
    pub(super) async fn run_uploads(self: Arc<Self>) -> Infallible {
        let mut under_way = JoinSet::new();
        // What was under way when a panic ended the loop.
        let left = self.locals.all().into_iter().filter(|local| self.is_left(local));
        left.for_each(|local| self.uploads.add(local.ino));
        loop {
            tokio::select! {
                biased;
                Some(ended) = under_way.join_next() => {
                    let ended: Result<(), JoinError> = ended;
                    // The file is queued again when the loop begins again.
                    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                        resume_unwind(panic);
                    }
                }
                (place, ino) = self.uploads.next(), if under_way.len() < MOST => {
                    let fs = self.clone();
                    let upload = async move { fs.upload_patiently(ino, place).await };
                    // The callers have their answers: who waits for one goes first.
                    under_way.spawn(api::in_background(upload));
                }
            }
        }
    }

    /// Whether the file was closed and waits for its upload, or is at it.
    fn is_left(&self, local: &LocalFile) -> bool {
        let state = local.state();
        let is_closed = state.kept.as_ref().is_some_and(|kept| kept.phase == Phase::Closed);
        is_closed && !state.removed && state.dirty().is_some() && !self.stays_here(&state)
    }

    /// Tries until the service has the file, refuses it for good, or nobody wants it any more.
    async fn upload_patiently(&self, ino: Ino, mut place: Place) {
        let mut pause = FIRST_PAUSE;
        while self.locals.get(ino).is_some() {
            let local = self.local(ino);
            if local.state().writers > 0 {
                // It is being written: the last close comes back here.
                return;
            }
            local.state().place = Some(place);
            let published = self.publish(&local).await;
            local.state().place = None;
            let Err(error) = published else { return };
            if !may_pass(&error) {
                tracing::error!("{:?} is not uploaded: {error}", self.tree.path(ino));
                return self.give_up(&local, &error);
            }
            local.state().waits_for = Some(error.to_string().into());
            drop(local);
            let path = self.tree.path(ino);
            if let Some(wait) = self.bed.refused_for() {
                // Told once, by who asked the service.
                tracing::debug!("uploading {path:?} once the developer right is back: {error}");
                tokio::time::sleep(wait.max(FIRST_PAUSE)).await;
                (pause, place) = (FIRST_PAUSE, self.uploads.place().await);
                continue;
            }
            if matches!(error, Error::Bed(bed::Error::Upload(upload::Error::Unfinished { .. }))) {
                // It is asked for on, and not sent again.
                pause = FIRST_PAUSE;
            }
            tracing::warn!("uploading {path:?} again in {} s: {error}", pause.as_secs());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            place = self.uploads.place().await;
        }
    }

    /// Returns when no upload and no rename is under way that somebody waits for.
    pub async fn uploads_done(&self) {
        drop(turn(&self.renaming).await);
        if self.options.upload == Upload::Background {
            return;
        }
        for local in self.locals.all() {
            drop(turn(&local.turn).await);
        }
    }

    /// Before the mount ends: uploads what is closed and not uploaded, and sends the deletes. Open
    /// files are not touched: what is in them was never promised.
    pub async fn drain(&self) {
        let uploads = stream::iter(self.locals.all()).map(|local| self.drain_file(local.ino));
        uploads.buffer_unordered(AT_ONCE).collect::<()>().await;
        if let Err(error) = self.clear_removed(|_| true).await {
            tracing::warn!("clearing away what was removed is left to the next mount: {error}");
        }
        if let Err(error) = self.bed.send_deletes(|_| true).await {
            tracing::error!("some deletes are not done: {error}");
        }
        self.bed.tidy().await;
    }

    async fn drain_file(&self, ino: Ino) {
        if self.locals.get(ino).is_none() {
            return;
        }
        let local = self.local(ino);
        if local.state().opens == 0
            && let Err(error) = self.publish(&local).await
        {
            tracing::error!("{:?} is not uploaded: {error}", self.tree.path(local.ino));
            if !may_pass(&error) {
                self.give_up(&local, &error);
            }
        }
        self.release_held(&local);
    }
}

/// Whether the same upload may succeed later without anything being done about it.
pub(super) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Bed(bed::Error::Upload(
            upload::Error::Unfinished { .. } | upload::Error::Changed,
        )) => true,
        Error::Bug => true,
        error if error.is_shortage() => true,
        error => error.api().is_some_and(api::Error::is_transient),
    }
}
