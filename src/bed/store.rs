//! Storing: staged bytes become the content of a name, over an old version or where there is none.

use super::scratch::Lies;
use super::{Bed, Error, Target, describe, holds};
use crate::api;
use crate::staging::{StagedFile, Sum};
use crate::types::{Entry, EntryKind, FileId, Picture};
use crate::upload::{self, Job};
use std::sync::Arc;
use std::time::Duration;

/// How long an object just made is looked for, between looks.
const LOOK_PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

impl Bed {
    /// Makes staged bytes the content of the target, and gives its new entry.
    ///
    /// Nothing is missing in `staged`, and `sum` is of its bytes. While there is an old version, it
    /// stays in place until the new one is at the service and confirmed.
    pub async fn store(
        &self, target: &Target, staged: &StagedFile, sum: Sum,
    ) -> Result<Entry, Error> {
        let entry = self.put_in_place(target, staged, sum).await?;
        self.scratch.supersede(&target.folder, &target.name);
        Ok(entry)
    }

    async fn put_in_place(
        &self, target: &Target, staged: &StagedFile, sum: Sum,
    ) -> Result<Entry, Error> {
        let unchanged = || staged.generation() == sum.generation;
        let bytes = || staged.reader();
        let job = |folder, name| Job { folder, name, sum, bytes: &bytes, unchanged: &unchanged };
        let Some(old) = &target.old else {
            return match upload::upload(&self.client, &job(&target.folder, &target.name)).await {
                Ok(id) => Ok(made(id, target, sum)),
                Err(error) => self.store_over_stranger(target, staged, sum, error).await,
            };
        };
        if !holds(old, sum) {
            return self.replace(target, old, sum, &job).await;
        }
        // Nothing to send, if it is still there.
        match self.is_there(old, &target.folder).await? {
            true => Ok(Entry::clone(old)),
            false => {
                let target = Target { old: None, ..target.clone() };
                Box::pin(self.store(&target, staged, sum)).await
            }
        }
    }

    /// The new version in a scratch folder, confirmed; then the old one goes; then the new one
    /// takes its place.
    async fn replace<'a, F>(
        &self, target: &'a Target, old: &Entry, sum: Sum, job: &F,
    ) -> Result<Entry, Error>
    where
        F: Fn(&'a FileId, &'a str) -> Job<'a>,
    {
        let spot = self.scratch.take(&target.name).await?;
        let folder = spot.folder().clone();
        let in_scratch = Job { folder: &folder, ..job(&target.folder, &target.name) };
        let new = match upload::upload(&self.client, &in_scratch).await {
            Ok(new) => new,
            Err(error) => {
                // What may have been made was never acknowledged: nobody will want it.
                spot.leave(Lies::Scrap);
                return Err(error.into());
            }
        };
        if let Err(error) = self.confirm(&new, &folder, &target.name, sum).await {
            self.discard(&new, spot).await;
            return Err(error);
        }
        match self.delete(&old.id).await {
            Ok(()) => {}
            Err(error) if error.api().is_some_and(api::Error::is_refused) => {
                self.discard(&new, spot).await;
                return Err(error);
            }
            // The old version may be gone: the new one must stay.
            Err(error) => {
                spot.leave(Lies::Version { id: new, folder: target.folder.clone() });
                return Err(error);
            }
        }
        let Err(error) = self.bring(&new, &target.folder).await else {
            spot.free();
            return Ok(made(new, target, sum));
        };
        // The same bytes again, in place: the service has them, so none is sent.
        tracing::warn!("{:?} cannot be moved into place: {error}", target.name);
        match upload::upload(&self.client, &job(&target.folder, &target.name)).await {
            Ok(id) => {
                self.discard(&new, spot).await;
                Ok(made(id, target, sum))
            }
            Err(error) => {
                spot.leave(Lies::Version { id: new, folder: target.folder.clone() });
                Err(error.into())
            }
        }
    }

    /// After a refusal: where another object of that name turned up, the bytes replace that one.
    async fn store_over_stranger(
        &self, target: &Target, staged: &StagedFile, sum: Sum, error: upload::Error,
    ) -> Result<Entry, Error> {
        if !error.api().is_some_and(api::Error::is_refused) {
            return Err(error.into());
        }
        let rows = self.client.list_all(&target.folder).await?;
        let stranger =
            rows.into_iter().find(|row| *row.name == *target.name && row.picture().is_some());
        match stranger {
            Some(old) if holds(&old, sum) => Ok(old),
            Some(old) => {
                let target = Target { old: Some(Arc::new(old)), ..target.clone() };
                Box::pin(self.store(&target, staged, sum)).await
            }
            None => Err(error.into()),
        }
    }

    /// The entry of an object that was just made, if it stands where it should and has the bytes
    /// that were sent. Before anything is deleted for it.
    pub(super) async fn confirm(
        &self, id: &FileId, folder: &FileId, name: &str, sum: Sum,
    ) -> Result<Entry, Error> {
        let found = self.look_up(id, folder).await?;
        // Where the row tells no md5, the service's own check at completion has to do.
        let right = found.picture().is_some_and(|picture| {
            picture.size == sum.size && picture.md5.is_none_or(|md5| md5 == sum.md5)
        });
        if right && *found.name == *name {
            return Ok(found);
        }
        Err(Error::Unconfirmed {
            name: name.to_owned(),
            found: format!("{:?}, {}", found.name, describe(&found)),
            wanted: format!("{} bytes with md5 {}", sum.size, sum.md5),
        })
    }

    /// The row of an object just made: by `detail`, or where that fails by a listing of its folder.
    /// Both may lag, so they are asked a few times.
    async fn look_up(&self, id: &FileId, folder: &FileId) -> Result<Entry, Error> {
        let mut pauses = LOOK_PAUSES.into_iter();
        loop {
            let error = match self.client.detail(id).await {
                Ok(found) => return Ok(found),
                Err(error) if error.is_unauthorized() => return Err(error.into()),
                Err(error) => error,
            };
            let rows = self.client.list_all(folder).await?;
            if let Some(row) = rows.into_iter().find(|row| row.id == *id) {
                return Ok(row);
            }
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error.into()),
            }
        }
    }
}

/// The entry of an object just made. Its link is asked for when someone wants it.
fn made(id: FileId, target: &Target, sum: Sum) -> Entry {
    let now = jiff::Timestamp::now().as_second();
    let picture = Picture { size: sum.size, md5: Some(sum.md5), status: 0, traffic: 0, link: None };
    Entry {
        id,
        name: target.name.as_str().into(),
        parent: target.folder.clone(),
        created: now,
        updated: now,
        kind: EntryKind::File(picture),
    }
}
