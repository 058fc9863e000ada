//! Listings and details: rows as the documents spell them.

use std::io;

use serde_json::{Value, json};

use super::Call;
use crate::answers::{Answers, Cursor};
use crate::clock;
use crate::link::{Links, UID};
use crate::lock;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::tree::Tree;

/// The most rows of a page.
const LIMIT: u64 = 100;

/// What `lastFileId` is on the last page.
const LAST_PAGE: &str = "-1";

pub(super) fn detail(call: &Call) -> Result<Value, Refusal> {
    let links = call.server.links(call.options);
    let bed = lock(&call.server.bed);
    let answers = &call.options.answers;
    let tree = if answers.detail_lags { bed.view() } else { bed.tree() };
    let node = tree.get(call.fields.text("fileID")?).ok_or_else(Refusal::no_such_file)?;
    Ok(row(tree, node, &links, answers)?)
}

pub(super) fn list(call: &Call) -> Result<Value, Refusal> {
    let Call { server, options, fields } = call;
    let limit = fields.number("limit")?;
    if !(1..=LIMIT).contains(&limit) {
        return Err(Refusal::breach(format!("limit is {limit}, not 1 to {LIMIT}")));
    }
    let bed = lock(&server.bed);
    let tree = bed.view();
    let parent = fields.optional_text("parentFileId")?.unwrap_or_default();
    let folder = tree.folder(parent).ok_or_else(Refusal::no_such_file)?;
    let times = Times {
        start: fields.optional_number("startTime")?,
        end: fields.optional_number("endTime")?,
    };
    let last = fields.optional_text("lastFileId")?.filter(|last| !last.is_empty());
    let from = match last.map(|last| tree.place(last)) {
        Some(None) => return Err(Refusal::generic("lastFileId does not exist")),
        place => place.flatten(),
    };
    let cursor = options.answers.cursor;
    let is_new = |node: &&Node| cursor == Cursor::NextFirst || last != Some(node.id.as_ref());
    let rows = tree.listing(&folder.id, options.answers.order, from);
    let (page, last) = page(rows.filter(is_new).filter(|node| times.hold(node)), limit, cursor);
    let links = server.links(options);
    let rows = page.into_iter().map(|node| row(tree, node, &links, &options.answers));
    Ok(json!({"lastFileId": last, "fileList": rows.collect::<io::Result<Vec<_>>>()?}))
}

/// A page of at most `limit` rows, and the `lastFileId` that belongs to it.
fn page<'a>(
    mut rows: impl Iterator<Item = &'a Node>, limit: u64, cursor: Cursor,
) -> (Vec<&'a Node>, &'a str) {
    let page: Vec<&Node> = rows.by_ref().take(limit as usize).collect();
    let shown = match (rows.next(), cursor) {
        (None, _) => None,
        (Some(next), Cursor::NextFirst) => Some(next),
        (Some(_), Cursor::ThisLast) => page.last().copied(),
    };
    (page, shown.map_or(LAST_PAGE, |node| &node.id))
}

/// The bounds of a listing by time of creation, in Unix seconds, both included.
struct Times {
    start: Option<u64>,
    end: Option<u64>,
}

impl Times {
    fn hold(&self, node: &Node) -> bool {
        if self.start.is_none() && self.end.is_none() {
            return true;
        }
        let created =
            clock::unix_second(&node.created).and_then(|second| u64::try_from(second).ok());
        created.is_some_and(|at| {
            self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
        })
    }
}

fn row(tree: &Tree, node: &Node, links: &Links, answers: &Answers) -> io::Result<Value> {
    let parent = node.parent.as_ref().and_then(|parent| tree.get(parent));
    let is_folder = node.is_folder();
    Ok(json!({
        "fileId": *node.id,
        "filename": *node.name,
        "parentFileId": parent.map_or("", |parent| &parent.id),
        "type": u8::from(is_folder),
        "etag": node.file.as_ref().filter(|_| answers.tells_md5).map_or(Ok(""), |file| file.md5())?,
        "size": node.size(),
        "status": node.status,
        "s3KeyFlag": if is_folder { String::new() } else { format!("{UID}-0") },
        "storageNode": if is_folder { "" } else { "m76" },
        "createAt": *node.created,
        "updateAt": *node.updated,
        "downloadURL": links.download(node),
        "ossIndex": if is_folder { 42 } else { 43 },
        "totalTraffic": node.traffic(),
        "parentFilename": parent.map_or("", |parent| &parent.name),
        "extension": node.extension(),
        "userSelfURL": links.own(node),
    }))
}
