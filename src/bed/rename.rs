//! Renames of files: by a move where the name stays, by another object of the same bytes where it
//! does not.
//!
//! The state file names a rename from before its first step until after its last; `resume_rename`
//! takes up one that was cut off between any two.

use std::sync::Arc;

use super::scratch::Spot;
use super::{Bed, Error, Target, holds, sum_of};
use crate::api;
use crate::staging::{StagedFile, Sum};
use crate::state::{Delete, Rename, RowId};
use crate::types::{Attributes, Entry, EntryKind, FileId, Ino};
use crate::upload::{self, Job};

impl Bed {
    /// Gives a file another place or name, and its entry there. What is there already is taken
    /// aside first and deleted last; what is open of it waits in the queue of deletes.
    ///
    /// Within the name this is a move, which keeps the ID and so the link. Another name is another
    /// object of the same bytes (there is no rename), made before the old one is deleted. The
    /// `attributes` are the file's own; the rows `ends` of the state file end with it.
    pub async fn rename(
        &self, entry: &Entry, to: &Target, attributes: &Attributes, ends: &[RowId],
    ) -> Result<Entry, Error> {
        let old = match &to.old {
            Some(old) => Some(self.with_link(old).await),
            None => None,
        };
        // The same holds of its own link, which ends with its name.
        let entry = &match *entry.name == *to.name {
            true => entry.clone(),
            false => self.with_link(entry).await,
        };
        let path = to.path();
        let (folder, old) = (&to.folder, old.as_ref());
        let rename = self.state.rename_begins(entry, folder, &to.name, old, &path, ends)?;
        let spot = match &to.old {
            None => None,
            Some(old) => match self.retire(old, &to.folder).await {
                Ok(spot) => Some(spot),
                Err(error) => return Err(self.undo(&rename, None, error).await),
            },
        };
        match self.move_or_recreate(&rename, entry, to).await {
            Ok(new) => {
                self.rename_ends(&rename, &new, attributes, spot, to.is_open).await?;
                Ok(new)
            }
            // The new object stands: this goes on by itself, until it is done.
            Err(error @ Error::Unfinished(_)) => Err(error),
            Err(error) => Err(self.undo(&rename, spot, error).await),
        }
    }

