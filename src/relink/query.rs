//! A query: what stands in a text behind the path of a link, and where a signature is in it.

use std::ops::Range;

use super::spelling::{Spelling, Step};

/// The parameter that is a signature.
const SIGNATURE: &[u8] = b"auth_key=";

/// How texts write the `&` between parameters, in HTML and in JSON too. The nested spelling has its own.
const JOINERS: [&[u8]; 6] = [b"&amp;", b"&#38;", b"&#038;", b"&#x26;", br"\u0026", b"&"];

/// The query of a link, by its places in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    /// Where its first parameter begins, behind the `?`.
    pub(super) start: usize,
    /// The first of its parameters that is a signature.
    pub(super) signature: Option<Range<usize>>,
    /// What stands between its parameters, if it has some.
    pub(super) joiner: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    /// The query that follows at `end`; `None` where none does, as where the `?` ends a sentence.
    pub(super) fn behind(text: &'a [u8], end: usize, spelling: Spelling) -> Option<Self> {
        let mark = spelling.step(&text[end..])?;
        if mark.byte != b'?' || mark.is_escaped {
            return None;
        }
        let start = end + mark.len;
        let mut query = Self { start, signature: None, joiner: None };
        let (mut at, mut begins, mut says_something) = (start, true, false);
        loop {
            if begins && query.signature.is_none() {
                query.signature = signature(text, at, spelling);
            }
            if let Some(len) = joiner(&text[at..], spelling) {
                query.joiner.get_or_insert(&text[at..at + len]);
                (at, begins) = (at + len, true);
                continue;
            }
            let Some(step) = spelling.step(&text[at..]).filter(|step| is_of_query(*step)) else {
                break;
            };
            says_something |= step.byte.is_ascii_alphanumeric() || step.is_escaped;
            (at, begins) = (at + step.len, false);
        }
        says_something.then_some(query)
    }
}

fn is_of_query(step: Step) -> bool {
    step.is_escaped || step.byte.is_ascii_alphanumeric() || b"-._~!$*+,;=:@/?%".contains(&step.byte)
}

/// The length of the `&` with which `text` begins.
fn joiner(text: &[u8], spelling: Spelling) -> Option<usize> {
    if spelling == Spelling::Nested {
        let step = spelling.step(text).filter(|step| step.byte == b'&' && !step.is_escaped);
        return step.map(|step| step.len);
    }
    JOINERS.iter().find(|joiner| text.starts_with(joiner)).map(|joiner| joiner.len())
}

/// The signature that begins at `start`, without what ends the sentence around it.
fn signature(text: &[u8], start: usize, spelling: Spelling) -> Option<Range<usize>> {
    let mut at = start;
    for byte in SIGNATURE {
        at += spelling.step(&text[at..]).filter(|step| step.byte == *byte)?.len;
    }
    let mut end = at;
    while let Some(step) = spelling.step(&text[at..]).filter(|step| is_of_signature(step.byte)) {
        at += step.len;
        if step.byte.is_ascii_alphanumeric() {
            end = at;
        }
    }
    Some(start..end)
}

fn is_of_signature(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature and the joiner of the query in a text that begins with it.
    fn read(text: &str, spelling: Spelling) -> Option<(Option<&str>, Option<&str>)> {
        let query = Query::behind(text.as_bytes(), 0, spelling)?;
        let joiner = query.joiner.map(|joiner| std::str::from_utf8(joiner).expect("UTF-8"));
        Some((query.signature.map(|range| &text[range]), joiner))
    }

    #[test]
    fn a_signature_is_found_wherever_it_stands() {
        for (text, expected) in [
            ("?auth_key=1-a_b-7-c.", (Some("auth_key=1-a_b-7-c"), None)),
            ("?auth_key=1-a_ x&auth_key=2", (Some("auth_key=1-a"), None)),
            ("?auth_key=&w=1", (Some("auth_key="), Some("&"))),
            ("?w=1&amp;auth_key=2&h=1", (Some("auth_key=2"), Some("&amp;"))),
            (r"?w=1\u0026auth_key=2\u0026h=1", (Some("auth_key=2"), Some(r"\u0026"))),
            ("?x=auth_key=1&my_auth_key=2", (None, Some("&"))),
            ("?x=1#&auth_key=2", (None, None)),
        ] {
            assert_eq!(read(text, Spelling::Plain), Some(expected), "{text}");
        }
        let nested = "%3Fw%3D1%26auth_key%3D2-b&auth_key=3";
        let expected = (Some("auth_key%3D2-b"), Some("%26"));
        assert_eq!(read(nested, Spelling::Nested), Some(expected));
    }

    #[test]
    fn a_question_mark_that_ends_a_sentence_is_no_query() {
        for text in ["?", "? w=1", "?)", "?!", "?**", "?\"", "?\u{56fe}", ".?w=1", "%3Fw=1"] {
            assert_eq!(read(text, Spelling::Plain), None, "{text}");
        }
    }
}
