//! Offline logs: which hours the service has, or had, a packed log of.

use jiff::Timestamp;
use jiff::tz::Offset;
use md5::{Digest, Md5 as Hasher};
use rusqlite::{OptionalExtension, Row, params};

use super::{Result, State};
use crate::types::{Md5, OfflineLog};

/// An offline log that was listed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// Its ID.
    pub id: String,
    /// The beginning of its hour, in seconds since the epoch.
    pub hour: i64,
    /// The name that the service gives it.
    pub name: String,
    /// Bytes, packed.
    pub size: u64,
}

impl KnownLog {
    /// Where a person finds it: the day in the service's UTC+8 as `YYYY-MM-DD`, and `HH-ID.gz`.
    pub fn place(&self) -> (String, String) {
        let at = Timestamp::from_second(self.hour).unwrap_or_default();
        let at = Offset::constant(8).to_datetime(at);
        let name = format!("{}-{}.gz", at.strftime("%H"), self.word());
        (at.strftime("%Y-%m-%d").to_string(), name)
    }

    /// The ID as a part of a file's name: as it is, unless it is no word.
    pub fn word(&self) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match !self.id.is_empty() && self.id.len() <= 64 && self.id.chars().all(is_word) {
            true => self.id.clone(),
            false => Md5::new(Hasher::digest(&self.id).into()).to_string(),
        }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<KnownLog> {
    Ok(KnownLog {
        id: row.get("id")?,
        hour: row.get("hour")?,
        name: row.get("name")?,
        size: row.get::<_, i64>("size")?.max(0) as u64,
    })
}

impl State {
    /// Keeps what was listed.
    pub fn keep_offline_logs(&self, logs: &[OfflineLog]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO offline_logs (id, hour, name, size) VALUES (?, ?, ?, ?)";
        self.keep("keeping the list of offline logs", |db| {
            let mut insert = db.prepare_cached(sql)?;
            for log in logs {
                insert.execute(params![log.id, log.hour, log.name, log.size as i64])?;
            }
            Ok(())
        })
    }

    /// The logs whose hours begin from one second to another, both included, the oldest first.
    pub fn offline_logs(&self, from: i64, to: i64) -> Result<Vec<KnownLog>> {
        self.read("reading the list of offline logs", |db| {
            let sql = "SELECT * FROM offline_logs WHERE hour BETWEEN ? AND ? ORDER BY hour, id";
            db.prepare_cached(sql)?.query_map([from, to], read)?.collect()
        })
    }

    /// The log with this ID.
    pub fn offline_log(&self, id: &str) -> Result<Option<KnownLog>> {
        self.read("reading the list of offline logs", |db| {
            db.prepare_cached("SELECT * FROM offline_logs WHERE id = ?")?
                .query_row([id], read)
                .optional()
        })
    }
}
