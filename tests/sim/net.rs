//! The network of a simulation: each request goes over a connection in memory to the emulator, whose
//! answers and faults are those of its sockets.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use bedfs::api::Carrier;
use bedfs_emulator::Emulator;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::header::HOST;
use reqwest::{Body, Request, Response, ResponseBuilderExt};

use crate::crash::Crash;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// Requests of this thread that were carried.
pub(crate) fn asked() -> u64 {
    ASKED.get()
}

/// The network of one life of the program: after its crash nothing gets through.
pub(crate) struct Net {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) crash: Arc<Crash>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Carrier for Net {
    fn carry(&self, request: Request) -> BoxFuture<'static, reqwest::Result<Response>> {
        let (emulator, crash) = (self.emulator.clone(), self.crash.clone());
        async move {
            crash.survive().await;
            ASKED.set(ASKED.get() + 1);
            let what = format!("{} {}", request.method(), request.url().path());
            if let Some(body) = request.body().and_then(Body::as_bytes) {
                tracing::debug!("{what} {}", String::from_utf8_lossy(body));
            }
            let answer = exchange(&emulator, request).await;
            crash.point(&what);
            crash.survive().await;
            match answer {
                Some(answer) => Ok(answer),
                None => Err(lost().await),
            }
        }
        .boxed()
    }
}

/// Sends a request on a connection of its own; `None` if it was lost, or its answer.
async fn exchange(emulator: &Emulator, request: Request) -> Option<Response> {
    let url = request.url().clone();
    let authority = url.authority().to_owned();
    let mut request = http::Request::<Body>::try_from(request).ok()?;
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    *request.uri_mut() = format!("{}{query}", url.path()).parse().ok()?;
    request.headers_mut().insert(HOST, authority.parse().ok()?);
    let stream = TokioIo::new(emulator.connect(&authority));
    let (mut sender, connection) = http1::handshake(stream).await.ok()?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let mut answer = http::Response::builder().status(head.status).url(url);
    *answer.headers_mut()? = head.headers;
    Some(answer.body(Body::wrap(body)).ok()?.into())
}

/// The error of a connection that broke.
async fn lost() -> reqwest::Error {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let body = Body::wrap_stream(stream::iter([Err::<Bytes, _>(broken)]));
    let read = Response::from(http::Response::new(body)).bytes().await;
    read.expect_err("its body ends with an error")
}
