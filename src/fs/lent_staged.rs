//! Lent staged bytes: those of a new file, which the kernel writes by itself.
//!
//! No write comes here then: `absorb` finds what was written by the state of the file on the local
//! disk, before anyone is told or promised anything of it. So that a crash leaves what is written, the
//! row in the state file is open for as long as a writer has the bytes, also when the service has all
//! that was written so far.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::sync::SemaphorePermit;

use super::handle::FileHandle;
use super::lend::{Backing, Lent, What};
use super::local::{InUse, Kept, LocalFile, State};
use super::{Error, Fs, Result, turn};
use crate::staging::StagedFile;
use crate::state::{LocalRow, Phase, RowId};
use crate::tree::Info;
use crate::types::Ino;

/// How often it is looked whether a file that is closed is still mapped.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Staged bytes that are lent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LentStaged {
    row: RowId,
    /// The generation that was last taken in.
    seen: u64,
    /// Whether somebody else opened it so that it can be mapped, and written to after its close.
    is_mappable: bool,
}

/// A file of which a close was counted.
pub(super) struct Closed<'a> {
    pub(super) local: InUse<'a>,
    pub(super) is_last_writer: bool,
    /// Held until the rest of the close is done.
    _pass: SemaphorePermit<'a>,
}

impl State {
    /// The staged bytes, if they are what is lent.
    pub(super) fn lent_staged(&self) -> Option<&Arc<StagedFile>> {
        let (kept, lent) = (self.kept.as_ref()?, self.lent.as_ref()?);
        let is_it = matches!(&lent.what, What::Staged(lent) if lent.row == kept.row);
        is_it.then_some(&kept.staged)
    }

    fn lent_to(&mut self) -> Option<&mut LentStaged> {
        match self.lent.as_mut().map(|lent| &mut lent.what) {
            Some(What::Staged(lent)) => Some(lent),
            _ => None,
        }
    }

    /// Whether the kernel may write the staged bytes at any time.
    pub(super) fn is_lent_to_writers(&self) -> bool {
        self.writers > 0 && self.lent_staged().is_some()
    }

    /// Whether somebody has what the kernel may write, of which the service has all so far.
    pub(super) fn is_held_by_writers(&self) -> bool {
        let is_held = self.lent_staged().is_some_and(|staged| !staged.is_alone());
        self.is_lent_to_writers() && self.dirty().is_none() && is_held
    }

    /// Whether somebody may have it mapped who has closed it.
    pub(super) fn is_mapped(&self) -> bool {
        let is_mappable = match self.lent.as_ref().map(|lent| &lent.what) {
            Some(What::Staged(lent)) => lent.is_mappable,
            _ => false,
        };
        is_mappable && self.lent_staged().is_some_and(|staged| !staged.is_alone())
    }

    /// Nobody has the file open any more: nothing of it is lent.
    pub(super) fn end_lending(&mut self) {
        if let Some(staged) = self.lent_staged() {
            staged.take_back();
        }
        self.lent = None;
    }
}

impl Fs {
    /// Lends a new file, or one that was just cut to nothing, to the one who opened it to write it. The
    /// kernel has no pages of such a file.
    pub(super) fn lend_staged(
        &self, state: &mut State, file: &FileHandle,
        register: impl FnOnce(&File) -> Option<Arc<Backing>>,
    ) -> Result<Option<Arc<Backing>>> {
        let is_new = |kept: &&Kept| kept.phase == Phase::Open && kept.staged.size() == 0;
        let kept = state.kept.as_ref().filter(is_new);
        let Some(kept) = kept.filter(|_| self.can_lend_staged && is_plain(file.flags)) else {
            return Ok(None);
        };
        let Some(backing) = kept.staged.lend()?.and_then(register) else {
            kept.staged.take_back();
            return Ok(None);
        };
        let (row, seen) = (kept.row, kept.staged.generation());
        let lent = LentStaged { row, seen, is_mappable: false };
        state.lent = Some(Lent { what: What::Staged(lent), backing: backing.clone() });
        state.is_unread = true;
        Ok(Some(backing))
    }

