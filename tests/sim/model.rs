//! The model: what may be in the mount, as far as callers were told, in a few lines.
//!
//! A world is one thing that may be true. What was acknowledged is so in every world; what failed, or
//! was cut off, is so in some.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use crate::program::Op;

/// What has a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Folder,
    /// A file, and the number of the step that made it: it goes along with the file, wherever that goes.
    File(Rc<[u8]>, usize),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("folder"),
            Self::File(bytes, _) => f.write_str(&tell(bytes)),
        }
    }
}

/// Bytes in words: where they are from, how many from each place.
pub(crate) fn tell(bytes: &[u8]) -> String {
    let mut runs: Vec<(String, usize)> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'>').map_or(rest.len(), |end| end + 1);
        let (run, after) = rest.split_at(end);
        let text = String::from_utf8_lossy(run).replace('\0', "0");
        match runs.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => runs.push((text, 1)),
        }
        rest = after;
    }
    let told = runs.iter().take(6).map(|(text, count)| format!("{count}*{text}"));
    format!("{} bytes: {}", bytes.len(), told.collect::<Vec<_>>().join(" "))
}

/// Names and what has them.
pub(crate) type World = BTreeMap<String, Node>;

/// Names that were found, and what files hold.
pub(crate) type Found = BTreeMap<String, Option<Vec<u8>>>;

/// The bytes that a step writes: of no other.
pub(crate) fn bytes(step: usize, len: usize) -> Vec<u8> {
    format!("<{step}>").bytes().cycle().take(len).collect()
}

/// Whether the name stays on this machine.
pub(crate) fn is_local(path: &str) -> bool {
    path.ends_with('~')
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Whether one of two paths is the other, or leads to it.
pub(crate) fn meet(one: &str, two: &str) -> bool {
    let leads =
        |a: &str, b: &str| b.strip_prefix(a).is_some_and(|b| b.is_empty() || b.starts_with('/'));
    leads(one, two) || leads(two, one)
}

/// What a step makes of a world: what it passes through where it is cut off, and in the end. `None`: it
/// would be refused, or nobody would do it.
pub(crate) fn apply(world: &World, step: usize, op: &Op) -> Option<Vec<World>> {
    let has_folder = |path: &str| path.is_empty() || world.get(path) == Some(&Node::Folder);
    let file = |path: &str| match world.get(path) {
        Some(Node::File(bytes, made)) => Some((bytes.clone(), *made)),
        _ => None,
    };
    let is_folder = |path: &str| world.get(path) == Some(&Node::Folder);
    let with = |path: &str, bytes: Vec<u8>, made: usize| {
        let mut world = world.clone();
        world.insert(path.to_owned(), Node::File(bytes.into(), made));
        world
    };
    match op {
        Op::Write { path, len, is_synced } => {
            let made = file(path).map_or(step, |(_, made)| made);
            let is_possible = has_folder(parent(path)) && !is_folder(path);
            let half = is_synced.then(|| with(path, bytes(step, len / 2), made));
            let whole = with(path, bytes(step, *len), made);
            is_possible.then(|| half.into_iter().chain([whole]).collect())
        }
        Op::Copy { from, to } => {
            let made = file(to).map_or(step, |(_, made)| made);
            let (bytes, _) = file(from)?;
            let is_possible = has_folder(parent(to)) && !is_folder(to) && from != to;
            is_possible.then(|| vec![with(to, bytes.to_vec(), made)])
        }
        Op::Patch { path, at, len } => {
            let (old, made) = file(path)?;
            let mut patched = old.to_vec();
            patched.resize(patched.len().max(at + len), 0);
            patched[*at..at + len].copy_from_slice(&bytes(step, *len));
            Some(vec![with(path, patched, made)])
        }
        Op::Cut { path, len } => {
            let (old, made) = file(path)?;
            let mut cut = old.to_vec();
            cut.resize(*len, 0);
            Some(vec![with(path, cut, made)])
        }
        Op::Rename { from, to } => rename(world, from, to).map(|world| vec![world]),
        Op::Remove { path } => {
            file(path)?;
            let mut world = world.clone();
            world.remove(path);
            Some(vec![world])
        }
        Op::MakeFolder { path } => {
            let is_possible = has_folder(parent(path)) && !world.contains_key(path);
            is_possible.then(|| {
                let mut world = world.clone();
                world.insert(path.clone(), Node::Folder);
                vec![world]
            })
        }
        Op::RemoveFolder { path } => {
            let is_empty = world.keys().all(|name| name == path || !meet(path, name));
            (is_folder(path) && is_empty).then(|| {
                let mut world = world.clone();
                world.remove(path);
                vec![world]
            })
        }
        Op::Elsewhere { path, len } => {
            (!world.contains_key(path)).then(|| vec![with(path, bytes(step, *len), step)])
        }
        Op::Read { path } => file(path).map(|_| vec![world.clone()]),
        Op::Wait { .. } | Op::Fill { .. } => Some(vec![world.clone()]),
    }
}

fn rename(world: &World, from: &str, to: &str) -> Option<World> {
    let has_folder = parent(to).is_empty() || world.get(parent(to)) == Some(&Node::Folder);
    let (what, over) = (world.get(from)?, world.get(to));
    let fits = match (what, over) {
        (Node::Folder, over) => over.is_none() && !is_local(to),
        (Node::File(..), over) => over != Some(&Node::Folder),
    };
    if !has_folder || !fits || meet(from, to) {
        return None;
    }
    let moved = |path: &str| match path.strip_prefix(from) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
        _ => path.to_owned(),
    };
    let rest = world.iter().filter(|(path, _)| *path != to);
    Some(rest.map(|(path, node)| (moved(path), node.clone())).collect())
}

