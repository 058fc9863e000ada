//! A post: pictures of this machine put into the bed without a mount, each for its link.
//!
//! It works beside a mount of the same account, and takes nothing away: it replaces no picture and
//! deletes none, so no published link ends. The service may throw out the older of two pictures of the
//! same bytes in a folder, so the folder is listed before a picture is made there; only a picture that
//! is found to be there already costs less.

mod batch;
mod claim;
mod desk;
mod error;
mod folder;
mod pattern;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::Mutex;

use crate::api::{Client, Staleness};
use crate::probe::Probe;
use crate::staging::Sum;
use crate::state::answer::SameBytes;
use crate::state::{self, Lock, State};
use crate::types::{Entry, FileId};
use crate::upload::{self, Job};
use batch::{Batch, Plan, Upload, next_plan};
pub use error::Error;
pub use pattern::{NotAPattern, Pattern};
pub use source::Item;
use source::Source;

/// Pictures summed at once, and uploaded at once.
const SUMS_AT_ONCE: usize = 2;
const UPLOADS_AT_ONCE: usize = 4;

/// Other names that are tried where the service refuses one.
const OTHER_NAMES: usize = 3;

/// What holds for all pictures of one batch.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The folder, as a path from the bed's root; made if it is not there.
    pub to: String,
    /// What the pictures are called there; else as they are called here.
    pub name: Option<Pattern>,
    /// Upload also what is there already, under another name.
    pub force: bool,
    /// Take only what is a picture by its content, and no larger than this, in bytes.
    pub only_pictures_up_to: Option<u64>,
}

/// A picture that is in the bed.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The picture, with its link.
    pub entry: Entry,
    /// Its path from the bed's root.
    pub path: String,
    /// Whether it was uploaded now; else it was there.
    pub is_new: bool,
    /// The name that was wanted, if another picture has it.
    pub wanted: Option<String>,
    /// Whether its own name has characters that the service refuses: it has `_` for them in the bed.
    pub is_mended: bool,
}

/// What became of one picture; `None` until that is known.
type Outcome = Option<Result<Sent, Error>>;
/// An outcome that others wait for: locked until it is known.
type Shared = Arc<Mutex<Outcome>>;

/// Puts pictures into the bed of one account. A clone is the same post.
#[derive(Clone)]
pub struct Post(Arc<Inner>);

struct Inner {
    client: Client,
    state: Arc<State>,
    /// The folder of the account's state.
    dir: PathBuf,
    /// How long a listing is taken for true.
    fresh: Duration,
    /// Batches take turns: what one puts somewhere the next knows of.
    turn: Mutex<()>,
}

impl Post {
    /// A post by this client; `dir` is the folder of the account's state, and `fresh` how long a
    /// listing is taken for true.
    pub fn new(client: Client, state: Arc<State>, dir: PathBuf, fresh: Duration) -> Self {
        Self(Arc::new(Inner { client, state, dir, fresh, turn: Mutex::new(()) }))
    }

    /// Uploads the pictures, some at once, and tells what became of each, in their order.
    pub async fn send(
        &self, order: &Order, items: Vec<Item>, mut tell: impl FnMut(Result<Sent, Error>),
    ) {
        let _turn = self.0.turn.lock().await;
        let most = order.only_pictures_up_to;
        let sources = stream::iter(items).map(move |item| Source::read(item, most));
        let sources = sources.buffered(SUMS_AT_ONCE).boxed();
        // Owned, since a future that borrows through streams is not known to be one for tasks.
        let (batch, post) = (Batch::new(self.0.clone(), order.clone()), self.0.clone());
        let plans = stream::unfold((batch, sources), next_plan);
        let outcomes = plans.map(move |plan| post.clone().carry_out(plan));
        let mut outcomes = outcomes.buffered(UPLOADS_AT_ONCE).boxed();
        while let Some(outcome) = outcomes.next().await {
            tell(outcome);
        }
    }
}

impl Inner {
    async fn carry_out(self: Arc<Self>, plan: Plan) -> Result<Sent, Error> {
        match plan {
            Plan::Known(outcome) => {
                let sent = outcome?;
                let entry = self.with_link(sent.entry).await?;
                Ok(Sent { entry, ..sent })
            }
            Plan::Follow(leader) => {
                let outcome = leader.lock().await.clone();
                // None: it was given up on the way.
                let sent = outcome.unwrap_or(Err(Error::Upload(upload::Error::Changed)))?;
                Ok(Sent { is_new: false, wanted: None, ..sent })
            }
            Plan::Upload(mut upload) => {
                let outcome = self.upload(&mut upload).await;
                *upload.outcome = Some(outcome.clone());
                outcome
            }
        }
    }

