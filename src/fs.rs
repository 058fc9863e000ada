//! The file system: one method for each VFS operation, over the tree, the bed and the reader.
//!
//! A plain `fn` answers on the thread that FUSE called and touches no network; an `async fn` may,
//! and runs in a task. The signature tells the lane.

mod allocate;
mod attr;
mod control;
mod dir;
mod doubt;
mod errno;
mod file;
mod handle;
mod local;
mod loops;
mod numbered;
mod publish;
mod remove;
mod rename;
mod rename_local;
mod replay;
mod restore;
mod roll_back;
mod settle;
mod shortage;
mod staged;
mod take_back;
mod take_up;
mod times;
mod uploads;
mod write;
mod xattr;
mod xattr_set;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::account::{self, AccountCache, Ledger};
use crate::api;
use crate::bed::{self, Bed};
use crate::config::{Control, Upload};
use crate::names::{LocalNames, NameError};
use crate::pending;
use crate::read::{self, Reader};
use crate::state::{self, State};
use crate::tree::{self, Tree};
use crate::types::Ino;
pub use attr::{Attr, Change, Maker, Space};
use control::ControlFolder;
pub use dir::DirEntry;
pub use file::Opened;
use handle::Handles;
use local::LocalFiles;
pub use loops::Loop;
use restore::Restorable;
use times::Touched;
use uploads::Uploads;

