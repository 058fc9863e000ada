//! The error of this room: what was being done, what the service said, what is known of the bed.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::instead::Instead;
use super::scrub;
use crate::types::DeveloperRight;

/// An error envelope of the service (`003`: 接口响应参数), safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `code`; the HTTP status where the answer held no envelope.
    pub code: i64,
    /// `message`, without secrets and control characters; may be empty.
    pub message: String,
    /// `x-traceID`, which the service's support asks for; may be empty.
    pub trace_id: String,
}

/// Words of a reply that wants fewer calls.
const HASTE: [&str; 5] = ["频繁", "过快", "限流", "too many requests", "rate limit"];

impl Reply {
    /// What stands for an envelope where only an HTTP status came.
    pub(super) fn of_status(status: u16) -> Self {
        Self { code: status.into(), message: String::new(), trace_id: String::new() }
    }
}

/// Codes that say something else than that a login is not valid, whatever name the message quotes.
const NO_LOGIN: [i64; 6] = [404, 429, 5060, 5066, 5113, 20103];
/// Words of messages about a login that is not valid.
const LOGIN: [&str; 10] = [
    "登录",
    "登陆",
    "鉴权",
    "未授权",
    "login",
    "log in",
    "logged in",
    "sign in",
    "unauthorized",
    "unauthenticated",
];
/// A token is spoken of in other messages too, which have none of these words.
const INVALID: [&str; 6] = ["无效", "失效", "过期", "invalid", "expired", "not valid"];
/// Codes, and words of messages, that may be about the developer right.
const RIGHT_CODES: [i64; 3] = [401, 402, 403];
const RIGHT: [&str; 8] =
    ["开发者", "权益", "权限", "会员", "developer", "permission", "forbidden", "not allowed"];

impl Reply {
    /// Whether it speaks of a login or a token that is not valid, with whatever code.
    pub(super) fn speaks_of_login(&self) -> bool {
        let message = self.message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let is_of_token = message.contains("token") && says(&INVALID);
        self.code == 401 || (!NO_LOGIN.contains(&self.code) && (says(&LOGIN) || is_of_token))
    }

    /// Whether it speaks of too many calls, with whatever code.
    pub(super) fn speaks_of_haste(&self) -> bool {
        let message = self.message.to_lowercase();
        self.code == 429 || HASTE.iter().any(|word| message.contains(word))
    }

    /// Whether it may be about the developer right: then the account has to be asked for.
    fn may_mean_the_right(&self) -> bool {
        let message = self.message.to_lowercase();
        let is_open = message.is_empty() || RIGHT.iter().any(|word| message.contains(word));
        RIGHT_CODES.contains(&self.code) || (!NO_LOGIN.contains(&self.code) && is_open)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)?;
        if !self.message.is_empty() {
            write!(f, ", {:?}", self.message)?;
        }
        if !self.trace_id.is_empty() {
            write!(f, ", trace ID {}", self.trace_id)?;
        }
        Ok(())
    }
}

