//! The control folder `.bedfs`: what the mount is doing and what the account earns and costs, as
//! files. Each is a snapshot of the moment it was opened.

mod content;
mod metrics;
mod node;
mod snapshot;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::attr::Attr;
use super::dir::DirEntry;
use super::file::Opened;
use super::{Error, Fs, Result};
use crate::config::Control;
use crate::tree::{CONTROL_NAME, Error as TreeError};
use crate::types::Ino;
use node::{Node, Nodes};
pub(super) use snapshot::Snapshot;
use snapshot::Snapshots;

/// Inodes from here on are of the control folder; the tree counts from 1 and never comes here.
const FIRST: u64 = 1 << 62;

/// The folder itself.
pub(super) const FOLDER: Ino = Ino(FIRST);

/// For how long a snapshot tells the size, where making one is quick and where it is not.
const QUICK: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(10);

/// What the control folder keeps in mind, and what it counts.
#[derive(Default)]
pub(super) struct ControlFolder {
    nodes: Nodes,
    snapshots: Snapshots,
    /// Look-ups of names, of whatever folder.
    pub(super) lookups: AtomicU64,
    /// Reads of remote files that were answered from here, and that waited for the service.
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

impl ControlFolder {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the inode is the control folder or in it.
pub(super) fn is_control(ino: Ino) -> bool {
    ino.0 >= FIRST
}

impl Fs {
    /// Whether the inode is of the control folder, whose files may wait for the service when they are
    /// opened.
    pub fn is_control(&self, ino: Ino) -> bool {
        is_control(ino)
    }

    /// Whether the name is the control folder's, or in it.
    pub(super) fn is_control_name(&self, parent: Ino, name: &str) -> bool {
        let is_it = parent == Ino::ROOT && name == CONTROL_NAME;
        is_control(parent) || (is_it && self.options.control != Control::Off)
    }

    fn node(&self, ino: Ino) -> Result<Node> {
        let place = usize::try_from(ino.0 - FIRST).ok();
        let node = place.and_then(|place| self.control.nodes.get(place));
        Ok(node.ok_or(TreeError::NotFound)?)
    }

    fn ino_of(&self, node: &Node) -> Ino {
        Ino(FIRST + self.control.nodes.number(node) as u64)
    }

    /// What a name of the control folder, or the folder itself, comes to. What it tells is brought
    /// here first, so that its size is true.
    pub(super) async fn control_lookup(&self, parent: Ino, name: &str) -> Result<Attr> {
        if !is_control(parent) {
            return self.control_attr(FOLDER);
        }
        let folder = self.node(parent)?;
        if folder.is_of_offline_logs() {
            self.look_at_offline_logs(&folder, Some(name)).await;
        }
        let node = self.control_child(&folder, name)?.ok_or(TreeError::NotFound)?;
        if let Err(error) = self.bring(&node).await {
            // Who opens it is told.
            tracing::debug!("looking up {node:?}: {error}");
        }
        self.control_attr(self.ino_of(&node))
    }

    pub(super) fn control_attr(&self, ino: Ino) -> Result<Attr> {
        let node = self.node(ino)?;
        let is_folder = node.is_folder();
        let size = if is_folder { 0 } else { self.control_size(&node)? };
        let now = if is_folder { self.born } else { SystemTime::now() };
        Ok(Attr {
            is_removed: false,
            ino,
            is_folder,
            size,
            mode: if is_folder { 0o555 } else { 0o444 } & !self.options.umask,
            uid: self.options.owner.0,
            gid: self.options.owner.1,
            atime: now,
            mtime: now,
            ctime: now,
            created: self.born,
        })
    }

    fn control_size(&self, node: &Node) -> Result<u64> {
        if let Node::OfflineLog(id) = node {
            let log = self.state.offline_log(id)?.ok_or(TreeError::NotFound)?;
            return Ok(self.ledger.offline.size(&log));
        }
        let fresh = if node.is_slow() { SLOW } else { QUICK };
        if let Some(size) = self.control.snapshots.size(node, fresh) {
            return Ok(size);
        }
        let snapshot = self.content_here(node)?;
        Ok(snapshot.map_or(0, |snapshot| self.control.snapshots.keep(node, snapshot).size()))
    }

    /// What a folder of the control folder calls `name`, as far as it is known here.
    fn control_child(&self, folder: &Node, name: &str) -> Result<Option<Node>> {
        let children = self.control_children(folder)?;
        Ok(children.into_iter().find(|(known, _)| known == name).map(|(_, node)| node))
    }

    pub(super) fn control_names(&self, ino: Ino) -> Result<Vec<DirEntry>> {
        let children = self.control_children(&self.node(ino)?)?.into_iter();
        let entry = |(name, node): (String, Node)| DirEntry {
            ino: self.ino_of(&node),
            name: name.into(),
            is_folder: node.is_folder(),
        };
        Ok(children.map(entry).collect())
    }

    /// The folder above one of the control folder.
    pub(super) fn control_parent(&self, ino: Ino) -> Ino {
        match self.node(ino) {
            Ok(Node::OfflineDay(_)) => self.ino_of(&Node::OfflineLogs),
            Ok(Node::Root) | Err(_) => Ino::ROOT,
            Ok(_) => FOLDER,
        }
    }

    /// Before a folder of the control folder is read.
    pub(super) async fn open_control_folder(&self, ino: Ino) -> Result<()> {
        let node = self.node(ino)?;
        if node.is_of_offline_logs() {
            self.look_at_offline_logs(&node, None).await;
        }
        Ok(())
    }

    /// The list of offline logs is brought up to date, unless it knows the name. Where that fails what
    /// is known is shown.
    async fn look_at_offline_logs(&self, folder: &Node, name: Option<&str>) {
        let is_known =
            name.is_some_and(|name| matches!(self.control_child(folder, name), Ok(Some(_))));
        if is_known {
            return;
        }
        let has_some =
            self.state.offline_logs(i64::MIN, i64::MAX).is_ok_and(|logs| !logs.is_empty());
        let asked = self.ask(has_some, |_, ledger| async move { Ok(ledger.offline.look().await?) });
        if let Err(error) = asked.await {
            tracing::info!("{error}");
        }
    }

    /// Opens a file of the control folder, as it is now.
    pub async fn open_control(&self, ino: Ino) -> Result<Opened> {
        let node = self.node(ino)?;
        if node.is_folder() {
            return Err(Error::IsAFolder);
        }
        self.bring(&node).await?;
        let snapshot = self.content(&node).await?;
        let snapshot = self.control.snapshots.keep(&node, snapshot);
        let handle = self.handles.add_snapshot(snapshot);
        Ok(Opened { handle, is_stream: true, is_doubtful: false })
    }
}
