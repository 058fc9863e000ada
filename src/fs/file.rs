//! Files: opened, created, read, closed.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::attr::{Attr, Maker, SET_ID};
use super::control::ControlFolder;
use super::handle::FileHandle;
use super::local::{InUse, LocalFile, State};
use super::{Error, Fs, Result, control, turn};
use crate::aside::aside;
use crate::config::Upload;
use crate::process;
use crate::read::Asked;
use crate::staging::Staged;
use crate::tree::{Error as TreeError, What};
use crate::types::{Entry, Ino};

/// How long who reads waits until a link is recorded.
const WRITE_DOWN: Duration = Duration::from_millis(200);

/// An opened file.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// The number of the handle.
    pub handle: u64,
    /// Whether the content has no size that the kernel could rely on.
    pub is_stream: bool,
    /// Whether pages that the kernel has of the content may be wrong, and are to be dropped.
    pub is_doubtful: bool,
}

impl Fs {
    /// Opens a file of the bed. `pid` is the thread that does.
    pub fn open(&self, ino: Ino, flags: i32, pid: u32) -> Result<Opened> {
        let writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        if control::is_control(ino) {
            return Err(Error::NotPermitted);
        }
        let info = self.tree.info(ino)?;
        if info.is_folder() {
            return Err(Error::IsAFolder);
        }
        if info.parent.is_none() && self.locals.get(ino).is_none() {
            // The kernel remembers a name that a listing took away; told so, it looks again.
            return Err(Error::Stale);
        }
        if writable {
            self.writable()?;
        }
        let handle = self.open_file(ino, flags, pid);
        let is_doubtful = self.is_doubtful(ino);
        Ok(Opened { handle, is_stream: false, is_doubtful })
    }

    /// Whether pages that the kernel has of a file may be wrong. Told for an open that is answered
    /// with it.
    fn is_doubtful(&self, ino: Ino) -> bool {
        let alone = self.locals.get(ino).is_none_or(|local| local.state().opens <= 1);
        let info = self.tree.info(ino).ok();
        let is_rolled_back = self.rolled_back().remove(&ino);
        let is_told = info
            .is_some_and(|info| info.entry().is_some_and(|entry| self.reader.open(entry, alone)));
        is_told || is_rolled_back
    }

    fn open_file(&self, ino: Ino, flags: i32, pid: u32) -> u64 {
        let writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let local = self.local_with(ino, |state| {
            state.opens += 1;
            state.writers += u32::from(writable);
        });
        let opener = process::thread_group(pid);
        let (wrote, is_rolled_back) = (AtomicBool::new(false), AtomicBool::new(false));
        let file = FileHandle { local, writable, opener, wrote, is_rolled_back };
        self.handles.add_file(file)
    }

    /// Makes a file that exists only here until it is closed with bytes in it, and opens it.
    pub async fn create(
        &self, parent: Ino, name: &OsStr, maker: Maker, flags: i32, pid: u32,
    ) -> Result<(Attr, Opened)> {
        self.writable()?;
        let name = self.new_name(parent, name)?;
        let known = self.find_to_stage(parent, name).await?;
        let ino = match known {
            Some(_) if flags & libc::O_EXCL != 0 => return Err(Error::Exists),
            Some(ino) if self.tree.info(ino)?.is_folder() => return Err(Error::IsAFolder),
            Some(ino) => ino,
            None => self.make_file(parent, name, maker)?,
        };
        let handle = self.open_file(ino, flags, pid);
        // Where the kernel took the file for new it does not ask for the cut in a call of its own.
        let cut = match flags & libc::O_TRUNC != 0 && known.is_some() {
            true => self.cut_to_nothing(ino).await,
            false => Ok(()),
        };
        match cut.and_then(|()| self.entry(ino)) {
            Ok(attr) => {
                let is_doubtful = self.is_doubtful(ino);
                Ok((attr, Opened { handle, is_stream: false, is_doubtful }))
            }
            Err(error) => {
                self.release(handle).await;
                Err(error)
            }
        }
    }

    async fn cut_to_nothing(&self, ino: Ino) -> Result<()> {
        if self.getattr(ino)?.size > 0 {
            self.stage_anew(&self.local(ino)).await?;
        }
        self.touch(ino);
        Ok(())
    }

    /// Makes a file without opening it. It stays here until it has bytes.
    pub async fn mknod(&self, parent: Ino, name: &OsStr, maker: Maker) -> Result<Attr> {
        self.writable()?;
        let name = self.new_name(parent, name)?;
        if self.find_to_stage(parent, name).await?.is_some() {
            return Err(Error::Exists);
        }
        let ino = self.make_file(parent, name, maker)?;
        self.promise(&self.local(ino)).await?;
        self.entry(ino)
    }

