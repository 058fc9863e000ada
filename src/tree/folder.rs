//! A folder: what is known of its content, and what of that the state file has not got.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fresh::{Flight, View};
use crate::types::{FileId, Ino};

/// From this many changed entries on, the whole folder is written anew.
const MANY: usize = 1000;

/// A folder and what is known of its content.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// The folder's ID; the root of the bed has the empty one.
    pub(super) id: Option<FileId>,
    pub(super) created: i64,
    pub(super) children: BTreeMap<Arc<str>, Ino>,
    /// Whether the children are all there are.
    pub(super) view: View,
    /// When they were listed, by this mount or another, in seconds since the epoch.
    pub(super) listed_at: i64,
    /// How long that took.
    pub(super) took: Duration,
    /// After a failed refresh the old view serves until then.
    pub(super) excused: Option<Instant>,
    pub(super) flight: Option<Flight>,
    /// Objects this mount removed from here, which a listing may show for a while.
    pub(super) gone: HashMap<FileId, Instant>,
    /// What the state file has not got.
    pub(super) changed: Changed,
}

impl Folder {
    /// Whether all children were known at some time.
    pub(super) fn is_known(&self) -> bool {
        match self.view {
            View::Listed(_) | View::Kept(_) | View::Doubtful => true,
            View::Unknown | View::Unlisted => false,
        }
    }

    /// It is not known what became of the children.
    pub(super) fn doubt(&mut self) {
        self.excused = None;
        self.view = match self.is_known() {
            true => View::Doubtful,
            false => View::Unlisted,
        };
    }

    /// Whether it may be listed for nobody who waits.
    pub(super) fn is_free(&self) -> bool {
        self.flight.is_none() && self.excused.is_none_or(|until| until < Instant::now())
    }
}

/// Entries that changed since they were written into the state file.
#[derive(Debug, Default)]
pub(super) enum Changed {
    /// None.
    #[default]
    Nothing,
    /// Those of these objects.
    Some(HashSet<FileId>),
    /// Any of them.
    All,
}

impl Changed {
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    pub(super) fn note(&mut self, id: &str) {
        match self {
            Self::All => {}
            Self::Nothing => *self = Self::Some(HashSet::from([FileId::new(id)])),
            Self::Some(ids) if ids.len() >= MANY => *self = Self::All,
            Self::Some(ids) => drop(ids.insert(FileId::new(id))),
        }
    }
}
