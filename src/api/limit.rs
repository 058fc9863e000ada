//! The limiter of one endpoint: it says when the next request may start.
//!
//! At the nominal rate N at most N requests start in any window of `WINDOW`, so an idle endpoint
//! answers N calls at once. After a 429 the rate is halved and the starts are spaced evenly; each
//! `CALM` without another 429 raises it by a quarter, up to the nominal rate. A caller waits only
//! for its start: nothing is held while a request runs, nor while its retry waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

/// One second, as the service counts, and a margin for requests that overtake each other.
const WINDOW: Duration = Duration::from_millis(1020);
/// How long without a 429 until the rate is raised.
const CALM: Duration = Duration::from_secs(5);
/// By what the rate is raised.
const RAISE: f64 = 1.25;
/// Requests a second that are always allowed, however often the service says 429.
const FLOOR: f64 = 0.2;
/// Requests a second at which an unlimited endpoint that was slowed down is unlimited again.
const UNLIMITED_AGAIN: f64 = 200.0;

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
    pub(super) fn new(rate: Option<u32>) -> Self {
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

    /// The service said 429 to a request that started at `start`.
    pub(super) fn throttled(&self, start: Instant) {
        self.pace().slow_down(start, Instant::now());
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

/// The arithmetic of the starts.
struct Pace {
    /// Starts a second; infinite for no limit.
    nominal: f64,
    /// The rate while it is below the nominal one.
    slowed: Option<f64>,
    /// The starts of the last `WINDOW`, oldest first, and the last one however old.
    starts: VecDeque<Instant>,
    /// When the rate was last lowered or raised.
    changed: Instant,
    /// When the rate was last lowered.
    lowered: Instant,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        let now = Instant::now();
        Self {
            nominal: rate.map_or(f64::INFINITY, f64::from),
            slowed: None,
            starts: VecDeque::new(),
            changed: now,
            lowered: now,
        }
    }

    /// Takes the start `now`, or tells when to ask again.
    fn take(&mut self, now: Instant) -> Result<Instant, Instant> {
        self.recover(now);
        self.forget(now);
        let free = match self.slowed {
            Some(rate) => {
                self.starts.back().map(|last| *last + Duration::from_secs_f64(1.0 / rate))
            }
            None => self.window_opens(),
        };
        match free {
            Some(free) if free > now => Err(free),
            _ => {
                self.starts.push_back(now);
                Ok(now)
            }
        }
    }

    /// When the oldest of the last N starts leaves the window, if there are that many.
    fn window_opens(&self) -> Option<Instant> {
        if self.nominal.is_infinite() {
            return None;
        }
        let rate = self.nominal as usize;
        let oldest = self.starts.len().checked_sub(rate)?;
        self.starts.get(oldest).map(|start| *start + WINDOW)
    }

    /// Drops the starts that no longer count, all but the last one.
    fn forget(&mut self, now: Instant) {
        while self.starts.len() > 1 && self.starts.front().is_some_and(|s| *s + WINDOW <= now) {
            self.starts.pop_front();
        }
    }

    /// Halves the rate, once for all the requests that were under way together.
    fn slow_down(&mut self, start: Instant, now: Instant) {
        self.recover(now);
        self.changed = now;
        if self.slowed.is_some() && start < self.lowered {
            return;
        }
        self.forget(now);
        let rate = match self.slowed {
            Some(rate) => rate,
            None if self.nominal.is_finite() => self.nominal,
            // What was sent in the last window has just proved too much.
            None => self.starts.len().max(1) as f64,
        };
        self.slowed = Some((rate / 2.0).max(FLOOR));
        self.lowered = now;
    }

    /// Raises the rate by one step for each calm spell since it was last changed.
    fn recover(&mut self, now: Instant) {
        while let Some(rate) = self.slowed
            && now.duration_since(self.changed) >= CALM
        {
            self.changed += CALM;
            let raised = rate * RAISE;
            self.slowed = (raised < self.nominal.min(UNLIMITED_AGAIN)).then_some(raised);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The next `count` starts of a caller that always wants one, after `now`, which moves along.
    fn starts(pace: &mut Pace, now: &mut Instant, count: usize) -> Vec<Duration> {
        let begin = *now;
        let mut next = || loop {
            match pace.take(*now) {
                Ok(start) => return start - begin,
                Err(free) => *now = free,
            }
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn an_idle_endpoint_answers_n_calls_at_once_and_never_n_plus_1_a_second() {
        let mut now = Instant::now();
        let all = starts(&mut Pace::new(Some(4)), &mut now, 12);
        assert_eq!(all[3], Duration::ZERO);
        for (first, fifth) in all.iter().zip(&all[4..]) {
            assert!(*fifth - *first >= Duration::from_secs(1), "{all:?}");
        }
        assert!(all[11] < Duration::from_millis(2100), "{all:?}");
    }

    #[test]
    fn no_limit_is_no_wait_until_a_429() {
        let (mut pace, mut now) = (Pace::new(None), Instant::now());
        assert_eq!(starts(&mut pace, &mut now, 100)[99], Duration::ZERO);
        pace.slow_down(now, now);
        assert_eq!(pace.slowed, Some(50.0));
        now += CALM * 10;
        assert_eq!(starts(&mut pace, &mut now, 100)[99], Duration::ZERO);
    }

    #[test]
    fn a_429_spaces_the_starts_and_calm_brings_the_rate_back() {
        let (mut pace, mut now) = (Pace::new(Some(4)), Instant::now());
        starts(&mut pace, &mut now, 2);
        let together = now;
        pace.slow_down(together, now + Duration::from_millis(1));
        pace.slow_down(together, now + Duration::from_millis(2)); // not halved again
        let half_a_second = Duration::from_millis(500);
        assert_eq!(
            starts(&mut pace, &mut now, 3),
            [half_a_second, half_a_second * 2, half_a_second * 3]
        );
        now += CALM * 4;
        assert_eq!(starts(&mut pace, &mut now, 4)[3], Duration::ZERO);
    }

    #[test]
    fn the_rate_has_a_floor() {
        let (mut pace, mut now) = (Pace::new(Some(1)), Instant::now());
        for _ in 0..8 {
            starts(&mut pace, &mut now, 1);
            pace.slow_down(now, now);
        }
        assert_eq!(pace.slowed, Some(FLOOR));
    }

    #[tokio::test]
    async fn background_waits_while_foreground_waits() {
        let limiter = Arc::new(Limiter::new(Some(1)));
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
