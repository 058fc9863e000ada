//! The pulse: a count of the signs of life of the service, for those who wait and wonder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Beats with every answer, whatever it says, and with every piece of bytes that moves in or out.
/// All clones are one count.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// The beats since the client was made. Where two looks find the same, nothing came and
    /// nothing went between them.
    pub fn beats(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
