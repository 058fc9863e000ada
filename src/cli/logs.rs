//! `bedfs logs`: lists the offline logs, downloads them, or merges them into one.

mod merge;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::DateTime;
use tracing::level_filters::LevelFilter;

use super::account::Account;
use super::patience::Patience;
use super::{Failure, one_line, start_log};
use crate::account::OfflineLogs;
use crate::config::{Choice, Config};
use crate::mount::OFFLINE_LOGS;
use crate::state::KnownLog;
use crate::types::SERVICE_ZONE;
#[cfg(any(test, fuzzing))]
pub use merge::logs as fuzz;

/// What `bedfs logs` takes. Hours are the service's, in UTC+8.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// From this hour on, as 2025010115 or 2025-01-01T15 or 2025-01-01 [default: all that are known].
    #[arg(long, value_name = "HOUR")]
    from: Option<Hour>,
    /// Up to this hour, or day [default: now].
    #[arg(long, value_name = "HOUR")]
    to: Option<Hour>,
    /// Download them into this folder, as YYYY-MM-DD/HH-ID.gz.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write all of them into one file, unpacked and sorted by time; - is the standard output.
    #[arg(long, value_name = "FILE")]
    merge: Option<PathBuf>,
}

/// An hour of the service, or the whole day where only that was given.
#[derive(Clone, Copy, Debug)]
struct Hour {
    first: i64,
    last: i64,
}

impl FromStr for Hour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no hour: 2025010115, 2025-01-01T15 or 2025-01-01 is");
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | 'T' | ' ')).collect();
        let (day, hour) = digits.split_at_checked(8).ok_or_else(wrong)?;
        let is_day = hour.is_empty();
        let full = format!("{day} {}", if is_day { "00" } else { hour });
        let parsed = DateTime::strptime("%Y%m%d %H:%M", format!("{full}:00"));
        let first =
            parsed.ok().and_then(|at| SERVICE_ZONE.to_timestamp(at).ok()).ok_or_else(wrong)?;
        let first = first.as_second();
        Ok(Self { first, last: if is_day { first + 23 * 3600 } else { first } })
    }
}

/// Lists, downloads or merges.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let account = Account::open(&Config::load(choice)?)?;
    let logs = OfflineLogs::new(
        account.client.clone(),
        account.state.clone(),
        account.plan.state.join(OFFLINE_LOGS),
    );
    let patience = Patience::with("asking which logs there are");
    let looked = account.runtime.block_on(logs.look());
    drop(patience);
    let from = args.from.map_or(i64::MIN, |hour| hour.first);
    let to = args.to.map_or(i64::MAX, |hour| hour.last);
    let found = account.state.offline_logs(from, to)?;
    if let Err(error) = &looked {
        if found.is_empty() {
            return Err(error.clone().into());
        }
        eprintln!("bedfs: {error}");
        eprintln!("bedfs: shown is what was listed before");
    }
    refuse_what_is_gone(args, &logs, &found)?;
    let mut code = if looked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if found.is_empty() {
        eprintln!("bedfs: there are no offline logs of that time");
        return Ok(code);
    }
    if args.output.is_none() && args.merge.is_none() {
        list(&found, &logs)?;
        return Ok(code);
    }
    let (kept, all_came) = download(&found, &logs, &account);
    if !all_came {
        code = ExitCode::FAILURE;
    }
    if let Some(dir) = &args.output {
        kept.iter().try_for_each(|(log, path)| copy(log, path, dir))?;
    }
    if let Some(file) = &args.merge
        && !merge::merge(&kept, file)?
    {
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

/// Older logs than the service lists are there only if they were listed in time.
fn refuse_what_is_gone(args: &Args, logs: &OfflineLogs, found: &[KnownLog]) -> Result<(), Failure> {
    let first = logs.first_listed();
    let asked = args.to.or(args.from).is_some_and(|_| {
        args.from.is_some_and(|from| from.first < first)
            || args.to.is_some_and(|to| to.last < first)
    });
    if asked && found.first().is_none_or(|log| log.hour >= first) {
        return Err(format!(
            "the service keeps offline logs for 30 days: the earliest hour it still tells is {}, \
             and none before it was listed here in time",
            spell(first)
        )
        .into());
    }
    Ok(())
}

fn spell(second: i64) -> String {
    let at = Timestamp::from_second(second).unwrap_or_default();
    SERVICE_ZONE.to_datetime(at).strftime("%Y-%m-%dT%H").to_string()
}

fn list(found: &[KnownLog], logs: &OfflineLogs) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for log in found {
        let here = if logs.path(log).exists() { "here" } else { "" };
        let size = BinaryBytes(logs.size(log)).to_string();
        let (hour, id, name) = (spell(log.hour), one_line(&log.id), one_line(&log.name));
        writeln!(out, "{hour}  {size:>12}  {here:<4}  {id}  {name}")?;
    }
    Ok(())
}

/// Has them all here, and tells whether all came.
fn download<'a>(
    found: &'a [KnownLog], logs: &OfflineLogs, account: &Account,
) -> (Vec<(&'a KnownLog, PathBuf)>, bool) {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let progress = ProgressBar::with_draw_target(Some(found.len() as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} logs  {msg}") {
        progress.set_style(style);
    }
    let mut kept = Vec::new();
    for log in found {
        progress.set_message(spell(log.hour));
        match account.runtime.block_on(logs.fetch(log)) {
            Ok(path) => kept.push((log, path)),
            Err(error) => progress.suspend(|| eprintln!("bedfs: {}: {error}", spell(log.hour))),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let all_came = kept.len() == found.len();
    (kept, all_came)
}

/// Puts a copy at `DIR/YYYY-MM-DD/HH-ID.gz`, whole or not at all.
fn copy(log: &KnownLog, path: &Path, dir: &Path) -> Result<(), Failure> {
    let (day, name) = log.place();
    let folder = dir.join(day);
    let to = folder.join(name);
    let failed = |error: std::io::Error| format!("writing {}: {error}", to.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let file = tempfile::Builder::new()
        .prefix(".log")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(&folder)
        .map_err(failed)?;
    fs::copy(path, file.path()).map_err(failed)?;
    file.persist(&to).map_err(|error| failed(error.error))?;
    writeln!(std::io::stdout(), "{}", to.display())?;
    Ok(())
}
