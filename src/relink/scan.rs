//! A scanner: finds where links to the hosts of the bed stand in a text, and which paths they name.

use aho_corasick::{AhoCorasick, MatchKind};
use percent_encoding::percent_decode_str;

use super::spelling::{Spelling, Step};

/// The longest path that is looked at, in bytes.
const LONGEST: usize = 4096;

/// Finds links to the hosts it knows.
pub struct Scanner {
    /// `//host` in every spelling.
    hosts: AhoCorasick,
    /// The spelling of each pattern.
    spellings: Vec<Spelling>,
}

/// A link in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it begins: with its scheme, or with `//` where it has none.
    pub start: usize,
    /// Whether it names a scheme.
    pub has_scheme: bool,
    pub(super) spelling: Spelling,
    /// Where it may end, the longest first. Not empty.
    ends: Vec<End>,
    /// Its path, nothing in it percent-encoded, up to where it may end at the latest.
    path: Vec<u8>,
}

/// Where a link may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    /// In the text.
    place: usize,
    /// In its path.
    len: usize,
}

impl Found {
    /// The longest path that is one of those meant, and where it ends in the text.
    pub fn longest(&self, is_meant: impl Fn(&[u8]) -> bool) -> Option<(&[u8], usize)> {
        let mut ends = self.ends.iter().map(|end| (&self.path[..end.len], end.place));
        ends.find(|(path, _)| is_meant(path))
    }

    /// The shortest path it can have, and where that ends in the text.
    pub fn shortest(&self) -> (&[u8], usize) {
        let end = self.ends.last().expect("there is one end at least");
        (&self.path[..end.len], end.place)
    }
}

impl Scanner {
    /// A scanner for these hosts, each with its port if it has one.
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = Vec::new();
        let mut spellings = Vec::new();
        for host in hosts {
            for spelling in Spelling::ALL {
                patterns.push(spelling.spell(&format!("//{host}")));
                spellings.push(spelling);
            }
        }
        let hosts = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .expect("hosts are few and short");
        Self { hosts, spellings }
    }

    /// The links of a text, from its beginning to its end.
    pub fn links<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        self.hosts.find_iter(text).filter_map(|host| {
            let spelling = self.spellings[host.pattern().as_usize()];
            let (start, has_scheme) = begin(text, host.start(), spelling)?;
            let (path, ends) = walk(text, host.end(), spelling)?;
            Some(Found { start, has_scheme, spelling, ends, path })
        })
    }
}

/// Where a link begins whose `//` is at `slashes`, and whether it has a scheme.
fn begin(text: &[u8], slashes: usize, spelling: Spelling) -> Option<(usize, bool)> {
    let before = &text[..slashes];
    for scheme in ["https:", "http:"] {
        let scheme = spelling.spell(scheme);
        let tail = before.len().checked_sub(scheme.len()).map(|start| (start, &before[start..]));
        if let Some((start, tail)) = tail
            && tail.eq_ignore_ascii_case(scheme.as_bytes())
        {
            return Some((start, true));
        }
    }
    // Without a scheme it is a link only where a link may begin, as in HTML.
    let begins =
        before.last().is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'(<=,[".contains(byte));
    (begins && spelling == Spelling::Plain).then_some((slashes, false))
}

/// The path that begins at `start`, and where it may end.
fn walk(text: &[u8], start: usize, spelling: Spelling) -> Option<(Vec<u8>, Vec<End>)> {
    let mut steps: Vec<Step> = Vec::new();
    let mut places = vec![start];
    let mut end = start;
    while let Some(step) = spelling.step(&text[end..]).filter(|step| is_of_path(*step)) {
        if steps.len() == LONGEST || (steps.is_empty() && step.byte != b'/') {
            return None;
        }
        end += step.len;
        steps.push(step);
        places.push(end);
    }
    let is_foreign = |step: &Step| !step.is_escaped && !step.byte.is_ascii();
    // Letters of other scripts go on a path only where they are its own.
    let first_foreign = steps.iter().position(is_foreign);
    let mut ends = without_joiners(&steps);
    ends.extend(first_foreign.iter().flat_map(|first| without_joiners(&steps[..*first])));
    ends.dedup();
    let ends: Vec<End> = ends.into_iter().map(|len| End { place: places[len], len }).collect();
    let path = steps.iter().map(|step| step.byte).collect();
    // A path of nothing but `/` leads to no object.
    (steps.len() > 1 && !ends.is_empty()).then_some((path, ends))
}

