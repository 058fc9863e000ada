//! Tidiness: arrows between rooms point down, and some crates have one home.

use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each room; the table of `src/lib.rs`.
const FLOORS: &[(&str, u32)] = &[
    ("types", 0),
    ("aside", 0),
    ("config", 0),
    ("disk", 0),
    ("memory", 0),
    ("paths", 0),
    ("kind", 0),
    ("link", 0),
    ("log", 0),
    ("process", 0),
    ("mountpoint", 0),
    ("api", 1),
    ("staging", 1),
    ("state", 1),
    ("cache", 1),
    ("names", 1),
    ("tree", 2),
    ("read", 2),
    ("upload", 2),
    ("account", 2),
    ("pending", 2),
    ("walk", 2),
    ("relink", 2),
    ("gallery", 2),
    ("thumbs", 2),
    ("bed", 3),
    ("post", 3),
    ("probe", 3),
    ("checkup", 3),
    ("fs", 4),
    ("fuse", 5),
    ("mount", 6),
    ("background", 6),
    ("serve", 6),
    ("cli", 7),
];

/// What may stand in which rooms only.
const HOMES: &[(&str, &[&str])] = &[
    ("reqwest", &["api"]),
    ("fuser", &["fuse", "mount"]),
    ("fn errno", &["fs"]),
    ("rusqlite", &["state"]),
    ("serde_json", &["api", "state", "account", "fs", "cli", "link", "serve"]),
    ("axum", &["serve"]),
];

/// What asks the system for what no crate here does; docs/threats.md says what for.
const UNSAFE: &[&str] = &[
    "background.rs",
    "cli.rs",
    "config/environment.rs",
    "memory.rs",
    "mount/apart.rs",
    "mount/kernel.rs",
    "post/claim.rs",
];

/// Every source file of the program with its room.
fn files() -> Vec<(String, PathBuf)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&src).expect("inside src");
                let room = inside.iter().next().expect("a name").to_string_lossy();
                files.push((room.trim_end_matches(".rs").to_owned(), path));
            }
        }
    }
    files
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The code of a file: no comments, and not its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable source");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_room_has_a_floor() {
    for (room, path) in files() {
        let known = floor(&room).is_some() || matches!(room.as_str(), "lib" | "main" | "fuzzing");
        assert!(known, "{} is in no room of the table", path.display());
    }
    for (room, _) in FLOORS {
        assert!(files().iter().any(|(name, _)| name == room), "the room {room} is gone");
    }
}

#[test]
fn every_room_can_have_a_level_of_its_own() {
    let mut rooms: Vec<&str> = FLOORS.iter().map(|(room, _)| *room).collect();
    rooms.sort_unstable();
    assert_eq!(bedfs::config::ROOMS, rooms);
}

#[test]
fn arrows_point_down() {
    let mut arrows = 0;
    for (room, path) in files() {
        let Some(from) = floor(&room) else { continue };
        let code = code(&path);
        for part in code.split("crate::").skip(1) {
            let to: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let to_floor = floor(&to).unwrap_or_else(|| panic!("{}: no room {to}", path.display()));
            assert!(to_floor <= from, "{} ({from}) uses {to} ({to_floor})", path.display());
            arrows += 1;
        }
    }
    assert!(arrows > 50, "only {arrows} arrows were found: does this test still read them?");
}

#[test]
fn guests_stay_in_their_homes() {
    for (guest, homes) in HOMES {
        let mut seen = false;
        for (room, path) in files() {
            let code = code(&path);
            let here = code.match_indices(guest).any(|(at, _)| {
                let (before, after) =
                    (code[..at].chars().next_back(), code[at + guest.len()..].chars().next());
                let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                !is_word(before) && !is_word(after)
            });
            seen |= here;
            assert!(!here || homes.contains(&room.as_str()), "{} has {guest}", path.display());
        }
        assert!(seen, "{guest} is nowhere");
    }
}

#[test]
fn unsafe_stands_in_few_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/threats.md")).expect("the page");
    let has_it = |path: &Path| {
        code(path).split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    };
    let found = files().into_iter().map(|(_, path)| path).filter(|path| has_it(path));
    let inside = |path: PathBuf| path.strip_prefix(root.join("src")).map(Path::to_owned);
    let mut found: Vec<_> = found.map(|path| inside(path).expect("inside src")).collect();
    found.sort();
    let mut told: Vec<_> = UNSAFE.iter().map(PathBuf::from).collect();
    told.sort();
    assert_eq!(found, told);
    for file in UNSAFE {
        assert!(page.contains(&format!("`{file}`")), "docs/threats.md does not tell of {file}");
    }
}

#[test]
fn every_endless_loop_is_watched() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let watched = code(&src.join("fs/loops.rs"));
    let mut loops = 0;
    for (_, path) in files() {
        let code = code(&path);
        for part in code.rsplit(") -> Infallible {").skip(1) {
            let name = part.rsplit("async fn ").next().and_then(|part| part.split('(').next());
            let name = name.expect("a name");
            let begins = format!(".{name}().await }}");
            assert!(watched.contains(&begins), "{}: nobody watches {name}", path.display());
            loops += 1;
        }
    }
    assert_eq!(watched.matches("a_loop(").count(), loops);
}

#[test]
fn every_file_says_what_it_is() {
    for (_, path) in files() {
        let text = fs::read_to_string(&path).expect("a readable source");
        assert!(text.starts_with("//! "), "{} does not begin by saying what it is", path.display());
    }
}
