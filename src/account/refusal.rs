//! The refusal: the service does not tell this account what only a developer's may ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use crate::api;

/// How long a refusal is taken for the service's word.
const REFUSED: Duration = Duration::from_secs(3600);

/// The last refusal: the log tells it once, and it is not asked again at every turn.
#[derive(Default)]
pub(super) struct Refusal {
    last: Mutex<Option<(Instant, api::Error)>>,
    is_told: AtomicBool,
}

impl Refusal {
    /// Notes a refusal, which the log tells the first time.
    pub(super) fn note(&self, error: api::Error) -> Error {
        *self.last() = Some((Instant::now(), error.clone()));
        let error = Error::NotEntitled(error);
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!("{error}");
        }
        error
    }

    /// The refusal that still holds.
    pub(super) fn holds(&self) -> Option<api::Error> {
        let last = self.last();
        last.as_ref().filter(|(at, _)| at.elapsed() < REFUSED).map(|(_, error)| error.clone())
    }

    /// An error while a refusal holds.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.holds().map_or(Ok(()), |error| Err(Error::NotEntitled(error)))
    }

    pub(super) fn forget(&self) {
        *self.last() = None;
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, api::Error)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a service that failed is left alone by those who only look.
const PAUSED: Duration = Duration::from_secs(60);

/// The last failure: who looks at many things hears of it again, and does not wait for each as long.
#[derive(Default)]
pub(super) struct Pause(Mutex<Option<(Instant, Error)>>);

impl Pause {
    /// Notes a failure.
    pub(super) fn note(&self, error: Error) -> Error {
        *self.last() = Some((Instant::now(), error.clone()));
        error
    }

    /// An error while the last failure is new.
    pub(super) fn check(&self) -> Result<(), Error> {
        let last = self.last();
        match last.as_ref().filter(|(at, _)| at.elapsed() < PAUSED) {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Error)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
