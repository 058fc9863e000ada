//! Taking back: a file that was removed while its upload was under way leaves nothing at the service.

use std::time::{Duration, Instant};

use super::local::Kept;
use super::{Fs, Result, turn};
use crate::bed::Target;
use crate::staging::Sum;
use crate::state::{Delete, LocalRow, Phase, RowId};
use crate::types::{Entry, Ino};

/// How long an object is waited for that an upload may have made, between looks.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(3)];

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
        for local in self.locals.all() {
            let is_meant = local.ino != but && {
                let state = local.state();
                let (folder, name) = (&target.folder, &target.name);
                let bound_for = state.bound_for.as_ref();
                state.removed && bound_for.is_some_and(|(f, n)| f == folder && n == name)
            };
            if is_meant {
                drop(turn(&local.turn).await);
            }
        }
        let is_meant = |row: &LocalRow| {
            row.phase == Phase::Removed && row.folder == target.folder && row.name == target.name
        };
        for row in self.state.locals()?.iter().filter(|row| is_meant(row)) {
            self.clear_removed_row(row).await?;
            self.clear_away(row);
        }
        Ok(())
    }

    /// The upload of a removed file failed, or was cut off: whether it made something is looked for.
    pub(super) async fn clear_removed(&self, row: RowId) -> Result<()> {
        let rows = self.state.locals()?;
        match rows.into_iter().find(|local| local.id == row && local.phase == Phase::Removed) {
            Some(row) => self.clear_removed_row(&row).await,
            None => Ok(()),
        }
    }

    /// Clears away what probes of this machine left. For who has the lock of probes.
    pub async fn clear_probes(&self) {
        self.bed.clear_probes().await;
    }

    /// It is told by its name and its bytes; nothing else is put there before this has ended. An
    /// upload that was told to complete may do so by itself some seconds later.
    pub(super) async fn clear_removed_row(&self, row: &LocalRow) -> Result<()> {
        let sums = row.sent.iter().map(|&(md5, size)| Sum { md5, size, generation: 0 });
        let sums: Vec<Sum> = sums.collect();
        let mut deletes = Vec::new();
        for pause in LOOKS.into_iter().filter(|_| !sums.is_empty()) {
            tokio::time::sleep(pause).await;
            if let Some(made) = self.bed.find(&row.folder, &row.name, &sums).await? {
                deletes.push((Delete::of(&made, row.folder.clone(), row.path()), None));
                break;
            }
        }
        self.bed.remove(deletes, &[row.id], Phase::Done, false)?;
        self.restorable.is_cleared(row.id);
        Ok(())
    }
}
