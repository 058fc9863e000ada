//! An upload: staged bytes become an object of the bed, `create` → `slices` → `complete` → poll.
//!
//! `create` and `upload_complete` are not idempotent. When the answer to one is lost, the upload
//! looks for what it did before it asks again (`003`: 上传流程说明).

mod complete;
mod slices;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use crate::api::{self, Client, Created};
use crate::staging::Sum;
use crate::types::{Entry, FileId};
use complete::Completion;
pub use complete::outcome;
use slices::Slices;

/// How often a lost `create` or `complete` is asked for again, after looking.
const REPEATS: usize = 3;

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
    #[error(
        "the service was still checking the upload after {} s (preupload {}…)", .waited.as_secs(),
        .preupload.chars().take(24).collect::<String>()
    )]
    Unfinished {
        /// The upload's ID: it can be asked for later.
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
///
/// Where the service has other bytes than were sent, and takes no more of them, it is begun anew once.
pub async fn upload(client: &Client, job: &Job<'_>) -> Result<FileId, Error> {
    let mut is_anew = false;
    loop {
        let slices = match create(client, job).await? {
            Begun::Done(id) => return Ok(id),
            Begun::Send { preupload, slice_size } => Slices { client, job, preupload, slice_size },
        };
        slices.send_all().await?;
        if !(job.unchanged)() {
            // Never completed, so never an object.
            return Err(Error::Changed);
        }
        (job.sent)(&slices.preupload);
        match complete::complete(&slices).await? {
            Completion::Done(id) => return Ok(id),
            Completion::Spoilt(error) if is_anew => return Err(error.into()),
            Completion::Spoilt(error) => {
                tracing::warn!("{:?} is uploaded anew: {error}", job.name);
                is_anew = true;
            }
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
    let (mut repeats, mut is_lost) = (REPEATS, false);
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
                (repeats, is_lost) = (repeats - 1, true);
                if let Some(entry) = find(client, job).await? {
                    return Ok(Begun::Done(entry.id));
                }
            }
            // The name may be taken by what the lost one made. Without an md5 it may be anybody's.
            Err(error) if is_lost && error.is_refused() => {
                return match find_soon(client, job).await {
                    Ok(entry) if entry.picture().is_some_and(|it| it.md5.is_some()) => {
                        Ok(Begun::Done(entry.id))
                    }
                    Ok(_) | Err(Error::Unlisted { .. }) => Err(error.into()),
                    Err(unknown) => Err(unknown),
                };
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

/// Looks for the job's object for as long as a listing may lag behind.
async fn find_soon(client: &Client, job: &Job<'_>) -> Result<Entry, Error> {
    let (begin, lag) = (Instant::now(), client.staleness().listing());
    let mut pauses = client.staleness().listing_looks();
    loop {
        // Of a large folder a listing takes so long that one or two are enough.
        let is_late = begin.elapsed() >= lag;
        if let Some(entry) = find(client, job).await? {
            return Ok(entry);
        }
        match pauses.next() {
            Some(pause) if !is_late => tokio::time::sleep(pause).await,
            _ => return Err(Error::Unlisted { name: job.name.to_owned() }),
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
