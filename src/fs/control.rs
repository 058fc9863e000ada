//! The control folder `.bedfs`: what the mount is doing, as files. Each is a snapshot of the moment
//! it was opened.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::attr::Attr;
use super::dir::DirEntry;
use super::file::Opened;
use super::{Error, Fs, Result};
use crate::config::Control;
use crate::pending::{self, Pending, Stage};
use crate::tree::{CONTROL_NAME, Error as TreeError};
use crate::types::Ino;

/// Inodes from here on are of the control folder; the tree counts from 1 and never comes here.
const FIRST: u64 = 1 << 62;

/// The folder itself.
pub(super) const FOLDER: Ino = Ino(FIRST);

/// What lies in it; the inode is the position, counted from 1.
const FILES: &[&str] = &["moved.csv", "pending.json", "status.json"];

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
        Ok(Opened {
            handle: self.handles.add_snapshot(content),
            is_stream: true,
            is_doubtful: false,
        })
    }

    fn control_content(&self, ino: Ino) -> Result<Vec<u8>> {
        let position = (ino.0 - FIRST - 1) as usize;
        let value = match FILES.get(position) {
            Some(&"moved.csv") => return self.moved(),
            Some(&"pending.json") => self.pending()?,
            Some(_) => self.status()?,
            None => return Err(TreeError::NotFound.into()),
        };
        let mut text = format!("{value:#}").into_bytes();
        text.push(b'\n');
        Ok(text)
    }

    /// Uploads and deletes that are not finished.
    fn pending(&self) -> Result<Value> {
        let mut under_way = HashMap::new();
        for local in self.locals.all() {
            let state = local.state();
            let (open, uploading) = (state.opens > 0, state.uploading);
            under_way.extend(state.rows().into_iter().map(|row| (row, (open, uploading))));
        }
        let all = pending::list(&self.state, &self.options.staging)?;
        let tell = |pending: Pending| {
            let here = pending.row.and_then(|row| under_way.get(&row));
            let state = match (here, pending.stage) {
                (Some((_, true)), _) => "uploading",
                // Outside of the mounted folder: another mount will see to it.
                (None, Stage::Waiting) if self.inside(&pending.path).is_none() => "elsewhere",
                (_, stage) => stage.name(),
            };
            json!({
                "path": pending.path,
                "operation": operation(pending.stage),
                "state": state,
                "size": pending.size,
                "open": here.is_some_and(|(open, _)| *open),
                "error": pending.error,
                "staged": pending.staged,
                "changed": pending.changed.to_string(),
            })
        };
        Ok(all.into_iter().map(tell).collect())
    }

    /// Which link took the place of which, as CSV.
    fn moved(&self) -> Result<Vec<u8>> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Error::Staging(std::io::Error::other(error));
        table.write_record(["old_link", "new_link", "path", "time"]).map_err(failed)?;
        for moved in self.state.moved()? {
            let time = jiff::Timestamp::from_second(moved.changed).unwrap_or_default().to_string();
            let (old, new) =
                (moved.old_link.unwrap_or_default(), moved.new_link.unwrap_or_default());
            table.write_record([&old, &new, &moved.path, &time]).map_err(failed)?;
        }
        table.into_inner().map_err(|error| Error::Staging(error.into_error()))
    }

    fn status(&self) -> Result<Value> {
        let pending = self.pending()?;
        let count = |state: &str| {
            let all = pending.as_array().map_or(&[][..], Vec::as_slice);
            all.iter().filter(|file| state.is_empty() || file["state"] == state).count()
        };
        let since = jiff::Timestamp::try_from(self.born).map(|at| at.to_string()).ok();
        let up = self.born.elapsed().unwrap_or_default().as_secs();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "mounted_at": since,
            "uptime_seconds": up,
            "inodes": self.tree.inodes(),
            "handles": self.handles.count(),
            "pending": count(""),
            "uploading": count("uploading"),
            "failed": count("failed"),
            "cache_bytes": self.reader.cache().held(),
            "cache_capacity": self.reader.cache().capacity(),
            "calls": self.bed.calls(),
        }))
    }
}

/// What is done about something pending.
fn operation(stage: Stage) -> &'static str {
    match stage {
        Stage::Deleting => "delete",
        Stage::Renaming => "rename",
        Stage::Waiting | Stage::Failed | Stage::Open | Stage::Interrupted => "upload",
    }
}
