//! PicGo's routes: `upload`, `delete` and `heartbeat`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::answer::{Answer, Full};
use super::spool::{self, MOST_PICTURES};
use super::{App, delete, turn};
use crate::paths;
use crate::post::{self, Item, Order, Sent};
use crate::types::FileId;

/// Bytes of a body with pictures, and of one with words.
pub(super) const MOST_BODY: usize = 512 << 20;
const MOST_WORDS: usize = 1 << 20;

/// How long words may take to come.
const WORDS: Duration = Duration::from_secs(30);

const NO_CLIPBOARD: &str = "the request names no picture, which means the one of the clipboard: bedfs \
                            reads no clipboard; send the picture, or its path as {\"list\": [\"/path\"]}";

/// Pictures on this machine.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Paths {
    list: Vec<PathBuf>,
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/upload", routing::post(upload))
        .route("/delete", routing::post(delete_pictures))
        .route("/heartbeat", routing::get(alive).post(alive))
        .layer(DefaultBodyLimit::max(MOST_BODY))
}

async fn upload(State(app): State<Arc<App>>, request: Request) -> Answer {
    let items = async {
        match is_form(&request) {
            true => sent_along(&app, request).await.map(|items| (items, Vec::new())),
            false => named(request).await,
        }
    };
    match app.turns.take(items).await {
        Ok(((items, refused), _)) if items.is_empty() && refused.is_empty() => {
            Answer::refused(NO_CLIPBOARD)
        }
        Ok(((items, refused), _turn)) => send(&app, &app.order, items, refused).await,
        Err(message) => Answer::refused(message),
    }
}

async fn alive() -> Response {
    Answer::alive()
}

fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/"))
}

/// Pictures in the body.
async fn sent_along(app: &App, request: Request) -> Result<Vec<(String, Item)>, String> {
    let form = Multipart::from_request(request, &()).await;
    let form = form.map_err(|error| error.to_string())?;
    spool::files(form, &app.dir).await.map_err(|error| error.to_string())
}

/// Pictures on this machine, and why some of them are none.
async fn named(request: Request) -> Result<(Vec<(String, Item)>, Vec<String>), String> {
    let Paths { list } = words(request).await?;
    if list.len() > MOST_PICTURES {
        return Err(spool::Error::TooMany.to_string());
    }
    let (whole, other): (Vec<PathBuf>, Vec<PathBuf>) =
        list.into_iter().partition(|path| path.is_absolute() || paths::decoded(path).is_absolute());
    let no_path = |path: &PathBuf| format!("{}: say the whole path, from /", path.display());
    let item = |path: PathBuf| (name(&path), Item::Path(paths::local(&path)));
    // A path may lead to a disk that does not answer at once.
    let items = spawn_blocking(move || whole.into_iter().map(item).collect()).await;
    let items = items.map_err(|error| error.to_string())?;
    Ok((items, other.iter().map(no_path).collect()))
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// The JSON of a body; nothing is said by an empty one.
async fn words<T: DeserializeOwned + Default>(request: Request) -> Result<T, String> {
    let body = timeout(WORDS, to_bytes(request.into_body(), MOST_WORDS)).await;
    let body = body.map_err(|_| turn::slow(WORDS))?;
    let body = body.map_err(|error| format!("the request cannot be read: {error}"))?;
    understood(&body)
}

pub(super) fn understood<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, String> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| format!("the request is not understood: {error}"))
}

/// Puts pictures where the order says, and tells what became of them, and of those that were refused.
pub(super) async fn send(
    app: &App, order: &Order, items: Vec<(String, Item)>, refused: Vec<String>,
) -> Answer {
    let (names, items): (Vec<String>, Vec<Item>) = items.into_iter().unzip();
    let mut names = names.into_iter();
    let (mut full, mut failures, mut mended) = (Vec::new(), refused, Vec::new());
    let tell = |sent: Result<Sent, post::Error>| {
        let name = names.next().unwrap_or_default();
        match sent {
            Ok(sent) => {
                if sent.is_mended {
                    let got = &sent.path;
                    tracing::warn!(
                        "{name}: the service refuses such a name; it is uploaded as {got}"
                    );
                    mended.push(format!("{name} is uploaded as {got}"));
                }
                full.extend(Full::of(&sent));
            }
            Err(error) => {
                tracing::warn!("{name}: {error}");
                failures.push(format!("{name}: {error}"));
            }
        }
    };
    app.post.send(order, items, tell).await;
    let mut uploaded = app.uploaded();
    for full in &full {
        uploaded.put(FileId::new(&full.id), full.clone());
    }
    Answer::uploaded(full, &failures, &mended)
}

async fn delete_pictures(State(app): State<Arc<App>>, request: Request) -> Answer {
    match app.turns.take(words::<delete::Wanted>(request)).await {
        Ok((wanted, _turn)) => delete::all(&app, wanted).await,
        Err(message) => Answer::refused(message),
    }
}
