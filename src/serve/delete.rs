//! A delete of what an upload returned: only of a picture that is certainly the one that was meant.

use serde::Deserialize;

use super::App;
use super::answer::{Answer, Full};
use super::spool::MOST_PICTURES;
use crate::api;
use crate::types::{Entry, FileId};

/// What a client wants to have deleted.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    list: Vec<Named>,
}

/// One picture, by what an upload returned of it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named {
    id: Option<String>,
    #[serde(rename = "fileID")]
    file_id: Option<String>,
    md5: Option<String>,
    file_name: Option<String>,
}

/// Why a picture was not deleted.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it has no file ID: only what an upload here returned can be deleted")]
    Nameless,
    #[error("the object of this file ID is another one, or it is not told apart by name and md5")]
    Another,
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// Deletes the pictures, and tells how many were.
pub(super) async fn all(app: &App, wanted: Wanted) -> Answer {
    if wanted.list.is_empty() || wanted.list.len() > MOST_PICTURES {
        return Answer::refused(format!(
            "1 to {MOST_PICTURES} pictures can be deleted in a request"
        ));
    }
    let (mut deleted, mut failures) = (0, Vec::new());
    for named in &wanted.list {
        match one(app, named).await {
            Ok(()) => deleted += 1,
            Err(error) => {
                let name = named.file_name.as_deref().unwrap_or("a picture without a name");
                tracing::warn!("{name} is not deleted: {error}");
                failures.push(format!("{name}: {error}"));
            }
        }
    }
    match failures.len() {
        0 => Answer::done(format!("delete success: {deleted}, fail: 0")),
        failed => {
            let why = failures.join("; ");
            Answer::refused(format!("delete success: {deleted}, fail: {failed}: {why}"))
        }
    }
}

async fn one(app: &App, named: &Named) -> Result<(), Error> {
    let id = named.file_id.as_deref().or(named.id.as_deref()).filter(|id| !id.is_empty());
    let id = FileId::new(id.ok_or(Error::Nameless)?);
    let entry = match app.client.detail(&id).await {
        // It is what was wanted.
        Err(error) if error.is_not_found() => return Ok(()),
        entry => entry?,
    };
    let ours = app.uploaded().get(&id).cloned();
    if !is_it(&entry, named, ours.as_ref()) {
        return Err(Error::Another);
    }
    match app.client.delete(std::slice::from_ref(&id)).await {
        Err(error) if error.is_not_found() => {}
        Err(error) if error.may_be_done() => match app.client.detail(&id).await {
            Err(looked) if looked.is_not_found() => {}
            _ => return Err(error.into()),
        },
        deleted => deleted?,
    }
    app.uploaded().pop(&id);
    Ok(())
}

/// Whether the object is a picture with the name and md5 that the client, or else this server, knows
/// it by.
fn is_it(entry: &Entry, named: &Named, ours: Option<&Full>) -> bool {
    let Some(picture) = entry.picture() else { return false };
    let name = named.file_name.as_deref().or(ours.map(|ours| &*ours.file_name));
    let md5 = named.md5.as_deref().or(ours.map(|ours| &*ours.md5));
    let told = picture.md5.map(|md5| md5.to_string());
    name == Some(&*entry.name) && told.is_some() && md5 == told.as_deref()
}
