//! The guard: which requests are let in.
//!
//! A web page can have its visitor's browser send requests to this machine, under a name of its own
//! that leads here (DNS rebinding) or under ours. The first is known by its `Host`, the second by its
//! `Origin`, which browsers put on every request that could change something, or, where a picture or a
//! link of a foreign page only looks, by its `Sec-Fetch-Site`. Programs send the host that they were
//! told, and none of these.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::App;
use super::answer::Answer;
use crate::types::Secret;

/// What PicGo's clients send the secret in, if not in `Authorization` or in the query.
const SECRET: HeaderName = HeaderName::from_static("x-picgo-secret");

/// What browsers say of the page that a request is from: of this server, or of none (typed in, or
/// opened from a program).
const FROM: HeaderName = HeaderName::from_static("sec-fetch-site");
const OURS: [&str; 2] = ["same-origin", "none"];

/// What is asked whether a server is there, before the secret is known to be right.
const OPEN: &str = "/heartbeat";

/// Who is let in.
pub(super) struct Door {
    port: u16,
    secret: Option<Secret>,
}

#[derive(Deserialize)]
struct Asked {
    secret: Option<String>,
}

/// Lets a request through, or answers why not.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let path = request.uri().path();
    let has_key = app.page.knows_key(path);
    let refusal = if !app.door.is_for_us(headers, request.uri().authority()) {
        (StatusCode::FORBIDDEN, "the request is for another host, or for the page of another")
    } else if has_key == Some(false) {
        (StatusCode::NOT_FOUND, "the page is of an earlier start of the server: open / again")
    } else if has_key.is_none() && path != OPEN && !app.door.knows_secret(&request) {
        (StatusCode::UNAUTHORIZED, "the secret is missing or wrong")
    } else {
        return next.run(request).await;
    };
    (refusal.0, Answer::refused(refusal.1)).into_response()
}

impl Door {
    pub(super) fn new(port: u16, secret: Option<Secret>) -> Self {
        Self { port, secret }
    }

    pub(super) fn is_for_us(&self, headers: &HeaderMap, target: Option<&Authority>) -> bool {
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
            && headers.get_all(ORIGIN).iter().all(is_from_us)
            && headers.get_all(FROM).iter().all(|site| OURS.iter().any(|ours| site == ours))
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
            asked.secret
        });
        told.is_some_and(|told| told.as_bytes().ct_eq(secret.reveal().as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_at_this_port_are_ours() {
        let door = Door::new(36677, None);
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
