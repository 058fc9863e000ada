//! Taking back: uploads are recorded before they are begun and completed, and what one made of a file
//! that was removed meanwhile goes again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use futures_util::future::join_all;

use super::local::{Kept, LocalFile};
use super::restore::AGAIN;
use super::{Fs, Result, turn};
use crate::bed::Target;
use crate::staging::Sum;
use crate::state::{Delete, LocalRow, Phase, RowId, Whereabouts};
use crate::types::{Entry, FileId, Ino};

impl Fs {
    /// The upload ended: what it made goes with the next deletes.
    pub(super) fn take_back(&self, kept: &Kept, new: &Entry) -> Result<()> {
        let delete = Delete::of(new, new.parent.clone(), new.name.to_string());
        let deletes = vec![(delete, Some(Instant::now()))];
        Ok(self.bed.remove(deletes, &[kept.row], Phase::Done, false)?)
    }

    /// Uploads of removed files to this name end, with what they made, before anything else gets it:
    /// what they made is told by its name and its bytes.
    pub(super) async fn wait_for_removed(&self, but: Ino, target: &Target) -> Result<()> {
        self.wait_for_removed_in(&target.folder, Some(&target.name), but).await
    }

    /// The same of this name in a folder, or of any.
    pub(super) async fn wait_for_removed_in(
        &self, folder: &FileId, name: Option<&str>, but: Ino,
    ) -> Result<()> {
        let is_place = |f: &FileId, n: &str| f == folder && name.is_none_or(|name| n == name);
        let is_meant = |row: &LocalRow| is_place(&row.folder, &row.name);
        let rows: Vec<RowId> =
            self.state.removed()?.iter().filter(|row| is_meant(row)).map(|row| row.id).collect();
        for local in self.locals.sending() {
            let is_under_way = local.ino != but && {
                let state = local.state();
                let is_bound = state.bound_for.as_ref().is_some_and(|(f, n)| is_place(f, n));
                state.removed && (is_bound || state.is_uploading_any(&rows))
            };
            if is_under_way {
                drop(turn(&local.turn).await);
            }
        }
        self.clear_removed(is_meant).await
    }

    /// What uploads of a removed file may still make is looked for, and hidden until then.
    pub(super) fn look_for_removed(&self, local: &LocalFile, rows: &[RowId]) {
        self.look_for(rows);
        // Its rows and bytes go when that is done. Who has it open reads on meanwhile, and after that.
        local.state().set_phase(Phase::Removed);
    }

    /// Before an upload: what it is of is recorded with the row, and with the one that took its place
    /// meanwhile. Whether an upload before this one may still come about.
    pub(super) fn record_sent(&self, local: &LocalFile, row: RowId, sum: Sum) -> Result<bool> {
        self.state.sends(row, sum.md5, sum.size)?;
        // One that comes later inherits it when it is acknowledged.
        let now = local.state().kept.as_ref().map(|kept| kept.row).filter(|now| *now != row);
        if let Some(now) = now {
            self.state.sends(now, sum.md5, sum.size)?;
        }
        let mut state = local.state();
        state.sent += 1;
        Ok(state.sent > 1)
    }

    /// Before an upload is completed: so the next mount can ask what became of it.
    pub(super) fn record_completing(
        &self, local: &LocalFile, row: RowId, sum: Sum, preupload: &str,
    ) {
        let now = local.state().kept.as_ref().map(|kept| kept.row);
        for row in [Some(row), now.filter(|now| *now != row)].into_iter().flatten() {
            if let Err(error) = self.state.completes(row, sum.md5, sum.size, preupload) {
                tracing::warn!("an upload that is cut off now would be begun anew: {error}");
            }
        }
    }

    /// The file's rows say where it is now, and those of the file whose name it took end. What was
    /// sent to the name before may still come about there.
    pub(super) fn record_place(
        &self, local: &LocalFile, to: &Whereabouts<'_>, over: Option<&Arc<LocalFile>>,
        deletes: &[Delete],
    ) -> Result<()> {
        let (ends, sent) = over.map_or_else(Default::default, |over| {
            let over = over.state();
            (over.rows(), over.sent)
        });
        let rows = local.state().rows();
        let left = self.state.renamed(&rows, to, &ends, deletes)?;
        local.state().sent = sent;
        self.look_for(&left);
        Ok(())
    }

    fn look_for(&self, removed: &[RowId]) {
        match self.state.removed() {
            Ok(mut rows) => {
                rows.retain(|row| removed.contains(&row.id));
                rows.into_iter().for_each(|row| self.restorable.add_removed(row));
            }
            Err(error) => {
                tracing::warn!("what an upload left is looked for by the next mount: {error}");
            }
        }
    }

    /// Looks for what uploads of removed files made, for as long as the mount lives.
    pub(super) async fn run_taking_back(&self) -> Infallible {
        self.replay_begun().await;
        loop {
            if let Err(error) = self.clear_removed(|_| true).await {
                error.warn("clearing away what was removed");
            }
            // What cannot be done now is tried again.
            drop(tokio::time::timeout(AGAIN, self.restorable.is_removed.notified()).await);
        }
    }

    /// What uploads of these removed files made goes with the next deletes, and is waited for: an
    /// upload that was told to complete may do so by itself some seconds later.
    pub(super) async fn clear_removed(&self, is_meant: impl Fn(&LocalRow) -> bool) -> Result<()> {
        if !self.state.removed()?.iter().any(&is_meant) {
            return Ok(());
        }
        // One at a time: what is put in the place of a removed file later is not its upload's.
        let _turn = turn(&self.clearing).await;
        let mut rows = self.state.removed()?;
        // An upload that is under way clears away behind itself, or has that done when it has ended.
        let is_under_way = |row: &LocalRow| {
            self.locals.sending().iter().any(|local| local.state().is_uploading_any(&[row.id]))
        };
        rows.retain(|row| is_meant(row) && !is_under_way(row));
        let mut made: HashMap<RowId, Entry> = HashMap::new();
        // No more than there were uploads under way when they were cut off.
        let asked = join_all(rows.iter().map(|row| self.bed.made_for(row))).await;
        for (row, told) in rows.iter().zip(asked) {
            made.extend(told?.map(|entry| (row.id, entry)));
        }
        for pause in iter::once(Duration::ZERO).chain(self.bed.looks()) {
            let missing =
                rows.iter().filter(|row| !row.sent.is_empty() && !made.contains_key(&row.id));
            let mut by_folder: HashMap<&FileId, Vec<&LocalRow>> = HashMap::new();
            missing.for_each(|row| by_folder.entry(&row.folder).or_default().push(row));
            if by_folder.is_empty() {
                break;
            }
            tokio::time::sleep(pause).await;
            for (folder, files) in by_folder {
                made.extend(self.bed.made_of(folder, &files).await?);
            }
        }
        for row in &rows {
            let made = made.get(&row.id);
            let delete = made.map(|made| (Delete::of(made, row.folder.clone(), row.path()), None));
            self.bed.remove(delete.into_iter().collect(), &[row.id], Phase::Done, false)?;
            self.restorable.is_cleared(row.id);
            self.clear_away(row);
        }
        Ok(())
    }

    /// Clears away what probes of this machine left. For who has the lock of probes.
    pub async fn clear_probes(&self) {
        self.bed.clear_probes().await;
    }
}
