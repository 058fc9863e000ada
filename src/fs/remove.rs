//! Removals: names that go, and what happens to the objects behind them.

use super::local::{Kept, LocalFile};
use super::{Error, Fs, Result, turn};
use crate::bed::{self, SURE};
use crate::state::{Delete, Phase, RowId};
use crate::tree::{Error as TreeError, Info};
use crate::types::{Entry, FileId, Ino};
use std::ffi::OsStr;

use tokio::time::Instant;

/// The staged bytes of a file that was removed go at once, unless somebody has it open. Rows may stay,
/// for what uploads made of it; one that is under way ends, since nobody wants it.
fn free_bytes(local: &LocalFile) {
    let state = local.state();
    if state.opens > 0 {
        return;
    }
    for kept in state.kept.iter().chain(&state.earlier) {
        // An upload may have the file open.
        let freed = kept.staged.truncate(0).and_then(|()| kept.staged.remove());
        if let Err(error) = freed {
            tracing::warn!("staged bytes stay on disk for now: {error}");
        }
    }
}

impl Fs {
    /// Removes a file. Its name is free when this returns; the object goes with the next batch of
    /// deletes, or when nobody has it open any more.
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<()> {
        self.writable()?;
        let info = self.named_here(parent, name).await?;
        if info.is_folder() {
            return Err(Error::IsAFolder);
        }
        let local = self.local(info.ino);
        // An upload under way ends at its next step; nobody wants what it sends.
        let (rows, clears_away, may_come) = {
            let mut state = local.state();
            state.removed = true;
            let is_void = |kept: &&Kept| kept.phase == Phase::Open;
            if let Some(kept) = state.kept.as_ref().filter(is_void).filter(|_| state.opens == 0)
                // Promised to nobody. On a full disk this makes the room for recording the removal.
                && let Err(error) = kept.staged.truncate(0)
            {
                tracing::warn!("the staged bytes of {:?} stay for now: {error}", info.name);
            }
            let may_come = state.sent > 0 && state.dirty().is_some();
            // Where a rename waits for the upload, it is waited for that.
            (state.rows(), state.uploading && state.renames == 0, may_come)
        };
        let removed = match clears_away {
            // The upload clears away behind itself what it makes.
            true => self.remove_file(&local, parent, &rows, Phase::Removed).await,
            false => {
                let _turn = turn(&local.turn).await;
                // What an upload of before may still make is looked for then.
                let phase = if may_come { Phase::Removed } else { Phase::Done };
                let removed = self.remove_file(&local, parent, &rows, phase).await;
                if removed.is_ok() && may_come {
                    self.look_for_removed(&local, &rows);
                }
                removed
            }
        };
        if removed.is_err() {
            local.state().removed = false;
        } else {
            local.state().leave_to_upload();
            free_bytes(&local);
            self.touch(parent);
            self.touch_inode(info.ino);
        }
        removed
    }

    async fn remove_file(
        &self, local: &LocalFile, parent: Ino, rows: &[RowId], phase: Phase,
    ) -> Result<()> {
        // An upload may have ended while its turn was waited for.
        let info = self.tree.info(local.ino)?;
        let deletes = self.deletes_of(local, parent)?;
        let held = deletes.first().map(|(delete, _)| delete.object.clone());
        let held = held.filter(|_| local.state().opens > 0);
        self.bed.remove(deletes, rows, phase, held.is_some())?;
        let is_open = held.is_some();
        {
            let mut state = local.state();
            state.replacing = None;
            state.held = held;
        }
        if let (true, Some(entry)) = (is_open, info.entry()) {
            // Its name must be free; where it cannot be moved, whoever wants the name waits.
            let from = self.tree.folder_id(parent)?;
            let _change = self.tree.changing([&from])?;
            if let Err(error) = self.bed.set_aside(entry, &from).await {
                tracing::warn!("{:?} stays in place while it is open: {error}", info.name);
            }
        }
        self.forget_name(info.ino);
        // The last close may have come before it was held.
        self.release_held(local);
        Ok(())
    }

    /// The objects that go with a file of this folder, and when each was last seen in its place.
    pub(super) fn deletes_of(
        &self, local: &LocalFile, parent: Ino,
    ) -> Result<Vec<(Delete, Option<Instant>)>> {
        let info = self.tree.info(local.ino)?;
        let path = self.bed_path(info.ino);
        let mut deletes = Vec::new();
        if let Some(entry) = info.entry() {
            let folder = self.tree.folder_id(parent)?;
            deletes.push((Delete::of(entry, folder, path.clone()), self.tree.seen(info.ino)));
        }
        let aside = local.state().aside();
        if let Some(base) = aside {
            self.record_end(local, &base)?;
            deletes.push((Delete::of(&base, base.parent.clone(), path), None));
        }
        Ok(deletes)
    }

