//! Local names: names that programs give to what is not finished or not meant for others. What is
//! called so stays on this machine.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// What stays here unless the user says otherwise.
pub const DEFAULT: &[&str] = &[
    // Editors: backups, swap and lock files.
    "*~",
    "*.sw[k-px]",
    "*.swpx",
    "4913",
    "#*#",
    ".#*",
    ".~lock.*#",
    "*.kate-swp",
    // What is still being copied or downloaded.
    "*.part",
    "*.partial",
    "*.crdownload",
    "*.download",
    "*.tmp",
    "*.temp",
    "*_exiftool_tmp",
    ".*.[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]",
    ".goutputstream-*",
    ".com.google.Chrome.*",
    ".org.chromium.Chromium.*",
    // What file managers keep beside the pictures.
    ".Trash",
    ".Trash-*",
    ".DS_Store",
    "._*",
    "Thumbs.db",
    "desktop.ini",
    ".directory",
    ".nfs*",
    ".fuse_hidden*",
];

/// Which names stay here.
#[derive(Clone, Debug)]
pub struct LocalNames {
    patterns: GlobSet,
}

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern for names: {cause}")]
pub struct NotAPattern {
    pattern: String,
    cause: String,
}

impl LocalNames {
    /// The names that match one of these patterns, `*`, `?` and `[…]` as shells know them.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, NotAPattern> {
        let wrong = |pattern: &str, error: globset::Error| NotAPattern {
            pattern: pattern.to_owned(),
            cause: error.kind().to_string(),
        };
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(Glob::new(pattern).map_err(|error| wrong(pattern, error))?);
        }
        let patterns = set.build().map_err(|error| wrong("all together", error))?;
        Ok(Self { patterns })
    }

    /// Whether what is called so stays here.
    pub fn has(&self, name: &str) -> bool {
        self.patterns.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_save_beside_a_picture_stays_here() {
        let names = LocalNames::new(DEFAULT.iter().copied()).expect("patterns");
        for name in [
            "a.jpg~",
            ".a.jpg.swp",
            ".a.jpg.swx",
            "4913",
            ".a.jpg.Xk29aB",
            "a.zip.part",
            "b.crdownload",
            ".Trash-1000",
            ".DS_Store",
            "Thumbs.db",
            ".goutputstream-AB12CD",
            ".~lock.a.odg#",
            "a.jpg_exiftool_tmp",
            "#a#",
        ] {
            assert!(names.has(name), "{name}");
        }
        for name in
            ["a.jpg", "图.png", ".hidden.jpg", "part", "a.swf", "trash", "a~b.png", ".a.jpeg"]
        {
            assert!(!names.has(name), "{name}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_told() {
        let error = LocalNames::new(["[a"]).expect_err("no pattern").to_string();
        assert!(error.contains("[a"), "{error}");
    }
}
