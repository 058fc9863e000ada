//! [`Limiter`]: how often each endpoint was called within the last second.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// The sliding window. It is a little short of a second: a client that spaces its calls exactly is
/// not refused because one of them travelled faster than the one before.
const WINDOW: Duration = Duration::from_millis(950);

/// The calls admitted within the window, by endpoint.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    calls: HashMap<&'static str, VecDeque<Instant>>,
}

impl Limiter {
    /// Admits a call, or not when `limit` calls were admitted within the window. A limit below 1 is
    /// one call in a window that is as much longer.
    pub(crate) fn admit(&mut self, endpoint: &'static str, limit: f64) -> bool {
        let now = Instant::now();
        let window = WINDOW.div_f64(limit.clamp(f64::MIN_POSITIVE, 1.0));
        let calls = self.calls.entry(endpoint).or_default();
        while calls.front().is_some_and(|call| now.duration_since(*call) >= window) {
            calls.pop_front();
        }
        let admitted = calls.len() < limit.max(1.0) as usize;
        if admitted {
            calls.push_back(now);
        }
        admitted
    }
}
