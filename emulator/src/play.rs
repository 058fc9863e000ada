//! [`Play`]: what a request gets, with a fault or without.

use serde_json::Value;

use crate::cdn;
use crate::fault::FaultKind;
use crate::reply::{End, Reply};

/// What a request gets.
#[derive(Debug)]
pub(crate) enum Play {
    Answer(Box<Reply>),
    /// The connection is reset.
    Reset,
    /// Nothing, until the client goes.
    Hang,
}

const GARBAGE: &str = "{\"code\":0,\"message\":\"ok\",\"data\":{\"list\":[\u{fffd}";

impl Play {
    /// What a request gets in place of the work; None when the work is to be done.
    pub(crate) fn instead(kind: &FaultKind) -> Option<Play> {
        let reply = match kind {
            FaultKind::Reset => return Some(Play::Reset),
            FaultKind::Hang => return Some(Play::Hang),
            FaultKind::Refuse { code, message } => {
                Reply::envelope(*code, message, &Value::Null, false)
            }
            FaultKind::RefuseWith { status, code, message, retry_after } => {
                let reply = Reply::envelope(*code, message, &Value::Null, false);
                let reply = Reply { status: *status, ..reply };
                match retry_after {
                    Some(wait) => reply.header("Retry-After", wait.as_str()),
                    None => reply,
                }
            }
            FaultKind::Swallow => Reply::empty(200),
            FaultKind::Status(status) => Reply::html(*status),
            FaultKind::Garbage => Reply::text(200, "application/json", GARBAGE),
            FaultKind::EmptyObject => Reply::text(200, "application/json", "{}"),
            FaultKind::MissingData => Reply::envelope(0, "ok", &Value::Null, false),
            FaultKind::Expired => Reply::xml(403, "AccessDenied"),
            FaultKind::Instead(instead) => cdn::instead(*instead),
            _ => return None,
        };
        Some(Play::Answer(Box::new(reply)))
    }

    /// What a request gets when the work is done.
    pub(crate) fn after(kind: Option<&FaultKind>, reply: Reply) -> Play {
        let reply = match kind {
            Some(FaultKind::ResetAfter) => return Play::Reset,
            Some(FaultKind::HangAfter) => return Play::Hang,
            Some(FaultKind::LostAnswer) => Reply::html(502),
            Some(FaultKind::GarbageAfter) => Reply::text(200, "application/json", GARBAGE),
            Some(FaultKind::Slow(delay)) => Reply { delay: *delay, ..reply },
            Some(FaultKind::Truncate(bytes)) => Reply { end: End::Cut(*bytes), ..reply },
            Some(FaultKind::Stall(bytes)) => Reply { end: End::Stall(*bytes), ..reply },
            // What storage keeps is corrupt already.
            Some(FaultKind::Corrupt) => Reply { is_corrupt: true, ..reply },
            _ => reply,
        };
        Play::Answer(Box::new(reply))
    }
}