    /// One more has opened what is lent.
    pub(super) fn lend_too(&self, file: &FileHandle) -> Result<()> {
        if !file.writable {
            return Ok(());
        }
        let is_staged = {
            let mut state = file.local.state();
            let lent = state.lent_to();
            let is_staged = lent.is_some();
            let is_mappable = file.flags & libc::O_ACCMODE == libc::O_RDWR;
            lent.into_iter().for_each(|lent| lent.is_mappable |= is_mappable);
            is_staged
        };
        if is_staged && file.flags & libc::O_DIRECT != 0 {
            // What such a writer has under way shows in nothing.
            return Err(Error::Invalid("it is being written, and not directly on the disk"));
        }
        if is_staged {
            self.stage(&file.local)?;
        }
        Ok(())
    }

    /// Takes in what the kernel has written by itself: the file is as old as its last write.
    pub(super) fn absorb(&self, local: &LocalFile) -> Result<()> {
        let mut state = local.state();
        let Some(staged) = state.lent_staged().cloned() else { return Ok(()) };
        let generation = staged.generation();
        match state.lent_to() {
            Some(lent) if lent.seen != generation => lent.seen = generation,
            _ => return Ok(()),
        }
        let written = Some(staged.written()?);
        self.tree.set_attributes(local.ino, |set| (set.mtime, set.ctime) = (written, written));
        Ok(())
    }

    /// `absorb`, if anything of the file is here.
    pub(super) fn absorb_if_here(&self, ino: Ino) -> Result<()> {
        self.locals.get(ino).map_or(Ok(()), |local| self.absorb(&local))
    }

    /// A file is about to be closed by who wrote to it directly on the disk, as he may have chosen after
    /// he opened it. Such a write may move the file's time of change long before its bytes are there.
    pub fn doubt(&self, handle: u64) {
        if let Ok(file) = self.handles.file(handle)
            && file.writable
            && let Some(staged) = file.local.state().lent_staged()
        {
            staged.doubt();
        }
    }

    /// A copy of staged bytes that are lent, owed to the service and about to be cut. For
    /// `part_staged`, by who keeps others from promising more of them until then.
    pub(super) async fn copy_owed(&self, local: &LocalFile) -> Result<Option<NamedTempFile>> {
        let staged = {
            let state = local.state();
            state.lent_staged().filter(|_| state.is_owed()).cloned()
        };
        let Some(staged) = staged else { return Ok(None) };
        let dir = self.options.staging.clone();
        let copied = tokio::task::spawn_blocking(move || staged.copy(&dir)).await;
        Ok(Some(copied.map_err(std::io::Error::other)??))
    }

    /// Staged bytes that are lent, and are about to be cut, become a version of their own: the kernel
    /// goes on with them. Their name and row, which are given back, get the copy.
    pub(super) fn part_staged(
        &self, info: &Info, state: &mut State, copy: NamedTempFile,
    ) -> Result<Option<Kept>> {
        let Some(kept) = state.kept.clone() else { return Ok(None) };
        let row = self.new_row(info.parent, &info.name, info.attributes.clone())?;
        let row = LocalRow { is_local: state.is_local, ..row };
        let linked = Arc::new(kept.staged.link(&self.options.staging, &row.path())?);
        let seen = linked.generation();
        let later = self.record(row, linked, None)?;
        let copied = match kept.staged.part(copy, &self.options.staging) {
            Ok(copied) => Arc::new(copied),
            Err(error) => {
                self.drop_kept(&later);
                return Err(error.into());
            }
        };
        if let Some(lent) = state.lent_to() {
            (lent.row, lent.seen) = (later.row, seen);
        }
        state.kept = Some(later);
        Ok(Some(Kept { staged: copied, ..kept }))
    }

