//! The page at `/`: the folders of the bed to look at, links to copy, pictures to drop in, and what is
//! not done yet.
//!
//! It is made here as a whole, and works without the internet. All that belongs to it lies under a path
//! that has a key of this start, so that no page of others can name it; what changes the bed also wants
//! the token that only the page has.

mod asset;
mod traffic;
mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Path as Parts, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::answer::Answer;
use super::{App, picgo, spool};
use crate::account::{AccountCache, TrafficLog};
use crate::api::Client;
use crate::gallery::{self, Gallery};
use crate::pending::{self, STAGING};
use crate::post::Order;
use crate::thumbs::{self, Thumbs};
use crate::types::FileId;
use traffic::Traffic;
use view::View;

/// What carries the token of a request that changes the bed.
const TOKEN: &str = "x-bedfs-token";

/// How long the page waits for the figures and the log of the account, which it can do without.
const FIGURES: Duration = Duration::from_secs(3);

/// What the page has beside what all routes share.
pub(super) struct Page {
    gallery: Gallery,
    thumbs: Thumbs,
    account: AccountCache,
    log: TrafficLog,
    /// In the path of everything but the page itself.
    key: String,
    /// In the header of what changes the bed.
    token: String,
}

impl Page {
    pub(super) fn new(
        client: &Client, state: Arc<crate::state::State>, cache: &Path, fresh: Duration,
    ) -> std::io::Result<Self> {
        Ok(Self {
            gallery: Gallery::new(client.clone(), state.clone(), fresh),
            thumbs: Thumbs::new(client.clone(), cache),
            account: AccountCache::new(client.clone(), None),
            log: TrafficLog::new(client.clone(), state.clone()),
            key: random()?,
            token: random()?,
        })
    }

    /// Whether the path is one of those that have the key, which only who saw the page knows; then
    /// whether that is right.
    pub(super) fn knows_key(&self, path: &str) -> Option<bool> {
        let key = path.strip_prefix("/page/")?.split('/').next()?;
        Some(is_same(key, &self.key))
    }
}

/// 32 hexadecimal digits that nobody can guess.
fn random() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(crate::types::Md5::new(bytes).to_string())
}

fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", routing::get(show))
        .route("/page/{key}/", routing::get(show))
        .route("/page/{key}/page.css", routing::get(asset::style))
        .route("/page/{key}/page.js", routing::get(asset::script))
        .route("/page/{key}/thumb/{*id}", routing::get(thumb))
        .route("/page/{key}/fetched", routing::get(fetched))
        .route("/page/{key}/upload", routing::post(upload))
        .layer(DefaultBodyLimit::max(picgo::MOST_BODY))
}

/// What of the bed is to be shown.
#[derive(Deserialize)]
struct Wanted {
    /// The folder, from the root of the bed.
    #[serde(default)]
    dir: String,
    /// Of its pictures, counted from 1.
    #[serde(default = "first")]
    page: usize,
}

fn first() -> usize {
    1
}

async fn show(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    let page = &app.page;
    let (rows, account, _logged) = tokio::join!(
        page.gallery.folder(&wanted.dir),
        timeout(FIGURES, page.account.get()),
        timeout(FIGURES, page.log.look()),
    );
    let status = match &rows {
        Ok(_) => StatusCode::OK,
        Err(gallery::Error::NotThere(_)) => StatusCode::NOT_FOUND,
        Err(_) => StatusCode::BAD_GATEWAY,
    };
    let listed = rows.as_ref().map_or(&[][..], |rows| rows.as_slice());
    let traffic = Traffic::of(&app.state, page.log.today(), listed).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Traffic::default()
    });
    let view = View {
        key: &page.key,
        token: &page.token,
        dir: wanted.dir.trim_matches('/'),
        page: wanted.page,
        rows: rows.map_err(|error| error.to_string()),
        account: account.ok().and_then(Result::ok).or_else(|| page.account.known()),
        pending: pending::list(&app.state, &app.dir.join(STAGING)).map_err(|e| e.to_string()),
        traffic,
        fetched: page.thumbs.fetched(),
    };
    (status, asset::guarded(), Html(view.render().into_string())).into_response()
}

async fn thumb(
    State(app): State<Arc<App>>, Parts((_, id)): Parts<(String, String)>,
) -> Result<Response, (StatusCode, String)> {
    let entry = app.page.gallery.picture(&FileId::new(id));
    let entry = entry.ok_or((StatusCode::NOT_FOUND, "no picture that was shown".to_owned()))?;
    let made = app.page.thumbs.get(&entry).await.map_err(|error| {
        let status = match &error {
            thumbs::Error::Undecodable(_) | thumbs::Error::Known | thumbs::Error::TooLarge => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            _ => StatusCode::BAD_GATEWAY,
        };
        (status, error.to_string())
    })?;
    let kind = if made.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" };
    // An ID never changes its bytes.
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, max-age=31536000, immutable")];
    Ok((asset::guarded(), headers, made).into_response())
}

/// What thumbnails have cost, in words.
async fn fetched(State(app): State<Arc<App>>) -> Response {
    (asset::guarded(), view::fetched(app.page.thumbs.fetched())).into_response()
}

async fn upload(
    State(app): State<Arc<App>>, Query(wanted): Query<Wanted>, headers: HeaderMap, form: Multipart,
) -> Response {
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok()).unwrap_or_default();
    if !is_same(token, &app.page.token) {
        let words = "the page is of an earlier start of the server: load it again";
        return (StatusCode::FORBIDDEN, Answer::refused(words)).into_response();
    }
    let files = async { spool::files(form, &app.dir).await.map_err(|error| error.to_string()) };
    let answer = match app.turns.take(files).await {
        Ok((items, _turn)) => {
            let order = Order { to: wanted.dir, ..app.order.clone() };
            picgo::send(&app, &order, items, Vec::new()).await
        }
        Err(message) => Answer::refused(message),
    };
    app.page.gallery.forget();
    answer.into_response()
}
