//! A server that takes pictures as PicGo's does, over HTTP on this machine alone.
//!
//! It reads files by the paths that it is told, so whoever may talk to it may publish what its user
//! can read. `guard` keeps away all but programs of this machine, and takes only requests that a
//! browser would not send for a foreign page, unless its user said that it may; what is not a picture by its content is not taken.
//! `picgo` has the routes of programs, `page` those of the page.

mod answer;
mod delete;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guard;
mod page;
mod picgo;
mod spool;
mod turn;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::{Router, middleware};
use lru::LruCache;
use tokio::net::TcpListener;

use crate::api::Client;
use crate::config::Origin;
use crate::post::{Order, Post};
use crate::state::State;
use crate::types::{FileId, Secret};
use answer::Full;
use guard::Door;
use page::Page;
use turn::Turns;

/// Where PicGo's server listens, and its clients look for it.
pub const LISTEN: &str = "127.0.0.1:36677";

/// Bytes of one picture: what the documents state for the siblings of `create` (`003`).
pub const MOST_BYTES: u64 = 100 << 20;

/// Uploads of this server that are remembered, so that they can be deleted by their IDs alone.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not 0");

/// How long answers may take to get to their clients when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not of this machine alone.
    #[error(
        "{0} can be reached from outside: only addresses such as {LISTEN} or [::1]:36677 are served"
    )]
    NotLoopback(SocketAddr),
    /// Any page of these origins could upload what it likes.
    #[error(
        "--allow-origin lets pages upload, so a secret is wanted that they have to know: set \
         BEDFS_SERVE_SECRET, or serve-secret in the configuration file"
    )]
    NoSecret,
    /// Another program listens there.
    #[error(
        "{0} is in use, perhaps by PicGo or by another bedfs serve: end that, or give another \
         address with --listen"
    )]
    Busy(SocketAddr),
    /// It cannot be listened there.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// Connections can no longer be taken.
    #[error("serving: {0}")]
    Serve(io::Error),
}

/// What the server is told before it starts.
pub struct Setup {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What clients have to know; `None`: any program of this machine is served.
    pub secret: Option<Secret>,
    /// Pages that may upload too; only with a secret.
    pub origins: Vec<Origin>,
    /// Where pictures go to.
    pub order: Order,
    /// By whom.
    pub client: Client,
    /// The account's state file.
    pub state: Arc<State>,
    /// The folder of the account's state, in which bytes wait that came by the request.
    pub dir: PathBuf,
    /// The folder of the account's cache, in which thumbnails are kept.
    pub cache: PathBuf,
    /// How long a listing is taken for true.
    pub fresh: Duration,
}

/// What all routes share.
pub struct App {
    /// The client of the account.
    pub client: Client,
    /// The account's state file.
    pub state: Arc<State>,
    /// What puts pictures into the bed.
    pub post: Post,
    /// Where they go to.
    pub order: Order,
    door: Door,
    page: Page,
    dir: PathBuf,
    turns: Turns,
    uploaded: Mutex<LruCache<FileId, Full>>,
}

impl App {
    fn new(setup: Setup, port: u16) -> io::Result<Self> {
        let Setup { secret, origins, order, client, state, dir, cache, fresh, .. } = setup;
        let order = Order { only_pictures_up_to: Some(MOST_BYTES), ..order };
        Ok(Self {
            page: Page::new(&client, state.clone(), &cache, fresh)?,
            post: Post::new(client.clone(), state.clone(), dir.clone(), fresh),
            client,
            state,
            order,
            door: Door::new(port, secret, origins),
            dir,
            turns: Turns::new(),
            uploaded: Mutex::new(LruCache::new(REMEMBERED)),
        })
    }

    fn uploaded(&self) -> MutexGuard<'_, LruCache<FileId, Full>> {
        self.uploaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes to an end when nothing is under way, or it took too long, and the answers had a moment to
    /// get away.
    async fn finish(&self) {
        self.turns.finish().await;
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// All routes, behind the guard.
pub fn router(app: &Arc<App>) -> Router {
    let guard = middleware::from_fn_with_state(app.clone(), guard::guard);
    picgo::routes().merge(page::routes()).with_state(app.clone()).layer(guard)
}

/// Serves until `end` has come to an end, and then until what is under way is done. `ready` is told
/// the address.
pub async fn run(
    setup: Setup, ready: impl FnOnce(SocketAddr), end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    if !setup.origins.is_empty() && setup.secret.is_none() {
        return Err(Error::NoSecret);
    }
    let listener = listen(setup.listen).await?;
    let address = listener.local_addr().map_err(Error::Serve)?;
    let app = Arc::new(App::new(setup, address.port()).map_err(Error::Serve)?);
    let (ends, mut ended) = tokio::sync::watch::channel(());
    let served = axum::serve(listener, router(&app)).with_graceful_shutdown(async move {
        end.await;
        drop(ends);
    });
    ready(address);
    tokio::select! {
        served = served => served.map_err(Error::Serve),
        // Connections on which nothing is asked may stay open for as long as their clients like.
        () = async { while ended.changed().await.is_ok() {} app.finish().await } => Ok(()),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::Busy(address),
        _ => Error::Listen(address, error),
    })
}
