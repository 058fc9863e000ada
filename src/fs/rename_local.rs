//! Renames between names that stay on this machine and names of the bed: the saves of editors,
//! browsers and rsync.

use std::ffi::OsStr;
use std::sync::Arc;

use super::local::{Kept, LocalFile};
use super::publish::Place;
use super::{Error, Fs, Result};
use crate::aside::aside;
use crate::bed;
use crate::config::Upload;
use crate::state::{Acknowledged, Delete, Phase, Whereabouts};
use crate::tree::{Error as TreeError, Info};
use crate::types::{Entry, Ino};

impl Fs {
    /// A file that is only here gets another place or name. Under a name that is not for here only
    /// it is uploaded, if it is closed; its upload takes the place of what has the name.
    pub(super) async fn rename_local(
        &self, local: &Arc<LocalFile>, info: &Info, to: Ino, name: &str,
        over: Option<&Arc<LocalFile>>,
    ) -> Result<()> {
        let old = match over {
            Some(over) => self.object_there(over.ino).await?,
            None => None,
        };
        let aside = {
            let state = local.state();
            state.aside().filter(|_| state.dirty().is_none())
        };
        if self.is_local_file(Some(to), name) {
            return self.take_place(local, (to, name), true, over, None);
        }
        if let Some(base) = aside {
            return self.bring_back(local, info, &base, (to, name), over, old).await;
        }
        let (is_written, is_empty) = {
            let state = local.state();
            // The kernel tells of a last close some time after it: all was promised by then.
            let is_written = state.writers > 0 && state.has_unpromised();
            (is_written, state.staged().is_none_or(|staged| staged.size() == 0))
        };
        self.promise(local).await?;
        if !is_written && !is_empty && self.options.upload == Upload::Close {
            let ends = over.map(|over| over.state().rows()).unwrap_or_default();
            let place = Place { parent: to, name: name.to_owned(), old, ends };
            return self.publish_as(local, place, over).await;
        }
        self.take_place(local, (to, name), false, over, old)?;
        if !is_written && !is_empty {
            self.uploads.add(local.ino);
        }
        Ok(())
    }

    /// A rename that needs nothing of the service, now or before it is answered, and gives what was
    /// renamed: of a file that is only here, to a name that is for here only, or which the service is
    /// to have of it when it can. It waits for no upload, and for no other rename. `None`: it is
    /// another one.
    pub(super) async fn rename_here(
        &self, (from, name): (Ino, &OsStr), (to, new_name): (Ino, &str), exclusive: bool,
    ) -> Result<Option<Ino>> {
        let is_local = self.is_local_file(Some(to), new_name);
        if self.options.upload == Upload::Close && !is_local {
            return Ok(None);
        }
        let what = self.named_here(from, name).await?;
        let Some(local) = self.locals.get(what.ino) else { return Ok(None) };
        // While it is uploaded it has the name that it had.
        let Ok(_turn) = local.turn.try_acquire() else { return Ok(None) };
        let there = self.find_here(to, new_name).await?;
        let Some(over) = self.over(&what, there, exclusive)? else { return Ok(Some(what.ino)) };
        if over.as_ref().is_some_and(Info::is_folder) {
            return Err(Error::IsAFolder);
        }
        let over_local = over.as_ref().map(|over| self.local(over.ino));
        let over_turn = over_local.as_ref().map(|over| over.turn.try_acquire());
        let Ok(_over_turn) = over_turn.transpose() else { return Ok(None) };
        self.promise(&local).await?;
        if !self.is_only_here(&local)? {
            return Ok(None);
        }
        let old = over.as_ref().and_then(|over| over.entry().cloned()).filter(|_| !is_local);
        self.take_place(&local, (to, new_name), is_local, over_local.as_deref(), old)?;
        if !is_local {
            self.uploads.add(local.ino);
        }
        Ok(Some(what.ino))
    }

    /// Whether the file is only here, for one who has its turn.
    fn is_only_here(&self, local: &LocalFile) -> Result<bool> {
        let is_at_service = self.tree.info(local.ino)?.entry().is_some();
        let state = local.state();
        let is_here = state.dirty().is_some() && state.replacing.is_none() && !state.is_aside;
        Ok(is_here && !is_at_service && !state.removed && state.renames == 0)
    }

    /// Uploads a file under another name, and only then calls it so.
    async fn publish_as(
        &self, local: &Arc<LocalFile>, place: Place, over: Option<&Arc<LocalFile>>,
    ) -> Result<()> {
        let Err(error) = self.publish_in_turn(local, Some(&place)).await else {
            self.set_local(local, false);
            over.into_iter().for_each(|over| self.forget_name(over.ino));
            return Ok(());
        };
        if local.state().replacing.is_some() {
            // What has the name may be gone already: the file stands there now, and waits.
            let Place { parent, name, old, .. } = place;
            self.take_place(local, (parent, &name), false, over, old)?;
            self.give_up(local, &error);
        }
        Err(Error::Unpublished(Box::new(error)))
    }

    /// The file is called by its new name. It stands before `old`, the object there, until its
    /// upload takes that one's place; without one, what has the name goes.
    fn take_place(
        &self, local: &LocalFile, (to, name): (Ino, &str), is_local: bool,
        over: Option<&Arc<LocalFile>>, old: Option<Arc<Entry>>,
    ) -> Result<()> {
        let deletes = match over {
            Some(over) if old.is_none() => self.deletes_of(over, to)?,
            _ => Vec::new(),
        };
        let (folder, folder_path) = (&self.tree.folder_id(to)?, &*self.bed_path(to));
        let whereabouts = Whereabouts { folder, folder_path, name, is_local };
        let recorded: Vec<Delete> = deletes.iter().map(|(delete, _)| delete.clone()).collect();
        self.record_place(local, &whereabouts, over, &recorded)?;
        self.bed.take_in(deletes, false);
        self.set_local(local, is_local);
        over.into_iter().for_each(|over| self.forget_name(over.ino));
        self.tree.rename(local.ino, to, name)?;
        if let Some(old) = old {
            self.tree.set_entry(local.ino, old);
        }
        Ok(())
    }

