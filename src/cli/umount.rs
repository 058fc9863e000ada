//! `bedfs umount`: waits for uploads, shows what it waits for, and unmounts.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::Failure;
use super::leftovers::{self, Leftover};
use super::one_line;
use crate::config;
use crate::mountpoint;
use crate::pending::{self, Pending, STAGING, Stage};
use crate::process;
use crate::state::{Holder, Lock, State};

/// How often it is looked what is left.
const LOOK: Duration = Duration::from_millis(200);

/// How long a wait may be of which nothing is said, where no terminal shows it.
const QUIET: Duration = Duration::from_secs(1);

/// How long a process that has nothing left to do may take to end.
const END: Duration = Duration::from_secs(2);

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

/// Something that is not finished: a row of `.bedfs/pending.json`, or of the journal.
#[derive(Debug, Deserialize)]
struct Left {
    path: String,
    state: String,
    size: u64,
    open: bool,
    error: Option<String>,
    staged: Option<PathBuf>,
}

impl Left {
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
        self.state == Stage::Interrupted.name()
    }

    fn why(&self) -> &str {
        match &*self.state {
            "elsewhere" => {
                "it lies outside of the mounted folder, and waits for a mount of the bed"
            }
            state => self.error.as_deref().unwrap_or(state),
        }
    }
}

