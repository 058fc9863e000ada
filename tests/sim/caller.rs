//! A caller of a simulation: what the kernel asks the file system for on behalf of a program, in the
//! order in which it does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use bedfs::fs::{Change, DirEntry, Error, Fs, Maker};
use bedfs::types::Ino;

use crate::model;
use crate::program::Op;

const MAKER: Maker = Maker { mode: 0o644, uid: 0, gid: 0 };

/// The thread of a caller that cannot be seen: each close of it counts.
const NOBODY: u32 = 0;

/// Bytes of a request to read or write, at most.
const REQUEST: usize = 128 * 1024;

/// A program that uses a mount.
pub(crate) struct Caller {
    pub(crate) fs: Arc<Fs>,
}

/// What of a step is sure before it has ended.
pub(crate) type Synced<'a> = &'a mut dyn FnMut();

impl Caller {
    /// The inode of a path. The count of each inode on the way is given back.
    async fn find(&self, path: &str) -> Result<Ino, Error> {
        let mut at = Ino::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let found = self.fs.lookup(at, OsStr::new(name)).await;
            self.forget(at);
            at = found?.ino;
        }
        Ok(at)
    }

    fn forget(&self, ino: Ino) {
        if ino != Ino::ROOT {
            self.fs.forget(ino, 1);
        }
    }

    /// The folder that a path lies in, and its name there.
    async fn place<'a>(&self, path: &'a str) -> Result<(Ino, &'a OsStr), Error> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(folder).await?, OsStr::new(name)))
    }

    /// Takes a step. `synced` is told when an fsync was answered.
    pub(crate) async fn take(&self, step: usize, op: &Op, synced: Synced<'_>) -> Result<(), Error> {
        match op {
            Op::Write { path, len, is_synced } => {
                let bytes = model::bytes(step, *len);
                self.write(path, &bytes, is_synced.then_some(synced)).await
            }
            Op::Copy { from, to } => {
                let bytes = self.read(from).await?;
                self.write(to, &bytes, None).await
            }
            Op::Patch { path, at, len } => {
                let ino = self.find(path).await?;
                let bytes = model::bytes(step, *len);
                let done = self.patch(ino, *at as u64, &bytes).await;
                self.forget(ino);
                done
            }
            Op::Cut { path, len } => {
                let ino = self.find(path).await?;
                let done = self.cut(ino, *len as u64).await;
                self.forget(ino);
                done
            }
            Op::Rename { from, to } => {
                let (from, name) = self.place(from).await?;
                let (to, new_name) = self.place(to).await?;
                let renamed = self.fs.rename(from, name, to, new_name, false).await;
                [from, to].into_iter().for_each(|folder| self.forget(folder));
                renamed
            }
            Op::Remove { path } => {
                let (folder, name) = self.place(path).await?;
                let removed = self.fs.unlink(folder, name).await;
                self.forget(folder);
                removed
            }
            Op::MakeFolder { path } => {
                let (folder, name) = self.place(path).await?;
                let made = self.fs.mkdir(folder, name, MAKER).await;
                self.forget(folder);
                made.map(|made| self.forget(made.ino))
            }
            Op::RemoveFolder { path } => {
                let (folder, name) = self.place(path).await?;
                let removed = self.fs.rmdir(folder, name).await;
                self.forget(folder);
                removed
            }
            Op::Read { .. } | Op::Elsewhere { .. } | Op::Wait { .. } | Op::Fill { .. } => Ok(()),
        }
    }

    async fn write(
        &self, path: &str, bytes: &[u8], synced: Option<Synced<'_>>,
    ) -> Result<(), Error> {
        let (folder, name) = self.place(path).await?;
        let opened = match self.fs.lookup(folder, name).await {
            Ok(attr) => {
                let opened = self.open(attr.ino, libc::O_WRONLY);
                if opened.is_err() {
                    self.forget(attr.ino);
                }
                let handle = opened?;
                let cut = Change { size: Some(0), ..Change::default() };
                self.fs.setattr(attr.ino, cut).await.map(|_| (attr.ino, handle))
            }
            Err(_) => {
                let flags = libc::O_WRONLY | libc::O_CREAT;
                let made = self.fs.create(folder, name, MAKER, flags, NOBODY).await;
                made.map(|(attr, opened)| (attr.ino, opened.handle))
            }
        };
        self.forget(folder);
        let (ino, handle) = opened?;
        let written = async {
            let half = bytes.len() / 2;
            match synced {
                None => self.pour(handle, 0, bytes).await,
                Some(synced) => {
                    self.pour(handle, 0, &bytes[..half]).await?;
                    self.fs.fsync(handle).await?;
                    synced();
                    self.pour(handle, half as u64, &bytes[half..]).await
                }
            }
        };
        let closed = match written.await {
            Ok(()) => self.close(handle).await,
            failed => failed,
        };
        self.fs.release(handle).await;
        self.forget(ino);
        closed
    }

    fn open(&self, ino: Ino, flags: i32) -> Result<u64, Error> {
        Ok(self.fs.open(ino, flags, NOBODY)?.handle)
    }

    async fn pour(&self, handle: u64, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut at = offset;
        for part in bytes.chunks(REQUEST) {
            match self.fs.write_here(handle, at, part) {
                Some(written) => written?,
                None => self.fs.write(handle, at, part).await?,
            }
            at += part.len() as u64;
        }
        Ok(())
    }

    async fn close(&self, handle: u64) -> Result<(), Error> {
        match self.fs.wants_flush(handle, NOBODY)? {
            true => self.fs.flush(handle).await,
            false => Ok(()),
        }
    }

    async fn patch(&self, ino: Ino, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let handle = self.open(ino, libc::O_RDWR)?;
        let done = match self.pour(handle, at, bytes).await {
            Ok(()) => self.close(handle).await,
            failed => failed,
        };
        self.fs.release(handle).await;
        done
    }

    async fn cut(&self, ino: Ino, len: u64) -> Result<(), Error> {
        let handle = self.open(ino, libc::O_WRONLY)?;
        let cut = Change { size: Some(len), handle: Some(handle), ..Change::default() };
        let done = match self.fs.setattr(ino, cut).await {
            Ok(_) => self.close(handle).await,
            Err(error) => Err(error),
        };
        self.fs.release(handle).await;
        done
    }

    /// All that is in a file.
    pub(crate) async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let ino = self.find(path).await?;
        let read = self.read_ino(ino).await;
        self.forget(ino);
        read
    }

    async fn read_ino(&self, ino: Ino) -> Result<Vec<u8>, Error> {
        let handle = self.open(ino, libc::O_RDONLY)?;
        let mut whole = Vec::new();
        let end = loop {
            let at = whole.len() as u64;
            let part = match self.fs.read_here(handle, at, REQUEST) {
                Ok(read) => read,
                Err(asked) => self.fs.read(handle, at, REQUEST, asked).await,
            };
            match part {
                Ok(part) if part.is_empty() => break Ok(whole),
                Ok(part) => whole.extend(part),
                Err(error) => break Err(error),
            }
        };
        self.fs.release(handle).await;
        end
    }

    /// All names, and what files hold.
    pub(crate) async fn walk(&self) -> Result<BTreeMap<String, Option<Vec<u8>>>, (String, Error)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let names = self.list(&folder).await.map_err(|error| (folder.clone(), error))?;
            for (name, is_folder) in names {
                let path = match &*folder {
                    "" => name,
                    folder => format!("{folder}/{name}"),
                };
                let node = if is_folder {
                    folders.push(path.clone());
                    None
                } else {
                    let read = self.read(&path).await;
                    Some(read.map_err(|error| (path.clone(), error))?)
                };
                found.insert(path, node);
            }
        }
        Ok(found)
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, bool)>, Error> {
        let ino = self.find(folder).await?;
        let handle = self.fs.opendir(ino).await?;
        let names = self.names(handle).await;
        self.fs.releasedir(handle);
        self.forget(ino);
        let names = names?;
        let names = names.iter().filter(|entry| !matches!(&*entry.name, "." | ".."));
        Ok(names.map(|entry| (entry.name.to_string(), entry.is_folder)).collect())
    }

    /// The names of an open folder, asked for until there are no more.
    async fn names(&self, handle: u64) -> Result<Arc<Vec<DirEntry>>, Error> {
        let mut offset = 0;
        loop {
            let names = match self.fs.readdir_here(handle, offset) {
                Some(names) => names,
                None => self.fs.readdir(handle, offset).await,
            }?;
            if names.len() <= offset {
                return Ok(names);
            }
            offset = names.len();
        }
    }
}
