//! Local rows: files and folders that are here, and not at the service or not as they are here.
//!
//! A file's row is there from before its first byte until after its staged bytes are gone from disk,
//! so that no staged byte is ever without a name.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::row::{
    SET_ATTRIBUTES, attribute_values, attributes, entry_column, entry_text, id_column, now,
};
use super::sent::{self, Sent};
use super::{Delete, Phase, Result, State, deletes};
use crate::types::{Attributes, Entry, FileId};

/// The number of a local row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowId(pub i64);

/// A new version that stands confirmed in a scratch folder, and is to take the old one's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacing {
    /// The new object.
    pub new: Entry,
    /// The old one.
    pub old: Entry,
}

/// One local file or folder.
#[derive(Clone, Debug)]
pub struct LocalRow {
    /// Its number.
    pub id: RowId,
    /// The folder that names it.
    pub folder: FileId,
    /// The folder's path from the bed's root; empty for the root.
    pub folder_path: String,
    /// Its name.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether its name or place is for this machine only.
    pub is_local: bool,
    /// The name of its bytes in the folder of staged files.
    pub staged: Option<String>,
    /// How far it is.
    pub phase: Phase,
    /// Why it failed.
    pub error: Option<String>,
    /// The object whose bytes show through where nothing was written.
    pub base: Option<Entry>,
    /// Whether the base lies in a scratch folder, for this file alone.
    pub is_aside: bool,
    /// The path that the base was taken aside from.
    pub origin: Option<String>,
    /// A replacement under way.
    pub replacing: Option<Replacing>,
    /// The md5 and size of each content of which an upload to the name was begun.
    pub sent: Vec<Sent>,
    /// When the row last changed, in seconds since the epoch.
    pub changed: i64,
    /// What the user set.
    pub attributes: Attributes,
}

impl LocalRow {
    /// The path from the bed's root.
    pub fn path(&self) -> String {
        match self.folder_path.is_empty() {
            true => self.name.clone(),
            false => format!("{}/{}", self.folder_path, self.name),
        }
    }
}

/// Where a file or folder is.
#[derive(Clone, Debug)]
pub struct Whereabouts<'a> {
    /// The folder that names it.
    pub folder: &'a FileId,
    /// The folder's path from the bed's root.
    pub folder_path: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Whether that is for this machine only.
    pub is_local: bool,
}

/// What is promised to the one who closed a file.
#[derive(Clone, Debug)]
pub struct Acknowledged<'a> {
    /// The object whose bytes show through.
    pub base: Option<&'a Entry>,
    /// What the user set.
    pub attributes: &'a Attributes,
    /// An earlier version that this one takes the place of.
    pub supersedes: Option<RowId>,
}

/// What is recorded together when the service has a file's bytes.
#[derive(Clone, Debug)]
pub struct Published<'a> {
    /// The file's path from the bed's root.
    pub path: &'a str,
    /// The object whose place it took.
    pub old: Option<&'a Entry>,
    /// The object.
    pub new: &'a Entry,
    /// What the user set.
    pub attributes: &'a Attributes,
    /// Whether nothing else of the file is only here.
    pub is_done: bool,
    /// Rows of files whose place it took.
    pub ends: &'a [RowId],
    /// Objects that go: the old one where somebody has it open, and what was aside.
    pub deletes: &'a [Delete],
}

fn place(db: &Connection, row: RowId, to: &Whereabouts<'_>) -> rusqlite::Result<()> {
    let sql = "UPDATE local SET folder = ?, folder_path = ?, name = ?, is_local = ? WHERE id = ?";
    let Whereabouts { folder, folder_path, name, is_local } = to;
    let values = params![folder.as_str(), folder_path, name, is_local, row.0];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

pub(super) fn set_done(db: &Connection, row: RowId) -> rusqlite::Result<()> {
    set_phase(db, row, Phase::Done)
}

pub(super) fn set_phase(db: &Connection, row: RowId, phase: Phase) -> rusqlite::Result<()> {
    let sql = "UPDATE local SET phase = ? WHERE id = ?";
    db.prepare_cached(sql)?.execute(params![phase.text(), row.0]).map(drop)
}

/// A row whose objects cannot be read is of no use but for its bytes: it waits for the user.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<LocalRow> {
    let objects = || -> rusqlite::Result<_> {
        let replacing = entry_column(row, "new")?.zip(entry_column(row, "old")?);
        let replacing = replacing.map(|(new, old)| Replacing { new, old });
        Ok((entry_column(row, "base")?, replacing))
    };
    let (base, replacing, broken) = match objects() {
        Ok((base, replacing)) => (base, replacing, None),
        Err(error) => (None, None, Some(format!("its row in the state file is damaged: {error}"))),
    };
    let phase = Phase::of(&row.get::<_, String>("phase")?);
    Ok(LocalRow {
        id: RowId(row.get("id")?),
        folder: id_column(row, "folder")?,
        folder_path: row.get("folder_path")?,
        name: row.get("name")?,
        is_folder: row.get("is_folder")?,
        is_local: row.get("is_local")?,
        staged: row.get("staged")?,
        phase: if broken.is_some() { Phase::Failed } else { phase },
        error: row.get::<_, Option<String>>("error")?.or(broken),
        base,
        is_aside: row.get("is_aside")?,
        origin: row.get("origin")?,
        replacing,
        sent: sent::read(&row.get::<_, String>("sent")?),
        changed: row.get("changed")?,
        attributes: attributes(row)?,
    })
}

