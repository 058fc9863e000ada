//! The pulse: a count of the signs of life of the service, for those who wait and wonder, and of the
//! bytes that came and went.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// The time between two beats of a wait.
const BEAT: Duration = Duration::from_millis(500);
/// How long an answer is waited for by one who can do without it.
const MOMENT: Duration = Duration::from_secs(1);

/// Beats with every answer, whatever it says, and with every piece of bytes that moves in or out.
/// All clones are one count.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    beats: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// When the first question was asked that nothing was heard after.
    asked: Mutex<Option<Instant>>,
}

impl Counts {
    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    pub(super) fn beat(&self) {
        self.0.beats.fetch_add(1, Relaxed);
        *self.0.asked() = None;
    }

    /// The service is asked something.
    pub(super) fn ask(&self) {
        self.0.asked().get_or_insert_with(Instant::now);
    }

    /// How long nothing was heard, since the service was asked something.
    pub fn silence(&self) -> Duration {
        self.0.asked().map_or(Duration::ZERO, |asked| asked.elapsed())
    }

    /// What is left of the moment for which an answer is waited for by one who can do without it.
    fn moment(&self) -> Duration {
        MOMENT.saturating_sub(self.silence())
    }

    /// Whether the service was asked, and nothing was heard for longer than a moment.
    pub fn is_silent(&self) -> bool {
        self.moment().is_zero()
    }

    /// What the work comes to, for one who can do without it: it is waited for no longer than a
    /// moment, and not at all while the service is silent.
    pub async fn briefly<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout(self.moment(), work).await.ok()
    }

    /// Beats while `wait` lasts: the service is left alone, since it wants that.
    pub(super) async fn beat_during<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            self.beat();
            if let Ok(done) = timeout(BEAT, &mut wait).await {
                return done;
            }
        }
    }

    /// Bytes came from a direct link.
    pub(super) fn received(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Relaxed);
        self.beat();
    }

    /// Bytes were handed to the connection to storage.
    pub(super) fn sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Relaxed);
        self.beat();
    }

    /// The beats since the client was made. Where two looks find the same, nothing came and
    /// nothing went between them.
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Relaxed)
    }

    /// Bytes that came from direct links, and that went to storage, since the client was made.
    pub fn bytes(&self) -> (u64, u64) {
        (self.0.received.load(Relaxed), self.0.sent.load(Relaxed))
    }
}
