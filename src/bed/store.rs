//! Storing: staged bytes become the content of a name, over an old version or where there is none.

use super::{Bed, Error, Target, describe, holds, sum_of};
use crate::api;
use crate::staging::{StagedFile, Sum};
use crate::state::{Replacing, RowId, Whereabouts};
use crate::types::{Entry, EntryKind, FileId, Picture};
use crate::upload::{self, Job};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::scratch::Spot;

/// What a name holds after its bytes were stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object of the bytes.
    pub new: Entry,
    /// The object whose place it took.
    pub old: Option<Arc<Entry>>,
    /// The scratch folder in which that lies, if it was only taken aside.
    pub aside: Option<FileId>,
}

/// Bytes on their way to a name.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    /// The row of the state file that keeps them until they are there.
    pub row: RowId,
    /// The bytes, none of which is missing.
    pub staged: &'a StagedFile,
    /// Of the bytes.
    pub sum: Sum,
    /// Whether an upload before this one may have come about: a listing may not show that yet.
    pub may_be_there: bool,
    /// Whether the bytes are still wanted, as they were summed.
    pub unchanged: &'a (dyn Fn() -> bool + Send + Sync),
    /// Uploads of them that the service was told to complete before, perhaps by another process.
    pub earlier: &'a [String],
    /// Told the upload's ID when they are sent, before the service is to complete it.
    pub sent: &'a (dyn Fn(&str) + Send + Sync),
}

/// An upload to a scratch folder that the service was still checking when it was asked last.
#[derive(Debug)]
pub(super) struct Aside {
    spot: Spot,
    preupload: String,
    sum: Sum,
}

impl Bed {
    /// Makes staged bytes the content of the target. While there is an old version, it stays in
    /// place until the new one is at the service and confirmed.
    pub async fn store(&self, target: &Target, bytes: Bytes<'_>) -> Result<Stored, Error> {
        let Some(old) = &target.old else {
            for preupload in bytes.earlier {
                let (folder, name) = (&target.folder, &*target.name);
                if let Some(made) = self.made_by(preupload, folder, name, bytes.sum).await? {
                    return Ok(Stored::alone(made));
                }
                self.state.came_to_nothing(bytes.row, preupload)?;
            }
            let uploaded = self.upload(&target.folder, &target.name, bytes).await;
            return match uploaded {
                Ok(id) => Ok(Stored::alone(made(id, target, bytes.sum))),
                Err(error) => self.store_over_stranger(target, bytes, error).await,
            };
        };
        if !holds(old, bytes.sum) {
            return self.replace(target, old, bytes).await;
        }
        // Nothing to send, if it is still there.
        match self.is_there(old, &target.folder).await? {
            true => Ok(Stored::alone(Entry::clone(old))),
            false => {
                let target = Target { old: None, ..target.clone() };
                Box::pin(self.store(&target, bytes)).await
            }
        }
    }

    async fn upload(
        &self, folder: &FileId, name: &str, bytes: Bytes<'_>,
    ) -> Result<FileId, upload::Error> {
        let reader = || bytes.staged.reader();
        let Bytes { sum, unchanged, sent, .. } = bytes;
        let job = Job { folder, name, sum, bytes: &reader, unchanged, sent };
        upload::upload(&self.client, &job).await
    }

    /// The new version in a scratch folder, confirmed; then the old one goes; then the new one
    /// takes its place.
    async fn replace(
        &self, target: &Target, old: &Arc<Entry>, bytes: Bytes<'_>,
    ) -> Result<Stored, Error> {
        let (spot, new) = self.upload_aside(target, bytes).await?;
        let found = match self.confirm(&new, spot.folder(), &target.name, bytes.sum).await {
            Ok(found) => found,
            Err(error) => {
                self.discard(&new, Some(spot)).await;
                return Err(error);
            }
        };
        if !(bytes.unchanged)() {
            self.discard(&new, Some(spot)).await;
            return Err(upload::Error::Changed.into());
        }
        let replacing = Replacing { new: found, old: self.with_link(old).await };
        let whereabouts = Whereabouts {
            folder: &target.folder,
            folder_path: &target.folder_path,
            name: &target.name,
            is_local: false,
        };
        let recorded = self.state.set_replacing(bytes.row, Some((&replacing, &whereabouts)));
        if let Err(error) = recorded {
            self.discard(&new, Some(spot)).await;
            return Err(error.into());
        }
        let (aside, brought) = self.exchange(target, &replacing, Some(spot), bytes.row).await?;
        if let Err(error) = brought {
            // The same bytes again, in place: the service has them, so none is sent.
            tracing::warn!("{:?} cannot be moved into place: {error}", target.name);
            let stored = match self.upload(&target.folder, &target.name, bytes).await {
                Ok(id) => {
                    let old = Some(Arc::new(replacing.old));
                    Stored { new: made(id, target, bytes.sum), old, aside }
                }
                // Somebody else replaced the old version before.
                Err(error) => {
                    let stored = self.store_over_stranger(target, bytes, error).await?;
                    // It may be the new version: moved, though no answer said so.
                    let old = stored.old.or_else(|| Some(Arc::new(replacing.old)));
                    Stored { old, aside: stored.aside.or(aside), ..stored }
                }
            };
            if stored.new.id != replacing.new.id {
                self.discard(&replacing.new.id, None).await;
            }
            return Ok(stored);
        }
        Ok(Stored { aside, ..replaced(target, &replacing) })
    }

