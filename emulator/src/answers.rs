//! [`Answers`]: one switch for each point on which the documents leave the service's behaviour open.

mod account;

use std::time::Duration;

pub use account::{DeveloperInfo, Lapsed};

/// What the emulator does where nobody could confirm what the service does.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Unknown: whether `mkdir` wants its `name` as a string (the sample) or as a list (the table).
    pub mkdir_name: MkdirName,
    /// Unknown: whether a new file with the bytes of another in the same folder takes its place.
    pub same_bytes: SameBytes,
    /// Documented as refused, but nobody knows how strictly: a file created under a name that exists.
    pub duplicate_create: DuplicateName,
    /// Unknown: whether an instant upload's answer always names the file.
    pub reuse_file_id: ReuseFileId,
    /// Unknown: how far instant upload looks for bytes it already has.
    pub instant_upload: InstantUpload,
    /// Unknown: whether `create` takes anything but pictures.
    pub formats: Formats,
    /// Unknown: whether a file of no bytes can be created.
    pub empty_file: EmptyFile,
    /// Unknown: what `delete` does with a folder that is not empty.
    pub delete_full_folder: DeleteFullFolder,
    /// Unknown: what `delete` says of an ID that does not exist.
    pub delete_missing: DeleteMissing,
    /// Unknown: whether `move` takes folders.
    pub move_folder: MoveFolder,
    /// Unknown: how `move` wants the root to be named.
    pub move_to_root: MoveToRoot,
    /// Unknown: what `move` does when the name exists in the target.
    pub duplicate_move: DuplicateName,
    /// Unknown: whether direct links honour `Range`.
    pub range: RangeAnswer,
    /// Unknown: whether direct links tell which content they serve.
    pub validator: Validator,
    /// Unknown: whether a direct link answers itself or sends the client elsewhere.
    pub redirect: Redirect,
    /// Unknown: the order of a listing.
    pub order: ListOrder,
    /// Documented as the first row of the next page, but other cursors of the service differ.
    pub cursor: Cursor,
    /// Unknown: how old a listing may be. It shows the bed as it was that long ago.
    pub list_lag: Duration,
    /// Unknown: whether details lag as listings do.
    pub detail_lags: bool,
    /// Unknown: whether rows always tell the md5 (`etag`).
    pub tells_md5: bool,
    /// Unknown: whether links of the image bed are signed. Some: they carry an `auth_key`, and
    /// answer 403 when it is older than that; listings and details give fresh ones.
    pub link_life: Option<Duration>,
    /// Unknown: whether instant upload still knows content that was deleted.
    pub reuse_after_delete: bool,
    /// Seen elsewhere: `code` is a string.
    pub code_as_string: bool,
    /// Seen elsewhere: every number in `data` is a string.
    pub numbers_as_strings: bool,
    /// Seen elsewhere: an empty list in `data` is null.
    pub null_lists: bool,
    /// Seen elsewhere: a boolean in `data` is 0 or 1.
    pub booleans_as_numbers: bool,
    /// Documented: the service compares the md5 at completion. False accepts whatever came.
    pub verify_md5: bool,
    /// Unknown: what `userSelfURL` is for an account without a domain of its own.
    pub self_url: SelfUrl,
    /// Unknown: how offline logs are asked for. The table of `001` says by query, its sample sends
    /// a body.
    pub offline_logs: Asked,
    /// Unknown: where the last three days of the traffic log begin, and what is said to who asks for
    /// more.
    pub log_reach: LogReach,
    /// Unknown: the most rows of a page of either log.
    pub log_page: u64,
    /// Seen in the sample of `001`: `total` is 0 beside rows.
    pub log_total: LogTotal,
    /// Unknown: what is said of a page of either log beyond the last.
    pub log_end: LogEnd,
    /// Unknown: what the `uniqueID` of a row of the traffic log is of.
    pub unique_id: UniqueId,
    /// Unknown: the code with which the logs are refused to who is no developer. None: this account
    /// is one.
    pub no_developer: Option<i64>,
    /// Unknown: how calls of the image bed are refused once the developer right has lapsed. None: it
    /// has not.
    pub lapsed: Option<Lapsed>,
    /// Unknown: what `user/info` tells of the developer right.
    pub developer_info: DeveloperInfo,
    /// Unknown: how an upload that is still being checked is told.
    pub checking: Checking,
}

impl Default for Answers {
    fn default() -> Answers {
        Answers {
            mkdir_name: MkdirName::default(),
            same_bytes: SameBytes::default(),
            duplicate_create: DuplicateName::default(),
            reuse_file_id: ReuseFileId::default(),
            instant_upload: InstantUpload::default(),
            formats: Formats::default(),
            empty_file: EmptyFile::default(),
            delete_full_folder: DeleteFullFolder::default(),
            delete_missing: DeleteMissing::default(),
            move_folder: MoveFolder::default(),
            move_to_root: MoveToRoot::default(),
            duplicate_move: DuplicateName::default(),
            range: RangeAnswer::default(),
            validator: Validator::default(),
            redirect: Redirect::default(),
            order: ListOrder::default(),
            cursor: Cursor::default(),
            list_lag: Duration::ZERO,
            detail_lags: false,
            tells_md5: true,
            link_life: None,
            reuse_after_delete: true,
            code_as_string: false,
            numbers_as_strings: false,
            null_lists: false,
            booleans_as_numbers: false,
            verify_md5: true,
            self_url: SelfUrl::default(),
            offline_logs: Asked::default(),
            log_reach: LogReach::default(),
            log_page: 100,
            log_total: LogTotal::default(),
            log_end: LogEnd::default(),
            unique_id: UniqueId::default(),
            no_developer: None,
            lapsed: None,
            developer_info: DeveloperInfo::default(),
            checking: Checking::default(),
        }
    }
}

