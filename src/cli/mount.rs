//! `bedfs mount`: mounts, and goes to the background once the mount answers.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::leftovers::{self, Leftover};
use super::patience::Patience;
use super::{Failure, one_line};
use crate::api::{Credentials, QpsTable, Roots, Settings, Staleness};
use crate::background::{self, Side};
use crate::config::{Choice, Config, Wishes, make_private};
use crate::log::{self, LogFile, Target};
use crate::mount::{self, Plan};
use crate::mountpoint::{self, SUBTYPE};
use crate::pending::Pending;

/// The log of a mount in the background, in the account's folder.
const LOG: &str = "bedfs.log";

/// What `bedfs mount` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stay in the foreground, and log to the terminal.
    #[arg(long, short = 'f')]
    foreground: bool,
    #[command(flatten)]
    wishes: Wishes,
    /// What the mount table shows as the source [default: bedfs:PROFILE, or bedfs:ID@HOST].
    #[arg(long, value_name = "NAME")]
    fsname: Option<String>,
    /// Any of these options as mount(8) writes them: -o name=value,name,…
    // Spelled out before parsing; here it is for the help.
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Option<String>,
    /// The folder to mount on.
    mountpoint: PathBuf,
}

/// Mounts.
pub(super) fn run(args: Args, choice: &Choice) -> Result<ExitCode, Failure> {
    if args.options.is_some() {
        return Err("-o stands behind the command: bedfs mount -o name=value,…".into());
    }
    let (mountpoint, is_taken) = match mountpoint::make_free(&args.mountpoint) {
        // Perhaps by a mount that is ending.
        Err(mountpoint::Error::Mounted(full)) => (full, true),
        free => (free?, false),
    };
    let config = Config::load(choice)?;
    let mut plan = plan(&config, args.wishes, mountpoint)?;
    plan.is_service = args.foreground;
    plan.source = args.fsname.unwrap_or(plan.source);
    if is_taken {
        mount::make_way(&plan);
        mountpoint::make_free(&plan.mountpoint)?;
    }
    if mountpoint::has_content(&plan.mountpoint) {
        let path = plan.mountpoint.display();
        eprintln!(
            "bedfs: warning: {path} is not empty; what is in it is hidden until bedfs umount"
        );
    }
    let (levels, named) = (plan.wishes.log_level(), plan.wishes.log_file.as_ref());
    let named = named.map(std::path::absolute).transpose()?;
    if args.foreground {
        log::start(&levels, named.map_or(Target::Stderr, Target::File))?;
        let patience = Patience::with("mounting");
        let leftovers = mount::run(&plan, || {
            drop(patience);
            eprintln!("bedfs: mounted on {}; Ctrl-C unmounts", plan.mountpoint.display());
        })?;
        return Ok(report(&leftovers, &mut std::io::stderr()));
    }
    let path = named.unwrap_or_else(|| plan.state.join(LOG));
    // Nothing has started a thread yet.
    let ready = match background::fork()? {
        Side::Parent { ended } => return Ok(ended.map_or(ExitCode::SUCCESS, ExitCode::from)),
        Side::Child(ready) => ready,
    };
    log::start(&levels, Target::File(std::path::absolute(&path)?))?;
    let mut end = LogFile::open(std::path::absolute(&path)?)?;
    let patience = Patience::with("mounting");
    let leftovers = mount::run(&plan, || {
        drop(patience);
        if let Err(error) = ready.tell() {
            tracing::error!("going to the background: {error}");
        }
    })?;
    Ok(report(&leftovers, &mut end))
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
    let roots = Roots::read_from(config.ca_file.as_deref())?;
    let staleness = Staleness::new(wishes.service_lag());
    let api = Settings { qps, staleness, ..api.trusting(roots) };
    let (state, source) = (state.to_owned(), format!("{SUBTYPE}:{}", config.account()));
    Ok(Plan { mountpoint, state, cache, source, api, wishes, is_service: false })
}

/// Tells what is not done.
pub(super) fn report(left: &[Pending], to: &mut dyn Write) -> ExitCode {
    if left.is_empty() {
        return ExitCode::SUCCESS;
    }
    // Nothing can be done about a log that cannot be written.
    let _unwritten = report_all(left, to);
    ExitCode::FAILURE
}

fn report_all(left: &[Pending], to: &mut dyn Write) -> io::Result<()> {
    leftovers::folders(left).iter().try_for_each(|folder| writeln!(to, "bedfs: {folder}"))?;
    for pending in leftovers::named(left) {
        let (path, what) = (one_line(&pending.path), pending.stage.name());
        let place = match &pending.staged {
            Some(staged) => format!("; its bytes are in {}", staged.display()),
            None => String::new(),
        };
        writeln!(to, "bedfs: {path} is {what}{place}")?;
    }
    let goes_on = match left.iter().filter(|pending| pending.is_stuck()).count() {
        0 => "the next mount goes on with them".to_owned(),
        stuck => format!("{stuck} wait for you, with the rest the next mount goes on"),
    };
    let amount = leftovers::amount(left);
    writeln!(to, "bedfs: {amount} in the journal: {goes_on}; bedfs pending lists them")
}
