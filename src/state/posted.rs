//! Posted: pictures and folders that commands made without a mount, which listings may not show yet.

use rusqlite::params;

use super::row::{id_column, now};
use super::{OLDEST_LISTING, Result, State};
use crate::types::{FileId, Md5};

/// One picture that was uploaded, or a folder that was made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The object.
    pub object: FileId,
    /// The folder it was put into.
    pub folder: FileId,
    /// Its name there.
    pub name: String,
    /// The md5 of its bytes, and how many they are; `None` for a folder.
    pub content: Option<(Md5, u64)>,
}

impl State {
    /// Remembers it for an hour.
    pub fn post(&self, posted: &Posted) -> Result<()> {
        self.write("recording an upload", |db| {
            db.execute("DELETE FROM posted WHERE changed < ?", [now() - OLDEST_LISTING])?;
            let Posted { object, folder, name, content } = posted;
            let (md5, size) = content.map(|(md5, size)| (*md5.bytes(), size as i64)).unzip();
            let sql = "INSERT OR REPLACE INTO posted (object, folder, name, md5, size, changed)
                       VALUES (?, ?, ?, ?, ?, ?)";
            let (object, folder) = (object.as_str(), folder.as_str());
            db.execute(sql, params![object, folder, name, md5, size, now()]).map(drop)
        })
    }

    /// What was put into a folder within the last hour, the oldest first.
    pub fn posted_to(&self, folder: &FileId) -> Result<Vec<Posted>> {
        self.read("reading what was uploaded", |db| {
            let sql = "SELECT * FROM posted WHERE folder = ? AND changed >= ?
                       ORDER BY changed, object";
            db.prepare_cached(sql)?
                .query_map(params![folder.as_str(), now() - OLDEST_LISTING], |row| {
                    Ok(Posted {
                        object: id_column(row, "object")?,
                        folder: id_column(row, "folder")?,
                        name: row.get("name")?,
                        content: row
                            .get::<_, Option<[u8; 16]>>("md5")?
                            .map(Md5::new)
                            .zip(row.get::<_, Option<i64>>("size")?.map(|size| size as u64)),
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
            content: Some((Md5::new([3; 16]), 9)),
        };
        let folder = Posted { object: FileId::new("8"), content: None, ..posted.clone() };
        state.post(&posted).expect("recorded");
        state.post(&folder).expect("recorded");
        assert_eq!(state.posted_to(&FileId::root()).expect("read"), [posted, folder]);
        assert_eq!(state.posted_to(&FileId::new("1")).expect("read"), []);
    }
}