    /// Counts a close. Who has closed the file and has it mapped is a writer still, so the last close of a
    /// writer is one when nobody has.
    pub(super) async fn count_close(&self, handle: u64, file: &FileHandle) -> Closed<'_> {
        let mut pause = FIRST_LOOK;
        loop {
            let pass = turn(&self.unattended).await;
            if let Some(is_last_writer) = self.try_close(file) {
                self.handles.close(handle);
                let local = InUse::counted(self, file.local.clone());
                return Closed { local, is_last_writer, _pass: pass };
            }
            drop(pass);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Whether that was the last close of a writer; `None` while somebody has it mapped. A close that is
    /// counted leaves the file in use.
    fn try_close(&self, file: &FileHandle) -> Option<bool> {
        let mut state = file.local.state();
        let is_last_writer = file.writable && state.writers == 1;
        if is_last_writer && state.is_mapped() {
            return None;
        }
        state.users += 1;
        state.opens -= 1;
        state.writers -= u32::from(file.writable);
        if is_last_writer {
            self.lay_down(&mut state);
        }
        if state.opens == 0 {
            state.end_lending();
        }
        Some(is_last_writer)
    }

    /// The last writer is gone of bytes that are lent. Where the service has them a crash need not
    /// leave them.
    fn lay_down(&self, state: &mut State) {
        if state.lent_staged().is_none() || state.dirty().is_some() {
            return;
        }
        let Some(kept) = state.kept.as_mut().filter(|kept| kept.phase == Phase::Open) else {
            return;
        };
        match self.state.unwanted(kept.row) {
            Ok(()) => kept.phase = Phase::Done,
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Does so where nobody has the bytes any more, though their close was not told: a session may end
    /// before that. What a close would have told of them is not known, so they are held against the
    /// md5 of what the service has.
    pub(super) async fn lay_down_unheard(&self, local: &LocalFile) {
        let entry = self.tree.info(local.ino).ok().and_then(|info| info.entry().cloned());
        let listed = entry.and_then(|entry| entry.picture()?.md5);
        let staged = {
            let state = local.state();
            let staged = state.lent_staged().filter(|staged| staged.is_alone()).cloned();
            staged.filter(|_| state.dirty().is_none())
        };
        let (Some(staged), Some(listed)) = (staged, listed) else { return };
        staged.doubt();
        match staged.sum_aside().await {
            Ok(sum) if sum.md5 == listed => {
                let mut state = local.state();
                state.published = Some(sum.generation);
                self.lay_down(&mut state);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{:?}: {error}", self.tree.path(local.ino)),
        }
    }

    /// Keeps bytes for readers that the kernel wrote by itself, and of which it has no pages, once the
    /// service has them and nobody has the file open. The caller uses it.
    pub(super) async fn seed(&self, local: &LocalFile) {
        let (staged, entry) = {
            let mut state = local.state();
            let entry = self.tree.info(local.ino).ok().and_then(|info| info.entry().cloned());
            let is_at_rest = state.opens == 0 && state.dirty().is_none() && !state.removed;
            match (state.staged().cloned(), entry) {
                (Some(staged), Some(entry)) if is_at_rest && state.is_unread => {
                    state.is_unread = false;
                    (staged, entry)
                }
                _ => return,
            }
        };
        let seeded = async {
            let sum = staged.clone().sum_aside().await?;
            if entry.picture().is_none_or(|it| it.md5 != Some(sum.md5)) {
                // Another object has come into its place.
                return Ok(());
            }
            let seeded = self.reader.seed(&entry, staged.reader()?).await;
            if seeded.is_err() || staged.generation() != sum.generation {
                // Written to anew meanwhile.
                self.reader.forget(&entry);
            }
            seeded
        };
        if let Err(error) = seeded.await {
            tracing::warn!("what was sent is not kept for reading: {error}");
        }
    }
}

/// Whether a file that was opened so is written by calls that need not come here: a mapping's `msync`,
/// and a write that is synced at once, mean what `fsync` does; what is written directly on the disk may
/// be under way when its file is closed.
fn is_plain(flags: i32) -> bool {
    flags & (libc::O_ACCMODE | libc::O_DIRECT | libc::O_DSYNC) == libc::O_WRONLY
}
