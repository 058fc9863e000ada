//! What is pending: uploads and deletes that are not finished, as the state file tells it. It can be
//! asked with a mount and without one.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::names::LocalNames;
use crate::state::{LocalRow, Phase, Result, RowId, State};

/// One upload or delete that is not finished.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The row of an upload; `None` for a delete.
    pub row: Option<RowId>,
    /// The path from the bed's root; of a delete the name.
    pub path: String,
    /// How far it is.
    pub stage: Stage,
    /// Bytes staged.
    pub size: u64,
    /// Where these are on disk.
    pub staged: Option<PathBuf>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it last changed.
    pub changed: Timestamp,
}

/// How far something pending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was closed, and will be uploaded.
    Waiting,
    /// The service refused it; it waits for the user.
    Failed,
    /// It was being written when its mount ended; it waits for the user.
    Interrupted,
    /// It is to be deleted.
    Deleting,
}

impl Stage {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "pending",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Deleting => "deleting",
        }
    }
}

/// Everything that is pending, the oldest first. `staging` is where staged bytes are.
pub fn list(state: &State, staging: &Path, names: &LocalNames) -> Result<Vec<Pending>> {
    let uploads = state.locals()?;
    let uploads = uploads.into_iter().filter_map(|row| upload(row, staging, names));
    let deletes = state.deletes()?.into_iter().map(|delete| Pending {
        row: None,
        path: delete.name,
        stage: Stage::Deleting,
        size: 0,
        staged: None,
        error: None,
        changed: Timestamp::from_second(delete.changed).unwrap_or_default(),
    });
    Ok(uploads.chain(deletes).collect())
}

/// A row as an upload; `None` if it is none: a name for here only, or nothing in it.
fn upload(row: LocalRow, staging: &Path, names: &LocalNames) -> Option<Pending> {
    if row.is_folder || names.has(&row.name) || row.folder.is_local() {
        return None;
    }
    let stage = match row.phase {
        Phase::Open => Stage::Interrupted,
        Phase::Closed => Stage::Waiting,
        Phase::Failed => Stage::Failed,
        Phase::Done => return None,
    };
    let staged = row.staged.as_ref().map(|name| staging.join(name));
    let metadata = staged.as_ref().and_then(|path| std::fs::metadata(path).ok());
    // What is gone from disk is told; what is empty is nothing to upload.
    if metadata.as_ref().is_some_and(|metadata| metadata.len() == 0) {
        return None;
    }
    Some(Pending {
        row: Some(row.id),
        path: row.path(),
        stage,
        size: metadata.map_or(0, |metadata| metadata.len()),
        staged,
        error: row.error,
        changed: Timestamp::from_second(row.changed).unwrap_or_default(),
    })
}
