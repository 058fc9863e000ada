//! A takeover: the program that stands now where this one was started from goes on with the mount, in
//! this process, under the same session. Until it runs everything can go on as before, and does where
//! anything is not as it should be.
//!
//! Requests are held back before they are begun, and the kernel is asked for them again by the next
//! program. Nobody may be waiting for the mount in this process meanwhile: its threads end before the
//! next program begins, and one that waits for an answer cannot end.

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::{timeout, timeout_at};

use super::handover::{self, Handover, PROTOCOL, Settled};
use super::session::THREADS;
use super::signals;
use super::supervisor::{QUESTION, Supervisor};
use super::{Plan, Upgrade};
use crate::fs::{Busy, Fs};
use crate::fuse::{Gate, Offer};
use crate::process::bequeath;
use crate::state;

/// The command by which a program is asked whether it can take over, and is told what.
const COMMAND: &str = "take-over";

/// How long the next program may take to say what it understands.
const CHECK: Duration = Duration::from_secs(5);

/// How long is waited for what is under way: behind the callers' backs, and then with them. Requests are
/// held back for no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between looks.
const POLL: Duration = Duration::from_millis(10);

/// Why this program goes on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("this mount cannot be handed over")]
    Never,
    #[error("the kernel cannot give requests again that are not answered: Linux 6.9 can")]
    Kernel,
    #[error("{path}: {source}")]
    Program { path: String, source: io::Error },
    #[error("{0} does not say in {CHECK:?} that it can take over")]
    Slow(String),
    #[error("{0} cannot take over from this version: unmount, and mount again")]
    Foreign(String),
    #[error("{0} after {PATIENCE:?}; try again later")]
    UnderWay(&'static str),
    #[error("{0}; try again later")]
    Busy(#[from] Busy),
    #[error(transparent)]
    Handover(#[from] handover::Error),
    #[error("{0}")]
    Machine(#[from] io::Error),
}

/// What a takeover has to know of the mount.
pub(super) struct Takeover<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fs: &'a Fs,
    pub(super) gate: Arc<Gate>,
    pub(super) offer: Arc<OnceLock<Offer>>,
    pub(super) lock: &'a state::Lock,
    /// The session's descriptor.
    pub(super) device: RawFd,
    /// Held by whoever of this program asks the mount, or tells the kernel.
    pub(super) asking: Arc<Mutex<()>>,
    pub(super) supervisor: Supervisor,
}

impl Takeover<'_> {
    /// Tries it. Where it succeeds this never returns.
    pub(super) async fn attempt(&self) {
        tracing::info!("SIGUSR1: handing over");
        self.supervisor.hear_upgrade();
        let Err(error) = self.hand_over().await;
        tracing::warn!("this program goes on with the mount: {error}");
        self.supervisor.hear_ready(&self.plan.mountpoint);
    }

    async fn hand_over(&self) -> Result<std::convert::Infallible, Error> {
        let upgrade = self.plan.upgrade.as_ref().ok_or(Error::Never)?;
        let offer = self.offer.get().copied().filter(|offer| offer.can_resend());
        let offer = offer.ok_or(Error::Kernel)?;
        let program = upgrade.program.clone();
        let checked = tokio::task::spawn_blocking(move || check(&program)).await;
        checked.map_err(io::Error::other)??;
        let under_way = |what| move |_| Error::UnderWay(what);
        let asking = timeout(PATIENCE, self.asking.lock()).await;
        let _asking = asking.map_err(under_way("the kernel is still being told of changes"))?;
        let alone = timeout(PATIENCE, self.fs.come_to_rest()).await;
        let alone = alone.map_err(under_way("uploads are still under way"))?;
        let shut = self.gate.shut();
        let until = Instant::now() + PATIENCE;
        if !shut.is_idle_by(until) {
            return Err(Error::UnderWay("requests are still under way"));
        }
        let still = timeout_at(until.into(), self.fs.come_to_a_stop(alone)).await;
        let still = still.map_err(under_way("changes are still under way"))?;
        let known = timeout_at(until.into(), self.fs.know_names()).await;
        known.map_err(under_way("a folder is still being listed"))??;
        let asked = Asked::of(&self.plan.mountpoint)?;
        // Then no thread of the session can take another request, and lose it.
        if !shut.holds_by(THREADS, until) {
            return Err(Error::UnderWay("the session takes requests still"));
        }
        let mut descriptors = Vec::new();
        let (tree, fs) = self.fs.carry(&still, &mut descriptors)?;
        let handover = Handover {
            settled: Settled::of(self.plan, upgrade),
            offer,
            lock: self.lock.descriptor(),
            device: self.device,
            others: others_like(self.device)?,
            asked: asked.0.clone(),
            tree,
            fs,
        };
        descriptors.extend([handover.lock, handover.device]);
        descriptors.extend(&handover.others);
        let told = handover.write()?;
        descriptors.push(told.as_raw_fd());
        let error = replace(upgrade, &self.plan.mountpoint, told.as_raw_fd(), &descriptors);
        // They are answered before they are waited for.
        drop(shut);
        Err(error)
    }
}

/// Asks the program whether it understands what it would be told.
fn check(program: &Path) -> Result<(), Error> {
    let path = || program.display().to_string();
    let failed = |source| Error::Program { path: path(), source };
    let mut command = Command::new(program);
    command.arg0("bedfs").arg(COMMAND).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let until = Instant::now() + CHECK;
    let ended = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(POLL),
            None => {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                return Err(Error::Slow(path()));
            }
        }
    };
    let mut said = [0; 64];
    let len = match &mut child.stdout {
        // What it left in the pipe; who else has that open is not waited for.
        Some(stdout) if ended.success() => stdout.read(&mut said).map_err(failed)?,
        _ => 0,
    };
    match said[..len].trim_ascii() == PROTOCOL.as_bytes() {
        true => Ok(()),
        false => Err(Error::Foreign(path())),
    }
}

