//! Scratch folders: which of them this machine made in the bed's root.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::row::{id_column, now};
use super::{OLDEST_LISTING, Result, State};
use crate::types::FileId;

/// A scratch folder that was made, or was about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchRow {
    /// Its name in the bed's root.
    pub name: String,
    /// Its ID; `None` if the answer to its making was not recorded.
    pub folder: Option<FileId>,
}

/// An object that was in a scratch folder, and is not to be deleted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// The object.
    pub object: FileId,
    /// The folder it belongs in.
    pub folder: FileId,
    /// Whether it is there again, though listings may still show it in the scratch folder.
    pub is_back: bool,
}

/// An object came out of a scratch folder, into this one.
pub(super) fn back(db: &Connection, object: &FileId, folder: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM retired WHERE back < ?")?.execute([now() - OLDEST_LISTING])?;
    let sql = "INSERT OR REPLACE INTO retired (object, folder, back) VALUES (?, ?, ?)";
    db.prepare_cached(sql)?.execute(params![object.as_str(), folder.as_str(), now()]).map(drop)
}

/// An object may be deleted wherever it lies.
pub(super) fn release(db: &Connection, object: &FileId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM retired WHERE object = ?")?.execute([object.as_str()]).map(drop)
}

impl State {
    /// A folder of this name is about to be made.
    pub fn scratch_begins(&self, name: &str) -> Result<()> {
        self.write("recording a scratch folder", |db| {
            db.execute("INSERT OR IGNORE INTO scratch (name) VALUES (?)", [name]).map(drop)
        })
    }

    /// It was made.
    pub fn scratch_made(&self, name: &str, folder: &FileId) -> Result<()> {
        self.write("recording a scratch folder", |db| {
            let sql = "UPDATE scratch SET folder = ? WHERE name = ?";
            db.execute(sql, params![folder.as_str(), name]).map(drop)
        })
    }

    /// It is gone.
    pub fn scratch_gone(&self, name: &str) -> Result<()> {
        self.write("recording a scratch folder", |db| {
            db.execute("DELETE FROM scratch WHERE name = ?", [name]).map(drop)
        })
    }

    /// All that are recorded.
    pub fn scratch(&self) -> Result<Vec<ScratchRow>> {
        self.read("reading the scratch folders", |db| rows(db, "SELECT name, folder FROM scratch"))
    }

    /// A probe is about to make something of this name in the root. Apart from the folders of
    /// mounts, which must not clear it away under a probe that is at work.
    pub fn probe_begins(&self, name: &str) -> Result<()> {
        self.write("recording a probe", |db| {
            db.execute("INSERT OR IGNORE INTO probes (name) VALUES (?)", [name]).map(drop)
        })
    }

    /// It was made.
    pub fn probe_made(&self, name: &str, object: &FileId) -> Result<()> {
        self.write("recording a probe", |db| {
            let sql = "UPDATE probes SET folder = ? WHERE name = ?";
            db.execute(sql, params![object.as_str(), name]).map(drop)
        })
    }

    /// It is gone.
    pub fn probe_gone(&self, name: &str) -> Result<()> {
        self.write("recording a probe", |db| {
            db.execute("DELETE FROM probes WHERE name = ?", [name]).map(drop)
        })
    }

    /// All that probes have in the root, or may have.
    pub fn probes(&self) -> Result<Vec<ScratchRow>> {
        self.read("reading the probes", |db| rows(db, "SELECT name, folder FROM probes"))
    }

    /// An object is about to be moved into a scratch folder, and is not to be deleted there. One
    /// that is to be deleted is not recorded.
    pub fn retires(&self, object: &FileId, folder: &FileId) -> Result<()> {
        self.write("recording what is taken aside", |db| {
            let sql = "INSERT OR REPLACE INTO retired (object, folder)
                       SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM deletes WHERE object = ?1)";
            db.execute(sql, params![object.as_str(), folder.as_str()]).map(drop)
        })
    }

    /// The objects that were in scratch folders, and are not to be deleted there.
    pub fn retired(&self) -> Result<Vec<Retired>> {
        self.read("reading what was taken aside", |db| {
            db.prepare_cached("SELECT object, folder, back FROM retired")?
                .query_map([], |row| {
                    Ok(Retired {
                        object: id_column(row, "object")?,
                        folder: id_column(row, "folder")?,
                        is_back: row.get::<_, Option<i64>>("back")?.is_some(),
                    })
                })?
                .collect()
        })
    }

    /// An object came out of a scratch folder, into this one.
    pub fn returned(&self, object: &FileId, folder: &FileId) -> Result<()> {
        self.write("recording what came back", |db| back(db, object, folder))
    }

    /// Whether something unfinished may lie in a scratch folder where listings and details do not
    /// show it yet: a rename under way, or what stands for a file that is only here.
    pub fn is_in_use(&self, scratch: &FileId) -> Result<bool> {
        self.read("reading what is wanted of a scratch folder", |db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM renames) OR EXISTS (
                           SELECT 1 FROM local WHERE is_aside AND phase <> 'done'
                           AND json_extract(base, '$.parent') = ?)";
            db.prepare_cached(sql)?.query_row([scratch.as_str()], |row| row.get(0))
        })
    }

    /// The objects that something unfinished needs. What lies in a scratch folder and is not among
    /// them, nobody wants.
    pub fn wanted(&self) -> Result<HashSet<FileId>> {
        self.read("reading what is wanted of the scratch folders", |db| {
            let mut wanted = HashSet::new();
            let mut add = |sql: &str| -> rusqlite::Result<()> {
                let mut statement = db.prepare(sql)?;
                let ids = statement.query_map([], |row| id_column(row, "object"))?;
                for id in ids {
                    wanted.insert(id?);
                }
                Ok(())
            };
            add("SELECT json_extract(new, '$.id') AS object FROM local
                 WHERE new IS NOT NULL AND phase NOT IN ('done', 'removed')")?;
            add("SELECT json_extract(old, '$.id') AS object FROM local
                 WHERE old IS NOT NULL AND phase NOT IN ('done', 'removed')")?;
            add("SELECT json_extract(base, '$.id') AS object FROM local
                 WHERE is_aside AND base IS NOT NULL AND phase <> 'done'")?;
            add("SELECT json_extract(source, '$.id') AS object FROM renames")?;
            add("SELECT json_extract(over, '$.id') AS object FROM renames WHERE over IS NOT NULL")?;
            Ok(wanted)
        })
    }
}

fn rows(db: &Connection, sql: &str) -> rusqlite::Result<Vec<ScratchRow>> {
    db.prepare(sql)?
        .query_map([], |row| {
            let folder: Option<String> = row.get("folder")?;
            Ok(ScratchRow { name: row.get("name")?, folder: folder.map(FileId::new) })
        })?
        .collect()
}
