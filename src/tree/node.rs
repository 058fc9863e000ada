//! A node: what the mount knows of one inode.

use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::time::Instant;

use super::folder::Folder;
use super::row::Row;
use crate::types::{Attributes, FileId, Ino};

/// One inode. There may be 100,000: what few of them have is in a box.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: Option<NonZeroU64>,
    /// As the mount shows it.
    pub(super) name: Arc<str>,
    /// How often the kernel was told of the inode and has not forgotten it.
    pub(super) lookups: u64,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) kind: Kind,
}

/// What few inodes have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// How many open handles and staged contents the file system has on it.
    pub(super) holds: u32,
    /// Whether bytes are staged for the file: it then outlives its object.
    pub(super) staged: bool,
    /// Whether the file stays here: an object of its name is another's.
    pub(super) local: bool,
    /// When this mount made or moved the object: a listing begun before cannot know of it, and one
    /// soon after may not.
    pub(super) since: Option<Instant>,
    /// What the user set and the service has no place for.
    pub(super) attributes: Option<Attributes>,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A folder.
    Folder(Box<Folder>),
    /// A file; its row is empty until the service has it.
    File(Row),
}

impl Node {
    /// The folder that names it; `None` for the root and for orphans.
    pub(super) fn parent(&self) -> Option<Ino> {
        self.parent.map(|parent| Ino(parent.get()))
    }

    pub(super) fn set_parent(&mut self, parent: Option<Ino>) {
        self.parent = parent.and_then(|parent| NonZeroU64::new(parent.0));
    }

    /// What few inodes have, if this one has any of it.
    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn staged(&self) -> bool {
        self.rare().is_some_and(|rare| rare.staged)
    }

    pub(super) fn local(&self) -> bool {
        self.rare().is_some_and(|rare| rare.local)
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.rare().and_then(|rare| rare.since)
    }

    /// Whether the file system needs it, named or not.
    pub(super) fn is_held(&self) -> bool {
        self.rare().is_some_and(|rare| rare.holds > 0)
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder(_))
    }

    /// The ID the service knows the object by, if it has it.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.kind {
            Kind::Folder(folder) => folder.id.as_ref().map(FileId::as_str),
            Kind::File(row) => row.id(),
        }
    }

    /// The sum and the size of its bytes, where the service told the sum.
    pub(super) fn sum(&self) -> Option<([u8; 16], u64)> {
        let row = self.row()?.read()?;
        Some((row.md5?, row.size))
    }

    /// The row of a file that the service has.
    pub(super) fn row(&self) -> Option<&Row> {
        match &self.kind {
            Kind::File(row) if *row != Row::default() => Some(row),
            Kind::File(_) | Kind::Folder(_) => None,
        }
    }
}
