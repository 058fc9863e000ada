//! Times that change by what is done. They are told at once, and kept by the state file within a second,
//! at the next `fsync` or close of the file, or at the end of the mount.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::{Fs, Result};
use crate::aside::aside;
use crate::state::{Owner, RowId};
use crate::tree::What;
use crate::types::{Attributes, Ino};

/// How long changes are gathered before they are kept.
const QUIET: Duration = Duration::from_secs(1);

/// Inodes whose times the state file has not got.
#[derive(Debug, Default)]
pub(super) struct Touched {
    inodes: Mutex<HashSet<Ino>>,
    is_any: Notify,
}

impl Touched {
    fn add(&self, ino: Ino) {
        self.inodes.lock().unwrap_or_else(PoisonError::into_inner).insert(ino);
        self.is_any.notify_one();
    }

    fn take(&self) -> Vec<Ino> {
        let mut inodes = self.inodes.lock().unwrap_or_else(PoisonError::into_inner);
        inodes.drain().collect()
    }

    fn remove(&self, ino: Ino) -> bool {
        self.inodes.lock().unwrap_or_else(PoisonError::into_inner).remove(&ino)
    }
}

impl Fs {
    /// The content changes now. Its time is kept with the content.
    pub(super) fn written(&self, ino: Ino) {
        let now = Some(SystemTime::now());
        self.tree.set_attributes(ino, |set| (set.mtime, set.ctime) = (now, now));
    }

    /// The names of a folder, or no bytes of a file, changed now.
    pub(super) fn touch(&self, ino: Ino) {
        self.written(ino);
        self.touched.add(ino);
    }

    /// The inode changed, and not its content.
    pub(super) fn touch_inode(&self, ino: Ino) {
        self.tree.set_attributes(ino, |set| set.ctime = Some(SystemTime::now()));
        self.touched.add(ino);
    }

    /// Has the state file keep what the user set.
    pub(super) fn keep_attributes(&self, ino: Ino) -> Result<()> {
        self.touched.remove(ino);
        Ok(self.state.keep_attributes(&self.owners(ino)?)?)
    }

    /// The same if it has not got the times. Who is told of nothing has lost nothing but these.
    pub(super) fn keep_times(&self, ino: Ino) {
        if self.touched.remove(ino)
            && let Err(error) = self.keep_attributes(ino)
        {
            tracing::warn!("the times of {:?} are not kept: {error}", self.tree.path(ino));
        }
    }

    /// The same for every inode of which it has not got the times.
    pub fn keep_all_times(&self) {
        let touched = self.touched.take();
        // What is gone by now needs none.
        let owners = touched.iter().filter_map(|ino| Some((*ino, self.owners(*ino).ok()?)));
        let (inodes, owners): (Vec<Ino>, Vec<_>) = owners.unzip();
        let kept: Vec<(Owner, Attributes)> = owners.iter().flatten().cloned().collect();
        if let Err(error) = self.state.keep_attributes(&kept) {
            return tracing::warn!("times are not kept: {error}");
        }
        for (ino, kept) in inodes.into_iter().zip(owners) {
            kept.first().into_iter().for_each(|(_, kept)| self.keep_what_changed(ino, kept));
        }
    }

    /// What was set while the state file was written to may have come before it there.
    pub(super) fn keep_what_changed(&self, ino: Ino, kept: &Attributes) {
        if self.tree.info(ino).is_ok_and(|info| info.attributes != *kept) {
            self.touched.add(ino);
        }
    }

    /// Has times kept for as long as the mount lives.
    pub(super) async fn run_times(self: Arc<Self>) -> Infallible {
        loop {
            self.touched.is_any.notified().await;
            tokio::time::sleep(QUIET).await;
            let fs = self.clone();
            aside(move || fs.keep_all_times()).await;
        }
    }

    /// By what the state file keeps the attributes of an inode. A file on its way has them in its row
    /// too; what has no name any more needs none.
    fn owners(&self, ino: Ino) -> Result<Vec<(Owner, Attributes)>> {
        let info = self.tree.info(ino)?;
        if info.parent.is_none() && ino != Ino::ROOT {
            return Ok(Vec::new());
        }
        let rows = self.locals.get(ino).map(|local| local.state().rows()).unwrap_or_default();
        let row = rows.first().copied().map(Owner::Row);
        let own = match &info.what {
            What::Folder { id, .. } => Some(match id.local_row() {
                Some(row) => Owner::Row(RowId(row)),
                None => Owner::Object(id.clone()),
            }),
            What::File(entry) => entry.as_ref().map(|entry| Owner::Object(entry.id.clone())),
        };
        let attributes = info.attributes;
        Ok(row.into_iter().chain(own).map(|owner| (owner, attributes.clone())).collect())
    }
}
