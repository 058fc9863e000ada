//! Listings: what the mounts of this machine knew of folders, so that the next one need not ask.
//!
//! A folder's entries are believed while it is marked as listed. Whoever changes the folder takes the
//! mark away first, and it comes back with the entries as they are then; so a crash can lose a
//! listing, and never leaves a wrong one that is believed.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::id_column;
use super::{Result, State, Writing};
use crate::types::{Entry, EntryKind, FileId, Link, Md5, Picture};

/// One entry of a folder, and the name that the mount shows for it.
pub type Shown = (Arc<str>, Entry);

/// An object of a folder, and its entry unless it went.
pub type EntryChange = (FileId, Option<Shown>);

fn put(db: &Connection, folder: i64, (shown, entry): &Shown) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO entries
               (folder, object, shown, name, parent, size, md5, status, traffic, created, updated,
                link, own)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let picture = entry.picture();
    // A link that is signed would not be good for long.
    let link = picture.and_then(|picture| picture.link.as_ref());
    let link = link.filter(|link| !link.download.contains('?'));
    let name = Some(&*entry.name).filter(|name| **name != **shown);
    let values = params![
        folder,
        entry.id.as_str(),
        &**shown,
        name,
        entry.parent.as_str(),
        picture.map(|picture| picture.size as i64),
        picture.and_then(|picture| picture.md5).map(|md5| *md5.bytes()),
        picture.map(|picture| picture.status),
        picture.map(|picture| picture.traffic as i64),
        entry.created,
        entry.updated,
        link.map(|link| &*link.download),
        link.and_then(|link| link.own.as_deref()),
    ];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Shown> {
    let shown: Arc<str> = row.get("shown")?;
    let own = row.get::<_, Option<Box<str>>>("own")?;
    let link = row.get::<_, Option<Box<str>>>("link")?.map(|download| Link { download, own });
    let kind = match row.get::<_, Option<i64>>("size")? {
        None => EntryKind::Folder,
        Some(size) => EntryKind::File(Picture {
            size: size as u64,
            md5: row.get::<_, Option<[u8; 16]>>("md5")?.map(Md5::new),
            status: row.get("status")?,
            traffic: row.get::<_, i64>("traffic")? as u64,
            link,
        }),
    };
    let name: Option<Box<str>> = row.get("name")?;
    let entry = Entry {
        id: id_column(row, "object")?,
        name: name.unwrap_or_else(|| Box::from(&*shown)),
        parent: id_column(row, "parent")?,
        created: row.get("created")?,
        updated: row.get("updated")?,
        kind,
    };
    Ok((shown, entry))
}

/// The number of a folder, which gets one if need be.
fn number(db: &Connection, folder: &FileId) -> rusqlite::Result<i64> {
    let find = "SELECT id FROM folders WHERE folder = ?";
    let found =
        db.prepare_cached(find)?.query_row([folder.as_str()], |row| row.get(0)).optional()?;
    if let Some(number) = found {
        return Ok(number);
    }
    db.execute("INSERT INTO folders (folder) VALUES (?)", [folder.as_str()])?;
    Ok(db.last_insert_rowid())
}

impl State {
    /// The folders whose entries are believed.
    pub fn listed_folders(&self) -> Result<HashSet<FileId>> {
        self.read("reading the listings", |db| {
            db.prepare("SELECT folder FROM folders WHERE listed IS NOT NULL")?
                .query_map([], |row| id_column(row, "folder"))?
                .collect()
        })
    }

    /// When a folder was listed, in seconds since the epoch, if its entries are believed.
    pub fn listed(&self, folder: &FileId) -> Result<Option<i64>> {
        self.read("reading a listing", |db| {
            db.prepare_cached("SELECT listed FROM folders WHERE folder = ?")?
                .query_row([folder.as_str()], |row| row.get(0))
                .optional()
                .map(Option::flatten)
        })
    }

