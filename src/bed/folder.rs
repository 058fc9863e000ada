//! Changes of folders: made, removed when empty, moved or renamed with the links of all their
//! pictures kept.

use super::{Bed, Error, Target};
use crate::api::{self, Client};
use crate::types::{Entry, EntryKind, FileId};

/// The most IDs that `move` and `delete` take (`003`).
const BATCH: usize = 100;

/// How often a lost `mkdir` is asked for again after looking, and a folder poured that goes on
/// having entries.
const REPEATS: usize = 3;

/// A folder that was made anew, with the content of the old one, which is gone.
#[derive(Clone, Debug)]
pub struct Remade {
    /// The ID it had.
    pub old: FileId,
    /// The ID it has.
    pub new: FileId,
}

/// Makes a folder; a `mkdir` whose answer was lost is looked for before it is repeated.
pub(super) async fn make(client: &Client, parent: &FileId, name: &str) -> Result<FileId, Error> {
    let mut repeats = REPEATS;
    loop {
        match client.mkdir(parent, name).await {
            Ok(id) => return Ok(id),
            Err(error) if error.may_be_done() && repeats > 0 => {
                repeats -= 1;
                let rows = client.list_all(parent, |_| {}).await?;
                let is_it = |row: &Entry| *row.name == *name && row.kind == EntryKind::Folder;
                if let Some(row) = rows.into_iter().find(is_it) {
                    return Ok(row.id);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Deletes a folder that is empty by a listing of this moment. What `delete` does to a full one is
/// not documented, so it is never asked to.
pub(super) async fn remove(client: &Client, id: &FileId) -> Result<(), Error> {
    if !client.list_all(id, |_| {}).await?.is_empty() {
        return Err(Error::NotEmpty);
    }
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

    /// Deletes an empty folder.
    pub async fn remove_folder(&self, id: &FileId) -> Result<(), Error> {
        remove(&self.client, id).await
    }

    /// Gives a folder another place or name. The pictures keep their IDs; the folders in `remade`
    /// get new ones, which are put there, also when this fails on the way.
    ///
    /// Whether the service moves folders is not documented, and it renames none: where it does
    /// not, a new folder is made, the content moved over, and the old one deleted when empty. A
    /// failure on the way leaves both, with nothing lost.
    pub async fn rename_folder(
        &self, id: &FileId, name: &str, to: &Target, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        if name == to.name && self.move_folder(id, &to.folder).await? {
            return Ok(());
        }
        self.rebuild(id, to, remade).await
    }

    /// Whether the folder is there now. `false`: the service does not move folders.
    async fn move_folder(&self, id: &FileId, to: &FileId) -> Result<bool, Error> {
        match self.bring(id, to).await {
            Ok(()) => {}
            Err(error) if error.is_refused() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let entry = self.client.detail(id).await;
        match entry {
            Ok(entry) => Ok(self.is_in(&entry, to)),
            // `detail` may know no folders: then the answer to the move has to do.
            Err(error) if error.is_refused() || error.is_not_found() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn rebuild(
        &self, id: &FileId, to: &Target, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        let new = make(&self.client, &to.folder, &to.name).await?;
        match self.pour_out(id, &new, remade).await {
            Ok(()) => {
                remade.push(Remade { old: id.clone(), new });
                Ok(())
            }
            Err(error) => {
                // What was made for nothing goes; what has come to lie in it stays.
                if let Err(stays) = remove(&self.client, &new).await {
                    tracing::warn!("{:?} was renamed in part: {stays}", to.name);
                }
                Err(error)
            }
        }
    }

    /// Moves everything of one folder into another, and deletes the first when it is empty.
    async fn pour_out(
        &self, id: &FileId, new: &FileId, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        for _ in 0..REPEATS {
            self.pour(id, new, remade).await?;
            match remove(&self.client, id).await {
                Err(Error::NotEmpty) => {}
                result => return result,
            }
        }
        Err(Error::NotEmpty)
    }

    /// Moves everything of one folder into another.
    async fn pour(
        &self, from: &FileId, to: &FileId, remade: &mut Vec<Remade>,
    ) -> Result<(), Error> {
        let rows = self.client.list_all(from, |_| {}).await?;
        let (folders, files): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.kind == EntryKind::Folder);
        let files: Vec<FileId> = files.into_iter().map(|row| row.id).collect();
        for batch in files.chunks(BATCH) {
            self.move_batch(batch, to).await?;
        }
        for row in folders {
            let to = Target { folder: to.clone(), name: row.name.to_string(), old: None };
            Box::pin(self.rename_folder(&row.id, &row.name, &to, remade)).await?;
        }
        Ok(())
    }

    /// Moves a batch; where it is refused as a whole, one by one.
    async fn move_batch(&self, ids: &[FileId], to: &FileId) -> Result<(), api::Error> {
        match self.client.move_to(ids, to).await {
            Err(error) if error.is_refused() && ids.len() > 1 => {
                for id in ids {
                    self.bring(id, to).await?;
                }
                Ok(())
            }
            result => result,
        }
    }
}