/// What `upload_complete` and `upload_async_result` say of an upload that is still being checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checking {
    /// `completed` is false.
    #[default]
    NotCompleted,
    /// Code 20103.
    Code,
}

/// The form in which `mkdir` takes its `name`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MkdirName {
    /// Only a string, as the sample sends it.
    String,
    /// Only a list of strings, as the table says.
    List,
    /// Both.
    #[default]
    Either,
}

/// What becomes of a file when another with the same md5 and size is created in its folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameBytes {
    /// It stays.
    #[default]
    KeepBoth,
    /// It goes.
    ReplaceOlder,
}

/// What happens when a folder would come to hold one name twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateName {
    /// The call is refused with code 5060.
    #[default]
    Refuse,
    /// The folder holds the name twice.
    Allow,
}

/// What `fileID` is in an answer with `reuse: true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReuseFileId {
    /// The file's ID.
    #[default]
    Given,
    /// The empty string: the file is to be found by a listing.
    Empty,
}

/// Where instant upload looks for the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstantUpload {
    /// In the whole account.
    #[default]
    Account,
    /// Nowhere: every file is uploaded.
    Never,
}

/// What `create` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Formats {
    /// Any extension.
    #[default]
    Any,
    /// png, gif, jpeg, jpg, tiff, tif, webp, svg and bmp.
    PicturesOnly,
}

/// What `create` does with a size of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyFile {
    /// It is taken; `upload_complete` then needs no slice.
    Accept,
    /// It is refused.
    #[default]
    Refuse,
}

/// What `delete` does with a folder that is not empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteFullFolder {
    /// It is refused.
    #[default]
    Refuse,
    /// It goes with all it holds.
    Recursive,
}

/// What `delete` says of an ID that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteMissing {
    /// Nothing: the call succeeds.
    Ok,
    /// Code 5066, and nothing is deleted.
    #[default]
    Error,
}

/// What `move` does with a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoveFolder {
    /// It is moved.
    #[default]
    Works,
    /// It is refused.
    Refused,
    /// The call succeeds, and the folder stays where it is.
    Ignored,
}

/// How `move` takes the root as a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoveToRoot {
    /// Only as the empty string.
    EmptyString,
    /// Only by its ID.
    RealId,
    /// Both.
    #[default]
    Either,
    /// Not at all.
    Refused,
}

/// What a direct link does with `Range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangeAnswer {
    /// 206 and the range.
    #[default]
    Honour,
    /// 200 and the whole file.
    Ignore,
}

/// What the `ETag` of a direct link's answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validator {
    /// There is none.
    #[default]
    None,
    /// One for each content.
    Content,
    /// Another one with every answer, as where each node of a CDN has its own.
    EachAnswer,
}

/// Who serves the bytes of a direct link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirect {
    /// The link's own host.
    #[default]
    None,
    /// Another host, named by a 302; it refuses requests with API headers.
    OtherHost,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// By file ID, which has nothing to do with age or name.
    ById,
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
    /// By name.
    ByName,
}

/// Which row `lastFileId` names when there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cursor {
    /// The first of the next page, as documented.
    #[default]
    NextFirst,
    /// The last of this page.
    ThisLast,
}

/// What `userSelfURL` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfUrl {
    /// The same as `downloadURL`, as in the sample.
    #[default]
    Same,
    /// The same path under another host name, `localhost`.
    OwnDomain,
    /// The empty string.
    Empty,
}

/// How the parameters of a GET come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// In the query.
    #[default]
    Query,
    /// As JSON in a body.
    Body,
    /// Either way.
    Either,
}

/// What is there of the last days of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogReach {
    /// Today and whole days before it; what is older is left out.
    #[default]
    Days,
    /// The same, and who asks for what is older is refused.
    DaysElseRefuse,
    /// That many times 24 hours; what is older is left out.
    Hours,
}

/// What the `total` of a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTotal {
    /// All rows of the span.
    #[default]
    True,
    /// 0.
    Zero,
    /// The rows of this page.
    OfPage,
}

/// The answer to a page of a log beyond the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEnd {
    /// An empty list.
    #[default]
    Empty,
    /// No data at all: null.
    Null,
    /// Data without a list.
    NoList,
    /// The call is refused with code 1.
    Refused,
}

/// What the `uniqueID` of the traffic log is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UniqueId {
    /// Of one row, for ever.
    #[default]
    Row,
    /// Of a file in the span that is asked for, with all that it used there: two days have the same,
    /// and that of today grows.
    File,
}
