//! A batch: pictures that are uploaded together, and what is settled for each of them before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use jiff::Zoned;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

use super::claim::Claim;
use super::desk::{Desk, Names};
use super::folder::{self, Walk};
use super::{Error, Inner, Order, Outcome, Sent, Shared, Source, join};
use crate::staging::Sum;
use crate::types::{Entry, FileId};

/// How long a batch waits for deletes that a mount has acknowledged, and between looks.
const DELETES: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

/// What is to be done for one picture.
pub(super) enum Plan {
    Known(Result<Sent, Error>),
    Follow(Shared),
    Upload(Box<Upload>),
}

/// An upload that is settled.
pub(super) struct Upload {
    pub(super) source: Source,
    pub(super) folder: FileId,
    pub(super) folder_path: String,
    /// The name that was wanted, and the one that it gets.
    pub(super) wanted: String,
    pub(super) name: String,
    pub(super) names: Arc<Names>,
    /// Whether a picture of the same bytes is as good.
    pub(super) takes_twin: bool,
    pub(super) outcome: OwnedMutexGuard<Outcome>,
    _claim: Claim,
}

/// The pictures of one call of [`Post::send`], and the folders that they go to.
pub(super) struct Batch {
    order: Order,
    now: Zoned,
    walk: Walk,
    desks: HashMap<String, Desk>,
    /// Objects that the user removed in a mount: their links end, though the service may show them.
    removed: HashSet<FileId>,
    /// Until when their deletes are waited for, once any was.
    patience: Option<Instant>,
}

impl Batch {
    pub(super) fn new(post: Arc<Inner>, order: Order) -> Self {
        let (walk, now) = (Walk::new(post), Zoned::now());
        let (desks, removed) = (HashMap::new(), HashSet::new());
        Self { order, now, walk, desks, removed, patience: None }
    }

    /// Settles what is to be done for a picture. One after the other, so that the names do not depend
    /// on which of them is summed first.
    async fn plan(&mut self, source: Source) -> Result<Plan, Error> {
        let name = source.path(self.order.name.as_ref(), &self.now)?;
        let path = join(&self.order.to, &name);
        folder::check(&path)?;
        let (folder_path, wanted) = path.rsplit_once('/').unwrap_or(("", &path));
        folder::check_name(wanted)?;
        if !self.order.force
            && let Some(plan) = self.what_is_there(folder_path, source.sum).await?
        {
            return Ok(plan);
        }
        self.upload(source, folder_path, wanted).await
    }

    /// What gives the link of a picture of these bytes that is in the folder, or will be; `None` if
    /// there is none.
    async fn what_is_there(&mut self, path: &str, sum: Sum) -> Result<Option<Plan>, Error> {
        if !self.desks.contains_key(path) {
            let folder = self.walk.find(path).await?;
            self.wait_for_deletes(&folder.id).await?;
            let twin = self.walk.post.kept_twin(&folder.id, sum).await?;
            if let Some(twin) = twin.filter(|twin| !self.removed.contains(&twin.id)) {
                return Ok(Some(there(path, twin)));
            }
        }
        self.lay_out(path).await?;
        let desk = &self.desks[path];
        let twin = desk.twin(sum).map(|twin| there(path, twin.clone()));
        Ok(twin.or_else(|| Some(Plan::Follow(desk.under_way(sum)?.clone()))))
    }

    async fn upload(&mut self, source: Source, path: &str, wanted: &str) -> Result<Plan, Error> {
        let (post, force, sum) = (self.walk.post.clone(), self.order.force, source.sum);
        self.lay_out(path).await?;
        let desk = self.desks.get_mut(path).expect("it was laid out");
        let mut is_twin = desk.twin(sum).is_some() || desk.under_way(sum).is_some();
        let claimed = Claim::content(&post.dir, &desk.folder, sum).await;
        let claim = claimed.map_err(|error| Error::local("claiming a name", error))?;
        // Another process may have uploaded it since the folder was listed.
        let twin = post.posted_twin(&desk.folder, sum).await?;
        if let Some(twin) = twin.filter(|twin| !self.removed.contains(&twin.id)) {
            if !force {
                return Ok(there(path, twin));
            }
            is_twin = true;
        }
        if is_twin && !post.keeps_twins().await? {
            return Err(Error::Twin);
        }
        let name = loop {
            let name = desk.names.take(wanted)?;
            let claimed = claim.name(&name);
            if claimed.map_err(|error| Error::local("claiming a name", error))?
                && !post.is_posted(&desk.folder, &name).await?
            {
                break name;
            }
        };
        Ok(Plan::Upload(Box::new(Upload {
            source,
            folder: desk.folder.clone(),
            folder_path: path.to_owned(),
            wanted: wanted.to_owned(),
            name,
            names: desk.names.clone(),
            takes_twin: !force,
            outcome: desk.begin(sum),
            _claim: claim,
        })))
    }

    /// Waits a while for what a mount is about to delete from the folder, so that the names are free.
    async fn wait_for_deletes(&mut self, folder: &FileId) -> Result<(), Error> {
        loop {
            let deleted = self.walk.post.state.deleted_in(folder)?;
            if deleted.is_empty() {
                return Ok(());
            }
            self.removed.extend(deleted);
            if Instant::now() >= *self.patience.get_or_insert_with(|| Instant::now() + DELETES) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    /// Has a desk for the folder.
    async fn lay_out(&mut self, path: &str) -> Result<(), Error> {
        if self.desks.contains_key(path) {
            return Ok(());
        }
        let folder = self.walk.find(path).await?;
        self.wait_for_deletes(&folder.id).await?;
        let (place, rows) = self.walk.list(path).await?;
        let desk = Desk::new(&self.walk.post, place.id, rows, &self.removed).await?;
        self.desks.insert(path.to_owned(), desk);
        Ok(())
    }
}

fn there(folder_path: &str, entry: Entry) -> Plan {
    let path = join(folder_path, &entry.name);
    Plan::Known(Ok(Sent { entry, path, is_new: false, wanted: None, is_mended: false }))
}

/// The pictures, as they are summed.
type Sources = BoxStream<'static, Result<Source, Error>>;

/// What is to be done for the next picture; `None` after the last.
pub(super) async fn next_plan(
    (mut batch, mut sources): (Batch, Sources),
) -> Option<(Plan, (Batch, Sources))> {
    let plan = match sources.next().await? {
        Ok(source) => batch.plan(source).await,
        Err(error) => Err(error),
    };
    Some((plan.unwrap_or_else(|error| Plan::Known(Err(error))), (batch, sources)))
}
