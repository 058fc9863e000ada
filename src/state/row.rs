//! Rows and values: how the words of other rooms are written into the state file and read back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::{Type, Value};
use rusqlite::{Row, params_from_iter};
use serde::{Deserialize, Serialize};

use super::RowId;
use crate::types::{Attributes, Entry, EntryKind, FileId, Ino, Link, Picture, Xattrs};

/// A listing row as JSON.
#[derive(Serialize, Deserialize)]
struct EntryText {
    id: String,
    name: String,
    parent: String,
    created: i64,
    updated: i64,
    size: Option<u64>,
    md5: Option<String>,
    status: i64,
    link: Option<String>,
    own: Option<String>,
}

/// The entry as the state file keeps it. Its traffic is not kept: it changes by itself.
pub(super) fn entry_text(entry: &Entry) -> String {
    let picture = entry.picture();
    let link = picture.and_then(|picture| picture.link.as_ref());
    let text = EntryText {
        id: entry.id.to_string(),
        name: entry.name.to_string(),
        parent: entry.parent.to_string(),
        created: entry.created,
        updated: entry.updated,
        size: picture.map(|picture| picture.size),
        md5: picture.and_then(|picture| picture.md5).map(|md5| md5.to_string()),
        status: picture.map_or(0, |picture| picture.status),
        link: link.map(|link| link.download.to_string()),
        own: link.and_then(|link| link.own.as_deref()).map(str::to_owned),
    };
    serde_json::to_string(&text).expect("texts and numbers are always JSON")
}

/// The entry that was written so.
pub(super) fn entry(text: &str) -> serde_json::Result<Entry> {
    let text: EntryText = serde_json::from_str(text)?;
    let own = text.own.map(Into::into);
    let link = text.link.map(|download| Link { download: download.into(), own });
    let kind = match text.size {
        None => EntryKind::Folder,
        Some(size) => EntryKind::File(Picture {
            size,
            md5: text.md5.and_then(|md5| md5.parse().ok()),
            status: text.status,
            traffic: 0,
            link,
        }),
    };
    Ok(Entry {
        id: FileId::new(text.id),
        name: text.name.into(),
        parent: FileId::new(text.parent),
        created: text.created,
        updated: text.updated,
        kind,
    })
}

/// A column that holds an entry, or nothing.
pub(super) fn entry_column(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Entry>> {
    let text: Option<String> = row.get(column)?;
    let read = text.map(|text| entry(&text)).transpose();
    read.map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

/// A column that holds a file ID.
pub(super) fn id_column(row: &Row<'_>, column: &str) -> rusqlite::Result<FileId> {
    row.get::<_, String>(column).map(FileId::new)
}

/// The columns of attributes, in the order of `ATTRIBUTES`.
pub(super) fn attribute_values(attributes: &Attributes) -> [Value; 8] {
    let number = |value: Option<u32>| Value::from(value);
    let time = |value: Option<SystemTime>| Value::from(value.map(nanoseconds));
    [
        number(attributes.mode),
        number(attributes.uid),
        number(attributes.gid),
        time(attributes.atime),
        time(attributes.mtime),
        time(attributes.ctime),
        Value::from(attributes.xattrs.to_bytes()),
        Value::from(attributes.ino.map(|ino| ino.0 as i64)),
    ]
}

/// The names of these columns.
pub(super) const ATTRIBUTES: &str = "mode, uid, gid, atime, mtime, ctime, xattrs, ino";

/// As `ATTRIBUTES`, each to be set.
pub(super) const SET_ATTRIBUTES: &str =
    "mode = ?, uid = ?, gid = ?, atime = ?, mtime = ?, ctime = ?, xattrs = ?, ino = ?";

/// The attributes in a row that has these columns.
pub(super) fn attributes(row: &Row<'_>) -> rusqlite::Result<Attributes> {
    let number = |column: &str| row.get::<_, Option<u32>>(column);
    let time = |column: &str| row.get::<_, Option<i64>>(column).map(|ns| ns.and_then(instant));
    Ok(Attributes {
        mode: number("mode")?,
        uid: number("uid")?,
        gid: number("gid")?,
        atime: time("atime")?,
        mtime: time("mtime")?,
        ctime: time("ctime")?,
        xattrs: row
            .get::<_, Option<Vec<u8>>>("xattrs")?
            .map_or_else(Xattrs::default, |bytes| Xattrs::from_bytes(&bytes)),
        ino: row.get::<_, Option<i64>>("ino")?.map(|ino| Ino(ino as u64)),
    })
}

/// Nanoseconds since the epoch; what lies beyond the years 1678 to 2262 is cut to these.
fn nanoseconds(time: SystemTime) -> i64 {
    let cut = |nanoseconds: u128| i64::try_from(nanoseconds).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => cut(after.as_nanos()),
        Err(before) => -cut(before.duration().as_nanos()),
    }
}

fn instant(nanoseconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    match nanoseconds >= 0 {
        true => UNIX_EPOCH.checked_add(distance),
        false => UNIX_EPOCH.checked_sub(distance),
    }
}

/// Seconds since the epoch.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Writes the attributes of an object, in place of those it had.
pub(super) fn put_attributes(
    db: &rusqlite::Connection, object: &FileId, attributes: &Attributes,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO attributes (object, {ATTRIBUTES}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let object = Value::from(object.as_str().to_owned());
    let all = std::iter::once(object).chain(attribute_values(attributes));
    db.prepare_cached(&sql)?.execute(params_from_iter(all)).map(drop)
}

/// Writes those of a local row.
pub(super) fn put_local_attributes(
    db: &rusqlite::Connection, row: RowId, attributes: &Attributes,
) -> rusqlite::Result<()> {
    let sql = format!("UPDATE local SET {SET_ATTRIBUTES} WHERE id = ?");
    let values = attribute_values(attributes).into_iter().chain([Value::from(row.0)]);
    db.prepare_cached(&sql)?.execute(params_from_iter(values)).map(drop)
}

/// Forgets the attributes of an object.
pub(super) fn drop_attributes(db: &rusqlite::Connection, object: &FileId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM attributes WHERE object = ?";
    db.prepare_cached(sql)?.execute([object.as_str()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let link = Link { download: "https://x/1".into(), own: Some("https://me/1".into()) };
        let md5 = "0123456789abcdef0123456789abcdef".parse().ok();
        let picture = Picture { size: 7, md5, status: 2, traffic: 0, link: Some(link) };
        let file = Entry {
            id: FileId::new("1"),
            name: "图.jpg".into(),
            parent: FileId::root(),
            created: 5,
            updated: 6,
            kind: EntryKind::File(picture),
        };
        assert_eq!(entry(&entry_text(&file)).expect("JSON"), file);
        let folder = Entry { kind: EntryKind::Folder, ..file };
        assert_eq!(entry(&entry_text(&folder)).expect("JSON"), folder);
    }

    #[test]
    fn times_before_and_after_the_epoch_are_kept() {
        for ns in [0, 1, -1, 1_700_000_000_123_456_789, -86_400_000_000_000] {
            assert_eq!(instant(ns).map(nanoseconds), Some(ns));
        }
    }
}
