//! What comes from a direct link in place of the bytes: told apart by what it is, for each wants
//! something else of who reads.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use super::error::{Error, Reply};
use super::scrub::scrub;
use super::tolerant;

/// The longest body that is read for what it says, in bytes.
pub(super) const LONGEST: u64 = 16 << 10;

/// The code for who reads in another region than the one who asked for the link.
const OTHER_REGION: i64 = 1010;

/// The code for a quota of traffic that is used up.
const NO_TRAFFIC: i64 = 5113;

/// Files that are pictures, by the ends of their names.
const PICTURES: [&str; 11] =
    ["png", "gif", "jpeg", "jpg", "tiff", "tif", "webp", "svg", "bmp", "avif", "ico"];

/// Files that are videos.
const VIDEOS: [&str; 6] = ["mp4", "webm", "mov", "flv", "ts", "m3u8"];

/// What came in place of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// A refusal for the region that is read from.
    Region,
    /// A refusal for too many requests; the address is the reader's.
    Banned(String),
    /// The same, known from before: it is not asked again for that long.
    StillBanned(String, Duration),
    /// A refusal for traffic that is used up.
    NoTraffic,
    /// A video.
    Video,
    /// A page of text.
    Page,
}

impl Instead {
    /// Whether the reader is refused, rather than served something else.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Video | Self::Page)
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region => f.write_str(
                "the CDN gives the bytes in another region only (code 1010): the link was asked for from \
                 elsewhere than it is read, as a VPN or a proxy does it",
            ),
            Self::Banned(address) => {
                write!(f, "the CDN has banned the address {address} for too many requests")
            }
            Self::StillBanned(address, left) => write!(
                f,
                "the CDN has banned the address {address} for too many requests, and is asked again in \
                 {} s",
                left.as_secs() + 1
            ),
            Self::NoTraffic => f.write_str(
                "the account's traffic for direct links is used up (code 5113): buy more, or wait for it",
            ),
            Self::Video => f.write_str(
                "the CDN sends a video in place of the picture, as it does where it suspects hot-linking",
            ),
            Self::Page => f.write_str(
                "a page of text comes in place of the picture, as where hot-linking is suspected, or from \
                 a proxy on the way",
            ),
        }
    }
}

/// The end of a file's name as its path has it, in lower case; nothing where it has none.
pub(super) fn extension(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or_else(String::new, |(_, end)| end.to_ascii_lowercase())
}

/// Whether a type of content is none that a file with this end of its name has.
pub(super) fn placeholder(kind: &str, own: &str, came_from: &str) -> Option<Instead> {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_picture = PICTURES.contains(&own);
    let is_video = kind.starts_with("video/") || (VIDEOS.contains(&came_from) && is_picture);
    if is_video && (is_picture || own.is_empty()) {
        return Some(Instead::Video);
    }
    let is_own = match &*kind {
        "text/html" | "application/xhtml+xml" => ["html", "htm", "xhtml"].contains(&own),
        "application/json" => ["json", "geojson", "map"].contains(&own),
        _ => true,
    };
    (!is_own).then_some(Instead::Page)
}

/// What a body says that is JSON with a code; `None` where it says nothing of that kind.
pub(super) fn said(body: &[u8], what: &str) -> Option<Error> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let code = tolerant::whole(answer.get("code")?)?;
    let what = what.to_owned();
    let text = |field: &str| answer.get(field).and_then(tolerant::text).unwrap_or_default();
    let reply = || Reply {
        code,
        message: scrub(&text("message"), &[]),
        trace_id: scrub(&text("x-traceID"), &[]),
    };
    Some(match (code, address(&answer)) {
        (0, _) => return None,
        (OTHER_REGION, _) => Error::Instead { what, instead: Instead::Region },
        (403, Some(address)) => {
            Error::Instead { what, instead: Instead::Banned(address.to_string()) }
        }
        (NO_TRAFFIC, _) => Error::Instead { what, instead: Instead::NoTraffic },
        (401 | 403 | 410, _) => Error::Expired { what, status: 403 },
        (404 | 5066, _) => Error::NotFound { what, cause: reply().to_string() },
        (429, _) => Error::Unavailable { what, cause: reply().to_string() },
        _ => Error::Refused { what, reply: reply() },
    })
}

/// The first address of a machine in the texts of an answer.
fn address(answer: &Value) -> Option<IpAddr> {
    match answer {
        Value::String(text) => {
            let is_of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
            let mut words = text.split(|c| !is_of_address(c));
            words.find_map(|word| word.trim_matches('.').trim_end_matches(':').parse().ok())
        }
        Value::Array(all) => all.iter().find_map(address),
        Value::Object(all) => all.values().find_map(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_says_is_told_apart() {
        let instead = |body: &str| match said(body.as_bytes(), "read it")? {
            Error::Instead { instead, .. } => Some(instead),
            _ => None,
        };
        assert_eq!(instead(r#"{"code":1010,"message":"x"}"#), Some(Instead::Region));
        assert_eq!(instead(r#"{"code":"1010"}"#), Some(Instead::Region));
        let banned = Some(Instead::Banned("203.0.113.9".into()));
        for body in [
            r#"{"code":"403","message":"IP 203.0.113.9 请求过多"}"#,
            r#"{"code":403,"data":{"clientIP":"203.0.113.9"},"message":""}"#,
            r#"{"code":"403","message":"forbidden (ip: 203.0.113.9)."}"#,
        ] {
            assert_eq!(instead(body), banned, "{body}");
        }
        let six = r#"{"code":"403","ip":"2001:db8::1","at":"12:30:05"}"#;
        assert_eq!(instead(six), Some(Instead::Banned("2001:db8::1".into())));
        let error = |body: &str| said(body.as_bytes(), "read it").expect("it says something");
        assert!(error(r#"{"code":"403","message":"at 12:30:05"}"#).is_expired());
        assert_eq!(instead(r#"{"code":5113,"message":"x"}"#), Some(Instead::NoTraffic));
        assert!(error(r#"{"code":1,"message":"x"}"#).refusal().is_some());
        for body in [r#"{"code":0}"#, "{}", "[1]", "<html>", "", r#"{"code":null}"#] {
            assert_eq!(said(body.as_bytes(), "read it"), None, "{body}");
        }
    }

    #[test]
    fn a_placeholder_is_of_a_kind_that_the_file_is_not_of() {
        let of = |kind: &str, own: &str| placeholder(kind, own, own);
        assert_eq!(of("video/mp4", "jpg"), Some(Instead::Video));
        assert_eq!(of("VIDEO/mp2t", ""), Some(Instead::Video));
        assert_eq!(placeholder("application/octet-stream", "png", "mp4"), Some(Instead::Video));
        assert_eq!(of("text/html; charset=utf-8", "webp"), Some(Instead::Page));
        assert_eq!(of("application/json", "jpg"), Some(Instead::Page));
        for (kind, own) in [
            ("image/jpeg", "png"),
            ("", "png"),
            ("text/html", "html"),
            ("application/json", "json"),
            ("video/mp4", "mp4"),
            ("text/plain", "txt"),
        ] {
            assert_eq!(of(kind, own), None, "{kind} {own}");
        }
    }
}