/// Why an operation fails.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Error {
    #[error("it exists already")]
    Exists,
    #[error("the service has two files of this name: rename or remove one of them first")]
    Doubled,
    #[error(
        "{0:?} in the same folder has the same bytes, and the service would drop it for this one: \
         keep one of the two, or put them into two folders"
    )]
    Twin(String),
    #[error("the folder is not empty")]
    NotEmpty,
    #[error("it is a folder")]
    IsAFolder,
    #[error("a folder cannot be moved into itself")]
    IntoItself,
    #[error("{0}")]
    Invalid(&'static str),
    #[error("the mount is read-only")]
    ReadOnly,
    #[error("an image bed has no such thing")]
    NotPermitted,
    #[error("not supported")]
    NotSupported,
    #[error("no such attribute")]
    NoAttribute,
    #[error("the attributes of one file may have 64 KiB together")]
    AttributesFull,
    #[error(
        "an upload is under way that does not end: try again when bedfs pending has it no more"
    )]
    UnderWay,
    #[error("it was removed elsewhere")]
    Stale,
    #[error("no such open file")]
    BadHandle,
    #[error(transparent)]
    Unpublished(Box<Error>),
    #[error("a bug in bedfs cut it off; the log of the mount tells where")]
    Bug,
    #[error(transparent)]
    Unrenamed(Box<Error>),
    #[error("its staged bytes, {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("larger than a file can be")]
    TooLarge,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("what is local is not moved into the bed as a whole: copy it")]
    Elsewhere,
    #[error("staging on the local disk: {0}; nothing was acknowledged")]
    Staging(#[from] std::io::Error),
    #[error("the cache on the local disk: {0}")]
    Cache(#[source] std::io::Error),
    #[error("{0}; nothing was acknowledged")]
    State(#[from] state::Error),
    #[error(transparent)]
    Strays(#[from] pending::StrayError),
    #[error(transparent)]
    Tree(#[from] tree::Error),
    #[error(transparent)]
    Bed(#[from] bed::Error),
    #[error(transparent)]
    Read(#[from] read::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Account(#[from] account::Error),
}

/// What an operation gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the mount was asked to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nothing is changed, here or there.
    pub read_only: bool,
    /// User and group of what nobody made here, until the user sets others.
    pub owner: (u32, u32),
    /// Whether what is made here is also that user's, whoever makes it.
    pub is_uid_fixed: bool,
    /// The same of the group.
    pub is_gid_fixed: bool,
    /// Permission bits that nothing has by default.
    pub umask: u32,
    /// When a close returns.
    pub upload: Upload,
    /// Names that stay on this machine.
    pub local_names: LocalNames,
    /// The path of the mount's root from the bed's.
    pub root: String,
    /// How the control folder shows.
    pub control: Control,
    /// Whether the traffic log is archived day by day.
    pub archive_traffic: bool,
    /// Where staged files live; exists.
    pub staging: PathBuf,
    /// How long a change waits for another that is under way.
    pub timeout: Duration,
}

/// The file system of one mount.
pub struct Fs {
    options: Options,
    state: Arc<State>,
    tree: Arc<Tree>,
    bed: Arc<Bed>,
    reader: Arc<Reader>,
    account: Arc<AccountCache>,
    ledger: Arc<Ledger>,
    /// Held by one who asks a silent service for what is known already.
    freshening: Arc<Semaphore>,
    control: ControlFolder,
    locals: LocalFiles,
    uploads: Uploads,
    restorable: Restorable,
    handles: Handles,
    touched: Touched,
    /// One rename at a time: two that cross would wait for each other's files.
    renaming: Semaphore,
    /// Uploads and new folders take one permit, a folder that is rebuilt under another name takes
    /// all: nothing may be put into the old folder while it is poured into the new one.
    structure: Semaphore,
    /// What a mount before this one was cut off in was brought to its end.
    replayed: OnceCell<()>,
    /// Held while it is looked for what uploads of removed files made.
    clearing: Semaphore,
    /// Files that were rolled back, and of which the kernel may have pages of before.
    rolled_back: Mutex<HashSet<Ino>>,
    /// The signs of life of the service.
    pulse: api::Pulse,
    /// Where the disk is waited for.
    runtime: Handle,
    /// When the mount began.
    born: SystemTime,
    /// The time of what the service tells none of: the same in every mount.
    epoch: SystemTime,
}

/// As many uploads as anyone has.
const STRUCTURE: u32 = 1 << 20;

/// How often it is looked whether all that is being put somewhere has ended.
const PUT_LOOK: Duration = Duration::from_millis(20);

impl Fs {
    /// A file system over these rooms, before it takes anything over.
    pub fn new(
        options: Options, state: Arc<State>, tree: Arc<Tree>, bed: Arc<Bed>, reader: Arc<Reader>,
        account: Arc<AccountCache>, ledger: Ledger,
    ) -> Self {
        let made = std::fs::metadata(&options.staging).and_then(|folder| folder.created());
        let pulse = bed.pulse();
        Self {
            options,
            state,
            tree,
            bed,
            reader,
            account,
            ledger: Arc::new(ledger),
            freshening: Arc::new(Semaphore::new(1)),
            control: ControlFolder::default(),
            locals: LocalFiles::default(),
            uploads: Uploads::default(),
            restorable: Restorable::default(),
            handles: Handles::default(),
            touched: Touched::default(),
            renaming: Semaphore::new(1),
            structure: Semaphore::new(STRUCTURE as usize),
            replayed: OnceCell::new(),
            clearing: Semaphore::new(1),
            rolled_back: Mutex::default(),
            pulse,
            runtime: Handle::current(),
            born: SystemTime::now(),
            epoch: made.unwrap_or(UNIX_EPOCH),
        }
    }

    /// Takes over what the state file holds of a mount that has ended.
    pub fn begin_anew(&self) -> Result<()> {
        pending::take_over(&self.state, &self.options.staging)?;
        self.take_over()
    }

    fn rolled_back(&self) -> MutexGuard<'_, HashSet<Ino>> {
        self.rolled_back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the disk keep what was read, for the next mount.
    pub fn finish(&self) {
        self.reader.cache().finish();
    }

    /// The right to have nothing put into any folder, if nothing is just being put into one.
    fn try_nothing_put(&self) -> Option<SemaphorePermit<'_>> {
        self.structure.try_acquire_many(STRUCTURE).ok()
    }

    /// Waits for it. Who waits here keeps nobody waiting, as one would who queued.
    async fn nothing_put(&self) -> SemaphorePermit<'_> {
        loop {
            match self.try_nothing_put() {
                Some(all) => return all,
                None => tokio::time::sleep(PUT_LOOK).await,
            }
        }
    }

    fn writable(&self) -> Result<()> {
        if self.options.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// The inode that the folder calls `name`, for a change at the service: by a fresh listing, unless
    /// the service is silent.
    async fn find(&self, parent: Ino, name: &str) -> Result<Option<Ino>> {
        if let Some(ino) = self.find_journaled(parent, name)? {
            return Ok(Some(ino));
        }
        self.list(parent).await?;
        Ok(self.tree.child(parent, name)?)
    }

    /// The same for a change that is acknowledged here, and waits for nothing that is known.
    async fn find_here(&self, parent: Ino, name: &str) -> Result<Option<Ino>> {
        if let Some(ino) = self.find_journaled(parent, name)? {
            return Ok(Some(ino));
        }
        self.tree.ensure_known(parent).await?;
        self.restore(parent)?;
        Ok(self.tree.child(parent, name)?)
    }

    /// As `find`, for one who only looks.
    async fn look_up(&self, parent: Ino, name: &str) -> Result<Option<Ino>> {
        if let Some(ino) = self.find_journaled(parent, name)? {
            return Ok(Some(ino));
        }
        self.tree.await_name(parent, name).await?;
        // What was removed here and comes about at the service is taken out of view by this.
        self.restore(parent)?;
        Ok(self.tree.child(parent, name)?)
    }

    /// What is journaled is there whatever the service says, and before it says anything.
    fn find_journaled(&self, parent: Ino, name: &str) -> Result<Option<Ino>> {
        self.restore(parent)?;
        let known = self.tree.child(parent, name)?;
        let is_journaled =
            |ino: &Ino| self.locals.get(*ino).is_some_and(|local| local.state().is_journaled());
        Ok(known.filter(is_journaled))
    }

    /// Makes sure that a folder's names are known: those at the service and those here. A fresh listing
    /// is waited for as long as the service is not silent.
    async fn list(&self, folder: Ino) -> Result<()> {
        match self.pulse.briefly(self.tree.ensure_listed(folder)).await {
            Some(listed) => listed?,
            None => self.tree.ensure_known(folder).await?,
        }
        self.restore(folder)
    }

    /// What listings change of what the kernel may remember.
    pub fn news(&self) -> std::sync::mpsc::Receiver<tree::News> {
        self.tree.news()
    }

    /// Has the state file keep what is known of folders, and all times. At the end of the mount.
    pub fn keep_listings(&self) {
        self.tree.keep();
        self.keep_all_times();
    }

    /// Forgets the inodes' look-ups; no answer is wanted.
    pub fn forget(&self, ino: Ino, count: u64) {
        self.tree.forget(ino, count);
    }

    /// For messages: the path from the mount's root.
    pub fn path(&self, ino: Ino) -> String {
        self.tree.path(ino)
    }
}

async fn turn(semaphore: &Semaphore) -> tokio::sync::SemaphorePermit<'_> {
    semaphore.acquire().await.expect("the semaphores are never closed")
}
