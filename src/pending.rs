//! What is pending: uploads and deletes that are not finished, as the state file tells it. It can be
//! asked with a mount and without one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::names;
use crate::staging;
use crate::state::{self, LocalRow, Phase, Result, RowId, State};
use crate::types::{Attributes, FileId};

/// One upload or delete that is not finished.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The row of an upload; `None` for a delete.
    pub row: Option<RowId>,
    /// The path from the bed's root.
    pub path: String,
    /// How far it is.
    pub stage: Stage,
    /// Bytes staged.
    pub size: u64,
    /// Where these are on disk.
    pub staged: Option<PathBuf>,
    /// Whether it was begun over an old version, part of which may be at the service only.
    pub is_over_old: bool,
    /// Whether a new version stands in a scratch folder, and the old one may be gone.
    pub is_replacing: bool,
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
    /// It is being written.
    Open,
    /// It was being written when its mount ended; it waits for the user.
    Interrupted,
    /// It is to be deleted.
    Deleting,
    /// A rename of it is under way, or was cut off and will be gone on with.
    Renaming,
    /// It is no upload: a program left it under a name that it uses while it saves.
    Left,
}

impl Stage {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "pending",
            Self::Failed => "failed",
            Self::Open => "dirty",
            Self::Interrupted => "interrupted",
            Self::Deleting => "deleting",
            Self::Renaming => "renaming",
            Self::Left => "local",
        }
    }
}

/// The folder of staged files in the account's folder.
pub const STAGING: &str = "staging";

/// How long nothing may happen to a file under a saver's name before it counts as left there. No save
/// takes so long.
const LEFT_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Everything that is pending, the oldest first. `staging` is where staged bytes are.
pub fn list(state: &State, staging: &Path) -> Result<Vec<Pending>> {
    let uploads = state.locals()?;
    let uploads = uploads.into_iter().filter_map(|row| upload(row, staging));
    let deletes = state.deletes()?.into_iter().map(|delete| {
        let changed = Timestamp::from_second(delete.changed).unwrap_or_default();
        without_bytes(delete.path, Stage::Deleting, changed)
    });
    let now = Timestamp::now();
    let renaming = |path| without_bytes(path, Stage::Renaming, now);
    let renames = state.renames()?.into_iter().map(|rename| renaming(rename.path));
    let pours = state.pours()?.into_iter().map(|pour| renaming(pour.name));
    Ok(uploads.chain(deletes).chain(renames).chain(pours).collect())
}

/// Files that programs left under names which they use while they save, the oldest first.
pub fn left(state: &State, staging: &Path, now: Timestamp) -> Result<Vec<Pending>> {
    let is_savers = |row: &LocalRow| {
        // Its neighbour was there when it got the name.
        let is_so = row.is_local && names::is_savers(&row.name, |_| true);
        let is_file = !row.is_folder && !row.folder.is_local();
        is_so && is_file && matches!(row.phase, Phase::Open | Phase::Closed)
    };
    let rows = state.locals()?.into_iter().filter(is_savers);
    let left = rows.filter_map(|row| staged(row, Stage::Left, staging));
    Ok(left.filter(|file| now.duration_since(file.changed) >= LEFT_AFTER).collect())
}

fn without_bytes(path: String, stage: Stage, changed: Timestamp) -> Pending {
    let (row, staged, error) = (None, None, None);
    let (is_over_old, is_replacing) = (false, false);
    Pending { row, path, stage, size: 0, staged, is_over_old, is_replacing, error, changed }
}

/// A row as an upload; `None` if it is none: a name for here only, or nothing in it.
fn upload(row: LocalRow, staging: &Path) -> Option<Pending> {
    // What stays here is no upload; where its place is gone, it waits for the user all the same.
    if row.is_folder || (row.is_local && row.phase != Phase::Failed) {
        return None;
    }
    let stage = match row.phase {
        Phase::Open => Stage::Open,
        Phase::Interrupted => Stage::Interrupted,
        Phase::Closed => Stage::Waiting,
        Phase::Failed => Stage::Failed,
        Phase::Removed => Stage::Deleting,
        Phase::Done => return None,
    };
    staged(row, stage, staging)
}

/// A row as it is on disk; `None` if nothing is in it.
fn staged(row: LocalRow, stage: Stage, staging: &Path) -> Option<Pending> {
    let staged = row.staged.as_ref().map(|name| staging.join(name));
    let metadata = staged.as_ref().and_then(|path| std::fs::metadata(path).ok());
    // What is gone from disk is told; what is empty is nothing to upload.
    if metadata.as_ref().is_some_and(|metadata| metadata.len() == 0) {
        return None;
    }
    let recorded = Timestamp::from_second(row.changed).unwrap_or_default();
    let written = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
    let written = written.and_then(|at| Timestamp::try_from(at).ok());
    Some(Pending {
        row: Some(row.id),
        path: row.path(),
        stage,
        size: metadata.map_or(0, |metadata| metadata.len()),
        staged,
        is_over_old: row.base.is_some(),
        is_replacing: row.replacing.is_some(),
        error: row.error,
        changed: written.map_or(recorded, |written| written.max(recorded)),
    })
}

/// Why the folder of staged files could not be gone through.
#[derive(Debug, thiserror::Error)]
pub enum StrayError {
    /// The state file failed.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The folder failed.
    #[error("the folder of staged files {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Takes over what a mount left that ended without a word: files that were being written were
/// interrupted, and staged files that no row names, as after a damaged state file, get one. For who
/// has the account's lock: a mount that runs has files for which the row is about to come.
pub fn take_over(state: &State, staging: &Path) -> Result<(), StrayError> {
    for row in state.locals()? {
        if row.phase == Phase::Open && !row.is_local {
            state.interrupted(row.id)?;
        }
    }
    adopt_strays(state, staging)
}

/// Staged files that no row names, as after a damaged state file: they get one.
fn adopt_strays(state: &State, staging: &Path) -> Result<(), StrayError> {
    let failed = |source| StrayError::Folder { path: staging.to_owned(), source };
    let rows = state.locals()?;
    let known: HashSet<_> = rows.iter().filter_map(|row| row.staged.as_deref()).collect();
    for file in std::fs::read_dir(staging).map_err(failed)? {
        let file = file.map_err(failed)?;
        let Ok(name) = file.file_name().into_string() else { continue };
        let metadata = file.metadata().map_err(failed)?;
        if known.contains(&*name) || !metadata.is_file() || staging::is_log(&name) {
            continue;
        }
        if metadata.len() == 0 {
            std::fs::remove_file(file.path()).map_err(failed)?;
            continue;
        }
        tracing::warn!("staged bytes without a name were found: bedfs pending tells");
        // TIME-RANDOM-LABEL, where the label is the end of the path it had.
        let label = name.splitn(3, '-').nth(2).unwrap_or(&name).replace('%', "/");
        let (folder_path, plain) = label.rsplit_once('/').unwrap_or(("", &label));
        state.begin(&LocalRow {
            id: RowId(0),
            folder: FileId::root(),
            folder_path: folder_path.to_owned(),
            name: plain.to_owned(),
            is_folder: false,
            is_local: false,
            staged: Some(name.clone()),
            phase: Phase::Interrupted,
            error: None,
            base: None,
            is_aside: false,
            origin: None,
            replacing: None,
            sent: Vec::new(),
            changed: 0,
            attributes: Attributes::default(),
        })?;
    }
    Ok(())
}
