//! Publishing: staged bytes become the content of their name at the service.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use super::local::{Kept, LocalFile};
use super::{Error, Fs, Result, turn};
use crate::aside::aside;
use crate::bed::{self, Bytes, Stored, Target};
use crate::staging::{StagedFile, Sum};
use crate::state::{Delete, Phase, Published, RowId};
use crate::tree;
use crate::types::{Entry, FileId, Ino, Md5};
use crate::upload;

/// Where a file is to be published, if not where it is: a rename by upload.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: Ino,
    pub(super) name: String,
    /// The object there that it takes the place of.
    pub(super) old: Option<Arc<Entry>>,
    /// Rows of what is here of that.
    pub(super) ends: Vec<RowId>,
}

impl Fs {
    /// Uploads the file if the bed has not got its present content. An empty file stays here: it
    /// is nothing to publish yet.
    pub(super) async fn publish(&self, local: &Arc<LocalFile>) -> Result<()> {
        let _turn = turn(&local.turn).await;
        let stays = self.stays_here(&local.state());
        if stays { Ok(()) } else { self.publish_in_turn(local, None).await }
    }

    /// As `publish`, for one who has the file's turn, and to another place if one is given.
    pub(super) async fn publish_in_turn(
        &self, local: &Arc<LocalFile>, place: Option<&Place>,
    ) -> Result<()> {
        let _sending = self.locals.send(local);
        // What goes on being written to is copied before the second try, and then cannot change.
        let (mut copy, mut row) = (false, None);
        loop {
            let kept = {
                let mut state = local.state();
                let Some(kept) = state.to_publish(row) else { return Ok(()) };
                row = Some(kept.row);
                if state.removed {
                    return Ok(());
                }
                state.uploading = true;
                kept
            };
            let generation = kept.staged.generation();
            let once = AssertUnwindSafe(self.publish_once(local, &kept, place, copy));
            let result = once.catch_unwind().await.unwrap_or(Err(Error::Bug));
            let is_changed = result.as_ref().is_err_and(is_changed);
            let removed = {
                let mut state = local.state();
                (state.uploading, state.bound_for) = (false, None);
                // Never completed, so never an object.
                state.sent = state.sent.saturating_sub(u32::from(is_changed));
                state.uploaded_in_vain();
                state.removed.then(|| (state.rows(), state.sent))
            };
            let Err(error) = result else { return Ok(()) };
            if let Some((rows, sent)) = removed {
                match sent {
                    0 => rows.iter().try_for_each(|row| self.state.unwanted(*row))?,
                    _ => self.look_for_removed(local, &rows),
                }
                return Ok(());
            }
            let changed = is_changed || kept.staged.generation() != generation;
            if copy || !changed {
                // What it was in the middle of is gone on with at the next try.
                let mut state = local.state();
                state.cut_off(self.state.replacing(kept.row)?);
                // A version that was promised meanwhile is uploaded for itself, and has not failed.
                let is_superseded = place.is_none() && state.to_publish(row).is_none();
                return if is_superseded { Ok(()) } else { Err(error) };
            }
            copy = true;
        }
    }

    /// One try.
    async fn publish_once(
        &self, local: &LocalFile, kept: &Kept, place: Option<&Place>, copy: bool,
    ) -> Result<()> {
        let _permit = turn(&self.structure).await;
        let (parent, mut target) = self.target(local, place).await?;
        let _change = self.tree.changing([&target.folder])?;
        let cut_off = local.state().replacing.clone();
        if let Some(replacing) = cut_off {
            let resumed = self.bed.resume_replace(&target, &replacing, kept.row).await?;
            if let Some(stored) = resumed {
                self.take_in(local, kept, place, &stored, None)?;
                target.old = Some(Arc::new(stored.new));
            }
            local.state().replacing = None;
        }
        if kept.staged.leans_on_base() {
            let base = local.state().base_of(kept.row);
            let base = self.with_link(local.ino, base).await?;
            self.bed.fill(&kept.staged, &base.ok_or(tree::Error::NotFound)?).await?;
        }
        let source = if copy { self.snapshot(&kept.staged).await? } else { kept.staged.clone() };
        let sum = source.clone().sum_aside().await?;
        local.state().bound_for = Some((target.folder.clone(), target.name.clone()));
        self.wait_for_removed(local.ino, &target).await?;
        self.bed.flush_deletes(&target.folder, Some(&target.name)).await?;
        let old: Vec<&FileId> = target.old.iter().map(|old| &old.id).collect();
        self.spare_twin(parent, &target.name, &old, (sum.md5, sum.size)).await?;
        let unchanged = || {
            let is_wanted = {
                let state = local.state();
                // A version after it may have been promised meanwhile.
                !state.removed && state.rows().contains(&kept.row)
            };
            is_wanted && source.generation() == sum.generation
        };
        let may_be_there = self.record_sent(local, kept.row, sum)?;
        let earlier = &*self.state.completing(kept.row, sum.md5, sum.size)?;
        // One that lies in a scratch folder is junk after a crash, and needs no asking after.
        let is_in_place = target.old.is_none();
        let sent = |preupload: &str| {
            drop(local.state().place.take());
            if is_in_place {
                self.record_completing(local, kept.row, sum, preupload);
            }
        };
        let (row, staged, unchanged, sent) = (kept.row, &*source, &unchanged, &sent);
        let bytes = Bytes { row, staged, sum, may_be_there, unchanged, earlier, sent };
        let stored = self.bed.store(&target, bytes).await?;
        self.tree.doubt_twins(parent, local.ino, sum.md5, sum.size)?;
        self.take_in(local, kept, place, &stored, Some(sum))
    }