    /// The new version in a scratch folder. One that the service was still checking when it was asked
    /// last is asked for again, and not sent again.
    async fn upload_aside(
        &self, target: &Target, bytes: Bytes<'_>,
    ) -> Result<(Spot, FileId), Error> {
        let earlier = self.unfinished().remove(&bytes.row).filter(|it| it.sum == bytes.sum);
        if let Some(Aside { spot, preupload, sum }) = earlier {
            match upload::outcome(&self.client, &preupload).await {
                Ok(Some(id)) => return Ok((spot, id)),
                // It is sent anew. What may come of it after all lies there as junk.
                Ok(None) => {}
                Err(error) => {
                    self.unfinished().insert(bytes.row, Aside { spot, preupload, sum });
                    return Err(error.into());
                }
            }
        }
        let spot = self.scratch.take(&target.name).await?;
        match self.upload(spot.folder(), &target.name, bytes).await {
            Ok(id) => Ok((spot, id)),
            Err(error) => {
                if let upload::Error::Unfinished { preupload, .. } = &error {
                    let aside = Aside { spot, preupload: preupload.clone(), sum: bytes.sum };
                    self.unfinished().insert(bytes.row, aside);
                }
                Err(error.into())
            }
        }
    }

    fn unfinished(&self) -> MutexGuard<'_, HashMap<RowId, Aside>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The old version goes, and the new one takes its place; the inner error is that it cannot be
    /// moved there. The state file names both, so that this is gone on with after any end.
    async fn exchange(
        &self, target: &Target, replacing: &Replacing, spot: Option<Spot>, row: RowId,
    ) -> Result<(Option<FileId>, Result<(), api::Error>), Error> {
        let Replacing { new, old } = replacing;
        let out = match target.is_open {
            true => self.set_aside(old, &target.folder).await.map(Some),
            false => self.delete(&old.id).await.map(|()| None),
        };
        let aside = match out {
            Err(error) if error.api().is_some_and(api::Error::is_refused) => {
                self.state.set_replacing(row, None)?;
                self.discard(&new.id, spot).await;
                return Err(error);
            }
            // The old version may be gone: the new one must stay.
            out => out?,
        };
        let brought = self.bring(&new.id, &target.folder).await;
        if let (Ok(()), Some(spot)) = (&brought, spot) {
            spot.free();
        }
        Ok((aside, brought))
    }

