//! Removals: names that go, and what happens to the objects behind them.

use super::local::LocalFile;
use super::{Error, Fs, Result, control, turn};
use crate::tree::{Error as TreeError, Info};
use crate::types::{Entry, Ino};
use std::ffi::OsStr;
use std::time::Duration;

/// How long what was seen of an object is taken for true when it is to be deleted.
const SURE: Duration = Duration::from_secs(10);

impl Fs {
    /// Removes a file. One that is open is only taken aside, and deleted when nobody has it open.
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<()> {
        self.writable()?;
        let info = self.named(parent, name).await?;
        if info.is_folder() {
            return Err(Error::IsAFolder);
        }
        let local = self.local(info.ino);
        let _turn = turn(&local.turn).await;
        // An upload may have ended while its turn was waited for.
        let entry = self.tree.info(info.ino)?.entry().cloned();
        if let Some(entry) = entry {
            if !self.is_still_there(info.ino, &entry).await? {
                return Err(TreeError::NotFound.into());
            }
            let removed = self.remove_object(&local, &entry).await;
            removed.inspect_err(|_| self.tree.expire(parent))?;
        }
        self.forget_name(info.ino);
        Ok(())
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
            self.tree.expire(parent);
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

    async fn remove_object(&self, local: &LocalFile, entry: &Entry) -> Result<()> {
        if local.state().opens == 0 {
            return Ok(self.bed.delete(&entry.id).await?);
        }
        match self.bed.set_aside(entry).await {
            Ok(()) => local.state().set_aside = Some(entry.id.clone()),
            // Gone behind our back: what is open of it cannot be helped.
            Err(error) if error.api().is_some_and(crate::api::Error::is_not_found) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Removes a folder that is empty here and at the service.
    pub async fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<()> {
        self.writable()?;
        let info = self.named(parent, name).await?;
        if !info.is_folder() {
            return Err(TreeError::NotAFolder.into());
        }
        if !self.tree.children(info.ino)?.is_empty() {
            // Perhaps removed elsewhere since it was listed.
            self.tree.refresh(info.ino).await?;
            if !self.tree.children(info.ino)?.is_empty() {
                return Err(Error::NotEmpty);
            }
        }
        match self.bed.remove_folder(&self.tree.folder_id(info.ino)?).await {
            Ok(()) => {}
            Err(error) => {
                self.tree.expire(info.ino);
                return Err(error.into());
            }
        }
        self.tree.remove(info.ino);
        Ok(())
    }

    /// What a folder calls `name`, which must be there.
    pub(super) async fn named(&self, parent: Ino, name: &OsStr) -> Result<Info> {
        let name = name.to_str().ok_or(TreeError::NotFound)?;
        if control::is_control(parent) || self.control_lookup(parent, name).is_some() {
            return Err(Error::NotPermitted);
        }
        let ino = self.find(parent, name).await?.ok_or(TreeError::NotFound)?;
        Ok(self.tree.info(ino)?)
    }
}
