//! `bedfs traffic`: what the direct links used, by file, day or hour.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{BinaryBytes, HumanCount};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use super::account::Account;
use super::patience::Patience;
use super::{Failure, chart, one_line, start_log};
use crate::account::{Cell, Table, TrafficLog};
use crate::config::{Choice, Config};
use crate::state::{DaySum, FileSum};
use crate::types::{Account as Figures, IMAGE_BED, SERVICE_ZONE};

/// The widest that a bar is drawn, in characters, and the width of a terminal that does not tell.
const WIDEST: usize = 60;
const NARROW: usize = 80;

/// What stands beside a bar, in characters.
const BESIDE: usize = 34;

/// What `bedfs traffic` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many days, today among them. The service tells three; older ones are there if they were
    /// looked at, or a mount archived them.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// What is added up.
    #[arg(long, value_enum, default_value_t = By::File)]
    by: By,
    /// At most so many files, the greatest first; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV.
    #[arg(long)]
    csv: bool,
    /// Draw the days and the greatest pictures into a file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    File,
    Day,
    Hour,
}

/// What is to be shown.
struct Report {
    from: Date,
    to: Date,
    days: Vec<DaySum>,
    rows: Rows,
    figures: Option<Figures>,
    /// When the last day was asked for, in seconds since the epoch.
    as_of: Option<i64>,
    /// Days within the span that were asked for, and that never were.
    seen: usize,
    unseen: usize,
}

enum Rows {
    Files(Vec<FileSum>),
    Times(Vec<DaySum>),
}

