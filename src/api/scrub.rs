//! Scrubbing: text from the network made fit for a message, a log line or a terminal.

use std::error::Error as StdError;

use reqwest::Url;

use super::roots;

/// No more characters of foreign text than this are shown.
const LONGEST: usize = 300;

/// The text without the `secrets`, without the query of any URL, on one line and not too long.
pub(super) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        clean = clean.replace(secret, "***");
    }
    let line: String =
        without_queries(&clean).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The text with what follows the `?` of each URL cut off, up to a blank or a quote.
fn without_queries(text: &str) -> String {
    let ends_url = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let url = &rest[scheme..];
        let end = url.find(ends_url).unwrap_or(url.len());
        let shown = url[..end].find('?').unwrap_or(end);
        clean.push_str(&rest[..scheme + shown]);
        rest = &url[end..];
    }
    clean + rest
}

/// Where a URL leads, without user, query and fragment: those may carry signatures.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// What a transport error says, with its sources, without its URL, and with what mends it if that is
/// known.
pub(super) fn transport(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut advice = None;
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        advice = advice.or_else(|| roots::advice(deeper));
        source = deeper.source();
    }
    scrub(&text, &[]) + advice.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_queries_are_cut() {
        let text = "token T0K \"https://a.b/c?X-Sig=1&d=https://e?f\" and\nhttp://g/h?i more? yes";
        assert_eq!(
            scrub(text, &["T0K", ""]),
            "token *** \"https://a.b/c\" and http://g/h more? yes"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(scrub(&"图".repeat(400), &[]), format!("{}…", "图".repeat(300)));
    }

    #[test]
    fn a_place_has_no_query() {
        let url = Url::parse("https://u:p@a.b:8443/c.jpg?auth_key=1#x").expect("a URL");
        assert_eq!(place(&url), "https://a.b:8443/c.jpg");
    }
}