    /// Where the bytes are to go, and the object whose place they take there.
    async fn target(&self, local: &LocalFile, place: Option<&Place>) -> Result<(Ino, Target)> {
        if let Some(Place { parent, name, old, .. }) = place {
            return Ok((*parent, self.target_in(local.ino, *parent, name, old.clone())?));
        }
        let info = self.tree.info(local.ino)?;
        // Its folder may have been removed elsewhere.
        let parent = info.parent.ok_or(tree::Error::NotFound)?;
        let is_restored = local.state().is_restored;
        if is_restored {
            // What has the name now was not asked yet.
            self.tree.ensure_listed(parent).await?;
            self.restore(parent)?;
        }
        let info = self.tree.info(local.ino)?;
        let name =
            info.entry().map_or_else(|| info.name.to_string(), |entry| entry.name.to_string());
        let mut old = info.entry().cloned();
        if let Some(entry) = &old {
            if self.tree.has_other(parent, &name, &entry.id)? {
                // The new version could not come into a name that another object has.
                return Err(Error::Doubled);
            }
            if !self.is_still_there(local.ino, entry).await? {
                old = None;
            }
        }
        Ok((parent, self.target_in(local.ino, parent, &name, old)?))
    }

    /// A name in a folder as a target for `ino`, and what has the name.
    pub(super) fn target_in(
        &self, ino: Ino, parent: Ino, name: &str, old: Option<Arc<Entry>>,
    ) -> Result<Target> {
        let is_open = old.as_ref().is_some_and(|old| self.reader_of(&old.id, ino).is_some());
        let (folder, folder_path) = (self.tree.folder_id(parent)?, self.bed_path(parent));
        Ok(Target { folder, folder_path, name: name.to_owned(), old, is_open })
    }

    /// A file other than this one that somebody reads from the object, and that loses its name.
    fn reader_of(&self, object: &FileId, but: Ino) -> Option<Arc<LocalFile>> {
        let is_it = |local: &Arc<LocalFile>| {
            let is_read = {
                let state = local.state();
                let leans = state.staged().is_none_or(|staged| staged.missing().is_some());
                state.opens > 0 && leans && local.ino != but
            };
            let entry = self.tree.info(local.ino).ok().and_then(|info| info.entry().cloned());
            is_read && entry.is_some_and(|entry| entry.id == *object)
        };
        self.locals.all().into_iter().find(is_it)
    }

    /// An object that was taken aside goes when nobody has it open.
    fn hold_open(&self, delete: Delete, but: Ino) {
        let object = delete.object.clone();
        self.bed.hold(delete);
        self.hold_for_reader(&object, but);
    }

    /// An object whose delete is held goes with the last close of who reads it.
    pub(super) fn hold_for_reader(&self, object: &FileId, but: Ino) {
        match self.reader_of(object, but) {
            Some(reader) => {
                reader.state().held = Some(object.clone());
                // The last close may have come meanwhile.
                self.release_held(&reader);
            }
            None => self.bed.release(object),
        }
    }

    /// Nothing is put beside its own twin where the service would drop the older of the two.
    pub(super) async fn spare_twin(
        &self, folder: Ino, name: &str, but: &[&FileId], (md5, size): (Md5, u64),
    ) -> Result<()> {
        let Some(twin) = self.tree.twin(folder, but, name, md5, size)? else { return Ok(()) };
        match self.bed.twins_vanish().await {
            Ok(false) => Ok(()),
            // What could not be found out is not risked either.
            Err(bed::Error::Probe(error)) if error.api().is_none() => {
                tracing::warn!("how the service treats the same bytes twice is not known: {error}");
                Err(Error::Twin(twin.to_string()))
            }
            vanish => vanish.map_err(Error::from).and(Err(Error::Twin(twin.to_string()))),
        }
    }

