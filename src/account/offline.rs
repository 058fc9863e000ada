//! Offline logs: one packed log of direct links an hour, listed for thirty days by the service
//! (`001`) and, once downloaded, kept here for good.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Error;
use super::refusal::Refusal;
use crate::api::Client;
use crate::config;
use crate::state::{KnownLog, State};
use crate::types::OfflineLog;

/// How far back the service lists them ("仅限查询近30天的日志数据").
const REACH: SignedDuration = SignedDuration::from_hours(30 * 24 - 1);

/// How long a list serves, and how long an address of it.
const FRESH: Duration = Duration::from_secs(600);

/// How long one may take to come, and how large one may be of which no size is told, in bytes.
const PATIENCE: Duration = Duration::from_secs(600);
const LARGEST: u64 = 1 << 30;

/// The offline logs of an account.
pub struct OfflineLogs {
    client: Client,
    state: Arc<State>,
    /// Where downloaded ones are.
    dir: PathBuf,
    /// One lists, the others wait for the list; one downloads at a time.
    listing: Semaphore,
    fetching: Semaphore,
    listed: Mutex<Listed>,
    refusal: Refusal,
}

/// The last list.
#[derive(Default)]
struct Listed {
    at: Option<Instant>,
    /// Where each log of the list can be had, by ID; signed, so for some time only.
    urls: HashMap<String, String>,
}

impl OfflineLogs {
    /// The logs, with downloaded ones in the folder `dir`, which is made when there is one.
    pub fn new(client: Client, state: Arc<State>, dir: PathBuf) -> Self {
        let (listing, fetching) = (Semaphore::new(1), Semaphore::new(1));
        let (listed, refusal) = (Mutex::default(), Refusal::default());
        Self { client, state, dir, listing, fetching, listed, refusal }
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The earliest hour that the service may still list, in seconds since the epoch.
    pub fn first_listed(&self) -> i64 {
        (self.now() - REACH).as_second()
    }

    fn now(&self) -> Timestamp {
        let ahead = self.client.clock().unwrap_or_default();
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Lists those of the last thirty days, unless that was done a short time ago.
    pub async fn look(&self) -> Result<(), Error> {
        let is_fresh = || self.listed().at.is_some_and(|at| at.elapsed() < FRESH);
        if is_fresh() {
            return Ok(());
        }
        let _turn = self.listing.acquire().await.expect("the semaphore is never closed");
        if is_fresh() {
            return Ok(());
        }
        let now = self.now();
        self.list(now - REACH, now).await?;
        self.listed().at = Some(Instant::now());
        Ok(())
    }

    async fn list(&self, from: Timestamp, to: Timestamp) -> Result<(), Error> {
        self.refusal.check()?;
        let logs = self.client.offline_logs(from, to).await.map_err(|error| {
            match error.may_lack_a_right() {
                true => self.refusal.note(error),
                false => error.into(),
            }
        })?;
        self.state.keep_offline_logs(&logs)?;
        let mut listed = self.listed();
        for OfflineLog { id, url, .. } in logs {
            listed.urls.insert(id, url);
        }
        Ok(())
    }

    /// Where a log is, or will be, on this machine.
    pub fn path(&self, log: &KnownLog) -> PathBuf {
        self.dir.join(format!("{}.gz", log.word()))
    }

    /// Bytes of a log: of what is here, else as the service told.
    pub fn size(&self, log: &KnownLog) -> u64 {
        self.path(log).metadata().map_or(log.size, |found| found.len())
    }

    /// Brings a log here if it is not, and tells where it is.
    pub async fn fetch(&self, log: &KnownLog) -> Result<PathBuf, Error> {
        let path = self.path(log);
        if path.exists() {
            return Ok(path);
        }
        let _turn = self.fetching.acquire().await.expect("the semaphore is never closed");
        if path.exists() {
            return Ok(path);
        }
        config::make_private(&self.dir).map_err(|error| Error::Disk {
            what: "keeping offline logs".into(),
            cause: error.to_string(),
        })?;
        let url = self.listed().urls.get(&log.id).cloned();
        if let Some(url) = url {
            match self.download(log, &url, &path).await {
                // The address is old: the service gives another.
                Err(Error::Api(error)) if error.is_expired() || error.is_not_found() => {}
                done => return done.map(|()| path),
            }
        }
        let hour = Timestamp::from_second(log.hour).unwrap_or_default();
        self.list(hour, hour + SignedDuration::from_hours(1)).await?;
        let url = self.listed().urls.get(&log.id).cloned().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| not_the_log(log, "the service lists it no more"))?;
        self.download(log, &url, &path).await.map(|()| path)
    }

    /// Puts the whole log at `path`, or nothing.
    async fn download(&self, log: &KnownLog, url: &str, path: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Disk {
            what: format!("keeping the offline log {}", path.display()),
            cause: error.to_string(),
        };
        // A named temporary file has mode 0600.
        let mut file =
            tempfile::Builder::new().prefix(".log").tempfile_in(&self.dir).map_err(failed)?;
        let coming = self.client.download_packed(url);
        let whole = async {
            let mut download = coming.await?;
            let mut size = 0;
            while let Some(chunk) = download.chunk().await? {
                size += chunk.len() as u64;
                if size > if log.size > 0 { log.size } else { LARGEST } {
                    return Err(not_the_log(log, "more came than was listed"));
                }
                file.write_all(&chunk).map_err(failed)?;
            }
            Ok(size)
        };
        let whole = tokio::time::timeout(PATIENCE, whole).await;
        let size = whole.unwrap_or_else(|_| Err(not_the_log(log, "it comes too slowly")))?;
        if log.size > 0 && size != log.size {
            let why = format!("{size} bytes came, {} were listed", log.size);
            return Err(not_the_log(log, why));
        }
        file.as_file().sync_data().map_err(failed)?;
        let (file, unpacked) = tokio::task::spawn_blocking(move || {
            let unpacked = unpack(file.path());
            (file, unpacked)
        })
        .await
        .map_err(|error| failed(std::io::Error::other(error)))?;
        unpacked
            .map_err(|error| not_the_log(log, format!("what came is no gzip file: {error}")))?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// Unpacks a log for nobody: its checksums are at its end.
fn unpack(path: &Path) -> std::io::Result<u64> {
    let packed = std::io::BufReader::new(std::fs::File::open(path)?);
    std::io::copy(&mut flate2::bufread::MultiGzDecoder::new(packed), &mut std::io::sink())
}

/// The error of a log that is not what was listed.
fn not_the_log(log: &KnownLog, why: impl Into<String>) -> Error {
    Error::NotTheLog { name: log.name.clone(), why: why.into() }
}
