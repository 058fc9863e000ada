//! The arithmetic of one endpoint's starts.
//!
//! At the nominal rate N at most N requests start in any window of `WINDOW`, so an idle endpoint
//! answers N calls at once. After a 429 the rate is halved and the starts are spaced evenly; each calm
//! spell without another 429 raises it by a quarter, up to the nominal rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// One second, as the service counts, and a margin for requests that overtake each other.
const WINDOW: Duration = Duration::from_millis(1020);
/// How long without a 429 until the rate is raised.
const CALM: Duration = Duration::from_secs(5);
/// By what the rate is raised.
const RAISE: f64 = 1.25;
/// A calm spell is at least so many starts long: fewer prove nothing.
const CALM_STARTS: f64 = 3.0;
/// Requests a second that are always allowed, however often the service says 429. Free accounts are
/// admitted one in five seconds, and half of that is tried where the service counts otherwise.
const FLOOR: f64 = 0.1;
/// Requests a second at which an unlimited endpoint that was slowed down is unlimited again.
const UNLIMITED_AGAIN: f64 = 200.0;

/// The arithmetic of the starts.
pub(super) struct Pace {
    /// Starts a second; infinite for no limit.
    nominal: f64,
    /// The rate while it is below the nominal one.
    pub(super) slowed: Option<f64>,
    /// The starts of the last `WINDOW`, oldest first, and the last one however old.
    starts: VecDeque<Instant>,
    /// When the rate was last lowered or raised.
    changed: Instant,
    /// When the rate was last lowered.
    lowered: Instant,
    /// Until when the service wants to be left alone.
    pub(super) rest: Option<Instant>,
    /// When a request last succeeded.
    pub(super) served: Option<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Option<f64>) -> Self {
        let now = Instant::now();
        Self {
            nominal: rate.unwrap_or(f64::INFINITY),
            slowed: None,
            starts: VecDeque::new(),
            changed: now,
            lowered: now,
            rest: None,
            served: None,
        }
    }

    /// Takes the start `now`, or tells when to ask again.
    pub(super) fn take(&mut self, now: Instant) -> Result<Instant, Instant> {
        self.recover(now);
        self.forget(now);
        let spaced = self.slowed.or((self.nominal < 1.0).then_some(self.nominal));
        let free = match spaced {
            Some(rate) => {
                self.starts.back().map(|last| *last + Duration::from_secs_f64(1.0 / rate))
            }
            None => self.window_opens(),
        };
        self.rest.take_if(|rest| *rest <= now);
        match free.max(self.rest) {
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
    pub(super) fn slow_down(&mut self, start: Instant, now: Instant) {
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
    pub(super) fn recover(&mut self, now: Instant) {
        while let Some(rate) = self.slowed {
            let calm = CALM.max(Duration::from_secs_f64(CALM_STARTS / rate));
            if now.duration_since(self.changed) < calm {
                return;
            }
            self.changed += calm;
            let raised = rate * RAISE;
            self.slowed = (raised < self.nominal.min(UNLIMITED_AGAIN)).then_some(raised);
        }
    }
}

#[cfg(test)]
mod tests {
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
        let all = starts(&mut Pace::new(Some(4.0)), &mut now, 12);
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
        let (mut pace, mut now) = (Pace::new(Some(4.0)), Instant::now());
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
        let (mut pace, mut now) = (Pace::new(Some(1.0)), Instant::now());
        for _ in 0..8 {
            starts(&mut pace, &mut now, 1);
            pace.slow_down(now, now);
        }
        assert_eq!(pace.slowed, Some(FLOOR));
    }

    /// What a service does that admits one call in `gap`, to a caller that always wants one: the
    /// successes and the refusals of `count` calls that succeed, and the time.
    fn under(gap: Duration, count: usize) -> (usize, Duration) {
        let (mut pace, begin) = (Pace::new(Some(4.0)), Instant::now());
        let (mut now, mut admitted, mut refused, mut last) = (begin, 0, 0, None);
        while admitted < count {
            match pace.take(now) {
                Err(free) => now = free,
                Ok(start) if last.is_none_or(|last| start >= last + gap) => {
                    (admitted, last) = (admitted + 1, Some(start));
                }
                Ok(start) => {
                    refused += 1;
                    pace.slow_down(start, start);
                }
            }
        }
        (refused, now - begin)
    }

    #[test]
    fn the_rate_of_a_free_account_is_found_and_held_with_few_refusals() {
        let (refused, took) = under(Duration::from_secs(5), 30);
        assert!(refused <= 12, "{refused}");
        assert!(took < Duration::from_secs(240), "{took:?}");
    }

    #[test]
    fn a_rate_below_one_spaces_the_starts() {
        let mut now = Instant::now();
        let all = starts(&mut Pace::new(Some(0.2)), &mut now, 3);
        assert_eq!(all, [0, 5, 10].map(Duration::from_secs));
    }
}
