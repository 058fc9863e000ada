//! A listing: the pages of a folder, and the walk over all of them.
//!
//! Only a complete listing may make anything disappear, so whatever is odd about the pages makes
//! the walk an error, never a shorter listing.

use std::collections::HashSet;

use md5::{Digest, Md5 as Hasher};

use super::client::{Client, about};
use super::error::Error;
use super::wire::{Garbage, ListAnswer};
use crate::types::{Entry, FileId};

/// Rows in a full page (`003`: "最大不超过100").
pub(super) const PAGE: usize = 100;
/// So many pages in a row that bring nothing new are a service that never comes to an end.
const MOST_BARREN: u32 = 3;

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows, in the service's order. A row may come again on the next page.
    pub entries: Vec<Entry>,
    /// What to ask the next page with; `None` on the last one.
    pub next: Option<String>,
}

impl Page {
    /// The page of `folder` that the answer tells.
    ///
    /// `-1` is the end. No cursor, or `0`, is the end too, but only of a page that is not full.
    pub(super) fn read(answer: ListAnswer, folder: &FileId) -> Result<Self, Garbage> {
        let rows = answer.file_list.into_iter();
        let entries: Vec<Entry> = rows.map(|row| row.entry(folder)).collect::<Result<_, _>>()?;
        let next = match answer.last_file_id.as_str() {
            "-1" => None,
            "" | "0" if entries.len() < PAGE => None,
            "" | "0" => return Err(Garbage("a full page without \"lastFileId\"".into())),
            cursor => Some(cursor.to_owned()),
        };
        Ok(Self { entries, next })
    }
}

/// The pages of one folder, from the first to the last.
pub struct Pages {
    client: Client,
    folder: FileId,
    walk: Walk,
    /// What to ask the next page with; `None` after the last.
    cursor: Option<Option<String>>,
}

impl Pages {
    pub(super) fn new(client: Client, folder: FileId) -> Self {
        Self { client, folder, walk: Walk::default(), cursor: Some(None) }
    }

    /// Whether the page that came last is the last.
    pub fn is_last(&self) -> bool {
        self.cursor.is_none()
    }

    /// The rows of the next page that no page before had; `None` after the last page. After an error
    /// nothing more is to be asked for.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let page = self.client.list_page(&self.folder, cursor.as_deref()).await?;
        self.cursor = page.next.clone().map(Some);
        let rows = self.walk.add(page).map_err(|Garbage(cause)| Error::Garbled {
            what: format!("list {}", about(&self.folder)),
            cause,
        })?;
        Ok(Some(rows))
    }
}

/// What came with the pages so far.
#[derive(Default)]
struct Walk {
    /// Sums of the IDs: 16 bytes each, however long the IDs are.
    ids: HashSet<[u8; 16]>,
    cursors: HashSet<String>,
    barren: u32,
}

impl Walk {
    /// Gives the rows that are new, and notes the cursor.
    fn add(&mut self, page: Page) -> Result<Vec<Entry>, Garbage> {
        let mut rows = page.entries;
        rows.retain(|row| self.ids.insert(Hasher::digest(row.id.as_str()).into()));
        self.barren = if rows.is_empty() { self.barren + 1 } else { 0 };
        if let Some(cursor) = page.next {
            if self.barren == MOST_BARREN {
                return Err(Garbage("page after page brings nothing new".into()));
            }
            if !self.cursors.insert(cursor) {
                return Err(Garbage("a \"lastFileId\" comes a second time".into()));
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EntryKind;

    fn entry(id: usize) -> Entry {
        Entry {
            id: FileId::new(id.to_string()),
            name: format!("{id}").into(),
            parent: FileId::root(),
            created: 0,
            updated: 0,
            kind: EntryKind::Folder,
        }
    }

    fn page(ids: impl IntoIterator<Item = usize>, next: &str) -> Page {
        Page { entries: ids.into_iter().map(entry).collect(), next: Some(next.to_owned()) }
    }

    #[test]
    fn rows_that_come_again_are_not_counted_again() {
        let mut walk = Walk::default();
        let mut new = |page| walk.add(page).map(|rows| rows.len()).ok();
        assert_eq!(new(page(0..100, "99")), Some(100));
        assert_eq!(new(page(99..103, "x")), Some(3));
    }

    #[test]
    fn a_walk_in_circles_is_an_error() {
        let mut walk = Walk::default();
        assert!(walk.add(page(0..2, "a")).is_ok());
        assert!(walk.add(page(2..4, "b")).is_ok());
        assert!(walk.add(page(4..6, "a")).is_err());
    }

    #[test]
    fn a_walk_without_end_is_an_error() {
        let mut walk = Walk::default();
        assert!(walk.add(page(0..1, "a")).is_ok());
        assert!(walk.add(page(0..1, "b")).is_ok());
        assert!(walk.add(page(0..0, "c")).is_ok());
        assert!(walk.add(page(0..1, "d")).is_err());
    }

    #[test]
    fn the_end_of_a_listing() {
        let read = |cursor: &str, rows: usize| {
            let row = |id| serde_json::json!({"fileId": id, "filename": "d", "type": 1});
            let rows: Vec<_> = (0..rows).map(row).collect();
            let answer = serde_json::json!({"lastFileId": cursor, "fileList": rows});
            let answer = serde_json::from_value(answer).expect("a listing");
            Page::read(answer, &FileId::root()).map(|page| page.next)
        };
        assert_eq!(read("-1", 100).ok(), Some(None));
        assert_eq!(read("", 99).ok(), Some(None));
        assert_eq!(read("0", 0).ok(), Some(None));
        assert_eq!(read("9", 3).ok(), Some(Some("9".into())));
        assert!(read("", 100).is_err());
        assert!(read("0", 100).is_err());
    }
}
