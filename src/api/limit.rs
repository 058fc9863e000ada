//! The limiter of one endpoint: it says when the next request may start.
//!
//! A caller waits only for its start (`pace`): nothing is held while a request runs, nor while its retry
//! waits.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::pace::Pace;

/// The longest that the service's wish to be left alone is heeded for a whole endpoint.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A queue moves whose last success is no more than so many starts ago.
const MOVING_STARTS: f64 = 2.0;
/// Fewer requests a second are told to the user.
const SLOW: f64 = 1.0;

/// Which callers go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Somebody waits for the answer.
    Foreground,
    /// Waits while a foreground call to the same endpoint waits.
    Background,
}

tokio::task_local! {
    /// Set where nobody waits for the answers.
    static SCOPE: Priority;
}

/// Runs `work`, whose calls all wait while foreground calls to the same endpoint wait. Tasks that it
/// spawns are not part of it.
pub async fn in_background<F: Future>(work: F) -> F::Output {
    SCOPE.scope(Priority::Background, work).await
}

/// The priority of the calls of this task.
pub(super) fn priority() -> Priority {
    SCOPE.try_with(|priority| *priority).unwrap_or(Priority::Foreground)
}

/// Paces the requests to one endpoint.
pub(super) struct Limiter {
    /// Turnstiles of one: their queues make each lane first come, first served.
    foreground: Semaphore,
    background: Semaphore,
    /// Foreground callers that wait for their start.
    waiting: AtomicUsize,
    /// Told whenever `waiting` falls to 0.
    nobody_waits: Notify,
    pace: Mutex<Pace>,
}

impl Limiter {
    /// A limiter of `rate` starts a second; `None` is unlimited until the service says 429.
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self {
            foreground: Semaphore::new(1),
            background: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            nobody_waits: Notify::new(),
            pace: Mutex::new(Pace::new(rate)),
        }
    }

    /// Waits for the moment at which a request may start, and gives that moment.
    pub(super) async fn start(&self, priority: Priority) -> Instant {
        match priority {
            Priority::Foreground => {
                let _waiting = Waiting::new(self);
                let _turn = self.foreground.acquire().await;
                loop {
                    match self.try_start() {
                        Ok(start) => return start,
                        Err(free) => sleep_until(free).await,
                    }
                }
            }
            Priority::Background => {
                let _turn = self.background.acquire().await;
                loop {
                    self.foreground_is_served().await;
                    match self.try_start() {
                        Ok(start) => return start,
                        Err(free) => sleep_until(free).await,
                    }
                }
            }
        }
    }

    /// The start now, or the moment at which to ask again.
    fn try_start(&self) -> Result<Instant, Instant> {
        self.pace().take(Instant::now())
    }

    /// The service said 429 to a request that started at `start`, and wants to be left alone for
    /// `rest`. Gives the rate from here on where it has just become slow.
    pub(super) fn throttled(&self, start: Instant, rest: Duration) -> Option<f64> {
        let (mut pace, now) = (self.pace(), Instant::now());
        let was_slow = pace.slowed.is_some_and(|rate| rate < SLOW);
        pace.slow_down(start, now);
        pace.rest = Some(now + rest.min(LONGEST_REST)).max(pace.rest);
        pace.slowed.filter(|rate| *rate < SLOW && !was_slow)
    }

    /// The service answered a request.
    pub(super) fn served(&self) {
        self.pace().served = Some(Instant::now());
    }

    /// The rate to which it is slowed down, if it is.
    pub(super) fn slowed(&self) -> Option<f64> {
        let mut pace = self.pace();
        pace.recover(Instant::now());
        pace.slowed
    }

    /// Whether it is slowed down and moves on: who waits for a start gets it, and an answer, in time.
    /// `patience` is how long the service may give none.
    pub(super) fn moves(&self, patience: Duration) -> bool {
        let pace = self.pace();
        let Some((rate, served)) = pace.slowed.zip(pace.served) else { return false };
        served.elapsed() <= patience.max(Duration::from_secs_f64(MOVING_STARTS / rate))
    }

    async fn foreground_is_served(&self) {
        loop {
            // Made before the count is read, so that no change between the two is missed.
            let nobody_waits = self.nobody_waits.notified();
            if self.waiting.load(SeqCst) == 0 {
                return;
            }
            nobody_waits.await;
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a foreground caller in, and out when it has its start or gives up.
struct Waiting<'a>(&'a Limiter);

impl<'a> Waiting<'a> {
    fn new(limiter: &'a Limiter) -> Self {
        limiter.waiting.fetch_add(1, SeqCst);
        Self(limiter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, SeqCst) == 1 {
            self.0.nobody_waits.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_wish_to_be_left_alone_holds_up_the_whole_endpoint() {
        let limiter = Limiter::new(None);
        let start = limiter.try_start().expect("at once");
        limiter.throttled(start, Duration::from_secs(7));
        let free = limiter.try_start().expect_err("not now");
        assert!(free >= start + Duration::from_secs(7));
    }

    #[tokio::test]
    async fn background_waits_while_foreground_waits() {
        let limiter = Arc::new(Limiter::new(Some(1.0)));
        limiter.start(Priority::Foreground).await;
        let spawn = |priority| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.start(priority).await })
        };
        let background = spawn(Priority::Background);
        tokio::task::yield_now().await;
        let foreground = spawn(Priority::Foreground);
        let (background, foreground) = (background.await, foreground.await);
        assert!(foreground.expect("no panic") < background.expect("no panic"));
    }
}
