//! Names: what a file is called at the service and what the mount shows for it.
//!
//! The service allows names that no Linux program could open (`/`, NUL, `..`, none at all, 254
//! characters of three bytes each), and nothing stops two objects of one folder from having one
//! name. Each object must still be seen and reached, and none may break out of its folder. So the
//! mount shows an escaped name, and marks every escape with `:`, a character that the service
//! refuses in new names and that therefore never stands in an ordinary one:
//!
//! | at the service | in the mount |
//! |---|---|
//! | `/`, NUL and `:` inside a name | `:2F`, `:00`, `:3A` |
//! | `.`, `..`, the empty name | `:2E`, `:2E:2E`, `:` |
//! | the second `a.png` of a folder | `a:#5f3c81.png`, by the md5 of its file ID |
//! | a name over 255 bytes | its beginning, then `:#` and the same six digits |
//!
//! Escaping is injective, and the tree keeps the service's own name beside the shown one, so every
//! operation reaches the object that was meant.

mod local_names;
mod savers;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::Arc;

use md5::{Digest, Md5 as Hasher};

use crate::types::{Entry, FileId};
pub use local_names::{LocalNames, NotAPattern};
pub use savers::is_savers;

/// The longest name that Linux programs cope with, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// The service refuses names of this many characters and more (`003`: "文件名要小于255个字符").
const SERVICE_LIMIT: usize = 255;

/// The service refuses names with any of these (`003`: 创建文件).
const FORBIDDEN: &[char] = &['"', '\\', '/', ':', '*', '?', '|', '>', '<'];

/// Extensions up to this many bytes, dot included, survive the marking of a name.
const LONGEST_EXTENSION: usize = 16;

/// Bytes of a stem that the longest mark and extension leave.
const STEM: usize = 200;

/// Why a name cannot be given to an object of the bed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// 255 characters or more, or more bytes than Linux allows.
    #[error("the name is too long: the service takes at most 254 characters")]
    TooLong,
    /// One of `"\/:*?|><`, or NUL.
    #[error("the service refuses {0:?} in names")]
    Forbidden(char),
    /// Not UTF-8, the only encoding the service speaks.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// No name at all, `.` or `..`.
    #[error("the name is empty or a reference to a folder")]
    Reserved,
}

/// The name as the service would take it, or why it would not. Costs no call.
pub fn check(name: &OsStr) -> Result<&str, NameError> {
    let text = name.to_str().ok_or(NameError::NotUtf8)?;
    if text.len() > NAME_MAX || text.chars().count() >= SERVICE_LIMIT {
        return Err(NameError::TooLong);
    }
    if matches!(text, "" | "." | "..") {
        return Err(NameError::Reserved);
    }
    match text.chars().find(|c| *c == '\0' || FORBIDDEN.contains(c)) {
        Some(found) => Err(NameError::Forbidden(found)),
        None => Ok(text),
    }
}

/// The name with `_` for each character that the service refuses.
pub fn mended(name: &str) -> String {
    name.replace(|c| c == '\0' || FORBIDDEN.contains(&c), "_")
}

/// The name that the mount shows for an object of this name, unless another has it; `None` where it
/// is marked in any case.
pub fn plain(name: &str) -> Option<Cow<'_, str>> {
    Some(escape(name)).filter(|name| name.len() <= NAME_MAX)
}

/// What all names begin with that the mount may show for an object of this name.
pub fn stem(name: &str) -> String {
    let plain = escape(name);
    let (stem, _) = split(&plain);
    stem[..floor(stem, STEM)].to_owned()
}

/// Gives each row of one folder the name the mount shows for it; no two are alike, and none is
/// reserved.
///
/// Among rows of one name the oldest keeps it, so that a newcomer never takes a known name away;
/// the others are marked by their file ID, so that a mark stays whatever the order of the listing.
pub fn assign(rows: Vec<Entry>, is_reserved: impl Fn(&str) -> bool) -> Vec<(Arc<str>, Entry)> {
    let mut rows = rows;
    rows.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut taken: HashSet<Arc<str>> = HashSet::new();
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let plain = escape(&row.name);
        let mut name: Arc<str> = Arc::from(&*plain);
        let mut digits = 6;
        while name.len() > NAME_MAX || taken.contains(&name) || is_reserved(&name) {
            name = mark(&plain, &row.id, digits).into();
            digits += 2;
        }
        taken.insert(name.clone());
        shown.push((name, row));
    }
    shown
}

