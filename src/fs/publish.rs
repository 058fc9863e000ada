//! Publishing: staged bytes become the content of their name at the service.

use std::path::PathBuf;
use std::sync::Arc;

use super::local::LocalFile;
use super::{Error, Fs, Result, turn};
use crate::bed::{self, Target};
use crate::staging::StagedFile;
use crate::tree;
use crate::upload;

/// Bytes that are not at the service, left on disk.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// The file's path in the mount.
    pub path: String,
    /// Where its bytes are.
    pub staged: PathBuf,
}

impl Fs {
    /// Uploads the file if the bed has not got its present content. An empty file stays here: it
    /// is nothing to publish yet.
    pub(super) async fn publish(&self, local: &Arc<LocalFile>) -> Result<()> {
        let _turn = turn(&local.turn).await;
        // What goes on being written to is copied before the second try, and then cannot change.
        let mut copy = false;
        loop {
            let Some(staged) = local.state().dirty().cloned() else {
                return Ok(());
            };
            if local.state().removed || staged.size() == 0 {
                return Ok(());
            }
            local.state().uploading = true;
            let result = self.publish_once(local, &staged, copy).await;
            let mut state = local.state();
            state.uploading = false;
            match result {
                Ok(generation) => {
                    state.published = Some(generation);
                    state.error = None;
                    if state.dirty().is_none() {
                        self.tree.set_staged(local.ino, false);
                    }
                    return Ok(());
                }
                Err(Error::Bed(bed::Error::Upload(upload::Error::Changed))) if !copy => copy = true,
                Err(error) => {
                    state.error = Some((staged.generation(), error.to_string().into()));
                    return Err(Error::Unpublished(Box::new(error)));
                }
            }
        }
    }

    /// One try, and the generation that it published.
    async fn publish_once(
        &self, local: &LocalFile, staged: &Arc<StagedFile>, copy: bool,
    ) -> Result<u64> {
        let _permit = turn(&self.structure).await;
        let base = local.state().base.clone();
        if staged.missing().is_some()
            && let Some(base) = self.with_link(local.ino, base).await?
        {
            self.bed.fill(staged, &base).await?;
        }
        let source = if copy { self.snapshot(staged).await? } else { staged.clone() };
        let sum = source.clone().sum_aside().await?;
        let info = self.tree.info(local.ino)?;
        // Its folder may have been removed elsewhere.
        let parent = info.parent.ok_or(tree::Error::NotFound)?;
        let name =
            info.entry().map_or_else(|| info.name.to_string(), |entry| entry.name.to_string());
        let mut old = info.entry().cloned();
        if let Some(entry) = &old {
            if self.tree.has_other(parent, &name, &entry.id)? {
                // The new version could not come into a name that another object has.
                return Err(Error::Doubled);
            }
            if !self.is_still_there(local.ino, entry).await? {
                old = None;
            }
        }
        let folder = self.tree.folder_id(parent)?;
        let target = Target { folder, name, old };
        let entry = self.bed.store(&target, &source, sum).await?;
        self.tree.doubt_twins(parent, local.ino, sum.md5, sum.size)?;
        self.tree.set_entry(local.ino, Arc::new(entry));
        if let Some(old) = &target.old {
            self.reader.close(&old.id);
        }
        Ok(sum.generation)
    }

    async fn snapshot(&self, staged: &Arc<StagedFile>) -> Result<Arc<StagedFile>> {
        let (staged, dir) = (staged.clone(), self.options.staging.clone());
        let copied = tokio::task::spawn_blocking(move || staged.snapshot(&dir)).await;
        Ok(Arc::new(copied.map_err(std::io::Error::other)??))
    }

    /// Returns when no upload is under way, and no rename.
    pub async fn uploads_done(&self) {
        drop(turn(&self.renaming).await);
        for local in self.locals.all() {
            drop(turn(&local.turn).await);
        }
    }

    /// Before the mount ends: uploads what is closed and not uploaded, deletes what was removed
    /// while open. Open files are not touched: what is in them was never acknowledged.
    pub async fn drain(&self) {
        for local in self.locals.all() {
            let ino = local.ino;
            if local.state().opens == 0
                && let Err(error) = self.publish(&local).await
            {
                tracing::error!("{:?} is not uploaded: {error}", self.tree.path(ino));
            }
            self.delete_set_aside(&local).await;
        }
        self.bed.tidy().await;
    }

    /// Leaves what the bed has not got on disk, and tells where.
    pub fn leave_behind(&self) -> Vec<Leftover> {
        self.locals.all().iter().filter_map(|local| self.leave_file(local)).collect()
    }

    /// Keeps the staged bytes on disk when the value goes.
    fn leave_file(&self, local: &LocalFile) -> Option<Leftover> {
        let staged = local.state().dirty().cloned()?;
        if local.state().removed || staged.size() == 0 {
            return None;
        }
        let path = self.tree.path(local.ino);
        match staged.keep() {
            Ok(staged) => Some(Leftover { path, staged }),
            Err(error) => {
                tracing::error!("{path:?} could not be synced to disk: {error}");
                None
            }
        }
    }
}
