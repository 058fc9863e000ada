//! Changes under way: renames of files, and folders poured into new ones, that take several steps. A
//! row is there from before the first step until after the last.

use rusqlite::{Connection, params};

use super::row::{drop_attributes, entry_column, entry_text, id_column, put_attributes};
use super::{Delete, Result, RowId, State, deletes, local, moved, scratch};
use crate::types::{Attributes, Entry, FileId, Ino};

/// The number of a change in the state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChangeId(i64);

/// A rename of a file under way.
#[derive(Clone, Debug)]
pub struct Rename {
    /// Its number.
    pub id: ChangeId,
    /// The object, as it was before.
    pub source: Entry,
    /// The folder it is to be in.
    pub folder: FileId,
    /// The name it is to have.
    pub name: String,
    /// The object that had the name.
    pub over: Option<Entry>,
    /// The path it is to have, for people.
    pub path: String,
    /// Rows of local files that end with it.
    pub ends: Vec<RowId>,
    /// The object that was made under the new name.
    pub made: Option<FileId>,
    /// It failed: what had the name is only to come back.
    pub is_undone: bool,
}

/// A folder being poured into a new one.
#[derive(Clone, Debug)]
pub struct FolderChange {
    /// Its number.
    pub id: ChangeId,
    /// The folder that is emptied.
    pub source: FileId,
    /// The folder in which the new one is made.
    pub folder: FileId,
    /// The name of the new one.
    pub name: String,
}

impl State {
    /// A rename is about to begin.
    pub fn rename_begins(
        &self, source: &Entry, folder: &FileId, name: &str, over: Option<&Entry>, path: &str,
        ends: &[RowId],
    ) -> Result<Rename> {
        let id = self.write("recording a rename", |db| {
            let sql = "INSERT INTO renames (source, folder, name, over, path, ends, is_undone)
                       VALUES (?, ?, ?, ?, ?, ?, 0)";
            let ends: Vec<String> = ends.iter().map(|row| row.0.to_string()).collect();
            // One of the same object that was to go on by itself is overtaken by this one.
            overtake(db, "json_extract(source, '$.id')", &source.id)?;
            let (source, over) = (entry_text(source), over.map(entry_text));
            db.execute(sql, params![source, folder.as_str(), name, over, path, ends.join(",")])?;
            Ok(ChangeId(db.last_insert_rowid()))
        })?;
        Ok(Rename {
            id,
            source: source.clone(),
            folder: folder.clone(),
            name: name.to_owned(),
            over: over.cloned(),
            path: path.to_owned(),
            ends: ends.to_vec(),
            made: None,
            is_undone: false,
        })
    }

    /// A rename came to its end: `new` took the places of the source and of what had the name. What
    /// the user had set on the source goes over; what is open of the other is deleted later.
    pub fn rename_done(
        &self, rename: &Rename, new: &Entry, attributes: &Attributes, later: Option<&Delete>,
    ) -> Result<()> {
        self.write("recording a rename", |db| {
            if let Some(delete) = later {
                deletes::insert(db, delete)?;
            }
            moved::record(db, &rename.path, &rename.source, new)?;
            if let Some(over) = &rename.over {
                moved::record(db, &rename.path, over, new)?;
            }
            if new.id != rename.source.id {
                drop_attributes(db, &rename.source.id)?;
            }
            put_attributes(db, &new.id, attributes)?;
            moved::succeed(db, &rename.path, new)?;
            deletes::end(db, &new.id)?;
            match new.id == rename.source.id {
                true => scratch::back(db, &new.id, &new.parent)?,
                false => scratch::release(db, &rename.source.id)?,
            }
            rename.over.as_ref().map_or(Ok(()), |over| scratch::release(db, &over.id))?;
            rename.ends.iter().try_for_each(|row| local::set_done(db, *row))?;
            db.execute("DELETE FROM renames WHERE id = ?", [rename.id.0]).map(drop)
        })
    }

    /// A rename made its object under the new name: it is not undone any more.
    pub fn rename_makes(&self, id: ChangeId, made: &FileId) -> Result<()> {
        self.write("recording a rename", |db| {
            let sql = "UPDATE renames SET made = ? WHERE id = ?";
            db.execute(sql, params![made.as_str(), id.0]).map(drop)
        })
    }

