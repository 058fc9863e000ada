//! The words every room shares: file IDs, inode numbers, md5 sums, listing rows, links.

mod address;
mod ledger;
mod number;
mod right;
mod xattrs;
mod zone;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

pub use address::{Address, host, service_host};
pub use ledger::{IMAGE_BED, OfflineLog, PaidShare, TrafficRow};
pub use number::Ino;
pub use right::DeveloperRight;
pub use xattrs::Xattrs;
pub use zone::SERVICE_ZONE;

/// What the IDs of folders begin with that exist only here.
const LOCAL: &str = "\0local-";

/// The service's name of one immutable content, or of a folder. Opaque.
///
/// The root of the bed is the empty ID (`003`: "上传到根目录时填写 空").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(Arc<str>);

impl FileId {
    /// An ID as the service spelled it.
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(Arc::from(id.as_ref()))
    }

    /// The root folder of the bed.
    pub fn root() -> Self {
        Self::new("")
    }

    /// A folder that exists only here, by its row in the state file. No ID of the service begins
    /// with NUL, so none is like it; it is never sent.
    pub fn local(row: i64) -> Self {
        Self::new(format!("{LOCAL}{row}"))
    }

    /// Whether this is a folder that exists only here.
    pub fn is_local(&self) -> bool {
        self.0.starts_with(LOCAL)
    }

    /// The row of a folder that exists only here.
    pub fn local_row(&self) -> Option<i64> {
        self.0.strip_prefix(LOCAL)?.parse().ok()
    }

    /// Whether this is the root folder of the bed.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The ID as the service spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for FileId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An md5 sum; the service calls it `etag`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// The sum whose sixteen bytes these are.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The sixteen bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not an md5 sum: 32 hexadecimal digits are wanted")]
pub struct NotMd5;

impl FromStr for Md5 {
    type Err = NotMd5;

    fn from_str(text: &str) -> Result<Self, NotMd5> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotMd5);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotMd5)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotMd5)?;
        }
        Ok(Self(bytes))
    }
}

/// The public address of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// `downloadURL`: the service's own domain. Bytes are read from here.
    pub download: Box<str>,
    /// `userSelfURL`, the user's own domain, where it differs from `downloadURL`; empty where the
    /// service tells none.
    pub own: Option<Box<str>>,
}

impl Link {
    /// `userSelfURL` as the service told it.
    pub fn own(&self) -> Option<&str> {
        Some(self.own.as_deref().unwrap_or(&self.download)).filter(|url| !url.is_empty())
    }

    /// The address to publish: the user's own domain where there is one.
    pub fn publish(&self) -> &str {
        self.own().unwrap_or(&self.download)
    }
}

/// A remote file or folder as a listing row tells it (`003`: 获取图片列表).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The ID, never empty.
    pub id: FileId,
    /// The name as the service spells it: any text, hostile ones too.
    pub name: Box<str>,
    /// The ID of the folder it lies in: for the root the service's real ID, which is not empty.
    pub parent: FileId,
    /// Seconds since the epoch; 0 where the row told no readable time.
    pub created: i64,
    /// Seconds since the epoch; 0 where the row told no readable time.
    pub updated: i64,
    /// What is told of files only.
    pub kind: EntryKind,
}

impl Entry {
    /// What the row tells of a file; `None` for a folder.
    pub fn picture(&self) -> Option<&Picture> {
        match &self.kind {
            EntryKind::Folder => None,
            EntryKind::File(picture) => Some(picture),
        }
    }

    /// Whether its link is known. A folder has none.
    pub fn has_link(&self) -> bool {
        self.picture().is_none_or(|picture| picture.link.is_some())
    }

    /// Whether the row did not say where the object lies. It then names the object itself, in which
    /// nothing can lie.
    pub fn tells_no_parent(&self) -> bool {
        self.parent == self.id
    }

    /// Bytes of content; 0 for a folder.
    pub fn size(&self) -> u64 {
        self.picture().map_or(0, |picture| picture.size)
    }
}

/// What a row describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A picture.
    File(Picture),
}

/// What a row tells of a file beyond its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Bytes.
    pub size: u64,
    /// Of the content. `None` where the row held none that could be read.
    pub md5: Option<Md5>,
    /// Over 100: rejected by moderation.
    pub status: i64,
    /// Bytes served by direct links so far (`totalTraffic`).
    pub traffic: u64,
    /// Where the bytes are. `None` until the service told it, as after an upload.
    pub link: Option<Link>,
}

impl Picture {
    /// Whether moderation refused the picture (`003`: "status 大于100为审核驳回文件").
    pub fn is_rejected(&self) -> bool {
        self.status > 100
    }
}

/// Text that is never shown: it has no `Display`, and `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the API host and for a file of mode 0600 alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What the user set on a file or folder, and its number: the service has no place for these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<SystemTime>,
    /// Last change of content.
    pub mtime: Option<SystemTime>,
    /// Last change of the inode.
    pub ctime: Option<SystemTime>,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// The number of the inode, where it may be another than that of the file ID. Never the root's.
    pub ino: Option<Ino>,
}

/// Bytes and traffic the account has, as `GET /api/v1/user/info` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Bytes stored.
    pub space_used: u64,
    /// Bytes that may be stored, the permanent and the temporary space together.
    pub space_total: u64,
    /// Bytes of direct-link traffic left.
    pub traffic_left: u64,
    /// Whether it is a member's account; `None` where the service does not say.
    pub is_member: Option<bool>,
    /// The right to call the API.
    pub right: DeveloperRight,
}
