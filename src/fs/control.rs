//! The control folder `.bedfs`: what the mount is doing, as files. Each is a snapshot of the moment
//! it was opened.

use serde_json::{Value, json};

use super::attr::Attr;
use super::dir::DirEntry;
use super::file::Opened;
use super::{Error, Fs, Result};
use crate::config::Control;
use crate::tree::{CONTROL_NAME, Error as TreeError};
use crate::types::Ino;

/// Inodes from here on are of the control folder; the tree counts from 1 and never comes here.
const FIRST: u64 = 1 << 62;

/// The folder itself.
pub(super) const FOLDER: Ino = Ino(FIRST);

/// What lies in it; the inode is the position, counted from 1.
const FILES: &[&str] = &["pending.json", "status.json"];

/// Whether the inode is the control folder or in it.
pub(super) fn is_control(ino: Ino) -> bool {
    ino.0 >= FIRST
}

fn ino_of(position: usize) -> Ino {
    Ino(FIRST + 1 + position as u64)
}

impl Fs {
    /// What a name of the control folder, or the folder itself, comes to; `None` for other names.
    pub(super) fn control_lookup(&self, parent: Ino, name: &str) -> Option<Result<Attr>> {
        if parent == FOLDER {
            let found = FILES.iter().position(|file| *file == name);
            return Some(match found {
                Some(position) => self.control_attr(ino_of(position)),
                None => Err(TreeError::NotFound.into()),
            });
        }
        let is_it = parent == Ino::ROOT && name == CONTROL_NAME;
        (is_it && self.options.control != Control::Off).then(|| self.control_attr(FOLDER))
    }

    pub(super) fn control_attr(&self, ino: Ino) -> Result<Attr> {
        let is_folder = ino == FOLDER;
        let size = if is_folder { 0 } else { self.control_content(ino)?.len() as u64 };
        let now = if is_folder { self.born } else { std::time::SystemTime::now() };
        Ok(Attr {
            ino,
            is_folder,
            size,
            mode: if is_folder { 0o555 } else { 0o444 } & !self.options.umask,
            uid: self.options.uid,
            gid: self.options.gid,
            atime: now,
            mtime: now,
            ctime: now,
            created: self.born,
        })
    }

    pub(super) fn control_names(&self) -> Vec<DirEntry> {
        let names = FILES.iter().enumerate();
        names
            .map(|(position, name)| DirEntry {
                ino: ino_of(position),
                name: (*name).into(),
                is_folder: false,
            })
            .collect()
    }

    pub(super) fn open_control(&self, ino: Ino) -> Result<Opened> {
        if ino == FOLDER {
            return Err(Error::IsAFolder);
        }
        let content = self.control_content(ino)?;
        Ok(Opened { handle: self.handles.add_snapshot(content), is_stream: true })
    }

    fn control_content(&self, ino: Ino) -> Result<Vec<u8>> {
        let position = (ino.0 - FIRST - 1) as usize;
        let value = match FILES.get(position) {
            Some(&"pending.json") => self.pending(),
            Some(_) => self.status(),
            None => return Err(TreeError::NotFound.into()),
        };
        let mut text = format!("{value:#}").into_bytes();
        text.push(b'\n');
        Ok(text)
    }

    /// Uploads that are not finished. An empty file that exists only here is no upload.
    fn pending(&self) -> Value {
        let locals = self.locals.all();
        let pending = locals.iter().filter_map(|local| {
            let state = local.state();
            let staged = state.dirty().filter(|staged| staged.size() > 0)?;
            let (size, staged) = (staged.size(), staged.path().to_owned());
            let (name, open) = (state.name(), state.opens > 0);
            let error = state.error.as_ref().map(|(_, error)| error.to_string());
            drop(state);
            let path = self.tree.path(local.ino);
            Some(json!({ "path": path, "state": name, "size": size, "open": open, "error": error,
                "staged": staged }))
        });
        pending.collect()
    }

    fn status(&self) -> Value {
        let pending = self.pending();
        let count = |state: &str| {
            let all = pending.as_array().map_or(&[][..], Vec::as_slice);
            all.iter().filter(|file| state.is_empty() || file["state"] == state).count()
        };
        let since = jiff::Timestamp::try_from(self.born).map(|at| at.to_string()).ok();
        let up = self.born.elapsed().unwrap_or_default().as_secs();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "mounted_at": since,
            "uptime_seconds": up,
            "inodes": self.tree.inodes(),
            "pending": count(""),
            "uploading": count("uploading"),
            "failed": count("failed"),
            "cache_bytes": self.reader.cache().held(),
            "cache_capacity": self.reader.cache().capacity(),
            "calls": self.bed.calls(),
        })
    }
}
