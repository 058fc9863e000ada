//! Deletes: objects that the user removed, until the service has removed them too.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::row::{drop_attributes, id_column, now};
use super::{Result, State, scratch};
use crate::types::{Entry, FileId};

/// An object that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The object.
    pub object: FileId,
    /// The folder it lay in when it was removed.
    pub folder: FileId,
    /// Its name there, as the service spells it.
    pub name: String,
    /// The path it had from the bed's root, for people.
    pub path: String,
    /// When it was removed, in seconds since the epoch.
    pub changed: i64,
}

/// Records a delete in the caller's transaction.
pub(super) fn insert(db: &Connection, delete: &Delete) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO deletes (object, folder, name, path, changed)
               VALUES (?, ?, ?, ?, ?)";
    let Delete { object, folder, name, path, changed } = delete;
    let (object, folder) = (object.as_str(), folder.as_str());
    db.prepare_cached(sql)?.execute(params![object, folder, name, path, changed])?;
    drop_attributes(db, &delete.object)?;
    scratch::release(db, &delete.object)?;
    Ok(())
}

/// An object is not to be deleted.
pub(super) fn end(db: &Connection, object: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM deletes WHERE object = ?")?.execute([object.as_str()]).map(drop)
}

impl Delete {
    /// The delete, of now, of an object that lies in `folder`.
    pub fn of(entry: &Entry, folder: FileId, path: String) -> Self {
        let (object, name) = (entry.id.clone(), entry.name.to_string());
        Self { object, folder, name, path, changed: now() }
    }
}

impl State {
    /// These are gone, or are not to be deleted after all.
    pub fn delete_ends(&self, objects: &[FileId]) -> Result<()> {
        self.write("recording deletes", |db| objects.iter().try_for_each(|object| end(db, object)))
    }

    /// All that are not done, the oldest first.
    pub fn deletes(&self) -> Result<Vec<Delete>> {
        self.read("reading the deletes", |db| {
            db.prepare_cached("SELECT * FROM deletes ORDER BY changed")?
                .query_map([], |row| {
                    Ok(Delete {
                        object: id_column(row, "object")?,
                        folder: id_column(row, "folder")?,
                        name: row.get("name")?,
                        path: row.get("path")?,
                        changed: row.get("changed")?,
                    })
                })?
                .collect()
        })
    }

    /// The objects of a folder that are to be deleted: no listing shows them.
    pub fn deleted_in(&self, folder: &FileId) -> Result<HashSet<FileId>> {
        self.read("reading the deletes", |db| {
            db.prepare_cached("SELECT object FROM deletes WHERE folder = ?")?
                .query_map([folder.as_str()], |row| id_column(row, "object"))?
                .collect()
        })
    }
}
