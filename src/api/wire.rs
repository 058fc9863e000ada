//! The JSON of the service, spelled exactly as documented, endpoint by endpoint (`003`).
//!
//! Each answer is read into one of these structs and turned into a word of ours; what cannot be
//! turned is `Garbage`, with the reason.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::tolerant;
use crate::types::{Entry, EntryKind, FileId, Link, Md5, Picture, SERVICE_ZONE};

/// Why an answer cannot be understood. Quotes nothing of it.
#[derive(Debug)]
pub(super) struct Garbage(pub(super) String);

impl Garbage {
    /// A required field is missing, empty or of another type.
    pub(super) fn field(name: &str) -> Self {
        Self(format!("no usable {name:?}"))
    }
}

/// `POST access_token`.
#[derive(Serialize)]
pub(super) struct TokenRequest<'a> {
    #[serde(rename = "clientID")]
    pub(super) client_id: &'a str,
    #[serde(rename = "clientSecret")]
    pub(super) client_secret: &'a str,
}

/// The answer of `access_token`; also what `token.json` holds.
#[derive(Serialize, Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(rename = "accessToken", deserialize_with = "tolerant::named")]
    pub(super) access_token: String,
    /// RFC 3339.
    #[serde(rename = "expiredAt", default, deserialize_with = "tolerant::any_text")]
    pub(super) expired_at: String,
}

/// `POST mkdir`, where the table of `003` makes `name` a list and its sample a string.
#[derive(Serialize)]
pub(super) struct MkdirRequest<'a, N: Serialize> {
    pub(super) name: N,
    #[serde(rename = "parentID")]
    pub(super) parent_id: &'a str,
    pub(super) r#type: u8,
}

#[derive(Deserialize)]
pub(super) struct MkdirAnswer {
    #[serde(deserialize_with = "tolerant::list")]
    pub(super) list: Vec<MadeDir>,
}

#[derive(Deserialize)]
pub(super) struct MadeDir {
    #[serde(default, deserialize_with = "tolerant::any_text")]
    pub(super) filename: String,
    #[serde(rename = "dirID", deserialize_with = "tolerant::named")]
    pub(super) dir_id: String,
}

/// `POST create`.
#[derive(Serialize)]
pub(super) struct CreateRequest<'a> {
    #[serde(rename = "parentFileID")]
    pub(super) parent_file_id: &'a str,
    pub(super) filename: &'a str,
    /// The md5 sum in lower case.
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) r#type: u8,
}

#[derive(Deserialize)]
pub(super) struct CreateAnswer {
    #[serde(rename = "fileID", default, deserialize_with = "tolerant::any_text")]
    pub(super) file_id: String,
    #[serde(rename = "preuploadID", default, deserialize_with = "tolerant::any_text")]
    pub(super) preupload_id: String,
    #[serde(default, deserialize_with = "tolerant::any_truth")]
    pub(super) reuse: Option<bool>,
    /// Bytes.
    #[serde(rename = "sliceSize", default, deserialize_with = "tolerant::any_count")]
    pub(super) slice_size: Option<u64>,
}

/// `POST get_upload_url`.
#[derive(Serialize)]
pub(super) struct UploadUrlRequest<'a> {
    #[serde(rename = "preuploadID")]
    pub(super) preupload_id: &'a str,
    /// From 1.
    #[serde(rename = "sliceNo")]
    pub(super) slice_no: u32,
}

#[derive(Deserialize)]
pub(super) struct UploadUrlAnswer {
    #[serde(rename = "presignedURL", deserialize_with = "tolerant::named")]
    pub(super) presigned_url: String,
}

/// `POST list_upload_parts`, `upload_complete` and `upload_async_result`.
#[derive(Serialize)]
pub(super) struct PreuploadRequest<'a> {
    #[serde(rename = "preuploadID")]
    pub(super) preupload_id: &'a str,
}

#[derive(Deserialize)]
pub(super) struct PartsAnswer {
    #[serde(default, deserialize_with = "tolerant::list")]
    pub(super) parts: Vec<PartRow>,
}

