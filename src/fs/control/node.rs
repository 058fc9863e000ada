//! A node of the control folder: one folder or file of it, which has a number for good.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;

/// What an inode of the control folder is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::fs) enum Node {
    Root,
    Traffic,
    OfflineLogs,
    OfflineDay(Date),
    Shares,
    TrafficTable(Date),
    TrafficLines(Date),
    /// By its ID.
    OfflineLog(String),
    ShareTable,
    ShareLines,
    Account,
    Links,
    Moved,
    Pending,
    Status,
    Metrics,
}

impl Node {
    pub(super) fn is_folder(&self) -> bool {
        matches!(
            self,
            Self::Root | Self::Traffic | Self::OfflineLogs | Self::OfflineDay(_) | Self::Shares
        )
    }

    pub(super) fn is_of_offline_logs(&self) -> bool {
        matches!(self, Self::OfflineLogs | Self::OfflineDay(_))
    }

    /// Whether its content may be much.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Self::TrafficTable(_) | Self::TrafficLines(_) | Self::Links)
    }

    /// What lies in the root, by name.
    pub(super) const ROOT: [(&str, Self); 9] = [
        ("traffic", Self::Traffic),
        ("offline-logs", Self::OfflineLogs),
        ("shares", Self::Shares),
        ("account.json", Self::Account),
        ("links.csv", Self::Links),
        ("moved.csv", Self::Moved),
        ("pending.json", Self::Pending),
        ("status.json", Self::Status),
        ("metrics", Self::Metrics),
    ];
}

/// All nodes that were ever named; there are a few a day of the archive. The root has the number 0.
pub(super) struct Nodes(Mutex<Known>);

#[derive(Default)]
struct Known {
    nodes: Vec<Node>,
    numbers: HashMap<Node, usize>,
}

impl Default for Nodes {
    fn default() -> Self {
        let nodes = Self(Mutex::default());
        nodes.number(&Node::Root);
        nodes
    }
}

impl Nodes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, number: usize) -> Option<Node> {
        self.known().nodes.get(number).cloned()
    }

    /// The number of a node, which gets one if need be.
    pub(super) fn number(&self, node: &Node) -> usize {
        let mut known = self.known();
        if let Some(number) = known.numbers.get(node) {
            return *number;
        }
        let number = known.nodes.len();
        known.nodes.push(node.clone());
        known.numbers.insert(node.clone(), number);
        number
    }
}
