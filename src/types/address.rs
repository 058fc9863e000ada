//! An address: what the path of a direct link names, on whatever host of the account it stands.
//!
//! A link is `https://HOST/UID/FILEID.EXT`. Texts hold old and new hosts of one account side by side:
//! those of the service, some of which have the account's number in their name, and domains of its
//! owner. A file ID may hold any byte that a path may, so `/` and `.` too.

use percent_encoding::percent_decode_str;

/// The domains under which the service serves links.
const SERVICE: [&str; 3] = ["123pan.cn", "123pan.com", "123clouddisk.com"];

/// What the path of a link names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The account's number, where the path or the host tells one.
    pub account: Option<String>,
    /// The path behind the number, nothing in it percent-encoded: `FILEID.EXT`.
    pub name: Vec<u8>,
}

impl Address {
    /// What a link names; `None` where it has no path.
    pub fn of(link: &str) -> Option<Self> {
        let (host, path) = parts(link)?;
        Self::at(host, &percent_decode_str(path).collect::<Vec<u8>>())
    }

    /// What a path names on a host, nothing in it percent-encoded.
    pub fn at(host: &str, path: &[u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/")?;
        let of_host = service_host(host).flatten();
        let slash = path.iter().position(|byte| *byte == b'/');
        let (first, rest) = slash.map_or((None, path), |at| (number(&path[..at]), &path[at + 1..]));
        let (account, name) = match (of_host, first) {
            (Some(account), first) if first.is_none_or(|first| first != account) => {
                (Some(account), path)
            }
            (_, Some(first)) => (Some(first), rest),
            (_, None) => (None, path),
        };
        (!name.is_empty()).then(|| Self { account: account.map(str::to_owned), name: name.into() })
    }

    /// The file ID that it names if it is of a picture.
    pub fn id(&self) -> Option<&str> {
        let name = std::str::from_utf8(&self.name).ok()?;
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let end = name[last..].rfind('.').map_or(name.len(), |dot| last + dot);
        Some(&name[..end]).filter(|id| !id.is_empty())
    }

    /// Where other parts stand before an account's number, as on a domain of its owner's, what is
    /// named behind them.
    pub fn behind(&self, account: &str) -> Option<Self> {
        let mark = format!("/{account}/");
        let at = self.name.windows(mark.len()).position(|part| part == mark.as_bytes())?;
        // Else they are of the text around two links.
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+@=$/".contains(byte);
        self.name[..at].iter().all(is_plain).then_some(())?;
        let name = self.name[at + mark.len()..].to_vec();
        (!name.is_empty()).then(|| Self { account: Some(account.to_owned()), name })
    }
}

/// Whether a host is one of the service's for links, and the account's number if its name has one.
pub fn service_host(host: &str) -> Option<Option<&str>> {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let is_below = |domain: &&str| {
        let at = host.len().checked_sub(domain.len() + 1)?;
        let (head, tail) = (host.get(..at)?, host.get(at..)?);
        (tail.strip_prefix('.')?.eq_ignore_ascii_case(domain)).then_some(head)
    };
    let label = SERVICE.iter().find_map(is_below)?.split('.').next()?;
    let is_common = label.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("vip"));
    match number(label.as_bytes()) {
        Some(account) => Some(Some(account)),
        None => is_common.then_some(None),
    }
}

fn number(part: &[u8]) -> Option<&str> {
    let is_number = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(part).ok().filter(|_| is_number)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(link: &str) -> Option<(Option<String>, String)> {
        let address = Address::of(link)?;
        Some((address.account.clone(), address.id()?.to_owned()))
    }

    #[test]
    fn one_picture_has_one_address_on_all_hosts() {
        let expected = Some((Some("42".to_owned()), "ab/c+d=".to_owned()));
        for link in [
            "https://vip.123pan.cn/42/ab/c+d=.jpg",
            "http://VIP.123pan.cn:80/42/ab%2Fc%2Bd%3D.jpg?auth_key=1-2#x",
            "https://vipdev.123pan.com/42/ab/c+d=",
            "https://42.cdn.123clouddisk.com/42/ab/c+d=.jpg",
            "https://42.cdn.123clouddisk.com/ab/c+d=.jpg",
            "https://42.v.123pan.cn/42/ab/c+d=.jpg",
            "https://img.example.org/42/ab/c+d=.jpg",
        ] {
            assert_eq!(read(link), expected, "{link}");
        }
        let bare = Address::of("https://img.example.org/pre/fix/42/a.b.jpg").expect("a path");
        assert_eq!((bare.account.as_deref(), bare.id()), (None, Some("pre/fix/42/a.b")));
        let behind = bare.behind("42").expect("it is there");
        assert_eq!((behind.account.as_deref(), behind.id()), (Some("42"), Some("a.b")));
        assert_eq!(bare.behind("2"), None);
        let two = Address::of("https://h.cn/a.jpg,https://h.cn/42/b.jpg").expect("a path");
        assert_eq!(two.behind("42"), None);
        for link in ["", "h.cn/7", "https://h.cn", "https:///7", "https://h.cn/", "https://h.cn/7/"]
        {
            assert_eq!(read(link), None, "{link}");
        }
    }

    #[test]
    fn hosts_of_the_service_are_told_from_its_pages() {
        for (host, expected) in [
            ("vip.123pan.cn", Some(None)),
            ("42.cdn.123clouddisk.com", Some(Some("42"))),
            ("42.v.123pan.cn:443", Some(Some("42"))),
            ("www.123pan.com", None),
            ("123pan.cn", None),
            ("vip.123pan.cn.example", None),
            ("vip.a123pan.cn", None),
            ("图.cn", None),
        ] {
            assert_eq!(service_host(host), expected, "{host}");
        }
    }
}
