//! Renames of files: by a move where the name stays, by another object of the same bytes where it
//! does not.

use std::sync::Arc;

use super::scratch::Lies;
use super::{Bed, Error, Target, holds};
use crate::api;
use crate::staging::{StagedFile, Sum};
use crate::types::{Entry, FileId};
use crate::upload::{self, Job};

impl Bed {
    /// Gives a file another place or name, and its entry there. What is there already is taken
    /// aside first and deleted last; `spare` keeps it in the scratch folder instead.
    ///
    /// Within the name this is a move, which keeps the ID and so the link. Another name is another
    /// object of the same bytes (there is no rename), made before the old one is deleted.
    pub async fn rename(&self, entry: &Entry, to: &Target, spare: bool) -> Result<Entry, Error> {
        let aside = match &to.old {
            Some(old) => Some((old.clone(), self.retire(old).await?)),
            None => None,
        };
        let renamed = if *entry.name == *to.name {
            match self.bring(&entry.id, &to.folder).await {
                Ok(()) => Ok(Entry { parent: to.folder.clone(), ..entry.clone() }),
                Err(error) if error.is_refused() => self.recreate(entry, to).await,
                Err(error) => Err(error.into()),
            }
        } else {
            self.recreate(entry, to).await
        };
        match (renamed, aside) {
            (Ok(new), Some((old, spot))) => {
                if spare {
                    spot.leave(Lies::Wanted(old.id.clone()));
                } else {
                    self.discard(&old.id, spot).await;
                }
                Ok(new)
            }
            (Err(error), Some((old, spot))) => {
                match self.bring(&old.id, &to.folder).await {
                    Ok(()) => spot.free(),
                    Err(back) => {
                        tracing::error!("{:?} stays in a scratch folder: {back}", old.name);
                        let id = old.id.clone();
                        // Of the same bytes as what stayed where it was, nobody will miss it.
                        let twin = sum_of(entry).is_some_and(|sum| holds(&old, sum));
                        spot.leave(if twin { Lies::Junk(id) } else { Lies::Wanted(id) });
                    }
                }
                Err(error)
            }
            (renamed, None) => renamed,
        }
    }

    /// The same bytes as another object, by instant upload; then the first one goes.
    async fn recreate(&self, entry: &Entry, to: &Target) -> Result<Entry, Error> {
        let Some(sum) = sum_of(entry) else {
            return self.copy_through(entry, to).await;
        };
        match upload::instant(&self.client, &to.folder, &to.name, sum).await? {
            Some(id) => self.replace_by(entry, id, to, sum).await,
            None => self.copy_through(entry, to).await,
        }
    }

    /// Confirms that `id` stands under the new name with the right bytes, and deletes `entry`.
    async fn replace_by(
        &self, entry: &Entry, id: FileId, to: &Target, sum: Sum,
    ) -> Result<Entry, Error> {
        let found = self.confirm(&id, &to.folder, &to.name, sum).await?;
        if id == entry.id {
            return Ok(found);
        }
        match self.delete(&entry.id).await {
            Ok(()) => Ok(found),
            Err(error) => {
                // Two names where there was one: back to the old one, unless it may be gone.
                if error.api().is_some_and(api::Error::is_refused)
                    && let Err(stays) = self.delete(&id).await
                {
                    tracing::warn!("{:?} stays beside {:?}: {stays}", to.name, entry.name);
                }
                Err(error)
            }
        }
    }

    /// The bytes by way of here: where the service does not know them by their md5.
    async fn copy_through(&self, entry: &Entry, to: &Target) -> Result<Entry, Error> {
        let entry = Arc::new(entry.clone());
        let staged = Arc::new(StagedFile::create(&self.staging, &to.name, entry.size())?);
        self.fill(&staged, &entry).await?;
        let sum = staged.clone().sum_aside().await?;
        if sum_of(&entry).is_some_and(|listed| listed.md5 != sum.md5) {
            // What came is not what the entry is: it must not take its place.
            return Err(Error::Corrupted { name: entry.name.to_string() });
        }
        let bytes = || staged.reader();
        let job =
            Job { folder: &to.folder, name: &to.name, sum, bytes: &bytes, unchanged: &|| true };
        let id = upload::upload(&self.client, &job).await?;
        self.replace_by(&entry, id, to, sum).await
    }
}

/// What the row tells of the bytes; `None` without an md5.
fn sum_of(entry: &Entry) -> Option<Sum> {
    let picture = entry.picture()?;
    picture.md5.map(|md5| Sum { md5, size: picture.size, generation: 0 })
}
