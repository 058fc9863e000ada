//! [`Row`]: a file or folder as a test sees it, behind the service's back.

use crate::link::Links;
use crate::node::Node;

/// A file or folder of the bed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The opaque ID.
    pub id: String,
    /// The name in its folder.
    pub name: String,
    /// The md5 that listings show, in lower-case hex; empty for a folder.
    pub md5: String,
    /// The bytes that listings show; 0 for a folder.
    pub size: u64,
    /// The moderation status; over 100 is rejected.
    pub status: i64,
    /// Bytes served by the direct link.
    pub traffic: u64,
    /// The direct link, with a fresh signature if links are signed; empty for a folder.
    pub url: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// When it was created, as the service spells times.
    pub created: String,
    /// When it was changed, as the service spells times.
    pub updated: String,
}

impl Row {
    pub(crate) fn of(node: &Node, links: &Links) -> std::io::Result<Row> {
        Ok(Row {
            id: node.id.as_ref().to_owned(),
            name: node.name.as_ref().to_owned(),
            md5: node.file.as_ref().map_or(Ok(""), |file| file.md5())?.to_owned(),
            size: node.size(),
            status: node.status,
            traffic: node.traffic(),
            url: links.download(node),
            is_folder: node.is_folder(),
            created: node.created.as_ref().to_owned(),
            updated: node.updated.as_ref().to_owned(),
        })
    }
}