/// What may be true.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) worlds: BTreeSet<World>,
    under_way: BTreeMap<usize, Op>,
    /// Folders of which a rename was refused half way: each of their names may be here or there.
    halves: Vec<(String, String)>,
    /// Whether a rename that failed may leave a copy: the service tells no md5, so that nobody knows whose
    /// a file of the new name is.
    leaves_copies: bool,
}

impl Model {
    pub(crate) fn new(world: World, leaves_copies: bool) -> Self {
        let worlds = BTreeSet::from([world]);
        Self { worlds, under_way: BTreeMap::new(), halves: Vec::new(), leaves_copies }
    }

    /// Whether a step can be taken, whatever is true.
    pub(crate) fn allows(&self, step: usize, op: &Op) -> bool {
        self.worlds.iter().all(|world| apply(world, step, op).is_some())
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, step: usize, op: &Op) {
        self.under_way.insert(step, op.clone());
    }

    /// What the step has done so far is acknowledged.
    pub(crate) fn acknowledge(&mut self, step: usize, op: &Op) {
        let after = self.worlds.iter().filter_map(|world| apply(world, step, op));
        self.worlds = after.filter_map(|mut worlds| worlds.pop()).collect();
    }

    /// The step has ended, after what was acknowledged of it.
    pub(crate) fn end(&mut self, step: usize) {
        self.under_way.remove(&step);
    }

    /// The step has failed, and its caller knows.
    pub(crate) fn fail(&mut self, step: usize) {
        if let Some(Op::Rename { from, to }) = self.under_way.get(&step)
            && self.worlds.iter().any(|world| world.get(from) == Some(&Node::Folder))
        {
            self.halves.push((from.clone(), to.clone()));
        }
        let renamed = self.under_way.get(&step).cloned();
        self.come_to_an_end(step);
        if let (Some(Op::Rename { from, to }), true) = (renamed, self.leaves_copies) {
            let copies = self.worlds.iter().filter_map(|world| {
                let node = world.get(&from).filter(|node| **node != Node::Folder)?;
                let mut world = world.clone();
                world.insert(to.clone(), node.clone());
                Some(world)
            });
            let copies: Vec<World> = copies.collect();
            self.worlds.extend(copies);
        }
    }

    /// Everything that is under way is cut off: it is to be done, or not.
    pub(crate) fn cut_off(&mut self) {
        for step in self.under_way.keys().copied().collect::<Vec<_>>() {
            self.come_to_an_end(step);
        }
    }

    /// Nobody knows how far the step came.
    fn come_to_an_end(&mut self, step: usize) {
        if let Some(op) = self.under_way.remove(&step) {
            self.worlds = self.maybe(step, &op);
        }
    }

    fn maybe(&self, step: usize, op: &Op) -> BTreeSet<World> {
        let mut worlds = self.worlds.clone();
        for world in &self.worlds {
            worlds.extend(apply(world, step, op).unwrap_or_default());
            // The name is there before its bytes are.
            if let Op::Write { path, .. } | Op::Copy { to: path, .. } = op
                && !world.contains_key(path)
            {
                let mut empty = world.clone();
                empty.insert(path.clone(), Node::File(Rc::new([]), step));
                worlds.insert(empty);
            }
        }
        worlds
    }

    /// Everything that may be true now, also of what is under way.
    pub(crate) fn now(&self) -> BTreeSet<World> {
        let mut model = self.clone();
        model.cut_off();
        model.worlds
    }

    /// What was found is the truth, where `is_meant` says which names are meant. `None` if it cannot be.
    /// Bytes alone tell files apart.
    pub(crate) fn find(&mut self, found: &Found, is_meant: fn(&str, &Node) -> bool) -> Option<()> {
        let found = self.placed(found.iter().map(|(path, bytes)| (path, bytes.as_deref())))?;
        let is_it = |world: &&World| {
            let meant = world.iter().filter(|(path, node)| is_meant(path, node));
            let nodes = meant.map(|(path, node)| match node {
                Node::Folder => (path, None),
                Node::File(bytes, _) => (path, Some(&**bytes)),
            });
            self.placed(nodes).is_some_and(|placed| placed == found)
        };
        let worlds: BTreeSet<World> = self.worlds.iter().filter(is_it).cloned().collect();
        (!worlds.is_empty()).then(|| self.worlds = worlds)
    }

    /// Names and bytes, those of halves in one place. `None`: two have one name.
    fn placed<'a>(
        &self, all: impl Iterator<Item = (&'a String, Option<&'a [u8]>)>,
    ) -> Option<BTreeMap<String, Option<&'a [u8]>>> {
        let mut placed = BTreeMap::new();
        for (path, bytes) in all {
            let mut halves = self.halves.iter().filter_map(|(from, to)| {
                let rest = path.strip_prefix(&**to)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| format!("{from}{rest}"))
            });
            let place = halves.next_back().unwrap_or_else(|| path.clone());
            let before = placed.insert(place, bytes);
            if before.is_some_and(|before| before.is_some() || bytes.is_some()) {
                return None;
            }
        }
        Some(placed)
    }
}
