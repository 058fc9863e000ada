//! Traffic as the page draws it: what the links of pictures have served.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::state::{self, Shown, State};
use crate::types::Picture;

/// Days that are drawn, today among them.
const DAYS: i64 = 30;

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
    /// The traffic of the bed by day, as the archive has it, and of the pictures of a folder, as its
    /// listing tells it.
    pub(super) fn of(state: &State, today: Date, rows: &[Shown]) -> state::Result<Self> {
        let from = today.saturating_sub((DAYS - 1).days());
        let days = state.traffic_by_day(from, today)?;
        let days = days.into_iter().map(|sum| (sum.day.to_string(), sum.bed)).collect();
        Ok(Self { days, pictures: of_pictures(rows) })
    }
}

fn of_pictures(rows: &[Shown]) -> Vec<(String, u64)> {
    let served = |(name, entry): &Shown| {
        let Picture { traffic, .. } = entry.picture()?;
        (*traffic > 0).then(|| (name.to_string(), *traffic))
    };
    let mut pictures: Vec<(String, u64)> = rows.iter().filter_map(served).collect();
    pictures.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    pictures.truncate(MOST);
    pictures
}