    /// Goes on with a replacement that was cut off, wherever that was. `None`: the old version is
    /// still in place, or another took it, and the new one is gone.
    pub async fn resume_replace(
        &self, target: &Target, replacing: &Replacing, row: RowId,
    ) -> Result<Option<Stored>, Error> {
        let Replacing { new, old } = replacing;
        let stored = |new| Stored { new, old: Some(Arc::new(old.clone())), aside: None };
        let rows = self.client.list_all(&target.folder).await?;
        let in_place = |row: &&Entry| row.id == new.id && row.id != old.id;
        if let Some(row) = rows.iter().find(in_place) {
            return Ok(Some(stored(row.clone())));
        }
        let named = rows.iter().find(|row| *row.name == *target.name && row.picture().is_some());
        if let Some(other) = named.filter(|row| row.id != old.id) {
            // The same bytes by instant upload, or somebody else's: the new version is not wanted.
            self.state.set_replacing(row, None)?;
            self.discard(&new.id, None).await;
            let is_it = new.picture().is_some_and(|p| p.md5.is_some())
                && other.picture().map(|p| (p.md5, p.size))
                    == new.picture().map(|p| (p.md5, p.size));
            return Ok(is_it.then(|| stored(other.clone())));
        }
        match self.client.detail(&new.id).await {
            Err(error) if error.is_not_found() => {
                self.state.set_replacing(row, None)?;
                return Ok(None);
            }
            Ok(found) if self.is_in(&found, &target.folder).await? == Some(true) => {
                return Ok(Some(stored(found)));
            }
            found => drop(found?),
        }
        let (aside, brought) = self.exchange(target, replacing, None, row).await?;
        let Err(error) = brought else {
            return Ok(Some(Stored { aside, ..replaced(target, replacing) }));
        };
        tracing::warn!("{:?} cannot be moved into place: {error}", target.name);
        // It may have been copied there before the end, and not be listed yet.
        let target = &Target { old: Some(Arc::new(old.clone())), ..target.clone() };
        let listed = self.named_soon(target, true).await?;
        let copied = listed.filter(|it| sum_of(new).is_some_and(|sum| holds(it, sum)));
        let in_place = match copied {
            Some(copied) => copied,
            None => {
                let (id, sum) = self.copy(&self.with_link(new).await, target).await?;
                made(id, target, sum)
            }
        };
        if in_place.id != new.id {
            self.discard(&new.id, None).await;
        }
        Ok(Some(Stored { aside, ..stored(in_place) }))
    }

    /// After a refusal: where another object of that name turned up, the bytes replace that one.
    async fn store_over_stranger(
        &self, target: &Target, bytes: Bytes<'_>, error: upload::Error,
    ) -> Result<Stored, Error> {
        if !error.api().is_some_and(api::Error::is_refused) {
            return Err(error.into());
        }
        let stranger = self.named_soon(target, bytes.may_be_there).await?;
        match stranger {
            Some(old) if holds(&old, bytes.sum) => Ok(Stored::alone(old)),
            Some(old) => {
                let target = Target { old: Some(Arc::new(old)), ..target.clone() };
                Box::pin(self.store(&target, bytes)).await
            }
            None => Err(error.into()),
        }
    }

    /// The object that has the target's name, other than the known one. A listing may lag behind: who is
    /// patient looks for it a few times.
    async fn named_soon(&self, target: &Target, is_patient: bool) -> Result<Option<Entry>, Error> {
        let old = target.old.as_ref().map(|old| &old.id);
        let mut pauses = self.client.staleness().listing_looks().filter(|_| is_patient);
        loop {
            let rows = self.client.list_all(&target.folder).await?;
            let is_it = |row: &Entry| {
                *row.name == *target.name && row.picture().is_some() && Some(&row.id) != old
            };
            match (rows.into_iter().find(is_it), pauses.next()) {
                (None, Some(pause)) => tokio::time::sleep(pause).await,
                (found, _) => return Ok(found),
            }
        }
    }

    /// The entry with its link, where the service tells it: it is asked for before the object goes,
    /// since a published link that dies must be known.
    pub async fn with_link(&self, entry: &Entry) -> Entry {
        if entry.has_link() {
            return entry.clone();
        }
        self.row_with_link(&entry.id).await.unwrap_or_else(|_| entry.clone())
    }

    /// The object that an upload of these bytes made in the folder, under the name. The upload may be
    /// of another process, and the service not be done with it: then it is waited for.
    pub async fn made_by(
        &self, preupload: &str, folder: &FileId, name: &str, sum: Sum,
    ) -> Result<Option<Entry>, Error> {
        let Some(id) = upload::outcome(&self.client, preupload).await? else {
            return Ok(None);
        };
        match self.confirm(&id, folder, name, sum).await {
            // It may have been made in a scratch folder, or be gone since.
            Ok(found) => Ok((self.is_in(&found, folder).await? != Some(false)).then_some(found)),
            Err(error) if error.api().is_some_and(api::Error::is_transient) => Err(error),
            Err(_) => Ok(None),
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
        let mut pauses = self.looks();
        loop {
            let error = match self.client.detail(id).await {
                Ok(found) => return Ok(found),
                Err(error) if error.is_denied() => return Err(error.into()),
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

/// What a replacement came to that moved the new version into place.
fn replaced(target: &Target, replacing: &Replacing) -> Stored {
    let new = Entry { parent: target.folder.clone(), ..replacing.new.clone() };
    Stored { new, old: Some(Arc::new(replacing.old.clone())), aside: None }
}

impl Stored {
    /// An object that took nobody's place.
    fn alone(new: Entry) -> Self {
        Self { new, old: None, aside: None }
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
