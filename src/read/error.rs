//! The error of this room: why bytes of a remote file could not be had.

use std::sync::Arc;

use crate::api;
use crate::types::Md5;

/// Why bytes of a remote file could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service or the CDN failed, and went on failing.
    #[error("reading {name:?}: {source}")]
    Fetch {
        /// The file, as the service names it.
        name: Box<str>,
        /// What the client told.
        source: Arc<api::Error>,
    },
    /// The CDN serves something else than the listing promised.
    #[error("reading {name:?}: the link serves {served} bytes where the listing says {listed}")]
    Mismatch {
        /// The file, as the service names it.
        name: Box<str>,
        /// Bytes that the CDN says the file has.
        served: u64,
        /// Bytes that the listing says it has.
        listed: u64,
    },
    /// The bytes of the whole file have come, and are not those that the listing has the md5 of.
    #[error(
        "reading {name:?}: the md5 of what the link serves is {found}, the listing says {expected}"
    )]
    Corrupted {
        /// The file, as the service names it.
        name: Box<str>,
        /// The md5 of the listing.
        expected: Md5,
        /// The md5 of what came.
        found: Md5,
    },
    /// The link began to serve another content, and nothing can tell which one is right.
    #[error("reading {name:?}: the content behind the link changed meanwhile")]
    Swapped {
        /// The file, as the service names it.
        name: Box<str>,
    },
    /// The body ended before its end, again and again.
    #[error("reading {name:?}: the download broke off at byte {at}, several times")]
    Short {
        /// The file, as the service names it.
        name: Box<str>,
        /// Offset in the file.
        at: u64,
    },
    /// The service tells no link for the file.
    #[error("reading {name:?}: the service tells no link for it")]
    NoLink {
        /// The file, as the service names it.
        name: Box<str>,
    },
    /// Moderation rejected the file, and the service does not give its bytes.
    #[error("reading {name:?}: rejected by moderation (status {status})")]
    Rejected {
        /// The file, as the service names it.
        name: Box<str>,
        /// Over 100.
        status: i64,
    },
}

impl Error {
    /// Whether wrong bytes came, rather than none.
    pub fn is_of_wrong_bytes(&self) -> bool {
        matches!(self, Self::Corrupted { .. } | Self::Swapped { .. })
    }
}
