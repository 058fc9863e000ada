//! Staging: from its first byte a file has staged bytes and a row in the state file; when it is
//! closed the bytes are synced and promised.

use std::path::Path;
use std::sync::Arc;

use super::local::{Kept, LocalFile, State};
use super::{Fs, Result, turn};
use crate::aside::aside;
use crate::disk::is_full;
use crate::staging::StagedFile;
use crate::state::{Acknowledged, LocalRow, Phase, RowId, Writing};
use crate::tree::Info;
use crate::types::{Attributes, Entry, FileId, Ino};

impl Fs {
    /// The file's staged bytes, if they may be changed without anything being recorded before.
    pub(super) fn staged_here(&self, local: &LocalFile) -> Option<Arc<StagedFile>> {
        let mut state = local.state();
        let kept = state.kept.as_mut().filter(|kept| kept.phase != Phase::Done)?;
        if kept.phase == Phase::Closed && kept.staged.size() == 0 {
            // Nothing in it was promised.
            kept.phase = Phase::Open;
        }
        Some(kept.staged.clone())
    }

    /// The file's staged bytes, over the remote content if there is one, about to be changed. No
    /// network. For tasks: another process may be waited for, before the file is locked.
    pub(super) fn stage(&self, local: &LocalFile) -> Result<Arc<StagedFile>> {
        if let Some(staged) = self.staged_here(local) {
            return Ok(staged);
        }
        let info = self.tree.info(local.ino)?;
        let writing = self.state.writing()?;
        let mut state = local.state();
        if let Some(kept) = &mut state.kept {
            let (staged, row) = (kept.staged.clone(), kept.row);
            if kept.phase == Phase::Done {
                // What was published is all here.
                writing.reopen(row, None)?;
                staged.detach()?;
                kept.phase = Phase::Open;
                kept.base = None;
            }
            return Ok(staged);
        }
        let base = info.entry();
        let kept = self.begin(writing, &info, base, state.is_local)?;
        let staged = kept.staged.clone();
        // Over a base nothing has changed yet; a file that is only here is dirty from the start.
        state.published = base.is_some().then_some(staged.generation());
        state.promised = None;
        state.kept = Some(kept);
        drop(state);
        self.tree.set_staged(local.ino, true);
        Ok(staged)
    }

    /// The staged bytes, about to be cut to nothing. A version that was promised, and is not at the
    /// service, stays until its successor is promised.
    pub(super) async fn stage_anew(&self, local: &LocalFile) -> Result<Arc<StagedFile>> {
        let _promise = turn(&local.promising).await;
        let info = self.tree.info(local.ino)?;
        let is_new = |state: &State| state.kept.is_none() || state.is_owed();
        if is_new(&local.state()) {
            let writing = self.state.writing()?;
            let mut state = local.state();
            if state.kept.is_none() {
                // Nothing of the object shows through.
                state.kept = Some(self.begin(writing, &info, None, state.is_local)?);
                (state.published, state.promised) = (None, None);
            } else if state.is_owed() {
                let kept = self.begin(writing, &info, None, state.is_local)?;
                let staged = kept.staged.clone();
                let earlier = state.kept.replace(kept);
                // One that another took the place of before: nobody can come back to it.
                let older = std::mem::replace(&mut state.earlier, earlier);
                (state.published, state.promised) = (None, None);
                drop(state);
                older.into_iter().for_each(|kept| self.drop_kept(&kept));
                return Ok(staged);
            }
        }
        let staged = self.stage(local)?;
        self.cut(&staged, 0)?;
        self.tree.set_staged(local.ino, true);
        Ok(staged)
    }

    /// Cuts the file, or lengthens it with zeros: also where the disk is full.
    pub(super) fn cut(&self, staged: &StagedFile, len: u64) -> Result<()> {
        Ok(self.state.room().insist(is_full, || staged.truncate(len))?)
    }

    /// New staged bytes over a base, and their row.
    fn begin(
        &self, writing: Writing<'_>, info: &Info, base: Option<&Arc<Entry>>, is_local: bool,
    ) -> Result<Kept> {
        let row = self.new_row(info.parent, &info.name, info.attributes.clone())?;
        self.keep(writing, LocalRow { is_local, ..row }, base)
    }

    /// Staged bytes and a row for an object that is taken aside, which shows through whole.
    pub(super) fn begin_aside(
        &self, info: &Info, entry: &Arc<Entry>, to: Ino, name: &str,
    ) -> Result<Kept> {
        let mut row = self.new_row(Some(to), name, info.attributes.clone())?;
        row.is_aside = true;
        row.origin = Some(self.bed_path(info.ino));
        self.keep(self.state.writing()?, row, Some(entry))
    }

