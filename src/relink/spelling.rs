//! A spelling: how the characters of a link are written in the text around it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a link inside another address leaves as it is (RFC 3986: unreserved characters).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What careless programs leave as it is besides.
const CARELESS: &[u8] = b"!$'()*+,;=@";
const SPARED: &AsciiSet = &ENCODED
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// How a link is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `https://host/path`
    Plain,
    /// `https:\/\/host\/path`, as JSON may have it.
    Json,
    /// `https%3A%2F%2Fhost%2Fpath`, as a part of another address.
    Nested,
}

/// One character of a path, read from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What it means.
    pub(super) byte: u8,
    /// Bytes that it takes in the text.
    pub(super) len: usize,
    /// Whether the path itself has it percent-encoded, so that it can only be a part of it.
    pub(super) is_escaped: bool,
}

impl Spelling {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Json, Self::Nested];

    /// A text in this spelling.
    pub(super) fn spell(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Json => text.replace('/', r"\/"),
            Self::Nested => utf8_percent_encode(text, ENCODED).to_string(),
        }
    }

    /// The same, but that a link inside another address keeps what `old`, a link in its place, had as it is.
    pub(super) fn spell_as(self, text: &str, old: &[u8]) -> String {
        match self {
            Self::Nested if old.iter().any(|byte| CARELESS.contains(byte)) => {
                utf8_percent_encode(text, SPARED).to_string()
            }
            _ => self.spell(text),
        }
    }

    /// The character with which `text` begins; `None` where none of a path can stand.
    pub(super) fn step(self, text: &[u8]) -> Option<Step> {
        let first = *text.first()?;
        let step = |byte, len, is_escaped| Some(Step { byte, len, is_escaped });
        let escaped = if first == b'%' { hex(text, 1) } else { None };
        match (self, escaped) {
            // The path's own `%`, followed by its digits.
            (Self::Nested, Some(b'%')) => match hex(text, 3) {
                Some(byte) => step(byte, 5, true),
                None => step(b'%', 3, false),
            },
            (Self::Nested, Some(byte)) => step(byte, 3, false),
            (Self::Nested, None) if is_left(first) => step(first, 1, false),
            (Self::Nested, None) => None,
            (_, Some(byte)) => step(byte, 3, true),
            (Self::Json, None) if text.starts_with(br"\/") => step(b'/', 2, false),
            (_, None) => step(first, 1, false),
        }
    }
}

/// Whether a link inside another address may have this as it is: what RFC 3986 leaves, and what careless
/// programs leave too.
fn is_left(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) || CARELESS.contains(&byte)
}

/// The byte that the two hexadecimal digits at `at` write.
fn hex(text: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(at)? << 4 | digit(at + 1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spelling: Spelling, text: &str) -> Vec<u8> {
        let mut rest = text.as_bytes();
        let mut bytes = Vec::new();
        while let Some(step) = spelling.step(rest) {
            bytes.push(step.byte);
            rest = &rest[step.len..];
        }
        bytes
    }

    #[test]
    fn what_is_spelled_is_read_back() {
        for spelling in Spelling::ALL {
            let text = spelling.spell("/7/a%20b-1.jpg");
            assert_eq!(read(spelling, &text), b"/7/a b-1.jpg", "{text}");
        }
        assert_eq!(Spelling::Json.spell("/7/a"), r"\/7\/a");
        assert_eq!(Spelling::Nested.spell("/a%20"), "%2Fa%2520");
    }

    #[test]
    fn what_is_cut_off_stands_for_itself() {
        assert_eq!(read(Spelling::Plain, "a%2"), b"a%2");
        assert_eq!(read(Spelling::Nested, "a%2"), b"a");
        assert_eq!(read(Spelling::Nested, "a%25"), b"a%");
    }
}