    /// The inode that the folder calls `name`, for one who puts bytes there.
    async fn find_to_stage(&self, parent: Ino, name: &str) -> Result<Option<Ino>> {
        match self.options.upload {
            Upload::Close => self.find(parent, name).await,
            Upload::Background => self.find_here(parent, name).await,
        }
    }

    fn make_file(&self, parent: Ino, name: &str, maker: Maker) -> Result<Ino> {
        // It needs little, but is the beginning of something that needs more.
        self.state.room().hold()?;
        let ino = self.tree.add_file(parent, name, None)?;
        // Dropped without staged bytes, the file goes again.
        let local = self.local(ino);
        local.state().is_local = self.is_local_file(Some(parent), name);
        self.tree.set_local(ino, local.state().is_local);
        self.stage(&local)?;
        self.written(ino);
        let maker = Maker { mode: maker.mode & !SET_ID, ..maker };
        self.set_maker(parent, ino, maker, 0o666)?;
        Ok(ino)
    }

    /// The local side of a file, made if there is none, for one operation.
    pub(super) fn local(&self, ino: Ino) -> InUse<'_> {
        InUse::counted(self, self.local_with(ino, |state| state.users += 1))
    }

    /// The local side of a file, made if there is none. It holds the inode.
    fn local_with(&self, ino: Ino, change: impl FnOnce(&mut State)) -> Arc<LocalFile> {
        self.locals.get_or_make(ino, || self.tree.hold(ino), change)
    }

    /// Lets the local side go if nobody needs it.
    pub(super) fn drop_local(&self, ino: Ino) {
        let dropped = self.locals.drop_if_idle(ino, || {
            self.tree.set_staged(ino, false);
            match self.tree.info(ino).map(|info| info.what) {
                // Neither here nor at the service any more: it was removed elsewhere while open.
                Ok(What::File(None)) => self.tree.remove(ino),
                Ok(What::File(Some(entry))) => self.reader.close(&entry.id),
                Ok(What::Folder { .. }) | Err(_) => {}
            }
            self.tree.release(ino);
        });
        // Whoever makes it anew meanwhile has nothing of this.
        dropped.iter().for_each(|kept| self.drop_kept(kept));
    }

    /// Reads what can be read without the network. The error, where that is not enough, is what is on
    /// its way then.
    pub fn read_here(
        &self, handle: u64, offset: u64, len: usize,
    ) -> std::result::Result<Result<Vec<u8>>, Option<Asked>> {
        if let Some(snapshot) = self.handles.snapshot(handle) {
            return Ok(snapshot.read(offset, len).map_err(Error::Cache));
        }
        let file = match self.handles.file(handle) {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        let Some(staged) = file.local.state().staged().cloned() else {
            let info = self.tree.info(file.local.ino).map_err(|_| None)?;
            let entry = info.entry().ok_or(None)?;
            let bytes = self.reader.read_here(entry, offset, len)?;
            ControlFolder::count(&self.control.hits);
            return Ok(Ok(bytes));
        };
        match staged.read_at(offset, len) {
            Ok(Staged::Bytes(bytes)) => Ok(Ok(bytes)),
            Ok(Staged::Missing(_)) => Err(None),
            Err(error) => Ok(Err(error.into())),
        }
    }

    /// Reads, from the service where need be, what `read_here` did not find.
    pub async fn read(
        &self, handle: u64, offset: u64, len: usize, asked: Option<Asked>,
    ) -> Result<Vec<u8>> {
        let file = self.handles.file(handle)?;
        let (staged, base) = {
            let state = file.local.state();
            (state.staged().cloned(), state.base().cloned())
        };
        if let Some(staged) = staged {
            let base = self.with_link(file.local.ino, base).await?;
            if let Some(base) = &base {
                let mut state = file.local.state();
                if state.base().is_some_and(|known| known.id == base.id) {
                    state.set_base(base.clone());
                }
            }
            return Ok(self.bed.read_staged(&staged, base.as_ref(), offset, len).await?);
        }
        let entry = self.tree.info(file.local.ino)?.entry().cloned();
        // What is here is read without a link.
        let is_here = entry.as_ref().is_some_and(|entry| self.reader.has(entry, offset, len));
        let entry = match is_here {
            true => entry,
            false => self.with_link(file.local.ino, entry).await?,
        };
        match entry {
            Some(entry) => {
                ControlFolder::count(&self.control.misses);
                let read = self.reader.read_on(&entry, offset, len, asked).await;
                if let Err(error) = &read {
                    self.look_again(file.local.ino, error).await;
                }
                Ok(read?)
            }
            None => Err(TreeError::NotFound.into()),
        }
    }

    /// The entry with its link, which is not known right after an upload. The service may take some
    /// seconds to tell it, and some tell it in listings only.
    pub(super) async fn with_link(
        &self, ino: Ino, entry: Option<Arc<Entry>>,
    ) -> Result<Option<Arc<Entry>>> {
        let entry = match entry {
            Some(entry) if !entry.has_link() => entry,
            entry => return Ok(entry),
        };
        for pause in self.bed.looks() {
            match self.bed.detail(&entry.id).await {
                Ok(fresh) if fresh.has_link() => {
                    let fresh = Arc::new(fresh);
                    self.tree.update_entry(ino, fresh.clone());
                    self.write_link_down(fresh.clone()).await?;
                    return Ok(Some(fresh));
                }
                Err(error) if error.api().is_some_and(|error| error.is_denied()) => {
                    return Err(error.into());
                }
                Ok(_) | Err(_) => {}
            }
            let info = self.tree.info(ino)?;
            if let Some(parent) = info.parent {
                self.tree.refresh(parent).await?;
            }
            let listed = self.tree.info(ino)?.entry().cloned();
            if let Some(listed) = listed.filter(|listed| listed.id == entry.id && listed.has_link())
            {
                return Ok(Some(listed));
            }
            tokio::time::sleep(pause).await;
        }
        Ok(Some(entry))
    }

    /// Records the link of an object that took another's place. Whoever reads does not wait for a
    /// process that has the state file.
    async fn write_link_down(&self, entry: Arc<Entry>) -> Result<()> {
        if !self.state.without_link()?.contains(&entry.id) {
            return Ok(());
        }
        let state = self.state.clone();
        let written = tokio::spawn(aside(move || {
            if let Err(error) = state.learn_link(&entry) {
                tracing::warn!("a link is not written down yet: {error}");
            }
        }));
        // It goes on, and is looked for by the replay if it fails.
        drop(tokio::time::timeout(WRITE_DOWN, written).await);
        Ok(())
    }

    /// Whether this close of a descriptor has something to upload.
    ///
    /// Every close of a duplicate comes here. The first process's close counts: a child that
    /// inherited the descriptor closes it while the parent still writes. Unless the opener is gone,
    /// for then nobody else's close comes.
    pub fn wants_flush(&self, handle: u64, pid: u32) -> Result<bool> {
        if self.handles.snapshot(handle).is_some() {
            return Ok(false);
        }
        let file = self.handles.file(handle)?;
        if !file.writable || file.local.state().dirty().is_none() {
            return Ok(false);
        }
        let is_meant = {
            let state = file.local.state();
            // Cut without a write, or tried again after a failure.
            state.writers == 1 || state.failed_as_it_is()
        };
        if !file.wrote.load(Ordering::Relaxed) && !is_meant {
            return Ok(false);
        }
        Ok(match (file.opener, process::thread_group(pid)) {
            (Some(opener), Some(closer)) => opener == closer || !process::is_alive(opener),
            _ => true,
        })
    }

    /// The content was changed through this handle otherwise than by a write.
    pub(super) fn mark_written(&self, handle: u64) {
        if let Ok(file) = self.handles.file(handle) {
            file.wrote.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps what was written: 0 means that it will not be lost.
    pub async fn flush(&self, handle: u64) -> Result<()> {
        let file = self.handles.file(handle)?;
        file.wrote.store(false, Ordering::Relaxed);
        let settled = self.settle(&file.local).await;
        if settled.is_err() && self.roll_back(&file.local, 1).await? {
            file.is_rolled_back.store(true, Ordering::Relaxed);
        }
        settled
    }

    /// As `flush`, whoever asks, and by a handle of any kind.
    pub async fn fsync(&self, handle: u64) -> Result<()> {
        match self.handles.snapshot(handle) {
            Some(_) => Ok(()),
            None => {
                let file = self.handles.file(handle)?;
                self.settle(&file.local).await?;
                self.keep_times(file.local.ino);
                Ok(())
            }
        }
    }

    /// Closes a file. What no close could upload is uploaded now, and its failure told to the log.
    pub async fn release(&self, handle: u64) {
        let Ok(file) = self.handles.file(handle) else { return self.handles.close(handle) };
        let is_last_writer = {
            let mut state = file.local.state();
            let is_last_writer = file.writable && state.writers == 1;
            state.users += 1;
            state.opens -= 1;
            state.writers -= u32::from(file.writable);
            is_last_writer
        };
        self.handles.close(handle);
        let local = InUse::counted(self, file.local.clone());
        // A close may have been answered early: its upload is waited for, and not repeated.
        drop(turn(&local.turn).await);
        let is_wanted = is_last_writer && !local.state().failed_as_it_is();
        let settled = async {
            self.roll_back(&local, 0).await?;
            self.settle(&local).await
        };
        if is_wanted && let Err(error) = settled.await {
            tracing::error!("{:?} is not uploaded: {error}", self.tree.path(local.ino));
        }
        self.keep_times(local.ino);
        self.release_held(&local);
    }

    /// Lets the object of a removed file go, if nobody has it open any more.
    pub(super) fn release_held(&self, local: &LocalFile) {
        let mut state = local.state();
        if state.opens == 0
            && let Some(object) = state.held.take()
        {
            self.bed.release(&object);
        }
    }
}
