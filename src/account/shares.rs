//! Shares: what the account sells by links that are paid for (`004`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

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
    /// Held while the service is asked: the others wait for its answer.
    known: Mutex<Option<Known>>,
    refusal: Refusal,
}

impl Shares {
    /// Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::new(None), refusal: Refusal::default() }
    }

    /// All of them, as they were less than a minute ago.
    pub async fn get(&self) -> Result<Arc<Vec<PaidShare>>, Error> {
        let mut known = self.known.lock().await;
        if let Some((_, shares)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(shares.clone());
        }
        self.refusal.check()?;
        match self.client.paid_shares().await {
            Ok(shares) => {
                let shares = Arc::new(shares);
                *known = Some((Instant::now(), shares.clone()));
                Ok(shares)
            }
            Err(error) if error.may_lack_a_right() => Err(self.refusal.note(error)),
            Err(error) => Err(error.into()),
        }
    }
}
