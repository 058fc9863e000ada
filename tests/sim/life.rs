//! One life of the program: from its start over what a disk has, to its end or its crash.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bedfs::api::{Client, Credentials, Settings};
use bedfs::config::{Size, Upload, Wishes};
use bedfs::fs::Fs;
use bedfs::mount::{self, Plan};
use bedfs::pending::{self, Pending, STAGING, Stage};
use bedfs::state::State;
use bedfs::types::Secret;
use bedfs_emulator::{Emulator, Options};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::caller::Caller;
use crate::crash::Crash;
use crate::net::Net;
use crate::program::Op;

/// How often a user tries again by hand what the service refused.
const RETRY: Duration = Duration::from_secs(60);

/// How long nothing may be left under way, when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// What is said of the same bytes in one folder, where the service keeps one of them.
pub(crate) const TWIN: &str = "same bytes";

/// How long the orderly end of a mount may take.
const DRAIN: Duration = Duration::from_secs(60);

/// A mount without a kernel.
pub(crate) struct Life {
    pub(crate) fs: Arc<Fs>,
    pub(crate) state: Arc<State>,
    dir: std::path::PathBuf,
    loops: Vec<JoinHandle<()>>,
}

impl Life {
    /// Mounts, as `bedfs mount` does, what is in a folder.
    pub(crate) async fn begin(
        dir: &Path, emulator: &Arc<Emulator>, crash: &Arc<Crash>, is_background: bool,
    ) -> Result<Self, mount::Error> {
        let options = Options::default();
        let credentials = Credentials {
            client_id: options.client_id,
            client_secret: Secret::new(options.client_secret),
        };
        let net = Net { emulator: emulator.clone(), crash: crash.clone() };
        let settings = Settings::new(emulator.base_url(), credentials, dir);
        let api = Settings { carrier: Some(Arc::new(net)), ..settings };
        let upload = if is_background { Upload::Background } else { Upload::Close };
        let plan = Plan {
            mountpoint: dir.join("mnt"),
            source: "bedfs".to_owned(),
            state: dir.to_owned(),
            cache: dir.join("cache"),
            api: api.clone(),
            wishes: Wishes {
                upload: Some(upload),
                cache_size: Some(Size(0)),
                archive_traffic: Some(false),
                ..Wishes::default()
            },
            is_service: false,
        };
        let client = Client::new(api)?;
        let mount::Parts { fs, state } = mount::assemble(&plan, &client).await?;
        let run = |each: bedfs::fs::Loop| tokio::spawn(async move { match each.begin().await {} });
        let loops = fs.loops().into_iter().map(run).collect();
        Ok(Self { fs, state, dir: dir.to_owned(), loops })
    }

    /// What is pending, but for what waits for nobody.
    fn pending(&self) -> Vec<Pending> {
        let mut all = pending::list(&self.state, &self.dir.join(STAGING)).expect("the state file");
        all.retain(|one| !matches!(one.stage, Stage::Interrupted | Stage::Left));
        all
    }

    /// Waits until nothing is under way. What was left there for ever, if anything was. `removed` is told
    /// what the user removes for it: one of two files with the same bytes, where the service keeps one.
    pub(crate) async fn settle(&self, removed: impl Fn(&str)) -> Result<(), String> {
        let mut waited = Duration::ZERO;
        let (look, mut next_retry) = (Duration::from_millis(500), RETRY);
        loop {
            let pending = self.pending();
            if pending.is_empty() {
                return Ok(());
            }
            let is_twin = |one: &&Pending| one.error.as_ref().is_some_and(|why| why.contains(TWIN));
            for Pending { path, .. } in pending.iter().filter(is_twin) {
                let remove = Op::Remove { path: path.clone() };
                let caller = Caller { fs: self.fs.clone() };
                if caller.take(0, &remove, &mut || ()).await.is_ok() {
                    removed(path);
                }
            }
            if waited > PATIENCE {
                let left = pending.iter().map(|one| {
                    let why = one.error.as_deref().unwrap_or("no reason is told");
                    format!("{} is {} ({why})", one.path, one.stage.name())
                });
                return Err(format!("left for ever: {}", left.collect::<Vec<_>>().join("; ")));
            }
            if waited >= next_retry {
                next_retry += RETRY;
                let failed = pending.iter().filter(|one| one.stage == Stage::Failed);
                let rows: Vec<_> = failed.filter_map(|one| one.row).collect();
                // By another process, as `bedfs pending retry` is.
                let other = State::open_sound(&self.dir).expect("the state file");
                other.retry(&rows).expect("the state file");
            }
            sleep(look).await;
            waited += look;
        }
    }

    /// The orderly end.
    pub(crate) async fn end(self) {
        let _gives_up = timeout(DRAIN, self.fs.uploads_done()).await;
        let _gives_up = timeout(DRAIN, self.fs.drain()).await;
        self.loops.iter().for_each(JoinHandle::abort);
        self.fs.finish();
        self.fs.keep_listings();
    }

    /// Whether a loop has ended, as by a panic.
    pub(crate) fn is_broken(&self) -> bool {
        self.loops.iter().any(JoinHandle::is_finished)
    }
}
