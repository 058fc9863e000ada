//! `bedfs mount`: mounts, and goes to the background once the mount answers.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Failure, Log, one_line, start_log};
use crate::api::{Credentials, QpsTable, Settings};
use crate::background::{self, Side};
use crate::config::{Config, Wishes, make_private};
use crate::mount::{self, Plan};
use crate::mountpoint;
use crate::pending::Pending;

/// What `bedfs mount` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stay in the foreground, and log to the terminal.
    #[arg(long, short = 'f')]
    foreground: bool,
    #[command(flatten)]
    wishes: Wishes,
    /// Any of these options as mount(8) writes them: -o name=value,name,…
    // Spelled out before parsing; here it is for the help.
    #[arg(short = 'o', value_name = "OPTIONS")]
    _options: Option<String>,
    /// The folder to mount on.
    mountpoint: PathBuf,
}

/// Mounts.
pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let mountpoint = mountpoint::check_free(&args.mountpoint)?;
    let config = Config::load()?;
    let plan = plan(&config, args.wishes, mountpoint)?;
    let level = plan.wishes.log_level();
    if args.foreground {
        start_log(level, Log::Stderr);
        let leftovers = mount::run(&plan, || {})?;
        return Ok(report(&leftovers, &mut std::io::stderr()));
    }
    // Nothing has started a thread yet.
    let ready = match background::fork()? {
        Side::Parent { ready: true } => return Ok(ExitCode::SUCCESS),
        Side::Parent { ready: false } => return Ok(ExitCode::FAILURE),
        Side::Child(ready) => ready,
    };
    let log = log_file(&plan.state)?;
    start_log(level, Log::File(log.try_clone()?));
    let leftovers = mount::run(&plan, || {
        if let Err(error) = ready.tell() {
            tracing::error!("going to the background: {error}");
        }
    })?;
    let mut log = log;
    Ok(report(&leftovers, &mut log))
}

/// What is settled before anything runs.
pub(super) fn plan(config: &Config, wishes: Wishes, mountpoint: PathBuf) -> Result<Plan, Failure> {
    plan_in(config, wishes, mountpoint, &config.state_dir()?, config.cache_dir()?)
}

/// The same, with state and cache in folders of the caller's choice.
pub(super) fn plan_in(
    config: &Config, wishes: Wishes, mountpoint: PathBuf, state: &Path, cache: PathBuf,
) -> Result<Plan, Failure> {
    let wishes = wishes.or(config.wishes.clone());
    make_private(state)?;
    let qps: QpsTable = wishes.qps.as_deref().unwrap_or("").parse()?;
    let credentials = Credentials {
        client_id: config.client_id.clone(),
        client_secret: config.client_secret.clone(),
    };
    let api = Settings::new(config.endpoint.clone(), credentials, state).within(wishes.timeout());
    let api = Settings { qps, ..api };
    Ok(Plan { mountpoint, state: state.to_owned(), cache, api, wishes })
}

fn log_file(state: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(state.join("bedfs.log"))
}

/// Tells what is not done.
pub(super) fn report(left: &[Pending], to: &mut dyn Write) -> ExitCode {
    for pending in left {
        let (path, what) = (one_line(&pending.path), pending.stage.name());
        let place = match &pending.staged {
            Some(staged) => format!("; its bytes are in {}", staged.display()),
            None => String::new(),
        };
        // Nothing can be done about a log that cannot be written.
        let _unwritten = writeln!(to, "bedfs: {path} is {what}{place}");
    }
    if left.is_empty() {
        return ExitCode::SUCCESS;
    }
    let count = left.len();
    let _unwritten = writeln!(
        to,
        "bedfs: {count} in the journal: the next mount goes on with them; bedfs pending lists them"
    );
    ExitCode::FAILURE
}
