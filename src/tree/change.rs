//! The changes that this mount makes: names added, taken, moved, and the objects behind them.

use std::sync::Arc;

use tokio::time::Instant;

use super::folder::Changed;
use super::fresh::View;
use super::row::Row;
use super::{Error, Tree};
use crate::types::{Attributes, Entry, FileId, Ino};

impl Tree {
    /// A new file that exists only here, with the number that it had in another mount. The name must be
    /// free.
    pub fn add_file(&self, parent: Ino, name: &str, number: Option<Ino>) -> Result<Ino, Error> {
        let mut table = self.table();
        table.folder(parent)?;
        Ok(table.add_file(parent, name.into(), number))
    }

    /// A folder that this mount just made at the service.
    pub fn add_folder(&self, parent: Ino, name: &str, id: FileId) -> Result<Ino, Error> {
        let mut table = self.table();
        table.folder(parent)?;
        if let Some(ino) = table.folder(parent)?.children.get(name).copied() {
            return Ok(ino);
        }
        let now = Instant::now();
        let created = jiff::Timestamp::now().as_second();
        let ino = table.add_folder(Some(parent), name.into(), id, created, None);
        // Nothing can be in it yet.
        let folder = table.folder_mut(ino)?;
        (folder.view, folder.listed_at) = (View::Listed(now), created);
        table.unsaved.insert(ino);
        table.get_mut(ino)?.rare_mut().since = Some(now);
        Ok(ino)
    }

    /// The file's content is now this object. The one before, if another, is gone; and so is a name
    /// that the object had before, where the service gives bytes it knows an ID it gave before.
    pub fn set_entry(&self, ino: Ino, entry: Arc<Entry>) {
        let mut table = self.table();
        if let Some(other) = table.find_file(&entry.id).filter(|other| *other != ino) {
            table.orphan(other);
        }
        let Ok(node) = table.get_mut(ino) else { return };
        if node.is_folder() {
            return;
        }
        node.rare_mut().since = Some(Instant::now());
        let (parent, old) = (node.parent(), node.id().map(FileId::new));
        let replaced = old.filter(|old| *old != entry.id);
        table.set_entry(ino, Some(&entry));
        if let Some(folder) = parent.and_then(|parent| table.folder_mut(parent).ok()) {
            folder.gone.remove(&entry.id);
            if let Some(old) = replaced {
                folder.gone.insert(old, Instant::now());
            }
        }
    }

    /// A fresher row of the same object, as `detail` tells it.
    pub fn update_entry(&self, ino: Ino, entry: Arc<Entry>) {
        let mut table = self.table();
        if table.get(ino).is_ok_and(|node| node.id() == Some(entry.id.as_str())) {
            table.set_entry(ino, Some(&entry));
        }
    }

    /// Changes what the user set on the inode, if it is known.
    pub fn set_attributes(&self, ino: Ino, change: impl FnOnce(&mut Attributes)) {
        // What nobody knows any more has nothing to be changed.
        let _gone = self.change_attributes(ino, change);
    }

    /// The same, and gives what the change came to.
    pub fn change_attributes<T>(
        &self, ino: Ino, change: impl FnOnce(&mut Attributes) -> T,
    ) -> Result<T, Error> {
        let mut table = self.table();
        Ok(change(table.get_mut(ino)?.rare_mut().attributes.get_or_insert_default()))
    }

    /// Takes the inode out of its folder: this mount removed the object, or its last name here.
    pub fn remove(&self, ino: Ino) {
        let mut table = self.table();
        let Ok(node) = table.get(ino) else { return };
        let (parent, id) = (node.parent(), node.id().map(FileId::new));
        if let (Some(parent), Some(id)) = (parent, id)
            && let Ok(folder) = table.folder_mut(parent)
        {
            folder.gone.insert(id, Instant::now());
        }
        table.orphan(ino);
    }

    /// An object whose place the file has is gone, though a listing may show it for a while.
    pub fn bury(&self, ino: Ino, object: &FileId) {
        let mut table = self.table();
        let Ok(node) = table.get(ino) else { return };
        let is_its_own = node.id() == Some(object.as_str());
        if let Some(folder) = node.parent().and_then(|parent| table.folder_mut(parent).ok())
            && !is_its_own
        {
            folder.gone.insert(object.clone(), Instant::now());
        }
    }

    /// The object behind the file was taken aside: the file is only here now.
    pub fn set_aside(&self, ino: Ino) {
        let mut table = self.table();
        let Ok(node) = table.get_mut(ino) else { return };
        node.rare_mut().staged = true;
        let (parent, id) = (node.parent(), node.row().and_then(Row::id).map(FileId::new));
        if let (Some(id), Some(parent)) = (id, parent)
            && let Ok(folder) = table.folder_mut(parent)
        {
            folder.gone.insert(id, Instant::now());
        }
        table.set_entry(ino, None);
    }

    /// An object was not deleted after all: its folder is listed, to show it again.
    pub fn restore(self: &Arc<Self>, folder: &FileId, object: &FileId) {
        let Some(ino) = self.table().find_folder(folder) else { return };
        if let Ok(folder) = self.table().folder_mut(ino) {
            folder.gone.remove(object);
        }
        self.doubt_view(ino);
        self.refresh_behind(ino);
    }

    /// The object lies in `parent` under `name` now. What had that name must be removed before.
    pub fn rename(&self, ino: Ino, parent: Ino, name: &str) -> Result<(), Error> {
        let mut table = self.table();
        table.folder(parent)?;
        let node = table.get_mut(ino)?;
        node.rare_mut().since = Some(Instant::now());
        let (old_parent, id) = (node.parent(), node.id().map(FileId::new));
        table.rename(ino, parent, name.into())?;
        if let Some(id) = id {
            if let Some(old) = old_parent.filter(|old| *old != parent)
                && let Ok(folder) = table.folder_mut(old)
            {
                folder.gone.insert(id.clone(), Instant::now());
            }
            table.folder_mut(parent)?.gone.remove(&id);
        }
        Ok(())
    }

    /// A folder is another object now, with the same children.
    pub fn remade(&self, old: &FileId, new: &FileId) {
        let mut table = self.table();
        let Some(ino) = table.find_folder(old) else {
            return;
        };
        table.set_folder_id(ino, new.clone());
        if let Ok(folder) = table.folder_mut(ino) {
            folder.doubt();
            folder.changed = Changed::All;
        }
        table.unsaved.insert(ino);
        self.kept.wake();
        let Ok(node) = table.get_mut(ino) else { return };
        node.rare_mut().since = Some(Instant::now());
        let parent = node.parent();
        if let Some(folder) = parent.and_then(|parent| table.folder_mut(parent).ok()) {
            folder.gone.insert(old.clone(), Instant::now());
        }
    }
}