/// The name with everything that Linux cannot hold written as `:` and two hexadecimal digits.
fn escape(name: &str) -> Cow<'_, str> {
    match name {
        "" => return Cow::Borrowed(":"),
        "." => return Cow::Borrowed(":2E"),
        ".." => return Cow::Borrowed(":2E:2E"),
        _ => {}
    }
    if !name.contains(['/', '\0', ':']) {
        return Cow::Borrowed(name);
    }
    let mut escaped = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        match c {
            '/' => escaped.push_str(":2F"),
            '\0' => escaped.push_str(":00"),
            ':' => escaped.push_str(":3A"),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The name with `:#` and `digits` digits of the ID's md5 before its extension, at most 255 bytes.
fn mark(name: &str, id: &FileId, digits: usize) -> String {
    let sum: [u8; 16] = Hasher::digest(id.as_str()).into();
    let sum = crate::types::Md5::new(sum).to_string();
    let mark = format!(":#{}", &sum[..digits.min(sum.len())]);
    let (stem, extension) = split(name);
    let room = NAME_MAX - mark.len() - extension.len();
    format!("{}{mark}{extension}", &stem[..floor(stem, room)])
}

/// What stands before the extension, and the extension with its dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= LONGEST_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

/// The end of the last character that ends within so many bytes.
fn floor(text: &str, bytes: usize) -> usize {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EntryKind;
    use proptest::prelude::*;

    fn row(name: &str, id: &str, created: i64) -> Entry {
        Entry {
            id: FileId::new(id),
            name: name.into(),
            parent: FileId::root(),
            created,
            updated: created,
            kind: EntryKind::Folder,
        }
    }

    fn shown(rows: Vec<Entry>) -> Vec<String> {
        assign(rows, |name| name == ".bedfs").iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        let names = ["a.png", "测试 图床.jpg", "a%2Fb", "-rf", "new\nline", "..."];
        for name in names {
            assert_eq!(shown(vec![row(name, "x", 0)]), [name]);
        }
    }

    #[test]
    fn hostile_names_are_escaped() {
        for (name, expected) in [
            ("../../etc/passwd", "..:2F..:2Fetc:2Fpasswd"),
            ("..", ":2E:2E"),
            (".", ":2E"),
            ("", ":"),
            ("a\0b", "a:00b"),
            ("a:2Fb", "a:3A2Fb"),
        ] {
            assert_eq!(shown(vec![row(name, "x", 0)]), [expected]);
        }
        assert_ne!(shown(vec![row(".bedfs", "x", 0)]), [".bedfs"]);
    }

    #[test]
    fn the_oldest_of_one_name_keeps_it_whatever_the_order() {
        let rows = vec![row("a.png", "1", 9), row("a.png", "2", 5), row("a.png", "3", 7)];
        let mut turned = rows.clone();
        turned.reverse();
        let first = assign(rows, |_| false);
        assert_eq!(first, assign(turned, |_| false));
        assert_eq!(&*first[0].0, "a.png");
        assert_eq!(first[0].1.id, FileId::new("2"));
        assert!(first[1].0.starts_with("a:#") && first[1].0.ends_with(".png"));
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let name = format!("{}.jpg", "图".repeat(200));
        let shown = shown(vec![row(&name, "x", 0)]);
        assert!(shown[0].len() <= NAME_MAX && shown[0].ends_with(".jpg"), "{shown:?}");
    }

    #[test]
    fn names_are_checked_as_the_document_says() {
        assert_eq!(check(OsStr::new("a.png")), Ok("a.png"));
        assert_eq!(check(OsStr::new(&"a".repeat(254))).map(str::len), Ok(254));
        assert_eq!(check(OsStr::new(&"a".repeat(255))), Err(NameError::TooLong));
        for c in FORBIDDEN {
            assert_eq!(check(OsStr::new(&format!("a{c}b"))), Err(NameError::Forbidden(*c)));
        }
    }

    /// Undoes `escape`, to show that nothing is lost by it.
    fn unescape(shown: &str) -> String {
        if shown == ":" {
            return String::new();
        }
        let mut parts = shown.split(':');
        let mut name = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (code, rest) = part.split_at(2);
            name.push(char::from(u8::from_str_radix(code, 16).expect("two digits")));
            name.push_str(rest);
        }
        name
    }

    proptest! {
        #[test]
        fn escaping_is_reversible_and_safe(name in "[./:\\x00ab#图]{0,12}") {
            let escaped = escape(&name);
            prop_assert_eq!(&unescape(&escaped), &name);
            prop_assert!(!escaped.contains(['/', '\0']));
            prop_assert!(!matches!(&*escaped, "" | "." | ".."));
        }

        #[test]
        fn shown_names_are_distinct_and_fit(names in prop::collection::vec("[./:ab\\x00图]{0,3}", 0..20)) {
            let rows: Vec<_> = names.iter().enumerate().map(|(i, n)| row(n, &i.to_string(), 0)).collect();
            let shown = shown(rows);
            let distinct: std::collections::HashSet<_> = shown.iter().collect();
            prop_assert_eq!(distinct.len(), names.len());
            prop_assert!(shown.iter().all(|name| name.len() <= NAME_MAX));
        }
    }
}
