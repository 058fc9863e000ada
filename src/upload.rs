//! An upload: staged bytes become an object of the bed, `create` → slices → `complete` → poll.
//!
//! `create` and `upload_complete` are not idempotent. When the answer to one is lost, the upload
//! looks for what it did before it asks again (`003`: 上传流程说明).

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::api::{self, Client, Completed, Created, Slice};
use crate::staging::Sum;
use crate::types::{Entry, FileId};

/// Slices of one file on their way at once.
const SLICES_AT_ONCE: usize = 4;

/// Tries for one slice without success before the upload fails.
const SLICE_TRIES: usize = 5;

/// How often a lost `create` or `complete` is asked for again, after looking.
const REPEATS: usize = 3;

/// How often it is looked whether what is being sent is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// "若返回的completed为false，请1秒后再次调用" (`003`): never sooner.
const POLL: Duration = Duration::from_millis(1050);

/// The service checks the md5 of what it got; it is given a minute, and a second for every so many
/// bytes.
const CHECK_BASE: Duration = Duration::from_secs(60);
const CHECK_BYTES_A_SECOND: u64 = 4 << 20;

/// Why an upload did not come to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service failed or refused.
    #[error(transparent)]
    Api(#[from] Arc<api::Error>),
    /// The staged bytes cannot be read.
    #[error("reading the staged bytes: {0}")]
    Staging(Arc<std::io::Error>),
    /// The bytes changed while they were sent; nothing was made of them.
    #[error("the file was written to while it was uploaded")]
    Changed,
    /// The service never said that it was done with checking.
    #[error("the service was still checking the upload after {} s (preupload {preupload})", .waited.as_secs())]
    Unfinished {
        /// The beginning of the upload's ID, for the service's support.
        preupload: String,
        /// How long it was asked.
        waited: Duration,
    },
    /// The service said that it has the file, but does not list it.
    #[error("the service says it has {name:?}, but does not list it")]
    Unlisted {
        /// The name it was created under.
        name: String,
    },
    /// The service asks for slices of no bytes.
    #[error("the service asks for slices of {0} bytes")]
    SliceSize(u64),
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}

impl Error {
    /// What the client told, where the service was the reason.
    pub fn api(&self) -> Option<&api::Error> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}

/// What is uploaded, and to where.
pub struct Job<'a> {
    /// The folder.
    pub folder: &'a FileId,
    /// The name in it, which must be free.
    pub name: &'a str,
    /// Of the bytes.
    pub sum: Sum,
    /// The bytes.
    pub bytes: &'a (dyn Fn() -> std::io::Result<Arc<File>> + Send + Sync),
    /// Whether the bytes are still those that were summed, and wanted.
    pub unchanged: &'a (dyn Fn() -> bool + Send + Sync),
    /// Told the upload's ID when all bytes are sent, before the service is to complete it.
    pub sent: &'a (dyn Fn(&str) + Send + Sync),
}

/// Uploads, and gives the ID of the new object.
pub async fn upload(client: &Client, job: &Job<'_>) -> Result<FileId, Error> {
    match create(client, job).await? {
        Begun::Done(id) => Ok(id),
        Begun::Send { preupload, slice_size } => {
            tokio::select! {
                sent = send(client, job, &preupload, slice_size) => sent?,
                // Never completed, so never an object.
                () = changes(job) => return Err(Error::Changed),
            }
            if !(job.unchanged)() {
                return Err(Error::Changed);
            }
            (job.sent)(&preupload);
            complete(client, job, &preupload).await
        }
    }
}

/// Makes an object of bytes that the service knows, and gives its ID; `None` if it does not know
/// them.
pub async fn instant(
    client: &Client, folder: &FileId, name: &str, sum: Sum,
) -> Result<Option<FileId>, Error> {
    let bytes = || Err(std::io::ErrorKind::Unsupported.into());
    let job = Job { folder, name, sum, bytes: &bytes, unchanged: &|| true, sent: &|_| () };
    match create(client, &job).await? {
        Begun::Done(id) => Ok(Some(id)),
        // Never completed, so never an object.
        Begun::Send { .. } => Ok(None),
    }
}

/// What `create` came to.
enum Begun {
    /// Instant upload: the object is there.
    Done(FileId),
    /// The bytes are wanted.
    Send { preupload: String, slice_size: u64 },
}

