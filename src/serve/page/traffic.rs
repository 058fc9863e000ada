//! Traffic as the page draws it: what the links of pictures have served.

use crate::state::Shown;
use crate::types::Picture;

/// Pictures that are drawn.
const MOST: usize = 10;

/// What is drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// The date and the bytes of each day, the oldest first. Empty where no day is known.
    pub(super) days: Vec<(String, u64)>,
    /// The name and the bytes of the pictures that served most, the most first.
    pub(super) pictures: Vec<(String, u64)>,
}

impl Traffic {
    /// The traffic of the pictures of a folder, as its listing tells it.
    pub(super) fn of(rows: &[Shown]) -> Self {
        let served = |(name, entry): &Shown| {
            let Picture { traffic, .. } = entry.picture()?;
            (*traffic > 0).then(|| (name.to_string(), *traffic))
        };
        let mut pictures: Vec<(String, u64)> = rows.iter().filter_map(served).collect();
        pictures.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        pictures.truncate(MOST);
        Self { days: Vec::new(), pictures }
    }
}
