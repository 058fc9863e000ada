//! Numbered pages: where a listing ends whose pages are asked for by number.

use std::collections::HashSet;

use md5::{Digest, Md5 as Hasher};

use super::error::Error;

/// Rows of a page. No document names a maximum but that of shares (`004`: 100).
pub(super) const PAGE: usize = 100;

/// More pages than any log has: a service that never comes to an end is not followed.
const MOST_PAGES: u32 = 20_000;

/// Pages of numbered rows, from the first to the last.
///
/// Neither a short page nor `total` says anything: services give fewer rows than were asked for, `total`
/// may be 0 beside rows (the sample of `001`), and rows that come in meanwhile push others to the next
/// page. So the end is a page with nothing new.
#[derive(Default)]
pub(super) struct Numbered {
    /// Sums of the IDs: 16 bytes each, however long the IDs are.
    seen: HashSet<[u8; 16]>,
    page: u32,
    is_over: bool,
}

impl Numbered {
    /// The number of the next page, from 1; `None` after the last.
    pub(super) fn next(&mut self) -> Option<u32> {
        self.page += 1;
        (!self.is_over && self.page <= MOST_PAGES).then_some(self.page)
    }

    /// The rows of the page that no page before had.
    pub(super) fn add<T>(&mut self, mut rows: Vec<T>, id: impl Fn(&T) -> &str) -> Vec<T> {
        rows.retain(|row| self.seen.insert(Hasher::digest(id(row)).into()));
        self.is_over = rows.is_empty();
        rows
    }

    /// Whether an answer about the page is the end: some refuse a page beyond the last one.
    pub(super) fn ends_with(&mut self, error: &Error) -> bool {
        let is_refused = error.may_lack_a_right()
            || error.is_not_found()
            || matches!(error, Error::Status { status: 400..=499, .. });
        self.is_over = self.page > 1 && is_refused;
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(pages: &[&[&str]]) -> Vec<String> {
        let mut numbered = Numbered::default();
        let mut all = Vec::new();
        while let Some(number) = numbered.next() {
            let rows = pages.get(number as usize - 1).copied().unwrap_or_default();
            let rows = rows.iter().map(|row| (*row).to_owned()).collect();
            all.extend(numbered.add(rows, |row: &String| row));
        }
        all
    }

    #[test]
    fn pages_end_where_nothing_new_comes() {
        assert_eq!(walk(&[&["a", "b"], &["c"]]), ["a", "b", "c"]);
        assert_eq!(walk(&[&["a"], &["a", "b"], &["c"]]), ["a", "b", "c"]);
        // Who knows no pages gives the same again and again.
        assert_eq!(walk(&[&["a"], &["a"], &["b"]]), ["a"]);
    }

    #[test]
    fn a_refusal_of_a_page_beyond_the_last_is_the_end() {
        let refusal = Error::Status { what: "x".into(), host: "h".into(), status: 400 };
        let mut numbered = Numbered::default();
        numbered.next();
        assert!(!numbered.ends_with(&refusal), "of the first page it is an error");
        numbered.add(vec!["a"], |row| row);
        numbered.next();
        assert!(numbered.ends_with(&refusal));
        assert_eq!(numbered.next(), None);
    }
}
