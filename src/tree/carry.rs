//! Carrying: the tree goes to the program that takes this one's place, and is gone on with there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Tree;
use super::fresh::BEHIND;
use super::kept::Kept;
use super::news::Listener;
use super::table::{Carried, Table};
use crate::api::Client;
use crate::state::State;
use crate::types::FileId;

impl Tree {
    /// A tree of what is known already.
    pub(super) fn over(
        client: Client, state: Arc<State>, table: Table, kept: Kept, ttl: Duration,
    ) -> Arc<Self> {
        let (behind, listener) = (Semaphore::new(BEHIND), Listener::default());
        let (table, real_root) = (Mutex::new(table), Mutex::new(None));
        Arc::new(Self { client, state, ttl, table, kept, behind, listener, real_root })
    }

    /// All that is known, as it is now.
    pub fn carry(&self) -> Carried {
        let real_root = self.real_root();
        self.table().carry(real_root)
    }

    /// The tree that was carried. What was under way in it begins anew.
    pub fn resume(
        client: Client, state: Arc<State>, mut carried: Carried, ttl: Duration,
    ) -> Arc<Self> {
        let real_root = carried.real_root.take();
        let root = carried.root().unwrap_or_else(FileId::root);
        let kept = Kept::new(&state, &root);
        let tree = Self::over(client, state, Table::resume(carried), kept, ttl);
        *tree.real_root.lock().unwrap_or_else(PoisonError::into_inner) = real_root;
        tree.kept.wake();
        tree
    }
}
