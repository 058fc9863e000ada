//! Renames: files and folders get another place or name.

use std::ffi::OsStr;
use std::sync::Arc;

use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::control::is_control;
use super::local::LocalFile;
use super::{Error, Fs, Result, turn};
use crate::bed::{self, Remade, Target};
use crate::names::NameError;
use crate::state::{RowId, Whereabouts};
use crate::tree::{CONTROL_NAME, Info, SCRATCH_PREFIX};
use crate::types::{Attributes, Entry, FileId, Ino};

/// A rename in the tree's terms.
struct Rename<'a> {
    what: Info,
    to: Ino,
    name: &'a str,
    /// What has the name now.
    over: Option<Info>,
}

impl Fs {
    /// Renames; what has the new name is replaced unless `exclusive`.
    pub async fn rename(
        &self, from: Ino, name: &OsStr, to: Ino, new_name: &OsStr, exclusive: bool,
    ) -> Result<()> {
        let renamed = self.rename_as_told(from, name, to, new_name, exclusive).await;
        renamed.map_err(|error| match error {
            Error::IntoItself => error,
            error => Error::Unrenamed(Box::new(error)),
        })
    }

    async fn rename_as_told(
        &self, from: Ino, name: &OsStr, to: Ino, new_name: &OsStr, exclusive: bool,
    ) -> Result<()> {
        self.writable()?;
        // What keeps its name may keep one that nobody could give it.
        let new_name = match name == new_name {
            true => self.kept_name(to, new_name)?,
            false => self.new_name(to, new_name)?,
        };
        let ino = match self.rename_here((from, name), (to, new_name), exclusive).await? {
            Some(ino) => ino,
            None => {
                // Others are renamed meanwhile.
                self.uploads_end((from, name), (to, new_name)).await?;
                let _turn = turn(&self.renaming).await;
                let what = self.named(from, name).await?;
                let there = self.find(to, new_name).await?;
                let Some(over) = self.over(&what, there, exclusive)? else { return Ok(()) };
                let ino = what.ino;
                let rename = Rename { what, to, name: new_name, over };
                match rename.what.is_folder() {
                    true => self.rename_folder(rename).await,
                    false => self.rename_file(rename).await,
                }?;
                ino
            }
        };
        [from, to].into_iter().for_each(|folder| self.touch(folder));
        self.touch_inode(ino);
        Ok(())
    }

    /// What has the new name of something, if anything; `None` if it has it itself.
    pub(super) fn over(
        &self, what: &Info, there: Option<Ino>, exclusive: bool,
    ) -> Result<Option<Option<Info>>> {
        match there {
            Some(_) if exclusive => Err(Error::Exists),
            Some(ino) if ino == what.ino => Ok(None),
            Some(ino) => Ok(Some(Some(self.tree.info(ino)?))),
            None => Ok(Some(None)),
        }
    }