/// Looks what is new, and prints what is known.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let account = Account::open(&Config::load(choice)?)?;
    let (report, error) = account.runtime.block_on(look(args, &account))?;
    if let Some(error) = &error {
        eprintln!("bedfs: {error}");
        if report.days.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
        eprintln!("bedfs: shown is what was archived before");
    }
    let out = &mut std::io::stdout().lock();
    match (args.json, args.csv) {
        (true, _) => writeln!(out, "{:#}", report.json())?,
        (false, true) => report.csv(out)?,
        (false, false) => report.bars(out)?,
    }
    if let Some(path) = &args.svg {
        let top = account.state.traffic_by_file(report.from, report.to, chart::FILES)?;
        chart::draw(path, &report.every_day(), &top)
            .map_err(|error| format!("drawing {}: {error}", path.display()))?;
    }
    if report.unseen > 0 && !args.json && !args.csv {
        eprintln!(
            "bedfs: {} of these days were never looked at while the service knew them (it keeps \
             three); a mount archives them day by day",
            report.unseen
        );
    }
    Ok(if error.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The report, and what kept it from being new.
async fn look(
    args: &Args, account: &Account,
) -> Result<(Report, Option<crate::account::Error>), Failure> {
    let log = TrafficLog::new(account.client.clone(), account.state.clone());
    // First, since it tells the service's clock too.
    let patience = Patience::with("asking for the traffic log");
    let figures = account.client.account().await;
    let looked = match (&figures, args.by) {
        // Else the log would only be waited for as long again.
        (Err(error), _) if !error.may_lack_a_right() => Err(error.clone().into()),
        (_, By::Hour) => {
            drop(patience);
            log.look_by_hour(tell_progress).await
        }
        (_, By::File | By::Day) => log.look().await,
    };
    let to = log.today();
    let from = to.checked_sub(i64::from(args.days - 1).days())?;
    let state = &account.state;
    let most = if args.top == 0 || args.json || args.csv { usize::MAX >> 1 } else { args.top };
    let rows = match args.by {
        By::File => Rows::Files(state.traffic_by_file(from, to, most)?),
        By::Day => Rows::Times(state.traffic_by_day(from, to)?),
        By::Hour => Rows::Times(state.traffic_by_hour(from, to)?),
    };
    let asked = state.traffic_days()?;
    let seen = asked.iter().filter(|day| (from..=to).contains(*day)).count();
    let report = Report {
        from,
        to,
        days: state.traffic_by_day(from, to)?,
        rows,
        figures: figures.ok(),
        as_of: state.day_asked(to)?.map(|asked| asked.at),
        seen,
        unseen: usize::from(args.days) - seen,
    };
    Ok((report, looked.err()))
}

fn tell_progress(left: usize) {
    if std::io::stderr().is_terminal() {
        // One line that is written over; the last one is left empty.
        let text = if left > 1 { format!("asking for {left} more hours") } else { String::new() };
        eprint!("\r\x1b[K{text}");
    }
}

impl Report {
    fn total(&self) -> u64 {
        self.days.iter().map(|day| day.bed + day.drive).sum()
    }

    /// For how many days the account's traffic lasts if it goes on so.
    fn days_left(&self) -> Option<f64> {
        let figures = self.figures?;
        let days = self.seen.max(1) as f64;
        let a_day = self.total() as f64 / days;
        (a_day > 0.0).then(|| figures.traffic_left as f64 / a_day)
    }

    /// The days of the span, those without a row too, from the first that has one.
    fn every_day(&self) -> Vec<DaySum> {
        let first = self.days.first().map_or(self.to, |sum| sum.day);
        let days = first.series(1.day()).take_while(|day| *day <= self.to);
        let sum_of = |day| self.days.iter().find(|sum| sum.day == day).copied();
        let nothing = |day| DaySum { day, hour: None, bed: 0, drive: 0, rows: 0 };
        days.map(|day| sum_of(day).unwrap_or_else(|| nothing(day))).collect()
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = match &self.rows {
            Rows::Files(files) => files.iter().map(file_json).collect(),
            Rows::Times(times) => times.iter().map(time_json).collect(),
        };
        json!({
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "rows": rows,
            "total_traffic": self.total(),
            "traffic_left": self.figures.map(|figures| figures.traffic_left),
            "days_left": self.days_left(),
        })
    }

    fn csv(&self, out: &mut impl Write) -> Result<(), Failure> {
        match &self.rows {
            Rows::Files(files) => {
                let columns = ["path", "url", "source", "traffic", "rows"];
                let mut table = Table::new(&mut *out, &columns)?;
                for file in files {
                    table.row(&[
                        Cell::Text(&file.path),
                        Cell::Text(&file.url),
                        Cell::Plain(source(file.source)),
                        Cell::Number(file.bytes),
                        Cell::Number(file.rows),
                    ])?;
                }
                table.end()?;
            }
            Rows::Times(times) => {
                let columns = ["time", "image_bed", "cloud_drive", "traffic", "rows"];
                let mut table = Table::new(&mut *out, &columns)?;
                for sum in times {
                    table.row(&[
                        Cell::Plain(&moment(sum)),
                        Cell::Number(sum.bed),
                        Cell::Number(sum.drive),
                        Cell::Number(sum.bed + sum.drive),
                        Cell::Number(sum.rows),
                    ])?;
                }
                table.end()?;
            }
        }
        Ok(())
    }

    fn bars(&self, out: &mut impl Write) -> Result<(), Failure> {
        let lines: Vec<(String, u64)> = match &self.rows {
            Rows::Files(files) => files.iter().map(|f| (one_line(&f.path), f.bytes)).collect(),
            Rows::Times(times) => times.iter().map(|t| (label(t), t.bed + t.drive)).collect(),
        };
        let most = lines.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        for (label, bytes) in &lines {
            writeln!(out, "{}", bar(label, *bytes, most))?;
        }
        let rows = self.days.iter().map(|day| day.rows).sum();
        let total = BinaryBytes(self.total());
        writeln!(out, "{} to {}: {total} in {} rows", self.from, self.to, HumanCount(rows))?;
        if let Some(at) = self.as_of.and_then(|at| Timestamp::from_second(at).ok()) {
            let at = at.to_zoned(TimeZone::system()).strftime("%H:%M");
            writeln!(out, "as the service told at {at}; its days are those of UTC+8")?;
        }
        if let Some(figures) = self.figures {
            let left = BinaryBytes(figures.traffic_left);
            match self.days_left() {
                Some(days) if days > 3660.0 => {
                    writeln!(out, "left: {left}, at this pace for more than ten years")?
                }
                Some(days) => writeln!(out, "left: {left}, at this pace for {days:.0} days")?,
                None => writeln!(out, "left: {left}")?,
            }
        }
        Ok(())
    }
}

/// One line: the bytes, a bar that is as long as they are many, and what they are of.
fn bar(label: &str, bytes: u64, most: u64) -> String {
    let out = std::io::stdout();
    let width = terminal_size::terminal_size_of(&out).map_or(NARROW, |(width, _)| width.0.into());
    let room = width.saturating_sub(BESIDE).clamp(8, WIDEST);
    // In eighths of a character.
    let eighths =
        if most == 0 { 0 } else { (bytes as u128 * room as u128 * 8 / most as u128) as usize };
    let mut drawn = "█".repeat(eighths / 8);
    drawn.extend("▏▎▍▌▋▊▉".chars().nth((eighths % 8).wrapping_sub(1)));
    let blank = " ".repeat(room - eighths.div_ceil(8));
    let is_coloured = crate::log::wants_colours(&out);
    let drawn = if is_coloured { format!("\x1b[36m{drawn}\x1b[0m") } else { drawn };
    format!("{:>11} {drawn}{blank} {label}", BinaryBytes(bytes).to_string())
}

fn label(sum: &DaySum) -> String {
    match sum.hour {
        Some(hour) => format!("{} {hour:02}:00", sum.day),
        None => sum.day.to_string(),
    }
}

/// A day as a date, an hour in RFC 3339.
fn moment(sum: &DaySum) -> String {
    let Some(hour) = sum.hour.and_then(|hour| i8::try_from(hour).ok()) else {
        return sum.day.to_string();
    };
    let begin = SERVICE_ZONE.to_timestamp(sum.day.at(hour, 0, 0, 0)).unwrap_or_default();
    begin.display_with_offset(SERVICE_ZONE).to_string()
}

fn source(source: i64) -> &'static str {
    if source == IMAGE_BED { "image_bed" } else { "cloud_drive" }
}

fn file_json(file: &FileSum) -> Value {
    json!({
        "path": file.path,
        "url": file.url,
        "source": source(file.source),
        "traffic": file.bytes,
        "rows": file.rows,
    })
}

fn time_json(sum: &DaySum) -> Value {
    json!({
        "time": moment(sum),
        "image_bed": sum.bed,
        "cloud_drive": sum.drive,
        "traffic": sum.bed + sum.drive,
        "rows": sum.rows,
    })
}
