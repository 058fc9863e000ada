//! The error of this room: what was being done with which file, and what SQLite said.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::disk::{self, Room};

/// Why the state file could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// SQLite failed.
    #[error("{what} in the state file {path}: {source}{}", hint(.source))]
    Sqlite {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// The file is of a later version of the program.
    #[error(
        "the state file {path} was written by a newer bedfs (its form is {found}, this one knows \
         {known}): use that one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: i64,
        /// The latest form known here.
        known: i64,
    },
    /// The file is of a version of before the first release.
    #[error(
        "the state file {path} is of a bedfs of before its first release: have that one upload what its \
         bedfs pending lists, then move the file away"
    )]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// A mount or command of this account is at work.
    #[error(
        "{holder} works with this account on this machine; {}", .holder.way_out()
    )]
    Held {
        /// Who it is.
        holder: super::Holder,
    },
}

fn hint(source: &rusqlite::Error) -> &'static str {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; make room on its disk",
        Some(ErrorCode::DatabaseBusy) => "; another process has been changing it for 30 s",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; is its folder there, and writable?"
        }
        _ => "",
    }
}

impl Error {
    pub(super) fn new(what: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { what, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(super) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source: Arc::new(source) }
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code(),
            _ => None,
        }
    }

    /// Whether the file is no state file, or one with broken content.
    pub fn is_damaged(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
    }

    /// Whether there was no room on the disk. SQLite does not always tell.
    pub(super) fn is_short_of_room(&self, room: &Room) -> bool {
        match self.code() {
            Some(ErrorCode::DiskFull) => true,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => room.is_used_up(),
            _ => matches!(self, Self::Io { source, .. } if disk::is_full(source)),
        }
    }

    /// What the disk was up to, as the system would say it.
    pub fn kind(&self) -> std::io::ErrorKind {
        use std::io::ErrorKind;
        match (self, self.code()) {
            (Self::Io { source, .. }, _) => source.kind(),
            (_, Some(ErrorCode::DiskFull)) => ErrorKind::StorageFull,
            (_, Some(ErrorCode::ReadOnly)) => ErrorKind::ReadOnlyFilesystem,
            _ => ErrorKind::Other,
        }
    }
}
