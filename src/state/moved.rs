//! Moved links: which link took the place of which, when, and of which file.

use rusqlite::{Connection, params};

use super::row::{id_column, now};
use super::{Result, State};
use crate::types::{Entry, FileId, Picture};

/// A link that took the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Seconds since the epoch.
    pub changed: i64,
    /// The file's path from the bed's root, as it was called then.
    pub path: String,
    /// The object that went.
    pub old_object: FileId,
    /// Its link, as it was published; `None` if the service never told it.
    pub old_link: Option<String>,
    /// The object that came.
    pub new_object: FileId,
    /// Its link; `None` until the service told it.
    pub new_link: Option<String>,
}

/// The link of an entry as it would be published.
fn link(entry: &Entry) -> Option<&str> {
    Some(entry.picture().and_then(|Picture { link, .. }| link.as_ref())?.publish())
}

/// Records that `new` took the place of `old`, in the caller's transaction.
pub(super) fn record(
    db: &Connection, path: &str, old: &Entry, new: &Entry,
) -> rusqlite::Result<()> {
    if old.id == new.id {
        return Ok(());
    }
    let sql = "INSERT INTO moved (changed, path, old_object, old_link, new_object, new_link)
               VALUES (?, ?, ?, ?, ?, ?)";
    let (old_id, new_id) = (old.id.as_str(), new.id.as_str());
    db.execute(sql, params![now(), path, old_id, link(old), new_id, link(new)]).map(drop)
}

/// A link ended when its file, taken aside from `path`, was removed. What has the path now took its
/// place, or what comes to have it next.
pub(super) fn end(
    db: &Connection, path: &str, old: &Entry, now_there: Option<&Entry>,
) -> rusqlite::Result<()> {
    if let Some(new) = now_there {
        return record(db, path, old, new);
    }
    let sql = "INSERT INTO moved (changed, path, old_object, old_link) VALUES (?, ?, ?, ?)";
    db.execute(sql, params![now(), path, old.id.as_str(), link(old)]).map(drop)
}

/// An object came to a path: it takes the place of the links that ended there.
pub(super) fn succeed(db: &Connection, path: &str, new: &Entry) -> rusqlite::Result<()> {
    let sql = "UPDATE moved SET new_object = ?, new_link = ?
               WHERE path = ? AND new_object IS NULL";
    db.prepare_cached(sql)?.execute(params![new.id.as_str(), link(new), path]).map(drop)
}

impl State {
    /// A file that was taken aside from `path` was removed.
    pub fn link_ends(&self, path: &str, old: &Entry, now_there: Option<&Entry>) -> Result<()> {
        self.write("recording a link that ended", |db| end(db, path, old, now_there))
    }

    /// Every link that took the place of another, the oldest first.
    pub fn moved(&self) -> Result<Vec<Moved>> {
        self.read("reading the moved links", |db| {
            db.prepare("SELECT * FROM moved WHERE new_object IS NOT NULL ORDER BY id")?
                .query_map([], |row| {
                    Ok(Moved {
                        changed: row.get("changed")?,
                        path: row.get("path")?,
                        old_object: id_column(row, "old_object")?,
                        old_link: row.get("old_link")?,
                        new_object: id_column(row, "new_object")?,
                        new_link: row.get("new_link")?,
                    })
                })?
                .collect()
        })
    }

    /// Objects that took another's place, and whose link the service has not told yet.
    pub fn without_link(&self) -> Result<Vec<FileId>> {
        self.read("reading the moved links", |db| {
            db.prepare("SELECT DISTINCT new_object FROM moved WHERE new_object IS NOT NULL AND new_link IS NULL")?
                .query_map([], |row| id_column(row, "new_object"))?
                .collect()
        })
    }

    /// The object is gone, and its link will not be told any more.
    pub fn has_no_link(&self, object: &FileId) -> Result<()> {
        self.write("completing the moved links", |db| {
            let sql = "UPDATE moved SET new_link = '' WHERE new_object = ? AND new_link IS NULL";
            db.execute(sql, [object.as_str()]).map(drop)
        })
    }

    /// The service told the link of an object.
    pub fn learn_link(&self, entry: &Entry) -> Result<()> {
        let Some(link) = link(entry) else { return Ok(()) };
        self.write("completing the moved links", |db| {
            let sql = "UPDATE moved SET new_link = ?1 WHERE new_object = ?2 AND new_link IS NULL";
            db.execute(sql, params![link, entry.id.as_str()]).map(drop)
        })
    }
}
