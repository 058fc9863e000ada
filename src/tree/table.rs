//! The inode table: what the mount knows of each file and folder, and how long it must remember.
//!
//! An inode is one object of the bed, or one file that exists only here so far. A different object
//! found under a known name is another inode; so whoever holds the old one goes on reading the old
//! bytes. A node stays while a folder names it, while the kernel counts look-ups of it, or while
//! the file system holds it open; an *orphan* is no longer named by any folder.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{BoxFuture, Shared};

use super::Error;
use crate::types::{Attributes, Entry, FileId, Ino};

/// One inode.
#[derive(Debug)]
pub(super) struct Node {
    /// The folder that names it; `None` for the root and for orphans.
    pub(super) parent: Option<Ino>,
    /// As the mount shows it.
    pub(super) name: Arc<str>,
    /// How often the kernel was told of the inode and has not forgotten it.
    pub(super) lookups: u64,
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
    pub(super) attributes: Option<Box<Attributes>>,
    pub(super) kind: Kind,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A folder.
    Folder(Box<Folder>),
    /// A file; without an entry until the service has it.
    File(Option<Arc<Entry>>),
}

/// A listing in flight, waited for by everyone who wants it.
pub(super) type Listing = Shared<BoxFuture<'static, Result<(), Error>>>;

/// A folder and what is known of its content.
#[derive(Default)]
pub(super) struct Folder {
    /// The folder's ID; the root of the bed has the empty one.
    pub(super) id: Option<FileId>,
    pub(super) created: i64,
    pub(super) children: BTreeMap<Arc<str>, Ino>,
    /// When the last complete listing ended.
    pub(super) listed: Option<Instant>,
    /// After a failed refresh the old view serves until then.
    pub(super) excused: Option<Instant>,
    pub(super) in_flight: Option<Listing>,
    /// Objects this mount removed from here, which a listing may show for a while.
    pub(super) gone: HashMap<FileId, Instant>,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All inodes by number.
#[derive(Debug)]
pub(super) struct Table {
    nodes: HashMap<Ino, Node>,
    next: u64,
}

impl Table {
    /// A table that knows the root, a folder of this ID.
    pub(super) fn new(root: FileId) -> Self {
        let mut table = Self { nodes: HashMap::new(), next: Ino::ROOT.0 };
        let folder = Folder { id: Some(root), ..Folder::default() };
        let root = table.add(None, "".into(), Kind::Folder(Box::new(folder)));
        debug_assert_eq!(root, Ino::ROOT);
        table
    }

    /// How many inodes are known.
    pub(super) fn inodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, ino: Ino) -> Result<&Node, Error> {
        self.nodes.get(&ino).ok_or(Error::NotFound)
    }

    pub(super) fn get_mut(&mut self, ino: Ino) -> Result<&mut Node, Error> {
        self.nodes.get_mut(&ino).ok_or(Error::NotFound)
    }

    pub(super) fn folder(&self, ino: Ino) -> Result<&Folder, Error> {
        match &self.get(ino)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) => Err(Error::NotAFolder),
        }
    }

    pub(super) fn folder_mut(&mut self, ino: Ino) -> Result<&mut Folder, Error> {
        match &mut self.get_mut(ino)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) => Err(Error::NotAFolder),
        }
    }

    /// Every folder.
    pub(super) fn folders_mut(&mut self) -> impl Iterator<Item = &mut Folder> {
        self.nodes.values_mut().filter_map(|node| match &mut node.kind {
            Kind::Folder(folder) => Some(&mut **folder),
            Kind::File(_) => None,
        })
    }

    /// The inode of a folder, by looking at all.
    pub(super) fn find_folder(&self, id: &FileId) -> Option<Ino> {
        let is_it = |node: &Node| match &node.kind {
            Kind::Folder(folder) => folder.id.as_ref() == Some(id),
            Kind::File(_) => false,
        };
        let found = self.nodes.iter().find(|(_, node)| is_it(node));
        found.map(|(ino, _)| *ino)
    }

    /// The inode of an object that a folder names, by looking at all.
    pub(super) fn find_file(&self, id: &FileId) -> Option<Ino> {
        let is_it = |node: &Node| match &node.kind {
            Kind::File(Some(entry)) => entry.id == *id && node.parent.is_some(),
            _ => false,
        };
        let found = self.nodes.iter().find(|(_, node)| is_it(node));
        found.map(|(ino, _)| *ino)
    }

    /// A new inode under `parent`, which names it from now on.
    pub(super) fn add(&mut self, parent: Option<Ino>, name: Arc<str>, kind: Kind) -> Ino {
        let ino = Ino(self.next);
        self.next += 1;
        self.clear(parent, &name);
        let node = Node {
            parent,
            name: name.clone(),
            lookups: 0,
            holds: 0,
            staged: false,
            local: false,
            since: None,
            attributes: None,
            kind,
        };
        self.nodes.insert(ino, node);
        if let Some(folder) = parent.and_then(|parent| self.folder_mut(parent).ok()) {
            folder.children.insert(name, ino);
        }
        ino
    }

    /// Takes the inode out of its folder. It stays as an orphan while anyone needs it.
    pub(super) fn orphan(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get_mut(&ino) else {
            return;
        };
        let name = node.name.clone();
        if let Some(folder) = node.parent.take().and_then(|parent| self.folder_mut(parent).ok())
            && folder.children.get(&name) == Some(&ino)
        {
            folder.children.remove(&name);
        }
        self.collect(ino);
    }

    /// Makes a name free: what has it becomes an orphan.
    pub(super) fn clear(&mut self, parent: Option<Ino>, name: &str) {
        let folder = parent.and_then(|parent| self.folder(parent).ok());
        if let Some(old) = folder.and_then(|folder| folder.children.get(name).copied()) {
            self.orphan(old);
        }
    }

    /// Names the inode `name` in `parent`. What has the name becomes an orphan.
    pub(super) fn rename(&mut self, ino: Ino, parent: Ino, name: Arc<str>) -> Result<(), Error> {
        if self.folder(parent)?.children.get(&name) != Some(&ino) {
            self.clear(Some(parent), &name);
        }
        let node = self.get_mut(ino)?;
        let old = (node.parent.replace(parent), std::mem::replace(&mut node.name, name.clone()));
        if let (Some(parent), old_name) = old
            && let Ok(folder) = self.folder_mut(parent)
        {
            folder.children.remove(&old_name);
        }
        self.folder_mut(parent)?.children.insert(name, ino);
        Ok(())
    }

    /// Forgets the inode if it is an orphan that nobody needs, and then its children likewise.
    pub(super) fn collect(&mut self, ino: Ino) {
        let mut doomed = vec![ino];
        while let Some(ino) = doomed.pop() {
            let Some(node) = self.nodes.get(&ino) else {
                continue;
            };
            let needed = node.parent.is_some() || node.lookups > 0 || node.holds > 0;
            if needed || ino == Ino::ROOT {
                continue;
            }
            let node = self.nodes.remove(&ino);
            if let Some(Node { kind: Kind::Folder(folder), .. }) = node {
                for child in folder.children.into_values() {
                    if let Some(node) = self.nodes.get_mut(&child) {
                        node.parent = None;
                        doomed.push(child);
                    }
                }
            }
        }
    }
}
