//! `bedfs take-over`: what a mount runs in its own place when it is upgraded. Not for people.

use std::io::Write;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::mount::report;
use crate::log::{self, LogFile, Target};
use crate::mount::{self, Handover, PROTOCOL};

/// What `bedfs take-over` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The descriptor under which the mount left what is to be known; without it, what is understood of
    /// that is told.
    handover: Option<RawFd>,
    /// The mount point, for who looks at processes.
    mountpoint: Option<PathBuf>,
}

/// Goes on with a mount.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Some(descriptor) = args.handover else {
        writeln!(std::io::stdout(), "{PROTOCOL}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let handover = Handover::take(descriptor)?;
    let plan = handover.plan()?;
    let log = plan.upgrade.as_ref().and_then(|upgrade| upgrade.log.clone());
    let mut end: Box<dyn Write> = match &log {
        Some(path) => Box::new(LogFile::open(path)?),
        None => Box::new(std::io::stderr()),
    };
    log::start(&plan.wishes.log_level(), log.map_or(Target::Stderr, Target::File))?;
    let left = mount::go_on(&plan, handover).inspect_err(|error| tracing::error!("{error}"))?;
    Ok(report(&left, &mut *end))
}
