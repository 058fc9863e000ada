//! Folders: look-ups, listings, and folders made.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attr::{Attr, Maker};
use super::control::ControlFolder;
use super::handle::{FolderHandle, Names};
use super::{Error, Fs, Result, control, turn};
use crate::names::{self, NameError};
use crate::state::Phase;
use crate::tree::{CONTROL_NAME, Child, Error as TreeError, SCRATCH_PREFIX};
use crate::types::{Attributes, FileId, Ino};

/// One name in an open folder.
#[derive(Clone, Debug)]
pub struct DirEntry {
    /// The inode.
    pub ino: Ino,
    /// The name.
    pub name: Arc<str>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

impl From<Child> for DirEntry {
    fn from(child: Child) -> Self {
        Self { ino: child.ino, name: child.name, is_folder: child.is_folder }
    }
}

impl FolderHandle {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs {
    /// The inode that a folder calls `name`. The kernel's count of it rises.
    pub async fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Attr> {
        if name.len() > names::NAME_MAX {
            return Err(NameError::TooLong.into());
        }
        // No name of the mount is anything but UTF-8.
        let name = name.to_str().ok_or(TreeError::NotFound)?;
        ControlFolder::count(&self.control.lookups);
        match name {
            "." => return self.lookup_self(parent).await,
            ".." => return self.lookup_parent(parent).await,
            _ => {}
        }
        if self.is_control_name(parent, name) {
            // What is in it may have to be read from the state file: in a task.
            tokio::task::yield_now().await;
            return self.control_lookup(parent, name).await;
        }
        let ino = self.look_up(parent, name).await?.ok_or(TreeError::NotFound)?;
        self.entry(ino)
    }

    /// The attributes of an inode about to be told to the kernel.
    pub fn entry(&self, ino: Ino) -> Result<Attr> {
        self.tree.remember(ino);
        self.getattr(ino).inspect_err(|_| self.tree.forget(ino, 1))
    }

    /// Opens a folder: makes sure that its names are known, or the first of them.
    pub async fn opendir(&self, ino: Ino) -> Result<u64> {
        let coming = match control::is_control(ino) {
            true => {
                self.open_control_folder(ino).await?;
                None
            }
            false => self.tree.look(ino).await?,
        };
        if coming.is_none() && !control::is_control(ino) {
            self.restore(ino)?;
        }
        let names = match coming {
            Some(coming) => {
                Names { known: self.fixed_names(ino)?.into(), coming: Some((coming, 0)) }
            }
            None => Names { known: self.names(ino)?.into(), coming: None },
        };
        Ok(self.handles.add_folder(FolderHandle { ino, names: Mutex::new(names) }))
    }

    /// The names of an open folder, to be given from `offset` on: a position in the list as it was
    /// when the reading began. From 0 on it is taken anew. `None`: the next ones have not come yet.
    pub fn readdir_here(&self, handle: u64, offset: usize) -> Option<Result<Arc<Vec<DirEntry>>>> {
        let folder = match self.handles.folder(handle) {
            Ok(folder) => folder,
            Err(error) => return Some(Err(error)),
        };
        let mut names = folder.names();
        if offset == 0 && names.coming.is_none() {
            match self.names(folder.ino) {
                Ok(anew) => names.known = anew.into(),
                Err(error) => return Some(Err(error)),
            }
        }
        let is_there = names.coming.is_none() || offset < names.known.len();
        is_there.then(|| Ok(names.known.clone()))
    }

    /// As `readdir_here`, when the names have come.
    pub async fn readdir(&self, handle: u64, offset: usize) -> Result<Arc<Vec<DirEntry>>> {
        let folder = self.handles.folder(handle)?;
        loop {
            let waiting = {
                let names = folder.names();
                match &names.coming {
                    Some(coming) if offset >= names.known.len() => coming.clone(),
                    _ => return Ok(names.known.clone()),
                }
            };
            let (mut coming, given) = waiting;
            let more = coming.after(given).await?;
            // What was removed here and comes about at the service is taken out of view by this.
            self.restore(folder.ino)?;
            // What is here and not at the service comes last.
            let rest = if more.is_none() { self.rest_of_names(folder.ino)? } else { Vec::new() };
            let mut names = folder.names();
            match (more, &mut names.coming) {
                (Some(more), Some((_, so_far))) if *so_far == given => {
                    *so_far += more.len();
                    let shown = more.into_iter().filter(|child| {
                        let named = self.tree.child(folder.ino, &child.name);
                        named.is_ok_and(|ino| ino == Some(child.ino))
                    });
                    Arc::make_mut(&mut names.known).extend(shown.map(DirEntry::from));
                }
                (None, coming @ Some(_)) => {
                    *coming = None;
                    let known: HashSet<Ino> = names.known.iter().map(|name| name.ino).collect();
                    Arc::make_mut(&mut names.known)
                        .extend(rest.into_iter().filter(|name| !known.contains(&name.ino)));
                }
                // Another reader of the same handle was first.
                (_, _) => {}
            }
        }
    }

