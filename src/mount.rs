//! The mount: all rooms wired together, one FUSE session, and its orderly end.

mod apart;
mod kernel;
mod root;
mod serve;
mod session;
mod signals;
mod supervisor;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::Session;
use tokio::runtime::Runtime;

use crate::account::{AccountCache, Ledger};
use crate::api::{self, Client};
use crate::bed::Bed;
use crate::cache::BlockCache;
use crate::config::{self, Wishes};
use crate::disk::Room;
use crate::fs::{Fs, Options};
use crate::fuse::Adapter;
use crate::mountpoint;
use crate::names::{self, LocalNames};
use crate::pending::{self, Pending, STAGING};
use crate::read::Reader;
use crate::state::{self, Lock, State};
use crate::tree::{self, Tree};
use crate::types::{Account, FileId};
use serve::Held;
use signals::Signals;
use watch::Broken;

/// How long the service may take to answer at the start.
const START: Duration = Duration::from_secs(10);

/// How long the end of a mount waits for the session.
const SESSION_END: Duration = Duration::from_secs(10);

/// How long a mount that is ending may take to give way.
const GIVES_WAY: Duration = Duration::from_secs(30);

/// How long, and how often, a lock is asked for that somebody has.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(50);

const DEFAULT_UMASK: u32 = 0o022;

/// The folder of downloaded offline logs in the account's folder.
pub const OFFLINE_LOGS: &str = "offline-logs";

