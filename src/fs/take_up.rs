//! Taking up: the folders that rows of the state file wait for are looked for, by their paths and by
//! their IDs, so that what is in them goes on.

use std::time::Duration;

use super::{Error, Fs, Result};
use crate::state::{LocalRow, Whereabouts};
use crate::tree::Error as TreeError;
use crate::types::{FileId, Ino};

/// The longest pause between looks for a folder that is not found.
const LONGEST: Duration = Duration::from_secs(600);

impl Fs {
    /// Looks at each folder that something waits for, so that it is taken up.
    pub(super) async fn walk_to_waiting(&self, rounds: usize) {
        let mut pause = self.bed.staleness().effect();
        for _ in 0..rounds {
            let mut failed = false;
            for (id, path) in self.restorable.folders() {
                if let Err(error) = self.take_up(&id, &path).await {
                    error.warn(&format!("going on with what is in {path:?}"));
                    failed = true;
                }
            }
            if !failed {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Takes up what waits for one folder.
    async fn take_up(&self, id: &FileId, path: &str) -> Result<()> {
        match self.walk(path).await {
            Ok(Some(ino)) => self.settle_folder(id, ino, path),
            Ok(None) => {
                tracing::warn!("{path:?} is not in this mount: what waits there waits for another")
            }
            Err(Error::Tree(TreeError::NotFound | TreeError::NotAFolder))
                if self.is_told_of_all() =>
            {
                self.take_up_elsewhere(id, path).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes up what waits for a folder that is not at its path any more: it was moved, or is gone.
    async fn take_up_elsewhere(&self, id: &FileId, path: &str) -> Result<()> {
        if !self.bed.has_folder(id).await? {
            self.fail_folder(id, path);
            return Ok(());
        }
        let now = self.bed.path_of(id).await?.ok_or(TreeError::NotFound)?;
        tracing::info!("{path:?} is called {now:?} now");
        if let Some(ino) = self.walk(&now).await? {
            // Names lead where listings say, which may be old.
            if self.tree.folder_id(ino)? != *id {
                return Err(TreeError::NotFound.into());
            }
            self.settle_folder(id, ino, &now);
        }
        Ok(())
    }

    /// Whether listings show all that mounts before this one did (S1). A clock that was put back says
    /// nothing against it.
    fn is_told_of_all(&self) -> bool {
        let lag = self.bed.staleness().listing();
        self.born.elapsed().map_or(true, |age| age > lag)
    }

    /// The folder that has this path from the bed's root; `None` if the mount does not show it.
    async fn walk(&self, path: &str) -> Result<Option<Ino>> {
        let root = self.options.root.trim_matches('/');
        let inside = match path.strip_prefix(root) {
            Some(inside) if root.is_empty() || inside.is_empty() || inside.starts_with('/') => {
                inside
            }
            _ => return Ok(None),
        };
        let mut at = Ino::ROOT;
        for name in inside.split('/').filter(|name| !name.is_empty()) {
            // What waits for a folder must not be put into one that is gone.
            self.tree.ensure_told(at).await?;
            at = self.find(at, name).await?.ok_or(TreeError::NotFound)?;
        }
        self.tree.ensure_told(at).await?;
        self.restore(at)?;
        Ok(Some(at))
    }

    /// The path in the mount of a path from the bed's root; `None` if the mount does not show it.
    pub(super) fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        let root = self.options.root.trim_matches('/');
        let inside = path.strip_prefix(root)?;
        (root.is_empty() || inside.is_empty() || inside.starts_with('/')).then_some(inside)
    }

    /// Another folder has the path now: what waits for the old one goes into it.
    fn settle_folder(&self, id: &FileId, ino: Ino, path: &str) {
        let Some(rows) = self.restorable.rows().remove(id) else { return };
        for row in rows {
            let moved = self.tree.folder_id(ino).map_err(Error::from).and_then(|folder| {
                let name = &*row.name;
                let (folder_path, is_local) = (path, row.is_local);
                let whereabouts = Whereabouts { folder: &folder, folder_path, name, is_local };
                drop(self.state.renamed(&[row.id], &whereabouts, &[], &[])?);
                self.restore_row(ino, &LocalRow { folder, ..row.clone() })
            });
            match moved {
                Ok(()) => {}
                // It waits until what has its name is done.
                Err(Error::Exists) => self.restorable.add(row),
                Err(error) => tracing::error!("{:?} cannot be taken up: {error}", row.path()),
            }
        }
    }

    fn fail_folder(&self, id: &FileId, path: &str) {
        let rows = self.restorable.rows().remove(id);
        for row in rows.unwrap_or_default() {
            tracing::error!("{:?} is not uploaded: its folder is gone", row.path());
            let why =
                format!("its folder {path:?} is gone: make it again, then bedfs pending retry");
            if let Err(error) = self.state.failed(row.id, &why) {
                tracing::error!("{error}");
            }
        }
    }
}
