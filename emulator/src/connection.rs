//! A connection's life: requests and their answers, one after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api;
use crate::cdn;
use crate::clock;
use crate::control;
use crate::fault::FaultKind;
use crate::head::Head;
use crate::link;
use crate::lock;
use crate::options::Options;
use crate::play::Play;
use crate::record::Entry;
use crate::reply::Reply;
use crate::server::Server;
use crate::storage;
use crate::wire::{Stream, Wire};

/// The most bytes of JSON that a request may have.
const JSON: u64 = 1 << 20;

/// The listener that a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Door {
    /// The API, storage and direct links.
    Main,
    /// The host that direct links may be redirected to.
    Other,
}

/// What becomes of the connection after an answer.
enum Next {
    Request,
    Close,
    Reset,
}

/// Where a request goes.
enum Route {
    Api(&'static api::Endpoint),
    Storage,
    Link,
    Log,
    Video,
    Control,
    Nowhere,
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(server: Arc<Server>, stream: impl Stream + 'static, door: Door) {
    let mut wire = Wire::new(stream);
    while let Ok(Some(head)) = wire.head().await {
        match exchange(&server, &mut wire, door, Arc::new(head)).await {
            Ok(Next::Request) => {}
            Ok(Next::Close) => return,
            Ok(Next::Reset) => return wire.reset(),
            Err(error) => return tracing::debug!("a connection broke: {error}"),
        }
    }
}

/// Serves one request.
async fn exchange(
    server: &Arc<Server>, wire: &mut Wire, door: Door, head: Arc<Head>,
) -> io::Result<Next> {
    let options = &server.options();
    let (route, name) = route(door, &head, options);
    let entry = &server.record.open(name, &head);
    let is_paced = matches!(route, Route::Storage | Route::Link | Route::Log);
    wire.set_rate(options.bandwidth.filter(|_| is_paced));
    let fault = lock(&server.faults).strike(name);
    let is_corrupt = fault == Some(FaultKind::Corrupt);
    let work = Work { server, options, head: &head, entry, door, is_corrupt };
    let play = match fault.as_ref().and_then(Play::instead) {
        Some(Play::Reset) => return Ok(Next::Reset),
        Some(play) => play,
        None => Play::after(fault.as_ref(), work.reply(route, wire).await?),
    };
    entry.received(wire.drain().await?);
    match play {
        Play::Answer(reply) => work.send(*reply, wire).await,
        Play::Reset => Ok(Next::Reset),
        Play::Hang => {
            server.hanging.fetch_add(1, Ordering::Relaxed);
            wire.wait_for_end().await;
            server.hanging.fetch_sub(1, Ordering::Relaxed);
            Ok(Next::Close)
        }
    }
}

/// Where a request goes, and the name of the endpoint there.
fn route<'a>(door: Door, head: &'a Head, options: &Options) -> (Route, &'a str) {
    let path = head.path();
    if link::parse(path).is_some() {
        return (Route::Link, if door == Door::Main { "cdn" } else { "cdn2" });
    }
    match api::Endpoint::at(path) {
        _ if door == Door::Other => (Route::Nowhere, path),
        Some(endpoint) => (Route::Api(endpoint), endpoint.name),
        None if path.starts_with(storage::PREFIX) => (Route::Storage, "put"),
        None if path == cdn::VIDEO => (Route::Video, "video"),
        None if path.starts_with(cdn::LOGS) => (Route::Log, "offline-log"),
        None if path == control::PATH && options.control => (Route::Control, path),
        None => (Route::Nowhere, path),
    }
}

/// A request that is to be worked on.
struct Work<'a> {
    server: &'a Arc<Server>,
    options: &'a Options,
    head: &'a Head,
    entry: &'a Entry,
    door: Door,
    /// Whether storage is to keep other bytes than come.
    is_corrupt: bool,
}

impl Work<'_> {
    /// Does what is asked, and gives the answer to it.
    async fn reply(&self, route: Route, wire: &mut Wire) -> io::Result<Reply> {
        let Work { server, options, head, entry, door, is_corrupt } = *self;
        if head.is_chunked() {
            server.record.breach(entry.endpoint(), "a body without Content-Length");
            return Ok(Reply::html(411));
        }
        match route {
            Route::Api(endpoint) => {
                let Some(body) = self.json(wire).await? else {
                    return Ok(Reply::html(413));
                };
                Ok(api::answer(server, options, endpoint, head, &body))
            }
            Route::Storage => storage::put(server, head, entry, wire, is_corrupt).await,
            Route::Link => Ok(cdn::answer(server, options, head, door)),
            Route::Log => Ok(cdn::offline_log(server, head)),
            Route::Video => Ok(cdn::video()),
            Route::Control => Ok(control::stats(server)),
            Route::Nowhere => Ok(Reply::html(404)),
        }
    }

    /// Writes an answer, and takes it down.
    async fn send(&self, mut reply: Reply, wire: &mut Wire) -> io::Result<Next> {
        let Work { server, options, head, entry, .. } = *self;
        let wait = options.latency + reply.delay;
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
        reply.headers.push(("Date", clock::http_date(options.clock_ahead)));
        entry.answered(reply.status, reply.code);
        reply.meter.count_into(&entry.bytes_out);
        let keeps_alive = head.keeps_alive() && !head.is_chunked();
        let sent = wire.send(&reply, head.method != "HEAD", keeps_alive).await;
        if let Some((id, _)) = link::parse(head.path()) {
            lock(&server.bed).save(&id)?;
        }
        sent?;
        Ok(if keeps_alive && reply.is_whole() { Next::Request } else { Next::Close })
    }

    /// The whole body; None when it is too long.
    async fn json(&self, wire: &mut Wire) -> io::Result<Option<Vec<u8>>> {
        if self.head.content_length().unwrap_or(0) > JSON {
            return Ok(None);
        }
        let mut body = Vec::new();
        while let Some(chunk) = wire.body_chunk().await? {
            self.entry.received(chunk.len() as u64);
            body.extend_from_slice(&chunk);
        }
        self.entry.keep_body(&body);
        Ok(Some(body))
    }
}
