//! A rewritten text: the same bytes, but for the links that another took the place of.

use super::chains::Chains;
use super::query::Query;
use super::scan::{Found, Scanner};
use crate::types::FileId;

/// What became of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The text as it is to be; as it was if `links` is 0.
    pub text: Vec<u8>,
    /// How many links are others now.
    pub links: usize,
    /// What took the place of links that had to stay, its own link not being known.
    pub unknown: Vec<FileId>,
}

/// Writes the newest link for each that ended.
///
/// The query and the fragment behind a link stay. A new link with a query of its own, which is its
/// signature, gives it for that of the old one, or before its other parameters.
pub fn rewrite(text: &[u8], scanner: &Scanner, chains: &Chains) -> Rewritten {
    let mut rewritten = Rewritten::default();
    let mut done = 0;
    let mut links = scanner.links(text).peekable();
    while let Some(found) = links.next() {
        if found.start < done {
            continue;
        }
        let ended = found.longest(|path| chains.newest(path).is_some());
        let Some((newest, end)) = ended.and_then(|(path, end)| Some((chains.newest(path)?, end)))
        else {
            continue;
        };
        let Some(link) = chains.link(&newest) else {
            rewritten.unknown.push(newest);
            continue;
        };
        rewritten.text.extend_from_slice(&text[done..found.start]);
        // A query ends where the next link begins.
        let behind = &text[..links.peek().map_or(text.len(), |next| next.start.max(end))];
        done = put(&mut rewritten.text, link, &found, behind, end);
        rewritten.links += 1;
    }
    rewritten.text.extend_from_slice(&text[done..]);
    rewritten
}

/// A link as the one that was found is spelled.
fn spelled(link: &str, found: &Found) -> String {
    let scheme = link.find("//").filter(|_| !found.has_scheme).unwrap_or(0);
    found.spelling.spell(&link[scheme..])
}

