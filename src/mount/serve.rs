//! The life of a mount: its session runs, signals are heeded, and it comes to an orderly end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fuser::Session;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::sleep;

use super::signals::Signals;
use super::supervisor::Supervisor;
use super::watch::{Broken, watch};
use super::{Error, Plan, SESSION_END, apart, kernel, machine};
use crate::fs::{Fs, Loop};
use crate::fuse::Adapter;
use crate::mountpoint;
use crate::pending::{self, Pending, STAGING, Stage};
use crate::state::{self, State};
use crate::tree::CONTROL_NAME;

/// How long the end of a mount waits for uploads.
const DRAIN: Duration = Duration::from_secs(60);

/// How the session ended.
type SessionEnd = oneshot::Receiver<io::Result<()>>;

/// How often it is looked whether somebody waits for a mount that is ending.
const LOOK: Duration = Duration::from_millis(100);

/// What a mount has in hand while it lives.
pub(super) struct Held {
    pub(super) runtime: Runtime,
    pub(super) lock: state::Lock,
    pub(super) signals: Signals,
    pub(super) fs: Arc<Fs>,
    pub(super) loops: Vec<Loop>,
    pub(super) state: Arc<State>,
}

/// Runs the session to its end, and gives what could not be uploaded. `ready` is called once the mount
/// answers.
pub(super) fn serve(
    plan: &Plan, held: Held, session: Session<Adapter>, ready: impl FnOnce(),
) -> Result<Vec<Pending>, Error> {
    let Held { runtime, mut lock, mut signals, fs, loops, state } = held;
    let supervisor = Supervisor::new(plan.is_service);
    let news_panic =
        kernel::tell_news(&session, fs.news()).map_err(machine("telling the kernel of changes"))?;
    let mut session_end = start(session)?;
    tracing::info!("mounted on {}", plan.mountpoint.display());
    answer_once(&plan.mountpoint)
        .map_err(|source| Error::Fuse { path: plan.mountpoint.clone(), source })?;
    ready();
    supervisor.hear_ready(&plan.mountpoint);
    supervisor
        .hear_life(plan.mountpoint.clone())
        .map_err(machine("telling systemd that the mount answers"))?;
    let mut behind = runtime.spawn(watch(loops));
    clear_probes(plan, &fs, &runtime);
    let broken = runtime.block_on(async {
        let news_broken = async {
            match news_panic.await {
                Ok(why) => Broken::new("what tells the kernel of changes", why),
                Err(_) => std::future::pending().await,
            }
        };
        let broken = tokio::select! {
            ended = &mut session_end => session_broken(ended),
            broken = &mut behind => {
                Some(broken.unwrap_or_else(|error| Broken::new("the watch of its loops", error)))
            }
            broken = news_broken => Some(broken),
            name = signals.next() => {
                tracing::info!("{name}: unmounting");
                None
            }
        };
        if let Some(broken) = &broken {
            tracing::error!("{broken}: the mount ends");
        }
        supervisor.hear_end();
        lock.tell_ending();
        if !session_end.is_terminated() {
            unmount_when_drained(&fs, plan, session_end).await;
        }
        drain(&fs, &plan.state).await;
        broken
    });
    behind.abort();
    fs.finish();
    fs.keep_listings();
    runtime.shutdown_timeout(SESSION_END);
    let mut left = pending::list(&state, &plan.state.join(STAGING))?;
    // What was interrupted before this mount is not its to tell.
    left.retain(|pending| pending.stage != Stage::Interrupted);
    match broken {
        Some(why) => Err(Error::Broken { why, left: left.len() }),
        None => Ok(left),
    }
}

/// Runs the session in a thread, whose end is told.
fn start(session: Session<Adapter>) -> Result<SessionEnd, Error> {
    let (finished, session_end) = oneshot::channel();
    let thread = std::thread::Builder::new().name("session".to_owned()).spawn(move || {
        // The receiver is gone only when the end was awaited long enough.
        let _unheard = finished.send(session.run());
    });
    thread.map_err(machine("starting the session"))?;
    Ok(session_end)
}

/// Why the session ended, if not by an unmount.
fn session_broken(ended: Result<io::Result<()>, RecvError>) -> Option<Broken> {
    let ended = ended.unwrap_or_else(|gone| Err(io::Error::other(gone)));
    ended.err().map(|error| Broken::new("the session with the kernel", error))
}

/// Clears away what probes left, unless one is at work.
fn clear_probes(plan: &Plan, fs: &Arc<Fs>, runtime: &Runtime) {
    if let Ok(lock) = state::Lock::take_for_probe(&plan.state) {
        let fs = fs.clone();
        runtime.spawn(async move {
            fs.clear_probes().await;
            drop(lock);
        });
    }
}

/// Asks the mount itself, so that whoever waits for it finds it answering. The kernel knows the way to
/// the control files from then on: who asks how the mount is waits for no change in the root.
fn answer_once(mountpoint: &Path) -> io::Result<()> {
    let path = mountpoint.to_owned();
    let asked = apart::spawn("answer", move || {
        std::fs::metadata(&path)?;
        for name in ["status.json", "pending.json"] {
            // There may be no control folder.
            let _known = std::fs::metadata(path.join(CONTROL_NAME).join(name));
        }
        Ok(())
    })?;
    asked.join().unwrap_or_else(|_| Err(io::Error::other("the question was cut off")))
}

/// Waits for uploads in flight, whose callers then get their answer, and unmounts: lazily, if the
/// mount is still in use then.
async fn unmount_when_drained(fs: &Fs, plan: &Plan, session_end: SessionEnd) {
    let (mountpoint, dir) = (&*plan.mountpoint, &*plan.state);
    if let Some(why) = until(dir, DRAIN, fs.uploads_done()).await {
        tracing::warn!("uploads are still under way: {why}");
    }
    let result = mountpoint::unmount(mountpoint, false).or_else(|error| {
        if !matches!(error, mountpoint::Error::Busy(_)) {
            tracing::warn!("{error}");
        }
        tracing::warn!("some files are open: the mount is taken out of sight, and ends with them");
        mountpoint::unmount(mountpoint, true)
    });
    if let Err(error) = result {
        tracing::error!("{error}");
    }
    if until(dir, SESSION_END, session_end).await.is_some() {
        tracing::warn!("open files end with this process");
    }
}

async fn drain(fs: &Fs, dir: &Path) {
    if let Some(why) = until(dir, DRAIN, fs.drain()).await {
        tracing::warn!("not everything was uploaded: {why}");
    }
}

/// Waits for the end of something, for so long at most, and only while nobody else waits for the account
/// in this folder: who does goes on with the journal. Why it was given up, if it was.
async fn until<T>(dir: &Path, limit: Duration, work: impl Future<Output = T>) -> Option<String> {
    let awaited = async {
        while !state::Lock::is_awaited(dir) {
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        biased;
        _ = work => None,
        () = awaited => Some("another bedfs goes on with the journal".to_owned()),
        () = sleep(limit) => Some(format!("{} s are over", limit.as_secs())),
    }
}
