//! The line: takes a request to its host and brings the answer, by HTTP, or by what a simulation has
//! in the place of the network.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::{Client, Request, RequestBuilder, Response};

/// What stands in for the network: below tokens, limits, retries and JSON, all of which stay.
pub trait Carrier: Debug + Send + Sync {
    /// Takes a request to its host and brings the answer; dropped when nobody waits for it any more.
    fn carry(&self, request: Request) -> BoxFuture<'static, reqwest::Result<Response>>;
}

/// One of the two lines of a client of the service: to the API host, or to every other.
pub(super) struct Line {
    /// Spells requests, and sends them where there is no carrier.
    pub(super) client: Client,
    pub(super) carrier: Option<Arc<dyn Carrier>>,
}

impl Line {
    /// Sends a request that this line's client spelled.
    pub(super) async fn send(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        match &self.carrier {
            Some(carrier) => carrier.carry(request.build()?).await,
            None => request.send().await,
        }
    }
}
