//! Numbered pages: where a listing ends whose pages are asked for by number.

use std::collections::HashSet;

/// Rows of a page. No document names a maximum but that of shares (`004`: 100).
pub(super) const PAGE: usize = 100;

/// More pages than any log has: a service that never comes to an end is not followed.
const MOST_PAGES: u32 = 20_000;

/// Pages of numbered rows, from the first to the last.
///
/// What a page is short of says nothing: services give fewer rows than were asked for, `total` may
/// be 0 beside rows (the sample of `001`), and rows that come in meanwhile push others to the next
/// page. So the end is a page with nothing new, or a short one when as many came as there are.
#[derive(Default)]
pub(super) struct Numbered {
    seen: HashSet<String>,
    page: u32,
    is_over: bool,
}

/// A page of numbered rows.
pub(super) struct NumberedPage<T> {
    pub(super) rows: Vec<T>,
    /// How many there are in all, as far as the service tells; it may lie.
    pub(super) total: u64,
}

impl Numbered {
    /// The number of the next page, from 1; `None` after the last.
    pub(super) fn next(&mut self) -> Option<u32> {
        self.page += 1;
        (!self.is_over && self.page <= MOST_PAGES).then_some(self.page)
    }

    /// The rows of the page that no page before had.
    pub(super) fn add<T>(&mut self, page: NumberedPage<T>, id: impl Fn(&T) -> &str) -> Vec<T> {
        let NumberedPage { mut rows, total } = page;
        let is_short = rows.len() < PAGE;
        rows.retain(|row| self.seen.insert(id(row).to_owned()));
        let has_all = is_short && total > 0 && self.seen.len() as u64 >= total;
        self.is_over = rows.is_empty() || has_all;
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(pages: &[(&[&str], u64)]) -> Vec<String> {
        let mut numbered = Numbered::default();
        let mut all = Vec::new();
        while let Some(number) = numbered.next() {
            let (rows, total) = pages.get(number as usize - 1).copied().unwrap_or((&[], 0));
            let rows = rows.iter().map(|row| (*row).to_owned()).collect();
            all.extend(numbered.add(NumberedPage { rows, total }, |row| row));
        }
        all
    }

    #[test]
    fn pages_end_where_nothing_new_comes() {
        assert_eq!(walk(&[(&["a", "b"], 2), (&["c"], 2)]), ["a", "b"]);
        assert_eq!(walk(&[(&["a", "b"], 0), (&["c"], 0)]), ["a", "b", "c"]);
        assert_eq!(walk(&[(&["a"], 2), (&["a", "b"], 3), (&["c"], 3)]), ["a", "b", "c"]);
        // Who knows no pages gives the same again and again.
        assert_eq!(walk(&[(&["a"], 0), (&["a"], 0), (&["b"], 0)]), ["a"]);
    }
}
