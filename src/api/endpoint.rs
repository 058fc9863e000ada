//! An endpoint: one path of the API host, with its name, its rate and what repeating it does.

use std::time::Duration;

use reqwest::Method;

/// Every endpoint this program calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    AccessToken,
    Mkdir,
    Create,
    GetUploadUrl,
    ListUploadParts,
    UploadComplete,
    UploadAsyncResult,
    Delete,
    Detail,
    List,
    Move,
    UserInfo,
}

/// What sending one request a second time does. The retries hang on this, never on the verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The request does not change the bed.
    Harmless,
    /// The request changes the bed, and twice is the same as once.
    Idempotent,
    /// Twice may be done twice, or be refused because it was done.
    Never,
}

impl Endpoint {
    /// All of them; an endpoint's place here is its `index`.
    pub(super) const ALL: [Self; 12] = [
        Self::AccessToken,
        Self::Mkdir,
        Self::Create,
        Self::GetUploadUrl,
        Self::ListUploadParts,
        Self::UploadComplete,
        Self::UploadAsyncResult,
        Self::Delete,
        Self::Detail,
        Self::List,
        Self::Move,
        Self::UserInfo,
    ];

    /// The place in `ALL`: the variants are declared in its order.
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The last parts of the path, as `--qps` spells them.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::Mkdir => "mkdir",
            Self::Create => "create",
            Self::GetUploadUrl => "get_upload_url",
            Self::ListUploadParts => "list_upload_parts",
            Self::UploadComplete => "upload_complete",
            Self::UploadAsyncResult => "upload_async_result",
            Self::Delete => "delete",
            Self::Detail => "detail",
            Self::List => "list",
            Self::Move => "move",
            Self::UserInfo => "user/info",
        }
    }

    /// The path below the base URL (`003`; `move` and `user/info` are in newer pages only).
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::AccessToken => "/api/v1/access_token",
            Self::Mkdir => "/upload/v1/oss/file/mkdir",
            Self::Create => "/upload/v1/oss/file/create",
            Self::GetUploadUrl => "/upload/v1/oss/file/get_upload_url",
            Self::ListUploadParts => "/upload/v1/oss/file/list_upload_parts",
            Self::UploadComplete => "/upload/v1/oss/file/upload_complete",
            Self::UploadAsyncResult => "/upload/v1/oss/file/upload_async_result",
            Self::Delete => "/api/v1/oss/file/delete",
            Self::Detail => "/api/v1/oss/file/detail",
            Self::List => "/api/v1/oss/file/list",
            Self::Move => "/api/v1/oss/file/move",
            Self::UserInfo => "/api/v1/user/info",
        }
    }

    /// The HTTP method.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Detail | Self::UserInfo => Method::GET,
            _ => Method::POST,
        }
    }

    /// Calls a second to start with: the value that `003` documents for the endpoint or for its
    /// sibling of the cloud drive, and 5 where there is no sibling.
    pub(super) fn documented_rate(self) -> u32 {
        match self {
            Self::AccessToken | Self::Delete | Self::Move | Self::UserInfo => 1,
            Self::Mkdir | Self::Create => 2,
            Self::List => 4,
            Self::GetUploadUrl
            | Self::ListUploadParts
            | Self::UploadComplete
            | Self::UploadAsyncResult
            | Self::Detail => 5,
        }
    }

    /// What a second request does.
    ///
    /// A file ID is never given out again, so deleting it twice is deleting it once.
    pub(super) fn repeat(self) -> Repeat {
        match self {
            Self::AccessToken
            | Self::GetUploadUrl
            | Self::ListUploadParts
            | Self::UploadAsyncResult
            | Self::Detail
            | Self::List
            | Self::UserInfo => Repeat::Harmless,
            Self::Delete => Repeat::Idempotent,
            Self::Mkdir | Self::Create | Self::UploadComplete | Self::Move => Repeat::Never,
        }
    }

    /// The least time between two tries: 1 s between polls is documented.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::UploadAsyncResult => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_place_in_all() {
        for (place, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint.index(), place);
        }
    }

    #[test]
    fn a_name_ends_its_path() {
        for endpoint in Endpoint::ALL {
            assert!(endpoint.path().ends_with(&format!("/{}", endpoint.name())));
        }
    }
}
