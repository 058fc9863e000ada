//! The figures: how often each endpoint was called, and how often that failed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::endpoint::Endpoint;

/// What one endpoint did since the client was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The endpoint's name, as `--qps` spells it.
    pub endpoint: &'static str,
    /// Requests sent, repeated ones too.
    pub calls: u64,
    /// Requests that gave no success, refused and throttled ones too.
    pub errors: u64,
    /// Requests the service answered with 429.
    pub throttled: u64,
}

/// The running counts of one endpoint. They are independent of each other, so relaxed.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) calls: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) throttled: AtomicU64,
}

impl Counts {
    /// One more in `count`.
    pub(super) fn add(count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
    }

    /// The counts as they stand.
    pub(super) fn read(&self, endpoint: Endpoint) -> Figures {
        Figures {
            endpoint: endpoint.name(),
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
        }
    }
}
