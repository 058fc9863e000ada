//! [`Bed`]: the image bed itself, with its past and with the bytes it has seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::content::{Content, Slice};
use crate::digest;
use crate::journal::Journal;
use crate::node::{FileData, Id, Node, PASSED, ROOT_NAME};
use crate::store::Store;
use crate::tree::Tree;

/// How many bytes of deleted content are remembered for instant upload.
const REMEMBERED: u64 = 1 << 30;

/// The image bed: a tree, what it was a while ago, and the content that instant upload knows.
#[derive(Debug)]
pub(crate) struct Bed {
    tree: Arc<Tree>,
    /// Trees that were replaced, each with the moment of that; kept for `lag` only.
    past: VecDeque<(Instant, Arc<Tree>)>,
    /// How far back [`Bed::view`] looks.
    pub(crate) lag: Duration,
    known: Known,
    store: Store,
    journal: Option<Journal>,
    next_number: u64,
}

impl Bed {
    /// The bed that a data folder keeps, or a new one.
    pub(crate) fn open(data: Option<&Path>) -> io::Result<Bed> {
        let Some(data) = data else {
            return Ok(Bed::new(Tree::new(new_root()), Store::Memory, None));
        };
        let slices = data.join("slices");
        fs::create_dir_all(&slices)?;
        let tree = Journal::load(data, &slices)?.unwrap_or_else(|| Tree::new(new_root()));
        let store = Store::Folder(slices);
        let used: HashSet<&Path> = tree.nodes().flat_map(slice_files).collect();
        store.sweep(|path| used.contains(path))?;
        let journal = Journal::start(data, &tree)?;
        Ok(Bed::new(tree, store, Some(journal)))
    }

    fn new(tree: Tree, store: Store, journal: Option<Journal>) -> Bed {
        let next_number = tree.nodes().map(|node| node.number + 1).max().unwrap_or(0);
        let mut known = Known::default();
        // Where there is no journal there are no files yet, and so none without an md5.
        for file in tree.nodes().filter_map(|node| node.file.as_ref()) {
            known.add(file);
        }
        let (past, lag) = (VecDeque::new(), Duration::ZERO);
        Bed { tree: Arc::new(tree), past, lag, known, store, journal, next_number }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The tree as listings show it: as it was `lag` ago.
    pub(crate) fn view(&self) -> &Tree {
        let seen = Instant::now().checked_sub(self.lag);
        let then = self.past.iter().find(|(until, _)| seen.is_none_or(|seen| *until > seen));
        then.map_or(&self.tree, |(_, tree)| tree)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn add_folder(&mut self, parent: &Id, name: &str) -> io::Result<Id> {
        self.add(parent, name, None)
    }

    pub(crate) fn add_file(&mut self, parent: &Id, name: &str, file: FileData) -> io::Result<Id> {
        self.add(parent, name, Some(file))
    }

    fn add(&mut self, parent: &Id, name: &str, file: Option<FileData>) -> io::Result<Id> {
        let number = self.next_number;
        self.next_number += 1;
        let now: Arc<str> = clock::stamp().into();
        if let Some(file) = &file {
            self.known.add(file);
        }
        let node = Node {
            id: digest::file_id().into(),
            parent: Some(Arc::clone(parent)),
            name: name.into(),
            number,
            status: if file.is_some() { PASSED } else { 0 },
            created: Arc::clone(&now),
            updated: now,
            file,
        };
        let id = Arc::clone(&node.id);
        self.put(node)?;
        Ok(id)
    }

    /// Changes a node; its ID stays. False when there is none.
    pub(crate) fn modify(&mut self, id: &str, change: impl FnOnce(&mut Node)) -> io::Result<bool> {
        let Some(mut node) = self.tree.get(id).cloned() else {
            return Ok(false);
        };
        change(&mut node);
        self.put(node)?;
        Ok(true)
    }

    /// Removes a node with all below it. False when there is none.
    pub(crate) fn remove(&mut self, id: &str) -> io::Result<bool> {
        let Some(node) = self.tree.get(id) else {
            return Ok(false);
        };
        let files: Vec<FileData> =
            subtree(&self.tree, node).filter_map(|node| node.file.clone()).collect();
        if let Some(journal) = &mut self.journal {
            journal.gone(id)?;
        }
        self.edit().remove(id);
        for file in files {
            self.known.deleted(&file);
        }
        Ok(true)
    }

    /// Keeps on disk what is not part of the tree's shape: the traffic of a file.
    pub(crate) fn save(&mut self, id: &str) -> io::Result<()> {
        match (&mut self.journal, self.tree.get(id)) {
            (Some(journal), Some(node)) => journal.put(node),
            _ => Ok(()),
        }
    }

    /// Content with that md5 and size that was seen; only where a file still has it, unless
    /// `deleted` content counts too.
    pub(crate) fn known(&self, md5: &str, size: u64, deleted: bool) -> Option<Content> {
        let content = self.known.get(md5, size)?;
        let has = |file: &FileData| file.size == size && file.known_md5() == Some(md5);
        let live = || self.tree.nodes().filter_map(|node| node.file.as_ref()).any(has);
        (deleted || live()).then(|| content.clone())
    }

    fn put(&mut self, node: Node) -> io::Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.put(&node)?;
        }
        self.edit().put(node);
        Ok(())
    }

