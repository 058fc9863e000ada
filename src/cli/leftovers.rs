//! Leftovers: uploads and deletes that are not finished, told so that a person sees how many they are,
//! where, and why. Few are told one by one; of many the folders are, and some names.

use std::collections::HashMap;

use indicatif::{BinaryBytes, HumanCount};

use super::one_line;

/// The most that are told one by one.
pub(super) const NAMES: usize = 10;

/// The most folders that are told one by one.
const FOLDERS: usize = 5;

/// One of them, as far as it is summed up.
pub(super) trait Leftover {
    /// The path from the bed's root.
    fn path(&self) -> &str;
    /// In bytes.
    fn size(&self) -> u64;
    /// Whether it waits for the user: it is told before others.
    fn is_stuck(&self) -> bool;
}

/// How many they are and their bytes, as "1,500 (5.9 MiB)".
pub(super) fn amount<T: Leftover>(all: &[T]) -> String {
    let (count, bytes) = (all.len() as u64, all.iter().map(T::size).sum());
    format!("{} ({})", HumanCount(count), BinaryBytes(bytes))
}

/// The folders of many, a line each, those with the most first; nothing of few.
pub(super) fn folders<T: Leftover>(all: &[T]) -> Vec<String> {
    if all.len() <= NAMES {
        return Vec::new();
    }
    let mut folders: HashMap<&str, (u64, u64)> = HashMap::new();
    for one in all {
        let folder = one.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let (count, bytes) = folders.entry(folder).or_default();
        (*count, *bytes) = (*count + 1, *bytes + one.size());
    }
    let mut folders: Vec<_> = folders.into_iter().collect();
    folders.sort_unstable_by_key(|(folder, (count, _))| (std::cmp::Reverse(*count), *folder));
    let others = folders.split_off(folders.len().min(FOLDERS));
    let line = |(folder, (count, bytes)): &(&str, (u64, u64))| {
        let folder = match folder.is_empty() {
            true => "the root".to_owned(),
            false => one_line(folder),
        };
        format!("{:>7} in {folder} ({})", HumanCount(*count).to_string(), BinaryBytes(*bytes))
    };
    let mut lines: Vec<String> = folders.iter().map(line).collect();
    if !others.is_empty() {
        let count = others.iter().map(|(_, (count, _))| count).sum();
        let folders = HumanCount(others.len() as u64);
        lines.push(format!("{:>7} in {folders} more folders", HumanCount(count).to_string()));
    }
    lines
}

/// Those that are told by name: what waits for the user first, else in their order.
pub(super) fn named<T: Leftover>(all: &[T]) -> Vec<&T> {
    let (stuck, others): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.is_stuck());
    stuck.into_iter().chain(others).take(NAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(String, bool);

    impl Leftover for One {
        fn path(&self) -> &str {
            &self.0
        }

        fn size(&self) -> u64 {
            1024
        }

        fn is_stuck(&self) -> bool {
            self.1
        }
    }

    fn some(folder: &str, count: usize) -> impl Iterator<Item = One> {
        (0..count).map(move |number| One(format!("{folder}{number}.jpg"), number == 11))
    }

    #[test]
    fn many_are_summed_up_by_folder_and_few_are_named() {
        let few: Vec<One> = some("a/", NAMES).collect();
        assert!(folders(&few).is_empty());
        assert_eq!(named(&few).len(), NAMES);
        let all: Vec<One> = some("", 3).chain(some("a/b/", 1200)).chain(some("c/", 12)).collect();
        assert_eq!(amount(&all), "1,215 (1.19 MiB)");
        assert_eq!(
            folders(&all),
            [
                "  1,200 in a/b (1.17 MiB)",
                "     12 in c (12.00 KiB)",
                "      3 in the root (3.00 KiB)"
            ]
        );
        let names: Vec<_> = named(&all).into_iter().map(Leftover::path).collect();
        assert_eq!(names.len(), NAMES);
        assert_eq!(names[..3], ["a/b/11.jpg", "c/11.jpg", "0.jpg"]);
        let all: Vec<One> = (0..9)
            .flat_map(|folder| {
                some(["a/", "b/", "c/", "d/", "e/", "f/", "g/", "h/", "i/"][folder], 2)
            })
            .collect();
        assert_eq!(folders(&all).last().map(String::as_str), Some("      8 in 4 more folders"));
    }
}