fn is_of_path(step: Step) -> bool {
    let Step { byte, is_escaped, .. } = step;
    is_escaped
        || byte == b'/'
        || byte.is_ascii_alphanumeric()
        || !byte.is_ascii()
        || is_joiner(byte)
}

/// Whether this may stand in a path, and is of the sentence around it where nothing of a path follows.
fn is_joiner(byte: u8) -> bool {
    b".-_~+@:=$".contains(&byte)
}

/// The lengths of the path with all, and with less and less, of the punctuation at its end.
fn without_joiners(steps: &[Step]) -> Vec<usize> {
    let at_end = |step: &&Step| !step.is_escaped && is_joiner(step.byte);
    let joiners = steps.iter().rev().take_while(at_end).count();
    (steps.len() - joiners..=steps.len()).rev().filter(|len| *len > 0).collect()
}

/// `http://host/path?query` in its parts: the host with its port, and the path as it is written.
fn parts(link: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = link.split_once("://")?;
    let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    let rest = rest.split(['?', '#']).next().filter(|_| is_web)?;
    let (host, _) = rest.split_once('/').filter(|(host, _)| !host.is_empty())?;
    Some((host, &rest[host.len()..]))
}

/// The host of a link, with its port if it names one.
pub fn host(link: &str) -> Option<&str> {
    parts(link).map(|(host, _)| host)
}

/// The path of a link, nothing in it percent-encoded: what the link is known by.
pub(super) fn path(link: &str) -> Option<Vec<u8>> {
    parts(link).map(|(_, path)| percent_decode_str(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text has of links to `h.cn` and `127.0.0.1:80`, as shortest paths.
    fn found(text: &str) -> Vec<String> {
        let scanner = Scanner::new(["h.cn", "127.0.0.1:80"]);
        let lossy = |found: Found| String::from_utf8_lossy(found.shortest().0).into_owned();
        scanner.links(text.as_bytes()).map(lossy).collect()
    }

    #[test]
    fn links_are_found_in_every_spelling() {
        for text in [
            "see https://h.cn/7/a.jpg",
            "![x](http://h.cn/7/a.jpg)",
            "<img src='//H.CN/7/a.jpg'>",
            "HTTPS://127.0.0.1:80/7/a.jpg?x=1#y",
            "https://h.cn/7/%61.jpg.",
            r#"{"u":"https:\/\/h.cn\/7\/a.jpg"}"#,
            "https://x.com/?u=https%3A%2F%2Fh.cn%2F7%2F%2561.jpg%26w=1",
            "https://x.com/?u=http%3a%2f%2f127.0.0.1%3a80%2f7%2fa.jpg&w=1",
            "图https://h.cn/7/a.jpg图",
            "https://h.cn/7/a.jpg,https",
            "_https://h.cn/7/a.jpg_, **https",
        ] {
            assert_eq!(found(text), ["/7/a.jpg"], "{text}");
        }
    }

    #[test]
    fn what_goes_on_is_another_link() {
        for (text, path) in [
            ("https://h.cn/7/a.jpg.webp", "/7/a.jpg.webp"),
            ("https://h.cn/7/a.jpg-large", "/7/a.jpg-large"),
            ("https://h.cn/7/a.jpg%20b", "/7/a.jpg b"),
            ("https://h.cn/7/a.jpg/b", "/7/a.jpg/b"),
        ] {
            assert_eq!(found(text), [path]);
        }
        for text in [
            "https://h.cn.evil/7/a",
            "https://127.0.0.1:8080/7/a",
            "ftp://h.cn/7/a",
            "https://h.cn/",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_path_may_end_with_what_mostly_ends_a_sentence() {
        let scanner = Scanner::new(["h.cn"]);
        let text = "https://h.cn/7/a.图。";
        let found: Vec<Found> = scanner.links(text.as_bytes()).collect();
        let meant = |path: &[u8]| path == "/7/a.图。".as_bytes() || path == b"/7/a.";
        let expected = ("/7/a.图。".as_bytes(), text.len());
        assert_eq!(found[0].longest(meant), Some(expected));
        assert_eq!(found[0].shortest().0, b"/7/a");
    }

    #[test]
    fn a_link_is_known_by_its_path() {
        assert_eq!(path("https://h.cn:8/7/a%20b.jpg?k=1#x"), Some(b"/7/a b.jpg".to_vec()));
        assert_eq!(host("https://h.cn:8/7/a"), Some("h.cn:8"));
        for link in ["", "h.cn/7", "https://h.cn", "https:///7"] {
            assert_eq!((host(link), path(link)), (None, None), "{link}");
        }
    }
}
