//! A local file: one that is open, or holds bytes that the bed has not got.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::{Fs, uploads};
use crate::staging::StagedFile;
use crate::state::{Phase, Replacing, RowId};
use crate::types::{Entry, FileId, Ino};

/// The local side of one inode.
#[derive(Debug)]
pub(super) struct LocalFile {
    pub(super) ino: Ino,
    /// One publish, rename or removal of the file at a time.
    pub(super) turn: Semaphore,
    /// One promise at a time, or one cut to nothing: what is being promised is not cut in its place.
    pub(super) promising: Semaphore,
    state: Mutex<State>,
}

/// Staged bytes, and the row of the state file that keeps them from before the first of them until
/// after they are gone from disk.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) staged: Arc<StagedFile>,
    pub(super) row: RowId,
    /// As the state file has it.
    pub(super) phase: Phase,
    /// The object whose bytes show through where nothing is staged.
    pub(super) base: Option<Arc<Entry>>,
}

/// What is held of the file here.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) opens: u32,
    /// Operations at work on the file beside the opens.
    pub(super) users: u32,
    /// Of the opens, those that may write.
    pub(super) writers: u32,
    pub(super) kept: Option<Kept>,
    /// A promised version, whose successor is not promised yet.
    pub(super) earlier: Option<Kept>,
    /// Its name or place is for this machine only.
    pub(super) is_local: bool,
    /// The base lies in a scratch folder for this file alone.
    pub(super) is_aside: bool,
    /// The path it was taken aside from, from the bed's root.
    pub(super) origin: Option<String>,
    /// The staged generation that the bed has; `None`: none of them.
    pub(super) published: Option<u64>,
    /// The staged generation that was promised to whoever closed it.
    pub(super) promised: Option<u64>,
    /// A replacement that was cut off half way.
    pub(super) replacing: Option<Replacing>,
    pub(super) uploading: bool,
    /// Renames that wait for the turn of the file.
    pub(super) renames: u32,
    /// Held by an upload in the background until its bytes are sent.
    pub(super) place: Option<uploads::Place>,
    /// A mount before this one may have begun its upload, which may complete by itself.
    pub(super) is_restored: bool,
    /// Where the upload under way goes to: a folder and a name in it.
    pub(super) bound_for: Option<(FileId, String)>,
    /// Uploads to the name that were begun since the service last had what is here, each of which may
    /// come about at any time.
    pub(super) sent: u32,
    /// The user removed the file: its bytes are not wanted any more.
    pub(super) removed: bool,
    /// What its upload waits for, where nobody has to do anything about that.
    pub(super) waits_for: Option<Arc<str>>,
    /// The generation whose upload failed last, and why.
    pub(super) error: Option<(u64, Arc<str>)>,
    /// The object goes when nobody has it open: its name went before.
    pub(super) held: Option<FileId>,
}

impl State {
    /// The staged bytes.
    pub(super) fn staged(&self) -> Option<&Arc<StagedFile>> {
        self.kept.as_ref().map(|kept| &kept.staged)
    }

    /// The object whose bytes show through where nothing is staged.
    pub(super) fn base(&self) -> Option<&Arc<Entry>> {
        self.kept.as_ref()?.base.as_ref()
    }

    /// Another row, or another object of the same bytes, shows through.
    pub(super) fn set_base(&mut self, base: Arc<Entry>) {
        if let Some(kept) = &mut self.kept {
            kept.base = Some(base);
        }
    }

    /// The base of the staged bytes that this row keeps.
    pub(super) fn base_of(&self, row: RowId) -> Option<Arc<Entry>> {
        let kept = self.kept.iter().chain(&self.earlier).find(|kept| kept.row == row);
        kept.and_then(|kept| kept.base.clone())
    }

    /// What is to be published, at first or of this row again. That may have become the version
    /// before one that is being written, and was promised to nobody.
    pub(super) fn to_publish(&self, row: Option<RowId>) -> Option<Kept> {
        let is_now = |kept: &Kept| row.is_none_or(|row| row == kept.row);
        match &self.kept {
            Some(kept) if is_now(kept) => self.dirty().map(|_| kept.clone()),
            _ => self.earlier.clone().filter(is_now),
        }
    }

    /// A replacement was cut off. The old version may be gone; the new one has its bytes wherever
    /// nothing was written.
    pub(super) fn cut_off(&mut self, replacing: Option<Replacing>) {
        if let Some(replacing) = &replacing {
            self.set_base(Arc::new(replacing.new.clone()));
        }
        self.replacing = replacing;
    }

    /// The base that lies in a scratch folder for this file alone.
    pub(super) fn aside(&self) -> Option<Arc<Entry>> {
        self.base().filter(|_| self.is_aside).cloned()
    }

    /// The staged file if the bed has not got its present content.
    pub(super) fn dirty(&self) -> Option<&Arc<StagedFile>> {
        self.staged().filter(|staged| self.published != Some(staged.generation()))
    }

    /// Whether bytes were written that nobody was promised yet.
    pub(super) fn has_unpromised(&self) -> bool {
        self.dirty().is_some_and(|staged| self.promised != Some(staged.generation()))
    }

    /// Whether the staged bytes are a version that was promised and is not at the service, and that is
    /// to stay until its successor is promised.
    pub(super) fn is_owed(&self) -> bool {
        let is_promised = self.kept.as_ref().is_some_and(|kept| {
            matches!(kept.phase, Phase::Closed | Phase::Failed) && kept.staged.size() > 0
        });
        is_promised && self.dirty().is_some() && !self.is_aside
    }

