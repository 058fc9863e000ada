//! Listings under way: how far each is, for who wonders what takes so long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Tree;
use crate::types::Ino;

/// How often the log is told how far a listing is.
const TELL: Duration = Duration::from_secs(15);

/// How long a listing takes that nobody need know of.
const SHORT: Duration = Duration::from_secs(2);

/// The listings under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<Ino, Far>>);

#[derive(Debug)]
struct Far {
    began: Instant,
    told: Instant,
    entries: usize,
}

impl UnderWay {
    fn all(&self) -> MutexGuard<'_, HashMap<Ino, Far>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listing, until it is dropped.
pub(super) struct Progress<'a> {
    tree: &'a Tree,
    ino: Ino,
}

impl Progress<'_> {
    /// So many entries more have come.
    pub(super) fn came(&self, entries: usize) {
        let so_far = {
            let mut all = self.tree.under_way.all();
            let Some(far) = all.get_mut(&self.ino) else { return };
            far.entries += entries;
            if far.told.elapsed() < TELL {
                return;
            }
            far.told = Instant::now();
            far.entries
        };
        tracing::info!("listing {:?}: {so_far} entries so far", self.tree.path(self.ino));
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.tree.under_way.all().remove(&self.ino);
    }
}

impl Tree {
    /// The path from the mount's root, for messages.
    pub fn path(&self, ino: Ino) -> String {
        let table = self.table();
        let mut names = Vec::new();
        let mut at = Some(ino);
        while let Some(node) = at.and_then(|ino| table.get(ino).ok()) {
            names.push(node.name.clone());
            at = node.parent();
        }
        names.reverse();
        names.iter().map(|name| &**name).collect::<Vec<_>>().join("/")
    }

    /// A listing begins.
    pub(super) fn progress(&self, ino: Ino) -> Progress<'_> {
        let now = Instant::now();
        self.under_way.all().insert(ino, Far { began: now, told: now, entries: 0 });
        Progress { tree: self, ino }
    }

    /// The listings that take their time: the folder's path, and the entries that have come so far.
    pub fn listings(&self) -> Vec<(String, usize)> {
        let all = self.under_way.all();
        let long = all.iter().filter(|(_, far)| far.began.elapsed() >= SHORT);
        let long: Vec<_> = long.map(|(ino, far)| (*ino, far.entries)).collect();
        drop(all);
        let path = |ino| Some(self.path(ino)).filter(|path| !path.is_empty());
        let shown = |(ino, entries)| (path(ino).unwrap_or_else(|| "/".into()), entries);
        long.into_iter().map(shown).collect()
    }
}
