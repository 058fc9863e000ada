//! [`Table`]: the rows that were measured, as text and in `docs/benchmarks.md`.

use std::fs;
use std::path::Path;

use crate::outcome::Outcome;

/// Where the results stand in the document; the rest of it is written by people.
const BEGIN: &str = "<!-- The results begin; scripts/bench writes what follows. -->\n";
const END: &str = "<!-- The results end. -->\n";

/// What a row is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
    /// It is only told.
    Stated,
}

/// What a row's number counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Times as long as the other takes.
    Time,
    /// Times as fast as the other.
    Speed,
    /// Bytes fetched for each byte asked.
    Bytes,
    Calls,
    MiB,
    /// Seconds of processor time for each GiB.
    Processor,
}

/// A row before it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// What it is measured against.
    pub(crate) against: &'static str,
    pub(crate) unit: Unit,
    pub(crate) aim: Aim,
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    /// What the value was made of.
    pub(crate) detail: String,
}

/// The rows, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(Row, Result<Measured, String>)>);

impl Table {
    /// Measures, and adds the rows; where that fails, each tells why.
    pub(crate) fn add<const N: usize>(
        &mut self, rows: [Row; N], measure: impl FnOnce() -> Outcome<[Measured; N]>,
    ) {
        for row in &rows {
            eprintln!("measuring: {} / {}", row.what, row.against);
        }
        match measure() {
            Ok(all) => self.0.extend(rows.into_iter().zip(all.map(Ok))),
            Err(error) => {
                self.0.extend(rows.into_iter().map(|row| (row, Err(error.to_string()))));
            }
        }
    }

    /// The table for a terminal.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<[String; 6]> = [heads()].into_iter().chain(self.cells()).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let line = |row: &[String; 6]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        rows.iter().map(line).collect()
    }

    /// Puts the machine and the table into the document, in the place of the last results.
    pub(crate) fn keep(&self, document: &Path, machine: &str) -> Outcome<()> {
        let text = fs::read_to_string(document)?;
        let (before, rest) =
            text.split_once(BEGIN).ok_or("the document has no place for results")?;
        let (_, after) = rest.split_once(END).ok_or("the place for results has no end")?;
        let markdown = self.markdown();
        let kept = format!("{before}{BEGIN}\n{machine}\n\n{markdown}\n{END}{after}");
        Ok(fs::write(document, kept)?)
    }

    fn markdown(&self) -> String {
        let line = |row: &[String; 6]| format!("| {} |\n", row.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(heads().len()));
        let rows: String = self.cells().map(|row| line(&row)).collect();
        format!("{}{rule}{rows}", line(&heads()))
    }

    fn cells(&self) -> impl Iterator<Item = [String; 6]> {
        self.0.iter().map(|(row, measured)| {
            let (value, verdict, detail) = match measured {
                Ok(measured) => {
                    let verdict = row.aim.verdict(measured.value);
                    (row.unit.shown(measured.value), verdict, measured.detail.clone())
                }
                Err(why) => ("not measured".to_owned(), "", why.replace('|', "/")),
            };
            let aim = row.aim.shown(row.unit);
            [row.what.to_owned(), row.against.to_owned(), value, aim, verdict.to_owned(), detail]
        })
    }
}

fn heads() -> [String; 6] {
    ["what", "against", "measured", "aim", "", "medians of both, or what it is made of"]
        .map(str::to_owned)
}

impl Aim {
    fn verdict(self, value: f64) -> &'static str {
        let is_held = match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Stated => return "",
        };
        if is_held { "held" } else { "MISSED" }
    }

    fn shown(self, unit: Unit) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {}", unit.plain(most)),
            Self::AtLeast(least) => format!("≥ {}", unit.plain(least)),
            Self::Stated => "stated".to_owned(),
        }
    }
}

impl Unit {
    fn shown(self, value: f64) -> String {
        match self {
            Self::Time | Self::Speed | Self::Bytes | Self::Processor => {
                self.plain((value * 100.0).round() / 100.0)
            }
            // Nothing is not less than nothing.
            Self::Calls | Self::MiB => self.plain(value.round() + 0.0),
        }
    }

    fn plain(self, value: f64) -> String {
        match self {
            Self::Time => format!("{value} × the time"),
            Self::Speed => format!("{value} × as fast"),
            Self::Bytes => format!("{value} × the bytes"),
            Self::Calls => format!("{value} calls"),
            Self::MiB => format!("{value} MiB"),
            Self::Processor => format!("{value} s a GiB"),
        }
    }
}
