//! An origin: what a browser calls the page that asks.

use std::fmt;
use std::str::FromStr;

/// `scheme://host[:port]` in lower case, as browsers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As it stands in a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origins of a text, with commas or blanks between them.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, String> {
        let parts = text.split(|c: char| c == ',' || c.is_whitespace());
        parts.filter(|part| !part.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let is_scheme = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let is_host = |part: &str| {
            let is_of_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            !part.is_empty() && part.chars().all(is_of_host)
        };
        match origin.split_once("://") {
            Some((scheme, host)) if is_scheme(scheme) && is_host(host) => Ok(Self(origin)),
            _ => Err(format!(
                "{text:?} is no origin of a page: one is wanted, as app://obsidian.md or \
                 http://localhost:8080"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for (text, origin) in [
            ("app://obsidian.md", "app://obsidian.md"),
            ("HTTP://LocalHost:8080/", "http://localhost:8080"),
            ("https://[::1]:1", "https://[::1]:1"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(text.parse(), Ok(Origin(origin.to_owned())), "{text}");
        }
        for text in ["", "*", "null", "obsidian.md", "http://", "http://a/b", "http://*", "://a"] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
        let two = Origin::list("app://a, http://b:1").expect("two");
        assert_eq!(two.iter().map(Origin::as_str).collect::<Vec<_>>(), ["app://a", "http://b:1"]);
    }
}
