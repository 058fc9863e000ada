//! The envelope: the JSON object every answer comes in (`003`: 接口响应参数), and the judgement of
//! an answer by it and by its HTTP status.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::Value;

use super::error::{Error, Reply};
use super::failure::{Failure, FailureKind};
use super::scrub::scrub;
use super::tolerant;

/// The code of an upload that is still being checked.
pub(super) const STILL_CHECKING: i64 = 20103;
/// How long to wait then.
const CHECKING: Duration = Duration::from_secs(1);

/// An answer as it came from the API host.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The header `Retry-After`, where it is a number of seconds.
    pub(super) retry_after: Option<Duration>,
    /// The header `Date`, where it can be read.
    pub(super) date: Option<Timestamp>,
    pub(super) body: Vec<u8>,
}

/// Who is asking, for the messages.
pub(super) struct Asking<'a> {
    /// The endpoint and the file.
    pub(super) what: &'a str,
    /// The API host.
    pub(super) host: &'a str,
    /// What no message may hold.
    pub(super) secrets: &'a [&'a str],
}

struct Envelope {
    reply: Reply,
    data: Value,
}

impl Envelope {
    /// Any object with a `code` that is a number, be it in quotes.
    fn read(body: &[u8], secrets: &[&str]) -> Option<Self> {
        let mut answer: Value = serde_json::from_slice(body).ok()?;
        let code = tolerant::whole(answer.get("code")?)?;
        let shown = |field: &str| {
            let text = answer.get(field).and_then(tolerant::text);
            scrub(&text.unwrap_or_default(), secrets)
        };
        let reply = Reply { code, message: shown("message"), trace_id: shown("x-traceID") };
        let data = answer.get_mut("data").map(Value::take).unwrap_or_default();
        Some(Self { reply, data })
    }
}

impl Answer {
    /// The `data` of a success, or why there is none.
    ///
    /// A code other than 0 is stronger than the HTTP status, for an error can come with status
    /// 200. The server's trouble, no refusal, is what a gateway says for it, and a code in the 500s
    /// beside a status in the 500s.
    pub(super) fn judge(self, asking: &Asking<'_>) -> Result<Value, Failure> {
        let status = self.status;
        let envelope = Envelope::read(&self.body, asking.secrets);
        let reply = envelope
            .as_ref()
            .map_or_else(|| Reply::of_status(status.as_u16()), |envelope| envelope.reply.clone());
        let cause = match envelope {
            Some(_) => format!("HTTP status {}, {reply}", status.as_u16()),
            None => format!("HTTP status {}, no envelope of JSON", status.as_u16()),
        };
        let is_login = reply.code != 0 && reply.speaks_of_login();
        if status == StatusCode::UNAUTHORIZED || is_login {
            return Err(Failure::new(FailureKind::Denied(reply), cause));
        }
        if status == StatusCode::TOO_MANY_REQUESTS || reply.speaks_of_haste() {
            return Err(self.failure(FailureKind::Throttled, cause));
        }
        let is_gateway = matches!(status.as_u16(), 502..=504);
        let is_of_server = status.is_server_error() && (500..600).contains(&reply.code);
        let trouble = is_gateway || is_of_server;
        match envelope {
            Some(envelope) if reply.code == 0 && status.is_success() => Ok(envelope.data),
            Some(_) if reply.code != 0 && !trouble => Err(refusal(asking, reply, cause)),
            _ if status.is_success() => Err(Failure::new(FailureKind::Garbled, cause)),
            _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Err(self.failure(FailureKind::Broken, cause))
            }
            _ => Err(Failure::last_word(Error::Status {
                what: asking.what.to_owned(),
                host: asking.host.to_owned(),
                status: status.as_u16(),
            })),
        }
    }

    fn failure(&self, kind: FailureKind, cause: String) -> Failure {
        Failure { kind, cause, wait: self.retry_after.unwrap_or_default() }
    }
}

/// What a code other than 0, 401 and 429 means.
fn refusal(asking: &Asking<'_>, reply: Reply, cause: String) -> Failure {
    let what = asking.what.to_owned();
    match reply.code {
        STILL_CHECKING => Failure { kind: FailureKind::Checking(reply), cause, wait: CHECKING },
        404 | 5066 => Failure::last_word(Error::NotFound { what, cause: reply.to_string() }),
        _ => Failure::last_word(Error::Refused { what, reply }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, body: &str) -> Result<Value, Failure> {
        let answer = Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: None,
            date: None,
            body: body.into(),
        };
        answer.judge(&Asking { what: "it", host: "http://host", secrets: &["T0KEN-8765"] })
    }

    fn word(status: u16, body: &str) -> Option<Error> {
        match judge(status, body).err()?.kind {
            FailureKind::Final(error) => Some(*error),
            _ => None,
        }
    }

    #[test]
    fn success_is_code_0_in_any_spelling() {
        let data = judge(200, r#"{"code":"0","data":{"a":1},"more":[]}"#);
        assert_eq!(data.ok(), Some(serde_json::json!({"a": 1})));
        assert_eq!(judge(200, r#"{"code":0}"#).ok(), Some(Value::Null));
    }

    #[test]
    fn codes_are_stronger_than_the_status() {
        let denied = |status, body| {
            let failure = judge(status, body).err();
            failure.is_some_and(|failure| matches!(failure.kind, FailureKind::Denied(_)))
        };
        assert!(denied(200, r#"{"code":"401"}"#) && denied(401, "<html>"));
        let throttled = |status, body| {
            let failure = judge(status, body).err();
            failure.is_some_and(|failure| matches!(failure.kind, FailureKind::Throttled))
        };
        assert!(throttled(200, r#"{"code":429}"#) && throttled(429, ""));
        assert!(throttled(200, r#"{"code":1,"message":"操作频繁，请稍后再试"}"#));
        assert!(word(200, r#"{"code":5066}"#).is_some_and(|error| error.is_not_found()));
        assert!(word(500, r#"{"code":1}"#).is_some_and(|error| error.refusal().is_some()));
    }

    #[test]
    fn what_is_no_envelope_may_have_been_done() {
        for (status, body) in [
            (200, ""),
            (200, "<html>"),
            (200, "{}"),
            (200, "[]"),
            (200, r#"{"code":null}"#),
            (502, "<html>"),
            (503, r#"{"code":503}"#),
            (503, r#"{"code":1}"#),
            (500, r#"{"code":0}"#),
        ] {
            let failure = judge(status, body).expect_err("no success");
            assert!(failure.is_unsure(), "{status} {body}");
        }
    }

    #[test]
    fn a_client_error_without_envelope_is_an_error_but_says_nothing_of_the_file() {
        let error = word(404, "<html>").expect("final");
        assert!(matches!(error, Error::Status { status: 404, .. }));
    }

    #[test]
    fn messages_hold_the_trace_and_no_secret() {
        let body = r#"{"code":1,"message":"bad T0KEN-8765","data":null,"x-traceID":"t-9"}"#;
        let message = word(200, body).expect("refused").to_string();
        assert_eq!(message, r#"it: refused by the service (code 1, "bad ***", trace ID t-9)"#);
    }
}