async fn create(client: &Client, job: &Job<'_>) -> Result<Begun, Error> {
    let mut repeats = REPEATS;
    loop {
        let created = client.create(job.folder, job.name, job.sum.md5, job.sum.size).await;
        match created {
            Ok(Created::Reused(Some(id))) => return Ok(Begun::Done(id)),
            // "it may come with an empty fileID, then find it by list".
            Ok(Created::Reused(None)) => {
                return find_soon(client, job).await.map(|entry| Begun::Done(entry.id));
            }
            Ok(Created::Upload { slice_size: 0, .. }) => return Err(Error::SliceSize(0)),
            Ok(Created::Upload { preupload, slice_size }) => {
                return Ok(Begun::Send { preupload, slice_size });
            }
            Err(error) if error.may_be_done() && repeats > 0 => {
                repeats -= 1;
                if let Some(entry) = find(client, job).await? {
                    return Ok(Begun::Done(entry.id));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The object in the folder that has the job's name and content.
async fn find(client: &Client, job: &Job<'_>) -> Result<Option<Entry>, api::Error> {
    let rows = match client.list_all(job.folder).await {
        // A folder made a moment ago may not be known to listings yet.
        Err(error) if error.is_not_found() => return Ok(None),
        rows => rows?,
    };
    Ok(rows.into_iter().find(|row| {
        &*row.name == job.name
            && row.picture().is_some_and(|picture| {
                picture.size == job.sum.size && picture.md5.is_none_or(|md5| md5 == job.sum.md5)
            })
    }))
}

/// Looks a few times for the job's object, since a listing may lag behind.
async fn find_soon(client: &Client, job: &Job<'_>) -> Result<Entry, Error> {
    for pause in pauses(8) {
        if let Some(entry) = find(client, job).await? {
            return Ok(entry);
        }
        tokio::time::sleep(pause).await;
    }
    Err(Error::Unlisted { name: job.name.to_owned() })
}

/// Sends all slices, some at once.
async fn send(
    client: &Client, job: &Job<'_>, preupload: &str, slice_size: u64,
) -> Result<(), Error> {
    let slices = job.sum.size.div_ceil(slice_size);
    stream::iter(0..slices)
        .map(|index| send_slice(client, job, preupload, index, slice_size))
        .buffer_unordered(SLICES_AT_ONCE)
        .try_collect::<()>()
        .await
}

/// Ends when nobody wants the bytes any more: sending them on would hold their room, and the place of
/// others.
async fn changes(job: &Job<'_>) {
    while (job.unchanged)() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Sends the slice that begins at `index * slice_size`, with a new address for each try: an
/// address expires, and one that was used in vain may be spent.
async fn send_slice(
    client: &Client, job: &Job<'_>, preupload: &str, index: u64, slice_size: u64,
) -> Result<(), Error> {
    let offset = index * slice_size;
    let len = slice_size.min(job.sum.size - offset);
    // Slices count from 1 (`003`).
    let number = u32::try_from(index + 1).map_err(|_| Error::SliceSize(slice_size))?;
    let mut pauses = pauses(SLICE_TRIES);
    loop {
        // The bytes are open, and a connection is, for as long as this is held.
        let turn = client.slice_turn().await;
        let url = client.get_upload_url(preupload, number).await?;
        let file = (job.bytes)().map_err(|error| Error::Staging(Arc::new(error)))?;
        let put = client.put_slice(&url, Slice { file, offset, len }).await;
        drop(turn);
        match put {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() || error.is_expired() => match pauses.next() {
                Some(pause) => {
                    tracing::debug!("slice {number} of {:?} goes again: {error}", job.name);
                    tokio::time::sleep(pause).await;
                }
                None => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

async fn complete(client: &Client, job: &Job<'_>, preupload: &str) -> Result<FileId, Error> {
    let mut repeats = REPEATS;
    loop {
        match client.upload_complete(preupload).await {
            Ok(Completed::Done(id)) => return Ok(id),
            Ok(Completed::Pending) => return poll(client, job.sum.size, preupload).await,
            Err(error) if error.may_be_done() && repeats > 0 => {
                repeats -= 1;
                // Never sooner than a second after the question before.
                tokio::time::sleep(POLL).await;
                match client.upload_async_result(preupload).await {
                    Ok(Completed::Done(id)) => return Ok(id),
                    // Not done: it is being checked, or was never asked for. Looking tells.
                    Ok(Completed::Pending) | Err(_) => {
                        if let Some(entry) = find(client, job).await? {
                            return Ok(entry.id);
                        }
                    }
                }
            }
            // A repeated `complete` may be refused because the lost one was done after all.
            Err(error) if error.is_refused() && repeats < REPEATS => {
                return match find(client, job).await? {
                    Some(entry) => Ok(entry.id),
                    None => poll(client, job.sum.size, preupload).await.map_err(|_| error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What became of an upload that the service was told to complete, perhaps before this process
/// began: the object's ID; `None` if the service does not say that it made one.
pub async fn outcome(client: &Client, preupload: &str, size: u64) -> Result<Option<FileId>, Error> {
    match poll(client, size, preupload).await {
        Ok(id) => Ok(Some(id)),
        Err(error)
            if error.api().is_some_and(|error| error.is_transient() || error.is_unauthorized()) =>
        {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

/// Asks every second until the service has checked the bytes.
async fn poll(client: &Client, size: u64, preupload: &str) -> Result<FileId, Error> {
    let began = Instant::now();
    let patience = CHECK_BASE + Duration::from_secs(size / CHECK_BYTES_A_SECOND);
    loop {
        tokio::time::sleep(POLL).await;
        if let Completed::Done(id) = client.upload_async_result(preupload).await? {
            return Ok(id);
        }
        if began.elapsed() > patience {
            let preupload = preupload.chars().take(24).collect();
            return Err(Error::Unfinished { preupload, waited: began.elapsed() });
        }
    }
}

fn pauses(times: usize) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(times)
        .with_jitter()
        .build()
}
