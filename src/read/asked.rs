//! What was asked for: a block that is missing, and the flight that is about to bring it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Error;
use super::flight::Progress;

/// A block that was asked for, and the flight that brings it: awaited as long as this is held.
#[derive(Debug)]
pub struct Asked {
    number: u64,
    progress: watch::Receiver<Progress>,
    _waits: Arc<()>,
}

impl Asked {
    /// A block of the flight that progresses so. Who waits for the flight is told by how often `waits`
    /// is held.
    pub(super) fn new(number: u64, progress: watch::Receiver<Progress>, waits: Arc<()>) -> Self {
        Self { number, progress, _waits: waits }
    }

    /// Waits until the block is here, or the flight is over. An error if it gave up before the block.
    pub(super) async fn come(mut self) -> Result<(), Error> {
        let number = self.number;
        let come = self.progress.wait_for(|at| at.next > number || at.failed.is_some()).await;
        match come.map(|at| at.failed.clone().filter(|_| at.next <= number)) {
            Ok(Some(error)) => Err(error),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}
