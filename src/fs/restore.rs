//! Restoring: what a mount before this one left in the state file comes into the tree as soon as its
//! folder is looked at, and gets on its way again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::local::{Kept, LocalFile};
use super::{Error, Fs, Result};
use crate::aside::detach;
use crate::staging::StagedFile;
use crate::state::{self, LocalRow, Phase, RowId};
use crate::types::{FileId, Ino};

/// How often what cannot be taken up yet is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// Rows of the state file that are not in the tree yet, by their folder.
#[derive(Debug, Default)]
pub(super) struct Restorable {
    rows: Mutex<HashMap<FileId, Vec<LocalRow>>>,
    /// Files that were removed while they were uploaded: what that made is not shown.
    removed: Mutex<Vec<LocalRow>>,
    /// There is one more of these.
    pub(super) is_removed: Notify,
}

impl Restorable {
    pub(super) fn rows(&self) -> MutexGuard<'_, HashMap<FileId, Vec<LocalRow>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, row: LocalRow) {
        self.rows().entry(row.folder.clone()).or_default().push(row);
    }

    fn removed(&self) -> MutexGuard<'_, Vec<LocalRow>> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file was removed whose upload may still come about.
    pub(super) fn add_removed(&self, row: LocalRow) {
        self.removed().push(row);
        self.is_removed.notify_one();
    }

    /// What a removed file's upload made is on its way out.
    pub(super) fn is_cleared(&self, row: RowId) {
        self.removed().retain(|removed| removed.id != row);
    }

    /// A folder is another object now.
    pub(super) fn remade(&self, old: &FileId, new: &FileId) {
        let mut rows = self.rows();
        if let Some(moved) = rows.remove(old) {
            rows.entry(new.clone()).or_default().extend(moved);
        }
    }

    /// The folders that rows wait for, as an ID and a path each.
    pub(super) fn folders(&self) -> Vec<(FileId, String)> {
        let rows = self.rows();
        let path = |rows: &Vec<LocalRow>| rows.first().map(|row| row.folder_path.clone());
        rows.iter().filter_map(|(id, rows)| Some((id.clone(), path(rows)?))).collect()
    }
}

impl Fs {
    /// Takes over what the state file holds: before the mount answers.
    pub(super) fn take_over(&self) -> Result<()> {
        let root = self.tree.folder_id(Ino::ROOT)?;
        if let Some(kept) = self.state.attributes(&[&root])?.remove(&root) {
            self.tree.set_attributes(Ino::ROOT, |set| *set = kept);
        }
        let ending = self.ending()?;
        for row in self.state.locals()? {
            match row.phase {
                Phase::Removed => self.restorable.add_removed(row),
                // A rename that was cut off is to end it: that comes first.
                Phase::Closed | Phase::Failed if ending.contains(&row.id) => {}
                Phase::Done => self.clear_away(&row),
                Phase::Interrupted if self.is_void(&row) => self.clear_away(&row),
                // Nothing of it was acknowledged, and nothing reached the disk.
                Phase::Open if !row.is_folder && row.base.is_none() && self.is_lost(&row) => {
                    self.clear_away(&row);
                }
                // Never closed: its bytes are kept for the user, and the name has what it had.
                Phase::Interrupted => {}
                // What became of these has to be asked first.
                Phase::Open if row.is_aside => {}
                _ => self.restorable.add(row),
            }
        }
        Ok(())
    }

    /// Rows that a rename ends which was cut off.
    pub(super) fn ending(&self) -> Result<HashSet<RowId>> {
        let renames = self.state.renames()?;
        Ok(renames.into_iter().flat_map(|rename| rename.ends).collect())
    }

    /// Takes over what renames were to end that were undone.
    pub(super) fn take_over_rest(&self, ended: &HashSet<RowId>) -> Result<()> {
        let rows = self.state.locals()?.into_iter();
        let is_left = |row: &LocalRow| {
            ended.contains(&row.id) && matches!(row.phase, Phase::Closed | Phase::Failed)
        };
        rows.filter(is_left).for_each(|row| self.restorable.add(row));
        Ok(())
    }

    /// Whether nothing was written into it that could be missed, or nothing of that reached the disk.
    fn is_void(&self, row: &LocalRow) -> bool {
        let path = self.staged_path(row.staged.as_deref().unwrap_or_default());
        let is_empty = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
        row.base.is_none() && (is_empty || self.is_lost(row))
    }

