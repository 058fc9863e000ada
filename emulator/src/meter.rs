//! [`Meter`]: counts the bytes that are handed to a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters that an answer's body runs up. A count is raised before the bytes are offered and
/// corrected after, so a client that has read a byte always finds it counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Vec<Arc<AtomicU64>>);

impl Meter {
    pub(crate) fn count_into(&mut self, counter: &Arc<AtomicU64>) {
        self.0.push(Arc::clone(counter));
    }

    pub(crate) fn offer(&self, bytes: usize) {
        for counter in &self.0 {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn take_back(&self, bytes: usize) {
        for counter in &self.0 {
            counter.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }
}