    async fn move_or_recreate(
        &self, rename: &Rename, entry: &Entry, to: &Target,
    ) -> Result<Entry, Error> {
        if *entry.name != *to.name {
            return self.recreate(rename, entry, to).await;
        }
        match self.bring(&entry.id, &to.folder).await {
            Ok(()) => Ok(Entry { parent: to.folder.clone(), ..entry.clone() }),
            Err(error) if error.is_refused() => self.recreate(rename, entry, to).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The rename is done at the service: what had the name goes, or waits until nobody has it open.
    async fn rename_ends(
        &self, rename: &Rename, new: &Entry, attributes: &Attributes, spot: Option<Spot>,
        spare: bool,
    ) -> Result<(), Error> {
        let over = rename.over.as_ref();
        let folder = spot.as_ref().map(|spot| spot.folder().clone());
        let later = over
            .zip(folder)
            .filter(|_| spare)
            .map(|(over, folder)| Delete::of(over, folder, rename.path.clone()));
        self.state.rename_done(rename, new, attributes, later.as_ref())?;
        self.undelete(&new.id);
        match (over, later) {
            (_, Some(delete)) => self.deletes.hold(delete),
            (Some(over), None) => self.discard(&over.id, spot).await,
            (None, None) => {}
        }
        Ok(())
    }

    /// Brings back what had the name, and gives the error that the rename ends with.
    async fn undo(&self, rename: &Rename, spot: Option<Spot>, error: impl Into<Error>) -> Error {
        let undone = match &rename.over {
            Some(over) => self.bring(&over.id, &rename.folder).await,
            None => Ok(()),
        };
        // Of the same bytes as what stands in its place now, nobody will miss it.
        let is_twin = |over: &Entry| sum_of(&rename.source).is_some_and(|sum| holds(over, sum));
        let recorded = match &undone {
            Ok(()) => self.state.rename_undone(rename, false),
            Err(_) if rename.over.as_ref().is_some_and(is_twin) => {
                self.state.rename_undone(rename, true)
            }
            Err(_) => self.state.rename_fails(rename.id),
        };
        if let Err(unrecorded) = recorded {
            tracing::error!("{unrecorded}");
        }
        match undone {
            // Left taken: it may be in there, as junk.
            Ok(()) => drop(spot),
            Err(back) => {
                tracing::error!("{:?} waits in a scratch folder: {back}", rename.path);
            }
        }
        error.into()
    }

    /// Goes on with a rename that was cut off, wherever that was.
    pub(super) async fn resume_rename(&self, rename: &Rename) -> Result<(), Error> {
        let rows = match self.client.list_all(&rename.folder).await {
            Err(error) if error.is_not_found() => Vec::new(),
            rows => rows?,
        };
        let over_in_place = rename
            .over
            .as_ref()
            .filter(|over| rows.iter().any(|row| row.id == over.id && *row.name == *rename.name));
        if rename.is_undone {
            return self.give_back(rename, over_in_place.is_some()).await;
        }
        let source = match self.client.detail(&rename.source.id).await {
            Err(error) if error.is_not_found() => None,
            source => Some(source?),
        };
        let mut attributes = self.state.attributes(&[&rename.source.id])?;
        let mut attributes = attributes.remove(&rename.source.id).unwrap_or_default();
        attributes.ino.get_or_insert(Ino::of(&rename.source.id));
        if let Some(new) = self.already_there(rename, &rows, source.as_ref()).await? {
            if let Some(source) = source.filter(|source| source.id != new.id)
                && self.is_in(&source, &rename.source.parent).await?.unwrap_or(true)
            {
                self.delete(&source.id).await?;
            }
            return self.rename_ends(rename, &new, &attributes, None, false).await;
        }
        let Some(source) = source else {
            // Deleted by somebody else: there is nothing to rename.
            return self.give_back(rename, over_in_place.is_some()).await;
        };
        if let Some(over) = over_in_place {
            self.retire(over, &rename.folder).await?;
        }
        let target = Target::free(rename.folder.clone(), &rename.name);
        let new = self.move_or_recreate(rename, &source, &target).await?;
        self.rename_ends(rename, &new, &attributes, None, false).await
    }

    /// The object that a rename was to bring into its place, if it is there.
    async fn already_there(
        &self, rename: &Rename, rows: &[Entry], source: Option<&Entry>,
    ) -> Result<Option<Entry>, Error> {
        if let Some(source) = source
            && *source.name == *rename.name
            && self.is_in(source, &rename.folder).await? == Some(true)
        {
            return Ok(Some(source.clone()));
        }
        let over = rename.over.as_ref().map(|over| &over.id);
        let named = |row: &&Entry| *row.name == *rename.name && Some(&row.id) != over;
        let Some(row) = rows.iter().find(named) else {
            return self.made_unseen(rename, source).await;
        };
        let is_it = match (sum_of(&rename.source), source) {
            _ if rename.made.as_ref() == Some(&row.id) => may_be(row, &rename.source),
            (Some(sum), _) => holds(row, sum),
            // Made, perhaps, but its ID was not recorded any more: only the bytes can tell.
            (None, Some(source)) if row.size() == source.size() => {
                self.fetch(row).await?.1.md5 == self.fetch(source).await?.1.md5
            }
            (None, _) => false,
        };
        Ok(is_it.then(|| row.clone()))
    }

    /// The object that a rename made, where no listing shows it. Its source was deleted for it alone,
    /// so that without one it must be there.
    async fn made_unseen(
        &self, rename: &Rename, source: Option<&Entry>,
    ) -> Result<Option<Entry>, Error> {
        let Some(made) = &rename.made else { return Ok(None) };
        match self.client.detail(made).await {
            Ok(found) if *found.name == *rename.name && may_be(&found, &rename.source) => {
                let is_there = self.is_in(&found, &rename.folder).await?.unwrap_or(true);
                Ok(is_there.then_some(found))
            }
            Ok(_) => Ok(None),
            Err(error) if !error.is_not_found() => Err(error.into()),
            Err(_) if source.is_some() => Ok(None),
            Err(_) => {
                let (id, parent) = (made.clone(), rename.folder.clone());
                let name = rename.name.as_str().into();
                let mut kind = rename.source.kind.clone();
                if let EntryKind::File(picture) = &mut kind {
                    picture.link = None;
                }
                Ok(Some(Entry { id, parent, name, kind, ..rename.source.clone() }))
            }
        }
    }

    /// The rename is not to be: what had the name comes back from the scratch folder.
    async fn give_back(&self, rename: &Rename, is_in_place: bool) -> Result<(), Error> {
        if let Some(over) = rename.over.as_ref().filter(|_| !is_in_place)
            && let Err(error) = self.bring(&over.id, &rename.folder).await
        {
            match self.client.detail(&over.id).await {
                Err(gone) if gone.is_not_found() => {}
                Ok(_) | Err(_) => return Err(error.into()),
            }
        }
        Ok(self.state.rename_undone(rename, false)?)
    }

    /// The same bytes as another object, by instant upload; then the first one goes.
    async fn recreate(&self, rename: &Rename, entry: &Entry, to: &Target) -> Result<Entry, Error> {
        let (id, sum) = self.copy(entry, to).await?;
        self.replace_by(rename, entry, id, to, sum).await
    }

    /// Makes another object of the same bytes: by instant upload, or by way of here where the service
    /// does not know them by their md5.
    pub(super) async fn copy(&self, entry: &Entry, to: &Target) -> Result<(FileId, Sum), Error> {
        if let Some(sum) = sum_of(entry)
            && let Some(id) = upload::instant(&self.client, &to.folder, &to.name, sum).await?
        {
            return Ok((id, sum));
        }
        let (staged, sum) = self.fetch(entry).await?;
        if sum_of(entry).is_some_and(|listed| listed.md5 != sum.md5) {
            // What came is not what the entry is: it must not take its place.
            return Err(Error::Corrupted { name: entry.name.to_string() });
        }
        let bytes = || staged.reader();
        let (folder, name, unchanged) = (&to.folder, &*to.name, &|| true);
        let job = Job { folder, name, sum, bytes: &bytes, unchanged, sent: &|_| () };
        Ok((upload::upload(&self.client, &job).await?, sum))
    }

    /// Confirms that `id` stands under the new name with the right bytes, and deletes `entry`. What
    /// fails leaves neither or both: then the rename only goes forward.
    async fn replace_by(
        &self, rename: &Rename, entry: &Entry, id: FileId, to: &Target, sum: Sum,
    ) -> Result<Entry, Error> {
        self.state.rename_makes(rename.id, &id)?;
        let error = match self.confirm(&id, &to.folder, &to.name, sum).await {
            Ok(found) if id == entry.id => return Ok(found),
            Ok(found) => match self.delete(&entry.id).await {
                Ok(()) => return Ok(found),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let is_refused = matches!(error, Error::Unconfirmed { .. })
            || error.api().is_some_and(api::Error::is_refused);
        if !is_refused || id == entry.id || !self.is_still_known(&entry.id).await {
            return Err(Error::Unfinished(Box::new(error)));
        }
        // Two names where there was one: back to the old one.
        match self.delete(&id).await {
            Ok(()) => Err(error),
            Err(stays) => {
                tracing::warn!("{:?} stays beside {:?}: {stays}", to.name, entry.name);
                Err(Error::Unfinished(Box::new(error)))
            }
        }
    }

    /// Whether the service knows an object, though it may have dropped it a moment ago for one of the
    /// same bytes: by a `detail` that shows that (S2).
    async fn is_still_known(&self, id: &FileId) -> bool {
        tokio::time::sleep(self.staleness().detail()).await;
        self.client.detail(id).await.is_ok()
    }

    /// All bytes of an object, on the local disk, and their sum.
    async fn fetch(&self, entry: &Entry) -> Result<(Arc<StagedFile>, Sum), Error> {
        let staged = Arc::new(StagedFile::nameless(&self.staging, entry.size())?);
        self.fill(&staged, &Arc::new(entry.clone())).await?;
        let sum = staged.clone().sum_aside().await?;
        Ok((staged, sum))
    }
}

/// Whether nothing that the rows tell speaks against their being of the same bytes.
fn may_be(one: &Entry, other: &Entry) -> bool {
    let sums = (sum_of(one), sum_of(other));
    one.size() == other.size() && !matches!(sums, (Some(one), Some(other)) if one.md5 != other.md5)
}