    async fn upload(&self, upload: &mut Upload) -> Result<Sent, Error> {
        let source = &upload.source;
        let (reader, unchanged) = (|| Ok(source.reader()), || source.is_unchanged());
        let mut others = OTHER_NAMES;
        let id = loop {
            let (folder, name, sum) = (&upload.folder, &*upload.name, source.sum);
            let job =
                Job { folder, name, sum, bytes: &reader, unchanged: &unchanged, sent: &|_| () };
            let refused = match upload::upload(&self.client, &job).await {
                Ok(id) => break id,
                Err(error) if others > 0 && error.api().is_some_and(|e| e.is_refused()) => error,
                Err(error) => return Err(error.into()),
            };
            others -= 1;
            // The name was taken since it was listed, or it is something else.
            let Ok(rows) = self.client.list_all(folder).await else { return Err(refused.into()) };
            let is_twin = |row: &&Entry| desk::content(row) == Some((sum.md5, sum.size));
            if let Some(twin) = rows.iter().find(is_twin).filter(|_| upload.takes_twin) {
                let entry = self.with_link(twin.clone()).await?;
                let path = join(&upload.folder_path, &entry.name);
                let is_mended = source.is_mended;
                return Ok(Sent { entry, path, is_new: false, wanted: None, is_mended });
            }
            if !rows.iter().any(|row| *row.name == *upload.name) {
                return Err(refused.into());
            }
            upload.names.add(rows.iter().map(|row| &*row.name));
            upload.name = upload.names.take(&upload.wanted)?;
        };
        if let Err(error) = self.remember(&id, upload) {
            tracing::warn!("{:?} may be uploaded a second time: {error}", upload.name);
        }
        let entry = self.linked(&id).await?;
        let wanted = (*entry.name != *upload.wanted).then(|| upload.wanted.clone());
        let path = join(&upload.folder_path, &entry.name);
        Ok(Sent { entry, path, is_new: true, wanted, is_mended: upload.source.is_mended })
    }

    fn remember(&self, id: &FileId, upload: &Upload) -> Result<(), state::Error> {
        let Sum { md5, size, .. } = upload.source.sum;
        let (object, folder, name) = (id.clone(), upload.folder.clone(), upload.name.clone());
        let content = Some((md5, size));
        self.state.post(&state::Posted { object, folder, name, content })
    }

    async fn with_link(&self, entry: Entry) -> Result<Entry, Error> {
        if entry.has_link() { Ok(entry) } else { self.linked(&entry.id).await }
    }

    /// A picture that is there, with its link; the service may not tell that at once.
    async fn linked(&self, id: &FileId) -> Result<Entry, Error> {
        let mut pauses = Staleness::looks(self.client.staleness().link());
        loop {
            let cause = match self.client.detail(id).await {
                Ok(entry) if entry.has_link() => return Ok(entry),
                Ok(_) => "the service tells none".to_owned(),
                Err(error) if error.is_not_found() || error.is_transient() => error.to_string(),
                Err(error) => {
                    return Err(Error::Unlinked { id: id.clone(), cause: error.to_string() });
                }
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(Error::Unlinked { id: id.clone(), cause }),
            }
        }
    }

    /// The object, if the service has it now.
    async fn there(&self, id: &FileId) -> Result<Option<Entry>, Error> {
        match self.client.detail(id).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// The picture of these bytes in a folder that the state file names, if the service says that it
    /// is still there.
    async fn kept_twin(&self, folder: &FileId, sum: Sum) -> Result<Option<Entry>, Error> {
        let kept = self.state.entries_of_bytes(folder, sum.md5, sum.size)?;
        let Some(kept) = kept.into_iter().next() else { return Ok(None) };
        let found = self.there(&kept.id).await?;
        // The parent as it was told with the listing: the root has an ID of its own there.
        let is_it = |found: &Entry| {
            found.parent == kept.parent
                && !found.tells_no_parent()
                && desk::content(found) == Some((sum.md5, sum.size))
        };
        Ok(found.filter(is_it))
    }

    /// The picture of these bytes that a command put into the folder of late, if it is still there.
    async fn posted_twin(&self, folder: &FileId, sum: Sum) -> Result<Option<Entry>, Error> {
        let posted = self.state.posted_to(folder)?.into_iter();
        for posted in posted.filter(|posted| posted.content == Some((sum.md5, sum.size))) {
            if let Some(entry) = self.there(&posted.object).await? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Whether a command put something of this name into the folder of late that is still there.
    async fn is_posted(&self, folder: &FileId, name: &str) -> Result<bool, Error> {
        for posted in self.state.posted_to(folder)?.into_iter().filter(|row| row.name == name) {
            if self.there(&posted.object).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the service keeps two pictures of the same bytes in a folder. Found out once.
    async fn keeps_twins(&self) -> Result<bool, Error> {
        if let Some(known) = self.state.answer::<SameBytes>()? {
            return Ok(known != SameBytes::OlderVanishes);
        }
        let _lock = Lock::take_for_probe(&self.dir)?;
        let found = Probe::new(&self.client, &self.state).ask_same_bytes().await;
        Ok(found.map_err(Arc::new)? != SameBytes::OlderVanishes)
    }
}

/// The path of a name in a folder.
fn join(folder: &str, name: &str) -> String {
    let parts = folder.split('/').chain(name.split('/')).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("/")
}
