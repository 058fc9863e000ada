//! The index: inodes by what the service knows them by, the ID and the sum of the bytes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::node::Node;
use crate::types::{Ino, Md5};

/// What an inode is looked up in.
type Nodes = HashMap<Ino, Node>;

/// It holds numbers alone: what they are looked up by is read from the nodes.
#[derive(Debug, Default)]
pub(super) struct Index {
    ids: HashTable<Ino>,
    /// Those whose bytes are known by their sum and size.
    sums: HashTable<Ino>,
    hasher: RandomState,
}

impl Index {
    /// Has the inode be found; to be undone before what it is found by changes.
    pub(super) fn insert(&mut self, nodes: &Nodes, ino: Ino) {
        let Some(node) = nodes.get(&ino) else { return };
        let Self { ids, sums, hasher } = self;
        let id = |ino: &Ino| hasher.hash_one(nodes.get(ino).and_then(Node::id));
        if node.id().is_some() {
            ids.insert_unique(id(&ino), ino, id);
        }
        let sum = |ino: &Ino| hasher.hash_one(nodes.get(ino).and_then(Node::sum));
        if node.sum().is_some() {
            sums.insert_unique(sum(&ino), ino, sum);
        }
    }

    /// Has the inode be found no more.
    pub(super) fn remove(&mut self, nodes: &Nodes, ino: Ino) {
        let Some(node) = nodes.get(&ino) else { return };
        let (id, sum) = (self.hasher.hash_one(node.id()), self.hasher.hash_one(node.sum()));
        for (hash, inodes) in [(id, &mut self.ids), (sum, &mut self.sums)] {
            if let Ok(found) = inodes.find_entry(hash, |other| *other == ino) {
                found.remove();
            }
        }
    }

    /// An inode of this ID that is the one meant.
    pub(super) fn find(
        &self, nodes: &Nodes, id: &str, is_it: impl Fn(&Node) -> bool,
    ) -> Option<Ino> {
        let is_meant =
            |ino: &Ino| nodes.get(ino).is_some_and(|node| node.id() == Some(id) && is_it(node));
        self.ids.find(self.hasher.hash_one(Some(id)), is_meant).copied()
    }

    /// The inodes whose bytes have this sum and size, with their nodes.
    pub(super) fn alike<'a>(
        &'a self, nodes: &'a Nodes, md5: Md5, size: u64,
    ) -> impl Iterator<Item = (Ino, &'a Node)> {
        let sum = Some((*md5.bytes(), size));
        let found = self.sums.iter_hash(self.hasher.hash_one(sum));
        let found = found.filter_map(|ino| Some((*ino, nodes.get(ino)?)));
        found.filter(move |(_, node)| node.sum() == sum)
    }
}
