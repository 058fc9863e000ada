//! The doors of the fuzzer: each hands bytes of others to what reads them, and panics where something
//! that must hold of every input does not. They are built for `scripts/fuzz` and for the tests alone.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub use crate::api::fuzz::{answer, headers};
pub use crate::cli::fuzz_logs as logs;
pub use crate::config::fuzz::config;
use crate::kind::Kind;
use crate::names::{self, NAME_MAX, NameError};
use crate::relink::{Chains, Scanner, rewrite};
pub use crate::serve::fuzz::{guard, picgo};
use crate::state::Moved;
use crate::thumbs;
use crate::types::FileId;

/// A target: its name, which its corpus has too, and its door.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 10] = [
    ("answer", answer),
    ("config", config),
    ("guard", guard),
    ("headers", headers),
    ("listing", listing),
    ("logs", logs),
    ("names", names),
    ("picgo", picgo),
    ("picture", picture),
    ("relink", relink),
];

/// A page of a listing. Each row is shown, by a name of its own that leads out of no folder.
pub fn listing(bytes: &[u8]) {
    let rows = crate::api::fuzz::page(bytes);
    let count = rows.len();
    let shown = names::assign(rows, |name| name == ".bedfs");
    assert_eq!(shown.len(), count);
    let mut seen = HashSet::new();
    for (name, row) in &shown {
        assert!(!name.contains(['/', '\0']) && name.len() <= NAME_MAX, "{name:?}");
        assert!(!matches!(&**name, "" | "." | ".." | ".bedfs"), "{name:?}");
        assert!(name.starts_with(&names::stem(&row.name)), "{name:?} of {:?}", row.name);
        assert!(seen.insert(name.clone()), "{name:?} is shown twice");
    }
}

/// A name that a program gives to a file. What is taken is what the service takes, and is shown as it is.
pub fn names(bytes: &[u8]) {
    match names::check(OsStr::from_bytes(bytes)) {
        Ok(name) => {
            assert!(!name.contains(['"', '\\', '/', ':', '*', '?', '|', '>', '<', '\0']));
            assert_eq!(names::plain(name).as_deref(), Some(name));
        }
        Err(NameError::NotUtf8) => assert!(std::str::from_utf8(bytes).is_err()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A picture of others: what kind it is of, and a thumbnail of it.
pub fn picture(bytes: &[u8]) {
    let _kind = Kind::of_head(bytes);
    if let Ok(small) = thumbs::shrink(bytes) {
        assert!(!small.is_empty());
    }
}

/// A text with links. What is none stays as it is, and what was rewritten has nothing to be rewritten.
pub fn relink(bytes: &[u8]) {
    let moved = |old: &str, new: &str| Moved {
        changed: 0,
        path: "a.jpg".to_owned(),
        old_object: FileId::new(old),
        old_link: Some(format!("https://h.cn/7/{old}.jpg")),
        new_object: FileId::new(new),
        new_link: Some(format!("https://own.me/7/{new}.jpg?auth_key=9-{new}")),
    };
    let chains = Chains::new(&[moved("old", "mid"), moved("mid", "new")]);
    let scanner = Scanner::new(["h.cn", "own.me"]);
    let first = rewrite(bytes, &scanner, &chains);
    assert!(first.links > 0 || first.text == bytes);
    let second = rewrite(&first.text, &scanner, &chains);
    assert_eq!(second.links, 0, "{}", String::from_utf8_lossy(&first.text));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_of_each_target_is_read() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, target) in TARGETS {
            assert!(fuzz.join("fuzz_targets").join(name).with_extension("rs").exists(), "{name}");
            let kept = fs::read_dir(fuzz.join("corpus").join(name)).expect("a corpus");
            let mut count = 0;
            for input in kept.flatten() {
                target(&fs::read(input.path()).expect("readable"));
                count += 1;
            }
            assert!(count > 0, "{name} has no corpus");
        }
    }
}
