//! The object storage behind presigned URLs: takes the slices of uploads.

use std::io;
use std::time::Duration;

use crate::clock;
use crate::digest;
use crate::head::Head;
use crate::link::UID;
use crate::lock;
use crate::options::Options;
use crate::record::Entry;
use crate::reply::Reply;
use crate::server::Server;
use crate::upload::Upload;
use crate::wire::Wire;

/// What the path of every presigned URL begins with.
pub(crate) const PREFIX: &str = "/storage/";

/// The presigned URL of a slice.
pub(crate) fn presign(server: &Server, options: &Options, upload: &Upload, slice: u64) -> String {
    let path = format!("{PREFIX}123-846/{}/{UID}-0/{}", &upload.md5[..8], upload.md5);
    let deadline = clock::unix_millis_after(options.presigned_life).to_string();
    let signature = sign(server, &path, &upload.key, &slice.to_string(), &deadline);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
        .append_pair("X-Amz-SignedHeaders", "content-type;host")
        .append_pair("deadline", &deadline)
        .append_pair("partNumber", &slice.to_string())
        .append_pair("uploadId", &upload.key)
        .append_pair("X-Amz-Signature", &signature)
        .finish();
    format!("{}{path}?{query}", server.base)
}

fn sign(server: &Server, path: &str, key: &str, slice: &str, deadline: &str) -> String {
    digest::md5(format!("{}\n{path}\n{key}\n{slice}\n{deadline}", server.key).as_bytes())
}

/// Takes a slice.
pub(crate) async fn put(
    server: &Server, head: &Head, entry: &Entry, wire: &mut Wire, is_corrupt: bool,
) -> io::Result<Reply> {
    let (key, slice) = match admit(server, head) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(refusal.answer(server)),
    };
    let store = lock(&server.bed).store().clone();
    let mut sink = store.sink(head.content_length().unwrap_or(0))?;
    while let Some(chunk) = wire.body_chunk().await? {
        entry.received(chunk.len() as u64);
        match is_corrupt {
            true => sink.write(&chunk.iter().map(|byte| !byte).collect::<Vec<_>>())?,
            false => sink.write(&chunk)?,
        }
    }
    let stored = sink.finish();
    let etag = format!("\"{}\"", stored.md5);
    match lock(&server.uploads).by_key(&key).filter(|upload| upload.is_open()) {
        Some(upload) => upload.put(slice, stored),
        None => return Ok(NO_SUCH_UPLOAD.answer(server)),
    }
    Ok(Reply::empty(200).header("ETag", etag))
}

/// Why a slice is not taken.
struct Refused {
    status: u16,
    code: &'static str,
    /// What the documents forbid of the request, if they do.
    breach: Option<String>,
}

const NO_SUCH_UPLOAD: Refused = Refused { status: 404, code: "NoSuchUpload", breach: None };
const NO_SUCH_SLICE: Refused = Refused { status: 400, code: "InvalidArgument", breach: None };
const EXPIRED: Refused = Refused { status: 403, code: "AccessDenied", breach: None };

impl Refused {
    fn breach(status: u16, code: &'static str, what: impl Into<String>) -> Refused {
        Refused { status, code, breach: Some(what.into()) }
    }

    fn answer(self, server: &Server) -> Reply {
        if let Some(what) = self.breach {
            server.record.breach("put", &what);
        }
        Reply::xml(self.status, self.code)
    }
}

/// Holds a request against the documents, against what was signed, and against what is missing;
/// gives the upload's key and the number of the slice.
fn admit(server: &Server, head: &Head) -> Result<(String, u64), Refused> {
    let length = check_headers(head)?;
    let (key, slice) = check_signature(server, head)?;
    let mut uploads = lock(&server.uploads);
    let upload = uploads.by_key(&key).filter(|upload| upload.is_open()).ok_or(NO_SUCH_UPLOAD)?;
    let expected = upload.slice_len(slice).ok_or(NO_SUCH_SLICE)?;
    if length != expected {
        let what = format!("slice {slice} has {length} bytes, not {expected}");
        return Err(Refused::breach(400, "EntityTooSmall", what));
    }
    Ok((key, slice))
}

/// Holds the method and the headers against the documents; gives the length of the body.
fn check_headers(head: &Head) -> Result<u64, Refused> {
    let secrets = head.api_headers();
    if !secrets.is_empty() {
        let what = format!("{} sent to a presigned URL", secrets.join(" and "));
        return Err(Refused::breach(400, "InvalidArgument", what));
    }
    if head.method != "PUT" {
        let what = format!("{} of a presigned URL", head.method);
        return Err(Refused::breach(405, "MethodNotAllowed", what));
    }
    if head.header("content-type") != Some("application/octet-stream") {
        let what = "Content-Type is not application/octet-stream";
        return Err(Refused::breach(403, "SignatureDoesNotMatch", what));
    }
    let missing = || Refused::breach(411, "MissingContentLength", "no Content-Length");
    head.content_length().ok_or_else(missing)
}

/// Holds the query against its signature and the clock; gives the upload's key and the slice.
fn check_signature(server: &Server, head: &Head) -> Result<(String, u64), Refused> {
    let query = |key| head.query(key).unwrap_or_default();
    let (key, slice, deadline) = (query("uploadId"), query("partNumber"), query("deadline"));
    if query("X-Amz-Signature") != sign(server, head.path(), &key, &slice, &deadline) {
        let what = "a presigned URL that was tampered with";
        return Err(Refused::breach(403, "SignatureDoesNotMatch", what));
    }
    if clock::unix_millis_after(Duration::ZERO) >= deadline.parse().unwrap_or(0) {
        return Err(EXPIRED);
    }
    let slice = slice.parse().map_err(|_| NO_SUCH_SLICE)?;
    Ok((key, slice))
}
