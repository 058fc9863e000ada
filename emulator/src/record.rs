//! [`Record`]: what was asked of the emulator, and what the documents forbid of it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::time::Instant;

use crate::head::Head;
use crate::lock;

/// How many requests are remembered; the counts go on beyond that.
const REMEMBERED: usize = 100_000;

/// How many bytes of a JSON body are remembered.
const BODY: usize = 64 * 1024;

/// A request, and what became of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The endpoint's name, or the path of a request to none.
    pub endpoint: String,
    /// The HTTP method.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// The headers, as they came.
    pub headers: Vec<(String, String)>,
    /// The body, at most 64 KiB; empty unless it is JSON.
    pub body: Vec<u8>,
    /// The HTTP status that was answered; 0 before that.
    pub status: u16,
    /// The code of the envelope that was answered; 0 when there was none.
    pub code: i64,
    /// Bytes of body that were read.
    pub bytes_in: u64,
    /// Bytes of body that were handed to the socket.
    pub bytes_out: u64,
    /// When it came in.
    pub at: Instant,
}

/// A request while it is served.
#[derive(Debug)]
pub(crate) struct Entry {
    endpoint: String,
    head: Arc<Head>,
    at: Instant,
    body: OnceLock<Vec<u8>>,
    status: AtomicU16,
    code: AtomicI64,
    bytes_in: AtomicU64,
    /// Shared with the meter of the answer.
    pub(crate) bytes_out: Arc<AtomicU64>,
}

impl Entry {
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Remembers a body of JSON. A second call is ignored.
    pub(crate) fn keep_body(&self, body: &[u8]) {
        self.body.get_or_init(|| body[..body.len().min(BODY)].to_vec());
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: u16, code: i64) {
        self.status.store(status, Ordering::Relaxed);
        self.code.store(code, Ordering::Relaxed);
    }

    fn request(&self) -> Request {
        Request {
            endpoint: self.endpoint.clone(),
            method: self.head.method.clone(),
            target: self.head.target.clone(),
            headers: self.head.headers.clone(),
            body: self.body.get().cloned().unwrap_or_default(),
            status: self.status.load(Ordering::Relaxed),
            code: self.code.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            at: self.at,
        }
    }
}

/// The requests, in the order they came, and the breaches of the documents.
#[derive(Debug, Default)]
pub(crate) struct Record {
    asked: Mutex<Asked>,
    violations: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Asked {
    entries: VecDeque<Arc<Entry>>,
    counts: HashMap<String, usize>,
}

impl Record {
    /// Takes down a request whose head has been read.
    pub(crate) fn open(&self, endpoint: &str, head: &Arc<Head>) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            endpoint: endpoint.to_owned(),
            head: Arc::clone(head),
            at: Instant::now(),
            body: OnceLock::new(),
            status: AtomicU16::new(0),
            code: AtomicI64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: Arc::default(),
        });
        let mut asked = lock(&self.asked);
        if asked.entries.len() == REMEMBERED {
            asked.entries.pop_front();
        }
        asked.entries.push_back(Arc::clone(&entry));
        *asked.counts.entry(endpoint.to_owned()).or_default() += 1;
        entry
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.asked).entries.iter().map(|entry| entry.request()).collect()
    }

    pub(crate) fn count(&self, endpoint: &str) -> usize {
        lock(&self.asked).counts.get(endpoint).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        lock(&self.asked).counts.clone()
    }

    pub(crate) fn forget(&self) {
        *lock(&self.asked) = Asked::default();
    }

    /// Takes down a breach of the documents.
    pub(crate) fn breach(&self, endpoint: &str, what: &str) {
        tracing::warn!("{endpoint}: {what}");
        lock(&self.violations).push(format!("{endpoint}: {what}"));
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    pub(crate) fn forget_violations(&self) {
        lock(&self.violations).clear();
    }
}
