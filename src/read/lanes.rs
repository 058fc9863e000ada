//! Lanes: how many connections a reader in sequence is served by at once. The right number is found
//! by measuring: twice as many, until twice that brought no more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most lanes.
const MOST: usize = 32;

/// What is measured at a time, at least: so long, and so many bytes.
const SPELL: Duration = Duration::from_millis(50);
const LEAST: u64 = 256 << 10;

/// By how much more must come for twice the lanes, in percent, or they were for nothing.
const GAIN: u64 = 25;

/// So often in a row twice the lanes must have been for nothing: what else happens at a moment may be
/// why.
const DOUBTS: u8 = 2;

/// How long a number that was found is kept before another is tried.
const HOLD: Duration = Duration::from_secs(2);

/// How many flights at once, as far as was measured.
#[derive(Debug)]
pub(super) struct Lanes(Mutex<State>);

/// One of the numbers that were tried, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step(u64);

#[derive(Debug)]
struct State {
    lanes: usize,
    step: Step,
    /// The fewest lanes that brought as much as any, and how much that was, in bytes a second.
    best: Option<(usize, u64)>,
    /// How often in a row more lanes brought no more.
    doubts: u8,
    /// Until when nothing is tried.
    hold: Option<Instant>,
    /// When the spell began; not before the first byte of a GET of this step, as a new connection
    /// brings nothing for several round trips.
    begin: Option<Instant>,
    bytes: u64,
    /// Since the beginning of the spell a stream would have had more lanes all the time.
    is_wanted: bool,
}

impl Default for Lanes {
    fn default() -> Self {
        Self(Mutex::new(State {
            lanes: 1,
            step: Step(0),
            best: None,
            doubts: 0,
            hold: None,
            begin: None,
            bytes: 0,
            is_wanted: false,
        }))
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

    /// The step in which a GET begins.
    pub(super) fn step(&self) -> Step {
        self.state().step
    }

    /// Told when a stream wants more than its lanes bring.
    pub(super) fn want(&self) {
        let mut state = self.state();
        if !state.is_wanted {
            state.begin = None;
            state.is_wanted = true;
        }
    }

    /// Told when no stream wants more: then the lanes do not bound what comes.
    pub(super) fn rest(&self) {
        self.state().is_wanted = false;
    }

    /// Told of bytes that have come by a GET that began in `step`.
    pub(super) fn landed(&self, step: Step, bytes: u64) {
        let mut state = self.state();
        let now = Instant::now();
        let Some(begin) = state.begin else {
            if step == state.step {
                (state.begin, state.bytes) = (Some(now), 0);
            }
            return;
        };
        state.bytes += bytes;
        let elapsed = now - begin;
        if state.is_wanted && elapsed >= SPELL && state.bytes >= LEAST {
            let rate = (state.bytes as f64 / elapsed.as_secs_f64()) as u64;
            state.measured(rate, now);
        }
    }
}

impl State {
    fn measured(&mut self, rate: u64, now: Instant) {
        self.begin = None;
        if self.hold.is_some_and(|hold| now < hold) {
            return;
        }
        self.hold = None;
        let is_little = |best: u64| rate < best + best * GAIN / 100;
        match self.best {
            Some((lanes, best)) if is_little(best) => {
                self.doubts += 1;
                if self.doubts < DOUBTS && self.lanes < MOST {
                    self.double();
                } else {
                    self.settle(lanes, now);
                }
            }
            _ if self.lanes < MOST => {
                (self.best, self.doubts) = (Some((self.lanes, rate)), 0);
                self.double();
            }
            _ => self.settle(MOST, now),
        }
        self.step.0 += 1;
        tracing::debug!("measured {rate} bytes a second; lanes now: {}", self.lanes);
    }

    fn double(&mut self) {
        self.lanes = (self.lanes * 2).min(MOST);
    }

    /// Keeps a number for a while.
    fn settle(&mut self, lanes: usize, now: Instant) {
        (self.lanes, self.best, self.doubts) = (lanes, None, 0);
        self.hold = Some(now + HOLD);
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
        assert_eq!(state.lanes, 4, "one doubt is none");
        state.measured(100, now + 2 * SPELL);
        assert_eq!(state.lanes, 1);
        state.measured(100, now + 3 * SPELL);
        assert_eq!(state.lanes, 1);
        state.measured(100, now + HOLD + 3 * SPELL);
        assert_eq!(state.lanes, 2);
    }
}
