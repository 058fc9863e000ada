//! A turn: the leave of one request to send its body, and then to change the bed.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Requests whose bodies are read or wait to be worked on; others wait.
const READ_AT_ONCE: usize = 16;

/// Requests that upload or delete at a time; others wait.
const AT_ONCE: u32 = 4;

/// How long the body of a request may take to come as a whole.
const BODY: Duration = Duration::from_secs(600);

/// How long it is waited for what is under way when the server ends.
const FINISH: Duration = Duration::from_secs(60);

/// Who may read, and who may change the bed.
pub(super) struct Turns {
    read: Semaphore,
    /// Who has a permit is under way.
    change: Semaphore,
}

/// Held for as long as a request changes the bed.
pub(super) struct Turn<'a> {
    _read: SemaphorePermit<'a>,
    _change: SemaphorePermit<'a>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { read: Semaphore::new(READ_AT_ONCE), change: Semaphore::new(AT_ONCE as usize) }
    }

    /// What `body` reads of a request, and then the leave to change the bed by it. A client that sends
    /// nothing keeps nobody from changing the bed, nor the server from its end.
    pub(super) async fn take<T>(
        &self, body: impl Future<Output = Result<T, String>>,
    ) -> Result<(T, Turn<'_>), String> {
        let ending = |_| "the server is ending".to_owned();
        let read = self.read.acquire().await.map_err(ending)?;
        let body = timeout(BODY, body).await.map_err(|_| slow(BODY))??;
        let change = self.change.acquire().await.map_err(ending)?;
        Ok((body, Turn { _read: read, _change: change }))
    }

    /// Comes to an end when nothing is under way, or it took too long. No turn is given any more.
    pub(super) async fn finish(&self) {
        if timeout(FINISH, self.change.acquire_many(AT_ONCE)).await.is_err() {
            tracing::warn!("what is under way is given up: it took over {} s", FINISH.as_secs());
        }
        self.read.close();
        self.change.close();
    }
}

/// Why a body is not taken that did not come in this time.
pub(super) fn slow(limit: Duration) -> String {
    format!("the request did not come as a whole in {} s", limit.as_secs())
}