    /// Takes in that the service has the bytes: the state file, the tree and the file know it
    /// together. Without a sum it has bytes of before, and those of now are still to come.
    fn take_in(
        &self, local: &LocalFile, kept: &Kept, place: Option<&Place>, stored: &Stored,
        sum: Option<Sum>,
    ) -> Result<()> {
        let info = self.tree.info(local.ino)?;
        let (parent, name) = match place {
            Some(place) => (Some(place.parent), place.name.clone()),
            None => (info.parent, info.name.to_string()),
        };
        let path = self.path_in(parent, &name);
        let writing = self.state.writing()?;
        // Held to the end: a removal comes before all of it, or after.
        let mut state = local.state();
        if state.removed {
            drop((state, writing));
            return self.take_back(kept, &stored.new);
        }
        let is_current = state.kept.as_ref().is_some_and(|now| now.row == kept.row);
        let is_done =
            sum.is_some_and(|sum| !is_current || kept.staged.generation() == sum.generation);
        // What was taken aside ends here too: its bytes are in the new object.
        let aside = state.aside().filter(|_| is_current && sum.is_some());
        let (old, new) = (stored.old.as_deref().or(aside.as_deref()), &stored.new);
        let mut ends = place.map(|place| place.ends.clone()).unwrap_or_default();
        let is_superseding = is_current && is_done;
        ends.extend(state.earlier.as_ref().filter(|_| is_superseding).map(|kept| kept.row));
        let later = stored.old.as_ref().zip(stored.aside.clone());
        let later = later.map(|(old, folder)| Delete::of(old, folder, path.clone()));
        let ended = aside.as_ref().map(|base| Delete::of(base, base.parent.clone(), path.clone()));
        let deletes: Vec<Delete> = later.iter().chain(&ended).cloned().collect();
        writing.published(
            kept.row,
            &Published {
                path: &path,
                old,
                new,
                attributes: &info.attributes,
                is_done,
                ends: &ends,
                deletes: &deletes,
            },
        )?;
        let superseded = state.earlier.take_if(|_| is_superseding);
        // Before the file counts as clean, or it would be let go as one that nobody has.
        if let Some(place) = place {
            self.tree.rename(local.ino, place.parent, &place.name)?;
        }
        self.tree.set_entry(local.ino, Arc::new(new.clone()));
        self.keep_what_changed(local.ino, &info.attributes);
        if let (true, Some(sum)) = (is_current, sum) {
            state.published = Some(sum.generation);
            state.sent = 0;
            (state.waits_for, state.error) = (None, None);
            (state.is_aside, state.is_local) = (false, false);
            if let (true, Some(kept)) = (is_done, &mut state.kept) {
                kept.phase = Phase::Done;
            }
        } else if is_current {
            // It has the base's bytes wherever nothing was written.
            state.set_base(Arc::new(new.clone()));
        } else if let (Some(earlier), true) = (&mut state.earlier, is_done) {
            // Written anew meanwhile: what was sent is the version before.
            earlier.phase = Phase::Done;
        }
        let is_clean = state.dirty().is_none();
        state.uploading &= sum.is_none();
        drop(state);
        self.bed.undelete(&new.id);
        if is_clean {
            self.tree.set_staged(local.ino, false);
        }
        superseded.into_iter().for_each(|kept| self.drop_kept(&kept));
        later.into_iter().for_each(|delete| self.hold_open(delete, local.ino));
        self.bed.take_in(ended.into_iter().map(|delete| (delete, None)).collect(), false);
        if let Some(old) = &stored.old {
            self.tree.bury(local.ino, &old.id);
            self.reader.close(&old.id);
        }
        Ok(())
    }

    /// The path from the bed's root of a name in a folder.
    pub(super) fn path_in(&self, parent: Option<Ino>, name: &str) -> String {
        match parent.map(|parent| self.bed_path(parent)) {
            Some(folder) if !folder.is_empty() => format!("{folder}/{name}"),
            _ => name.to_owned(),
        }
    }

    async fn snapshot(&self, staged: &Arc<StagedFile>) -> Result<Arc<StagedFile>> {
        let (staged, dir) = (staged.clone(), self.options.staging.clone());
        let room = self.state.room().clone();
        let copy = move || room.ask(staged.size(), || staged.snapshot(&dir));
        Ok(Arc::new(aside(copy).await?))
    }
}

/// Whether an upload ended before anything could come about, because its file was written to.
fn is_changed(error: &Error) -> bool {
    matches!(error, Error::Bed(bed::Error::Upload(upload::Error::Changed)))
}
