//! The end of an upload: the service is told that all slices are sent, and asked until it has checked
//! them.

use std::time::Duration;

use tokio::time::Instant;

use super::slices::Slices;
use super::{Error, REPEATS, find};
use crate::api::{self, Client, Completed};
use crate::types::FileId;

/// "若返回的completed为false，请1秒后再次调用" (`003`): never sooner.
const POLL: Duration = Duration::from_millis(1050);
/// How often it is asked so; then less often.
const POLLS: u32 = 30;
const LATER: Duration = Duration::from_secs(5);
/// How long the service is asked in one go. Who uploads in the background asks again after that.
const PATIENCE: Duration = Duration::from_secs(600);

/// Refusals that are of the name or of the account, not of the bytes.
const NOT_OF_BYTES: [i64; 2] = [5060, 5113];

/// What came of the slices.
pub(super) enum Completion {
    /// The object.
    Done(FileId),
    /// The service has other bytes than were sent, and takes no more of them.
    Spoilt(api::Error),
}

/// Has the service make the object of what was sent. Where it refuses, a slice may have been lost
/// behind an answer of success: what it has is compared once with what was sent.
pub(super) async fn complete(slices: &Slices<'_>) -> Result<Completion, Error> {
    let refused = match tell(slices).await {
        Ok(id) => return Ok(Completion::Done(id)),
        Err(error) => bytes_refused(error)?,
    };
    tracing::warn!("{:?} is compared with what the service has: {refused}", slices.job.name);
    match slices.send_missing().await {
        Ok(0) => return Err(refused.into()),
        Ok(_) if !(slices.job.unchanged)() => return Err(Error::Changed),
        Ok(_) => {}
        Err(error) if error.api().is_some_and(api::Error::is_refused) => {
            return Ok(Completion::Spoilt(refused));
        }
        Err(error) => return Err(error),
    }
    tell(slices).await.map(Completion::Done)
}

/// The refusal, where it may be one of the bytes; else the error.
fn bytes_refused(error: Error) -> Result<api::Error, Error> {
    let is_it =
        |api: &api::Error| api.refusal().is_some_and(|reply| !NOT_OF_BYTES.contains(&reply.code));
    error.api().filter(|api| is_it(api)).cloned().ok_or(error)
}

/// Tells that all is sent, until that is certain, and asks until the object is there.
async fn tell(slices: &Slices<'_>) -> Result<FileId, Error> {
    let Slices { client, job, preupload, .. } = slices;
    let mut checks = Checks::begin();
    // Whether an earlier telling may have been taken.
    let (mut repeats, mut may_be_taken) = (REPEATS, false);
    loop {
        let is_lost = match client.upload_complete(preupload).await {
            Ok(Completed::Done(id)) => return Ok(id),
            Ok(Completed::Pending) => return poll(client, checks, preupload).await,
            Ok(Completed::Checking) => false,
            Err(error) if error.may_be_done() && repeats > 0 => {
                repeats -= 1;
                true
            }
            // It may be refused because an earlier one was done after all.
            Err(error) if error.is_refused() && may_be_taken => {
                return match find(client, job).await? {
                    Some(entry) => Ok(entry.id),
                    None => poll(client, checks, preupload).await.map_err(|other| {
                        let is_refused = other.api().is_some_and(api::Error::is_refused);
                        if is_refused { error.into() } else { other }
                    }),
                };
            }
            Err(error) => return Err(error.into()),
        };
        may_be_taken = true;
        // Never sooner than a second after the question before.
        checks.pause(client, preupload).await?;
        match client.upload_async_result(preupload).await {
            Ok(Completed::Done(id)) => return Ok(id),
            // It is being checked, or was never asked for. Looking tells.
            _ if is_lost => {
                if let Some(entry) = find(client, job).await? {
                    return Ok(entry.id);
                }
            }
            Err(error) if !error.is_refused() => return Err(error.into()),
            Ok(_) | Err(_) => checks.pause(client, preupload).await?,
        }
    }
}

/// What became of an upload that the service was told to complete, perhaps before this process
/// began: the object's ID; `None` if the service says that it made none.
pub async fn outcome(client: &Client, preupload: &str) -> Result<Option<FileId>, Error> {
    match poll(client, Checks::begin(), preupload).await {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.api().is_some_and(|error| !error.is_transient()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks until the service has checked the bytes.
async fn poll(client: &Client, mut checks: Checks, preupload: &str) -> Result<FileId, Error> {
    loop {
        checks.pause(client, preupload).await?;
        if let Completed::Done(id) = client.upload_async_result(preupload).await? {
            return Ok(id);
        }
    }
}

/// The questions after one upload.
struct Checks {
    began: Instant,
    asked: u32,
}

impl Checks {
    fn begin() -> Self {
        Self { began: Instant::now(), asked: 0 }
    }

    /// Waits until the next question may be asked, unless they have gone on for too long.
    async fn pause(&mut self, client: &Client, preupload: &str) -> Result<(), Error> {
        let waited = self.began.elapsed();
        if waited >= PATIENCE {
            return Err(Error::Unfinished { preupload: preupload.to_owned(), waited });
        }
        client.rest(self.next()).await;
        Ok(())
    }

    /// The wait before the next question.
    fn next(&mut self) -> Duration {
        self.asked += 1;
        if self.asked <= POLLS { POLL } else { LATER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_every_second_then_every_five_for_ten_minutes() {
        let mut checks = Checks::begin();
        let (mut waits, mut all) = (Vec::new(), Duration::ZERO);
        while all < PATIENCE {
            let wait = checks.next();
            all += wait;
            waits.push(wait.as_secs());
        }
        assert_eq!(waits[..30], [1; 30]);
        assert!(waits[30..].iter().all(|wait| *wait == 5));
        assert!(waits.len() > 60, "a service was seen to check for more than 60 polls");
    }
}
