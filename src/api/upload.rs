//! A slice on its way to storage: streamed from a file, and given up when nothing moves.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, StatusCode, Url};
use tokio::time::{Instant, sleep_until, timeout};

use super::error::Error;
use super::line::Line;
use super::pulse::Pulse;
use super::scrub;
use crate::aside::aside;

/// Bytes read from the file at a time: all of a slice that is ever in memory.
const CHUNK: u64 = 256 << 10;

/// The bytes of one slice: a range of a file, which must not change while it is sent.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The file that holds the slice.
    pub file: Arc<File>,
    /// Where in the file the slice begins, in bytes.
    pub offset: u64,
    /// Bytes of the slice.
    pub len: u64,
}

impl Slice {
    /// PUTs the slice (`003`: 上传分片). `stall` is how long nothing may move; once all bytes are
    /// handed to the system, they and the answer have `last_wait` to get through.
    pub(super) async fn put(
        self, line: &Line, url: &str, stall: Duration, last_wait: Duration, pulse: Pulse,
    ) -> Result<(), Error> {
        let url = Url::parse(url).map_err(|_| Error::Garbled {
            what: "put a slice".into(),
            cause: "the address is no URL".into(),
        })?;
        let what = format!("put {} bytes to {}", self.len, scrub::place(&url));
        let progress = Arc::new(Progress::new(self.len, pulse.clone()));
        let request = line
            .client
            .put(url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, self.len)
            .body(self.body(Arc::clone(&progress)));
        let begin = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = line.send(request) => answer,
            sent = progress.stalls(stall, last_wait) => return Err(Error::TimedOut {
                what,
                waited: begin.elapsed(),
                may_be_done: true,
                cause: format!("nothing moves any more, {sent} bytes are sent"),
            }),
        };
        match answer {
            Ok(mut response) => {
                pulse.beat();
                judge(response.status(), what.clone(), &url)?;
                match timeout(stall, response.chunk()).await {
                    Ok(Ok(Some(chunk))) if !chunk.trim_ascii().is_empty() => {
                        let cause = "a page came where an empty answer is right".into();
                        Err(Error::Garbled { what, cause })
                    }
                    // The status is what counts.
                    _ => Ok(()),
                }
            }
            Err(error) => Err(progress.failure(error, what)),
        }
    }

    /// A body that reads the file as it is sent.
    fn body(self, progress: Arc<Progress>) -> Body {
        if self.len == 0 {
            return Body::default();
        }
        Body::wrap_stream(stream::try_unfold((self, progress), |(rest, progress)| async move {
            if rest.len == 0 {
                return Ok(None);
            }
            let (chunk, rest) =
                rest.take_chunk().await.inspect_err(|error| progress.read_failed(error))?;
            progress.moved(chunk.len() as u64);
            Ok::<_, io::Error>(Some((chunk, (rest, progress))))
        }))
    }

    /// The first bytes, and the slice without them.
    async fn take_chunk(self) -> io::Result<(Vec<u8>, Self)> {
        let Self { file, offset, len } = self;
        let size = len.min(CHUNK);
        let read = move || {
            let mut chunk = vec![0; size as usize];
            file.read_exact_at(&mut chunk, offset)?;
            let rest = Self { file, offset: offset + size, len: len - size };
            Ok((chunk, rest))
        };
        aside(read).await
    }
}

/// How far a slice has got.
struct Progress {
    moved: Mutex<Moved>,
    pulse: Pulse,
}

struct Moved {
    /// When bytes were last handed to the connection.
    last: Instant,
    sent: u64,
    len: u64,
    /// Why the file could not be read.
    read_error: Option<String>,
}

impl Progress {
    fn new(len: u64, pulse: Pulse) -> Self {
        let moved = Moved { last: Instant::now(), sent: 0, len, read_error: None };
        Self { moved: Mutex::new(moved), pulse }
    }

    fn moved(&self, bytes: u64) {
        self.pulse.sent(bytes);
        let mut moved = self.lock();
        moved.last = Instant::now();
        moved.sent += bytes;
    }

    fn read_failed(&self, error: &io::Error) {
        self.lock().read_error = Some(error.to_string());
    }

    /// Ends when nothing has moved for too long, with the bytes sent by then.
    async fn stalls(&self, stall: Duration, last_wait: Duration) -> u64 {
        loop {
            let (due, sent) = {
                let moved = self.lock();
                let patience = if moved.sent == moved.len { last_wait.max(stall) } else { stall };
                (moved.last + patience, moved.sent)
            };
            if due <= Instant::now() {
                return sent;
            }
            sleep_until(due).await;
        }
    }

    fn failure(&self, error: reqwest::Error, what: String) -> Error {
        if let Some(cause) = self.lock().read_error.take() {
            return Error::Local { what, cause };
        }
        let is_connect = error.is_connect();
        let cause = scrub::transport(error);
        if is_connect { Error::Unavailable { what, cause } } else { Error::Lost { what, cause } }
    }

    fn lock(&self) -> MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge(status: StatusCode, what: String, url: &Url) -> Result<(), Error> {
    match status.as_u16() {
        200..=299 => Ok(()),
        status @ (401 | 403 | 410) => Err(Error::Expired { what, status }),
        status => {
            Err(Error::Status { what, host: url.host_str().unwrap_or_default().to_owned(), status })
        }
    }
}