/// Why a call did not succeed.
///
/// `what` names the endpoint and the file, `cause` what was seen last. No message ever holds the
/// token, the client secret or the query of a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The client cannot be made from these settings.
    #[error("{0}")]
    Settings(String),
    /// The service says that the file or folder is not there, or a link leads nowhere.
    #[error("{what}: it is not there ({cause})")]
    NotFound {
        /// What was being done.
        what: String,
        /// What the service said.
        cause: String,
    },
    /// The credentials are not valid, or no longer.
    #[error(
        "{what}: the service does not accept the credentials ({reply}); \
         check the client ID and the client secret"
    )]
    Unauthorized {
        /// What was being done.
        what: String,
        /// What the service said.
        reply: Reply,
    },
    /// The service takes the credentials, and none of the calls that want the developer right.
    #[error(
        "{what}: the service takes the credentials, but refuses this account's calls ({reply}): {}",
        no_right(.right)
    )]
    NoRight {
        /// What was being done.
        what: String,
        /// What the service said.
        reply: Reply,
        /// The right, as the service told it.
        right: DeveloperRight,
    },
    /// The service refused the request: certainly not done, and not to be repeated as it is.
    #[error("{what}: refused by the service ({reply})")]
    Refused {
        /// What was being done.
        what: String,
        /// What the service said.
        reply: Reply,
    },
    /// An HTTP status that is no success, without an envelope.
    #[error("{what}: {host} answered with HTTP status {status}")]
    Status {
        /// What was being done.
        what: String,
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// A presigned URL or a direct link is not valid, or no longer: a new one may be.
    #[error("{what}: the link has expired or is not allowed (HTTP status {status}); get a new one")]
    Expired {
        /// What was being done.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// The request was sent and its answer never came or was garbage: look before repeating it.
    #[error("{what}: the answer was lost, so it may or may not have been done ({cause})")]
    Lost {
        /// What was being done.
        what: String,
        /// What came instead of the answer.
        cause: String,
    },
    /// The service is away or too busy, or its name leads nowhere: certainly not done.
    #[error("{what}: {}", scrub::unreached(.cause))]
    Unavailable {
        /// What was being done.
        what: String,
        /// What was seen last.
        cause: String,
    },
    /// A direct link serves something else than bytes of the file.
    #[error("{what}: {instead}")]
    Instead {
        /// What was being done.
        what: String,
        /// What comes in place of the bytes.
        instead: Instead,
    },
    /// The time ran out.
    #[error("{what}: no answer in time, given up after {seconds:.0} s ({cause})", seconds = waited.as_secs_f32())]
    TimedOut {
        /// What was being done.
        what: String,
        /// How long it was tried.
        waited: Duration,
        /// Whether it may have been done nevertheless.
        may_be_done: bool,
        /// What was seen last.
        cause: String,
    },
    /// The answer contradicts the documents; nothing may be concluded from it.
    #[error("{what}: the answer makes no sense ({cause})")]
    Garbled {
        /// What was being done.
        what: String,
        /// What is wrong with the answer.
        cause: String,
    },
    /// The local file whose bytes were being sent could not be read.
    #[error("{what}: the local file could not be read ({cause})")]
    Local {
        /// What was being done.
        what: String,
        /// What the system said.
        cause: String,
    },
}

/// Why calls are refused by a service that takes the token, and what to do.
fn no_right(right: &DeveloperRight) -> String {
    let now = Timestamp::now().as_second();
    let told = right.warning(now).filter(|_| right.is_held(now) == Some(false));
    told.unwrap_or_else(|| {
        "the developer right (开发者权益) of this account seems to have lapsed, see to it at 123pan; \
         bedfs goes on by itself within a minute once it is back"
            .to_owned()
    })
}

impl Error {
    pub(super) fn no_right(what: &str, reply: &Reply, right: DeveloperRight) -> Self {
        Self::NoRight { what: what.to_owned(), reply: reply.clone(), right }
    }

    /// Whether it may be for the lack of the developer right that the service said so.
    pub(super) fn may_mean_the_right(&self) -> bool {
        match self {
            Self::Refused { reply, .. } => reply.may_mean_the_right(),
            Self::Status { status, .. } => matches!(status, 402 | 403),
            _ => false,
        }
    }

    /// A refusal to give a token is one of the credentials.
    pub(super) fn of_credentials(self) -> Self {
        match self {
            Self::Refused { what, reply } => Self::Unauthorized { what, reply },
            other => other,
        }
    }

    /// Whether the service says that the file or folder is gone: an authoritative answer.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the credentials are not valid, or no longer.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    /// Whether the service takes the credentials, but not the account's calls: its developer right has
    /// lapsed.
    pub fn lacks_the_right(&self) -> bool {
        matches!(self, Self::NoRight { .. })
    }

    /// Whether the service has nothing to do with this account, for either reason.
    pub fn is_denied(&self) -> bool {
        self.is_unauthorized() || self.lacks_the_right()
    }

    /// Whether a presigned URL or a link has to be replaced by a new one.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired { .. })
    }

    /// Whether time ran out.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether the change may have been made although no success was reported: then only a look
    /// at the bed tells. `false` means certainly not made.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::TimedOut { may_be_done, .. } => *may_be_done,
            _ => false,
        }
    }

    /// Whether the CDN keeps its bytes from this reader, whatever the link.
    pub fn is_kept_back(&self) -> bool {
        matches!(self, Self::Instead { instead, .. } if instead.is_refusal())
    }

    /// Whether the same request may succeed later, as far as can be told. One that is denied says
    /// nothing of the file it is about.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unauthorized { .. }
            | Self::NoRight { .. }
            | Self::Lost { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Garbled { .. } => true,
            Self::Instead { instead, .. } => *instead == Instead::Page,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    /// Whether the service refused: certainly not done.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the service refuses what only a developer's account may ask (`000`, `001`), or
    /// refuses for another reason of its own.
    pub fn may_lack_a_right(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Status { status: 402 | 403, .. })
    }

    /// The refusal of the service: its code and message tell quota, size and names apart.
    pub fn refusal(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. } => Some(reply),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_everything() {
        let error = Error::Refused {
            what: "create \"a.jpg\"".into(),
            reply: Reply { code: 1, message: "重名".into(), trace_id: "t-1".into() },
        };
        assert_eq!(
            error.to_string(),
            "create \"a.jpg\": refused by the service (code 1, \"重名\", trace ID t-1)"
        );
        assert!(!error.may_be_done() && !error.is_transient());
    }
}
