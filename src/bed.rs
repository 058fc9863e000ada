//! The bed as safe changes: each takes the bed from one state to another through steps of which any
//! may fail, and at every moment each content that has a name has its bytes at the service.
//!
//! The service refuses two objects of one name in a folder, and has no rename. So a new version is
//! made in a *scratch* folder first, and an old one is taken aside there rather than deleted while
//! its successor is not in place.
//!
//! This room is the journal's reader and writer: what takes more than one step is in the state file
//! from before its first step until after its last, and `replay` takes up what was cut off.

mod deletes;
mod fill;
mod folder;
mod knowledge;
mod rename;
mod replay;
mod scratch;
mod store;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::api::{self, Client, Staleness};
use crate::probe;
use crate::read::{self, Reader};
use crate::staging::Sum;
use crate::state::{self, Delete, LocalRow, RowId, Sent, State};
use crate::tree::Tree;
use crate::types::{Entry, FileId, Picture};
use crate::upload::{self};
use deletes::Deletes;
pub use deletes::SURE;
pub use folder::Remade;
use scratch::Scratch;
pub use store::{Bytes, Stored};

/// How often a move whose answer was lost is asked for again, after looking.
const REPEATS: usize = 3;

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
    /// The state file failed.
    #[error(transparent)]
    State(#[from] state::Error),
    /// What the service does could not be found out.
    #[error("finding out how the service treats the same bytes twice: {0}")]
    Probe(#[from] Arc<probe::Error>),
    /// The CDN served other bytes than the listing's md5 is of; nothing was made of them.
    #[error("the bytes that the service gives for {name:?} are not those of its md5")]
    Corrupted {
        /// The name at the service.
        name: String,
    },
    /// The last step of a change failed for now: it goes on by itself.
    #[error("{0}; it is gone on with as soon as the service allows")]
    Unfinished(Box<Error>),
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

impl From<probe::Error> for Error {
    fn from(error: probe::Error) -> Self {
        Self::Probe(Arc::new(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Staging(Arc::new(error))
    }
}

impl Error {
    /// Whether wrong bytes came from the CDN, rather than none.
    pub fn is_of_wrong_bytes(&self) -> bool {
        match self {
            Self::Corrupted { .. } => true,
            Self::Read(error) => error.is_of_wrong_bytes(),
            _ => false,
        }
    }

    /// What the client told, where the service was the reason.
    pub fn api(&self) -> Option<&api::Error> {
        match self {
            Self::Api(error) => Some(error),
            Self::Unfinished(error) => error.api(),
            Self::Upload(error) => error.api(),
            Self::Probe(error) => error.api(),
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
    /// Its path from the bed's root, for people.
    pub folder_path: String,
    /// The name in it, as the service is to spell it.
    pub name: String,
    /// The object there that is to be replaced.
    pub old: Option<Arc<Entry>>,
    /// Whether somebody has that open: it is taken aside then, and deleted later.
    pub is_open: bool,
}

impl Target {
    /// A name that nothing has.
    pub fn free(folder: FileId, name: &str) -> Self {
        let (name, folder_path) = (name.to_owned(), String::new());
        Self { folder, folder_path, name, old: None, is_open: false }
    }

    /// The path from the bed's root, for people.
    pub fn path(&self) -> String {
        match self.folder_path.is_empty() {
            true => self.name.clone(),
            false => format!("{}/{}", self.folder_path, self.name),
        }
    }
}

/// The bed of one mount.
pub struct Bed {
    client: Client,
    tree: Arc<Tree>,
    reader: Arc<Reader>,
    state: Arc<State>,
    staging: std::path::PathBuf,
    scratch: Scratch,
    deletes: Deletes,
    /// By the rows whose bytes they have.
    unfinished: Mutex<HashMap<RowId, store::Aside>>,
    /// Whether a move of a folder was answered and did nothing.
    ignores_moves: AtomicBool,
}

impl Bed {
    /// The bed behind `client`; what must be fetched to be sent again is staged in `staging`.
    pub fn new(
        client: Client, state: Arc<State>, tree: Arc<Tree>, reader: Arc<Reader>,
        staging: std::path::PathBuf,
    ) -> Result<Self, Error> {
        let scratch = Scratch::new(client.clone(), state.clone());
        let (unfinished, ignores_moves) = (Mutex::default(), AtomicBool::default());
        let (deletes, scratch) = (Deletes::new(state.deletes()?), scratch);
        Ok(Self {
            client,
            tree,
            reader,
            state,
            staging,
            scratch,
            deletes,
            unfinished,
            ignores_moves,
        })
    }

    /// How long the service may show what was before a change.
    pub fn staleness(&self) -> Staleness {
        self.client.staleness()
    }

    /// The pauses between looks for an object just made, which neither a listing nor a `detail` may show
    /// yet.
    pub fn looks(&self) -> impl Iterator<Item = Duration> + use<> {
        Staleness::looks(self.staleness().effect())
    }

    /// The row of one object as it is now.
    pub async fn detail(&self, id: &FileId) -> Result<Entry, Error> {
        Ok(self.client.detail(id).await?)
    }

    /// The row of one object, with its link if the service tells it anywhere.
    pub async fn row_with_link(&self, id: &FileId) -> Result<Entry, Error> {
        let entry = self.client.detail(id).await?;
        if entry.has_link() || entry.tells_no_parent() {
            return Ok(entry);
        }
        let rows = self.client.list_all(&entry.parent).await?;
        Ok(rows.into_iter().find(|row| row.id == *id).unwrap_or(entry))
    }

    /// The object that an upload of the local file made, as far as the service tells of uploads that
    /// it was to complete; those it is not done with are waited for.
    pub async fn made_for(&self, file: &LocalRow) -> Result<Option<Entry>, Error> {
        for Sent { md5, size, preupload } in &file.sent {
            let sum = Sum { md5: *md5, size: *size, generation: 0 };
            if let Some(preupload) = preupload
                && let Some(made) = self.made_by(preupload, &file.folder, &file.name, sum).await?
            {
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// The objects in the folder that uploads of these local files made: they have the file's name
    /// and bytes that were sent of it.
    pub async fn made_of(
        &self, folder: &FileId, files: &[&LocalRow],
    ) -> Result<Vec<(RowId, Entry)>, Error> {
        let rows = match self.client.list_all(folder).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            rows => rows?,
        };
        let sent = |file: &LocalRow, row: &Entry| {
            file.sent.iter().any(|it| holds(row, Sum { md5: it.md5, size: it.size, generation: 0 }))
        };
        let made = |file: &&LocalRow| {
            let row = rows.iter().find(|row| *row.name == *file.name && sent(file, row))?;
            Some((file.id, row.clone()))
        };
        Ok(files.iter().filter_map(made).collect())
    }

    /// The scratch folder in which an object lies; `None` if it lies elsewhere, or is gone. `detail`
    /// may lag, or tell no folder, so the scratch folders are listed too.
    pub async fn scratch_of(&self, entry: &Entry) -> Result<Option<FileId>, Error> {
        match self.client.detail(&entry.id).await {
            Err(error) if error.is_not_found() => {}
            found => {
                let parent = found?.parent;
                if self.scratch.has(&parent) {
                    return Ok(Some(parent));
                }
            }
        }
        self.scratch.find(&entry.id).await
    }

    /// Has an object that may have been taken aside back where it was.
    pub async fn bring_home(&self, entry: &Entry) -> Result<(), Error> {
        match self.state.retired()?.iter().find(|retired| retired.object == entry.id) {
            Some(retired) => self.return_home(retired).await,
            None => Ok(()),
        }
    }

    /// Whether the object still lies in the folder under its name: a view of it may be old. Where
    /// the service will not tell, the view has to do.
    pub async fn is_there(&self, entry: &Entry, folder: &FileId) -> Result<bool, Error> {
        Ok(self.lies_in(&entry.id, &entry.name, folder).await?.unwrap_or(false))
    }

    /// `None`: the service knows no such object, or not yet.
    async fn lies_in(
        &self, id: &FileId, name: &str, folder: &FileId,
    ) -> Result<Option<bool>, Error> {
        match self.client.detail(id).await {
            Ok(found) => {
                let is_there = self.is_in(&found, folder).await?.unwrap_or(true);
                Ok(Some(*found.name == *name && is_there))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) if error.is_refused() => Ok(Some(true)),
            Err(error) => Err(error.into()),
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

    /// Takes in a delete that the state file has, for when nobody has the object open any more.
    pub fn hold(&self, delete: Delete) {
        self.deletes.hold(delete);
    }

    /// Takes an object out of its folder without deleting it, so that its name is free and its link
    /// goes on working; gives the scratch folder it is in. The state file must name it before: as
    /// the base of a file that is aside, or as a delete that is held.
    pub async fn set_aside(&self, entry: &Entry, from: &FileId) -> Result<FileId, Error> {
        let folder = self.retire(entry, from).await?.folder().clone();
        self.deletes.relocate(&entry.id, &folder);
        Ok(folder)
    }

    /// Whether the object lies in the folder; `None` where its row cannot tell. The rows of the
    /// root's children name a real ID for it, which is learned from them.
    async fn is_in(&self, entry: &Entry, folder: &FileId) -> Result<Option<bool>, api::Error> {
        if entry.tells_no_parent() {
            return Ok(None);
        }
        if entry.parent == *folder || !folder.is_root() {
            return Ok(Some(entry.parent == *folder));
        }
        if self.tree.real_root().is_none() {
            let rows = self.client.list_all(folder).await?;
            self.tree.learn_root_id(&rows);
        }
        Ok(self.tree.real_root().map(|real| entry.parent == real))
    }

    /// What each endpoint has done.
    pub fn figures(&self) -> Vec<api::Figures> {
        self.client.figures()
    }

    /// The endpoints that are asked less often since the service wants that, and how often a second.
    pub fn slowed(&self) -> Vec<(&'static str, f64)> {
        self.client.slowed()
    }

    /// For how long no call is sent that wants the developer right, if the service refuses them.
    pub fn refused_for(&self) -> Option<Duration> {
        self.client.refused_for()
    }

    /// The signs of life of the service.
    pub fn pulse(&self) -> api::Pulse {
        self.client.pulse()
    }

    /// Bytes that came from direct links, and that went to storage.
    pub fn bytes(&self) -> (u64, u64) {
        self.client.pulse().bytes()
    }

    /// Removes the scratch folders of this mount, but for what is wanted in them. Before unmounting.
    pub async fn tidy(&self) {
        self.tidy_scratch(true).await;
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

fn describe(entry: &Entry) -> String {
    match entry.picture() {
        Some(Picture { size, md5: Some(md5), .. }) => format!("{size} bytes with md5 {md5}"),
        Some(Picture { size, md5: None, .. }) => format!("{size} bytes with no md5"),
        None => "a folder".to_owned(),
    }
}

/// What the row tells of the bytes; `None` without an md5.
fn sum_of(entry: &Entry) -> Option<Sum> {
    let picture = entry.picture()?;
    picture.md5.map(|md5| Sum { md5, size: picture.size, generation: 0 })
}
