//! Numbers: in which folder the object lies that an inode number is of, by what is kept of listings and of
//! what is only here.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::row::id_column;
use super::{Result, State};
use crate::types::{FileId, Ino};

/// How deep a folder may lie. What is kept of folders that changed places could lead in a circle.
const DEPTH: usize = 256;

impl State {
    /// The ways, folder by folder below `root`, to where an object of this number was last seen. What is
    /// kept may be old, so there may be several.
    pub fn ways_to(&self, number: Ino, root: &FileId) -> Result<Vec<Vec<FileId>>> {
        self.read("finding a file by its number", |db| {
            let mut folders = local_folders(db, number)?;
            folders.extend(listed_folders(db, number)?);
            let ways = folders.into_iter().map(|folder| way(db, folder, root));
            ways.filter_map(Result::transpose).collect()
        })
    }
}

/// The folders of what is only here, or on its way.
fn local_folders(db: &Connection, number: Ino) -> rusqlite::Result<Vec<FileId>> {
    let sql = "SELECT folder, id, is_folder, ino FROM local WHERE phase NOT IN ('done', 'removed')";
    let mut statement = db.prepare(sql)?;
    let folder = |row: &rusqlite::Row<'_>| {
        let own = match row.get::<_, bool>("is_folder")? {
            true => Some(Ino::of(&FileId::local(row.get("id")?))),
            false => row.get::<_, Option<i64>>("ino")?.map(|ino| Ino(ino as u64)),
        };
        Ok((own == Some(number)).then_some(id_column(row, "folder")?))
    };
    statement.query_map([], folder)?.filter_map(rusqlite::Result::transpose).collect()
}

/// The folders that were listed with an object of this number.
fn listed_folders(db: &Connection, number: Ino) -> rusqlite::Result<Vec<FileId>> {
    let sql = "SELECT object FROM attributes WHERE ino = ?";
    let mut statement = db.prepare(sql)?;
    let named = statement.query_map([number.0 as i64], |row| id_column(row, "object"))?;
    let named: HashSet<FileId> = named.collect::<rusqlite::Result<_>>()?;
    let sql =
        "SELECT object, folders.folder FROM entries JOIN folders ON folders.id = entries.folder";
    let mut statement = db.prepare(sql)?;
    let folder = |row: &rusqlite::Row<'_>| {
        let object = id_column(row, "object")?;
        let is_it = Ino::of(&object) == number || named.contains(&object);
        Ok(is_it.then_some(id_column(row, "folder")?))
    };
    statement.query_map([], folder)?.filter_map(rusqlite::Result::transpose).collect()
}

/// The folders above this one, and itself last; `None` if it is not known to lie below `root`.
fn way(db: &Connection, folder: FileId, root: &FileId) -> rusqlite::Result<Option<Vec<FileId>>> {
    let (mut way, mut at) = (Vec::new(), folder);
    while at != *root {
        let above = match at.local_row() {
            Some(row) => db
                .prepare_cached("SELECT folder FROM local WHERE id = ?")?
                .query_row([row], |row| id_column(row, "folder"))
                .optional()?,
            None => db
                .prepare_cached(
                    "SELECT folders.folder FROM entries JOIN folders ON folders.id = entries.folder
                     WHERE object = ? AND size IS NULL",
                )?
                .query_row([at.as_str()], |row| id_column(row, "folder"))
                .optional()?,
        };
        let Some(above) = above.filter(|_| way.len() < DEPTH) else { return Ok(None) };
        way.push(std::mem::replace(&mut at, above));
    }
    way.reverse();
    Ok(Some(way))
}
