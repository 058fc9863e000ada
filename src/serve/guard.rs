//! The guard: which requests are let in.
//!
//! A web page can have its visitor's browser send requests to this machine, under a name of its own
//! that leads here (DNS rebinding) or under ours. The first is known by its `Host`, the second by its
//! `Origin`, which browsers put on every request that could change something, or, where a picture or a
//! link of a foreign page only looks, by its `Sec-Fetch-Site`. Programs send the host that they were
//! told, and none of these.
//!
//! Pages of origins that the user named may talk to the routes of programs, with the secret. Their
//! browsers ask first whether they may (CORS), and are told so of these alone.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::App;
use super::answer::Answer;
use crate::config::Origin;
use crate::types::Secret;

/// What PicGo's clients send the secret in, if not in `Authorization` or in the query.
const SECRET: HeaderName = HeaderName::from_static("x-picgo-secret");

/// What browsers say of the page that a request is from: of this server, or of none (typed in, or
/// opened from a program).
const FROM: HeaderName = HeaderName::from_static("sec-fetch-site");
const OURS: [&str; 2] = ["same-origin", "none"];

/// What pages of other origins may ask for: the routes of programs.
const SHARED: [&str; 3] = ["/upload", "/delete", "/heartbeat"];

/// What browsers ask, and are told, of servers on the machine that they run on.
const ASKS_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What is asked whether a server is there, before the secret is known to be right.
const OPEN: &str = "/heartbeat";

/// Who is let in.
pub(super) struct Door {
    port: u16,
    secret: Option<Secret>,
    origins: Vec<Origin>,
}

#[derive(Deserialize)]
struct Asked {
    secret: Option<String>,
    /// As PicList's clients call it.
    key: Option<String>,
}

/// Lets a request through, or answers why not.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = app.door.shared_origin(&request);
    let mut response = answer(&app, request, origin.is_some(), next).await;
    if let Some(origin) = origin {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

async fn answer(app: &App, request: Request, is_shared: bool, next: Next) -> Response {
    let headers = request.headers();
    let path = request.uri().path();
    let has_key = app.page.knows_key(path);
    let refusal = if !app.door.is_for_us(headers, request.uri().authority(), is_shared) {
        (StatusCode::FORBIDDEN, "the request is for another host, or for the page of another")
    } else if is_shared && is_preflight(&request) {
        return preflight(headers);
    } else if has_key == Some(false) {
        (StatusCode::NOT_FOUND, "the page is of an earlier start of the server: open / again")
    } else if has_key.is_none() && path != OPEN && !app.door.knows_secret(&request) {
        (StatusCode::UNAUTHORIZED, "the secret is missing or wrong")
    } else {
        return next.run(request).await;
    };
    (refusal.0, Answer::refused(refusal.1)).into_response()
}

/// Whether a browser asks if a page may send a request.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Tells it that it may; it sends the secret with the request itself.
fn preflight(headers: &HeaderMap) -> Response {
    let told = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, x-picgo-secret"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    let private = headers.contains_key(ASKS_PRIVATE).then_some([(ALLOWS_PRIVATE, "true")]);
    (StatusCode::NO_CONTENT, told, private.map(AppendHeaders), ()).into_response()
}

impl Door {
    /// `origins` are of pages that may talk to it too.
    pub(super) fn new(port: u16, secret: Option<Secret>, origins: Vec<Origin>) -> Self {
        Self { port, secret, origins }
    }

    /// The origin of a page that may ask for this, though it is of another.
    fn shared_origin(&self, request: &Request) -> Option<HeaderValue> {
        let mut told = request.headers().get_all(ORIGIN).iter();
        let origin = told.next().filter(|_| told.next().is_none())?;
        let is_known = self.origins.iter().any(|known| origin == known.as_str());
        (is_known && SHARED.contains(&request.uri().path())).then(|| origin.clone())
    }

    /// `is_shared` tells that the page may ask, whatever its origin.
    pub(super) fn is_for_us(
        &self, headers: &HeaderMap, target: Option<&Authority>, is_shared: bool,
    ) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()?.parse().ok());
        let is_ours = |authority: &Authority| self.is_ours(authority);
        let is_from_us = |origin: &axum::http::HeaderValue| {
            let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            origin.and_then(|origin| origin.parse().ok()).as_ref().is_some_and(is_ours)
        };
        host.as_ref().is_some_and(is_ours)
            && hosts.next().is_none()
            && target.is_none_or(is_ours)
            && (is_shared
                || headers.get_all(ORIGIN).iter().all(is_from_us)
                    && headers
                        .get_all(FROM)
                        .iter()
                        .all(|site| OURS.iter().any(|ours| site == ours)))
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = host.eq_ignore_ascii_case("localhost")
            || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        // Neither a user nor anything else stands beside these two.
        let whole = match authority.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        is_here && authority.port_u16().unwrap_or(80) == self.port && authority.as_str() == whole
    }

    fn knows_secret(&self, request: &Request) -> bool {
        let Some(secret) = &self.secret else { return true };
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bearer = header(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let told = bearer.or_else(|| header(SECRET).map(str::to_owned)).or_else(|| {
            let Query(asked) = Query::<Asked>::try_from_uri(request.uri()).ok()?;
            asked.secret.or(asked.key)
        });
        told.is_some_and(|told| told.as_bytes().ct_eq(secret.reveal().as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_at_this_port_are_ours() {
        let door = Door::new(36677, None, Vec::new());
        for ours in ["127.0.0.1:36677", "localhost:36677", "LocalHost:36677", "[::1]:36677"] {
            assert!(door.is_ours(&ours.parse().expect("an authority")), "{ours}");
        }
        for foreign in [
            "127.0.0.1",
            "127.0.0.1:80",
            "example.org:36677",
            "127.0.0.1.example.org:36677",
            "localhost.example.org:36677",
            "192.168.1.2:36677",
            "a@127.0.0.1:36677",
            "[::1]W:36677",
        ] {
            assert!(!door.is_ours(&foreign.parse().expect("an authority")), "{foreign}");
        }
    }
}