/// Other descriptors of the device: each brings requests of its own, and takes those with it that are
/// not answered when it is closed.
fn others_like(device: RawFd) -> io::Result<Vec<RawFd>> {
    let what = |number: &OsStr| std::fs::metadata(Path::new("/proc/self/fd").join(number));
    let kind = what(OsStr::new(&device.to_string()))?.rdev();
    let mut others = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        // That of the folder itself is closed again.
        let is_it =
            what(&name).is_ok_and(|it| it.file_type().is_char_device() && it.rdev() == kind);
        others.extend(number.filter(|number| is_it && *number != device));
    }
    Ok(others)
}

/// Runs the program in this one's place. Gives why that cannot be.
fn replace(upgrade: &Upgrade, mountpoint: &Path, told: RawFd, descriptors: &[RawFd]) -> Error {
    let failed = |source| Error::Program { path: upgrade.program.display().to_string(), source };
    let number = told.to_string();
    let words =
        [OsStr::new("bedfs"), OsStr::new(COMMAND), OsStr::new(&number), mountpoint.as_os_str()];
    let words: Result<Vec<CString>, _> =
        words.iter().map(|word| CString::new(word.as_bytes())).collect();
    let program = CString::new(upgrade.program.as_os_str().as_bytes());
    let (Ok(program), Ok(words)) = (program, words) else {
        return failed(io::ErrorKind::InvalidInput.into());
    };
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let ready = signals::block(true).and_then(|()| bequeath(descriptors, true));
    let error = ready.err().unwrap_or_else(|| {
        // SAFETY: both are ended by NUL, and outlive the call.
        unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
        io::Error::last_os_error()
    });
    for undone in [bequeath(descriptors, false), signals::block(false)] {
        if let Err(error) = undone {
            tracing::error!("going on: {error}");
        }
    }
    failed(error)
}

/// Processes that ask the mount for something each, so that each thread of the session holds a request
/// back and takes no other. A thread of this process must not ask: it could not end.
struct Asked(Vec<libc::pid_t>);

impl Asked {
    fn of(mountpoint: &Path) -> io::Result<Self> {
        let (path, name) =
            (CString::new(mountpoint.as_os_str().as_bytes())?, CString::new(QUESTION)?);
        let mut asked = Self(Vec::new());
        for _ in 0..THREADS {
            asked.0.push(ask(&path, &name)?);
        }
        Ok(asked)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        bury(std::mem::take(&mut self.0));
    }
}

fn ask(path: &CString, name: &CString) -> io::Result<libc::pid_t> {
    // SAFETY: the child calls nothing but the kernel, and touches nothing that another thread may have
    // been changing. It closes what it has of the session, which would outlive this process there.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: as above; both names are C strings.
        0 => unsafe {
            libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
            libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0);
            libc::_exit(0)
        },
        child => Ok(child),
    }
}

/// Waits for processes that asked the mount, as soon as they have their answers.
pub(super) fn bury(asked: Vec<libc::pid_t>) {
    let wait = move || {
        for process in asked {
            // SAFETY: the call takes numbers, and writes nowhere.
            unsafe { libc::waitpid(process, std::ptr::null_mut(), 0) };
        }
    };
    if let Err(error) = std::thread::Builder::new().name("bury".to_owned()).spawn(wait) {
        tracing::warn!("processes that have ended stay in the table: {error}");
    }
}
