//! Renames: files and folders get another place or name.

use std::ffi::OsStr;
use std::sync::Arc;

use super::{Error, Fs, Result, STRUCTURE, turn};
use crate::bed::{Remade, Target};
use crate::tree::Info;
use crate::types::Ino;

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
        self.writable()?;
        // What keeps its name may keep one that nobody could give it.
        let new_name = match name == new_name {
            true => new_name.to_str().ok_or(crate::names::NameError::NotUtf8)?,
            false => self.new_name(to, new_name)?,
        };
        let _turn = turn(&self.renaming).await;
        let what = self.named(from, name).await?;
        let over = match self.find(to, new_name).await? {
            Some(_) if exclusive => return Err(Error::Exists),
            Some(ino) if ino == what.ino => return Ok(()),
            Some(ino) => Some(self.tree.info(ino)?),
            None => None,
        };
        let rename = Rename { what, to, name: new_name, over };
        match rename.what.is_folder() {
            true => self.rename_folder(rename).await,
            false => self.rename_file(rename).await,
        }
    }

    async fn rename_file(&self, rename: Rename<'_>) -> Result<()> {
        let Rename { what, to, name, over } = rename;
        if over.as_ref().is_some_and(Info::is_folder) {
            return Err(Error::IsAFolder);
        }
        let local = self.local(what.ino, |_| {});
        // A change over an object is published first, so that there is one thing to rename.
        let result = match what.entry() {
            Some(_) => self.publish(&local).await,
            None => Ok(()),
        };
        let result = match result {
            Ok(()) => {
                let _turn = turn(&local.turn).await;
                self.rename_settled(what.ino, to, name, over.as_ref()).await
            }
            Err(error) => Err(error),
        };
        drop(local);
        self.settle(what.ino).await;
        if let Some(over) = over {
            self.settle(over.ino).await;
        }
        result
    }

    /// The file is not being uploaded, and will not be until this is done.
    async fn rename_settled(
        &self, ino: Ino, to: Ino, name: &str, over: Option<&Info>,
    ) -> Result<()> {
        let old = over.and_then(Info::entry).cloned();
        let entry = self.tree.info(ino)?.entry().cloned();
        let Some(entry) = entry else {
            // It is only here: its upload will replace what has the name.
            if let Some(over) = over {
                self.forget_name(over.ino);
            }
            self.tree.rename(ino, to, name)?;
            if let Some(old) = old {
                self.tree.set_entry(ino, old);
            }
            return Ok(());
        };
        let open =
            over.and_then(|over| self.locals.get(over.ino)).filter(|local| local.state().opens > 0);
        let name_there = if *name == *self.tree.info(ino)?.name { &*entry.name } else { name };
        if let Some(old) = &old
            && self.tree.has_other(to, name_there, &old.id)?
        {
            return Err(Error::Doubled);
        }
        let target = Target {
            folder: self.tree.folder_id(to)?,
            name: name_there.to_owned(),
            old: old.clone(),
        };
        let renamed = match self.bed.rename(&entry, &target, open.is_some()).await {
            Ok(renamed) => renamed,
            Err(error) => {
                // Whatever was done of it shows at the next look.
                self.tree.expire(to);
                return Err(error.into());
            }
        };
        if let (Some(open), Some(old)) = (open, old) {
            open.state().set_aside = Some(old.id.clone());
        }
        if let Some(over) = over {
            self.forget_name(over.ino);
        }
        self.tree.rename(ino, to, name)?;
        // A new object has a new time; the content is as old as it was.
        let mtime = self.getattr(ino)?.mtime;
        self.tree.set_attributes(ino, |set| set.mtime = Some(mtime));
        self.tree.set_entry(ino, Arc::new(renamed));
        Ok(())
    }

    async fn rename_folder(&self, rename: Rename<'_>) -> Result<()> {
        let Rename { what, to, name, over } = rename;
        if self.tree.is_within(to, what.ino) {
            return Err(Error::IntoItself);
        }
        if let Some(over) = &over {
            if !over.is_folder() {
                return Err(crate::tree::Error::NotAFolder.into());
            }
            self.remove_empty(over).await?;
        }
        let id = self.tree.folder_id(what.ino)?;
        let target = Target { folder: self.tree.folder_id(to)?, name: name.to_owned(), old: None };
        let mut remade = Vec::new();
        let renamed = {
            // Held against every upload: where the service cannot move the folder, it is poured
            // into a new one, and what arrived in the old one meanwhile would go with it.
            let all = self.structure.acquire_many(STRUCTURE).await;
            let _all = all.expect("the semaphores are never closed");
            let renamed = self.bed.rename_folder(&id, &what.name, &target, &mut remade).await;
            for Remade { old, new } in &remade {
                self.tree.remade(old, new);
            }
            renamed
        };
        renamed.inspect_err(|_| {
            self.tree.expire(what.ino);
            self.tree.expire(to);
        })?;
        Ok(self.tree.rename(what.ino, to, name)?)
    }

    async fn remove_empty(&self, folder: &Info) -> Result<()> {
        self.tree.refresh(folder.ino).await?;
        if !self.tree.children(folder.ino)?.is_empty() {
            return Err(Error::NotEmpty);
        }
        self.bed.remove_folder(&self.tree.folder_id(folder.ino)?).await?;
        self.tree.remove(folder.ino);
        Ok(())
    }
}
