//! The host of direct links: serves the bytes of files, and counts them as traffic.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::Value;

use crate::answers::{Answers, RangeAnswer, Redirect, Validator};
use crate::clock;
use crate::connection::Door;
use crate::digest;
use crate::fault::Instead;
use crate::head::Head;
use crate::ledger::TrafficRow;
use crate::link;
use crate::lock;
use crate::node::{FileData, NOT_REJECTED, Node};
use crate::options::Options;
use crate::reply::{Body, Reply};
use crate::server::Server;

/// Where logs of hours are.
pub(crate) const LOGS: &str = "/offline-logs/";

/// Where hot-links are redirected to.
pub(crate) const VIDEO: &str = "/hot-link.mp4";

/// The `fileSource` of the image bed.
const IMAGE_BED: u8 = 2;

/// The code of the service for a quota of traffic that is used up.
const NO_TRAFFIC_LEFT: i64 = 5113;

/// Answers a request for a direct link, at the link's own host or at the one it redirects to.
pub(crate) fn answer(server: &Server, options: &Options, head: &Head, door: Door) -> Reply {
    if let Some(refusal) = refuse(server, options, head, door) {
        return refusal;
    }
    let Some(node) = linked(server, head.path()) else {
        return Reply::xml(404, "NoSuchKey");
    };
    let Some(file) = &node.file else {
        return Reply::xml(404, "NoSuchKey");
    };
    if node.status > NOT_REJECTED {
        return Reply::xml(403, "AccessDenied");
    }
    if options.answers.redirect == Redirect::OtherHost && door == Door::Main {
        return Reply::empty(302).header("Location", format!("{}{}", server.other, head.target));
    }
    if server.traffic() >= options.traffic_left {
        let refusal = Reply::envelope(NO_TRAFFIC_LEFT, "下载流量已用完", &Value::Null, false);
        return Reply { status: 403, ..refusal };
    }
    let mut reply =
        content(file, head, &options.answers).header("Content-Type", content_type(&node));
    if let Some(tag) = tag(file, options.answers.validator) {
        reply = reply.header("ETag", format!("\"{tag}\""));
    }
    if matches!(reply.body, Body::Content(..)) {
        reply.meter.count_into(&file.traffic);
        reply.meter.count_into(&server.traffic);
        reply.meter.count_into(&logged(server, options, &node, file));
    }
    reply
}

/// The counter of the row of the traffic log that says what the link serves in this hour.
fn logged(server: &Server, options: &Options, node: &Node, file: &FileData) -> Arc<AtomicU64> {
    let url = server.links(options).plain(node);
    let path = format!("/{}", lock(&server.bed).tree().path(&node.id));
    let at = clock::now(options.clock_ahead);
    lock(&server.ledger).served(&url, at, || TrafficRow {
        at,
        unique_id: digest::trace_id(),
        file_name: node.name.to_string(),
        file_size: file.size,
        file_path: path,
        url: url.clone(),
        source: IMAGE_BED,
        bytes: Arc::default(),
    })
}

/// What is sent in place of the bytes of a link.
pub(crate) fn instead(instead: Instead) -> Reply {
    match instead {
        Instead::Region(status) => {
            let body = r#"{"code":1010,"message":"当前地区无法访问","data":null}"#;
            Reply::text(status, "application/json", body)
        }
        Instead::Banned(status) => {
            let body = r#"{"code":"403","message":"request too many","ip":"203.0.113.9"}"#;
            Reply::text(status, "application/json; charset=utf-8", body)
        }
        Instead::Video => Reply::empty(302).header("Location", VIDEO),
        Instead::Page => Reply::html(200),
    }
}

/// The short video that hot-links are redirected to.
pub(crate) fn video() -> Reply {
    Reply::text(200, "video/mp4", &b"\0\0\0\x18ftypmp42 do not hot-link"[..])
}

/// A log of an hour, by the address that the service gave for it.
pub(crate) fn offline_log(server: &Server, head: &Head) -> Reply {
    if !head.api_headers().is_empty() {
        server.record.breach("offline-log", "API headers sent to a presigned address");
        return Reply::xml(403, "AccessDenied");
    }
    let name = head.path().strip_prefix(LOGS).unwrap_or_default();
    let ledger = lock(&server.ledger);
    let asked = ledger.logs.iter().find(|log| format!("{}-{}.gz", log.id, log.key) == name);
    match asked {
        Some(log) => Reply::new(200, Body::Bytes(log.bytes.to_vec().into())),
        None => Reply::xml(404, "NoSuchKey"),
    }
}

