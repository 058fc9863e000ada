//! Rolling back: a file that the local disk had no room for is again what it was before it was
//! written to. Half of a picture is none, and would hold the room that others need.

use super::local::LocalFile;
use super::{Fs, Result, turn};
use crate::state::Phase;

impl Fs {
    /// Rolls a file back if the disk refused something of it, and no writers are left but `own`. Whether
    /// it did. Bytes that were promised stay, with what was written after them, as on a local disk.
    pub(super) async fn roll_back(&self, local: &LocalFile, own: u32) -> Result<bool> {
        let _promise = turn(&local.promising).await;
        let info = self.tree.info(local.ino)?;
        let dropped = {
            let mut state = local.state();
            let refused = state.kept.clone().filter(|kept| kept.staged.has_refused());
            let Some(kept) = refused.filter(|_| state.writers <= own && !state.removed) else {
                return Ok(false);
            };
            if kept.phase != Phase::Open || state.is_aside {
                kept.staged.accept();
                return Ok(false);
            }
            tracing::error!(
                "{:?} is what it was before it was written to: not all of it could be kept here",
                self.tree.path(local.ino)
            );
            if state.earlier.is_none() && info.entry().is_none() {
                // Nobody has anything of it. Its name stays, as on a local disk.
                drop(state);
                self.cut(&kept.staged, 0)?;
                return Ok(true);
            }
            state.kept = state.earlier.take();
            let generation = state.staged().map(|staged| staged.generation());
            let is_published = state.kept.as_ref().is_some_and(|kept| kept.phase == Phase::Done);
            state.promised = generation;
            state.published = generation.filter(|_| is_published);
            kept
        };
        self.tree.set_staged(local.ino, local.state().kept.is_some());
        if let Some(entry) = info.entry() {
            let set = self.state.attributes(&[&entry.id])?.remove(&entry.id).unwrap_or_default();
            self.tree.set_attributes(local.ino, |attributes| *attributes = set);
        }
        self.rolled_back().insert(local.ino);
        self.drop_kept(&dropped);
        Ok(true)
    }
}
