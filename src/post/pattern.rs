//! A pattern: what a picture is to be called, by its own name, its content and the time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

use jiff::Zoned;

use crate::types::Md5;

/// The fields, as the pattern has them in braces.
const FIELDS: &[(&str, Field)] = &[
    ("name", Field::Name),
    ("ext", Field::Extension),
    ("md5", Field::Md5),
    ("Y", Field::Time("%Y")),
    ("m", Field::Time("%m")),
    ("d", Field::Time("%d")),
    ("H", Field::Time("%H")),
    ("M", Field::Time("%M")),
    ("S", Field::Time("%S")),
    ("rand", Field::Random),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Extension,
    Md5,
    /// Of the local time, as `strftime` writes it.
    Time(&'static str),
    /// Eight hexadecimal digits, new ones each time.
    Random,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// A pattern such as `{Y}/{m}/{md5}.{ext}`. Slashes make folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPattern {
    /// A field that does not exist.
    #[error(
        "there is no field {{{0}}}: {{name}}, {{ext}}, {{md5}}, {{Y}}, {{m}}, {{d}}, {{H}}, {{M}}, {{S}} and {{rand}} are"
    )]
    Unknown(String),
    /// A brace without its other.
    #[error("a brace stands alone: each field is written as {{name}}")]
    Brace,
    /// No name is left for the picture.
    #[error("it says no name: a pattern does not end with a slash")]
    Nameless,
}

impl FromStr for Pattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        if text.is_empty() || text.ends_with('/') {
            return Err(NotAPattern::Nameless);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            let field = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let (name, after) = field.ok_or(NotAPattern::Brace)?;
            let known = FIELDS.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or_else(|| NotAPattern::Unknown(name.to_owned()))?;
            parts.extend([Part::Text(before.to_owned()), Part::Field(*field)]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }
}

/// What the fields stand for.
pub(super) struct Facts<'a> {
    /// The picture's own name up to its extension.
    pub(super) stem: &'a str,
    /// Without the point; may be empty.
    pub(super) extension: &'a str,
    /// Of the bytes.
    pub(super) md5: Md5,
    /// The local time.
    pub(super) now: &'a Zoned,
}

impl Pattern {
    /// Whether an extension is wanted.
    pub(super) fn wants_extension(&self) -> bool {
        self.parts.contains(&Part::Field(Field::Extension))
    }

    /// The path that is meant. A point before an extension that is empty goes with it.
    pub(super) fn path(&self, facts: &Facts<'_>) -> String {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Field(Field::Name) => path.push_str(facts.stem),
                Part::Field(Field::Extension) if facts.extension.is_empty() => {
                    path.truncate(path.trim_end_matches('.').len());
                }
                Part::Field(Field::Extension) => path.push_str(facts.extension),
                Part::Field(Field::Md5) => path.push_str(&facts.md5.to_string()),
                Part::Field(Field::Time(format)) => {
                    path.push_str(&facts.now.strftime(format).to_string());
                }
                Part::Field(Field::Random) => path.push_str(&random()),
            }
        }
        path
    }
}

fn random() -> String {
    format!("{:08x}", RandomState::new().build_hasher().finish() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(pattern: &str, extension: &str) -> String {
        let now = "2025-03-04T05:06:07+08:00[Asia/Shanghai]".parse().expect("a time");
        let facts = Facts { stem: "cat", extension, md5: Md5::new([0x1a; 16]), now: &now };
        pattern.parse::<Pattern>().expect("a pattern").path(&facts)
    }

    #[test]
    fn fields_are_put_in() {
        assert_eq!(path("{Y}/{m}/{d}/{name}.{ext}", "png"), "2025/03/04/cat.png");
        assert_eq!(path("{H}{M}{S}-{md5}.{ext}", "png"), format!("050607-{}.png", "1a".repeat(16)));
        assert_eq!(path("a.{ext}", ""), "a");
        let (one, two) = (path("{rand}", ""), path("{rand}", ""));
        assert!(one.len() == 8 && one != two, "{one} {two}");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let wrong = |text: &str| text.parse::<Pattern>().expect_err("no pattern");
        assert_eq!(wrong("{Q}"), NotAPattern::Unknown("Q".into()));
        assert!(wrong("{Q}").to_string().contains("{md5}"));
        assert_eq!(wrong("{name"), NotAPattern::Brace);
        assert_eq!(wrong("name}"), NotAPattern::Brace);
        assert_eq!(wrong("{Y}/"), NotAPattern::Nameless);
    }
}
