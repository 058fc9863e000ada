//! [`Journal`]: the changes of a bed that is kept on disk, one JSON line each.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::content::{Content, Slice};
use crate::node::{FileData, Node};
use crate::tree::Tree;

const FILE: &str = "bed.jsonl";

/// An open file of changes. It survives the end of the process, not of the machine: it is never synced.
#[derive(Debug)]
pub(crate) struct Journal(File);

/// A change of the tree.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Put(Box<SavedNode>),
    Gone(String),
}

#[derive(Serialize, Deserialize)]
struct SavedNode {
    id: String,
    parent: Option<String>,
    name: String,
    number: u64,
    status: i64,
    created: String,
    updated: String,
    file: Option<SavedFile>,
}

#[derive(Serialize, Deserialize)]
struct SavedFile {
    md5: String,
    size: u64,
    traffic: u64,
    slices: Vec<SavedSlice>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedSlice {
    Generated { seed: u64, len: u64 },
    File { name: String, len: u64 },
}

impl Journal {
    /// Reads the tree that a data folder keeps; None when it keeps none.
    pub(crate) fn load(data: &Path, slices: &Path) -> io::Result<Option<Tree>> {
        let file = match File::open(data.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut tree: Option<Tree> = None;
        for line in BufReader::new(file).lines() {
            // A line that was cut off by the end of the process was never answered for.
            let Ok(change) = serde_json::from_str(&line?) else {
                continue;
            };
            match (change, &mut tree) {
                (Change::Put(node), None) => tree = Some(Tree::new(node.restore(slices))),
                (Change::Put(node), Some(tree)) => tree.put(node.restore(slices)),
                (Change::Gone(id), Some(tree)) => drop(tree.remove(&id)),
                (Change::Gone(_), None) => {}
            }
        }
        Ok(tree)
    }

    /// Writes the journal anew, with nothing but what the tree holds.
    pub(crate) fn start(data: &Path, tree: &Tree) -> io::Result<Journal> {
        let fresh = data.join(format!("{FILE}.new"));
        let mut journal = Journal(File::create(&fresh)?);
        let mut folders = vec![tree.root().as_ref()];
        tree.get(tree.root()).map_or(Ok(()), |root| journal.put(root))?;
        while let Some(folder) = folders.pop() {
            for child in tree.children(folder) {
                journal.put(child)?;
                folders.push(&child.id);
            }
        }
        fs::rename(fresh, data.join(FILE))?;
        Ok(journal)
    }

    /// Notes that a node was added or changed.
    pub(crate) fn put(&mut self, node: &Node) -> io::Result<()> {
        self.write(&Change::Put(Box::new(SavedNode::of(node)?)))
    }

    /// Notes that a node is gone, with all below it.
    pub(crate) fn gone(&mut self, id: &str) -> io::Result<()> {
        self.write(&Change::Gone(id.to_owned()))
    }

    fn write(&mut self, change: &Change) -> io::Result<()> {
        let mut line = serde_json::to_vec(change)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}

impl SavedNode {
    fn of(node: &Node) -> io::Result<SavedNode> {
        Ok(SavedNode {
            id: node.id.as_ref().to_owned(),
            parent: node.parent.as_deref().map(str::to_owned),
            name: node.name.as_ref().to_owned(),
            number: node.number,
            status: node.status,
            created: node.created.as_ref().to_owned(),
            updated: node.updated.as_ref().to_owned(),
            file: node.file.as_ref().map(SavedFile::of).transpose()?,
        })
    }

    fn restore(self, slices: &Path) -> Node {
        Node {
            id: self.id.into(),
            parent: self.parent.map(Arc::from),
            name: self.name.into(),
            number: self.number,
            status: self.status,
            created: self.created.into(),
            updated: self.updated.into(),
            file: self.file.map(|file| file.restore(slices)),
        }
    }
}

impl SavedFile {
    fn of(file: &FileData) -> io::Result<SavedFile> {
        Ok(SavedFile {
            md5: file.md5()?.to_owned(),
            size: file.size,
            traffic: file.traffic(),
            slices: file.content.slices().iter().map(SavedSlice::of).collect::<io::Result<_>>()?,
        })
    }

    fn restore(self, folder: &Path) -> FileData {
        let slices = self.slices.into_iter().map(|slice| slice.restore(folder)).collect();
        let mut file = FileData::with_md5(Content::new(slices), &self.md5);
        file.size = self.size;
        file.traffic.store(self.traffic, Ordering::Relaxed);
        file
    }
}

impl SavedSlice {
    fn of(slice: &Slice) -> io::Result<SavedSlice> {
        match slice {
            Slice::Generated { seed, len } => Ok(SavedSlice::Generated { seed: *seed, len: *len }),
            Slice::File { path, len } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok(SavedSlice::File { name, len: *len })
            }
            Slice::Memory(_) => Err(io::Error::other("a bed on disk holds bytes in memory")),
        }
    }

    fn restore(self, folder: &Path) -> Slice {
        match self {
            SavedSlice::Generated { seed, len } => Slice::Generated { seed, len },
            SavedSlice::File { name, len } => {
                Slice::File { path: PathBuf::from(folder).join(name), len }
            }
        }
    }
}