#[derive(Deserialize)]
pub(super) struct PartRow {
    #[serde(rename = "partNumber", deserialize_with = "tolerant::number")]
    pub(super) part_number: i64,
    #[serde(default, deserialize_with = "tolerant::any_count")]
    pub(super) size: Option<u64>,
    #[serde(default, deserialize_with = "tolerant::any_text")]
    pub(super) etag: String,
}

/// The answer of `upload_complete`, and of `upload_async_result`, which has no `async`.
#[derive(Deserialize)]
pub(super) struct CompleteAnswer {
    #[serde(rename = "fileID", default, deserialize_with = "tolerant::any_text")]
    pub(super) file_id: String,
    #[serde(default, deserialize_with = "tolerant::any_truth")]
    pub(super) r#async: Option<bool>,
    #[serde(default, deserialize_with = "tolerant::any_truth")]
    pub(super) completed: Option<bool>,
}

/// `POST delete`.
#[derive(Serialize)]
pub(super) struct DeleteRequest<'a> {
    /// At most 100.
    #[serde(rename = "fileIDs")]
    pub(super) file_ids: Vec<&'a str>,
}

/// `POST move`.
#[derive(Serialize)]
pub(super) struct MoveRequest<'a> {
    /// At most 100.
    #[serde(rename = "fileIDs")]
    pub(super) file_ids: Vec<&'a str>,
    #[serde(rename = "toParentFileID")]
    pub(super) to_parent_file_id: &'a str,
}

/// `POST list`.
#[derive(Serialize)]
pub(super) struct ListRequest<'a> {
    /// Left out for the root.
    #[serde(rename = "parentFileId", skip_serializing_if = "Option::is_none")]
    pub(super) parent_file_id: Option<&'a str>,
    /// At most 100.
    pub(super) limit: usize,
    #[serde(rename = "lastFileId", skip_serializing_if = "Option::is_none")]
    pub(super) last_file_id: Option<&'a str>,
    pub(super) r#type: u8,
}

/// Both fields must be there: a listing without them is garbage, never an empty folder.
#[derive(Deserialize)]
pub(super) struct ListAnswer {
    #[serde(rename = "lastFileId", deserialize_with = "tolerant::required_text")]
    pub(super) last_file_id: String,
    #[serde(rename = "fileList", deserialize_with = "tolerant::list")]
    pub(super) file_list: Vec<Row>,
}

/// A row of `list`, and the answer of `detail`.
#[derive(Deserialize)]
pub(super) struct Row {
    #[serde(rename = "fileId", deserialize_with = "tolerant::named")]
    file_id: String,
    /// Any text: a hostile name, or none, must not hide the object.
    #[serde(deserialize_with = "tolerant::required_text")]
    filename: String,
    #[serde(rename = "parentFileId", default, deserialize_with = "tolerant::any_text")]
    parent_file_id: String,
    /// 0 file, 1 folder.
    #[serde(deserialize_with = "tolerant::number")]
    r#type: i64,
    #[serde(default, deserialize_with = "tolerant::any_count")]
    size: Option<u64>,
    #[serde(default, deserialize_with = "tolerant::any_text")]
    etag: String,
    #[serde(default, deserialize_with = "tolerant::any_number")]
    status: i64,
    #[serde(rename = "createAt", default, deserialize_with = "tolerant::any_text")]
    create_at: String,
    #[serde(rename = "updateAt", default, deserialize_with = "tolerant::any_text")]
    update_at: String,
    #[serde(rename = "downloadURL", default, deserialize_with = "tolerant::any_text")]
    download_url: String,
    #[serde(rename = "userSelfURL", default, deserialize_with = "tolerant::any_text")]
    user_self_url: String,
    #[serde(rename = "totalTraffic", default, deserialize_with = "tolerant::any_count")]
    total_traffic: Option<u64>,
}