impl State {
    /// As [`Writing::begin`](super::Writing::begin), for who has no lock.
    pub fn begin(&self, row: &LocalRow) -> Result<RowId> {
        self.writing()?.begin(row)
    }

    /// As [`Writing::failed`](super::Writing::failed), for who has no lock.
    pub fn failed(&self, row: RowId, error: &str) -> Result<()> {
        self.writing()?.failed(row, error)
    }

    /// The file was closed, and its bytes are synced: from now on they are promised.
    pub fn acknowledge(&self, row: RowId, promised: &Acknowledged<'_>) -> Result<()> {
        self.write("recording a closed file", |db| {
            let sql = format!(
                "UPDATE local SET phase = 'closed', error = NULL, base = ?, changed = ?, {SET_ATTRIBUTES}
                 WHERE id = ?"
            );
            let mut values: Vec<Value> = vec![
                promised.base.map(entry_text).into(),
                now().into(),
            ];
            values.extend(attribute_values(promised.attributes));
            values.push(row.0.into());
            if db.prepare_cached(&sql)?.execute(params_from_iter(values))? == 0 {
                // What has no row is promised to nobody.
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            let Some(earlier) = promised.supersedes else { return Ok(()) };
            sent::inherit(db, row, earlier)?;
            set_done(db, earlier)
        })
    }

    /// A file was being written when its mount ended.
    pub fn interrupted(&self, row: RowId) -> Result<()> {
        self.write("recording what was interrupted", |db| {
            let sql = "UPDATE local SET phase = 'interrupted' WHERE id = ? AND phase = 'open'";
            db.execute(sql, [row.0]).map(drop)
        })
    }

    /// The user wants these tried again. How many rows that are.
    pub fn retry(&self, rows: &[RowId]) -> Result<usize> {
        self.write("recording a retry", |db| {
            let sql = "UPDATE local SET phase = 'closed', error = NULL
                       WHERE id = ? AND phase IN ('failed', 'interrupted')";
            let mut statement = db.prepare(sql)?;
            rows.iter().map(|row| statement.execute([row.0])).sum()
        })
    }

    /// A replacement comes to the step that cannot be undone: from now on the file stands where it
    /// is to be. Or it has ended.
    pub fn set_replacing(
        &self, row: RowId, replacing: Option<(&Replacing, &Whereabouts<'_>)>,
    ) -> Result<()> {
        let new = replacing.map(|(replacing, _)| entry_text(&replacing.new));
        let old = replacing.map(|(replacing, _)| entry_text(&replacing.old));
        self.write("recording a replacement", |db| {
            let sql = "UPDATE local SET new = ?, old = ? WHERE id = ?";
            db.execute(sql, params![new, old, row.0])?;
            replacing.map_or(Ok(()), |(_, to)| place(db, row, to))
        })
    }

    /// A replacement that is under way.
    pub fn replacing(&self, row: RowId) -> Result<Option<Replacing>> {
        Ok(self.local(row)?.and_then(|local| local.replacing))
    }

    /// Files or folders have another place and name, in which others end: rows, and objects that are
    /// to be deleted. Gives rows for what was sent to the names before, as of files that were removed
    /// there.
    pub fn renamed(
        &self, rows: &[RowId], to: &Whereabouts<'_>, ends: &[RowId], deletes: &[Delete],
    ) -> Result<Vec<RowId>> {
        self.write("recording a rename", |db| {
            let mut left = Vec::new();
            for row in rows {
                left.extend(sent::leave(db, *row)?);
                place(db, *row, to)?;
            }
            for end in ends {
                rows.iter().try_for_each(|row| sent::inherit(db, *row, *end))?;
                set_done(db, *end)?;
            }
            deletes.iter().try_for_each(|delete| deletes::insert(db, delete))?;
            Ok(left)
        })
    }

    /// A folder has another path, and so has what is in it.
    pub fn folder_renamed(&self, old: &str, new: &str) -> Result<()> {
        self.write("recording a folder's rename", |db| {
            let sql = "UPDATE local SET folder_path = ?2 || substr(folder_path, length(?1) + 1)
                       WHERE folder_path = ?1
                          OR substr(folder_path, 1, length(?1) + 1) = ?1 || '/'";
            db.execute(sql, [old, new]).map(drop)
        })
    }

    /// Nobody wants the staged bytes any more; they may go from disk.
    pub fn unwanted(&self, row: RowId) -> Result<()> {
        self.write("recording a file that is not wanted", |db| set_done(db, row))
    }

    /// The staged bytes are gone from disk.
    pub fn forget(&self, row: RowId) -> Result<()> {
        self.write("forgetting a file", |db| {
            db.prepare_cached("DELETE FROM local WHERE id = ?")?.execute([row.0]).map(drop)
        })
    }

    /// One row, if it is still there.
    pub fn local(&self, id: RowId) -> Result<Option<LocalRow>> {
        self.read("reading a local file", |db| {
            let sql = "SELECT * FROM local WHERE id = ?";
            db.prepare_cached(sql)?.query_row([id.0], read).optional()
        })
    }

    /// All rows, the oldest first.
    pub fn locals(&self) -> Result<Vec<LocalRow>> {
        self.read("reading the local files", |db| {
            db.prepare_cached("SELECT * FROM local ORDER BY id")?.query_map([], read)?.collect()
        })
    }
}
