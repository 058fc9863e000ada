//! The inode table: what the mount knows of each file and folder, and how long it must remember.
//!
//! An inode is one object of the bed, or one file that exists only here so far. A different object
//! found under a known name is another inode; so whoever holds the old one goes on reading the old
//! bytes. A node stays while a folder names it, while the kernel counts look-ups of it, or while
//! the file system holds it open; an *orphan* is no longer named by any folder.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::Error;
use super::folder::Folder;
use super::index::Index;
use super::node::{Kind, Node};
use super::row::{Row, Shapes};
use crate::types::{Entry, EntryKind, FileId, Ino, Md5};

/// All inodes by number, and those that the service knows by ID.
#[derive(Debug)]
pub(super) struct Table {
    nodes: HashMap<Ino, Node>,
    index: Index,
    shapes: Shapes,
    /// Folders of which the state file has not got everything.
    pub(super) unsaved: HashSet<Ino>,
    /// When folders were last looked at.
    pub(super) looks: HashMap<Ino, Instant>,
    /// What may lie in another folder by now, and in which, by a move of which nobody knows what it
    /// came to.
    bound_for: HashMap<Ino, Ino>,
}

impl Table {
    /// A table that knows the root, a folder of this ID.
    pub(super) fn new(root: FileId) -> Self {
        let mut table = Self {
            nodes: HashMap::new(),
            index: Index::default(),
            shapes: Shapes::default(),
            unsaved: HashSet::new(),
            looks: HashMap::new(),
            bound_for: HashMap::new(),
        };
        let root = table.add_folder(None, "".into(), root, 0, Some(Ino::ROOT));
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
    pub(super) fn folders(&self) -> impl Iterator<Item = (Ino, &Folder)> {
        self.nodes.iter().filter_map(|(ino, node)| match &node.kind {
            Kind::Folder(folder) => Some((*ino, &**folder)),
            Kind::File(_) => None,
        })
    }

    /// Every folder, to be changed.
    pub(super) fn folders_mut(&mut self) -> impl Iterator<Item = &mut Folder> {
        self.nodes.values_mut().filter_map(|node| match &mut node.kind {
            Kind::Folder(folder) => Some(&mut **folder),
            Kind::File(_) => None,
        })
    }

    /// The row of a file that the service has.
    pub(super) fn entry(&self, ino: Ino) -> Option<Entry> {
        let node = self.nodes.get(&ino)?;
        self.shapes.unpack(node.row()?, &node.name)
    }

    /// Whether the row is what is known of the inode.
    pub(super) fn is_as_told(&mut self, ino: Ino, row: &Entry) -> bool {
        let Some(node) = self.nodes.get(&ino) else { return false };
        match &node.kind {
            Kind::File(known) => *known == self.shapes.pack(row, &node.name),
            Kind::Folder(folder) => row.kind == EntryKind::Folder && folder.created == row.created,
        }
    }

    /// What a row of a folder told, as far as it matters; `name` is its name at the service.
    pub(super) fn folder_row(&self, ino: Ino, name: &str) -> Option<Entry> {
        let folder = self.folder(ino).ok()?;
        Some(Entry {
            id: folder.id.clone()?,
            name: name.into(),
            parent: FileId::root(),
            created: folder.created,
            updated: folder.created,
            kind: EntryKind::Folder,
        })
    }

    fn find(&self, id: &str, is_it: impl Fn(&Node) -> bool) -> Option<Ino> {
        self.index.find(&self.nodes, id, is_it)
    }

    /// The files of a folder whose bytes have this sum and size.
    pub(super) fn alike(&self, folder: Ino, md5: Md5, size: u64) -> impl Iterator<Item = Ino> {
        let alike = self.index.alike(&self.nodes, md5, size);
        alike.filter(move |(_, node)| node.parent() == Some(folder)).map(|(ino, _)| ino)
    }

    /// The inode of a folder.
    pub(super) fn find_folder(&self, id: &FileId) -> Option<Ino> {
        self.find(id.as_str(), Node::is_folder)
    }

    /// The inode of a file that a folder names.
    pub(super) fn find_file(&self, id: &FileId) -> Option<Ino> {
        self.find(id.as_str(), |node| !node.is_folder() && node.parent.is_some())
    }

    /// The inode of an object that this folder names.
    pub(super) fn find_in(&self, folder: Ino, id: &FileId) -> Option<Ino> {
        self.find(id.as_str(), |node| node.parent() == Some(folder))
    }

    /// The inode of an object that another folder names, if a row may take it from there: by a listing
    /// of `into` that began then.
    pub(super) fn find_elsewhere(&self, into: Ino, row: &Entry, began: Instant) -> Option<Ino> {
        let is_folder = row.kind == EntryKind::Folder;
        let is_it = |node: &Node| node.parent.is_some() && node.is_folder() == is_folder;
        let ino = self.find(row.id.as_str(), is_it)?;
        let node = self.get(ino).ok()?;
        let is_ours = node.staged() || node.local() || node.since().is_some_and(|at| at >= began);
        (!is_ours && node.parent() != Some(into) && !self.is_within(into, ino)).then_some(ino)
    }

    /// Whether `ino` is `folder` or lies below it.
    pub(super) fn is_within(&self, ino: Ino, folder: Ino) -> bool {
        let mut at = Some(ino);
        while let Some(ino) = at {
            if ino == folder {
                return true;
            }
            at = self.get(ino).ok().and_then(Node::parent);
        }
        false
    }

    /// The inode may lie in that folder by now.
    pub(super) fn set_bound_for(&mut self, ino: Ino, folder: Ino) {
        self.bound_for.insert(ino, folder);
    }

    /// Whether the inode may lie in another folder that was not listed since: then a listing of its own
    /// does not take it out of view.
    pub(super) fn is_on_its_way(&self, ino: Ino) -> bool {
        let is_named =
            |to: &Ino| *to == Ino::ROOT || self.get(*to).is_ok_and(|to| to.parent.is_some());
        self.bound_for.get(&ino).is_some_and(is_named)
    }

    /// The folder was listed: what was on its way there is there, or is not.
    pub(super) fn has_arrived(&mut self, folder: Ino) {
        self.bound_for.retain(|_, to| *to != folder);
    }

    /// Has the inode be found by its ID, and its entry be written into the state file; to be undone
    /// before either changes.
    fn index(&mut self, ino: Ino) {
        self.note(ino);
        self.index.insert(&self.nodes, ino);
    }

    fn unindex(&mut self, ino: Ino) {
        self.note(ino);
        self.index.remove(&self.nodes, ino);
    }

    /// The entry of the inode in its folder changes.
    fn note(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get(&ino) else { return };
        let (Some(parent), Some(id)) = (node.parent(), node.id().map(FileId::new)) else { return };
        if !id.is_local()
            && let Ok(folder) = self.folder_mut(parent)
        {
            folder.changed.note(id.as_str());
            self.unsaved.insert(parent);
        }
    }

    /// A new file that the service has not got, under `parent`, which names it from now on. It has this
    /// number unless another has it, or one that nothing had.
    pub(super) fn add_file(&mut self, parent: Ino, name: Arc<str>, number: Option<Ino>) -> Ino {
        let number = number.unwrap_or_else(Ino::random);
        self.add(Some(parent), name, Kind::File(Row::default()), number)
    }

    /// A folder, likewise: without a number that of its ID.
    pub(super) fn add_folder(
        &mut self, parent: Option<Ino>, name: Arc<str>, id: FileId, created: i64,
        number: Option<Ino>,
    ) -> Ino {
        let number = number.unwrap_or_else(|| Ino::of(&id));
        let folder = Folder { id: Some(id), created, ..Folder::default() };
        self.add(parent, name, Kind::Folder(Box::new(folder)), number)
    }

    /// What a listing tells, likewise. An object that somebody moved here has its inode already.
    pub(super) fn add_entry(
        &mut self, parent: Ino, name: Arc<str>, entry: &Entry, number: Option<Ino>,
    ) -> Ino {
        if let Some(known) = self.find_moved(parent, entry)
            && self.rename(known, parent, name.clone()).is_ok()
        {
            self.set_entry(known, Some(entry));
            return known;
        }
        match entry.kind {
            EntryKind::Folder => {
                self.add_folder(Some(parent), name, entry.id.clone(), entry.created, number)
            }
            EntryKind::File(_) => {
                let row = self.shapes.pack(entry, &name);
                let number = number.unwrap_or_else(|| Ino::of(&entry.id));
                self.add(Some(parent), name, Kind::File(row), number)
            }
        }
    }

    /// The inode of an object that another folder named so far, if nothing of it is only here, or that
    /// none did any more, if nobody but the kernel remembers it.
    fn find_moved(&self, parent: Ino, entry: &Entry) -> Option<Ino> {
        let is_folder = entry.kind == EntryKind::Folder;
        let is_free = |node: &Node| {
            let is_named = node.parent.is_some() && !node.staged() && !node.local();
            node.is_folder() == is_folder && (is_named || !node.is_held())
        };
        let known = self.find(entry.id.as_str(), is_free)?;
        let is_loop = known == Ino::ROOT || self.is_within(parent, known);
        Some(known).filter(|_| !is_loop)
    }

    fn add(&mut self, parent: Option<Ino>, name: Arc<str>, kind: Kind, number: Ino) -> Ino {
        let mut ino = number;
        while self.nodes.contains_key(&ino) {
            ino = ino.next();
        }
        self.clear(parent, &name);
        let mut node = Node { parent: None, name: name.clone(), lookups: 0, rare: None, kind };
        node.set_parent(parent);
        self.nodes.insert(ino, node);
        self.index(ino);
        if let Some(folder) = parent.and_then(|parent| self.folder_mut(parent).ok()) {
            folder.children.insert(name, ino);
        }
        ino
    }

    /// The file is this object now, or none.
    pub(super) fn set_entry(&mut self, ino: Ino, entry: Option<&Entry>) {
        self.unindex(ino);
        if let Some(node) = self.nodes.get_mut(&ino)
            && let Kind::File(row) = &mut node.kind
        {
            *row = entry.map(|entry| self.shapes.pack(entry, &node.name)).unwrap_or_default();
        }
        self.index(ino);
    }

    /// The folder is another object now.
    pub(super) fn set_folder_id(&mut self, ino: Ino, id: FileId) {
        self.unindex(ino);
        if let Ok(folder) = self.folder_mut(ino) {
            folder.id = Some(id);
        }
        self.index(ino);
    }

    /// Takes the inode out of its folder. It stays as an orphan while anyone needs it.
    pub(super) fn orphan(&mut self, ino: Ino) {
        self.note(ino);
        let Some(node) = self.nodes.get_mut(&ino) else {
            return;
        };
        let (name, parent) = (node.name.clone(), node.parent());
        node.set_parent(None);
        if let Some(folder) = parent.and_then(|parent| self.folder_mut(parent).ok())
            && folder.children.get(&name) == Some(&ino)
        {
            folder.children.remove(&name);
        }
        self.collect(ino);
    }

    /// Makes a name free: what has it becomes an orphan.
    fn clear(&mut self, parent: Option<Ino>, name: &str) {
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
        // The row keeps the name that the service knows, which may be that shown before.
        let entry = self.entry(ino);
        self.note(ino);
        let node = self.get_mut(ino)?;
        let old = (node.parent(), std::mem::replace(&mut node.name, name.clone()));
        node.set_parent(Some(parent));
        if let (Some(parent), old_name) = old
            && let Ok(folder) = self.folder_mut(parent)
        {
            folder.children.remove(&old_name);
        }
        self.folder_mut(parent)?.children.insert(name, ino);
        match entry {
            Some(entry) => self.set_entry(ino, Some(&entry)),
            None => self.note(ino),
        }
        Ok(())
    }

    /// Forgets the inode if it is an orphan that nobody needs, and then its children likewise.
    pub(super) fn collect(&mut self, ino: Ino) {
        let mut doomed = vec![ino];
        while let Some(ino) = doomed.pop() {
            let Some(node) = self.nodes.get(&ino) else {
                continue;
            };
            let needed = node.parent.is_some() || node.lookups > 0 || node.is_held();
            if needed || ino == Ino::ROOT {
                continue;
            }
            self.unindex(ino);
            self.looks.remove(&ino);
            self.bound_for.remove(&ino);
            let node = self.nodes.remove(&ino);
            if let Some(Node { kind: Kind::Folder(folder), .. }) = node {
                for child in folder.children.into_values() {
                    if let Some(node) = self.nodes.get_mut(&child) {
                        node.set_parent(None);
                        doomed.push(child);
                    }
                }
            }
        }
    }
}
