//! Local names: names that programs give to what is not finished or not meant for others. What is
//! called so stays on this machine.

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::savers;

/// What file managers keep beside the pictures: stays here unless the user says otherwise.
const LITTER: &[&str] = &[
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
    /// And those of savers.
    has_savers: bool,
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
        Ok(Self { patterns, has_savers: false })
    }

    /// What stays here unless the user says otherwise: savers' names, and what file managers keep.
    pub fn usual() -> Result<Self, NotAPattern> {
        Ok(Self { has_savers: true, ..Self::new(LITTER.iter().copied())? })
    }

    /// Whether a folder that is called so stays here.
    pub fn has_folder(&self, name: &str) -> bool {
        self.patterns.is_match(name) || (self.has_savers && savers::has_always(name))
    }

    /// Whether a file that is called so stays here, in a folder that `has` these files.
    pub fn has_file(&self, name: &str, has: impl Fn(&str) -> bool) -> bool {
        self.patterns.is_match(name) || (self.has_savers && savers::is_savers(name, has))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_keep_beside_a_picture_stays_here() {
        let names = LocalNames::usual().expect("patterns");
        for name in [".Trash-1000", ".DS_Store", "Thumbs.db", "a.jpg~", "a.zip.part"] {
            assert!(names.has_file(name, |_| false) && names.has_folder(name), "{name}");
        }
        // Whoever names a folder so means it.
        for name in ["sedAb3dE9", "a.jpg.bak"] {
            assert!(names.has_file(name, |_| false) && !names.has_folder(name), "{name}");
        }
        for name in
            ["a.jpg", "图.png", ".hidden.jpg", "part", "a.swf", "trash", "a~b.png", ".a.jpeg"]
        {
            assert!(!names.has_file(name, |_| true), "{name}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_told() {
        let error = LocalNames::new(["[a"]).expect_err("no pattern").to_string();
        assert!(error.contains("[a"), "{error}");
    }
}
