//! [`Pace`]: keeps a connection to a number of bytes a second.

use std::time::Duration;

use tokio::time::Instant;

/// The most bytes that are moved in one step.
const STEP: usize = 256 * 1024;

/// A bound on bytes a second, or none.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Option<u64>,
    /// When the bytes moved so far are paid for.
    due: Instant,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { rate: None, due: Instant::now() }
    }

    pub(crate) fn set(&mut self, rate: Option<u64>) {
        self.rate = rate.map(|rate| rate.max(1));
    }

    /// The most bytes to move before the next [`Pace::spend`]: a twentieth of a second's.
    pub(crate) fn step(&self) -> usize {
        self.rate.map_or(STEP, |rate| usize::try_from(rate / 20).unwrap_or(STEP).clamp(1, STEP))
    }

    /// Waits for as long as moving that many bytes takes.
    pub(crate) async fn spend(&mut self, bytes: usize) {
        if let Some(rate) = self.rate {
            let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
            self.due = self.due.max(Instant::now()) + cost;
            tokio::time::sleep_until(self.due).await;
        }
    }
}
