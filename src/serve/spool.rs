//! A spool: pictures that come in the body of a request, each in a file of this process alone.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{MOST_BYTES, form};
use crate::kind::Kind;
use crate::post::Item;

/// Pictures in one request.
pub(super) const MOST_PICTURES: usize = 100;

/// How long a client may send nothing.
const STALL: Duration = Duration::from_secs(60);

/// Why the body of a request cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the request breaks off or is no form: {0}")]
    Form(#[from] MultipartError),
    #[error("nothing came for {} s", STALL.as_secs())]
    Stalled,
    #[error("{0}: it is larger than {MOST_BYTES} bytes")]
    TooLarge(String),
    #[error("a request may have {MOST_PICTURES} pictures")]
    TooMany,
    #[error("keeping what came: {0}")]
    Disk(#[from] io::Error),
}

/// The files of a form, whatever its fields are called, in files in `dir` without a name.
pub(super) async fn files(mut form: Multipart, dir: &Path) -> Result<Vec<(String, Item)>, Error> {
    let mut items = Vec::new();
    while let Some(field) =
        timeout(STALL, form.next_field()).await.map_err(|_| Error::Stalled)??
    {
        let name = form::file_name(field.headers());
        let file = keep(field, name.as_deref().unwrap_or_default(), dir).await?;
        // What has no file name and is no picture is a word to the server: PicList's clients send some.
        if name.is_none() && Kind::of(&file)?.is_none() {
            continue;
        }
        if items.len() == MOST_PICTURES {
            return Err(Error::TooMany);
        }
        let name = name.unwrap_or_default();
        items.push((name.clone(), Item::Bytes { name: (!name.is_empty()).then_some(name), file }));
    }
    Ok(items)
}

async fn keep(mut field: Field<'_>, name: &str, dir: &Path) -> Result<File, Error> {
    let dir = dir.to_owned();
    let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await;
    let mut file = tokio::fs::File::from_std(file.map_err(io::Error::other)??);
    let mut size = 0;
    while let Some(chunk) = timeout(STALL, field.chunk()).await.map_err(|_| Error::Stalled)?? {
        size += chunk.len() as u64;
        // Read to its end nevertheless: a client that is still sending does not read an answer.
        if size <= MOST_BYTES {
            file.write_all(&chunk).await?;
        }
    }
    file.flush().await?;
    if size > MOST_BYTES {
        return Err(Error::TooLarge(name.to_owned()));
    }
    Ok(file.into_std().await)
}
