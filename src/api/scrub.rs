//! Scrubbing: text from the network made fit for a message, a log line or a terminal.

use std::error::Error as StdError;

use reqwest::Url;

use super::roots;

/// What a cause begins with where no address of a host was found.
const UNRESOLVED: &str = "the name of the host ";

/// A secret of this many bytes is no word that a message has by chance.
const UNLIKELY: usize = 8;

/// No more characters of foreign text than this are shown.
const LONGEST: usize = 300;

/// The text without the `secrets`, without the query of any URL, on one line and not too long.
pub(super) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        clean = without(&clean, secret);
    }
    let line: String =
        without_queries(&clean).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The text without a secret. One that may be a word is taken out where it is a value alone: a gap in a
/// sentence that everybody knows would show what stood there.
fn without(text: &str, secret: &str) -> String {
    if secret.len() >= UNLIKELY {
        return text.replace(secret, "***");
    }
    let is_value = |at: usize| {
        let (before, after) = (&text[..at], &text[at + secret.len()..]);
        let opens = before.ends_with(['"', '\'', '=']) || before.ends_with("Bearer ");
        opens && !after.starts_with(|c: char| c.is_alphanumeric())
    };
    let mut clean = String::with_capacity(text.len());
    let mut shown = 0;
    for (at, _) in text.match_indices(secret).filter(|(at, _)| is_value(*at)) {
        clean.push_str(&text[shown..at]);
        clean.push_str("***");
        shown = at + secret.len();
    }
    clean + &text[shown..]
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
    let host = error.url().and_then(Url::host_str).unwrap_or_default().to_owned();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut advice = None;
    let mut is_unresolved = false;
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        advice = advice.or_else(|| roots::advice(deeper));
        // What the connector says before it has an address to connect to.
        is_unresolved |= deeper.to_string() == "dns error";
        source = deeper.source();
    }
    let text = scrub(&text, &[]) + advice.unwrap_or_default();
    match is_unresolved {
        true => format!("{UNRESOLVED}{host:?} does not resolve ({text})"),
        false => text,
    }
}

/// What is said of a host that was not reached, for this cause.
pub(super) fn unreached(cause: &str) -> String {
    match cause.starts_with(UNRESOLVED) {
        true => format!("{cause}: is this machine online, and is the name right?"),
        false => format!("the service is away or too busy, try again later ({cause})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_queries_are_cut() {
        let text =
            "token \"T0K\" \"https://a.b/c?X-Sig=1&d=https://e?f\" and\nhttp://g/h?i more? yes";
        assert_eq!(
            scrub(text, &["T0K", ""]),
            "token \"***\" \"https://a.b/c\" and http://g/h more? yes"
        );
    }

    #[test]
    fn a_short_secret_is_not_shown_by_what_it_hides() {
        assert_eq!(scrub("clientSecret is wrong", &["wrong"]), "clientSecret is wrong");
        assert_eq!(scrub("clientSecret is wrong", &["e"]), "clientSecret is wrong");
        let told = r#"{"clientSecret":"wrong","why":"wrong-headed"} secret=wrong"#;
        let clean = r#"{"clientSecret":"***","why":"***-headed"} secret=***"#;
        assert_eq!(scrub(told, &["wrong"]), clean);
        assert_eq!(scrub("a long-secret-of-ours b", &["long-secret"]), "a ***-of-ours b");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_no_busy_service() {
        let cause = format!("{UNRESOLVED}\"a.b\" does not resolve (dns error)");
        assert!(unreached(&cause).contains("online") && !unreached(&cause).contains("busy"));
        assert!(unreached("connection refused").contains("busy"));
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
