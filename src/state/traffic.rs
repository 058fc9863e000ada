//! Traffic: the archive of the direct-link traffic log, which the service itself forgets.

use jiff::civil::Date;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, State};
use crate::types::{IMAGE_BED, TrafficRow};

/// Rows of an answer that has not come to its end. They live as long as the connection.
pub(super) const INCOMING: &str = "
    CREATE TEMP TABLE incoming (
        unique_id TEXT PRIMARY KEY,
        file_id TEXT,
        file_name TEXT NOT NULL,
        file_size INTEGER NOT NULL,
        file_path TEXT NOT NULL,
        url TEXT NOT NULL,
        source INTEGER NOT NULL,
        traffic INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// What is known of a day of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayAsked {
    /// When it was asked for last, in seconds since the epoch.
    pub at: i64,
    /// Whether the day was over then, and the service had forgotten nothing of it.
    pub is_whole: bool,
    /// When it was asked for by the hour.
    pub by_hour: Option<i64>,
}

/// What a day, or an hour of it, used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySum {
    /// The day in UTC+8.
    pub day: Date,
    /// The hour; `None` for a whole day, and for what no hour that was asked for has.
    pub hour: Option<u8>,
    /// Bytes of links of the image bed.
    pub bed: u64,
    /// Bytes of links of the cloud drive.
    pub drive: u64,
    /// Rows of the log.
    pub rows: u64,
}

/// What a file used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSum {
    /// Its path, as the service spells it.
    pub path: String,
    /// Its link.
    pub url: String,
    /// 1 the cloud drive, 2 the image bed.
    pub source: i64,
    /// Bytes.
    pub bytes: u64,
    /// Rows of the log.
    pub rows: u64,
}

/// A column that holds a day.
fn day(row: &Row<'_>, column: &str) -> rusqlite::Result<Date> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: jiff::Error| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
    })
}

fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, Option<i64>>(column)?.unwrap_or_default().max(0) as u64)
}

