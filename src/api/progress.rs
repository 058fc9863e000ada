//! What the service says of an upload: begun, done, pending, and the slices it has.

use super::envelope::STILL_CHECKING;
use super::error::Error;
use super::wire::{CompleteAnswer, CreateAnswer, Garbage, PartsAnswer, md5};
use crate::types::{FileId, Md5};

/// What `create` began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The service had the bytes: the file is there. Its ID may be missing, then a listing has it.
    Reused(Option<FileId>),
    /// The bytes are wanted.
    Upload {
        /// The upload's ID.
        preupload: String,
        /// Bytes in each slice but the last, never 0.
        slice_size: u64,
    },
}

impl Created {
    /// `003`: with `reuse` the file is there, else `preuploadID` and `sliceSize` say how to go on.
    pub(super) fn read(answer: CreateAnswer) -> Result<Self, Garbage> {
        if answer.reuse == Some(true) {
            return Ok(Self::Reused(file_id(answer.file_id)));
        }
        if answer.preupload_id.is_empty() {
            return Err(Garbage::field("preuploadID"));
        }
        match answer.slice_size {
            None | Some(0) => Err(Garbage::field("sliceSize")),
            Some(slice_size) => Ok(Self::Upload { preupload: answer.preupload_id, slice_size }),
        }
    }
}

/// How far the service is with an upload whose slices are all sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The file is there.
    Done(FileId),
    /// Ask `upload_async_result`, not sooner than in 1 s.
    Pending,
    /// Still being checked (code 20103), ask again in 1 s: whether `upload_complete` was taken is not
    /// told.
    Checking,
}

impl Completed {
    /// "Still being checked" is an answer, though it comes as a refusal.
    pub(super) fn of(answer: Result<Self, Error>) -> Result<Self, Error> {
        match answer {
            Err(Error::Refused { reply, .. }) if reply.code == STILL_CHECKING => Ok(Self::Checking),
            answer => answer,
        }
    }

    /// `completed` decides; where only `async` is there, false means that nothing is waited for.
    pub(super) fn read(answer: CompleteAnswer) -> Result<Self, Garbage> {
        let is_done = answer
            .completed
            .or(answer.r#async.map(|is_async| !is_async))
            .ok_or_else(|| Garbage::field("completed"))?;
        if !is_done {
            return Ok(Self::Pending);
        }
        file_id(answer.file_id).map(Self::Done).ok_or_else(|| Garbage::field("fileID"))
    }
}

/// A slice that the storage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Of the slice; `None` where the answer held none that could be read.
    pub md5: Option<Md5>,
}

impl Part {
    /// `003`: "如果您的文件小于sliceSize，该操作将会返回空值".
    pub(super) fn read_all(answer: Option<PartsAnswer>) -> Result<Vec<Self>, Garbage> {
        let rows = answer.map_or_else(Vec::new, |answer| answer.parts);
        let part = |row: super::wire::PartRow| {
            let number = row.part_number.try_into();
            Ok(Self {
                number: number.map_err(|_| Garbage::field("partNumber"))?,
                size: row.size.ok_or_else(|| Garbage::field("size"))?,
                md5: md5(&row.etag),
            })
        };
        rows.into_iter().map(part).collect()
    }
}

/// No ID is spelled as nothing or as 0 (`003`: "fileID不为0时，上传完成").
fn file_id(id: String) -> Option<FileId> {
    (!id.is_empty() && id != "0").then(|| FileId::new(id))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn what_create_began() {
        let read = |answer: Value| Created::read(from_value(answer).expect("an object")).ok();
        assert_eq!(read(json!({"reuse": 1, "fileID": ""})), Some(Created::Reused(None)));
        assert_eq!(
            read(json!({"reuse": false, "preuploadID": "p", "sliceSize": "64"})),
            Some(Created::Upload { preupload: "p".into(), slice_size: 64 })
        );
        assert_eq!(read(json!({"reuse": false, "preuploadID": "p"})), None);
        assert_eq!(read(json!({})), None);
    }

    #[test]
    fn how_far_an_upload_is() {
        let read = |answer: Value| Completed::read(from_value(answer).expect("an object")).ok();
        let done = Some(Completed::Done(FileId::new("7")));
        assert_eq!(read(json!({"completed": true, "fileID": 7})), done);
        assert_eq!(read(json!({"async": false, "fileID": "7"})), done);
        let pending = Some(Completed::Pending);
        assert_eq!(read(json!({"async": true, "completed": false})), pending);
        assert_eq!(read(json!({"completed": "false", "fileID": "7"})), pending);
        assert_eq!(read(json!({"completed": true, "fileID": "0"})), None);
        assert_eq!(read(json!({"fileID": "7"})), None);
    }
}
