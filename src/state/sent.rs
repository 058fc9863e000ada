//! What was sent: the contents of which an upload to a file's name was begun. The service may finish
//! one by itself some time after a kill, when the file has another content or is removed.
//!
//! A column of a local row: `MD5:SIZE` and a space for each.

use rusqlite::{Connection, params};

use super::{Result, RowId, State};
use crate::types::Md5;

pub(super) fn read(column: &str) -> Vec<(Md5, u64)> {
    let parts = column.split_whitespace().filter_map(|part| part.split_once(':'));
    parts.filter_map(|(md5, size)| md5.parse().ok().zip(size.parse().ok())).collect()
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_it_is_written() {
        let md5: Md5 = "0123456789abcdef0123456789abcdef".parse().expect("an md5");
        assert_eq!(read(&format!("{md5}:7 {md5}:0 ")), [(md5, 7), (md5, 0)]);
        assert_eq!(read(""), []);
    }
}
