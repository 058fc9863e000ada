//! Uploads: a file is created, its slices are asked for, and it is completed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, sleep_until};

use super::Call;
use crate::answers::{Checking, DuplicateName, EmptyFile, Formats, InstantUpload, ReuseFileId};
use crate::bed::Bed;
use crate::content::Content;
use crate::digest;
use crate::lock;
use crate::name;
use crate::node::{self, FileData, Id};
use crate::options::Options;
use crate::refusal::Refusal;
use crate::server::Server;
use crate::storage;
use crate::upload::{Poll, Upload};

/// The extensions of pictures, where only these are taken.
const PICTURES: [&str; 9] = ["png", "gif", "jpeg", "jpg", "tiff", "tif", "webp", "svg", "bmp"];

/// The code for an account that is full.
const NO_SPACE_LEFT: i64 = 5103;

/// How long a poll's worth of checking takes when nobody polls.
const UNPOLLED: Duration = Duration::from_secs(3);

pub(super) fn create(call: &Call) -> Result<Value, Refusal> {
    let Call { server, options, fields } = call;
    let (filename, etag, size) =
        (fields.text("filename")?, fields.text("etag")?, fields.number("size")?);
    check_file(call, filename, etag, size)?;
    let mut uploads = lock(&server.uploads);
    let mut bed = lock(&server.bed);
    let parent =
        bed.tree().folder(fields.text("parentFileID")?).ok_or_else(Refusal::no_such_file)?;
    let parent = Id::clone(&parent.id);
    if options.answers.duplicate_create == DuplicateName::Refuse {
        name::check_new(bed.tree(), &parent, filename)?;
    }
    if bed.tree().used().saturating_add(size) > options.space_total {
        return Err(Refusal::new(NO_SPACE_LEFT, "空间不足"));
    }
    if let Some(data) = reuse(&mut bed, options, &parent, filename, (etag, size))? {
        return Ok(data);
    }
    let slice_size = options.slice_size.max(1);
    let id = uploads.add(Upload::new(parent, filename, etag, size, slice_size));
    Ok(json!({"fileID": "", "reuse": false, "preuploadID": id, "sliceSize": slice_size}))
}

/// Makes a file of bytes that the account knows, if it does, and gives the answer.
fn reuse(
    bed: &mut Bed, options: &Options, parent: &Id, filename: &str, (etag, size): (&str, u64),
) -> Result<Option<Value>, Refusal> {
    let answers = &options.answers;
    if answers.instant_upload == InstantUpload::Never {
        return Ok(None);
    }
    let Some(content) = bed.known(etag, size, answers.reuse_after_delete) else {
        return Ok(None);
    };
    let file = FileData::with_md5(content, etag);
    let id = name::place(bed, options, parent, filename, file)?;
    let shown = match answers.reuse_file_id {
        ReuseFileId::Given => &*id,
        ReuseFileId::Empty => "",
    };
    Ok(Some(json!({"fileID": shown, "reuse": true, "sliceSize": options.slice_size})))
}

/// Refuses a file that would be refused anywhere.
fn check_file(call: &Call, filename: &str, etag: &str, size: u64) -> Result<(), Refusal> {
    name::check(filename)?;
    if !digest::is_md5(etag) {
        return Err(Refusal::breach(format!("etag is not an md5 in lower case: {etag}")));
    }
    let answers = &call.options.answers;
    let extension = node::extension(filename).to_ascii_lowercase();
    if answers.formats == Formats::PicturesOnly && !PICTURES.contains(&extension.as_str()) {
        return Err(Refusal::generic(format!("format is not supported: {filename}")));
    }
    if answers.empty_file == EmptyFile::Refuse && size == 0 {
        return Err(Refusal::generic("file is empty"));
    }
    Ok(())
}

pub(super) fn get_upload_url(call: &Call) -> Result<Value, Refusal> {
    let Call { server, options, fields } = call;
    let slice = fields.number("sliceNo")?;
    let mut uploads = lock(&server.uploads);
    let upload = uploads.get(fields.text("preuploadID")?)?;
    if !upload.is_open() {
        return Err(Refusal::generic("upload already completed"));
    }
    if upload.slice_len(slice).is_none() {
        let what = format!("sliceNo is {slice}, not 1 to {}", upload.slice_count());
        return Err(Refusal::breach(what));
    }
    let url = storage::presign(server, options, upload, slice);
    Ok(json!({"presignedURL": url, "isMultipart": upload.slice_count() > 1}))
}