    /// What was taken aside ends: its link has a successor if another has its path.
    fn record_end(&self, local: &LocalFile, base: &Entry) -> Result<()> {
        let Some(origin) = local.state().origin.clone() else { return Ok(()) };
        let now_there = self.tree.find(self.inside(&origin).unwrap_or_default())?;
        let now_there = now_there.and_then(|info| info.entry().cloned());
        Ok(self.state.link_ends(&origin, base, now_there.as_deref())?)
    }

    /// Whether the object is still where the view of its folder shows it. An ID is not a name: what
    /// was moved elsewhere since must not be deleted for the name it had here.
    pub(super) async fn is_still_there(&self, ino: Ino, entry: &Entry) -> Result<bool> {
        if self.tree.seen(ino).is_some_and(|seen| seen.elapsed() < SURE) {
            return Ok(true);
        }
        let Some(parent) = self.tree.info(ino)?.parent else { return Ok(false) };
        let there = self.bed.is_there(entry, &self.tree.folder_id(parent)?).await?;
        if !there {
            self.look_anew([parent]).await;
        }
        Ok(there)
    }

    /// The user let the file go by this name: what is staged of it is not wanted any more.
    pub(super) fn forget_name(&self, ino: Ino) {
        if let Some(local) = self.locals.get(ino) {
            local.state().removed = true;
        }
        self.tree.remove(ino);
    }

    /// Removes a folder that is empty here and at the service.
    pub async fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<()> {
        self.writable()?;
        let info = self.named(parent, name).await?;
        if !info.is_folder() {
            return Err(TreeError::NotAFolder.into());
        }
        self.remove_empty(&info).await?;
        self.touch(parent);
        Ok(())
    }

    pub(super) async fn remove_empty(&self, folder: &Info) -> Result<()> {
        let id = self.tree.folder_id(folder.ino)?;
        self.restore(folder.ino)?;
        if !id.is_local() {
            // What is being deleted is gone for the user, and must be for the service.
            self.bed.flush_deletes(&id, None).await?;
            if !self.tree.children(folder.ino)?.is_empty() {
                // Perhaps removed elsewhere since it was listed.
                self.tree.refresh(folder.ino).await?;
            }
        }
        if !self.tree.children(folder.ino)?.is_empty() {
            return Err(Error::NotEmpty);
        }
        let above = folder.parent.map(|parent| self.tree.folder_id(parent)).transpose()?;
        let _change = self.tree.changing(&above)?;
        match id.local_row() {
            Some(row) => self.state.forget(RowId(row))?,
            None => {
                let removed = self.remove_folder_object(folder.ino, &id).await;
                if removed.is_err() {
                    self.look_anew([folder.ino].into_iter().chain(folder.parent)).await;
                    return removed;
                }
            }
        }
        self.tree.remove(folder.ino);
        Ok(self.state.forget_attributes(&id)?)
    }

    /// What the service has in it may be of uploads that ended after their files were removed.
    async fn remove_folder_object(&self, ino: Ino, id: &FileId) -> Result<()> {
        match self.bed.remove_folder(id).await {
            Err(bed::Error::NotEmpty) => {
                self.wait_for_removed_in(id, None, ino).await?;
                self.bed.flush_deletes(id, None).await?;
                Ok(self.bed.remove_folder(id).await?)
            }
            removed => Ok(removed?),
        }
    }

    /// What a folder calls `name`, which must be there, for a change at the service.
    pub(super) async fn named(&self, parent: Ino, name: &OsStr) -> Result<Info> {
        let name = self.name_of_known(parent, name)?;
        let ino = self.find(parent, name).await?.ok_or(TreeError::NotFound)?;
        Ok(self.tree.info(ino)?)
    }

    /// The same for a change that is acknowledged here.
    pub(super) async fn named_here(&self, parent: Ino, name: &OsStr) -> Result<Info> {
        let name = self.name_of_known(parent, name)?;
        let ino = self.find_here(parent, name).await?.ok_or(TreeError::NotFound)?;
        Ok(self.tree.info(ino)?)
    }

    fn name_of_known<'a>(&self, parent: Ino, name: &'a OsStr) -> Result<&'a str> {
        let name = name.to_str().ok_or(TreeError::NotFound)?;
        match self.is_control_name(parent, name) {
            true => Err(Error::NotPermitted),
            false => Ok(name),
        }
    }
}
