//! Posted: pictures that commands uploaded without a mount, which listings may not show yet.

use rusqlite::params;

use super::row::{id_column, now};
use super::{Result, State};
use crate::types::{FileId, Md5};

/// How long a picture is remembered, in seconds: no listing is as old as that.
const KEPT: i64 = 3600;

/// One picture that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The object.
    pub object: FileId,
    /// The folder it was uploaded to.
    pub folder: FileId,
    /// Its name there.
    pub name: String,
    /// Of its bytes.
    pub md5: Md5,
    /// Bytes.
    pub size: u64,
}

impl State {
    /// Remembers a picture for an hour.
    pub fn post(&self, posted: &Posted) -> Result<()> {
        self.write("recording an upload", |db| {
            db.execute("DELETE FROM posted WHERE changed < ?", [now() - KEPT])?;
            let Posted { object, folder, name, md5, size } = posted;
            let sql = "INSERT OR REPLACE INTO posted (object, folder, name, md5, size, changed)
                       VALUES (?, ?, ?, ?, ?, ?)";
            let (object, folder, md5) = (object.as_str(), folder.as_str(), md5.bytes());
            db.execute(sql, params![object, folder, name, md5, *size as i64, now()]).map(drop)
        })
    }

    /// What was uploaded to a folder within the last hour, the oldest first.
    pub fn posted_to(&self, folder: &FileId) -> Result<Vec<Posted>> {
        self.read("reading what was uploaded", |db| {
            let sql = "SELECT * FROM posted WHERE folder = ? AND changed >= ? ORDER BY changed";
            db.prepare_cached(sql)?
                .query_map(params![folder.as_str(), now() - KEPT], |row| {
                    Ok(Posted {
                        object: id_column(row, "object")?,
                        folder: id_column(row, "folder")?,
                        name: row.get("name")?,
                        md5: Md5::new(row.get("md5")?),
                        size: row.get::<_, i64>("size")? as u64,
                    })
                })?
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_posted_is_remembered_by_its_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = State::open_sound(dir.path()).expect("a state file");
        let posted = Posted {
            object: FileId::new("7"),
            folder: FileId::root(),
            name: "a.png".into(),
            md5: Md5::new([3; 16]),
            size: 9,
        };
        state.post(&posted).expect("recorded");
        assert_eq!(state.posted_to(&FileId::root()).expect("read"), [posted]);
        assert_eq!(state.posted_to(&FileId::new("1")).expect("read"), []);
    }
}