/// The slices that have come in; none for a file of one slice, as documented.
pub(super) fn list_upload_parts(call: &Call) -> Result<Value, Refusal> {
    let mut uploads = lock(&call.server.uploads);
    let upload = uploads.get(call.fields.text("preuploadID")?)?;
    let is_multipart = upload.slice_count() > 1;
    let parts: Vec<Value> = upload
        .slices()
        .filter(|_| is_multipart)
        .map(|(number, slice)| {
            json!({"partNumber": number.to_string(), "size": slice.size, "etag": slice.md5})
        })
        .collect();
    Ok(json!({"parts": parts}))
}

pub(super) fn upload_complete(call: &Call) -> Result<Value, Refusal> {
    let (server, polls) = (call.server, call.options.async_polls);
    let id = call.fields.text("preuploadID")?;
    let later = || match call.options.answers.checking {
        Checking::NotCompleted => Ok(json!({"async": true, "completed": false, "fileID": ""})),
        Checking::Code => Err(Refusal::checking()),
    };
    let (content, found, wanted) = seal(server, id)?;
    if let Err(refusal) = verify(call.options, &content, found, &wanted) {
        lock(&server.uploads).get(id)?.end(&Err(refusal.clone()));
        return if polls == 0 { Err(refusal) } else { later() };
    }
    let unpolled = Instant::now() + UNPOLLED * polls;
    lock(&server.uploads).get(id)?.check(polls, unpolled, content);
    if polls == 0 {
        let file_id = finish(server, id)?;
        return Ok(json!({"async": false, "completed": true, "fileID": *file_id}));
    }
    tokio::spawn(finish_unpolled(Arc::clone(server), id.to_owned(), unpolled));
    later()
}

/// Compares the md5 of all bytes, `found` where it is known, with what was promised.
fn verify(
    options: &Options, content: &Content, found: Option<String>, wanted: &str,
) -> Result<(), Refusal> {
    if !options.answers.verify_md5 {
        return Ok(());
    }
    let found = found.map_or_else(|| in_place(|| content.md5()), Ok)?;
    if found == wanted {
        return Ok(());
    }
    Err(Refusal::generic(format!("md5 of the bytes is {found}, not {wanted}")))
}

/// Does what takes a while; the tasks of this thread go on elsewhere, where there are other threads.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}

/// Goes on with what another runtime left, in tasks of this one.
pub(crate) fn go_on(server: &Arc<Server>) {
    let checking = lock(&server.uploads).checking();
    for (id, unpolled) in checking {
        tokio::spawn(finish_unpolled(Arc::clone(server), id, unpolled));
    }
}

/// Makes the file of an upload that nobody polls, after a while.
async fn finish_unpolled(server: Arc<Server>, id: String, unpolled: Instant) {
    sleep_until(unpolled).await;
    if let Err(refusal) = finish(&server, &id) {
        tracing::info!("an upload that nobody polled failed: {}", refusal.message);
    }
}

/// Ends the coming in of slices. Gives the bytes, their md5 where that is known, and what it must be.
fn seal(server: &Server, id: &str) -> Result<(Content, Option<String>, String), Refusal> {
    let mut uploads = lock(&server.uploads);
    let upload = uploads.get(id)?;
    let found = upload.md5_of_single_slice().map(str::to_owned);
    Ok((upload.seal()?, found, upload.md5.clone()))
}

pub(super) fn upload_async_result(call: &Call) -> Result<Value, Refusal> {
    let id = call.fields.text("preuploadID")?;
    let poll = lock(&call.server.uploads).get(id)?.poll()?;
    let file_id = match poll {
        Poll::Pending => {
            return match call.options.answers.checking {
                Checking::NotCompleted => Ok(json!({"completed": false, "fileID": ""})),
                Checking::Code => Err(Refusal::checking()),
            };
        }
        Poll::Ripe => finish(call.server, id)?,
        Poll::Done(file_id) => file_id,
    };
    Ok(json!({"completed": true, "fileID": *file_id}))
}

/// Makes the file of an upload that has been checked; of one that is there, gives the ID again.
fn finish(server: &Server, id: &str) -> Result<Id, Refusal> {
    let options = server.options();
    let mut uploads = lock(&server.uploads);
    let upload = uploads.get(id)?;
    let Some(content) = upload.checked() else {
        return match upload.poll()? {
            Poll::Done(file_id) => Ok(file_id),
            Poll::Pending | Poll::Ripe => Err(Refusal::generic("upload is not completed")),
        };
    };
    let file = FileData::with_md5(content.clone(), &upload.md5);
    let outcome = name::place(&mut lock(&server.bed), &options, &upload.parent, &upload.name, file);
    upload.end(&outcome);
    outcome
}
