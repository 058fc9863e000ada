//! `bedfs config check`: what holds, who says so, and what is wrong.

use std::io::Write;
use std::process::ExitCode;

use super::{Failure, one_line};
use crate::api::{QpsTable, Roots};
use crate::config::{Choice, Explained, Explanation, Wishes};
use crate::names::LocalNames;

/// What `bedfs config` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print each value that holds, who says so, and whom that is stronger than.
    Check(Box<Wishes>),
}

/// Explains the configuration, as it were with the options that are typed here.
pub(super) fn run(args: Args, choice: &Choice) -> Result<ExitCode, Failure> {
    let Action::Check(wishes) = args.action;
    let told = Explanation::of(choice, *wishes)?;
    let state = if told.is_there { "" } else { " (not there)" };
    let mut out = std::io::stdout().lock();
    writeln!(out, "file     {}{state}", told.file.display())?;
    let others = match &*told.others {
        [] => String::new(),
        names => format!("; the file also has {}", names.join(", ")),
    };
    match &told.profile {
        Some((name, place)) => writeln!(out, "profile  {name} ({place}){others}")?,
        None => writeln!(out, "profile  none{others}")?,
    }
    writeln!(out)?;
    let widest = |width: fn(&Explained) -> usize| told.values.iter().map(width).max().unwrap_or(0);
    let (key, value) = (widest(|one| one.key.len()), widest(|one| shown(&one.value).len()).min(40));
    for one in &told.values {
        writeln!(out, "{:key$}  {:value$}  {}", one.key, shown(&one.value), one.place)?;
        for (weaker, place) in &one.weaker {
            writeln!(out, "{:key$}  {:value$}    instead of {} by {place}", "", "", shown(weaker))?;
        }
    }
    let wrong = wrong(&told.values);
    for line in &wrong {
        eprintln!("bedfs: {line}");
    }
    for note in told.notes {
        eprintln!("bedfs: warning: {note}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(value: &str) -> String {
    if value.is_empty() { "(empty)".to_owned() } else { one_line(value) }
}

/// What only those rooms can tell that use the value.
fn wrong(values: &[Explained]) -> Vec<String> {
    let said = |key: &str| {
        let one = values.iter().find(|one| one.key == key);
        // A default is right, and in words.
        one.filter(|one| !one.place.starts_with("default"))
    };
    let mut wrong = Vec::new();
    if let Some(one) = said("qps")
        && let Err(error) = one.value.parse::<QpsTable>()
    {
        wrong.push(format!("qps ({}): {error}", one.place));
    }
    if let Some(one) = said("local-names")
        && let Err(error) = LocalNames::new(one.value.split(',').map(str::trim))
    {
        wrong.push(format!("local-names ({}): {error}", one.place));
    }
    if let Some(one) = said("ca-file")
        && let Err(error) = Roots::read_from(Some(one.value.as_ref()))
    {
        wrong.push(format!("ca-file ({}): {error}", one.place));
    }
    for key in ["client-id", "client-secret"] {
        if said(key).is_none() {
            wrong.push(format!("no {key}: run bedfs login"));
        }
    }
    wrong
}