impl Row {
    /// The row in our words; `folder` is where it lies if it does not say so itself.
    pub(super) fn entry(self, folder: &FileId) -> Result<Entry, Garbage> {
        let kind = match self.r#type {
            1 => EntryKind::Folder,
            0 => EntryKind::File(Picture {
                // No guess: a wrong size would cut the file off, or end its readers in garbage.
                size: self.size.ok_or_else(|| Garbage::field("size"))?,
                md5: md5(&self.etag),
                status: self.status,
                traffic: self.total_traffic.unwrap_or_default(),
                link: link(self.download_url, self.user_self_url),
            }),
            _ => return Err(Garbage::field("type")),
        };
        Ok(Entry {
            id: FileId::new(self.file_id),
            name: self.filename.into(),
            parent: if self.parent_file_id.is_empty() {
                folder.clone()
            } else {
                FileId::new(self.parent_file_id)
            },
            created: seconds(&self.create_at),
            updated: seconds(&self.update_at),
            kind,
        })
    }
}

/// Where the bytes are; `None` where the row does not tell it.
fn link(download: String, own: String) -> Option<Link> {
    (!download.is_empty())
        .then(|| Link { own: (own != download).then(|| own.into()), download: download.into() })
}

/// An `etag` as an md5 sum; storage services put theirs in quotes.
pub(super) fn md5(etag: &str) -> Option<Md5> {
    etag.trim().trim_matches('"').parse().ok()
}

/// `YYYY-MM-DD HH:MM:SS` in UTC+8 as seconds since the epoch; 0 for what is no such time.
pub(super) fn seconds(time: &str) -> i64 {
    let time = time.trim();
    if let Ok(exact) = time.parse::<jiff::Timestamp>() {
        return exact.as_second();
    }
    time.parse::<DateTime>()
        .and_then(|local| local.to_zoned(TimeZone::fixed(SERVICE_ZONE)))
        .map_or(0, |zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(row: Value) -> Option<Entry> {
        let row = Row::deserialize(row).ok()?;
        row.entry(&FileId::new("folder")).ok()
    }

    #[test]
    fn times_are_beijing_time() {
        assert_eq!(seconds("2025-03-03 16:38:26"), 1_740_991_106);
        assert_eq!(seconds("1970-01-01 08:00:00"), 0);
        assert_eq!(seconds("2025-03-03T16:38:26+09:00"), 1_740_987_506);
        assert_eq!(seconds("soon"), 0);
    }

    #[test]
    fn a_row_in_odd_spellings() {
        let entry = entry(json!({
            "fileId": 7, "filename": "a.jpg", "type": "0", "size": "12", "status": "101",
            "etag": "\"E62623F4906AEBA8F8D8F5DE19E1E34E\"", "totalTraffic": null,
            "downloadURL": "https://d/7.jpg", "userSelfURL": "https://d/7.jpg", "new": [1],
        }))
        .expect("a usable row");
        assert_eq!(entry.id, FileId::new("7"));
        assert_eq!(entry.parent, FileId::new("folder"));
        let EntryKind::File(picture) = entry.kind else {
            panic!("a file");
        };
        assert_eq!((picture.size, picture.traffic), (12, 0));
        assert!(picture.is_rejected());
        assert!(picture.md5.is_some());
        let link = picture.link.expect("a link");
        assert_eq!((&*link.download, link.own), ("https://d/7.jpg", None));
    }

    #[test]
    fn a_row_without_identity_is_garbage() {
        let whole = json!({"fileId": "7", "filename": "a.jpg", "type": 0, "size": 1});
        assert!(entry(whole.clone()).is_some());
        for (field, bad) in [
            ("fileId", json!("")),
            ("filename", json!(null)),
            ("type", json!(2)),
            ("size", json!("many")),
        ] {
            let mut row = whole.clone();
            row[field] = bad;
            assert!(entry(row).is_none(), "{field}");
        }
    }

    #[test]
    fn a_listing_needs_both_fields() {
        let read = |answer: Value| ListAnswer::deserialize(answer).map(|list| list.last_file_id);
        assert_eq!(read(json!({"lastFileId": -1, "fileList": null})).ok(), Some("-1".into()));
        assert!(read(json!({"lastFileId": "-1"})).is_err());
        assert!(read(json!({"fileList": null})).is_err());
        assert!(read(json!({"lastFileId": null, "fileList": []})).is_err());
        assert!(read(json!({"lastFileId": "-1", "fileList": "none"})).is_err());
    }
}