    /// Makes the staged bytes that a row is of, over a base, and the row.
    fn keep(
        &self, writing: Writing<'_>, mut row: LocalRow, base: Option<&Arc<Entry>>,
    ) -> Result<Kept> {
        let size = base.map_or(0, |base| base.size());
        let create = || StagedFile::create(&self.options.staging, &row.path(), size);
        let staged = Arc::new(self.state.room().insist(is_full, create)?);
        row.staged = staged.name().map(str::to_owned);
        row.base = base.map(|base| Entry::clone(base));
        match writing.begin(&row) {
            Ok(row) => Ok(Kept { staged, row, phase: Phase::Open, base: base.cloned() }),
            Err(error) => {
                remove_bytes(&staged);
                Err(error.into())
            }
        }
    }

    /// A row for something that begins to be here.
    pub(super) fn new_row(
        &self, parent: Option<Ino>, name: &str, attributes: Attributes,
    ) -> Result<LocalRow> {
        let (folder, folder_path) = match parent {
            Some(parent) => (self.tree.folder_id(parent)?, self.bed_path(parent)),
            // Its name is gone; whatever is written now goes with it.
            None => (FileId::root(), String::new()),
        };
        Ok(LocalRow {
            id: RowId(0),
            folder,
            folder_path,
            name: name.to_owned(),
            is_folder: false,
            is_local: self.is_local_file(parent, name),
            staged: None,
            phase: Phase::Open,
            error: None,
            base: None,
            is_aside: false,
            origin: None,
            replacing: None,
            sent: Vec::new(),
            changed: 0,
            attributes,
        })
    }

    /// The path from the bed's root, which the mount's root may not be.
    pub(super) fn bed_path(&self, ino: Ino) -> String {
        let inside = self.tree.path(ino);
        let parts = [self.options.root.trim_matches('/'), inside.trim_start_matches('/')];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }

    /// Has the disk keep the file's bytes and its row: from now on they are promised.
    pub(super) async fn promise(&self, local: &Arc<LocalFile>) -> Result<()> {
        let _promise = turn(&local.promising).await;
        let (kept, earlier) = {
            let state = local.state();
            if !state.has_unpromised() || state.removed {
                return Ok(());
            }
            let Some(kept) = state.kept.clone() else { return Ok(()) };
            (kept, state.earlier.clone())
        };
        let generation = kept.staged.generation();
        let staged = kept.staged.clone();
        aside(move || staged.sync()).await?;
        self.state.acknowledge(
            kept.row,
            &Acknowledged {
                base: kept.base.as_deref(),
                attributes: &self.tree.info(local.ino)?.attributes,
                supersedes: earlier.as_ref().map(|earlier| earlier.row),
            },
        )?;
        let mut state = local.state();
        let Some(now) = state.kept.as_mut().filter(|now| now.row == kept.row) else {
            // Cut meanwhile: this is the version before, which stays until the other is promised.
            return Ok(());
        };
        now.phase = Phase::Closed;
        state.promised = Some(generation);
        (state.waits_for, state.error) = (None, None);
        state.earlier = None;
        drop(state);
        earlier.into_iter().for_each(|kept| self.drop_kept(&kept));
        Ok(())
    }

    /// Takes staged bytes from disk that nobody wants, and then their row.
    pub(super) fn drop_kept(&self, kept: &Kept) {
        if kept.phase == Phase::Removed {
            // What its uploads may have made is looked for by its row, which goes then.
            return;
        }
        if kept.phase != Phase::Done
            && let Err(error) = self.state.unwanted(kept.row)
        {
            return tracing::warn!("{error}");
        }
        if remove_bytes(&kept.staged)
            && let Err(error) = self.state.forget(kept.row)
        {
            tracing::warn!("{error}");
        }
    }

    /// Whether the file stays here when it is closed: by its name or place, or since it is empty.
    pub(super) fn stays_here(&self, state: &State) -> bool {
        if state.is_local {
            return true;
        }
        state.staged().is_some_and(|staged| staged.size() == 0) && !self.bed.takes_empty_files()
    }

    /// Whether a file that is to get this name in this folder stays here.
    pub(super) fn is_local_file(&self, parent: Option<Ino>, name: &str) -> bool {
        let is_there = |name: &str| {
            let found = parent.and_then(|parent| self.tree.child(parent, name).ok().flatten());
            found.and_then(|ino| self.tree.info(ino).ok()).is_some_and(|info| !info.is_folder())
        };
        self.options.local_names.has_file(name, is_there)
            || parent.is_some_and(|parent| self.is_local_folder(parent))
    }

    /// Whether all that is in a folder stays here.
    pub(super) fn is_local_folder(&self, folder: Ino) -> bool {
        self.tree.folder_id(folder).is_ok_and(|folder| folder.is_local())
    }

    /// Where the staged bytes of a row are.
    pub(super) fn staged_path(&self, name: &str) -> std::path::PathBuf {
        self.options.staging.join(Path::new(name).file_name().unwrap_or_default())
    }
}

/// Whether they are gone from disk.
fn remove_bytes(staged: &StagedFile) -> bool {
    let removed = staged.remove();
    if let Err(error) = &removed {
        tracing::warn!("staged bytes stay on disk: {error}");
    }
    removed.is_ok()
}