    /// Whether its staged bytes are not there, as after a loss of power before any sync.
    fn is_lost(&self, row: &LocalRow) -> bool {
        let path = self.staged_path(row.staged.as_deref().unwrap_or_default());
        std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn clear_away(&self, row: &LocalRow) {
        let removed = match &row.staged {
            Some(name) => StagedFile::remove_from(&self.staged_path(name)),
            None => Ok(()),
        };
        match removed {
            Err(error) => tracing::warn!("staged bytes stay on disk: {error}"),
            Ok(()) => {
                if let Err(error) = self.state.forget(row.id) {
                    tracing::warn!("{error}");
                }
            }
        }
    }

    /// Puts into the tree what waits for this folder. Its names must be known. No network.
    pub(super) fn restore(&self, folder: Ino) -> Result<()> {
        let id = self.tree.folder_id(folder)?;
        // Held until all are there, or somebody would miss a name for a moment.
        let mut waiting = self.restorable.rows();
        let mut rows = waiting.remove(&id).unwrap_or_default();
        rows.sort_by_key(|row| (row.replacing.is_some(), row.id));
        for row in rows {
            // Its upload may have ended since the row was read.
            let Some(row) = self.state.local(row.id)?.filter(|row| row.phase != Phase::Done) else {
                continue;
            };
            match self.restore_row(folder, &row) {
                Ok(()) => {}
                // It waits until what has its name is done.
                Err(Error::Exists) => waiting.entry(id.clone()).or_default().push(row),
                Err(error) => tracing::error!("{:?} cannot be taken up: {error}", row.path()),
            }
        }
        drop(waiting);
        self.hide_removed(folder, &id)
    }

    /// Takes out of view what the upload of a removed file may have made, until it was looked at.
    fn hide_removed(&self, folder: Ino, id: &FileId) -> Result<()> {
        for row in self.restorable.removed().iter().filter(|row| row.folder == *id) {
            let may_be = |size| row.sent.iter().any(|sent| sent.size == size);
            let Some(ino) = self.tree.child(folder, &row.name)? else { continue };
            let is_local = self.locals.get(ino).is_some_and(|local| local.state().is_journaled());
            let info = self.tree.info(ino)?;
            if !is_local && info.entry().is_some_and(|entry| may_be(entry.size())) {
                self.tree.remove(ino);
            }
        }
        Ok(())
    }

    pub(super) fn restore_row(&self, folder: Ino, row: &LocalRow) -> Result<()> {
        if row.is_folder {
            let ino = self.tree.add_folder(folder, &row.name, FileId::local(row.id.0))?;
            self.tree.set_attributes(ino, |set| *set = row.attributes.clone());
            return Ok(());
        }
        let path = self.staged_path(row.staged.as_deref().unwrap_or_default());
        let staged = match StagedFile::reopen(&path) {
            Ok(staged) => Arc::new(staged),
            Err(error) => {
                let error = Error::Unreadable { path, source: error };
                let (state, id, text) = (self.state.clone(), row.id, error.to_string());
                // Whoever looks at the folder does not wait for that.
                detach(&self.runtime, move || {
                    if let Err(error) = state.failed(id, &text) {
                        tracing::warn!("{error}");
                    }
                });
                return Err(error);
            }
        };
        let ino = match self.tree.child(folder, &row.name)? {
            Some(ino) if self.tree.info(ino)?.is_folder() => return Err(Error::IsAFolder),
            // What others put there under such a name is another's, and not replaced.
            Some(ino) if !row.is_local => ino,
            Some(_) | None => self.tree.add_file(folder, &row.name, row.attributes.ino)?,
        };
        let there = self.locals.get(ino);
        let is_taken = there.is_some_and(|local| local.state().kept.is_some());
        // A version that is about to take the place stands before one that waited for it.
        if is_taken && row.replacing.is_none() {
            return Err(Error::Exists);
        }
        let generation = staged.generation();
        let is_untouched = row.is_aside && staged.is_untouched();
        let base = row.base.clone().map(Arc::new);
        let kept = Kept { staged, row: row.id, phase: row.phase, base };
        self.locals.get_or_make(
            ino,
            || self.tree.hold(ino),
            |state| {
                state.earlier = state.kept.replace(kept);
                state.is_local = row.is_local;
                state.is_restored = row.phase == Phase::Closed && !row.is_local;
                state.sent = u32::from(!row.sent.is_empty());
                state.is_aside = row.is_aside;
                state.origin = row.origin.clone();
                state.cut_off(row.replacing.clone());
                state.published = is_untouched.then_some(generation);
                state.promised = Some(generation);
                state.error = match row.phase {
                    Phase::Failed => {
                        let error = row.error.as_deref().unwrap_or("the upload failed");
                        Some((generation, error.into()))
                    }
                    _ => None,
                };
            },
        );
        self.tree.set_attributes(ino, |set| *set = row.attributes.clone());
        self.tree.set_staged(ino, true);
        self.tree.set_local(ino, row.is_local);
        if row.phase == Phase::Closed {
            self.uploads.add(ino);
        }
        Ok(())
    }

    /// Takes up what the user wants to have tried again.
    pub(super) fn take_up_retries(self: &Arc<Self>) {
        let taken = || -> Result<(), state::Error> {
            let mut waiting = false;
            // Before the files, or one that is closed in between would be taken for another's.
            let rows = self.state.locals()?;
            let of = |local: Arc<LocalFile>| {
                let rows = local.state().rows();
                rows.into_iter().map(move |row| (row, local.clone()))
            };
            let locals: HashMap<RowId, Arc<LocalFile>> =
                self.locals.all().into_iter().flat_map(of).collect();
            for row in rows.into_iter().filter(|row| row.phase == Phase::Closed) {
                match locals.get(&row.id) {
                    Some(local) if local.state().is_given_up() => {
                        let mut state = local.state();
                        state.error = None;
                        state.kept.iter_mut().for_each(|kept| kept.phase = Phase::Closed);
                        self.uploads.add(local.ino);
                    }
                    Some(_) => {}
                    None if self.restorable.has(&row) => {}
                    None => {
                        self.restorable.add(row);
                        waiting = true;
                    }
                }
            }
            if waiting {
                let fs = self.clone();
                tokio::spawn(async move { fs.walk_to_waiting(usize::MAX).await });
            }
            Ok(())
        };
        if let Err(error) = taken() {
            tracing::warn!("{error}");
        }
    }
}

impl Restorable {
    fn has(&self, row: &LocalRow) -> bool {
        self.rows().get(&row.folder).is_some_and(|rows| rows.iter().any(|has| has.id == row.id))
    }
}