    /// A name that something brings along into a folder: it may be one that nobody could give it.
    fn kept_name<'a>(&self, to: Ino, name: &'a OsStr) -> Result<&'a str> {
        let name = name.to_str().ok_or(NameError::NotUtf8)?;
        let reserved = name == CONTROL_NAME || name.starts_with(SCRATCH_PREFIX);
        if is_control(to) || (to == Ino::ROOT && reserved) {
            return Err(Error::NotPermitted);
        }
        Ok(name)
    }

    async fn rename_file(&self, rename: Rename<'_>) -> Result<()> {
        let Rename { what, to, name, over } = rename;
        if over.as_ref().is_some_and(Info::is_folder) {
            return Err(Error::IsAFolder);
        }
        let local = self.local(what.ino);
        // Nobody else waits for two turns: only one rename runs at a time.
        let _turn = self.turn_to_rename(&local).await?;
        // A change over an object is published first, so that there is one thing to rename.
        if what.entry().is_some() {
            self.promise(&local).await?;
            self.publish_now_in_turn(&local).await?;
        }
        let Some(over) = over else {
            return self.rename_settled(&local, to, name, None).await;
        };
        let over = self.local(over.ino);
        let _over_turn = self.turn_to_rename(&over).await?;
        self.rename_settled(&local, to, name, Some(&over)).await
    }

    /// The turn of a file, for a rename: who removes it meanwhile does that after it.
    async fn turn_to_rename<'a>(&self, local: &'a LocalFile) -> Result<SemaphorePermit<'a>> {
        local.state().renames += 1;
        let turn = timeout(self.options.timeout, turn(&local.turn)).await;
        local.state().renames -= 1;
        turn.map_err(|_| Error::UnderWay)
    }

    /// The right to have nothing put into any folder, for who does not wait longer than a call may take.
    async fn nothing_put_in_time(&self) -> Result<SemaphorePermit<'_>> {
        timeout(self.options.timeout, self.nothing_put()).await.map_err(|_| Error::UnderWay)
    }

    /// Waits until no upload is under way of what is to be renamed, and of what it takes the place of;
    /// and none at all, if it is a folder that gets another name.
    async fn uploads_end(&self, from: (Ino, &OsStr), to: (Ino, &str)) -> Result<()> {
        let (old_name, new_name) = (from.1, OsStr::new(to.1));
        for (parent, name) in [from, (to.0, new_name)] {
            let found = name.to_str().and_then(|name| self.tree.child(parent, name).ok().flatten());
            let Some(ino) = found else { continue };
            if old_name != new_name && self.tree.info(ino)?.is_folder() {
                drop(self.nothing_put_in_time().await?);
            }
            if let Some(local) = self.locals.get(ino) {
                drop(self.turn_to_rename(&local).await?);
            }
        }
        Ok(())
    }

    /// Neither file is being uploaded, nor will be until this is done.
    async fn rename_settled(
        &self, local: &Arc<LocalFile>, to: Ino, name: &str, over: Option<&Arc<LocalFile>>,
    ) -> Result<()> {
        let info = self.tree.info(local.ino)?;
        let _change = self.tree.changing(&self.places(&info, to)?)?;
        // What the bed has under such a name keeps both when it is moved.
        let here = match info.entry() {
            Some(_) if *name == *info.name => self.is_local_folder(to),
            _ => self.is_local_file(Some(to), name),
        };
        let renamed = match info.entry() {
            None => self.rename_local(local, &info, to, name, over).await,
            Some(entry) if here => self.take_here(local, &info, entry, (to, name), over).await,
            Some(entry) => self.rename_remote(local, &info, entry, (to, name), over).await,
        };
        // It goes on by itself: what had the name has lost it.
        if let (Err(Error::Bed(bed::Error::Unfinished(_))), Some(over)) = (&renamed, over) {
            self.forget_name(over.ino);
        }
        renamed
    }

    /// The folders that change when something is moved.
    fn places(&self, what: &Info, to: Ino) -> Result<Vec<FileId>> {
        let places = what.parent.into_iter().chain([to]);
        Ok(places.map(|place| self.tree.folder_id(place)).collect::<Result<_, _>>()?)
    }

    /// An object gets another place or name.
    async fn rename_remote(
        &self, local: &LocalFile, info: &Info, entry: &Arc<Entry>, (to, name): (Ino, &str),
        over: Option<&Arc<LocalFile>>,
    ) -> Result<()> {
        let old = match over {
            Some(over) => self.object_there(over.ino).await?,
            None => None,
        };
        let kept_name = *name == *info.name;
        // A new name is a new object, and the old one is deleted: it must be the one meant.
        if !kept_name && !self.is_still_there(info.ino, entry).await? {
            return Err(crate::tree::Error::NotFound.into());
        }
        let as_named = if kept_name { &*entry.name } else { name };
        let ends = over.map(|over| over.state().rows()).unwrap_or_default();
        let renamed = self.rename_object(info, entry, (to, as_named), old, &ends).await?;
        over.into_iter().for_each(|over| self.forget_name(over.ino));
        self.tree.rename(info.ino, to, name)?;
        let mut state = local.state();
        if state.base().is_some_and(|base| base.id == entry.id) {
            // The same bytes, under the ID that is left.
            state.set_base(renamed.clone());
        }
        drop(state);
        self.tree.set_entry(info.ino, renamed);
        self.move_row(local, to, name, false)
    }

    /// The file's rows say where it is now.
    pub(super) fn move_row(
        &self, local: &LocalFile, to: Ino, name: &str, is_local: bool,
    ) -> Result<()> {
        let (folder, folder_path) = (&self.tree.folder_id(to)?, &*self.bed_path(to));
        let whereabouts = Whereabouts { folder, folder_path, name, is_local };
        self.record_place(local, &whereabouts, None, &[])
    }

    /// The object behind a name, if it is still there: what was moved elsewhere is not replaced.
    pub(super) async fn object_there(&self, ino: Ino) -> Result<Option<Arc<Entry>>> {
        match self.tree.info(ino)?.entry() {
            Some(entry) if self.is_still_there(ino, entry).await? => Ok(Some(entry.clone())),
            _ => Ok(None),
        }
    }

    /// Renames the object, over another one if there is one: that is deleted, unless it is open. The
    /// rows `ends` of the state file end with it.
    pub(super) async fn rename_object(
        &self, info: &Info, entry: &Arc<Entry>, (to, name): (Ino, &str), old: Option<Arc<Entry>>,
        ends: &[RowId],
    ) -> Result<Arc<Entry>> {
        if let Some(old) = &old {
            if old.id == entry.id {
                // It is there already, by a rename whose answer was lost.
                return Ok(old.clone());
            }
            if self.tree.has_other(to, name, &old.id)? {
                return Err(Error::Doubled);
            }
        }
        let target = self.target_in(info.ino, to, name, old.clone())?;
        self.wait_for_removed(info.ino, &target).await?;
        self.bed.flush_deletes(&target.folder, Some(name)).await?;
        if let Some((md5, size)) = entry.picture().and_then(|p| Some((p.md5?, p.size))) {
            let but: Vec<&FileId> = old.iter().map(|old| &old.id).chain([&entry.id]).collect();
            self.spare_twin(to, name, &but, (md5, size)).await?;
        }
        // A new object has a new time; the content is as old as it was.
        let mtime = self.attr_of(info).mtime;
        self.tree.set_attributes(info.ino, |set| set.mtime = Some(mtime));
        let attributes = Attributes { mtime: Some(mtime), ..info.attributes.clone() };
        let renamed = self.bed.rename(entry, &target, &attributes, ends).await;
        let renamed = match renamed {
            Ok(renamed) => renamed,
            Err(error) => {
                self.doubt_move(info.ino, to).await;
                return Err(error.into());
            }
        };
        if let (Some(old), true) = (&old, target.is_open) {
            self.hold_for_reader(&old.id, info.ino);
        }
        Ok(Arc::new(renamed))
    }

    async fn rename_folder(&self, rename: Rename<'_>) -> Result<()> {
        let Rename { what, to, name, over } = rename;
        if self.tree.is_within(to, what.ino) {
            return Err(Error::IntoItself);
        }
        let id = self.tree.folder_id(what.ino)?;
        if let Some(over) = &over {
            if self.tree.folder_id(over.ino).is_ok_and(|there| there == id) {
                // It is there already, by a rename whose answer was lost.
                self.tree.remove(what.ino);
                return Ok(());
            }
            if !over.is_folder() {
                return Err(crate::tree::Error::NotAFolder.into());
            }
        }
        let here = self.options.local_names.has_folder(name) || self.is_local_folder(to);
        if id.is_local() != here {
            return Err(if here { Error::NotPermitted } else { Error::Elsewhere });
        }
        if let Some(over) = &over {
            self.remove_empty(over).await?;
        }
        let folder = self.tree.folder_id(to)?;
        let _change = self.tree.changing(&self.places(&what, to)?)?;
        if let Some(row) = id.local_row() {
            let folder_path = &*self.bed_path(to);
            let whereabouts = Whereabouts { folder: &folder, folder_path, name, is_local: true };
            drop(self.state.renamed(&[RowId(row)], &whereabouts, &[], &[])?);
        } else {
            self.bed.flush_deletes(&folder, Some(name)).await?;
            let target = Target::free(folder, name);
            let moved = self.rename_folder_object(&id, &what, &target).await;
            if moved.is_err() {
                self.tree.doubt_view(what.ino);
                self.doubt_move(what.ino, to).await;
                return moved;
            }
        }
        let (old, new) = (self.bed_path(what.ino), self.path_in(Some(to), name));
        self.state.folder_renamed(&old, &new)?;
        Ok(self.tree.rename(what.ino, to, name)?)
    }

    async fn rename_folder_object(&self, id: &FileId, what: &Info, to: &Target) -> Result<()> {
        if self.bed.move_folder(id, &what.name, to).await? {
            return Ok(());
        }
        // Held against every upload: the folder is poured into a new one, and what arrived in the
        // old one meanwhile would go with it.
        let _all = self.nothing_put_in_time().await?;
        let mut remade = Vec::new();
        let rebuilt = self.bed.rebuild(id, to, &mut remade).await;
        for Remade { old, new } in &remade {
            self.tree.remade(old, new);
            self.restorable.remade(old, new);
        }
        Ok(rebuilt?)
    }
}
