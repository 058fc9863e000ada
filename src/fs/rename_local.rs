//! Renames between names that stay on this machine and names of the bed: the saves of editors,
//! browsers and rsync.

use std::sync::Arc;

use super::local::{Kept, LocalFile};
use super::publish::Place;
use super::{Error, Fs, Result};
use crate::config::Upload;
use crate::state::{Acknowledged, Delete, Phase};
use crate::tree::Info;
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
        let here = self.is_local_place(Some(to), name);
        if here {
            self.move_row(local, to, name, true)?;
            self.set_local(local, true);
            return self.take_place(local, info, to, name, over, None);
        }
        let aside = {
            let state = local.state();
            state.aside().filter(|_| state.dirty().is_none())
        };
        if let Some(base) = aside {
            return self.bring_back(local, info, &base, (to, name), over, old).await;
        }
        let old = match over.zip(old) {
            Some((over, old)) if over.state().opens > 0 => {
                self.spare_open(over, &old).await?;
                None
            }
            over => over.map(|(_, old)| old),
        };
        let (is_written, is_empty) = {
            let state = local.state();
            (state.writers > 0, state.staged().is_none_or(|staged| staged.size() == 0))
        };
        if !is_written && !is_empty && self.options.upload == Upload::Close {
            let place = Place { parent: to, name: name.to_owned(), old };
            return self.publish_as(local, info, place, over).await;
        }
        self.promise(local).await?;
        self.move_row(local, to, name, false)?;
        self.set_local(local, false);
        self.take_place(local, info, to, name, over, old)?;
        if !is_written && !is_empty {
            self.uploads.add(local.ino);
        }
        Ok(())
    }

    /// Uploads a file under another name, and only then calls it so.
    async fn publish_as(
        &self, local: &Arc<LocalFile>, info: &Info, place: Place, over: Option<&Arc<LocalFile>>,
    ) -> Result<()> {
        self.promise(local).await?;
        // After a crash the upload goes on under the new name.
        self.move_row(local, place.parent, &place.name, false)?;
        let Err(error) = self.publish_in_turn(local, Some(&place)).await else {
            return self.forget_over_but(over, local.ino);
        };
        if local.state().replacing.is_some() {
            // What has the name may be gone already: the file stands there now, and waits.
            self.set_local(local, false);
            self.take_place(local, info, place.parent, &place.name, over, place.old)?;
            self.give_up(local, &error);
        } else if let Some(parent) = info.parent {
            self.move_row(local, parent, &info.name, local.state().is_local)?;
        }
        Err(Error::Unpublished(Box::new(error)))
    }

    /// The tree calls the file by its new name; it stands before the object there until its upload
    /// takes that one's place.
    fn take_place(
        &self, local: &LocalFile, info: &Info, to: Ino, name: &str, over: Option<&Arc<LocalFile>>,
        old: Option<Arc<Entry>>,
    ) -> Result<()> {
        let here = old.is_none();
        if let Some(over) = over {
            let deletes = match here {
                true => self.deletes_of(over, to)?,
                false => Vec::new(),
            };
            let rows = over.state().rows();
            self.bed.remove(deletes, &rows, Phase::Done, false)?;
            self.forget_name(over.ino);
        }
        self.tree.rename(info.ino, to, name)?;
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
        if local.state().writers > 0 {
            return Err(Error::Invalid("the file is being written"));
        }
        if !self.is_still_there(info.ino, entry).await? {
            return Err(crate::tree::Error::NotFound.into());
        }
        let kept = self.begin_aside(info, entry, to, name)?;
        let folder = match self.bed.set_aside(entry).await {
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
        let earlier = {
            let mut state = local.state();
            let generation = kept.staged.generation();
            (state.published, state.promised) = (Some(generation), Some(generation));
            (state.is_aside, state.is_local) = (true, true);
            state.origin = Some(self.bed_path(info.ino));
            state.kept.replace(Kept { phase: Phase::Closed, base: Some(base), ..kept })
        };
        earlier.into_iter().for_each(|kept| self.drop_kept(&kept));
        self.set_local(local, true);
        self.take_place(local, info, to, name, over, None)?;
        self.tree.set_aside(info.ino);
        Ok(())
    }

    /// What was taken aside gets a name of the bed again, and keeps its link where it can.
    async fn bring_back(
        &self, local: &Arc<LocalFile>, info: &Info, base: &Arc<Entry>, (to, name): (Ino, &str),
        over: Option<&Arc<LocalFile>>, old: Option<Arc<Entry>>,
    ) -> Result<()> {
        let over_both = over.zip(old.as_ref());
        let renamed = self.rename_object(info, base, to, name, over_both).await?;
        self.forget_over(over)?;
        self.tree.rename(info.ino, to, name)?;
        self.tree.set_entry(info.ino, renamed.clone());
        let mut state = local.state();
        (state.is_aside, state.is_local) = (false, false);
        if let Some(kept) = &mut state.kept {
            kept.base = Some(renamed);
            self.state.unwanted(kept.row)?;
            kept.phase = Phase::Done;
        }
        drop(state);
        self.tree.set_local(info.ino, false);
        self.tree.set_staged(info.ino, false);
        Ok(())
    }

    /// An object that is open loses its name, and is deleted when nobody has it open.
    async fn spare_open(&self, over: &LocalFile, old: &Arc<Entry>) -> Result<()> {
        let parent = self.tree.info(over.ino)?.parent.ok_or(crate::tree::Error::NotFound)?;
        let path = self.bed_path(over.ino);
        let delete = Delete::of(old, self.tree.folder_id(parent)?, path);
        self.bed.remove(vec![(delete, self.tree.seen(over.ino))], &[], Phase::Done, true)?;
        over.state().held = Some(old.id.clone());
        self.state.link_ends(&self.bed_path(over.ino), old, None)?;
        self.bed.set_aside(old).await?;
        self.release_held(over);
        Ok(())
    }
}
