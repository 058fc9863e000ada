//! A carried table: all inodes on their way to the program that takes this one's place. The kernel goes
//! on using their numbers, and gives its counts of them back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Kind, Node, Table};
use crate::tree::folder::{Changed, Folder};
use crate::tree::fresh::View;
use crate::types::{Attributes, Entry, FileId, Ino};

/// All inodes. Times are told as ages, since the clock of one program is not that of another.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    next: u64,
    nodes: Vec<CarriedNode>,
    /// The ID that the service gives the root in the rows of its children.
    pub(in crate::tree) real_root: Option<FileId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedNode {
    ino: Ino,
    parent: Option<Ino>,
    name: String,
    lookups: u64,
    is_staged: bool,
    is_local: bool,
    since: Option<Duration>,
    attributes: Option<Attributes>,
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    File(Option<Entry>),
    Folder(CarriedFolder),
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedFolder {
    id: Option<FileId>,
    created: i64,
    view: CarriedView,
    listed_at: i64,
    took: Duration,
    /// For how long yet the old view serves.
    excused: Option<Duration>,
    gone: Vec<(FileId, Duration)>,
    /// Whether the state file has not got all of it.
    is_unsaved: bool,
    looked: Option<Duration>,
}

#[derive(Debug, Serialize, Deserialize)]
enum CarriedView {
    Unknown,
    Expired,
    /// How long it is to be believed yet.
    Kept(Duration),
    /// How long ago.
    Listed(Duration),
}

impl Carried {
    /// The folder that the mount shows as its root.
    pub fn root(&self) -> Option<FileId> {
        let root = self.nodes.iter().find(|node| node.ino == Ino::ROOT)?;
        match &root.what {
            What::Folder(folder) => folder.id.clone(),
            What::File(_) => None,
        }
    }

    /// The files that the kernel knows.
    pub fn files(&self) -> impl Iterator<Item = Ino> {
        let files = self.nodes.iter().filter(|node| matches!(node.what, What::File(_)));
        files.filter(|node| node.lookups > 0).map(|node| node.ino)
    }
}

impl Table {
    /// All of it, as it is now. What is held is not told: who holds it has to hold it again.
    pub(in crate::tree) fn carry(&self, real_root: Option<FileId>) -> Carried {
        let nodes = self.nodes.iter().map(|(ino, node)| self.carry_node(*ino, node)).collect();
        Carried { next: self.next, nodes, real_root }
    }

    fn carry_node(&self, ino: Ino, node: &Node) -> CarriedNode {
        let what = match &node.kind {
            Kind::File(_) => What::File(self.entry(ino)),
            Kind::Folder(folder) => What::Folder(self.carry_folder(ino, folder)),
        };
        CarriedNode {
            ino,
            parent: node.parent(),
            name: node.name.to_string(),
            lookups: node.lookups,
            is_staged: node.staged(),
            is_local: node.local(),
            since: node.since().map(|since| since.elapsed()),
            attributes: node.rare().and_then(|rare| rare.attributes.clone()),
            what,
        }
    }

    fn carry_folder(&self, ino: Ino, folder: &Folder) -> CarriedFolder {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        CarriedFolder {
            id: folder.id.clone(),
            created: folder.created,
            view: match folder.view {
                View::Unknown => CarriedView::Unknown,
                View::Expired => CarriedView::Expired,
                View::Kept(due) => CarriedView::Kept(left(due)),
                View::Listed(at) => CarriedView::Listed(at.elapsed()),
            },
            listed_at: folder.listed_at,
            took: folder.took,
            excused: folder.excused.map(left),
            gone: folder.gone.iter().map(|(id, at)| (id.clone(), at.elapsed())).collect(),
            is_unsaved: !folder.changed.is_nothing() || self.unsaved.contains(&ino),
            looked: self.looks.get(&ino).map(Instant::elapsed),
        }
    }

    /// The table that was carried.
    pub(in crate::tree) fn resume(carried: Carried) -> Self {
        // The root is among the nodes.
        let mut table = Self::new(FileId::root());
        let mut unsaved = Vec::new();
        for node in &carried.nodes {
            if let What::Folder(CarriedFolder { is_unsaved: true, .. }) = node.what {
                unsaved.push(node.ino);
            }
        }
        table.unindex(Ino::ROOT);
        let places: Vec<Ino> = carried.nodes.iter().map(|node| node.ino).collect();
        carried.nodes.into_iter().for_each(|node| table.put(node));
        for ino in &places {
            table.name_again(*ino);
        }
        // After all have their names: what is found by its ID is found in its folder.
        places.iter().for_each(|ino| table.index(*ino));
        // Nothing of that was a change.
        table.unsaved.clear();
        table.folders_mut().for_each(|folder| folder.changed = Changed::Nothing);
        for ino in unsaved {
            if let Ok(folder) = table.folder_mut(ino) {
                folder.changed = Changed::All;
                table.unsaved.insert(ino);
            }
        }
        table.next = carried.next;
        table
    }

    /// Puts a node in, which no folder names yet.
    fn put(&mut self, carried: CarriedNode) {
        let CarriedNode { ino, parent, name, lookups, is_staged, is_local, .. } = carried;
        let kind = match carried.what {
            What::File(entry) => {
                Kind::File(entry.map(|entry| self.shapes.pack(&entry, &name)).unwrap_or_default())
            }
            What::Folder(folder) => {
                if let Some(looked) = folder.looked {
                    self.looks.insert(ino, ago(looked));
                }
                Kind::Folder(Box::new(folder.resume()))
            }
        };
        let mut node = Node { parent: None, name: name.into(), lookups, rare: None, kind };
        node.set_parent(parent);
        let is_rare = is_staged || is_local;
        if is_rare || carried.since.is_some() || carried.attributes.is_some() {
            let rare = node.rare_mut();
            (rare.staged, rare.local) = (is_staged, is_local);
            (rare.since, rare.attributes) = (carried.since.map(ago), carried.attributes);
        }
        self.nodes.insert(ino, node);
    }

    /// Has its folder name it.
    fn name_again(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get(&ino) else { return };
        let name = node.name.clone();
        if let Some(folder) = node.parent().and_then(|parent| self.folder_mut(parent).ok()) {
            folder.children.insert(name, ino);
        }
    }
}

impl CarriedFolder {
    fn resume(self) -> Folder {
        let gone: HashMap<_, _> = self.gone.into_iter().map(|(id, age)| (id, ago(age))).collect();
        Folder {
            id: self.id,
            created: self.created,
            view: match self.view {
                CarriedView::Unknown => View::Unknown,
                CarriedView::Expired => View::Expired,
                CarriedView::Kept(left) => View::Kept(Instant::now() + left),
                CarriedView::Listed(age) => View::Listed(ago(age)),
            },
            listed_at: self.listed_at,
            took: self.took,
            excused: self.excused.map(|left| Instant::now() + left),
            gone,
            ..Folder::default()
        }
    }
}

/// A moment of before; the clock may not reach so far back.
fn ago(age: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carried_table_is_what_it_was() {
        let mut table = Table::new(FileId::new("root"));
        let folder = table.add_folder(Some(Ino::ROOT), "f".into(), FileId::new("F"), 7);
        let file = table.add_file(folder, "a.jpg".into());
        let orphan = table.add_file(folder, "b.jpg".into());
        table.get_mut(orphan).expect("there").lookups = 2;
        table.orphan(orphan);
        table.folder_mut(folder).expect("a folder").view = View::Listed(Instant::now());
        table.unsaved.clear();
        let bytes = postcard::to_allocvec(&table.carry(None)).expect("written");
        let carried: Carried = postcard::from_bytes(&bytes).expect("read");
        assert_eq!(carried.root(), Some(FileId::new("root")));
        assert_eq!(carried.files().collect::<Vec<_>>(), [orphan]);
        let mut again = Table::resume(carried);
        assert_eq!(again.inodes(), 4);
        assert_eq!(again.find_folder(&FileId::new("F")), Some(folder));
        assert_eq!(again.find_folder(&FileId::new("root")), Some(Ino::ROOT));
        let known = again.folder(folder).expect("a folder");
        assert_eq!(known.children.values().copied().collect::<Vec<_>>(), [file]);
        assert!(matches!(known.view, View::Listed(_)));
        assert_eq!(again.get(orphan).expect("there").lookups, 2);
        assert_eq!(again.add_file(folder, "c.jpg".into()), Ino(orphan.0 + 1));
        again.get_mut(orphan).expect("there").lookups = 0;
        again.collect(orphan);
        assert!(again.get(orphan).is_err());
    }
}
