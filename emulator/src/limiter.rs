//! [`Limiter`]: how often each endpoint was called within the last second.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The sliding window. It is a little short of a second: a client that spaces its calls exactly is
/// not refused because one of them travelled faster than the one before.
const WINDOW: Duration = Duration::from_millis(950);

/// The calls admitted within the window, by endpoint.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    calls: HashMap<&'static str, VecDeque<Instant>>,
}

impl Limiter {
    /// Admits a call, or not when `limit` calls were admitted within the window.
    pub(crate) fn admit(&mut self, endpoint: &'static str, limit: u32) -> bool {
        let now = Instant::now();
        let calls = self.calls.entry(endpoint).or_default();
        while calls.front().is_some_and(|call| now.duration_since(*call) >= WINDOW) {
            calls.pop_front();
        }
        let admitted = calls.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        if admitted {
            calls.push_back(now);
        }
        admitted
    }
}