    /// At most `most` entries of a folder whose IDs come after this one, in the order of these.
    pub fn entries_after(&self, folder: &FileId, after: &str, most: usize) -> Result<Vec<Shown>> {
        self.read("reading a listing", |db| {
            let sql = "SELECT entries.* FROM entries JOIN folders ON folders.id = entries.folder
                       WHERE folders.folder = ? AND object > ? ORDER BY object LIMIT ?";
            db.prepare_cached(sql)?
                .query_map(params![folder.as_str(), after, most as i64], read)?
                .collect()
        })
    }

    /// What is kept of the pictures of these bytes in a folder, whether it is believed or not.
    pub fn entries_of_bytes(&self, folder: &FileId, md5: Md5, size: u64) -> Result<Vec<Entry>> {
        self.read("reading a listing", |db| {
            let sql = "SELECT entries.* FROM entries JOIN folders ON folders.id = entries.folder
                       WHERE folders.folder = ? AND size = ? AND md5 = ? ORDER BY created";
            db.prepare_cached(sql)?
                .query_map(params![folder.as_str(), size as i64, md5.bytes()], read)?
                .map(|shown| shown.map(|(_, entry)| entry))
                .collect()
        })
    }

    /// The folder of this name in another, if the entries of that one are believed.
    pub fn folder_named(&self, parent: &FileId, name: &str) -> Result<Option<FileId>> {
        self.read("reading a listing", |db| {
            let sql = "SELECT object FROM entries JOIN folders ON folders.id = entries.folder
                       WHERE folders.folder = ? AND listed IS NOT NULL AND size IS NULL
                         AND shown = ?";
            db.prepare(sql)?
                .query_row([parent.as_str(), name], |row| id_column(row, "object"))
                .optional()
        })
    }

    /// What a folder has under the name that a mount shows, as it was last listed, believed or not.
    pub fn entry_named(&self, folder: &FileId, shown: &str) -> Result<Option<Entry>> {
        self.read("reading a listing", |db| {
            let sql = "SELECT entries.* FROM entries JOIN folders ON folders.id = entries.folder
                       WHERE folders.folder = ? AND shown = ?";
            let row = db.prepare(sql)?.query_row([folder.as_str(), shown], read).optional()?;
            Ok(row.map(|(_, entry)| entry))
        })
    }

    /// The ID by which listings name the bed's root, if they ever told it.
    pub fn real_root(&self) -> Result<Option<FileId>> {
        self.read("reading a listing", |db| {
            let sql = "SELECT parent FROM entries JOIN folders ON folders.id = entries.folder
                       WHERE folders.folder = '' AND parent <> '' LIMIT 1";
            db.prepare(sql)?.query_row([], |row| id_column(row, "parent")).optional()
        })
    }

    /// The links of all entries as they were last listed, believed or not.
    pub fn links(&self) -> Result<Vec<Link>> {
        self.read("reading the links", |db| {
            let link = |row: &Row<'_>| Ok(Link { download: row.get(0)?, own: row.get(1)? });
            db.prepare("SELECT link, own FROM entries WHERE link IS NOT NULL")?
                .query_map([], link)?
                .collect()
        })
    }

    /// Forgets a folder's entries.
    pub fn forget_listing(&self, folder: &FileId) -> Result<()> {
        self.keep("keeping a listing", |db| {
            let number = number(db, folder)?;
            db.execute("UPDATE folders SET listed = NULL WHERE id = ?", [number])?;
            db.execute("DELETE FROM entries WHERE folder = ?", [number]).map(drop)
        })
    }

    /// As [`Writing::keep_listing`], for who has no lock.
    pub fn keep_listing(
        &self, folder: &FileId, changes: &[EntryChange], listed: Option<i64>,
    ) -> Result<()> {
        self.writing()?.keep_listing(folder, changes, listed)
    }

    /// Forgets the entries of folders that no other folder has, but for those of `root`.
    pub fn forget_lost_listings(&self, root: &FileId) -> Result<()> {
        self.keep("forgetting old listings", |db| {
            let sql = "DELETE FROM folders WHERE folder NOT IN ('', ?)
                       AND folder NOT IN (SELECT object FROM entries WHERE size IS NULL)";
            if db.execute(sql, [root.as_str()])? > 0 {
                let sql = "DELETE FROM entries WHERE folder NOT IN (SELECT id FROM folders)";
                db.execute(sql, [])?;
            }
            Ok(())
        })
    }
}