    /// Whether the file stays here, by its name or place.
    fn set_local(&self, local: &LocalFile, is_local: bool) {
        local.state().is_local = is_local;
        self.tree.set_local(local.ino, is_local);
    }

    /// An object is called by a name that is for here only, as editors do before they save: it is
    /// taken aside, with its link, and comes back with it if it is renamed back.
    pub(super) async fn take_here(
        &self, local: &LocalFile, info: &Info, entry: &Arc<Entry>, (to, name): (Ino, &str),
        over: Option<&Arc<LocalFile>>,
    ) -> Result<()> {
        if !self.is_still_there(info.ino, entry).await? {
            return Err(TreeError::NotFound.into());
        }
        // What a writer has staged is to stay, and so must outlive a crash.
        let written = local.state().staged().cloned();
        if let Some(written) = written {
            aside(move || written.sync()).await?;
        }
        // Its link must be known before it can end.
        let entry = &Arc::new(self.bed.with_link(entry).await);
        let from = self.tree.folder_id(info.parent.ok_or(TreeError::NotFound)?)?;
        let kept = self.begin_aside(info, entry, to, name)?;
        let base = kept.staged.clone();
        // What shows through is known after a loss of power too.
        if let Err(error) = aside(move || base.sync()).await {
            self.drop_kept(&kept);
            return Err(error.into());
        }
        let folder = match self.bed.set_aside(entry, &from).await {
            Ok(folder) => folder,
            Err(error) => {
                self.drop_kept(&kept);
                return Err(error.into());
            }
        };
        let base = Arc::new(Entry { parent: folder, ..Entry::clone(entry) });
        self.state.acknowledge(
            kept.row,
            &Acknowledged { base: Some(&base), attributes: &info.attributes, supersedes: None },
        )?;
        let aside = Kept { phase: Phase::Closed, base: Some(base), ..kept };
        self.stand_before(local, aside, self.bed_path(info.ino))?;
        self.take_place(local, (to, name), true, over, None)?;
        self.tree.set_aside(info.ino);
        Ok(())
    }

    /// The file is what was taken aside from `origin`, and what a writer has staged over it, of which
    /// he may be in the middle.
    fn stand_before(&self, local: &LocalFile, mut aside: Kept, origin: String) -> Result<()> {
        let spent = {
            let writing = self.state.writing()?;
            let mut state = local.state();
            let is_written = state.writers > 0 || state.dirty().is_some();
            let spent = match &state.kept {
                Some(written) if is_written => {
                    let mut spent = Kept { phase: Phase::Done, ..written.clone() };
                    std::mem::swap(&mut spent.staged, &mut aside.staged);
                    writing.swap_staged(
                        (aside.row, aside.staged.name()),
                        (spent.row, spent.staged.name()),
                    )?;
                    Some(spent)
                }
                _ => {
                    let generation = Some(aside.staged.generation());
                    (state.published, state.promised) = (generation, generation);
                    state.kept.take()
                }
            };
            (state.is_aside, state.is_local) = (true, true);
            (state.origin, state.kept) = (Some(origin), Some(aside));
            spent
        };
        spent.into_iter().for_each(|kept| self.drop_kept(&kept));
        Ok(())
    }

    /// What was taken aside gets a name of the bed again, and keeps its link where it can.
    async fn bring_back(
        &self, local: &Arc<LocalFile>, info: &Info, base: &Arc<Entry>, (to, name): (Ino, &str),
        over: Option<&Arc<LocalFile>>, old: Option<Arc<Entry>>,
    ) -> Result<()> {
        let mut ends = local.state().rows();
        ends.extend(over.into_iter().flat_map(|over| over.state().rows()));
        let renamed = self.rename_object(info, base, (to, name), old, &ends).await;
        let renamed = renamed.inspect_err(|error| {
            // It goes on by itself, to the new name.
            if matches!(error, Error::Bed(bed::Error::Unfinished(_))) {
                self.forget_name(info.ino);
            }
        })?;
        over.into_iter().for_each(|over| self.forget_name(over.ino));
        self.tree.rename(info.ino, to, name)?;
        self.tree.set_entry(info.ino, renamed.clone());
        self.tree.set_local(info.ino, false);
        self.show_through(local, renamed)
    }

    /// What was taken aside is an object under a name of the bed again, and shows through what is
    /// staged: nothing but that, unless somebody writes.
    fn show_through(&self, local: &LocalFile, object: Arc<Entry>) -> Result<()> {
        let (is_written, spent) = {
            let writing = self.state.writing()?;
            let mut state = local.state();
            (state.is_aside, state.is_local) = (false, false);
            let is_written = state.writers > 0 || state.dirty().is_some();
            let spent = state.kept.take_if(|_| !is_written);
            if let Some(kept) = &mut state.kept {
                (kept.base, kept.phase) = (Some(object.clone()), Phase::Open);
                writing.reopen(kept.row, Some(&object))?;
            }
            (is_written, spent)
        };
        self.tree.set_staged(local.ino, is_written);
        spent.into_iter().for_each(|kept| self.drop_kept(&kept));
        Ok(())
    }
}
