//! The bed as safe changes: each takes the bed from one state to another through steps of which any
//! may fail, and at every moment each content that has a name has its bytes at the service.
//!
//! The service refuses two objects of one name in a folder, and has no rename. So a new version is
//! made in a *scratch* folder first, and an old one is taken aside there rather than deleted while
//! its successor is not in place.

mod folder;
mod scratch;

use std::sync::Arc;

use crate::api::{self, Client, Created};
use crate::read::{self, Reader};
use crate::staging::{Staged, StagedFile, Sum};
use crate::tree::Tree;
use crate::types::{Entry, EntryKind, FileId, Picture};
use crate::upload::{self, Job};
pub use folder::Remade;
use scratch::{Scratch, Spot};

/// How often a move whose answer was lost is asked for again, after looking.
const REPEATS: usize = 3;

/// Bytes fetched at a time when a file must be filled.
const FILL: u64 = 1 << 20;

/// Why a change of the bed did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service failed or refused.
    #[error(transparent)]
    Api(#[from] Arc<api::Error>),
    /// An upload failed.
    #[error(transparent)]
    Upload(#[from] upload::Error),
    /// Bytes that are needed for it could not be read.
    #[error(transparent)]
    Read(#[from] read::Error),
    /// The disk failed.
    #[error("staging: {0}")]
    Staging(Arc<std::io::Error>),
    /// The folder has entries, so it is not deleted.
    #[error("the folder is not empty at the service")]
    NotEmpty,
    /// What the service has is not what was sent; nothing was deleted for it.
    #[error("{name:?} at the service has {found}, not {wanted}; the old version stays")]
    Unconfirmed {
        /// The name it was created under.
        name: String,
        /// Size and md5 found.
        found: String,
        /// Size and md5 sent.
        wanted: String,
    },
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Staging(Arc::new(error))
    }
}

impl Error {
    /// What the client told, where the service was the reason.
    pub fn api(&self) -> Option<&api::Error> {
        match self {
            Self::Api(error) => Some(error),
            Self::Upload(error) => error.api(),
            Self::Read(read::Error::Fetch { source, .. }) => Some(source),
            _ => None,
        }
    }
}

/// Where an object is to be, and what is there now.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder.
    pub folder: FileId,
    /// The name in it, as the service is to spell it.
    pub name: String,
    /// The object there that is to be replaced.
    pub old: Option<Arc<Entry>>,
}

/// The bed of one mount.
pub struct Bed {
    client: Client,
    tree: Arc<Tree>,
    reader: Arc<Reader>,
    staging: std::path::PathBuf,
    scratch: Scratch,
}

impl Bed {
    /// The bed behind `client`; what must be fetched to be sent again is staged in `staging`.
    pub fn new(
        client: Client, tree: Arc<Tree>, reader: Arc<Reader>, staging: std::path::PathBuf,
    ) -> Self {
        let scratch = Scratch::new(client.clone());
        Self { client, tree, reader, staging, scratch }
    }

