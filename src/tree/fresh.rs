//! Freshness: when a folder is listed, and who waits for that.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::watch;
use tokio::time::Instant;

use super::folder::Folder;
use super::node::Node;
use super::{Child, Error, Tree};
use crate::aside::aside;
use crate::types::Ino;

/// How long a folder is not listed again after a refresh of it failed: one whose view is old, and one
/// of which it is not known what became of it.
const EXCUSE: Duration = Duration::from_secs(60);
const EXCUSE_IN_DOUBT: Duration = Duration::from_secs(5);

/// Listings that nobody waits for, at once.
pub(super) const BEHIND: usize = 2;

/// Whether the children that are known of a folder are all there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum View {
    /// Nobody has looked yet: the state file may have them.
    #[default]
    Unknown,
    /// Nobody has looked yet, and what the state file has is not believed.
    Unlisted,
    /// They were all there are, and it is not known what became of them. They are shown until they
    /// are listed.
    Doubtful,
    /// By the state file; listed so long ago that it is to be asked for again from then on.
    Kept(Instant),
    /// By a complete listing of this mount that ended then.
    Listed(Instant),
}

/// A listing under way, which everyone who wants it shares.
#[derive(Clone)]
pub(super) struct Flight {
    end: Shared<BoxFuture<'static, Result<(), Error>>>,
    names: watch::Receiver<Vec<Child>>,
    /// Whether somebody waits for it.
    is_wanted: Arc<watch::Sender<bool>>,
}

/// What a flight is to bring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// Any view: that of the state file will do.
    View,
    /// What the service says now, to one who waits for it.
    Truth,
    /// What the service says now, to nobody.
    Refresh,
}

/// What a look at a folder finds.
enum Sight {
    Fresh,
    Old,
    Nothing,
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

/// The names of a folder that is being listed for the first time, as they come.
#[derive(Clone, Debug)]
pub struct Coming(Flight);

impl Coming {
    /// The names after the first `from`, as soon as there are any; `None` at the end of a complete
    /// listing.
    pub async fn after(&mut self, from: usize) -> Result<Option<Vec<Child>>, Error> {
        let Flight { end, names, .. } = &mut self.0;
        loop {
            let more = names.borrow_and_update().get(from..).unwrap_or_default().to_vec();
            if !more.is_empty() {
                return Ok(Some(more));
            }
            if names.changed().await.is_err() {
                return end.clone().await.map(|()| None);
            }
        }
    }
}

impl Tree {
    /// Makes sure that the folder's children are known and not older than the TTL: for who is about to
    /// change something, and may have to wait for it.
    ///
    /// When a refresh fails the old view serves on; only a folder that was never listed fails.
    pub async fn ensure_listed(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        if let Sight::Nothing = self.sight(ino)? {
            self.flight(ino, Aim::View)?.end.await?;
            if let View::Listed(_) = self.table().folder(ino)?.view {
                return Ok(());
            }
        }
        let Sight::Old = self.sight(ino)? else { return Ok(()) };
        match self.flight(ino, Aim::Truth)?.end.await {
            Err(Error::Api(_)) => Ok(()),
            result => result,
        }
    }

    /// As `ensure_listed`, for one to whom the word of the state file is not enough.
    pub async fn ensure_told(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        self.ensure_listed(ino).await?;
        match self.table().folder(ino)?.view {
            View::Listed(_) => return Ok(()),
            View::Unknown | View::Unlisted | View::Doubtful | View::Kept(_) => {}
        }
        self.flight(ino, Aim::Truth)?.end.await
    }

    /// Makes sure that all of the folder's children are known: for who reads them together.
    pub async fn ensure_known(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        let Some(mut coming) = self.look(ino).await? else { return Ok(()) };
        while coming.after(usize::MAX).await?.is_some() {}
        Ok(())
    }