    /// A rename was undone, or never began: what had the name has it again. Or it `drops` that, which
    /// stays aside where nobody will miss it.
    pub fn rename_undone(&self, rename: &Rename, drops: bool) -> Result<()> {
        self.write("recording a rename", |db| {
            match &rename.over {
                Some(over) if drops => scratch::release(db, &over.id)?,
                Some(over) => scratch::back(db, &over.id, &rename.folder)?,
                None => {}
            }
            db.execute("DELETE FROM renames WHERE id = ?", [rename.id.0]).map(drop)
        })
    }

    /// A rename failed, and what had the name could not be brought back yet.
    pub fn rename_fails(&self, id: ChangeId) -> Result<()> {
        self.write("recording a rename", |db| {
            db.execute("UPDATE renames SET is_undone = 1 WHERE id = ?", [id.0]).map(drop)
        })
    }

    /// All renames under way.
    pub fn renames(&self) -> Result<Vec<Rename>> {
        self.read("reading the renames under way", |db| {
            db.prepare("SELECT * FROM renames ORDER BY id")?
                .query_map([], |row| {
                    Ok(Rename {
                        id: ChangeId(row.get("id")?),
                        source: entry_column(row, "source")?
                            .ok_or(rusqlite::Error::QueryReturnedNoRows)?,
                        folder: id_column(row, "folder")?,
                        name: row.get("name")?,
                        over: entry_column(row, "over")?,
                        path: row.get("path")?,
                        ends: ends(&row.get::<_, String>("ends")?),
                        made: row.get::<_, Option<String>>("made")?.map(FileId::new),
                        is_undone: row.get("is_undone")?,
                    })
                })?
                .collect()
        })
    }

    /// A folder is about to be poured into a new one.
    pub fn pour_begins(&self, source: &FileId, folder: &FileId, name: &str) -> Result<ChangeId> {
        self.write("recording a folder's rename", |db| {
            let sql = "INSERT INTO pours (source, folder, name) VALUES (?, ?, ?)";
            db.execute(sql, params![source.as_str(), folder.as_str(), name])?;
            Ok(ChangeId(db.last_insert_rowid()))
        })
    }

    /// Everything is in the new folder, and the old one is gone: what is staged for the one goes
    /// into the other. Without a new folder nothing has changed.
    pub fn pour_done(&self, id: ChangeId, source: &FileId, new: Option<&FileId>) -> Result<()> {
        self.write("recording a folder's rename", |db| {
            if let Some(new) = new {
                let values = params![new.as_str(), source.as_str()];
                for table in ["local", "deletes", "renames", "pours"] {
                    db.execute(&format!("UPDATE {table} SET folder = ? WHERE folder = ?"), values)?;
                }
                // The folder keeps its number, which may be that of the ID it had.
                let sql = "INSERT INTO attributes (object, ino) VALUES (?1, ?2)
                           ON CONFLICT (object) DO UPDATE SET ino = coalesce(ino, ?2)";
                db.execute(sql, params![source.as_str(), Ino::of(source).0 as i64])?;
                let sql = "UPDATE OR REPLACE attributes SET object = ? WHERE object = ?";
                db.execute(sql, values)?;
            }
            db.execute("DELETE FROM pours WHERE id = ?", [id.0]).map(drop)
        })
    }

    /// All folders that are being poured.
    pub fn pours(&self) -> Result<Vec<FolderChange>> {
        self.read("reading the folders' renames under way", |db| {
            db.prepare("SELECT * FROM pours ORDER BY id")?
                .query_map([], |row| {
                    Ok(FolderChange {
                        id: ChangeId(row.get("id")?),
                        source: id_column(row, "source")?,
                        folder: id_column(row, "folder")?,
                        name: row.get("name")?,
                    })
                })?
                .collect()
        })
    }
}

fn ends(text: &str) -> Vec<RowId> {
    text.split(',').filter_map(|row| row.parse().ok().map(RowId)).collect()
}

/// Drops the renames that would go on by themselves and whose `column` names this object. What had
/// the new name before is of no use to anyone then.
pub(super) fn overtake(db: &Connection, column: &str, object: &FileId) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM renames
         WHERE {column} = ? AND NOT is_undone AND (made IS NOT NULL OR over IS NULL)
         RETURNING over, ends"
    );
    let overtaken: Vec<(Option<Entry>, String)> = db
        .prepare_cached(&sql)?
        .query_map([object.as_str()], |row| Ok((entry_column(row, "over")?, row.get("ends")?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (over, rows) in overtaken {
        over.map_or(Ok(()), |over| scratch::release(db, &over.id))?;
        ends(&rows).into_iter().try_for_each(|row| local::set_done(db, row))?;
    }
    Ok(())
}