fn note_day(db: &Connection, day: &str, now: i64, is_whole: bool) -> rusqlite::Result<()> {
    let sql = "INSERT INTO traffic_days (day, asked, is_whole) VALUES (?, ?, ?)
               ON CONFLICT (day) DO UPDATE
               SET asked = excluded.asked, is_whole = max(is_whole, excluded.is_whole)";
    db.execute(sql, params![day, now, is_whole]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TrafficRow> {
    Ok(TrafficRow {
        unique_id: row.get("unique_id")?,
        file_name: row.get("file_name")?,
        file_size: count(row, "file_size")?,
        file_path: row.get("file_path")?,
        url: row.get("url")?,
        source: row.get("source")?,
        traffic: count(row, "traffic")?,
    })
}

impl State {
    /// Forgets the rows of an answer that did not come to its end: another one begins.
    pub fn begin_traffic(&self) -> Result<()> {
        self.keep("asking for the traffic log", |db| {
            db.execute("DELETE FROM incoming", []).map(drop)
        })
    }

    /// Adds a page to the answer.
    pub fn add_traffic(&self, rows: &[TrafficRow]) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO incoming
                   (unique_id, file_id, file_name, file_size, file_path, url, source, traffic)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        self.keep("keeping rows of the traffic log", |db| {
            let mut insert = db.prepare_cached(sql)?;
            for row in rows {
                insert.execute(params![
                    row.unique_id,
                    row.file_id(),
                    row.file_name,
                    row.file_size as i64,
                    row.file_path,
                    row.url,
                    row.source,
                    row.traffic as i64,
                ])?;
            }
            Ok(())
        })
    }

    /// The answer is whole: its rows take the place of those of the day, which was asked for at `now`.
    ///
    /// Traffic only grows. So where a day that is over is told with less than is known of it, the
    /// service has begun to forget it, and what is known stays.
    pub fn replace_traffic(
        &self, day: Date, now: i64, is_over: bool, is_whole: bool,
    ) -> Result<()> {
        let day = day.to_string();
        self.keep("keeping rows of the traffic log", |db| {
            let sum = |sql, params: &[&dyn rusqlite::ToSql]| {
                db.prepare_cached(sql)?.query_row(params, |row| count(row, "bytes"))
            };
            let told = sum("SELECT sum(traffic) AS bytes FROM incoming", &[])?;
            let known = sum("SELECT sum(traffic) AS bytes FROM traffic WHERE day = ?", &[&day])?;
            if !is_over || told >= known {
                db.execute("DELETE FROM traffic WHERE day = ?", [&day])?;
                let sql = "INSERT INTO traffic (day, unique_id, file_id, file_name, file_size,
                                                file_path, url, source, traffic)
                           SELECT ?, unique_id, file_id, file_name, file_size,
                                  file_path, url, source, traffic FROM incoming";
                db.execute(sql, [&day])?;
            }
            db.execute("DELETE FROM incoming", [])?;
            note_day(db, &day, now, is_whole)
        })
    }

    /// Keeps what an hour used, which was asked for by itself.
    pub fn keep_hour(&self, sum: &DaySum) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO traffic_hours (day, hour, bed, drive, rows)
                   VALUES (?, ?, ?, ?, ?)";
        self.keep("keeping an hour of the traffic log", |db| {
            let numbers = (sum.bed as i64, sum.drive as i64, sum.rows as i64);
            let (bed, drive, rows) = numbers;
            db.execute(sql, params![sum.day.to_string(), sum.hour, bed, drive, rows]).map(drop)
        })
    }

    /// Notes that a day was asked for, at `now` in seconds since the epoch, and not told.
    pub fn day_is_not_told(&self, day: Date, now: i64) -> Result<()> {
        self.keep("noting a day of the traffic log", |db| {
            note_day(db, &day.to_string(), now, false)
        })
    }

    /// Notes that a day was asked for by the hour.
    pub fn asked_for_hours(&self, day: Date, now: i64) -> Result<()> {
        let sql = "UPDATE traffic_days SET hours_asked = ? WHERE day = ?";
        self.keep("noting a day of the traffic log", |db| {
            db.execute(sql, params![now, day.to_string()]).map(drop)
        })
    }

    /// What is known of a day, if it was ever asked for.
    pub fn day_asked(&self, day: Date) -> Result<Option<DayAsked>> {
        self.read("reading the traffic log", |db| {
            let sql = "SELECT asked, is_whole, hours_asked FROM traffic_days WHERE day = ?";
            db.prepare_cached(sql)?
                .query_row([day.to_string()], |row| {
                    Ok(DayAsked { at: row.get(0)?, is_whole: row.get(1)?, by_hour: row.get(2)? })
                })
                .optional()
        })
    }

    /// The days that were asked for, the oldest first.
    pub fn traffic_days(&self) -> Result<Vec<Date>> {
        self.read("reading the traffic log", |db| {
            db.prepare("SELECT day FROM traffic_days ORDER BY day")?
                .query_map([], |row| day(row, "day"))?
                .collect()
        })
    }

    /// At most `most` rows of a day whose IDs come after this one, in the order of these.
    pub fn traffic_after(&self, day: Date, after: &str, most: usize) -> Result<Vec<TrafficRow>> {
        self.read("reading the traffic log", |db| {
            let sql = "SELECT * FROM traffic WHERE day = ? AND unique_id > ?
                       ORDER BY unique_id LIMIT ?";
            db.prepare_cached(sql)?
                .query_map(params![day.to_string(), after, most as i64], read)?
                .collect()
        })
    }

    /// What each day used from one to another, both included; days without rows are left out.
    pub fn traffic_by_day(&self, from: Date, to: Date) -> Result<Vec<DaySum>> {
        let sql = format!(
            "SELECT day, NULL AS hour, count(*) AS rows,
                    sum(CASE WHEN source = {IMAGE_BED} THEN traffic END) AS bed,
                    sum(CASE WHEN source <> {IMAGE_BED} THEN traffic END) AS drive
             FROM traffic WHERE day BETWEEN ? AND ? GROUP BY day ORDER BY day"
        );
        self.sums(&sql, from, to)
    }

    /// The same by the hour. What a day used beyond its hours that were asked for has no hour, and comes
    /// first.
    pub fn traffic_by_hour(&self, from: Date, to: Date) -> Result<Vec<DaySum>> {
        let sql = "SELECT day, hour, bed, drive, rows FROM traffic_hours
                   WHERE day BETWEEN ? AND ? AND rows > 0 ORDER BY day, hour";
        let hours = self.sums(sql, from, to)?;
        let mut sums = self.traffic_by_day(from, to)?;
        for rest in &mut sums {
            for hour in hours.iter().filter(|hour| hour.day == rest.day) {
                rest.bed = rest.bed.saturating_sub(hour.bed);
                rest.drive = rest.drive.saturating_sub(hour.drive);
                rest.rows = rest.rows.saturating_sub(hour.rows);
            }
        }
        sums.retain(|rest| rest.bed + rest.drive > 0);
        sums.extend(hours);
        sums.sort_by_key(|sum| (sum.day, sum.hour));
        Ok(sums)
    }

    fn sums(&self, sql: &str, from: Date, to: Date) -> Result<Vec<DaySum>> {
        self.read("adding up the traffic log", |db| {
            db.prepare_cached(sql)?
                .query_map([from.to_string(), to.to_string()], |row| {
                    Ok(DaySum {
                        day: day(row, "day")?,
                        hour: row.get("hour")?,
                        bed: count(row, "bed")?,
                        drive: count(row, "drive")?,
                        rows: count(row, "rows")?,
                    })
                })?
                .collect()
        })
    }

    /// The `most` files that used most from one day to another, the greatest first.
    pub fn traffic_by_file(&self, from: Date, to: Date, most: usize) -> Result<Vec<FileSum>> {
        let sql = "SELECT file_path, max(url) AS url, source, sum(traffic) AS bytes,
                          count(*) AS rows
                   FROM traffic WHERE day BETWEEN ? AND ?
                   GROUP BY source, file_path, file_id ORDER BY bytes DESC, file_path LIMIT ?";
        self.read("adding up the traffic log", |db| {
            db.prepare_cached(sql)?
                .query_map(params![from.to_string(), to.to_string(), most as i64], |row| {
                    Ok(FileSum {
                        path: row.get("file_path")?,
                        url: row.get("url")?,
                        source: row.get("source")?,
                        bytes: count(row, "bytes")?,
                        rows: count(row, "rows")?,
                    })
                })?
                .collect()
        })
    }

    /// Bytes that a file of the image bed used since a day: by its ID, and by its path from the bed's
    /// root where links do not name the ID.
    pub fn traffic_of(&self, file_id: &str, path: &str, from: Date) -> Result<u64> {
        let sql = format!(
            "SELECT sum(traffic) AS bytes FROM (
                 SELECT traffic FROM traffic WHERE file_id = ?1 AND day >= ?3
                 UNION ALL
                 SELECT traffic FROM traffic WHERE file_id IS NULL AND file_path = ?2
                     AND day >= ?3 AND source = {IMAGE_BED}
             )"
        );
        let path = format!("/{}", path.trim_start_matches('/'));
        self.read("adding up the traffic log", |db| {
            db.prepare_cached(&sql)?
                .query_row(params![file_id, path, from.to_string()], |row| count(row, "bytes"))
        })
    }
}
