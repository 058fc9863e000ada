//! A site: a folder of the bed in which things are tried out, and what was made there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;
use super::picture::{Picture, random};
use super::scratch;
use crate::api::{self, Client};
use crate::types::{Entry, FileId};
use crate::upload::{self, Job};

/// What every name in a site begins with.
pub(super) const PREFIX: &str = "bedfs-probe-";

/// How often an experiment is made that fails for the moment's sake.
const TRIES: usize = 3;
/// How long something that was made is waited for to be seen, and how often it is looked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// How long the effect of a change is waited for that may have none.
const EFFECT: Duration = Duration::from_secs(2);

/// An answer, and what the service said where it refused.
pub(super) struct Found<A> {
    pub(super) answer: A,
    pub(super) note: Option<String>,
}

impl<A> From<A> for Found<A> {
    fn from(answer: A) -> Self {
        Self { answer, note: None }
    }
}

impl<A> Found<A> {
    /// The answer for a refusal; any other error stays one.
    pub(super) fn refused(answer: A, error: Error) -> Result<Self, Error> {
        match error.refusal() {
            Some(words) => Ok(Self { answer, note: Some(words) }),
            None => Err(error),
        }
    }
}

/// A folder to try things out in.
pub(super) struct Site<'a> {
    pub(super) client: &'a Client,
    pub(super) folder: &'a FileId,
    /// What was made here, in the order of making.
    pub(super) made: &'a Mutex<Vec<FileId>>,
}

impl<'a> Site<'a> {
    /// A site in `folder`; the IDs of what is made go into `made`.
    pub(super) fn new(
        client: &'a Client, folder: &'a FileId, made: &'a Mutex<Vec<FileId>>,
    ) -> Self {
        Self { client, folder, made }
    }

    /// Takes down that this was made.
    pub(super) fn made(&self, id: &FileId) {
        lock(self.made).push(id.clone());
    }

    /// Uploads under a name, and gives the ID.
    pub(super) async fn upload(
        &self, folder: &FileId, name: &str, picture: &Picture,
    ) -> Result<FileId, Error> {
        let file = Arc::new(picture.file().map_err(|error| Error::Disk(Arc::new(error)))?);
        let bytes = || Ok(file.clone());
        let (sum, unchanged, sent) = (picture.sum(), &|| true, &|_: &str| ());
        let job = Job { folder, name, sum, bytes: &bytes, unchanged, sent };
        let id = upload::upload(self.client, &job).await?;
        self.made(&id);
        Ok(id)
    }

    /// The same, and waits until it is seen: only what was seen can be said to have vanished.
    pub(super) async fn put(
        &self, folder: &FileId, name: &str, picture: &Picture,
    ) -> Result<FileId, Error> {
        let id = self.upload(folder, name, picture).await?;
        match self.time_until(PATIENCE, || async { Ok(self.look(&id).await?.is_some()) }).await? {
            Some(_) => Ok(id),
            None => Err(Error::Odd("a picture was uploaded, and the service does not know its ID")),
        }
    }

    /// Makes a folder in the site.
    pub(super) async fn make_folder(&self) -> Result<FileId, Error> {
        let name = format!("{PREFIX}{}", random());
        let id = scratch::make_in(self.client, self.folder, &name).await?;
        self.made(&id);
        Ok(id)
    }

    /// The object as it is now; `None` if it is gone.
    pub(super) async fn look(&self, id: &FileId) -> Result<Option<Entry>, api::Error> {
        match self.client.detail(id).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a listing of the folder has the object.
    pub(super) async fn lists(&self, folder: &FileId, id: &FileId) -> Result<bool, api::Error> {
        match self.client.list_all(folder).await {
            Ok(rows) => Ok(rows.iter().any(|row| row.id == *id)),
            // A folder made a moment ago may not be known to listings yet.
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the object lies in the folder, by its own row or, where that does not tell, by a
    /// listing.
    pub(super) async fn is_in(&self, id: &FileId, folder: &FileId) -> Result<bool, api::Error> {
        match self.look(id).await? {
            None => Ok(false),
            Some(entry) if entry.tells_no_parent() => self.lists(folder, id).await,
            Some(entry) => Ok(entry.parent == *folder),
        }
    }

    /// Whether the object goes, or is no longer what it was, within a moment.
    pub(super) async fn vanishes(
        &self, id: &FileId, name: &str, folder: &FileId,
    ) -> Result<bool, Error> {
        let is_gone = || async {
            let Some(entry) = self.look(id).await? else { return Ok(true) };
            let is_elsewhere = !entry.tells_no_parent() && entry.parent != *folder;
            Ok(is_elsewhere || *entry.name != *name)
        };
        self.soon(is_gone).await
    }

    /// Whether it is so, or becomes so within a moment.
    pub(super) async fn soon<L: Future<Output = Result<bool, api::Error>>>(
        &self, is_so: impl Fn() -> L,
    ) -> Result<bool, Error> {
        Ok(self.time_until(EFFECT, is_so).await?.is_some())
    }

    /// How long it takes until it is so; `None` if that is longer than `patience`.
    pub(super) async fn time_until<L: Future<Output = Result<bool, api::Error>>>(
        &self, patience: Duration, is_so: impl Fn() -> L,
    ) -> Result<Option<Duration>, Error> {
        let begin = Instant::now();
        loop {
            let asked = begin.elapsed();
            if is_so().await? {
                return Ok(Some(asked));
            }
            if asked > patience {
                return Ok(None);
            }
            sleep(PAUSE).await;
        }
    }
}

/// Makes the experiment, again if something gets in its way. Each time it makes pictures anew.
pub(super) async fn ask<A, E: Future<Output = Result<Found<A>, Error>>>(
    experiment: impl Fn() -> E,
) -> Result<Found<A>, Error> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match experiment().await {
            Err(error) if error.may_pass() && tries > 0 => {
                tracing::debug!("tried out again: {error}");
                sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// A new name for a picture.
pub(super) fn name() -> String {
    format!("{PREFIX}{}.png", random())
}

pub(super) fn lock(made: &Mutex<Vec<FileId>>) -> MutexGuard<'_, Vec<FileId>> {
    made.lock().unwrap_or_else(PoisonError::into_inner)
}
