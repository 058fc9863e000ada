//! `bedfs status`: what a running mount tells of itself in its control folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{BinaryBytes, HumanDuration};
use serde_json::Value;

use super::{Failure, one_line};
use crate::mountpoint;

/// How long the account's figures may take.
const ACCOUNT_WAIT: Duration = Duration::from_secs(1);

/// What `bedfs status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mount [default: every mount of bedfs on this machine].
    mountpoint: Option<PathBuf>,
    /// Print JSON: an array with an object for each mount.
    #[arg(long)]
    json: bool,
}

/// Prints what each mount is doing.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mounts = match &args.mountpoint {
        Some(path) => vec![mountpoint::find(path)?],
        None => mountpoint::all_ours(),
    };
    if mounts.is_empty() {
        return Err("bedfs is not mounted anywhere; bedfs pending tells what waits".into());
    }
    let mut code = ExitCode::SUCCESS;
    let mut all = Vec::new();
    for mount in &mounts {
        match read(mount) {
            Ok(mut status) => {
                status["mountpoint"] = mount.display().to_string().into();
                all.push(status);
            }
            // It has ended meanwhile.
            Err(_) if args.mountpoint.is_none() && !mountpoint::is_ours(mount) => {}
            Err(error) => {
                eprintln!("bedfs: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{:#}", Value::Array(all))?,
        false => all.iter().try_for_each(|status| tell(status, &mut out))?,
    }
    Ok(code)
}

fn read(mount: &Path) -> Result<Value, Failure> {
    if mountpoint::is_dead(mount) {
        return Err(mountpoint::Error::Stale(mount.to_owned()).into());
    }
    bring_account(mount);
    let path = mount.join(".bedfs/status.json");
    let text = mountpoint::within(mountpoint::ANSWER, {
        let path = path.clone();
        move || fs::read_to_string(path)
    });
    let text = text.ok_or_else(|| {
        format!("the mount on {} does not answer: is its process stopped?", mount.display())
    })?;
    let text = text.map_err(|error| {
        format!("{}: {error}; was it mounted with --control off?", path.display())
    })?;
    Ok(serde_json::from_str(&text)?)
}

/// Has the mount ask for the account's figures, and waits a little for them: the mount tells those it
/// has, however old.
fn bring_account(mount: &Path) {
    let mount = mount.to_owned();
    // The status does without them.
    let _asked = mountpoint::within(ACCOUNT_WAIT, move || {
        xattr::get(&mount, "user.bedfs.account.space_used")
    });
}

fn tell(status: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let number = |field: &str| status[field].as_u64().unwrap_or_default();
    let bytes = |field: &str| BinaryBytes(number(field));
    let up = HumanDuration(Duration::from_secs(number("uptime_seconds")));
    let mountpoint = one_line(status["mountpoint"].as_str().unwrap_or_default());
    writeln!(out, "{mountpoint}: up for {up}, process {}", number("pid"))?;
    writeln!(
        out,
        "  uploads and deletes: {} not finished, of which {} under way, {} failed",
        number("pending"),
        number("uploading"),
        number("failed")
    )?;
    let (held, room) = (bytes("cache_bytes"), bytes("cache_capacity"));
    writeln!(out, "  cache: {held} of {room}; staged: {}", bytes("staged_bytes"))?;
    if !status["traffic_left"].is_null() {
        let (used, total) = (bytes("space_used"), bytes("space_total"));
        writeln!(out, "  account: {used} of {total} used, traffic left {}", bytes("traffic_left"))?;
    }
    for listing in status["listing"].as_array().into_iter().flatten() {
        let path = one_line(listing["path"].as_str().unwrap_or_default());
        writeln!(out, "  listing {path:?}: {} entries so far", listing["entries"])?;
    }
    for warning in status["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        writeln!(out, "  warning: {}", one_line(warning))?;
    }
    let calls = status["calls"].as_object().into_iter().flatten();
    for (endpoint, count) in calls.filter(|(_, count)| count.as_u64() > Some(0)) {
        writeln!(out, "  {endpoint:<26} {count:>7} calls")?;
    }
    Ok(())
}
