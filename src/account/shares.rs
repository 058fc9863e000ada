//! Shares: what the account sells by links that are paid for (`004`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Error;
use super::refusal::Refusal;
use crate::api::Client;
use crate::types::PaidShare;

/// How long an answer serves.
const FRESH: Duration = Duration::from_secs(60);

/// An answer and when it came.
type Known = (Instant, Arc<Vec<PaidShare>>);

/// The paid shares of an account, asked for when somebody looks.
pub struct Shares {
    client: Client,
    last: Mutex<Option<Known>>,
    /// One asks, the others wait for its answer.
    asking: Semaphore,
    refusal: Refusal,
}

impl Shares {
    /// Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        let (last, asking) = (Mutex::default(), Semaphore::new(1));
        Self { client, last, asking, refusal: Refusal::default() }
    }

    fn last(&self) -> MutexGuard<'_, Option<Known>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, as they were told last, however long ago.
    pub fn known(&self) -> Option<Arc<Vec<PaidShare>>> {
        self.last().as_ref().map(|(_, shares)| shares.clone())
    }

    /// All of them, as they were less than a minute ago.
    pub async fn get(&self) -> Result<Arc<Vec<PaidShare>>, Error> {
        let _turn = self.asking.acquire().await.expect("the semaphore is never closed");
        if let Some((at, shares)) = &*self.last()
            && at.elapsed() < FRESH
        {
            return Ok(shares.clone());
        }
        self.refusal.check()?;
        match self.client.paid_shares().await {
            Ok(shares) => {
                let shares = Arc::new(shares);
                *self.last() = Some((Instant::now(), shares.clone()));
                Ok(shares)
            }
            Err(error) if error.may_lack_a_right() => Err(self.refusal.note(error)),
            Err(error) => Err(error.into()),
        }
    }
}