    /// Makes staged bytes the content of the target, and gives its new entry.
    ///
    /// Nothing is missing in `staged`, and `sum` is of its bytes. While there is an old version, it
    /// stays in place until the new one is at the service and confirmed.
    pub async fn store(
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
        if holds(old, sum) {
            return Ok(Entry::clone(old));
        }
        self.replace(target, old, sum, &job).await
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
            Err(error) => return Err(spot.leave_unless_refused(error.into())),
        };
        if let Err(error) = self.confirm(&new, &target.name, sum).await {
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
            Err(error) => return Err(spot.leave_unless_refused(error)),
        }
        let Err(error) = self.bring(&new, &target.folder).await else {
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
                spot.leave();
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
        let rows = self.client.list_all(&target.folder, |_| {}).await?;
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
                    spot.leave();
                } else {
                    self.discard(&old.id, spot).await;
                }
                Ok(new)
            }
            (Err(error), Some((old, spot))) => {
                if let Err(back) = self.bring(&old.id, &to.folder).await {
                    tracing::error!("{:?} stays in the scratch folder: {back}", old.name);
                    spot.leave();
                }
                Err(error)
            }
            (renamed, None) => renamed,
        }
    }

    /// The same bytes as another object, by instant upload; then the first one goes.
    async fn recreate(&self, entry: &Entry, to: &Target) -> Result<Entry, Error> {
        let new = match instant(entry) {
            Some((md5, size)) => self.client.create(&to.folder, &to.name, md5, size).await,
            None => return self.copy_through(entry, to).await,
        };
        let id = match new {
            Ok(Created::Reused(Some(id))) => id,
            Ok(Created::Upload { .. }) => return self.copy_through(entry, to).await,
            Ok(Created::Reused(None)) => self.look_for(entry, to).await?,
            Err(error) if error.may_be_done() => self.look_for(entry, to).await?,
            Err(error) => return Err(error.into()),
        };
        self.replace_by(entry, id, to).await
    }

    /// Confirms that `id` stands under the new name with the bytes of `entry`, and deletes `entry`.
    async fn replace_by(&self, entry: &Entry, id: FileId, to: &Target) -> Result<Entry, Error> {
        let found = self.client.detail(&id).await?;
        let same_bytes = match (entry.picture(), found.picture()) {
            (Some(old), Some(new)) => {
                old.size == new.size && (old.md5.is_none() || old.md5 == new.md5)
            }
            _ => false,
        };
        if !same_bytes || *found.name != *to.name {
            return Err(Error::Unconfirmed {
                name: to.name.clone(),
                found: format!("{:?} of {}", found.name, describe(&found)),
                wanted: describe(entry),
            });
        }
        if id != entry.id {
            self.delete(&entry.id).await?;
        }
        Ok(found)
    }

    /// The new object of a `create` that told no ID.
    async fn look_for(&self, entry: &Entry, to: &Target) -> Result<FileId, Error> {
        let sum = sum_of(entry);
        let bytes = || Err(std::io::ErrorKind::Unsupported.into());
        let job =
            Job { folder: &to.folder, name: &to.name, sum, bytes: &bytes, unchanged: &|| true };
        Ok(upload::find_soon(&self.client, &job).await?.id)
    }

    /// The bytes by way of here: where the service does not know them by their md5.
    async fn copy_through(&self, entry: &Entry, to: &Target) -> Result<Entry, Error> {
        let entry = Arc::new(entry.clone());
        let staged = StagedFile::create(&self.staging, &to.name, entry.size())?;
        self.fill(&staged, &entry).await?;
        let sum = staged.sum()?;
        let bytes = || staged.reader();
        let job =
            Job { folder: &to.folder, name: &to.name, sum, bytes: &bytes, unchanged: &|| true };
        let id = upload::upload(&self.client, &job).await?;
        self.replace_by(&entry, id, to).await
    }

    /// The row of one object as it is now.
    pub async fn detail(&self, id: &FileId) -> Result<Entry, Error> {
        Ok(self.client.detail(id).await?)
    }

    /// Brings everything that is missing in a staged file from its base.
    pub async fn fill(&self, staged: &StagedFile, base: &Arc<Entry>) -> Result<(), Error> {
        while let Some(missing) = staged.missing() {
            let len = (missing.end - missing.start).min(FILL) as usize;
            let bytes = self.reader.read_until(base, missing.start, len, missing.end).await?;
            if bytes.is_empty() {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            staged.fill(missing.start, &bytes)?;
        }
        Ok(())
    }

    /// Bytes of a staged file, the missing ones brought from its base first.
    pub async fn read_staged(
        &self, staged: &StagedFile, base: Option<&Arc<Entry>>, offset: u64, len: usize,
    ) -> Result<Vec<u8>, Error> {
        loop {
            match (staged.read_at(offset, len)?, base) {
                (Staged::Bytes(bytes), _) => return Ok(bytes),
                (Staged::Missing(part), Some(base)) => {
                    let bytes = self
                        .reader
                        .read(base, part.start, (part.end - part.start) as usize)
                        .await?;
                    if bytes.is_empty() {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                    staged.fill(part.start, &bytes)?;
                }
                (Staged::Missing(_), None) => {
                    return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
                }
            }
        }
    }

    /// Deletes an object. One that is gone already counts as deleted.
    pub async fn delete(&self, id: &FileId) -> Result<(), Error> {
        let Err(error) = self.client.delete(std::slice::from_ref(id)).await else {
            return Ok(());
        };
        if error.is_not_found() {
            return Ok(());
        }
        match self.client.detail(id).await {
            Err(gone) if gone.is_not_found() => Ok(()),
            Ok(_) | Err(_) => Err(error.into()),
        }
    }

    /// Takes an object out of its folder without deleting it, so that its name is free and its link
    /// goes on working. It lies in a scratch folder until it is deleted.
    pub async fn set_aside(&self, entry: &Entry) -> Result<(), Error> {
        self.retire(entry).await?.leave();
        Ok(())
    }

    async fn retire(&self, entry: &Entry) -> Result<Spot, Error> {
        let spot = self.scratch.take(&entry.name).await?;
        self.bring(&entry.id, spot.folder()).await?;
        Ok(spot)
    }

    /// Moves one object. Done if the service says so, or if `detail` tells that it is there, since
    /// the answer to a move may be lost.
    async fn bring(&self, id: &FileId, folder: &FileId) -> Result<(), api::Error> {
        let mut repeats = REPEATS;
        let mut there = folder.clone();
        loop {
            let Err(error) = self.client.move_to(std::slice::from_ref(id), &there).await else {
                return Ok(());
            };
            if self.client.detail(id).await.is_ok_and(|entry| self.is_in(&entry, folder)) {
                return Ok(());
            }
            match self.tree.real_root() {
                // "moving to the root: "" in one document, refused in another": by its real ID.
                Some(real) if there.is_root() && error.is_refused() => there = real,
                _ if error.may_be_done() && repeats > 0 => repeats -= 1,
                _ => return Err(error),
            }
        }
    }

    fn is_in(&self, entry: &Entry, folder: &FileId) -> bool {
        entry.parent == *folder
            || (folder.is_root() && Some(&entry.parent) == self.tree.real_root().as_ref())
    }

    /// That the service has what was sent, before anything is deleted for it.
    async fn confirm(&self, id: &FileId, name: &str, sum: Sum) -> Result<(), Error> {
        let found = self.client.detail(id).await?;
        // Where the row tells no md5, the service's own check at completion has to do.
        let md5 = found.picture().and_then(|picture| picture.md5);
        if found.picture().is_some()
            && found.size() == sum.size
            && md5.is_none_or(|md5| md5 == sum.md5)
        {
            return Ok(());
        }
        Err(Error::Unconfirmed {
            name: name.to_owned(),
            found: describe(&found),
            wanted: format!("{} bytes with md5 {}", sum.size, sum.md5),
        })
    }

    /// Deletes what lies in a scratch folder for nothing. A failure leaves it there, hidden.
    async fn discard(&self, id: &FileId, spot: Spot) {
        if let Err(error) = self.delete(id).await {
            tracing::warn!("{id} stays in a scratch folder for now: {error}");
            self.scratch.add_junk(id);
            spot.leave();
        }
    }

    /// How often each endpoint was called.
    pub fn calls(&self) -> std::collections::BTreeMap<&'static str, u64> {
        let figures = self.client.figures();
        figures.into_iter().map(|figures| (figures.endpoint, figures.calls)).collect()
    }

    /// Removes the scratch folders of this mount, but for what is wanted in them. Before unmounting.
    pub async fn tidy(&self) {
        self.scratch.tidy().await;
    }
}

fn instant(entry: &Entry) -> Option<(crate::types::Md5, u64)> {
    let picture = entry.picture()?;
    picture.md5.map(|md5| (md5, picture.size))
}

/// Whether the entry is certainly of these bytes.
fn holds(entry: &Entry, sum: Sum) -> bool {
    instant(entry) == Some((sum.md5, sum.size))
}

fn sum_of(entry: &Entry) -> Sum {
    let md5 = entry.picture().and_then(|picture| picture.md5);
    let md5 = md5.unwrap_or(crate::types::Md5::new([0; 16]));
    Sum { md5, size: entry.size(), generation: 0 }
}

fn describe(entry: &Entry) -> String {
    match entry.picture() {
        Some(Picture { size, md5: Some(md5), .. }) => format!("{size} bytes with md5 {md5}"),
        Some(Picture { size, md5: None, .. }) => format!("{size} bytes with no md5"),
        None => "a folder".to_owned(),
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
