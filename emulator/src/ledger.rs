//! [`Ledger`]: what the service writes down of the account: who was served what, logs of whole hours,
//! shares that are paid for, and files of the cloud drive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;
use crate::digest;

/// A row of the direct-link traffic log, as a test or a program adds it.
#[derive(Clone, Debug, Default)]
pub struct TrafficEntry {
    /// When, `YYYY-MM-DD HH:MM:SS` in UTC+8. No row of the service tells it.
    pub at: String,
    /// The ID of the row; empty: a new one.
    pub unique_id: String,
    /// The name of the file.
    pub file_name: String,
    /// Bytes of the file.
    pub file_size: u64,
    /// The path of the file.
    pub file_path: String,
    /// The link that was used.
    pub url: String,
    /// 1 cloud drive, 2 image bed.
    pub source: u8,
    /// Bytes that were served.
    pub bytes: u64,
}

/// A paid share, as a test or a program adds it.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Its number.
    pub id: u64,
    /// The last part of its address.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// What it costs.
    pub price: f64,
    /// What it brought.
    pub earned: f64,
    /// `YYYY-MM-DD HH:MM:SS` in UTC+8.
    pub expiration: String,
    /// Whether it has ended.
    pub is_expired: bool,
}

/// A row of the traffic log. What is served by a link in one hour is one row.
#[derive(Clone, Debug)]
pub(crate) struct TrafficRow {
    /// Unix second.
    pub(crate) at: i64,
    pub(crate) unique_id: String,
    pub(crate) file_name: String,
    pub(crate) file_size: u64,
    pub(crate) file_path: String,
    pub(crate) url: String,
    pub(crate) source: u8,
    pub(crate) bytes: Arc<AtomicU64>,
}

/// A log of one hour, packed.
#[derive(Clone, Debug)]
pub(crate) struct OfflineLog {
    pub(crate) id: u64,
    /// Unix second of the hour's beginning.
    pub(crate) hour: i64,
    pub(crate) name: String,
    pub(crate) bytes: Arc<[u8]>,
    /// The part of its address that cannot be guessed.
    pub(crate) key: String,
}

/// A file of the cloud drive.
#[derive(Clone, Debug)]
pub(crate) struct DriveFile {
    pub(crate) id: u64,
    pub(crate) url: String,
}

/// All of it, in the order in which it came.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) traffic: Vec<TrafficRow>,
    pub(crate) logs: Vec<OfflineLog>,
    pub(crate) shares: Vec<Share>,
    pub(crate) drive: Vec<DriveFile>,
}

impl Ledger {
    /// Adds a row; false if its time is no time.
    pub(crate) fn add_traffic(&mut self, entry: TrafficEntry) -> bool {
        let Some(at) = clock::unix_second(&entry.at) else { return false };
        let unique_id = match entry.unique_id.is_empty() {
            true => digest::trace_id(),
            false => entry.unique_id,
        };
        self.traffic.push(TrafficRow {
            at,
            unique_id,
            file_name: entry.file_name,
            file_size: entry.file_size,
            file_path: entry.file_path,
            url: entry.url,
            source: entry.source,
            bytes: Arc::new(AtomicU64::new(entry.bytes)),
        });
        true
    }

    /// The counter of what a link serves in this hour. `row` makes the row that begins it.
    pub(crate) fn served(
        &mut self, url: &str, now: i64, row: impl FnOnce() -> TrafficRow,
    ) -> Arc<AtomicU64> {
        let is_it = |known: &&TrafficRow| known.url == url && known.at / 3600 == now / 3600;
        // What is served now is at the end.
        if let Some(known) = self.traffic.iter().rev().find(is_it) {
            return Arc::clone(&known.bytes);
        }
        let row = row();
        let bytes = Arc::clone(&row.bytes);
        self.traffic.push(row);
        bytes
    }

    /// Adds a log of the hour `2025010115`, and gives its ID; None if that is no hour.
    pub(crate) fn add_log(&mut self, hour: &str, name: &str, bytes: &[u8]) -> Option<u64> {
        let id = self.logs.last().map_or(1, |last| last.id + 1);
        let hour = clock::unix_hour(hour)?;
        let (name, key) = (name.to_owned(), digest::key());
        self.logs.push(OfflineLog { id, hour, name, bytes: bytes.into(), key });
        Some(id)
    }
}

impl TrafficRow {
    /// Bytes that were served.
    pub(crate) fn served(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