/// The validator of what is served; None as well where the content cannot be read.
fn tag(file: &FileData, validator: Validator) -> Option<String> {
    match validator {
        Validator::None => None,
        Validator::Content => file.content.md5().ok(),
        Validator::EachAnswer => Some(digest::trace_id()),
    }
}

/// The answer to a request that is wrong whatever the link leads to.
fn refuse(server: &Server, options: &Options, head: &Head, door: Door) -> Option<Reply> {
    let secrets = head.api_headers();
    if !secrets.is_empty() {
        let name = if door == Door::Main { "cdn" } else { "cdn2" };
        let what = format!("{} sent to a direct link", secrets.join(" and "));
        server.record.breach(name, &what);
        if door == Door::Other {
            return Some(Reply::xml(403, "AccessDenied"));
        }
    }
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return Some(Reply::html(405));
    }
    if !server.links(options).admits(head) {
        return Some(Reply::xml(403, "AccessDenied"));
    }
    None
}

/// The file that a link's path names, with the extension it has.
fn linked(server: &Server, path: &str) -> Option<Node> {
    let (id, extension) = link::parse(path)?;
    let bed = lock(&server.bed);
    bed.tree().get(&id).filter(|node| node.extension() == extension).cloned()
}

/// The bytes that are asked for.
fn content(file: &FileData, head: &Head, answers: &Answers) -> Reply {
    let length = file.content.len();
    let whole = || Reply::new(200, Body::Content(file.content.clone(), 0..length));
    if answers.range == RangeAnswer::Ignore {
        return whole();
    }
    let reply = match head.header("range").map(|range| parse_range(range, length)) {
        None | Some(Asked::Whole) => whole(),
        Some(Asked::Part(range)) => {
            let shown = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            Reply::new(206, Body::Content(file.content.clone(), range))
                .header("Content-Range", shown)
        }
        Some(Asked::Nothing) => {
            Reply::empty(416).header("Content-Range", format!("bytes */{length}"))
        }
    };
    reply.header("Accept-Ranges", "bytes")
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    /// Everything: the header is one that a server may ignore.
    Whole,
    Part(Range<u64>),
    /// Nothing that is there.
    Nothing,
}

fn parse_range(header: &str, length: u64) -> Asked {
    let parsed = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((first, last)) = parsed else {
        return Asked::Whole;
    };
    let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, length),
        (Err(_), Ok(count)) if first.trim().is_empty() => (length.saturating_sub(count), length),
        _ => return Asked::Whole,
    };
    if start < end { Asked::Part(start..end) } else { Asked::Nothing }
}

fn content_type(node: &Node) -> &'static str {
    match node.extension().to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "bmp" => "image/bmp",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, parse_range};

    #[test]
    fn ranges_are_cut_at_the_end() {
        assert_eq!(parse_range("bytes=0-3", 10), Asked::Part(0..4));
        assert_eq!(parse_range("bytes=8-99", 10), Asked::Part(8..10));
        assert_eq!(parse_range("bytes=4-", 10), Asked::Part(4..10));
        assert_eq!(parse_range("bytes=-3", 10), Asked::Part(7..10));
        assert_eq!(parse_range("bytes=-30", 10), Asked::Part(0..10));
    }

    #[test]
    fn ranges_beyond_the_end_are_not_there() {
        assert_eq!(parse_range("bytes=10-", 10), Asked::Nothing);
        assert_eq!(parse_range("bytes=-0", 10), Asked::Nothing);
        assert_eq!(parse_range("bytes=0-0", 0), Asked::Nothing);
    }

    #[test]
    fn ranges_of_another_form_are_ignored() {
        assert_eq!(parse_range("bytes=5-2", 10), Asked::Whole);
        assert_eq!(parse_range("bytes=0-1,4-5", 10), Asked::Whole);
        assert_eq!(parse_range("pages=1-2", 10), Asked::Whole);
    }
}