impl Writing<'_> {
    /// These folders' entries are not believed from now on.
    pub fn doubt_listings<'a>(
        self, folders: impl IntoIterator<Item = &'a FileId> + Clone,
    ) -> Result<()> {
        self.write("recording a change of a folder", |db| {
            let mut doubt =
                db.prepare_cached("UPDATE folders SET listed = NULL WHERE folder = ?")?;
            folders
                .clone()
                .into_iter()
                .try_for_each(|folder| doubt.execute([folder.as_str()]).map(drop))
        })
    }

    /// No folder's entries are believed from now on.
    pub fn doubt_all_listings(self) -> Result<()> {
        self.write("recording changes of folders", |db| {
            db.execute("UPDATE folders SET listed = NULL", []).map(drop)
        })
    }

    /// Keeps what changed of a folder's entries; with the time of its listing they are believed.
    pub fn keep_listing(
        self, folder: &FileId, changes: &[EntryChange], listed: Option<i64>,
    ) -> Result<()> {
        self.keep("keeping a listing", |db| {
            let number = number(db, folder)?;
            for (object, entry) in changes {
                match entry {
                    Some(entry) => put(db, number, entry)?,
                    None => {
                        let sql = "DELETE FROM entries WHERE folder = ? AND object = ?";
                        db.prepare_cached(sql)?.execute(params![number, object.as_str()])?;
                    }
                }
            }
            if let Some(listed) = listed {
                let sql = "UPDATE folders SET listed = ? WHERE id = ?";
                db.prepare_cached(sql)?.execute([listed, number])?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: &str, link: &str) -> EntryChange {
        let link = Some(Link { download: link.into(), own: Some("".into()) });
        let md5 = Some(Md5::new([7; 16]));
        let picture = Picture { size: 7, md5, status: 2, traffic: 9, link };
        let entry = Entry {
            id: FileId::new(id),
            name: "图.jpg".into(),
            parent: FileId::new("real root"),
            created: 5,
            updated: 6,
            kind: EntryKind::File(picture),
        };
        (entry.id.clone(), Some((format!("{id}.jpg").into(), entry)))
    }

    #[test]
    fn entries_are_read_as_they_were_kept_and_believed_only_with_a_mark() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = State::open_sound(dir.path()).expect("a state file");
        let root = FileId::root();
        let (one, two) = (file("1", "https://x/1"), file("2", "https://x/2"));
        state.keep_listing(&root, &[one.clone(), two.clone()], None).expect("kept");
        assert!(state.listed_folders().expect("read").is_empty());
        state.keep_listing(&root, &[], Some(77)).expect("kept");
        assert_eq!(state.listed(&root).expect("read"), Some(77));
        let all = state.entries_after(&root, "", 9).expect("read");
        assert_eq!(all, [one.1.clone().expect("there"), two.1.expect("there")]);
        assert_eq!(state.entries_after(&root, "", 1).expect("read").len(), 1);
        let of_bytes = |size| state.entries_of_bytes(&root, Md5::new([7; 16]), size).expect("read");
        assert_eq!((of_bytes(7).len(), of_bytes(8).len()), (2, 0));
        let gone = (FileId::new("2"), None);
        state.keep_listing(&root, &[gone], None).expect("kept");
        assert_eq!(state.entries_after(&root, "", 9).expect("read"), [one.1.expect("there")]);
        state.writing().expect("free").doubt_listings([&root]).expect("doubted");
        assert_eq!(state.listed(&root).expect("read"), None);
    }

    #[test]
    fn a_signed_link_is_not_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = State::open_sound(dir.path()).expect("a state file");
        let signed = file("1", "https://x/1?auth_key=1-2");
        state.keep_listing(&FileId::root(), &[signed], Some(1)).expect("kept");
        let all = state.entries_after(&FileId::root(), "", 9).expect("read");
        assert!(all[0].1.picture().is_some_and(|picture| picture.link.is_none()));
    }
}
