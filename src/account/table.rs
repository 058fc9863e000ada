//! Tables: rows of the account as CSV, which spreadsheets open, and as JSON lines, in the service's own
//! words.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::state::State;
use crate::types::{PaidShare, SERVICE_ZONE, TrafficRow};

/// Rows of the traffic log that are read at a time.
const BATCH: usize = 1000;

/// One value of a table.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// Text of somebody: what a spreadsheet would take for a formula is made none.
    Text(&'a str),
    /// A number, a time, or a word of ours.
    Plain(&'a str),
    /// A count, or bytes.
    Number(u64),
}

/// A CSV table that is being written (RFC 4180), in UTF-8.
pub struct Table<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> Table<W> {
    /// Begins with the names of the columns.
    pub fn new(out: W, columns: &[&str]) -> io::Result<Self> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(columns).map_err(io::Error::other)?;
        Ok(Self { csv })
    }

    /// Writes a row.
    pub fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        for cell in cells {
            match cell {
                Cell::Text(text) => self.csv.write_field(&*harmless(text)),
                Cell::Plain(text) => self.csv.write_field(text),
                Cell::Number(number) => self.csv.write_field(number.to_string()),
            }
            .map_err(io::Error::other)?;
        }
        self.csv.write_record(None::<&[u8]>).map_err(io::Error::other)
    }

    /// Gives what it was written into.
    pub fn end(self) -> io::Result<W> {
        self.csv.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }
}

/// The text with an apostrophe before what a spreadsheet would compute.
fn harmless(text: &str) -> std::borrow::Cow<'_, str> {
    match text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r']) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

fn each_row(
    state: &State, day: Date, mut tell: impl FnMut(&TrafficRow) -> io::Result<()>,
) -> io::Result<()> {
    let mut after = String::new();
    loop {
        let rows = state.traffic_after(day, &after, BATCH).map_err(io::Error::other)?;
        rows.iter().try_for_each(&mut tell)?;
        match rows.last() {
            Some(last) if rows.len() == BATCH => after.clone_from(&last.unique_id),
            _ => return Ok(()),
        }
    }
}

/// The archived traffic log of a day as CSV.
pub fn traffic_table<W: Write>(state: &State, day: Date, out: W) -> io::Result<W> {
    let columns = [
        "unique_id",
        "file_name",
        "file_size",
        "file_path",
        "direct_link_url",
        "file_source",
        "total_traffic",
    ];
    let mut table = Table::new(out, &columns)?;
    each_row(state, day, |row| {
        table.row(&[
            Cell::Text(&row.unique_id),
            Cell::Text(&row.file_name),
            Cell::Number(row.file_size),
            Cell::Text(&row.file_path),
            Cell::Text(&row.url),
            Cell::Plain(&row.source.to_string()),
            Cell::Number(row.traffic),
        ])
    })?;
    table.end()
}

/// The same as JSON lines, with the service's names (`000`).
pub fn traffic_lines<W: Write>(state: &State, day: Date, mut out: W) -> io::Result<W> {
    each_row(state, day, |row| {
        let line = json!({
            "uniqueID": row.unique_id,
            "fileName": row.file_name,
            "fileSize": row.file_size,
            "filePath": row.file_path,
            "directLinkURL": row.url,
            "fileSource": row.source,
            "totalTraffic": row.traffic,
        });
        writeln!(out, "{line}")
    })?;
    Ok(out)
}

/// Paid shares as CSV.
pub fn share_table<W: Write>(shares: &[PaidShare], out: W) -> io::Result<W> {
    let columns = [
        "share_id",
        "share_key",
        "url",
        "share_name",
        "pay_amount",
        "amount",
        "expiration",
        "expired",
        "traffic_switch",
        "traffic_limit_switch",
        "traffic_limit",
        "bytes_charge",
        "preview_count",
        "download_count",
        "save_count",
    ];
    let mut table = Table::new(out, &columns)?;
    for share in shares {
        table.row(&[
            Cell::Text(&share.id),
            Cell::Text(&share.key),
            Cell::Text(&share.url()),
            Cell::Text(&share.name),
            Cell::Text(&share.price),
            Cell::Text(&share.earned),
            Cell::Plain(&time(share.expires)),
            Cell::Plain(if share.is_expired { "1" } else { "0" }),
            Cell::Plain(&share.traffic_switch.to_string()),
            Cell::Plain(&share.limit_switch.to_string()),
            Cell::Number(share.traffic_limit),
            Cell::Number(share.charged),
            Cell::Number(share.previews),
            Cell::Number(share.downloads),
            Cell::Number(share.saves),
        ])?;
    }
    table.end()
}

/// Paid shares as JSON lines: the rows as the service sent them, each with the share's address.
pub fn share_lines<W: Write>(shares: &[PaidShare], mut out: W) -> io::Result<W> {
    for share in shares {
        let mut row: Value = serde_json::from_str(&share.row).map_err(io::Error::other)?;
        row["url"] = share.url().into();
        writeln!(out, "{row}")?;
    }
    Ok(out)
}

/// A second since the epoch in RFC 3339 with the service's offset; empty where there is none.
fn time(second: i64) -> String {
    let at = Timestamp::from_second(second).ok().filter(|_| second != 0);
    at.map_or_else(String::new, |at| at.display_with_offset(SERVICE_ZONE).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_table_is_a_formula_or_breaks_out_of_its_cell() {
        let mut table = Table::new(Vec::new(), &["a", "b", "c"]).expect("memory");
        let cells = [Cell::Text("=1+1,\"x\""), Cell::Text("two\nlines"), Cell::Number(3)];
        table.row(&cells).expect("memory");
        let text = String::from_utf8(table.end().expect("memory")).expect("UTF-8");
        assert_eq!(text, "a,b,c\n\"'=1+1,\"\"x\"\"\",\"two\nlines\",3\n");
    }

    #[test]
    fn times_have_the_offset_of_the_service() {
        assert_eq!(time(1_740_991_106), "2025-03-03T16:38:26+08:00");
        assert_eq!(time(0), "");
    }
}
