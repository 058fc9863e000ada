//! The levels: how much is logged, of the whole program and of single rooms.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

use super::nearest::did_you_mean;

/// The rooms that can have a level of their own; the table of `lib.rs`.
pub const ROOMS: &[&str] = &[
    "account",
    "api",
    "aside",
    "background",
    "bed",
    "cache",
    "checkup",
    "cli",
    "config",
    "disk",
    "fs",
    "fuse",
    "gallery",
    "kind",
    "link",
    "log",
    "memory",
    "mount",
    "mountpoint",
    "names",
    "paths",
    "pending",
    "post",
    "probe",
    "process",
    "read",
    "relink",
    "serve",
    "staging",
    "state",
    "thumbs",
    "tree",
    "types",
    "upload",
    "walk",
];

/// How much is logged: checked where it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Of the rooms that have no level of their own.
    pub all: LevelFilter,
    /// Of single rooms.
    pub rooms: Vec<(&'static str, LevelFilter)>,
}

impl Default for Levels {
    fn default() -> Self {
        Self::from(LevelFilter::WARN)
    }
}

impl From<LevelFilter> for Levels {
    fn from(all: LevelFilter) -> Self {
        Self { all, rooms: Vec::new() }
    }
}

impl FromStr for Levels {
    type Err = String;

    /// Reads `info,fs=debug`: one level for all at most, and any number for rooms.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut levels = Self::default();
        let mut is_told = false;
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                Some((name, word)) => {
                    let room = ROOMS.iter().find(|room| **room == name.trim());
                    let missing = || {
                        let hint = did_you_mean(name, ROOMS.iter().copied());
                        format!("there is no room {name:?}{hint}")
                    };
                    levels.rooms.push((room.ok_or_else(missing)?, level(word)?));
                }
                None if is_told => return Err(format!("{part:?} is a second level for all rooms")),
                None => {
                    levels.all = level(part)?;
                    is_told = true;
                }
            }
        }
        Ok(levels)
    }
}

fn level(word: &str) -> Result<LevelFilter, String> {
    match word.trim().to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(format!("{word:?} is no level: off, error, warn, info, debug and trace are")),
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)?;
        self.rooms.iter().try_for_each(|(room, level)| write!(f, ",{room}={level}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_told() {
        for text in ["warn", "info,fs=debug", "off,api=trace,tree=error"] {
            assert_eq!(text.parse::<Levels>().map(|levels| levels.to_string()), Ok(text.into()));
        }
        assert_eq!("fs=debug".parse::<Levels>().map(|levels| levels.all), Ok(LevelFilter::WARN));
        for text in ["", "loud", "info,warn", "fs=", "info,nowhere=debug"] {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
        let said = "tre=debug".parse::<Levels>().expect_err("no room");
        assert!(said.contains("did you mean tree?"), "{said}");
    }
}