impl Leftover for Left {
    fn path(&self) -> &str {
        &self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn is_stuck(&self) -> bool {
        self.state == Stage::Failed.name()
    }
}

impl From<Pending> for Left {
    fn from(pending: Pending) -> Self {
        let Pending { path, stage, size, staged, error, .. } = pending;
        Self { path, state: stage.name().to_owned(), size, open: false, error, staged }
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
    let (full, is_mounted) = match mountpoint::find(&args.mountpoint) {
        Err(mountpoint::Error::NotMounted(full)) => (full, false),
        found => (found?, true),
    };
    let (mut left, mut end) = (Vec::new(), Ending::of(&full));
    if is_mounted {
        let status: Option<Status> = control(&full, "status.json");
        left = wait(deadline, || Left::of_mount(&full));
        // A dead mount holds nothing: out of sight with it.
        if mountpoint::is_ours(&full) {
            let unmounted = mountpoint::unmount(&full, mountpoint::is_dead(&full));
            unmounted.inspect_err(|_| tell(&left))?;
        }
        end = Ending::of(&full).or(status.map(|Status { pid }| Ending::Process(pid)));
    } else if end.is_none() {
        return Err(mountpoint::Error::NotMounted(full).into());
    }
    let has_ended = end.as_ref().is_none_or(|end| end.wait(deadline, &mut left));
    tell(&left);
    let mount_again = format!("bedfs mount {} goes on with", full.display());
    match end.filter(|_| !has_ended) {
        Some(end @ Ending::Account(..)) if left.is_empty() => eprintln!(
            "bedfs: unmounted, and nothing is left to upload. Process {0} has not ended: a container, \
             or another mount namespace, may still show the mount. It ends with that; kill {0} ends it \
             at once",
            end.process()
        ),
        Some(end) => eprintln!(
            "bedfs: unmounted; process {} uploads what is left for a minute at most. Nothing is lost: \
             bedfs umount {} waits for it, and {mount_again} what is left then, or at once",
            end.process(),
            full.display()
        ),
        None if left.is_empty() => return Ok(ExitCode::SUCCESS),
        None => {
            let stuck = match left.iter().filter(|one| one.is_stuck()).count() {
                0 => String::new(),
                stuck => format!("; {stuck} failed: bedfs pending retry tries them again"),
            };
            eprintln!("bedfs: unmounted. Nothing is lost: {mount_again} them{stuck}");
        }
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

/// Tells what is not uploaded: why, and where its bytes are.
fn tell(left: &[Left]) {
    if left.is_empty() {
        return;
    }
    eprintln!("bedfs: not finished: {}", leftovers::amount(left));
    leftovers::folders(left).iter().for_each(|folder| eprintln!("bedfs: {folder}"));
    let named = leftovers::named(left);
    for one in &named {
        let (path, why) = (one_line(&one.path), one_line(one.why()));
        eprintln!("bedfs:   {path} ({} bytes): {why}", one.size);
    }
    if named.len() < left.len() {
        let more = left.len() - named.len();
        eprintln!("bedfs:   and {more} more: bedfs pending --all lists them");
    }
    if let Some(folder) = left.iter().find_map(|one| one.staged.as_ref()?.parent()) {
        eprintln!("bedfs: the journal has them, their bytes are in {}", folder.display());
    }
}

impl Left {
    /// What a mount tells; nothing if it has no control folder, or is dead.
    fn of_mount(full: &Path) -> Vec<Self> {
        let mut left: Vec<Self> = control(full, "pending.json").unwrap_or_default();
        left.retain(|one| !one.is_old());
        left
    }

    /// What an account's journal tells.
    fn of_journal(state: &State, dir: &Path) -> Vec<Self> {
        let all = pending::list(state, &dir.join(STAGING)).unwrap_or_default();
        all.into_iter().map(Self::from).filter(|one| !one.is_old()).collect()
    }
}

/// Looks until nothing is on its way, and gives what is left.
fn wait(deadline: Instant, mut look: impl FnMut() -> Vec<Left>) -> Vec<Left> {
    let mut shown = Shown::new();
    loop {
        let left = look();
        let next = left.iter().find(|one| one.is_on_its_way());
        match next.filter(|_| Instant::now() < deadline) {
            Some(next) => shown.show(next, &left, deadline),
            None => return left,
        }
        std::thread::sleep(LOOK);
    }
}

/// What is shown while it is waited: a line that changes in a terminal, else one line.
struct Shown {
    bar: ProgressBar,
    /// When it is told, if it has not been.
    due: Option<Instant>,
}

impl Shown {
    fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::default_spinner());
        Self { bar, due: (!is_terminal).then(|| Instant::now() + QUIET) }
    }

    fn show(&mut self, next: &Left, left: &[Left], deadline: Instant) {
        let (path, amount) = (one_line(&next.path), leftovers::amount(left));
        self.bar.set_message(format!("waiting for {path}, of {amount}"));
        self.bar.tick();
        if self.due.take_if(|due| *due <= Instant::now()).is_some() {
            let seconds = deadline.saturating_duration_since(Instant::now()).as_secs();
            eprintln!("bedfs: waiting for {path}, of {amount}, for {seconds} s at most");
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The process of a mount that was unmounted: it still tidies up, and uploads what is left.
enum Ending {
    /// One that has the lock on an account of this user, in this folder.
    Account(PathBuf, Holder),
    /// One of which nothing else is known.
    Process(u32),
}

impl Ending {
    /// The one that was, or is, mounted there.
    fn of(full: &Path) -> Option<Self> {
        let dirs = config::state_dirs().into_iter();
        let mut holders = dirs.filter_map(|dir| Some((Lock::holder(&dir)?, dir)));
        let (holder, dir) = holders.find(|(holder, _)| holder.is_mount_on(full))?;
        Some(Self::Account(dir, holder))
    }

    fn process(&self) -> u32 {
        match self {
            Self::Account(_, holder) => holder.process,
            Self::Process(process) => *process,
        }
    }

    /// Whether it is at work.
    fn is_at_work(&self) -> bool {
        match self {
            Self::Account(dir, holder) => {
                Lock::holder(dir).is_some_and(|now| now.process == holder.process)
            }
            Self::Process(process) => process::is_alive(*process),
        }
    }

    /// Waits for its end, and learns what it leaves. Whether it has ended.
    fn wait(&self, deadline: Instant, left: &mut Vec<Left>) -> bool {
        let state = match self {
            Self::Account(dir, _) => State::open_sound(dir).ok().map(|state| (state, dir)),
            Self::Process(_) => None,
        };
        let look = |left: &mut Vec<Left>| {
            if let Some((state, dir)) = &state {
                *left = Left::of_journal(state, dir);
            }
        };
        let mut shown = Shown::new();
        let idle = deadline.max(Instant::now() + END);
        while self.is_at_work() {
            look(left);
            let next = left.iter().find(|one| one.is_on_its_way());
            if Instant::now() > next.map_or(idle, |_| deadline) {
                return false;
            }
            if let Some(next) = next {
                shown.show(next, left, deadline);
            }
            std::thread::sleep(LOOK / 4);
        }
        look(left);
        // What it does after its work takes a moment.
        let deadline = Instant::now() + END;
        while process::is_alive(self.process()) && Instant::now() < deadline {
            std::thread::sleep(LOOK / 10);
        }
        true
    }
}

/// A file of the control folder; `None` if the mount has none or is dead.
fn control<T: serde::de::DeserializeOwned>(full: &Path, name: &str) -> Option<T> {
    let path = full.join(".bedfs").join(name);
    let text = mountpoint::within(mountpoint::ANSWER, move || std::fs::read(path))?.ok()?;
    serde_json::from_slice(&text).ok()
}
