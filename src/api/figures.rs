//! The figures: how often each endpoint was called, how often that failed, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::endpoint::Endpoint;

/// The upper bounds of the latencies that are told apart, in seconds.
const BOUNDS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];

/// What one endpoint did since the client was made.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The endpoint's name, as `--qps` spells it.
    pub endpoint: &'static str,
    /// Requests sent, repeated ones too.
    pub calls: u64,
    /// Requests that gave no success, refused and throttled ones too.
    pub errors: u64,
    /// Requests the service answered with 429.
    pub throttled: u64,
    /// Seconds from a request to its end, be it an answer, an error or the end of patience.
    pub latency: Histogram,
}

/// The running counts of one endpoint. They are independent of each other, so relaxed.
pub(super) struct Counts {
    pub(super) calls: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) throttled: AtomicU64,
    latency: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        let zero = AtomicU64::default;
        let latency = Histogram::new(BOUNDS);
        Self { calls: zero(), errors: zero(), throttled: zero(), latency }
    }
}

impl Counts {
    /// One more in `count`.
    pub(super) fn add(count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
    }

    /// A request ended.
    pub(super) fn took(&self, time: Duration) {
        self.latency.observe(time.as_secs_f64());
    }

    /// The counts as they stand.
    pub(super) fn read(&self, endpoint: Endpoint) -> Figures {
        Figures {
            endpoint: endpoint.name(),
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            latency: self.latency.clone(),
        }
    }
}
