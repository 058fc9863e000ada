//! Changes of folders: made, removed when empty, moved or renamed with the links of all their
//! pictures kept.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::{Bed, Error, Target};
use crate::api::{self, Client};
use crate::state::{ChangeId, FolderChange};
use crate::tree::Item;
use crate::types::{Entry, EntryKind, FileId};

/// The most IDs that `move` and `delete` take (`003`).
const BATCH: usize = 100;

/// How often a lost `mkdir` is asked for again after looking, and a folder poured that goes on
/// having entries.
const REPEATS: usize = 3;

/// No folder that is looked for lies deeper.
const DEEPEST: usize = 100;

/// A folder that was made anew, with the content of the old one, which is gone.
#[derive(Clone, Debug)]
pub struct Remade {
    /// The ID it had.
    pub old: FileId,
    /// The ID it has.
    pub new: FileId,
}

/// How a folder is poured into a new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pour {
    /// Its row in the state file.
    pub(super) change: ChangeId,
    /// Part of it was done by a mount that was cut off: the new folder may be there.
    pub(super) is_resumed: bool,
}

/// Makes a folder; a `mkdir` whose answer was lost is looked for before it is repeated.
pub(super) async fn make(client: &Client, parent: &FileId, name: &str) -> Result<FileId, Error> {
    let mut repeats = REPEATS;
    loop {
        match client.mkdir(parent, name).await {
            Ok(id) => return Ok(id),
            Err(error) if error.may_be_done() && repeats > 0 => {
                repeats -= 1;
                let rows = client.list_all(parent).await?;
                let is_it = |row: &Entry| *row.name == *name && row.kind == EntryKind::Folder;
                if let Some(row) = rows.into_iter().find(is_it) {
                    return Ok(row.id);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Deletes a folder that is known to be empty. What `delete` does to a full one is not documented,
/// so it is never asked to.
pub(super) async fn delete_empty(client: &Client, id: &FileId) -> Result<(), Error> {
    let Err(error) = client.delete(std::slice::from_ref(id)).await else {
        return Ok(());
    };
    let gone =
        error.is_not_found() || client.detail(id).await.is_err_and(|error| error.is_not_found());
    if gone { Ok(()) } else { Err(error.into()) }
}

impl Bed {
    /// Makes a folder and gives its ID.
    pub async fn make_folder(&self, parent: &FileId, name: &str) -> Result<FileId, Error> {
        make(&self.client, parent, name).await
    }

    /// Deletes a folder, if it is empty by a listing of this moment and by what this mount knows.
    pub async fn remove_folder(&self, id: &FileId) -> Result<(), Error> {
        if !self.contents(id).await?.is_empty() {
            return Err(Error::NotEmpty);
        }
        delete_empty(&self.client, id).await
    }

    /// Whether the service has the folder, whatever it is called.
    pub async fn has_folder(&self, id: &FileId) -> Result<bool, Error> {
        match self.client.list_page(id, None).await {
            // A listing may not know it yet.
            Err(error) if error.is_not_found() => match self.client.detail(id).await {
                Err(error) if error.is_not_found() => Ok(false),
                found => found.map(|_| true).map_err(Error::from),
            },
            page => page.map(|_| true).map_err(Error::from),
        }
    }

    /// The path from the bed's root by which a folder is found now; `None` if the service does not tell.
    pub async fn path_of(&self, id: &FileId) -> Result<Option<String>, Error> {
        let (mut names, mut at) = (Vec::new(), id.clone());
        while names.len() < DEEPEST {
            let found = match self.client.detail(&at).await {
                Err(error) if error.is_not_found() => return Ok(None),
                found => found?,
            };
            if found.tells_no_parent() {
                return Ok(None);
            }
            names.push(found.name.to_string());
            if self.is_in(&found, &FileId::root()).await? == Some(true) {
                names.reverse();
                return Ok(Some(names.join("/")));
            }
            at = found.parent;
        }
        Ok(None)
    }

    /// What lies in a folder: what is listed now, without what this mount removed and with what it
    /// put there a moment ago, since a listing may lag behind.
    async fn contents(&self, id: &FileId) -> Result<Vec<Item>, Error> {
        let known = self.tree.known(id);
        let rows = match self.client.list_all(id).await {
            // Listings do not know it yet; what is in it was put there by this mount.
            Err(error) if error.is_not_found() && known.is_young => Vec::new(),
            rows => rows?,
        };
        let mut items: Vec<Item> = rows
            .into_iter()
            .filter(|row| !known.gone.contains(&row.id))
            .map(|row| Item { is_folder: row.picture().is_none(), id: row.id, name: row.name })
            .collect();
        let listed: HashSet<FileId> = items.iter().map(|item| item.id.clone()).collect();
        let recent = known.recent.into_iter().filter(|item| !item.id.is_local());
        items.extend(recent.filter(|item| !listed.contains(&item.id)));
        Ok(items)
    }

    /// Gives a folder another place or name, in whichever way the service has.
    async fn rename_folder(
        &self, id: &FileId, name: &str, to: &Target, is_resumed: bool, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        if self.move_folder(id, name, to).await? {
            return Ok(());
        }
        self.rebuild_from(id, to, is_resumed, remade).await
    }

    /// Moves a folder with all that is in it. `false`: the service does not move folders, or the
    /// name would be another.
    pub async fn move_folder(&self, id: &FileId, name: &str, to: &Target) -> Result<bool, Error> {
        if *name != *to.name || self.moves_no_folders()? {
            return Ok(false);
        }
        match self.bring(id, &to.folder).await {
            Ok(()) => {}
            Err(error) if error.is_refused() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut pauses = self.looks().filter(|_| !self.ignores_moves.load(Ordering::Relaxed));
        loop {
            match self.client.detail(id).await {
                // It may tell of before the move (S2).
                Ok(entry) if self.is_in(&entry, &to.folder).await? == Some(false) => {}
                // `detail` may know no folders: then the answer to the move has to do.
                Ok(_) | Err(_) => return Ok(true),
            }
            let Some(pause) = pauses.next() else {
                self.ignores_moves.store(true, Ordering::Relaxed);
                return Ok(false);
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes a new folder, moves the content over, and deletes the old one when it is empty. The
    /// pictures keep their IDs; the folders in `remade` get new ones, which are put there, also when
    /// this fails on the way. That leaves both folders, with nothing lost.
    pub async fn rebuild(
        &self, id: &FileId, to: &Target, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        self.rebuild_from(id, to, false, remade).await
    }

    async fn rebuild_from(
        &self, id: &FileId, to: &Target, is_resumed: bool, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        let change = self.state.pour_begins(id, &to.folder, &to.name)?;
        let pour = Pour { change, is_resumed };
        let poured = self.pour_into_new(id, to, pour, remade).await;
        if poured.is_err() && !is_resumed {
            // The caller is told, and may do otherwise.
            self.state.pour_done(change, id, None)?;
        }
        poured
    }

    /// Goes on with a folder that was being poured into a new one.
    pub(super) async fn resume_pour(&self, change: &FolderChange, pour: Pour) -> Result<(), Error> {
        let FolderChange { source, folder, name, .. } = change;
        let to = Target::free(folder.clone(), name);
        if self.client.list_page(source, None).await.is_err_and(|error| error.is_not_found()) {
            let new = self.find_folder(folder, name).await?;
            return Ok(self.state.pour_done(change.id, source, new.as_ref())?);
        }
        tracing::info!("going on with the rename of a folder to {name:?}");
        self.pour_into_new(source, &to, pour, &mut Vec::new()).await
    }

    async fn find_folder(&self, parent: &FileId, name: &str) -> Result<Option<FileId>, Error> {
        let rows = match self.client.list_all(parent).await {
            Err(error) if error.is_not_found() => return Ok(None),
            rows => rows?,
        };
        let is_it = |row: &Entry| *row.name == *name && row.kind == EntryKind::Folder;
        Ok(rows.into_iter().find(is_it).map(|row| row.id))
    }

    /// The folder that was made before a crash, if it was. A listing may not show it yet.
    async fn find_begun(&self, to: &Target) -> Result<Option<FileId>, Error> {
        for pause in self.looks() {
            if let Some(found) = self.find_folder(&to.folder, &to.name).await? {
                return Ok(Some(found));
            }
            tokio::time::sleep(pause).await;
        }
        self.find_folder(&to.folder, &to.name).await
    }

    async fn pour_into_new(
        &self, id: &FileId, to: &Target, pour: Pour, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        let begun = match pour.is_resumed {
            true => self.find_begun(to).await?,
            false => None,
        };
        let new = match begun {
            Some(new) => new,
            None => make(&self.client, &to.folder, &to.name).await?,
        };
        if new == *id {
            // It was moved, though no answer said so.
            return Ok(self.state.pour_done(pour.change, id, Some(&new))?);
        }
        let mut moved = HashSet::new();
        match self.pour(id, &new, pour.is_resumed, remade, &mut moved).await {
            Ok(()) => {
                self.state.pour_done(pour.change, id, Some(&new))?;
                remade.push(Remade { old: id.clone(), new });
                Ok(())
            }
            Err(error) => {
                // Made for nothing, it goes; once a move was tried, something may lie in it.
                if moved.is_empty()
                    && !pour.is_resumed
                    && let Err(stays) = delete_empty(&self.client, &new).await
                {
                    tracing::warn!("the folder {:?} stays, empty: {stays}", to.name);
                }
                Err(error)
            }
        }
    }

    /// Moves everything of one folder into another, and deletes the first when it is empty. What is
    /// `moved`, or was tried, counts as gone from it whatever a listing says.
    async fn pour(
        &self, from: &FileId, to: &FileId, is_resumed: bool, remade: &mut Vec<Remade>,
        moved: &mut HashSet<FileId>,
    ) -> Result<(), Error> {
        // What was removed from it goes first, or it would not be empty.
        self.flush_deletes(from, None).await?;
        for _ in 0..REPEATS {
            let mut items = self.contents(from).await?;
            items.retain(|item| !moved.contains(&item.id));
            if items.is_empty() {
                return delete_empty(&self.client, from).await;
            }
            moved.extend(items.iter().map(|item| item.id.clone()));
            let (folders, files): (Vec<_>, Vec<_>) =
                items.into_iter().partition(|item| item.is_folder);
            let files: Vec<FileId> = files.into_iter().map(|item| item.id).collect();
            for batch in files.chunks(BATCH) {
                self.move_batch(batch, to).await?;
            }
            for Item { id, name, .. } in folders {
                let to = Target::free(to.clone(), &name);
                Box::pin(self.rename_folder(&id, &name, &to, is_resumed, remade)).await?;
            }
        }
        Err(Error::NotEmpty)
    }

    /// Moves a batch; where it is refused as a whole, one by one. What is gone needs no move.
    async fn move_batch(&self, ids: &[FileId], to: &FileId) -> Result<(), api::Error> {
        match self.client.move_to(ids, to).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_refused() || error.is_not_found() || error.may_be_done() => {}
            Err(error) => return Err(error),
        }
        for id in ids {
            match self.bring(id, to).await {
                Err(error) if error.is_not_found() => {}
                Err(error)
                    if self.client.detail(id).await.is_err_and(|gone| gone.is_not_found()) =>
                {
                    tracing::info!("{id} is gone: {error}");
                }
                result => result?,
            }
        }
        Ok(())
    }
}
