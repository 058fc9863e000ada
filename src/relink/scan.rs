//! A scanner: finds where links to the hosts of the bed stand in a text, and which paths they name.

use aho_corasick::{AhoCorasick, MatchKind};

use super::spelling::{Spelling, Step};
use crate::types::{Address, service_host};

/// The longest path that is looked at, in bytes.
const LONGEST: usize = 4096;

/// What still belongs to a link of bytes that mostly end one, at most.
const MOST_WEAK: usize = 16;

/// How the names of the service's hosts for links begin: common ones, and those with an account's number.
const SERVICE_STARTS: [&str; 11] = ["vip", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Finds links to the hosts it knows, and to those of the service.
pub struct Scanner {
    /// `//host`, or what it may begin with, in every spelling.
    hosts: AhoCorasick,
    /// The spelling of each pattern, and whether it is a whole host.
    patterns: Vec<(Spelling, bool)>,
}

/// A link in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it begins: with its scheme, or with `//` where it has none.
    pub start: usize,
    /// Whether it names a scheme.
    pub has_scheme: bool,
    pub(super) spelling: Spelling,
    host: String,
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
    /// The longest address that is one of those meant, and where it ends in the text.
    pub fn longest(&self, is_meant: impl Fn(&Address) -> bool) -> Option<(Address, usize)> {
        let mut ends = self.ends.iter().filter_map(|end| Some((self.address(*end)?, end.place)));
        ends.find(|(address, _)| is_meant(address))
    }

    /// The shortest address it can have, if that is one, and where it ends in the text.
    pub fn shortest(&self) -> (Option<Address>, usize) {
        let end = self.ends.last().expect("there is one end at least");
        (self.address(*end), end.place)
    }

    fn address(&self, end: End) -> Option<Address> {
        Address::at(&self.host, &self.path[..end.len])
    }
}

impl Scanner {
    /// A scanner for these hosts, each with its port if it has one, and for those of the service.
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut spelled, mut patterns) = (Vec::new(), Vec::new());
        let whole = hosts.into_iter().map(|host| (host, true));
        for (host, is_whole) in whole.chain(SERVICE_STARTS.map(|start| (start, false))) {
            for spelling in Spelling::ALL {
                spelled.push(spelling.spell(&format!("//{host}")));
                patterns.push((spelling, is_whole));
            }
        }
        let hosts = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&spelled)
            .expect("hosts are few and short");
        Self { hosts, patterns }
    }

    /// The links of a text, from its beginning to its end.
    pub fn links<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Found> + 'a {
        self.hosts.find_iter(text).filter_map(|found| {
            let (spelling, is_whole) = self.patterns[found.pattern().as_usize()];
            let name = found.start() + spelling.spell("//").len();
            let is_of_host = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
            let host = match is_whole {
                true => name..found.end(),
                false => name..name + text[name..].iter().take_while(is_of_host).count(),
            };
            let (slashes, behind) = (found.start(), host.end);
            let host = String::from_utf8_lossy(&text[host]).into_owned();
            if !is_whole && service_host(&host).is_none() {
                return None;
            }
            let (start, has_scheme) = begin(text, slashes, spelling)?;
            let (path, ends) = walk(text, behind, spelling)?;
            Some(Found { start, has_scheme, spelling, host, ends, path })
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
    // Letters of other scripts, and what mostly ends a sentence, go on a path only where they are its own.
    let (mut weak, mut first_foreign) = (Vec::new(), None);
    let mut places = vec![start];
    let mut end = start;
    while let Some(step) = spelling.step(&text[end..]).filter(|step| is_of_path(*step)) {
        if steps.is_empty() && step.byte != b'/' {
            return None;
        }
        if is_weak(step) {
            if weak.len() == MOST_WEAK {
                break;
            }
            weak.push(steps.len());
        }
        if steps.len() == LONGEST {
            steps.truncate(*weak.last()?);
            break;
        }
        if !step.is_escaped && !step.byte.is_ascii() {
            first_foreign.get_or_insert(steps.len());
        }
        end += step.len;
        steps.push(step);
        places.push(end);
    }
    let cuts = weak.iter().copied().chain(first_foreign).filter(|cut| *cut < steps.len());
    let mut lens: Vec<usize> = cuts.chain([steps.len()]).collect();
    lens = lens.into_iter().flat_map(|len| without_joiners(&steps[..len])).collect();
    lens.sort_unstable_by(|a, b| b.cmp(a));
    lens.dedup();
    let ends: Vec<End> = lens.into_iter().map(|len| End { place: places[len], len }).collect();
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
        || is_weak(step)
}

/// Whether this may stand in a path, and mostly is of the text around it.
fn is_weak(step: Step) -> bool {
    !step.is_escaped && b"!&'()*,;".contains(&step.byte)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text has of links to `h.cn` and `127.0.0.1:80`, as shortest paths.
    fn found(text: &str) -> Vec<String> {
        let scanner = Scanner::new(["h.cn", "127.0.0.1:80"]);
        let shortest = |found: Found| {
            let end = found.ends.last().expect("an end").len;
            String::from_utf8_lossy(&found.path[..end]).into_owned()
        };
        scanner.links(text.as_bytes()).map(shortest).collect()
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
            "url('https://h.cn/7/a.jpg');",
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
        let address = |name: &str| Address { account: Some("7".into()), name: name.into() };
        let meant = |it: &Address| *it == address("a.图。") || *it == address("a.");
        assert_eq!(found[0].longest(meant), Some((address("a.图。"), text.len())));
        assert_eq!(found[0].shortest().0, Some(address("a")));
    }
}
