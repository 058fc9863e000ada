//! [`Server`]: all that the connections of one emulator share.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::bed::Bed;
use crate::digest;
use crate::fault::Faults;
use crate::ledger::Ledger;
use crate::limiter::Limiter;
use crate::link::Links;
use crate::lock;
use crate::options::Options;
use crate::record::Record;
use crate::token::Tokens;
use crate::upload::Uploads;

/// All that the connections of one emulator share. Lock order: `uploads` before `bed`; no other
/// lock is taken while one of the rest is held.
#[derive(Debug)]
pub(crate) struct Server {
    options: RwLock<Arc<Options>>,
    pub(crate) uploads: Mutex<Uploads>,
    pub(crate) bed: Mutex<Bed>,
    pub(crate) tokens: Mutex<Tokens>,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) record: Record,
    pub(crate) ledger: Mutex<Ledger>,
    /// Bytes served by direct links.
    pub(crate) traffic: Arc<AtomicU64>,
    /// Requests that a fault keeps without an answer now.
    pub(crate) hanging: AtomicUsize,
    /// Scheme, host and port of the API, of storage and of direct links, for clients.
    pub(crate) base: String,
    /// Where they lead to.
    pub(crate) listen: SocketAddr,
    /// The same of the host that direct links may be redirected to.
    pub(crate) other: String,
    /// What presigned URLs and links are signed with.
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn new(
        options: Options, listen: SocketAddr, other: SocketAddr,
    ) -> io::Result<Server> {
        let mut bed = Bed::open(options.data.as_deref())?;
        bed.lag = options.answers.list_lag;
        let base = options.public.clone().unwrap_or_else(|| url(listen));
        let traffic: u64 = bed.tree().nodes().map(|node| node.traffic()).sum();
        Ok(Server {
            options: RwLock::new(Arc::new(options)),
            uploads: Mutex::default(),
            bed: Mutex::new(bed),
            tokens: Mutex::default(),
            limiter: Mutex::default(),
            faults: Mutex::default(),
            record: Record::default(),
            ledger: Mutex::default(),
            traffic: Arc::new(AtomicU64::new(traffic)),
            hanging: AtomicUsize::new(0),
            base,
            listen,
            other: url(other),
            key: digest::key(),
        })
    }

    /// The options as they are now; a request keeps them for as long as it is served.
    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Options)) {
        let mut options = self.options.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        change(Arc::make_mut(&mut options));
        let lag = options.answers.list_lag;
        drop(options);
        lock(&self.bed).lag = lag;
    }

    pub(crate) fn links<'a>(&'a self, options: &'a Options) -> Links<'a> {
        Links { base: &self.base, key: &self.key, answers: &options.answers }
    }

    pub(crate) fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }
}

/// How a client reaches an address that is listened to.
fn url(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}
