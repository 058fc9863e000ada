//! An answer of the server, in the form that PicGo's and PicList's clients read.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::post::Sent;

/// What `type` is of pictures that came by this server.
const UPLOADER: &str = "bedfs";

/// The body of an answer. Clients look at `success` first, and throw on any status but 200.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_result: Option<Vec<Full>>,
}

/// All that is told of one picture. Clients keep it, and send it back to have the picture deleted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Full {
    pub(super) img_url: String,
    pub(super) file_name: String,
    /// With its point.
    extname: String,
    r#type: &'static str,
    /// The file ID, as PicList's clients name it.
    pub(super) id: String,
    #[serde(rename = "fileID")]
    file_id: String,
    pub(super) md5: String,
    size: u64,
}

impl Full {
    /// `None` where the link is not known.
    pub(super) fn of(sent: &Sent) -> Option<Self> {
        let picture = sent.entry.picture()?;
        let file_name = sent.entry.name.to_string();
        let extname = file_name.rfind('.').map_or("", |point| &file_name[point..]).to_owned();
        let id = sent.entry.id.to_string();
        Some(Self {
            img_url: picture.link.as_ref()?.publish().to_owned(),
            extname,
            file_name,
            r#type: UPLOADER,
            file_id: id.clone(),
            id,
            md5: picture.md5.map(|md5| md5.to_string()).unwrap_or_default(),
            size: picture.size,
        })
    }
}

impl Answer {
    /// Something was not done.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }

    /// Something was done.
    pub(super) fn done(message: impl Into<String>) -> Self {
        Self { success: true, ..Self::refused(message) }
    }

    /// The server is there.
    pub(super) fn alive() -> Response {
        #[derive(Serialize)]
        struct Alive {
            success: bool,
            result: &'static str,
        }
        Json(Alive { success: true, result: "alive" }).into_response()
    }

    /// The pictures that are in the bed, why others are not, and which of them are called otherwise there.
    /// Clients match links and pictures by
    /// their number, so one failure makes the whole one; asking again gives the same links.
    pub(super) fn uploaded(full: Vec<Full>, failures: &[String], mended: &[String]) -> Self {
        let words = [failures, mended].concat();
        Self {
            success: failures.is_empty(),
            message: (!words.is_empty()).then(|| words.join("; ")),
            result: Some(full.iter().map(|full| full.img_url.clone()).collect()),
            full_result: Some(full),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
