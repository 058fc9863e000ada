//! Lanes: how many connections a reader in sequence is served by at once. The right number is found
//! by measuring: one more as long as that brings more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most lanes.
const MOST: usize = 16;

/// What is measured at a time, at least: so long, and so many bytes.
const SPELL: Duration = Duration::from_millis(100);
const LEAST: u64 = 512 << 10;

/// By how much more must come for twice the lanes, in percent, or they were for nothing.
const GAIN: u64 = 25;

/// How long a number that was found is kept before another is tried.
const HOLD: Duration = Duration::from_secs(5);

/// How many flights at once, as far as was measured.
#[derive(Debug)]
pub(super) struct Lanes(Mutex<State>);

#[derive(Debug)]
struct State {
    lanes: usize,
    /// Fewer lanes that were measured before, and what they brought, in bytes a second.
    before: Option<(usize, u64)>,
    /// Until when nothing is tried.
    hold: Option<Instant>,
    begin: Instant,
    bytes: u64,
    /// Since the beginning of the spell a stream would have had more lanes all the time.
    is_wanted: bool,
}

impl Default for Lanes {
    fn default() -> Self {
        let (begin, before, hold) = (Instant::now(), None, None);
        Self(Mutex::new(State { lanes: 1, before, hold, begin, bytes: 0, is_wanted: false }))
    }
}

impl Lanes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flights of one stream at once.
    pub(super) fn count(&self) -> usize {
        self.state().lanes
    }

    /// Told when a stream wants more than its lanes bring.
    pub(super) fn want(&self) {
        let mut state = self.state();
        if !state.is_wanted {
            state.start();
            state.is_wanted = true;
        }
    }

    /// Told when no stream wants more: then the lanes do not bound what comes.
    pub(super) fn rest(&self) {
        self.state().is_wanted = false;
    }

    /// Told of bytes that have come.
    pub(super) fn landed(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes += bytes;
        let elapsed = state.begin.elapsed();
        if state.is_wanted && elapsed >= SPELL && state.bytes >= LEAST {
            let rate = (state.bytes as f64 / elapsed.as_secs_f64()) as u64;
            state.measured(rate, Instant::now());
            state.start();
        }
    }
}

impl State {
    fn start(&mut self) {
        (self.begin, self.bytes) = (Instant::now(), 0);
    }

    fn measured(&mut self, rate: u64, now: Instant) {
        if self.hold.is_some_and(|hold| now < hold) {
            return;
        }
        self.hold = None;
        match self.before {
            // What the last step brought was not worth it.
            Some((lanes, before)) if rate < before + before * GAIN / 100 => {
                self.lanes = lanes;
                self.before = None;
                self.hold = Some(now + HOLD);
            }
            _ if self.lanes < MOST => {
                self.before = Some((self.lanes, rate));
                self.lanes = (self.lanes * 2).min(MOST);
            }
            _ => {
                self.before = None;
                self.hold = Some(now + HOLD);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lanes that are found where each brings `lane` bytes a second, and all together `all`.
    fn found(lane: u64, all: u64) -> usize {
        let lanes = Lanes::default();
        let mut state = lanes.state();
        let mut now = Instant::now();
        while state.hold.is_none() {
            let rate = (state.lanes as u64 * lane).min(all);
            state.measured(rate, now);
            now += SPELL;
        }
        state.lanes
    }

    #[test]
    fn lanes_are_added_as_long_as_each_brings_more() {
        assert_eq!(found(8 << 20, 1 << 40), MOST);
        assert_eq!(found(8 << 20, 36 << 20), 4);
        assert_eq!(found(1 << 30, 1 << 30), 1);
    }

    #[test]
    fn another_number_is_tried_after_a_while() {
        let lanes = Lanes::default();
        let mut state = lanes.state();
        let now = Instant::now();
        state.measured(100, now);
        state.measured(100, now + SPELL);
        assert_eq!(state.lanes, 1);
        state.measured(100, now + 2 * SPELL);
        assert_eq!(state.lanes, 1);
        state.measured(100, now + HOLD + 2 * SPELL);
        assert_eq!(state.lanes, 2);
    }
}