    fn rest_of_names(&self, ino: Ino) -> Result<Vec<DirEntry>> {
        Ok(self.tree.children(ino)?.into_iter().map(DirEntry::from).collect())
    }

    fn names(&self, ino: Ino) -> Result<Vec<DirEntry>> {
        let mut names = self.fixed_names(ino)?;
        match control::is_control(ino) {
            true => names.extend(self.control_names(ino)?),
            false => names.extend(self.tree.children(ino)?.into_iter().map(DirEntry::from)),
        }
        Ok(names)
    }

    /// The names that are no object's.
    fn fixed_names(&self, ino: Ino) -> Result<Vec<DirEntry>> {
        let parent = match control::is_control(ino) {
            true => self.control_parent(ino),
            false => self.tree.info(ino)?.parent.unwrap_or(ino),
        };
        let folder = |ino, name: &str| DirEntry { ino, name: name.into(), is_folder: true };
        let mut names = vec![folder(ino, "."), folder(parent, "..")];
        if ino == Ino::ROOT && self.options.control == crate::config::Control::Visible {
            names.push(folder(control::FOLDER, CONTROL_NAME));
        }
        Ok(names)
    }

    /// Closes a folder.
    pub fn releasedir(&self, handle: u64) {
        self.handles.close(handle);
    }

    /// Makes a folder at the service.
    pub async fn mkdir(&self, parent: Ino, name: &OsStr, maker: Maker) -> Result<Attr> {
        self.writable()?;
        let name = self.new_name(parent, name)?;
        if self.find(parent, name).await?.is_some() {
            return Err(Error::Exists);
        }
        if self.is_local_place(Some(parent), name) {
            return self.make_local_folder(parent, name, maker);
        }
        let _permit = turn(&self.structure).await;
        let folder = self.tree.folder_id(parent)?;
        self.bed.flush_deletes(&folder, Some(name)).await?;
        let _change = self.tree.changing([&folder])?;
        let id = match self.bed.make_folder(&folder, name).await {
            Ok(id) => id,
            Err(error) => {
                // Refused, perhaps since somebody else made it: then the caller is told just that.
                let refused = error.api().is_some_and(crate::api::Error::is_refused);
                if refused
                    && self.tree.refresh(parent).await.is_ok()
                    && self.tree.child(parent, name)?.is_some()
                {
                    return Err(Error::Exists);
                }
                return Err(error.into());
            }
        };
        let ino = self.tree.add_folder(parent, name, id)?;
        self.set_maker(parent, ino, maker, 0o777)?;
        self.entry(ino)
    }

    /// Makes a folder that stays on this machine.
    fn make_local_folder(&self, parent: Ino, name: &str, maker: Maker) -> Result<Attr> {
        let mut row = self.new_row(Some(parent), name, Attributes::default())?;
        (row.is_folder, row.is_local, row.phase) = (true, true, Phase::Closed);
        let row = self.state.begin(&row)?;
        let ino = self.tree.add_folder(parent, name, FileId::local(row.0))?;
        self.set_maker(parent, ino, maker, 0o777)?;
        self.entry(ino)
    }

    /// A name that may be given to something new in the folder. Costs no call.
    pub(super) fn new_name<'a>(&self, parent: Ino, name: &'a OsStr) -> Result<&'a str> {
        if control::is_control(parent) {
            return Err(Error::NotPermitted);
        }
        let name = names::check(name)?;
        if parent == Ino::ROOT && name == CONTROL_NAME {
            return Err(Error::Exists);
        }
        // It would be taken for a scratch folder, and never shown.
        if parent == Ino::ROOT && name.starts_with(SCRATCH_PREFIX) {
            return Err(Error::Invalid(
                "names that begin with .bedfs-scratch- are taken in the root",
            ));
        }
        Ok(name)
    }
}