/// Why a mount cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service cannot be reached, or refuses the account.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The bed cannot be listed.
    #[error("listing the bed: {0}")]
    Tree(#[from] tree::Error),
    /// `--root` names no folder of the bed.
    #[error("--root {path}: the bed has no folder {missing:?} there")]
    NoRoot {
        /// What was asked for.
        path: String,
        /// The first part of it that is not there.
        missing: String,
    },
    /// The mount point cannot be used.
    #[error(transparent)]
    MountPoint(#[from] mountpoint::Error),
    /// A folder for state cannot be made.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The state file cannot be used, or is in use.
    #[error(transparent)]
    State(#[from] state::Error),
    /// What is journaled cannot be taken over.
    #[error("taking over what is journaled: {0}")]
    Fs(#[from] crate::fs::Error),
    /// A change of the bed cannot be prepared.
    #[error(transparent)]
    Bed(#[from] crate::bed::Error),
    /// A pattern for local names cannot be understood.
    #[error("--local-names: {0}")]
    Pattern(#[from] names::NotAPattern),
    /// FUSE refused.
    #[error("mounting on {path}: {source}{}", hint(.source))]
    Fuse {
        /// The mount point.
        path: PathBuf,
        /// What FUSE said.
        source: io::Error,
    },
    /// A part of the mount ended that it cannot do without.
    #[error(
        "{why}. The mount has ended: mount again to go on. What was not uploaded is in the journal \
         ({left} files, listed by bedfs pending)"
    )]
    Broken {
        /// What ended, and why.
        why: Broken,
        /// Uploads and deletes that are left to the next mount.
        left: usize,
    },
    /// The machine refused something else.
    #[error("{what}: {source}")]
    Machine {
        /// What was being done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// What mends the usual reasons.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; is /dev/fuse there, and fusermount3 (of the package fuse3)?",
        io::ErrorKind::PermissionDenied => {
            "; may you use /dev/fuse and the mount point? (--allow-other wants user_allow_other \
             in /etc/fuse.conf); bedfs doctor tells how to mend it"
        }
        _ => "",
    }
}

/// Everything that is settled before anything runs.
#[derive(Debug)]
pub struct Plan {
    /// Where to mount, in full.
    pub mountpoint: PathBuf,
    /// The folder of the account's state.
    pub state: PathBuf,
    /// The folder of the account's block cache.
    pub cache: PathBuf,
    /// What the mount table shows as the source: with it two mounts are told apart.
    pub source: String,
    /// How to reach the service.
    pub api: api::Settings,
    /// How to mount.
    pub wishes: Wishes,
    /// Whether this is the process that a supervisor started, and wants to hear of.
    pub is_service: bool,
}

/// Mounts, calls `ready` once the mount answers, and returns when it has ended, with what could not
/// be uploaded.
pub fn run(plan: &Plan, ready: impl FnOnce()) -> Result<Vec<Pending>, Error> {
    let (held, session) = begin(plan)?;
    serve::serve(plan, held, session, ready)
}

/// Mounts.
fn begin(plan: &Plan) -> Result<(Held, Session<Adapter>), Error> {
    let runtime = Runtime::new().map_err(machine("starting threads"))?;
    let take = || Lock::take_for_mount(&plan.state, &plan.mountpoint);
    let lock = take_lock(&plan.state, LOCK_PATIENCE, take)?;
    let client = Client::new(plan.api.clone())?;
    let Parts { fs, state } = runtime.block_on(assemble(plan, &client))?;
    let signals = runtime.block_on(async { Signals::new() });
    let signals = signals.map_err(machine("waiting for signals"))?;
    let adapter = session::adapter(plan, fs.clone(), &client, &runtime);
    let session = session::start(plan, adapter)?;
    let loops = fs.loops();
    Ok((Held { runtime, lock, signals, fs, loops, state }, session))
}

/// Goes on with what is in the journal, without a mount, and gives what is left.
pub fn catch_up(plan: &Plan) -> Result<Vec<Pending>, Error> {
    let runtime = Runtime::new().map_err(machine("starting threads"))?;
    let take = || Lock::take(&plan.state, "bedfs pending retry");
    let _lock = take_lock(&plan.state, Duration::ZERO, take)?;
    let client = Client::new(plan.api.clone())?;
    let Parts { fs, state } = runtime.block_on(assemble(plan, &client))?;
    runtime.block_on(fs.catch_up())?;
    runtime.shutdown_timeout(SESSION_END);
    Ok(pending::list(&state, &plan.state.join(STAGING))?)
}

/// The names that stay on this machine.
fn local_names(wishes: &Wishes) -> Result<LocalNames, names::NotAPattern> {
    match wishes.local_names() {
        Some(patterns) => LocalNames::new(patterns),
        None => LocalNames::usual(),
    }
}

/// The lock on the account's journal. Whoever has it for a moment is waited for with `patience`; a mount
/// that is ending is asked to give way, and leaves the rest to the journal.
fn take_lock(
    dir: &Path, patience: Duration, take: impl Fn() -> Result<Lock, state::Error>,
) -> Result<Lock, state::Error> {
    let begin = Instant::now();
    let mut asks = None;
    loop {
        let holder = match take() {
            Err(state::Error::Held { holder }) => holder,
            taken => return taken,
        };
        let patience = if holder.is_ending { GIVES_WAY } else { patience };
        if begin.elapsed() >= patience {
            return Err(state::Error::Held { holder });
        }
        if holder.is_ending && asks.is_none() {
            tracing::info!("waiting for {holder} to give way");
            asks = Lock::queue(dir).ok();
        }
        std::thread::sleep(LOCK_POLL);
    }
}

/// Waits until a mount of the account that is ending is gone from the mount point.
pub fn make_way(plan: &Plan) {
    let is_ending = || {
        let holder = Lock::holder(&plan.state);
        holder.is_some_and(|holder| holder.is_ending && holder.is_mount_on(&plan.mountpoint))
    };
    let begin = Instant::now();
    let _asks = is_ending().then(|| Lock::queue(&plan.state));
    while is_ending() && mountpoint::is_ours(&plan.mountpoint) && begin.elapsed() < GIVES_WAY {
        std::thread::sleep(LOCK_POLL);
    }
}

/// What was being done when the machine refused.
fn machine(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Machine { what, source }
}

/// What a mount is made of, but for the kernel.
pub struct Parts {
    /// The file system. Its loops are to be run.
    pub fs: Arc<Fs>,
    /// The state file under it.
    pub state: Arc<State>,
}

/// Checks the account and the bed, and builds the file system over them.
pub async fn assemble(plan: &Plan, client: &Client) -> Result<Parts, Error> {
    let known = greet(plan).await?;
    config::make_private(&plan.state.join(STAGING))?;
    let (state, cache) = open_kept(plan)?;
    let tree = root::open_tree(&plan.wishes, client, &state).await?;
    let parts = build(plan, client, known, (state, cache), tree)?;
    parts.fs.begin_anew()?;
    Ok(parts)
}

/// Builds the file system over what is known.
fn build(
    plan: &Plan, client: &Client, known: Option<Account>, kept: (Arc<State>, BlockCache),
    tree: Arc<Tree>,
) -> Result<Parts, Error> {
    let (wishes, staging) = (&plan.wishes, plan.state.join(STAGING));
    let (state, cache) = kept;
    let reader = Arc::new(Reader::new(client.clone(), cache));
    let bed =
        Bed::new(client.clone(), state.clone(), tree.clone(), reader.clone(), staging.clone())?;
    let account = Arc::new(AccountCache::new(client.clone(), known));
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let options = Options {
        read_only: wishes.read_only.unwrap_or(false),
        owner: (wishes.uid.unwrap_or(uid), wishes.gid.unwrap_or(gid)),
        is_uid_fixed: wishes.uid.is_some(),
        is_gid_fixed: wishes.gid.is_some(),
        umask: wishes.umask.unwrap_or(DEFAULT_UMASK),
        upload: wishes.upload.unwrap_or_default(),
        local_names: local_names(wishes)?,
        root: wishes.root.clone().unwrap_or_default(),
        control: wishes.control.unwrap_or_default(),
        archive_traffic: wishes.archive_traffic.unwrap_or(true),
        timeout: wishes.timeout(),
        staging,
    };
    let ledger = Ledger::new(client, &state, plan.state.join(OFFLINE_LOGS));
    let fs = Fs::new(options, state.clone(), tree, Arc::new(bed), reader, account, ledger);
    Ok(Parts { fs: Arc::new(fs), state })
}

/// Opens the state file, and the cache, which makes room for it where the disk is full. A state file
/// that is damaged is set aside, which the user is told.
fn open_kept(plan: &Plan) -> Result<(Arc<State>, BlockCache), Error> {
    let cache = BlockCache::on_disk(&plan.cache, plan.wishes.cache_size());
    let room = Arc::new(Room::of(&plan.state));
    if let Some(spare) = cache.spare() {
        room.add_spare(spare);
    }
    let (state, damaged) = State::open(room)?;
    if let Some(aside) = damaged {
        let aside = aside.display();
        tracing::error!("the state file was damaged, and is kept as {aside}");
        eprintln!(
            "bedfs: warning: the state file was damaged, and is kept as {aside}. What was staged is \
             listed by bedfs pending"
        );
    }
    Ok((Arc::new(state), cache))
}

/// Checks that the service answers and takes the credentials, and asks for the account's figures.
/// Who waits for a mount should not have to wait as long as one who waits for a file.
async fn greet(plan: &Plan) -> Result<Option<Account>, Error> {
    let api = plan.api.clone().within(START.min(plan.api.deadline));
    let client = Client::new(api)?;
    client.check_credentials().await?;
    match client.account().await {
        Ok(account) => {
            if account.right.is_held(jiff::Timestamp::now().as_second()) == Some(false) {
                // Told so; a listing tells whether it is so.
                client.list_page(&FileId::root(), None).await?;
            }
            Ok(Some(account))
        }
        Err(error) if error.is_unauthorized() => Err(error.into()),
        Err(error) => {
            // The account may not be allowed to ask this, or the service be away: a listing tells.
            tracing::info!("the account's space is not known: {error}");
            client.list_page(&FileId::root(), None).await?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bedfs_emulator::{Emulator, Options, Qps};
    use tokio::sync::Notify;

    use super::*;
    use crate::api::{Credentials, QpsTable, Settings};
    use crate::config::Upload;
    use crate::fs::Loop;
    use crate::types::Secret;

    #[test]
    fn a_mount_whose_loop_goes_on_panicking_ends_with_an_error_and_keeps_what_it_acknowledged() {
        let options = Options { qps: Qps::Unlimited, ..Options::default() };
        let credentials = Credentials {
            client_id: options.client_id.clone(),
            client_secret: Secret::new(options.client_secret.clone()),
        };
        let emulator = Emulator::start(options).expect("the emulator starts");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let place = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("a folder");
            path
        };
        let (mountpoint, state, cache) = (place("mnt"), place("state"), place("cache"));
        let api = Settings::new(emulator.base_url(), credentials, &state);
        let qps: QpsTable = "unlimited".parse().expect("a table");
        let plan = Plan {
            mountpoint: mountpoint.clone(),
            source: "bedfs".to_owned(),
            state,
            cache,
            api: Settings { qps, ..api },
            wishes: Wishes { upload: Some(Upload::Background), ..Wishes::default() },
            is_service: false,
        };
        let (mut held, session) = begin(&plan).expect("mounted");
        let picture = mountpoint.join("a.png");
        let is_written = Arc::new(Notify::new());
        let to_break = is_written.clone();
        held.loops.push(Loop::new("the panicking one", move || {
            let to_break = to_break.clone();
            async move {
                to_break.notified().await;
                to_break.notify_one();
                panic!("a fault of the test")
            }
        }));
        let ended = serve::serve(&plan, held, session, || {
            fs::write(&picture, b"a picture").expect("acknowledged");
            is_written.notify_one();
        });
        let error = ended.expect_err("the mount is broken").to_string();
        assert!(error.contains("the panicking one") && error.contains("(0 files"), "{error}");
        assert!(!picture.exists() && !mountpoint::is_ours(&mountpoint), "it is still mounted");
        assert_eq!(emulator.read("a.png").as_deref(), Some(&b"a picture"[..]));
    }
}
