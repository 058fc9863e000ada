//! A batch: pictures that are uploaded together, and what is settled for each of them before.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use jiff::Zoned;
use tokio::sync::OwnedMutexGuard;

use super::claim::Claim;
use super::desk::{Desk, Names};
use super::folder::{self, Walk};
use super::{Error, Inner, Order, Outcome, Sent, Shared, Source, join};
use crate::staging::Sum;
use crate::types::{Entry, FileId};

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
}

impl Batch {
    pub(super) fn new(post: Arc<Inner>, order: Order) -> Self {
        Self { order, now: Zoned::now(), walk: Walk::new(post), desks: HashMap::new() }
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
            if let Some(twin) = self.walk.post.kept_twin(&folder.id, sum).await? {
                return Ok(Some(there(path, twin)));
            }
        }
        let desk = self.desk(path).await?;
        let twin = desk.twin(sum).map(|twin| there(path, twin.clone()));
        Ok(twin.or_else(|| Some(Plan::Follow(desk.under_way(sum)?.clone()))))
    }

    async fn upload(&mut self, source: Source, path: &str, wanted: &str) -> Result<Plan, Error> {
        let (post, force, sum) = (self.walk.post.clone(), self.order.force, source.sum);
        let desk = self.desk(path).await?;
        let mut is_twin = desk.twin(sum).is_some() || desk.under_way(sum).is_some();
        let claimed = Claim::content(&post.dir, &desk.folder, sum).await;
        let claim = claimed.map_err(|error| Error::local("claiming a name", error))?;
        // Another process may have uploaded it since the folder was listed.
        if let Some(twin) = post.posted_twin(&desk.folder, sum).await? {
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

    async fn desk(&mut self, path: &str) -> Result<&mut Desk, Error> {
        if !self.desks.contains_key(path) {
            let (place, rows) = self.walk.list(path).await?;
            let desk = Desk::new(&self.walk.post, place.id, rows).await?;
            self.desks.insert(path.to_owned(), desk);
        }
        Ok(self.desks.get_mut(path).expect("it was put there"))
    }
}

fn there(folder_path: &str, entry: Entry) -> Plan {
    let path = join(folder_path, &entry.name);
    Plan::Known(Ok(Sent { entry, path, is_new: false, wanted: None }))
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
