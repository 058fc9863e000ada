//! `bedfs umount`: waits for uploads, shows what it waits for, and unmounts.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::{Failure, one_line};
use crate::mountpoint;
use crate::process;

/// How often the mount is asked what is left.
const ASK: Duration = Duration::from_millis(200);

/// What `bedfs umount` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Wait this long for uploads.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Only take away what a mount whose process died left there. What lives is left alone, and all is
    /// well where nothing is.
    #[arg(long)]
    dead: bool,
    /// The folder that bedfs is mounted on.
    mountpoint: PathBuf,
}

/// A row of `.bedfs/pending.json`.
#[derive(Debug, Deserialize)]
struct Pending {
    path: String,
    state: String,
    size: u64,
    open: bool,
    error: Option<String>,
    staged: Option<PathBuf>,
}

impl Pending {
    /// Whether the mount is at it, or will be.
    fn is_on_its_way(&self) -> bool {
        match &*self.state {
            "uploading" | "deleting" | "renaming" => true,
            // Who has it open may write to it yet.
            "pending" | "dirty" => !self.open,
            _ => false,
        }
    }

    /// Whether it was left by an earlier mount for the user to see to.
    fn is_old(&self) -> bool {
        self.state == "interrupted"
    }
}

/// The part of `.bedfs/status.json` that is wanted here.
#[derive(Debug, Deserialize)]
struct Status {
    pid: u32,
}

/// Unmounts.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.dead {
        return bury(&args.mountpoint);
    }
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let full = mountpoint::find(&args.mountpoint)?;
    let status: Option<Status> = control(&full, "status.json");
    let left = wait_for_uploads(&full, deadline);
    for file in &left {
        let why = match &*file.state {
            "elsewhere" => {
                "it lies outside of the mounted folder, and waits for a mount of the bed"
            }
            state => file.error.as_deref().unwrap_or(state),
        };
        let (path, why, size) = (one_line(&file.path), one_line(why), file.size);
        match &file.staged {
            None => eprintln!("bedfs: {path}: {why}"),
            Some(staged) => {
                eprintln!("bedfs: {path} ({size} bytes) is not uploaded: {why}");
                let staged = staged.display();
                eprintln!("bedfs: its bytes are in {staged}, unless a last try succeeds");
            }
        }
    }
    if !left.is_empty() {
        eprintln!(
            "bedfs: the journal has them: the next mount goes on with what waits, and bedfs \
                   pending lists all"
        );
    }
    // A dead mount holds nothing: out of sight with it.
    mountpoint::unmount(&full, mountpoint::is_dead(&full))?;
    if let Some(Status { pid }) = status {
        wait_for_end(pid, deadline)?;
    }
    if left.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Takes a dead mount away, if one is there.
fn bury(path: &Path) -> Result<ExitCode, Failure> {
    match mountpoint::find(path) {
        Ok(full) if mountpoint::is_dead(&full) => mountpoint::unmount(&full, true)?,
        Ok(_) | Err(mountpoint::Error::NotMounted(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until nothing is on its way, and gives what cannot be waited for.
fn wait_for_uploads(full: &Path, deadline: Instant) -> Vec<Pending> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    bar.set_style(ProgressStyle::default_spinner());
    loop {
        let mut left: Vec<Pending> = control(full, "pending.json").unwrap_or_default();
        left.retain(|file| !file.is_old());
        match left.iter().find(|file| file.is_on_its_way()) {
            Some(file) if Instant::now() < deadline => {
                bar.set_message(format!(
                    "waiting for {} of {} ({} bytes)",
                    file.path,
                    left.len(),
                    file.size
                ));
                bar.tick();
                std::thread::sleep(ASK);
            }
            _ => {
                bar.finish_and_clear();
                return left;
            }
        }
    }
}

/// Waits for the mount's process: it still tidies up.
fn wait_for_end(pid: u32, deadline: Instant) -> Result<(), Failure> {
    while process::is_alive(pid) {
        if Instant::now() > deadline {
            return Err(format!(
                "unmounted; its process {pid} still tries to upload what is left, for a minute at most"
            )
            .into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A file of the control folder; `None` if the mount has none or is dead.
fn control<T: serde::de::DeserializeOwned>(full: &Path, name: &str) -> Option<T> {
    let text = std::fs::read(full.join(".bedfs").join(name)).ok()?;
    serde_json::from_slice(&text).ok()
}