/// Writes a link for the one that was found and ends at `end`, and gives what of the text is done.
fn put(new: &mut Vec<u8>, link: &str, found: &Found, text: &[u8], end: usize) -> usize {
    let signed = link.split_once('?');
    let query = signed.and_then(|_| Query::behind(text, end, found.spelling));
    let (Some((bare, signature)), Some(query)) = (signed, query) else {
        new.extend_from_slice(spelled(link, found).as_bytes());
        return end;
    };
    new.extend_from_slice(spelled(bare, found).as_bytes());
    let spell = |text| found.spelling.spell(text).into_bytes();
    if let Some(old) = query.signature {
        new.extend_from_slice(&text[end..old.start]);
        new.extend(spell(signature));
        return old.end;
    }
    new.extend_from_slice(&text[end..query.start]);
    new.extend(spell(signature));
    match query.joiner {
        Some(joiner) => new.extend_from_slice(joiner),
        None => new.extend(spell("&")),
    }
    query.start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::Moved;

    const OLD: &str = "https://h.cn/7/old.jpg";
    const NEW: &str = "https://own.me/7/new.jpg";

    fn moved(old: &str, new: Option<&str>) -> Moved {
        Moved {
            changed: 0,
            path: "a.jpg".into(),
            old_object: FileId::new("old"),
            old_link: Some(old.into()),
            new_object: FileId::new("new"),
            new_link: new.map(Into::into),
        }
    }

    fn rewritten(text: &[u8], new: Option<&str>) -> Rewritten {
        let scanner = Scanner::new(["h.cn", "own.me"]);
        rewrite(text, &scanner, &Chains::new(&[moved(OLD, new)]))
    }

    fn told(text: &str) -> String {
        String::from_utf8(rewritten(text.as_bytes(), Some(NEW)).text).expect("UTF-8")
    }

    #[test]
    fn a_link_is_rewritten_as_it_is_spelled() {
        for (text, expected) in [
            ("![a](https://h.cn/7/old.jpg)\r\n", "![a](https://own.me/7/new.jpg)\r\n"),
            (
                "<http://own.me/7/%6Fld.jpg?w=1&amp;h#top>",
                "<https://own.me/7/new.jpg?w=1&amp;h#top>",
            ),
            ("<img src=//h.cn/7/old.jpg>", "<img src=//own.me/7/new.jpg>"),
            (r#"["https:\/\/h.cn\/7\/old.jpg"]"#, r#"["https:\/\/own.me\/7\/new.jpg"]"#),
            ("x?u=https%3a%2f%2fh.cn%2f7%2fold.jpg&w", "x?u=https%3A%2F%2Fown.me%2F7%2Fnew.jpg&w"),
            (
                "https://h.cn/7/old.jpg,https://h.cn/7/old.jpg",
                "https://own.me/7/new.jpg,https://own.me/7/new.jpg",
            ),
        ] {
            assert_eq!(told(text), expected);
        }
        for text in [
            "https://h.cn/7/old.jpg2",
            "https://h.cn/7/old.jpg/x",
            "https://h.cn/8/old.jpg",
            "https://h.cn.evil/7/old.jpg",
            "https://elsewhere/7/old.jpg",
            "https://own.me/7/new.jpg",
        ] {
            assert_eq!(told(text), text);
        }
    }

    #[test]
    fn a_signature_takes_the_place_of_the_old_one() {
        let new = "https://h.cn/7/new.jpg?auth_key=9-b-7-c";
        for (old, expected) in [
            ("(BASE)", "(BASE?KEY)"),
            ("BASE?auth_key=1-a-7-d&w=1", "BASE?KEY&w=1"),
            ("BASE?w=200&auth_key=1-a-7-d&h=100#x", "BASE?w=200&KEY&h=100#x"),
            ("_BASE?w=200&amp;auth_key=1-a-7-d_.", "_BASE?w=200&amp;KEY_."),
            ("BASE?w=200&h=100", "BASE?KEY&w=200&h=100"),
            ("BASE?w=200&amp;h=100", "BASE?KEY&amp;w=200&amp;h=100"),
            (
                "BASE?x-oss-process=image/resize,w_100)",
                "BASE?KEY&x-oss-process=image/resize,w_100)",
            ),
            ("BASE?x=%26auth_key%3D1", "BASE?KEY&x=%26auth_key%3D1"),
            ("Is it BASE? Or <BASE?>", "Is it BASE?KEY? Or <BASE?KEY?>"),
            ("BASE?w=1,BASE?h=1&auth_key=2", "BASE?KEY&w=1,BASE?h=1&KEY"),
        ] {
            let text = old.replace("BASE", OLD);
            let base = "https://h.cn/7/new.jpg";
            let expected = expected.replace("BASE", base).replace("KEY", "auth_key=9-b-7-c");
            let told = rewritten(text.as_bytes(), Some(new)).text;
            assert_eq!(String::from_utf8_lossy(&told), expected);
        }
        for (text, expected) in [
            (
                r#""https:\/\/h.cn\/7\/old.jpg?x=a\/b\u0026auth_key=1""#,
                r#""https:\/\/h.cn\/7\/new.jpg?x=a\/b\u0026auth_key=9-b-7-c""#,
            ),
            (
                "x?u=https%3A%2F%2Fh.cn%2F7%2Fold.jpg%3Fw%3D1%26auth_key%3D1-a&auth_key=2",
                "x?u=https%3A%2F%2Fh.cn%2F7%2Fnew.jpg%3Fw%3D1%26auth_key%3D9-b-7-c&auth_key=2",
            ),
            (
                "x?u=https%3A%2F%2Fh.cn%2F7%2Fold.jpg%3Fw%3D1&h=2",
                "x?u=https%3A%2F%2Fh.cn%2F7%2Fnew.jpg%3Fauth_key%3D9-b-7-c%26w%3D1&h=2",
            ),
        ] {
            let told = rewritten(text.as_bytes(), Some(new)).text;
            assert_eq!(String::from_utf8_lossy(&told), expected);
        }
    }

    #[test]
    fn a_link_whose_successor_has_none_stays_and_is_told() {
        let told = rewritten(OLD.as_bytes(), None);
        assert_eq!(told.text, OLD.as_bytes());
        assert_eq!((told.links, told.unknown), (0, vec![FileId::new("new")]));
    }

    proptest! {
        /// Whatever stands between links that ended stays, byte by byte.
        #[test]
        fn other_bytes_are_never_touched(
            between in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
            before in "[ (\"<]", after in "[ )\"<?#]",
        ) {
            let with = |link: &str| {
                let parts: Vec<Vec<u8>> = between.clone();
                parts.join(format!("{before}{link}{after}").as_bytes())
            };
            let told = rewritten(&with(OLD), Some(NEW));
            prop_assert_eq!(told.links, between.len() - 1);
            prop_assert_eq!(told.text, with(NEW));
        }

        /// A text of pieces of links has no link but a whole one.
        #[test]
        fn pieces_of_links_are_never_touched(
            pieces in proptest::collection::vec("https?:|//|h\\.cn|/7/|old|\\.jpg|[a-z%/.\\\\-]|%2F|图", 0..30),
        ) {
            let text = pieces.concat();
            prop_assume!(!text.contains("/old.jpg") && !text.contains("2Fold.jpg"));
            let told = rewritten(text.as_bytes(), Some(NEW));
            prop_assert_eq!(told.text, text.as_bytes());
        }
    }
}