    /// Makes sure that the folder's children are known: for who reads. Where they may be old they are
    /// listed behind his back. Those of a folder that was never listed are given as they come.
    pub async fn look(self: &Arc<Self>, ino: Ino) -> Result<Option<Coming>, Error> {
        if self.ttl.is_zero()
            && let Some(listed) = self.client.pulse().briefly(self.ensure_listed(ino)).await
        {
            return listed.map(|()| None);
        }
        self.table().looks.insert(ino, Instant::now());
        if let Sight::Nothing = self.sight(ino)? {
            let mut coming = Coming(self.flight(ino, Aim::View)?);
            if coming.after(0).await?.is_some() {
                return Ok(Some(coming));
            }
        }
        if let Sight::Old = self.sight(ino)? {
            self.refresh_behind(ino);
        }
        Ok(None)
    }

    /// Returns as soon as it is known which inode the folder calls `name`, or that it calls none so.
    pub async fn await_name(self: &Arc<Self>, folder: Ino, name: &str) -> Result<(), Error> {
        if let Some(mut coming) = self.look(folder).await? {
            let mut known = 0;
            while let Some(names) = coming.after(known).await? {
                if self.child(folder, name)?.is_some() {
                    break;
                }
                known += names.len();
            }
        }
        Ok(())
    }

    fn sight(&self, ino: Ino) -> Result<Sight, Error> {
        let table = self.table();
        let folder = table.folder(ino)?;
        let now = Instant::now();
        if folder.excused.is_some_and(|until| now < until) {
            return Ok(Sight::Fresh);
        }
        Ok(match folder.view {
            View::Listed(at) if at.elapsed() < self.ttl => Sight::Fresh,
            View::Kept(due) if now < due => Sight::Fresh,
            View::Listed(_) | View::Kept(_) | View::Doubtful => Sight::Old,
            View::Unknown | View::Unlisted => Sight::Nothing,
        })
    }

    /// Lists the folder anew, begun after this call.
    pub async fn refresh(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        let running = self.table().folder(ino)?.flight.clone();
        if let Some(flight) = running {
            // It began before: its answer may be older than what the caller wants to know.
            flight.is_wanted.send_replace(true);
            let _older = flight.end.await;
        }
        self.flight(ino, Aim::Truth)?.end.await?;
        let is_kept = matches!(self.table().folder(ino)?.view, View::Kept(_));
        match is_kept {
            // Somebody else had the state file asked just now.
            true => self.flight(ino, Aim::Truth)?.end.await,
            false => Ok(()),
        }
    }

    /// Lists the folder anew, for nobody who waits.
    pub(super) fn refresh_behind(self: &Arc<Self>, ino: Ino) {
        // What is gone needs no listing.
        drop(self.flight(ino, Aim::Refresh));
    }

    /// It is not known what the folder has: it is listed at the next use. What was known of it is
    /// shown until then.
    pub fn doubt_view(&self, ino: Ino) {
        let mut table = self.table();
        if let Ok(folder) = table.folder_mut(ino) {
            folder.doubt();
            table.unsaved.insert(ino);
            // As if somebody had looked: it is listed behind everybody's back.
            table.looks.insert(ino, Instant::now());
            self.kept.wake();
        }
    }

    /// The inode may lie in the folder `to` by now, or where it is named: it is shown there until both
    /// are listed, which is done as soon as the service allows.
    pub fn doubt_move(&self, ino: Ino, to: Ino) {
        let from = {
            let mut table = self.table();
            let Ok(node) = table.get(ino) else { return };
            let from = node.parent();
            if from != Some(to) {
                table.set_bound_for(ino, to);
            }
            from
        };
        from.into_iter().chain([to]).for_each(|folder| self.doubt_view(folder));
    }

    /// It is not known what any folder has.
    pub fn doubt_views(&self) {
        if let Err(error) = self.doubt_kept() {
            tracing::warn!("{error}");
        }
        self.table().folders_mut().for_each(Folder::doubt);
    }

