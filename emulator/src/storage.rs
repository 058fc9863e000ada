//! The object storage behind presigned URLs: takes the slices of uploads.

use std::io;
use std::sync::Arc;
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
    let path = format!(
        "{PREFIX}123-846/{}/{UID}-0/{}",
        &upload.md5[..8],
        upload.md5
    );
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
    server: &Arc<Server>,
    head: &Head,
    entry: &Entry,
    wire: &mut Wire,
) -> io::Result<Reply> {
    let (key, slice) = match admit(server, head) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(*refusal),
    };
    let store = lock(&server.bed).store().clone();
    let mut sink = store.sink(head.content_length().unwrap_or(0))?;
    while let Some(chunk) = wire.body_chunk().await? {
        entry.received(chunk.len() as u64);
        sink.write(&chunk)?;
    }
    let stored = sink.finish();
    let etag = format!("\"{}\"", stored.md5);
    match lock(&server.uploads)
        .by_key(&key)
        .filter(|upload| upload.is_open())
    {
        Some(upload) => upload.put(slice, stored),
        None => return Ok(Reply::xml(404, "NoSuchUpload")),
    }
    Ok(Reply::empty(200).header("ETag", etag))
}

/// Checks a request for a presigned URL against the documents and against what was signed; gives
/// the upload's key and the number of the slice.
fn admit(server: &Server, head: &Head) -> Result<(String, u64), Box<Reply>> {
    let refuse = |status, code| Box::new(Reply::xml(status, code));
    let breach = |status, code, what: &str| {
        server.record.breach("put", what);
        refuse(status, code)
    };
    let secrets = head.api_headers();
    if !secrets.is_empty() {
        let what = format!("{} sent to a presigned URL", secrets.join(" and "));
        return Err(breach(400, "InvalidArgument", &what));
    }
    if head.method != "PUT" {
        return Err(breach(
            405,
            "MethodNotAllowed",
            &format!("{} of a presigned URL", head.method),
        ));
    }
    if head.header("content-type") != Some("application/octet-stream") {
        return Err(breach(
            403,
            "SignatureDoesNotMatch",
            "Content-Type is not application/octet-stream",
        ));
    }
    let Some(length) = head.content_length() else {
        return Err(breach(411, "MissingContentLength", "no Content-Length"));
    };
    let query = |key| head.query(key).unwrap_or_default();
    let (key, slice, deadline) = (query("uploadId"), query("partNumber"), query("deadline"));
    if query("X-Amz-Signature") != sign(server, head.path(), &key, &slice, &deadline) {
        return Err(breach(
            403,
            "SignatureDoesNotMatch",
            "a presigned URL that was tampered with",
        ));
    }
    if clock::unix_millis_after(Duration::ZERO) >= deadline.parse().unwrap_or(0) {
        return Err(refuse(403, "AccessDenied"));
    }
    let slice: u64 = slice.parse().map_err(|_| refuse(400, "InvalidArgument"))?;
    let mut uploads = lock(&server.uploads);
    let upload = uploads.by_key(&key).filter(|upload| upload.is_open());
    let upload = upload.ok_or_else(|| refuse(404, "NoSuchUpload"))?;
    let expected = upload
        .slice_len(slice)
        .ok_or_else(|| refuse(400, "InvalidArgument"))?;
    if length != expected {
        let what = format!("slice {slice} has {length} bytes, not {expected}");
        return Err(breach(400, "EntityTooSmall", &what));
    }
    Ok((key, slice))
}
