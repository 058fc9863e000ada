//! The figures of the account: how much space and direct-link traffic it has, asked for now and then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::api::{self, Client};
use crate::types::{Account, DeveloperRight};

/// How long an answer serves.
const FRESH: Duration = Duration::from_secs(10);

/// How often the log is told of an end that is near.
const WARN: Duration = Duration::from_secs(24 * 3600);

/// The last known figures of the account.
pub struct AccountCache {
    client: Client,
    known: Mutex<Option<(Instant, Account)>>,
    /// The last failure, which serves for as long as an answer.
    failed: Mutex<Option<(Instant, api::Error)>>,
    /// When the log was told that the developer right ends.
    warned: Mutex<Option<Instant>>,
    /// One asks, the others wait for its answer.
    asking: Semaphore,
}

impl AccountCache {
    /// A cache that begins with these figures, if they are known.
    pub fn new(client: Client, known: Option<Account>) -> Self {
        let cache = Self {
            client,
            known: Mutex::default(),
            failed: Mutex::default(),
            warned: Mutex::default(),
            asking: Semaphore::new(1),
        };
        if let Some(account) = known {
            cache.learn(account);
        }
        cache
    }

    /// Keeps the figures, and warns of the end of the developer right once a day.
    fn learn(&self, account: Account) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), account));
        let warning = account.right.warning(jiff::Timestamp::now().as_second());
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warning) = warning
            && warned.is_none_or(|at| at.elapsed() >= WARN)
        {
            *warned = Some(Instant::now());
            tracing::warn!("{warning}");
        }
    }

    /// The last known figures, however old.
    pub fn known(&self) -> Option<Account> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, account)| account)
    }

    /// The developer right as it was told last, and whether the service refuses what wants it.
    pub fn right(&self) -> (DeveloperRight, bool) {
        let (right, is_refused) = self.client.developer_right();
        let known = || self.known().map_or(right, |account| account.right);
        (if right == DeveloperRight::Untold { known() } else { right }, is_refused)
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
        self.learn(account);
        Ok(account)
    }
}
