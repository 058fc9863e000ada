//! The figures of the account: how much space and direct-link traffic it has, asked for now and then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::api::{self, Client};
use crate::types::Account;

/// How long an answer serves.
const FRESH: Duration = Duration::from_secs(10);

/// The last known figures of the account.
pub struct AccountCache {
    client: Client,
    known: Mutex<Option<(Instant, Account)>>,
    /// The last failure, which serves for as long as an answer.
    failed: Mutex<Option<(Instant, api::Error)>>,
    /// One asks, the others wait for its answer.
    asking: Semaphore,
}

impl AccountCache {
    /// A cache that begins with these figures, if they are known.
    pub fn new(client: Client, known: Option<Account>) -> Self {
        Self {
            client,
            known: Mutex::new(known.map(|account| (Instant::now(), account))),
            failed: Mutex::default(),
            asking: Semaphore::new(1),
        }
    }

    /// The last known figures, however old.
    pub fn known(&self) -> Option<Account> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, account)| account)
    }

    fn fresh(&self) -> Option<Account> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, account)| account)
    }

    /// Figures of the last seconds.
    pub async fn get(&self) -> Result<Account, api::Error> {
        let _turn = self.asking.acquire().await.expect("the semaphore is never closed");
        self.ask().await
    }

    /// Makes the figures new, unless somebody is at it.
    pub async fn refresh(&self) -> Result<(), api::Error> {
        match self.asking.try_acquire() {
            Ok(_turn) => self.ask().await.map(drop),
            Err(_) => Ok(()),
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<(Instant, api::Error)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who calls it has the turn.
    async fn ask(&self) -> Result<Account, api::Error> {
        if let Some(account) = self.fresh() {
            return Ok(account);
        }
        if let Some((at, error)) = &*self.failed()
            && at.elapsed() < FRESH
        {
            return Err(error.clone());
        }
        let asked = api::in_background(self.client.account()).await;
        *self.failed() = asked.as_ref().err().map(|error| (Instant::now(), error.clone()));
        let account = asked?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), account));
        Ok(account)
    }
}
