//! A local file: one that is open, or holds bytes that the bed has not got.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::Fs;
use crate::staging::StagedFile;
use crate::types::{Entry, FileId, Ino};

/// The local side of one inode.
#[derive(Debug)]
pub(super) struct LocalFile {
    pub(super) ino: Ino,
    /// One publish, rename or removal of the file at a time.
    pub(super) turn: Semaphore,
    state: Mutex<State>,
}

/// What is held of the file here.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) opens: u32,
    /// Operations at work on the file beside the opens.
    pub(super) users: u32,
    /// Of the opens, those that may write.
    pub(super) writers: u32,
    pub(super) staged: Option<Arc<StagedFile>>,
    /// The object whose bytes show through where nothing is staged.
    pub(super) base: Option<Arc<Entry>>,
    /// The staged generation that the bed has; `None`: none of them.
    pub(super) published: Option<u64>,
    pub(super) uploading: bool,
    /// The user removed the file: its bytes are not wanted any more.
    pub(super) removed: bool,
    /// The generation whose upload failed last, and why.
    pub(super) error: Option<(u64, Arc<str>)>,
    /// The object was set aside when its name went; it is deleted when nobody has it open.
    pub(super) set_aside: Option<FileId>,
}

impl State {
    /// The staged file if the bed has not got its present content.
    pub(super) fn dirty(&self) -> Option<&Arc<StagedFile>> {
        self.staged.as_ref().filter(|staged| self.published != Some(staged.generation()))
    }

    /// Whether the last upload failed and nothing was written since.
    pub(super) fn failed_as_it_is(&self) -> bool {
        match (&self.error, &self.staged) {
            (Some((generation, _)), Some(staged)) => *generation == staged.generation(),
            _ => false,
        }
    }

    /// The value of `user.bedfs.state`.
    pub(super) fn name(&self) -> &'static str {
        if self.uploading {
            "uploading"
        } else if self.error.is_some() {
            "failed"
        } else if self.dirty().is_some() {
            "dirty"
        } else {
            "remote"
        }
    }
}

impl LocalFile {
    fn new(ino: Ino) -> Self {
        Self { ino, turn: Semaphore::new(1), state: Mutex::default() }
    }

    /// The state, for a short section. Lock order: `LocalFiles` before a state, a state before the
    /// tree's table and before a staged file's extents.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The staged file, made over `base` if there is none.
    pub(super) fn stage(
        &self, dir: &Path, name: &str, base: impl FnOnce() -> Option<Arc<Entry>>,
    ) -> std::io::Result<Arc<StagedFile>> {
        let mut state = self.state();
        if let Some(staged) = &state.staged {
            return Ok(staged.clone());
        }
        let base = base();
        let size = base.as_ref().map_or(0, |entry| entry.size());
        let staged = Arc::new(StagedFile::create(dir, name, size)?);
        // Over a base nothing has changed yet; a file that is only here is dirty from the start.
        state.published = base.is_some().then_some(staged.generation());
        state.base = base;
        state.staged = Some(staged.clone());
        Ok(staged)
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
}

impl LocalFiles {
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
    /// before anyone can make it anew.
    pub(super) fn drop_if_idle(&self, ino: Ino, dropped: impl FnOnce()) {
        let mut files = self.files();
        let idle = files.get(&ino).is_some_and(|file| {
            let state = file.state();
            let wanted = !state.removed && state.dirty().is_some();
            state.opens == 0 && state.users == 0 && !wanted
        });
        if idle {
            files.remove(&ino);
            dropped();
        }
    }

    /// Every local file.
    pub(super) fn all(&self) -> Vec<Arc<LocalFile>> {
        self.files().values().cloned().collect()
    }
}