    /// The listing under way, or a new one.
    fn flight(self: &Arc<Self>, ino: Ino, aim: Aim) -> Result<Flight, Error> {
        let mut table = self.table();
        let folder = table.folder_mut(ino)?;
        if let Some(flight) = &folder.flight {
            if aim != Aim::Refresh {
                flight.is_wanted.send_replace(true);
            }
            return Ok(flight.clone());
        }
        let (sender, names) = watch::channel(Vec::new());
        let (is_wanted, wanted) = watch::channel(aim != Aim::Refresh);
        let tree = self.clone();
        let task = tokio::spawn(async move {
            let listing = async {
                match aim {
                    Aim::View if tree.take_view(ino).await => Ok(()),
                    Aim::View | Aim::Truth | Aim::Refresh => tree.fly(ino, sender, wanted).await,
                }
            };
            let result = AssertUnwindSafe(listing).catch_unwind().await;
            // A flight that stayed would be the last of this folder.
            if let Ok(folder) = tree.table().folder_mut(ino) {
                folder.flight = None;
            }
            result.unwrap_or(Err(Error::Bug))
        });
        let end = task.map(|joined| joined.unwrap_or(Err(Error::Bug))).boxed().shared();
        let flight = Flight { end, names, is_wanted: Arc::new(is_wanted) };
        folder.flight = Some(flight.clone());
        Ok(flight)
    }

    /// Whether the state file has a view of the folder.
    async fn take_view(self: &Arc<Self>, ino: Ino) -> bool {
        let Ok(id) = self.folder_id(ino) else { return false };
        let is_unknown =
            self.table().folder(ino).is_ok_and(|folder| matches!(folder.view, View::Unknown));
        if !is_unknown || !self.kept.has(&id) {
            return false;
        }
        let tree = self.clone();
        let taken = aside(move || tree.take_kept(ino, &id)).await;
        let listed = match taken {
            Ok(Some(listed)) => listed,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!("listed anew: {error}");
                return false;
            }
        };
        // A clock that was put back makes no view young.
        let age = jiff::Timestamp::now().as_second().checked_sub(listed);
        let age = age.and_then(|age| u64::try_from(age).ok()).map(Duration::from_secs);
        let left = age.map_or(Duration::ZERO, |age| self.ttl.saturating_sub(age));
        let mut table = self.table();
        let Ok(folder) = table.folder_mut(ino) else { return false };
        folder.view = View::Kept(Instant::now() + left);
        folder.listed_at = listed;
        true
    }

    /// Lists the folder, when it is its turn if nobody waits for it.
    async fn fly(
        self: &Arc<Self>, ino: Ino, names: watch::Sender<Vec<Child>>,
        mut wanted: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let _turn = tokio::select! {
            biased;
            _ = wanted.wait_for(|wanted| *wanted) => None,
            turn = self.behind.acquire() => turn.ok(),
        };
        let result = self.list_now(ino, names, wanted).await;
        match &result {
            Ok(()) => {}
            Err(Error::Api(error)) => self.excuse(ino, error),
            Err(Error::NotFound) => {
                // It is gone, and so it will be from where it was.
                self.doubt_view(ino);
                let parent = self.table().get(ino).ok().and_then(Node::parent);
                if let Some(parent) = parent {
                    self.refresh_behind(parent);
                }
            }
            Err(error) => tracing::warn!("{:?} cannot be listed: {error}", self.path(ino)),
        }
        result
    }

    /// What was known of a folder serves on for a while.
    fn excuse(&self, ino: Ino, error: &crate::api::Error) {
        let path = self.path(ino);
        if let Ok(folder) = self.table().folder_mut(ino) {
            let excuse = match folder.view {
                View::Kept(_) | View::Listed(_) => EXCUSE,
                View::Doubtful => EXCUSE_IN_DOUBT,
                View::Unknown | View::Unlisted => return,
            };
            match error.lacks_the_right() {
                // Told once, by who asked the service.
                true => tracing::debug!("showing an older view of {path:?}: {error}"),
                false => tracing::warn!("showing an older view of {path:?}: {error}"),
            }
            folder.excused = Some(Instant::now() + excuse);
        }
    }
}
