//! A carried local file: its opens, its staged bytes, what is promised of them and what is lent.

use std::os::fd::RawFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fs::lend::{Backing, Lent, What};
use crate::fs::lent_staged::LentStaged;
use crate::fs::local::{Kept, State};
use crate::fs::{Fs, Result};
use crate::staging::{self, StagedFile};
use crate::state::{Phase, RowId};
use crate::types::{Entry, FileId, Ino};

/// The local side of one inode.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CarriedFile {
    ino: Ino,
    opens: u32,
    writers: u32,
    kept: Option<CarriedKept>,
    earlier: Option<CarriedKept>,
    is_local: bool,
    is_aside: bool,
    origin: Option<String>,
    published: Option<u64>,
    promised: Option<u64>,
    is_restored: bool,
    sent: u32,
    removed: bool,
    error: Option<(u64, String)>,
    /// With the folder that it lies in.
    held: Option<(FileId, FileId)>,
    lent: Option<CarriedLent>,
    is_unread: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedKept {
    staged: staging::Carried,
    row: RowId,
    phase: Phase,
    base: Option<Entry>,
}

/// What the kernel has, and the number by which it knows it.
#[derive(Debug, Serialize, Deserialize)]
enum CarriedLent {
    Object(u32, FileId),
    Staged(u32, LentStaged),
}

impl CarriedFile {
    /// Of a file of which the service has the object in the folder `place`, if it is held.
    pub(super) fn of(
        ino: Ino, state: &State, place: Option<FileId>, descriptors: &mut Vec<RawFd>,
    ) -> Self {
        let mut carry = |kept: &Kept| CarriedKept {
            staged: kept.staged.carry(descriptors),
            row: kept.row,
            phase: kept.phase,
            base: kept.base.as_deref().cloned(),
        };
        Self {
            ino,
            opens: state.opens,
            writers: state.writers,
            kept: state.kept.as_ref().map(&mut carry),
            earlier: state.earlier.as_ref().map(&mut carry),
            is_local: state.is_local,
            is_aside: state.is_aside,
            origin: state.origin.clone(),
            published: state.published,
            promised: state.promised,
            is_restored: state.is_restored,
            sent: state.sent,
            removed: state.removed,
            error: state.error.as_ref().map(|(generation, text)| (*generation, text.to_string())),
            held: state.held.clone().zip(place),
            lent: state.lent.as_ref().map(CarriedLent::of),
            is_unread: state.is_unread,
        }
    }

    /// Rows of the state file that are of it.
    pub(super) fn rows(&self) -> impl Iterator<Item = RowId> {
        self.kept.iter().chain(&self.earlier).map(|kept| kept.row)
    }
}

impl CarriedLent {
    fn of(lent: &Lent) -> Self {
        let number = lent.backing.number();
        match &lent.what {
            What::Object { id, .. } => Self::Object(number, id.clone()),
            What::Staged(staged) => Self::Staged(number, staged.clone()),
        }
    }
}

impl Fs {
    pub(super) fn resume_file(
        &self, file: CarriedFile, backing: impl Fn(u32) -> Arc<Backing>,
    ) -> Result<()> {
        let dir = &self.options.staging;
        let kept = |kept: CarriedKept| -> std::io::Result<Kept> {
            let staged = Arc::new(StagedFile::resume(kept.staged, dir)?);
            let base = kept.base.map(Arc::new);
            Ok(Kept { staged, row: kept.row, phase: kept.phase, base })
        };
        let earlier = file.earlier.map(kept).transpose()?;
        let kept = file.kept.map(kept).transpose()?;
        let replacing = match &kept {
            Some(kept) => self.state.replacing(kept.row)?,
            None => None,
        };
        let lent = file.lent.map(|lent| self.resume_lent(file.ino, lent, backing));
        if let Some((object, folder)) = &file.held {
            self.bed.hold_again(object, folder);
        }
        let held = file.held.map(|(object, _)| object);
        let change = |state: &mut State| {
            (state.opens, state.writers) = (file.opens, file.writers);
            (state.kept, state.earlier) = (kept, earlier);
            (state.is_local, state.is_aside) = (file.is_local, file.is_aside);
            state.origin = file.origin;
            (state.published, state.promised) = (file.published, file.promised);
            state.replacing = replacing;
            (state.is_restored, state.sent, state.removed) =
                (file.is_restored, file.sent, file.removed);
            state.error = file.error.map(|(generation, text)| (generation, text.into()));
            (state.held, state.lent, state.is_unread) = (held, lent, file.is_unread);
        };
        let local = self.locals.get_or_make(file.ino, || self.tree.hold(file.ino), change);
        let is_waiting = {
            let state = local.state();
            let is_closed = state.kept.as_ref().is_some_and(|kept| kept.phase == Phase::Closed);
            is_closed && !state.removed && state.dirty().is_some() && !self.stays_here(&state)
        };
        if is_waiting {
            self.uploads.add(file.ino);
        }
        Ok(())
    }

    fn resume_lent(
        &self, ino: Ino, lent: CarriedLent, backing: impl Fn(u32) -> Arc<Backing>,
    ) -> Lent {
        match lent {
            CarriedLent::Object(number, id) => {
                let entry = self.tree.info(ino).ok().and_then(|info| info.entry().cloned());
                let entry = entry.filter(|entry| entry.id == id);
                let whole = entry.and_then(|entry| self.reader.whole_of_before(&entry));
                Lent { what: What::Object { id, _whole: whole }, backing: backing(number) }
            }
            CarriedLent::Staged(number, staged) => {
                Lent { what: What::Staged(staged), backing: backing(number) }
            }
        }
    }
}
