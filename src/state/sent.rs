//! What was sent: the contents of which an upload to a file's name was begun. The service may finish
//! one by itself some time after a kill, when the file has another content or is removed.
//!
//! A column of a local row: `MD5:SIZE` and a space for each that was begun, and `MD5:SIZE:PREUPLOAD`
//! and a space for each that the service was to complete.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, RowId, State};
use crate::types::Md5;

/// A content that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of the bytes.
    pub md5: Md5,
    /// Of the bytes.
    pub size: u64,
    /// The upload's ID, if the service was to complete it: what became of it can be asked for.
    pub preupload: Option<String>,
}

impl Sent {
    fn parse(part: &str) -> Option<Self> {
        let mut fields = part.splitn(3, ':');
        let (md5, size) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { md5, size, preupload: fields.next().map(str::to_owned) })
    }
}

pub(super) fn read(column: &str) -> Vec<Sent> {
    column.split_whitespace().filter_map(Sent::parse).collect()
}

fn column(db: &Connection, row: RowId) -> rusqlite::Result<String> {
    let sql = "SELECT sent FROM local WHERE id = ?";
    let column = db.prepare_cached(sql)?.query_row([row.0], |row| row.get(0)).optional()?;
    Ok(column.unwrap_or_default())
}

/// What was sent of an earlier version of the file may come about after this one is removed.
pub(super) fn inherit(db: &Connection, row: RowId, earlier: RowId) -> rusqlite::Result<()> {
    let sql = "UPDATE local SET sent = sent || coalesce(
                   (SELECT sent FROM local WHERE id = ?), '') WHERE id = ?";
    db.prepare_cached(sql)?.execute([earlier.0, row.0]).map(drop)
}

/// The file gets another place or name: what was sent of it may come about at the one before, where
/// it is as good as removed. Gives the row that says so.
pub(super) fn leave(db: &Connection, row: RowId) -> rusqlite::Result<Option<RowId>> {
    let sql = "INSERT INTO local (folder, folder_path, name, is_folder, is_local, phase, is_aside,
                   changed, sent)
               SELECT folder, folder_path, name, 0, is_local, 'removed', 0, changed, sent
                   FROM local WHERE id = ? AND sent <> ''";
    if db.prepare_cached(sql)?.execute([row.0])? == 0 {
        return Ok(None);
    }
    let left = RowId(db.last_insert_rowid());
    db.prepare_cached("UPDATE local SET sent = '' WHERE id = ?")?.execute([row.0])?;
    Ok(Some(left))
}

impl State {
    /// An upload of these bytes to the file's name is about to begin.
    pub fn sends(&self, row: RowId, md5: Md5, size: u64) -> Result<()> {
        self.write("recording an upload", |db| {
            let sql = "UPDATE local SET sent = sent || ?1 WHERE id = ?2 AND instr(sent, ?1) = 0";
            db.execute(sql, params![format!("{md5}:{size} "), row.0]).map(drop)
        })
    }

    /// The service is about to be told to complete an upload of these bytes to the file's name.
    pub fn completes(&self, row: RowId, md5: Md5, size: u64, preupload: &str) -> Result<()> {
        self.write("recording an upload", |db| {
            let sql = "UPDATE local SET sent = sent || ? WHERE id = ?";
            db.execute(sql, params![format!("{md5}:{size}:{preupload} "), row.0]).map(drop)
        })
    }

    /// Nothing came of an upload that the service was told to complete: it is not asked for again.
    pub fn came_to_nothing(&self, row: RowId, preupload: &str) -> Result<()> {
        self.write("recording an upload", |db| {
            let column = column(db, row)?;
            let is_it = |part: &str| {
                let told = Sent::parse(part).and_then(|sent| sent.preupload);
                told.as_deref() == Some(preupload)
            };
            let rest = column.split_whitespace().filter(|part| !is_it(part));
            let rest: String = rest.map(|part| format!("{part} ")).collect();
            db.execute("UPDATE local SET sent = ? WHERE id = ?", params![rest, row.0]).map(drop)
        })
    }

    /// The uploads of these bytes to the file's name that the service was told to complete.
    pub fn completing(&self, row: RowId, md5: Md5, size: u64) -> Result<Vec<String>> {
        self.read("reading what was sent", |db| {
            let mut sent = read(&column(db, row)?);
            sent.retain(|sent| (sent.md5, sent.size) == (md5, size));
            Ok(sent.into_iter().filter_map(|sent| sent.preupload).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_it_is_written() {
        let md5: Md5 = "0123456789abcdef0123456789abcdef".parse().expect("an md5");
        let sent = |size, preupload: Option<&str>| Sent {
            md5,
            size,
            preupload: preupload.map(str::to_owned),
        };
        let column = format!("{md5}:7 {md5}:0 {md5}:0:h1/a:b+c== ");
        assert_eq!(read(&column), [sent(7, None), sent(0, None), sent(0, Some("h1/a:b+c=="))]);
        assert_eq!(read(""), []);
    }
}