    /// Whether the last upload failed and nothing was written since.
    pub(super) fn failed_as_it_is(&self) -> bool {
        match (&self.error, self.staged()) {
            (Some((generation, _)), Some(staged)) => *generation == staged.generation(),
            _ => false,
        }
    }

    /// Why the service has not got it, be it told to the user or tried again.
    pub(super) fn obstacle(&self) -> Option<&Arc<str>> {
        self.error.as_ref().map(|(_, error)| error).or(self.waits_for.as_ref())
    }

    /// Whether it is here and not, or not so, at the service.
    pub(super) fn is_journaled(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.phase != Phase::Done)
    }

    /// Whether the service would not have it, and it waits for the user.
    pub(super) fn is_given_up(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.phase == Phase::Failed)
    }

    /// It was removed while it is uploaded: should that be cut off, its rows say that what it makes is to
    /// go.
    pub(super) fn leave_to_upload(&mut self) {
        if self.uploading {
            self.set_phase(Phase::Removed);
        }
    }

    /// The upload ended to which it was left: what that made is on its way out, or nothing was.
    pub(super) fn uploaded_in_vain(&mut self) {
        let rows = self.kept.iter_mut().chain(&mut self.earlier);
        let left = rows.filter(|kept| kept.phase == Phase::Removed);
        left.for_each(|kept| kept.phase = Phase::Done);
    }

    /// All of its rows are in this phase.
    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.kept.iter_mut().chain(&mut self.earlier).for_each(|kept| kept.phase = phase);
    }

    /// Whether one of these rows is of what is being uploaded.
    pub(super) fn is_uploading_any(&self, rows: &[RowId]) -> bool {
        self.uploading && self.rows().iter().any(|row| rows.contains(row))
    }

    /// The rows of the state file that are this file's.
    pub(super) fn rows(&self) -> Vec<RowId> {
        self.kept.iter().chain(&self.earlier).map(|kept| kept.row).collect()
    }
}

impl LocalFile {
    fn new(ino: Ino) -> Self {
        let one = || Semaphore::new(1);
        Self { ino, turn: one(), promising: one(), state: Mutex::default() }
    }

    /// The state, for a short section. Lock order: the right to write into the state file before
    /// `LocalFiles`, that before a state, a state before the tree's table and a staged file's extents.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use of a local file by one operation, for which it stays.
pub(super) struct InUse<'a> {
    fs: &'a Fs,
    file: Arc<LocalFile>,
}

impl<'a> InUse<'a> {
    /// Takes over a use that is counted already.
    pub(super) fn counted(fs: &'a Fs, file: Arc<LocalFile>) -> Self {
        Self { fs, file }
    }
}

impl Deref for InUse<'_> {
    type Target = Arc<LocalFile>;

    fn deref(&self) -> &Arc<LocalFile> {
        &self.file
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.file.state().users -= 1;
        self.fs.drop_local(self.file.ino);
    }
}

/// All local files by inode.
#[derive(Debug, Default)]
pub(super) struct LocalFiles {
    files: Mutex<HashMap<Ino, Arc<LocalFile>>>,
    /// Those of which an upload is under way: few of many. Each has its turn taken.
    sending: Mutex<HashMap<Ino, Arc<LocalFile>>>,
}

/// An upload that is under way, until it is dropped.
pub(super) struct Sending<'a> {
    files: &'a LocalFiles,
    ino: Ino,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.files.sending_files().remove(&self.ino);
    }
}

impl LocalFiles {
    fn sending_files(&self) -> MutexGuard<'_, HashMap<Ino, Arc<LocalFile>>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the file among those of which an upload is under way.
    pub(super) fn send(&self, file: &Arc<LocalFile>) -> Sending<'_> {
        self.sending_files().insert(file.ino, file.clone());
        Sending { files: self, ino: file.ino }
    }

    /// Every file of which an upload is under way.
    pub(super) fn sending(&self) -> Vec<Arc<LocalFile>> {
        self.sending_files().values().cloned().collect()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Ino, Arc<LocalFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, ino: Ino) -> Option<Arc<LocalFile>> {
        self.files().get(&ino).cloned()
    }

    /// The local file, made if there is none (`made` is then called), with `change` applied before
    /// anyone can drop it.
    pub(super) fn get_or_make(
        &self, ino: Ino, made: impl FnOnce(), change: impl FnOnce(&mut State),
    ) -> Arc<LocalFile> {
        let mut files = self.files();
        let file = files.entry(ino).or_insert_with(|| {
            made();
            Arc::new(LocalFile::new(ino))
        });
        change(&mut file.state());
        file.clone()
    }

    /// Drops the file if nobody uses it and it holds nothing that is wanted; `dropped` is called
    /// before anyone can make it anew. Gives what it held, which is to go from disk.
    #[must_use]
    pub(super) fn drop_if_idle(&self, ino: Ino, dropped: impl FnOnce()) -> Vec<Kept> {
        let mut files = self.files();
        let idle = files.get(&ino).is_some_and(|file| {
            let state = file.state();
            // A base that lies aside is the file's own, also when nothing was written over it.
            let wanted = !state.removed && (state.dirty().is_some() || state.is_aside);
            state.opens == 0 && state.users == 0 && !wanted
        });
        if idle && let Some(file) = files.remove(&ino) {
            dropped();
            let state = file.state();
            return state.kept.iter().chain(&state.earlier).cloned().collect();
        }
        Vec::new()
    }

    /// Every local file.
    pub(super) fn all(&self) -> Vec<Arc<LocalFile>> {
        self.files().values().cloned().collect()
    }
}