    /// The tree, to be changed; the past keeps what it was, if anybody looks back.
    fn edit(&mut self) -> &mut Tree {
        let now = Instant::now();
        if self.lag > Duration::ZERO {
            self.past.push_back((now, Arc::clone(&self.tree)));
        }
        let lag = self.lag;
        while self.past.front().is_some_and(|(until, _)| now.duration_since(*until) > lag) {
            self.past.pop_front();
        }
        Arc::make_mut(&mut self.tree)
    }
}

fn new_root() -> Node {
    let now: Arc<str> = clock::stamp().into();
    Node {
        id: digest::file_id().into(),
        parent: None,
        name: ROOT_NAME.into(),
        number: 0,
        status: 0,
        created: Arc::clone(&now),
        updated: now,
        file: None,
    }
}

/// A node and all below it.
pub(crate) fn subtree<'a>(
    tree: &'a Tree, node: &'a Node,
) -> Box<dyn Iterator<Item = &'a Node> + 'a> {
    let below = tree.children(&node.id).flat_map(move |child| subtree(tree, child));
    Box::new(std::iter::once(node).chain(below))
}

fn slice_files(node: &Node) -> impl Iterator<Item = &Path> {
    let slices = node.file.iter().flat_map(|file| file.content.slices());
    slices.filter_map(|slice| match slice {
        Slice::File { path, .. } => Some(path.as_path()),
        _ => None,
    })
}

/// The content that instant upload knows, by md5 and size.
#[derive(Debug, Default)]
struct Known {
    content: HashMap<(String, u64), Content>,
    /// What was deleted, the oldest first.
    deleted: VecDeque<(String, u64)>,
    /// Bytes of what was deleted.
    deleted_bytes: u64,
}

impl Known {
    /// Learns of a file. One whose md5 nobody has asked for stays unknown.
    fn add(&mut self, file: &FileData) {
        if let Some(md5) = file.known_md5() {
            self.content.insert((md5.to_owned(), file.size), file.content.clone());
        }
    }

    fn get(&self, md5: &str, size: u64) -> Option<&Content> {
        self.content.get(&(md5.to_owned(), size))
    }

    /// Learns that a file was deleted, and forgets what was deleted longest ago when that is too much.
    fn deleted(&mut self, file: &FileData) {
        let Some(md5) = file.known_md5() else { return };
        self.deleted.push_back((md5.to_owned(), file.size));
        self.deleted_bytes += file.size;
        while self.deleted_bytes > REMEMBERED
            && let Some(key) = self.deleted.pop_front()
        {
            self.deleted_bytes -= key.1;
            self.content.remove(&key);
        }
    }
}
