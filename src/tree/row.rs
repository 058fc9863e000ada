//! A row: what a listing told of a file, packed.
//!
//! All files of a folder of 100,000 are held in memory. Packed, a row takes what its ID takes and
//! some 30 bytes more; what the rows of a folder have in common is kept once, as a *shape*.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{Entry, EntryKind, FileId, Link, Md5, Picture};

/// Stands for the ID in the pattern of a link. No link has it.
const HOLE: &str = "\0";

/// A packed row; an empty one is that of a file which the service has not got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row(Box<[u8]>);

/// What is packed.
#[derive(Serialize, Deserialize)]
pub(super) struct Packed<'a> {
    shape: u32,
    #[serde(borrow)]
    pub(super) id: &'a str,
    /// The name at the service, where the mount shows another.
    name: Option<&'a str>,
    pub(super) size: u64,
    pub(super) md5: Option<[u8; 16]>,
    created: i64,
    /// After `created`, as most are changed in the second in which they are made.
    updated: i64,
    status: i64,
    traffic: u64,
    /// Links of a pattern that no other row has.
    link: Option<(&'a str, Option<&'a str>)>,
}

/// What the rows of a folder have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shape {
    parent: FileId,
    /// As in `Link`, with `HOLE` for the ID.
    link: Option<(Box<str>, Option<Box<str>>)>,
}

/// All shapes, by number.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    all: Vec<Arc<Shape>>,
    numbers: HashMap<Arc<Shape>, u32>,
}

impl Shapes {
    fn number(&mut self, shape: Shape) -> u32 {
        if let Some(number) = self.numbers.get(&shape) {
            return *number;
        }
        let number = self.all.len() as u32;
        let shape = Arc::new(shape);
        self.all.push(shape.clone());
        self.numbers.insert(shape, number);
        number
    }

    /// Packs the row of a file that the mount shows as `shown`.
    pub(super) fn pack(&mut self, entry: &Entry, shown: &str) -> Row {
        let Some(picture) = entry.picture() else { return Row::default() };
        let id = entry.id.as_str();
        let link = picture.link.as_ref();
        let shared = link.and_then(|link| {
            let own = match &link.own {
                Some(own) => Some(pattern(own, id)?),
                None => None,
            };
            Some((pattern(&link.download, id)?, own))
        });
        let alone = link.filter(|_| shared.is_none());
        let shape = Shape { parent: entry.parent.clone(), link: shared };
        let packed = Packed {
            shape: self.number(shape),
            id,
            name: Some(&*entry.name).filter(|name| *name != shown),
            size: picture.size,
            md5: picture.md5.map(|md5| *md5.bytes()),
            created: entry.created,
            updated: entry.updated.wrapping_sub(entry.created),
            status: picture.status,
            traffic: picture.traffic,
            link: alone.map(|link| (&*link.download, link.own.as_deref())),
        };
        let bytes = postcard::to_allocvec(&packed).expect("numbers and texts are always packed");
        Row(bytes.into())
    }

    /// The row of a file that the mount shows as `shown`.
    pub(super) fn unpack(&self, row: &Row, shown: &str) -> Option<Entry> {
        let packed = row.read()?;
        let shape = &self.all[packed.shape as usize];
        let fill = |pattern: &str| pattern.replace(HOLE, packed.id).into();
        let shared = shape.link.as_ref().map(|(download, own)| Link {
            download: fill(download),
            own: own.as_deref().map(fill),
        });
        let alone = packed
            .link
            .map(|(download, own)| Link { download: download.into(), own: own.map(Into::into) });
        Some(Entry {
            id: FileId::new(packed.id),
            name: packed.name.unwrap_or(shown).into(),
            parent: shape.parent.clone(),
            created: packed.created,
            updated: packed.created.wrapping_add(packed.updated),
            kind: EntryKind::File(Picture {
                size: packed.size,
                md5: packed.md5.map(Md5::new),
                status: packed.status,
                traffic: packed.traffic,
                link: shared.or(alone),
            }),
        })
    }
}

/// A link with a hole for the ID, if other rows may have the same. One with a query is signed.
fn pattern(url: &str, id: &str) -> Option<Box<str>> {
    let is_shared = url.is_empty() || (url.contains(id) && !url.contains(['?', '\0']));
    is_shared.then(|| url.replace(id, HOLE).into())
}

impl Row {
    /// What is packed; `None` for a file that the service has not got.
    pub(super) fn read(&self) -> Option<Packed<'_>> {
        if self.0.is_empty() {
            return None;
        }
        Some(postcard::from_bytes(&self.0).expect("it was packed here"))
    }

    /// The ID of the object.
    pub(super) fn id(&self) -> Option<&str> {
        self.read().map(|packed| packed.id)
    }
}

impl<'a> Packed<'a> {
    /// The name at the service of a file that the mount shows as `shown`.
    pub(super) fn name(&self, shown: &'a str) -> &'a str {
        self.name.unwrap_or(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ymjew503t0m000d7w32xormjidkak3rgDIYPAIDOBIY0DcxvDwFO";

    fn entry(link: Option<Link>) -> Entry {
        Entry {
            id: FileId::new(ID),
            name: "图.jpg".into(),
            parent: FileId::new("folder"),
            created: 1_700_000_000,
            updated: 1_700_000_007,
            kind: EntryKind::File(Picture {
                size: 123_456,
                md5: Some(Md5::new([7; 16])),
                status: 2,
                traffic: 99,
                link,
            }),
        }
    }

    fn link(download: &str, own: Option<&str>) -> Option<Link> {
        let fill = |url: &str| url.replace("ID", ID).into();
        Some(Link { download: fill(download), own: own.map(fill) })
    }

    #[test]
    fn a_row_is_unpacked_as_it_was_packed() {
        let mut shapes = Shapes::default();
        for link in [
            None,
            link("https://vip/1/ID.jpg", None),
            link("https://vip/1/ID.jpg", Some("")),
            link("https://vip/1/ID.jpg", Some("https://me/ID.jpg")),
            link("https://vip/1/ID.jpg?auth_key=1-2", Some("https://me/ID.jpg")),
            link("https://vip/other.jpg", None),
        ] {
            let entry = entry(link);
            for shown in ["图.jpg", "another"] {
                let row = shapes.pack(&entry, shown);
                assert_eq!(shapes.unpack(&row, shown), Some(entry.clone()));
            }
        }
        assert_eq!(shapes.unpack(&Row::default(), "x"), None);
    }

    #[test]
    fn a_row_of_a_usual_link_takes_its_id_and_little_more() {
        let mut shapes = Shapes::default();
        let row = shapes.pack(&entry(link("https://vip/1/ID.jpg", None)), "图.jpg");
        assert!(row.0.len() <= ID.len() + 36, "{}", row.0.len());
        let signed = entry(link("https://vip/1/ID.jpg?auth_key=1", None));
        shapes.pack(&signed, "图.jpg");
        shapes.pack(&entry(None), "图.jpg");
        assert_eq!(shapes.all.len(), 2, "what has a signature shares no pattern");
    }
}
