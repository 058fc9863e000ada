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
    TrafficLog,
    OfflineLogs,
    DriveLink,
    PaidShares,
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
    pub(super) const ALL: [Self; 16] = [
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
        Self::TrafficLog,
        Self::OfflineLogs,
        Self::DriveLink,
        Self::PaidShares,
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
            Self::TrafficLog => "direct-link/log",
            Self::OfflineLogs => "direct-link/offline/logs",
            Self::DriveLink => "direct-link/url",
            Self::PaidShares => "share/payment/list",
        }
    }

    /// The path below the base URL (`000` to `004`; `move` and `user/info` are in newer pages only).
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
            Self::TrafficLog => "/api/v1/direct-link/log",
            Self::OfflineLogs => "/api/v1/direct-link/offline/logs",
            Self::DriveLink => "/api/v1/direct-link/url",
            Self::PaidShares => "/api/v1/share/payment/list",
        }
    }

    /// The HTTP method.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Detail | Self::UserInfo => Method::GET,
            Self::TrafficLog | Self::OfflineLogs | Self::DriveLink | Self::PaidShares => {
                Method::GET
            }
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
            | Self::Detail
            | Self::TrafficLog
            | Self::OfflineLogs
            | Self::DriveLink => 5,
            Self::PaidShares => 10,
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
            | Self::UserInfo
            | Self::TrafficLog
            | Self::OfflineLogs
            | Self::DriveLink
            | Self::PaidShares => Repeat::Harmless,
            Self::Delete => Repeat::Idempotent,
            Self::Mkdir | Self::Create | Self::UploadComplete | Self::Move => Repeat::Never,
        }
    }

    /// Whether it asks how far an upload is, so that "still being checked" is an answer to it.
    pub(super) fn asks_for_upload(self) -> bool {
        matches!(self, Self::UploadComplete | Self::UploadAsyncResult)
    }

    /// Whether it is of the image bed, all of which is refused when the developer right has lapsed.
    pub(super) fn is_of_bed(self) -> bool {
        self.path().contains("/oss/")
    }

    /// Whether it wants a right of its own beyond a valid token: "此接口需要开通开发者权益" (`000`, `001`).
    /// A refusal then may not be the token's.
    pub(super) fn wants_a_right(self) -> bool {
        matches!(self, Self::TrafficLog | Self::OfflineLogs | Self::DriveLink | Self::PaidShares)
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
