//! [`Tree`]: the folders and files of the bed, and the orders in which a folder can be listed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use crate::answers::ListOrder;
use crate::node::{Id, Node};

/// The place of a row in every order of a listing. It outlives the row, so that a listing whose
/// cursor was deleted meanwhile goes on where it was.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    id: Id,
    name: Arc<str>,
    number: u64,
}

impl Place {
    fn of(node: &Node) -> Place {
        Place { id: Arc::clone(&node.id), name: Arc::clone(&node.name), number: node.number }
    }
}

/// Every file and folder. Invariant: a node is in the three orders of its parent, and of no other
/// folder; every folder has an entry in `folders`.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: HashMap<Id, Node>,
    folders: HashMap<Id, Folder>,
    gone: HashMap<Id, Place>,
    root: Id,
    /// Bytes of all files.
    used: u64,
}

/// What a folder holds, in three orders.
#[derive(Clone, Debug, Default)]
struct Folder {
    by_number: BTreeMap<u64, Id>,
    by_name: BTreeMap<(Arc<str>, u64), Id>,
    by_id: BTreeSet<Id>,
}

impl Tree {
    /// A tree of nothing but its root.
    pub(crate) fn new(root: Node) -> Tree {
        let id = Arc::clone(&root.id);
        Tree {
            nodes: HashMap::from([(Arc::clone(&id), root)]),
            folders: HashMap::from([(Arc::clone(&id), Folder::default())]),
            gone: HashMap::new(),
            root: id,
            used: 0,
        }
    }

    pub(crate) fn root(&self) -> &Id {
        &self.root
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Files and folders, the root not among them.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// The folder with that ID; the empty string is the root's too.
    pub(crate) fn folder(&self, id: &str) -> Option<&Node> {
        let id = if id.is_empty() { &self.root } else { id };
        self.nodes.get(id).filter(|node| node.is_folder())
    }

    /// What a folder holds under a name; the oldest when there are several.
    pub(crate) fn child(&self, folder: &str, name: &str) -> Option<&Node> {
        let held = &self.folders.get(folder)?.by_name;
        let (key, id) = held.range((Arc::from(name), 0)..).next()?;
        if *key.0 == *name { self.nodes.get(id) } else { None }
    }

    /// What a folder holds, by name.
    pub(crate) fn children(&self, folder: &str) -> impl Iterator<Item = &Node> {
        let held = self.folders.get(folder).into_iter();
        held.flat_map(|folder| folder.by_name.values()).filter_map(|id| self.nodes.get(id))
    }

    /// The node at a path of names with `/` between them; the empty path is the root.
    pub(crate) fn resolve(&self, path: &str) -> Option<&Node> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.fold(self.nodes.get(&self.root), |node, name| self.child(&node?.id, name))
    }

    /// The path of a node, with `/` between names; the root's is empty.
    pub(crate) fn path(&self, id: &str) -> String {
        let mut names = Vec::new();
        let mut at = self.nodes.get(id);
        while let Some(Node { parent: Some(parent), name, .. }) = at {
            names.push(name.as_ref());
            at = self.nodes.get(parent);
        }
        names.reverse();
        names.join("/")
    }

    /// Whether `id` is `folder` or lies anywhere below it.
    pub(crate) fn is_within(&self, id: &str, folder: &str) -> bool {
        let mut at = self.nodes.get(id);
        while let Some(node) = at {
            if *node.id == *folder {
                return true;
            }
            at = node.parent.as_ref().and_then(|parent| self.nodes.get(parent));
        }
        false
    }

    /// The place of a row that is, or was, in a listing.
    pub(crate) fn place(&self, id: &str) -> Option<Place> {
        self.nodes.get(id).map(Place::of).or_else(|| self.gone.get(id).cloned())
    }

    /// What a folder holds, in some order, from a place on, which is included.
    pub(crate) fn listing(
        &self, folder: &str, order: ListOrder, from: Option<Place>,
    ) -> Box<dyn Iterator<Item = &Node> + '_> {
        let Some(held) = self.folders.get(folder) else {
            return Box::new(std::iter::empty());
        };
        let number = from.as_ref().map(|place| place.number);
        let ids: Box<dyn Iterator<Item = &Id>> = match order {
            ListOrder::ById => {
                let start = from.map_or(Unbounded, |place| Included(place.id));
                Box::new(held.by_id.range((start, Unbounded)))
            }
            ListOrder::NewestFirst => {
                let start = number.map_or(Unbounded, Included);
                Box::new(held.by_number.range((Unbounded, start)).rev().map(|(_, id)| id))
            }
            ListOrder::OldestFirst => {
                let start = number.map_or(Unbounded, Included);
                Box::new(held.by_number.range((start, Unbounded)).map(|(_, id)| id))
            }
            ListOrder::ByName => {
                let start = from.map_or(Unbounded, |place| Included((place.name, place.number)));
                Box::new(held.by_name.range((start, Unbounded)).map(|(_, id)| id))
            }
        };
        Box::new(ids.filter_map(|id| self.nodes.get(id)))
    }

    /// Adds a node, or puts one with another parent, status, time or content in its place. Its
    /// parent must be there.
    pub(crate) fn put(&mut self, node: Node) {
        self.detach(&node.id);
        if let Some(parent) = &node.parent {
            let held = self.folders.entry(Arc::clone(parent)).or_default();
            held.by_number.insert(node.number, Arc::clone(&node.id));
            held.by_name.insert((Arc::clone(&node.name), node.number), Arc::clone(&node.id));
            held.by_id.insert(Arc::clone(&node.id));
        }
        if node.is_folder() {
            self.folders.entry(Arc::clone(&node.id)).or_default();
        }
        self.used += node.size();
        self.nodes.insert(Arc::clone(&node.id), node);
    }

    /// Removes a node and all below it, and gives their IDs, the deepest first.
    pub(crate) fn remove(&mut self, id: &str) -> Vec<Id> {
        let below: Vec<Id> = self.children(id).map(|child| Arc::clone(&child.id)).collect();
        let mut removed: Vec<Id> = below.iter().flat_map(|child| self.remove(child)).collect();
        if let Some(node) = self.detach(id) {
            self.folders.remove(id);
            self.gone.insert(Arc::clone(&node.id), Place::of(&node));
            removed.push(node.id);
        }
        removed
    }

    /// Takes a node out of its parent and out of the tree, with what it holds left where it is.
    fn detach(&mut self, id: &str) -> Option<Node> {
        let node = self.nodes.remove(id)?;
        self.used -= node.size();
        if let Some(held) = node.parent.as_ref().and_then(|parent| self.folders.get_mut(parent)) {
            held.by_number.remove(&node.number);
            held.by_name.remove(&(Arc::clone(&node.name), node.number));
            held.by_id.remove(&node.id);
        }
        Some(node)
    }
}
