//! The tree: the bed's folders and files as inodes, kept true by listings.
//!
//! A listing row carries everything that `stat` and the link attributes want, so one call for 100
//! entries answers for all of them until the listing is `ttl` old.

mod change;
mod folder;
mod fresh;
mod index;
mod kept;
mod listing;
mod news;
mod node;
mod progress;
mod refresh;
mod row;
mod table;

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::api::{self, Client};
use crate::names;
use crate::state::{self, State};
use crate::types::{Attributes, Entry, FileId, Ino, Md5};
pub use fresh::Coming;
use fresh::{BEHIND, View};
use kept::Kept;
pub use kept::{Changing, find_folder};
pub use listing::{CONTROL_NAME, SCRATCH_PREFIX};
use news::Listener;
pub use news::News;
use node::{Kind, Node};
use progress::UnderWay;
use table::Table;

/// Why the tree cannot answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such inode or name, by a complete listing.
    #[error("no such file or folder")]
    NotFound,
    /// A folder was wanted.
    #[error("not a folder")]
    NotAFolder,
    /// Its listing panicked.
    #[error("a bug in bedfs cut off the listing; the log of the mount tells where")]
    Bug,
    /// The folder was never listed and cannot be now.
    #[error(transparent)]
    Api(#[from] Arc<api::Error>),
    /// What is known of it here cannot be read.
    #[error(transparent)]
    State(#[from] state::Error),
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}

/// What the tree knows of one inode.
#[derive(Clone, Debug)]
pub struct Info {
    /// The inode.
    pub ino: Ino,
    /// The folder that names it; `None` for the root and for what was removed.
    pub parent: Option<Ino>,
    /// As the mount shows it.
    pub name: Arc<str>,
    /// Folder or file.
    pub what: What,
    /// What the user set.
    pub attributes: Attributes,
}

/// What an inode is.
#[derive(Clone, Debug)]
pub enum What {
    /// A folder, its ID, and when it was made in seconds since the epoch.
    Folder {
        /// The service's name of it.
        id: FileId,
        /// Seconds since the epoch; 0 where unknown.
        created: i64,
    },
    /// A file, and its row unless it exists only here.
    File(Option<Arc<Entry>>),
}

impl Info {
    /// The file's row, if it is a file that the service has.
    pub fn entry(&self) -> Option<&Arc<Entry>> {
        match &self.what {
            What::File(entry) => entry.as_ref(),
            What::Folder { .. } => None,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.what, What::Folder { .. })
    }
}

/// One name of a folder.
#[derive(Clone, Debug)]
pub struct Child {
    /// The inode it names.
    pub ino: Ino,
    /// As the mount shows it.
    pub name: Arc<str>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// An object in a folder, as the service knows it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its ID.
    pub id: FileId,
    /// Its name.
    pub name: Box<str>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// What this mount did in a folder of late.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What it made there or moved there.
    pub recent: Vec<Item>,
    /// What it removed from there.
    pub gone: HashSet<FileId>,
    /// Whether it made the folder itself, a moment ago.
    pub is_young: bool,
}

/// The tree of one mount.
pub struct Tree {
    client: Client,
    state: Arc<State>,
    ttl: Duration,
    /// Never held across an await; nothing else is locked under it but `real_root`.
    table: Mutex<Table>,
    /// Before the table.
    kept: Kept,
    /// Listings that nobody waits for take turns.
    behind: Semaphore,
    listener: Listener,
    /// The ID that the service gives the root in the rows of its children.
    real_root: Mutex<Option<FileId>>,
    under_way: UnderWay,
}

impl Tree {
    /// A tree whose root is the folder `root` of the bed and whose listings hold for `ttl`.
    pub fn new(client: Client, state: Arc<State>, root: FileId, ttl: Duration) -> Arc<Self> {
        let kept = Kept::new(&state, &root);
        let (behind, listener) = (Semaphore::new(BEHIND), Listener::default());
        let (table, real_root) = (Mutex::new(Table::new(root)), Mutex::new(None));
        let under_way = UnderWay::default();
        Arc::new(Self { client, state, ttl, table, kept, behind, listener, real_root, under_way })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many inodes are known.
    pub fn inodes(&self) -> usize {
        self.table().inodes()
    }

    /// The root's real ID, once a row of a child of it told it.
    pub fn real_root(&self) -> Option<FileId> {
        self.real_root.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns the root's real ID from rows of its children.
    pub fn learn_root_id(&self, rows: &[Entry]) {
        let real = rows.iter().map(|row| &row.parent).find(|parent| !parent.is_root());
        if let Some(real) = real {
            *self.real_root.lock().unwrap_or_else(PoisonError::into_inner) = Some(real.clone());
        }
    }

    /// What is known of the inode. No network.
    pub fn info(&self, ino: Ino) -> Result<Info, Error> {
        let table = self.table();
        let node = table.get(ino)?;
        let what = match node.kind() {
            Kind::File(_) => What::File(table.entry(ino).map(Arc::new)),
            Kind::Folder(folder) => What::Folder {
                id: folder.id.clone().unwrap_or_else(FileId::root),
                created: folder.created,
            },
        };
        let set = node.rare().and_then(|rare| rare.attributes.clone()).unwrap_or_default();
        let attributes = Attributes { ino: Some(ino).filter(|ino| *ino != Ino::ROOT), ..set };
        Ok(Info { ino, parent: node.parent(), name: node.name.clone(), what, attributes })
    }

    /// The service's name of the folder.
    pub fn folder_id(&self, ino: Ino) -> Result<FileId, Error> {
        self.table().folder(ino)?.id.clone().ok_or(Error::NotFound)
    }

    /// The inode that the folder calls `name`, as far as is known. No network.
    pub fn child(&self, folder: Ino, name: &str) -> Result<Option<Ino>, Error> {
        Ok(self.table().folder(folder)?.children.get(name).copied())
    }

    /// The inode of an object in the folder, as far as is known. No network.
    pub fn child_of(&self, folder: Ino, object: &FileId) -> Option<Ino> {
        self.table().find_in(folder, object)
    }

    /// What has the path from the mount's root, as far as is known. No network.
    pub fn find(&self, path: &str) -> Result<Option<Info>, Error> {
        let mut at = Ino::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.child(at, name) {
                Ok(Some(child)) => at = child,
                Ok(None) | Err(Error::NotAFolder) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        self.info(at).map(Some)
    }

    /// The names of a folder, in order, as far as is known. No network.
    pub fn children(&self, folder: Ino) -> Result<Vec<Child>, Error> {
        let table = self.table();
        let children = &table.folder(folder)?.children;
        let child = |(name, ino): (&Arc<str>, &Ino)| Child {
            ino: *ino,
            name: name.clone(),
            is_folder: table.get(*ino).is_ok_and(Node::is_folder),
        };
        Ok(children.iter().map(child).collect())
    }

    /// Whether an object of the folder other than `but` has this name at the service.
    pub fn has_other(&self, folder: Ino, name: &str, but: &FileId) -> Result<bool, Error> {
        let table = self.table();
        let stem = names::stem(name);
        let from = (Bound::Included(&*stem), Bound::Unbounded);
        let children = table.folder(folder)?.children.range::<str, _>(from);
        let mut alike = children.take_while(|(shown, _)| shown.starts_with(&stem));
        Ok(alike.any(|(shown, child)| {
            let row = table.get(*child).ok().and_then(|node| node.row()?.read());
            row.is_some_and(|row| row.name(shown) == name && row.id != but.as_str())
        }))
    }

    /// When the object was last seen in its place: listed, or put there.
    pub fn seen(&self, ino: Ino) -> Option<Instant> {
        let table = self.table();
        let node = table.get(ino).ok()?;
        let listed = match table.folder(node.parent()?).ok()?.view {
            View::Listed(at) => Some(at),
            View::Unknown | View::Unlisted | View::Doubtful | View::Kept(_) => None,
        };
        listed.max(node.since())
    }

    /// The name of another file of the folder that is of the same bytes.
    pub fn twin(
        &self, folder: Ino, but: &[&FileId], name: &str, md5: Md5, size: u64,
    ) -> Result<Option<Arc<str>>, Error> {
        let table = self.table();
        let mut alike = table.alike(folder, md5, size).filter_map(|ino| table.get(ino).ok());
        let is_other = |node: &&Node| {
            *node.name != *name && !but.iter().any(|id| Some(id.as_str()) == node.id())
        };
        Ok(alike.find(is_other).map(|node| node.name.clone()))
    }

    /// Other files of the folder that are of the same bytes may be gone: some services keep one
    /// picture of the same bytes in a folder. The next look asks for each.
    pub fn doubt_twins(&self, folder: Ino, but: Ino, md5: Md5, size: u64) -> Result<(), Error> {
        let detail_lag = self.client.staleness().detail();
        let mut table = self.table();
        let twins: Vec<Ino> =
            table.alike(folder, md5, size).filter(|other| *other != but).collect();
        for twin in twins {
            // Long enough ago that `detail` is believed, not so long that a listing is.
            table.get_mut(twin)?.rare_mut().since = Instant::now().checked_sub(detail_lag);
            table.folder_mut(folder)?.doubt();
        }
        Ok(())
    }

    /// What this mount did in a folder of late, which a listing may not show yet.
    pub fn known(&self, id: &FileId) -> Known {
        let lag = self.client.staleness().listing();
        let table = self.table();
        let Some(ino) = table.find_folder(id) else { return Known::default() };
        let Ok(folder) = table.folder(ino) else { return Known::default() };
        let is_recent = |ino: &&Ino| {
            let since = table.get(**ino).ok().and_then(Node::since);
            since.is_some_and(|at| at.elapsed() < lag)
        };
        let recent = folder.children.values().filter(is_recent);
        let item = |ino: &Ino| {
            let node = table.get(*ino).ok()?;
            let name = table.entry(*ino).map_or_else(|| Box::from(&*node.name), |entry| entry.name);
            Some(Item { id: FileId::new(node.id()?), name, is_folder: node.is_folder() })
        };
        let since = table.get(ino).ok().and_then(Node::since);
        Known {
            recent: recent.filter_map(item).collect(),
            gone: folder.gone.keys().cloned().collect(),
            is_young: since.is_some_and(|since| since.elapsed() < lag),
        }
    }

    /// The kernel was told of the inode once more. Before the reply is sent.
    pub fn remember(&self, ino: Ino) {
        if let Ok(node) = self.table().get_mut(ino) {
            node.lookups += 1;
        }
    }

    /// The kernel forgot that it was told `count` times.
    pub fn forget(&self, ino: Ino, count: u64) {
        let mut table = self.table();
        if let Ok(node) = table.get_mut(ino) {
            node.lookups = node.lookups.saturating_sub(count);
        }
        table.collect(ino);
    }

    /// The file system needs the inode, named or not, until `release`.
    pub fn hold(&self, ino: Ino) {
        if let Ok(node) = self.table().get_mut(ino) {
            node.rare_mut().holds += 1;
        }
    }

    /// The counterpart of `hold`.
    pub fn release(&self, ino: Ino) {
        let mut table = self.table();
        if let Ok(node) = table.get_mut(ino) {
            let rare = node.rare_mut();
            rare.holds = rare.holds.saturating_sub(1);
        }
        table.collect(ino);
    }

    /// Tells whether bytes are staged for the file, so that it outlives its object.
    pub fn set_staged(&self, ino: Ino, staged: bool) {
        if let Ok(node) = self.table().get_mut(ino) {
            node.rare_mut().staged = staged;
        }
    }

    /// Tells whether the file stays here, so that an object of its name is not taken for its own.
    pub fn set_local(&self, ino: Ino, local: bool) {
        if let Ok(node) = self.table().get_mut(ino) {
            node.rare_mut().local = local;
        }
    }

    /// Whether `ino` is `folder` or lies below it.
    pub fn is_within(&self, ino: Ino, folder: Ino) -> bool {
        self.table().is_within(ino, folder)
    }
}
