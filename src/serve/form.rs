//! The name of a file in a form, however its client spells it: raw, percent-encoded with its charset
//! (RFC 8187), cut into pieces (RFC 2231) or as words of mail (RFC 2047). Browsers, Node, curl, Python and
//! editors differ, and no picture is refused for it.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_DISPOSITION;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, GB18030, UTF_8, WINDOWS_1252};
use percent_encoding::percent_decode;

/// Base64 as mails have it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The most pieces of a name.
const MOST_PIECES: usize = 100;

/// The name that a part of a form gives its file, without folders before it, and empty where they are
/// all there is; `None` where it names no file.
pub(super) fn file_name(headers: &HeaderMap) -> Option<String> {
    let told = parameters(headers.get(CONTENT_DISPOSITION)?.as_bytes());
    let value = |key: &str| told.iter().find(|(known, _)| known == key).map(|(_, value)| value);
    let extended = value("filename*").and_then(|value| extended(value));
    let name = extended.or_else(|| pieces(&told)).or_else(|| value("filename").map(|v| plain(v)));
    // Some clients put folders before it.
    name.map(|name| name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned())
}

/// The parameters of the header, their keys in lower case, quotes taken off.
fn parameters(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut told = Vec::new();
    let mut rest = after(header, b';');
    while let Some(text) = rest {
        let Some(equals) = text.iter().position(|byte| *byte == b'=') else { break };
        let key = String::from_utf8_lossy(&text[..equals]).trim().to_ascii_lowercase();
        let value = text[equals + 1..].trim_ascii_start();
        rest = match value.strip_prefix(b"\"") {
            Some(quoted) => {
                let (value, behind) = unquoted(quoted);
                told.push((key, value));
                after(behind, b';')
            }
            None => {
                let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
                told.push((key, value[..end].trim_ascii().to_vec()));
                after(value, b';')
            }
        };
    }
    told
}

fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    let at = text.iter().position(|found| *found == byte)?;
    Some(&text[at + 1..])
}

/// What stands up to the closing quote, and what follows it. A `\` before anything but a quote or another
/// is of a path of Windows.
fn unquoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut at = 0;
    while at < text.len() && text[at] != b'"' {
        let is_escape = text[at] == b'\\' && matches!(text.get(at + 1), Some(b'"' | b'\\'));
        at += usize::from(is_escape);
        value.push(text[at]);
        at += 1;
    }
    (value, text.get(at + 1..).unwrap_or_default())
}

/// `UTF-8'en'%E6%96%B0.png`
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    in_charset(charset, &percent_decode(text).collect::<Vec<u8>>())
}

/// `filename*0*=UTF-8''%E6%96; filename*1*=%B0; filename*2=.png`
fn pieces(told: &[(String, Vec<u8>)]) -> Option<String> {
    let piece = |number: usize| {
        let key = format!("filename*{number}");
        let of = |key: &str| told.iter().find(|(known, _)| *known == key);
        let encoded = of(&format!("{key}*")).map(|(_, value)| (true, value));
        encoded.or_else(|| of(&key).map(|(_, value)| (false, value)))
    };
    let mut charset = Vec::new();
    let mut bytes = Vec::new();
    for (number, (is_encoded, value)) in (0..MOST_PIECES).map_while(piece).enumerate() {
        let mut text = &value[..];
        if is_encoded && number == 0 {
            let mut parts = value.splitn(3, |byte| *byte == b'\'');
            charset = parts.next()?.to_vec();
            text = parts.nth(1)?;
        }
        match is_encoded {
            true => bytes.extend(percent_decode(text)),
            false => bytes.extend_from_slice(text),
        }
    }
    (!bytes.is_empty()).then(|| in_charset(&charset, &bytes).unwrap_or_else(|| guessed(&bytes)))
}

fn in_charset(charset: &[u8], bytes: &[u8]) -> Option<String> {
    // No charset is one too: that of RFC 8187.
    let charset = if charset.is_empty() { UTF_8 } else { Encoding::for_label(charset)? };
    charset.decode_without_bom_handling_and_without_replacement(bytes).map(Into::into)
}

/// A name that does not tell how it is spelled.
fn plain(value: &[u8]) -> String {
    let text = words(&guessed(value));
    // Browsers write a quote so. More is decoded only where nobody can have meant it as it stands.
    let decoded = percent_decode(text.as_bytes()).decode_utf8();
    match decoded {
        Ok(decoded) if text.is_ascii() && !decoded.is_ascii() => decoded.into_owned(),
        _ => text.replace("%22", "\"").replace("%0D", " ").replace("%0A", " "),
    }
}

/// Bytes of an unknown charset.
fn guessed(bytes: &[u8]) -> String {
    let charsets = [UTF_8, GB18030, WINDOWS_1252].into_iter();
    let mut read = charsets
        .filter_map(|charset| charset.decode_without_bom_handling_and_without_replacement(bytes));
    read.next().map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), Into::into)
}

/// The text with its words of mail decoded: `=?utf-8?B?5paw?=`. Blanks between two of them are of no
/// meaning, and a character may be cut between them.
fn words(text: &str) -> String {
    let mut all = String::new();
    let mut word: Option<(&'static Encoding, Vec<u8>)> = None;
    let mut rest = text;
    while let Some((before, charset, bytes, after)) = next_word(rest) {
        match &mut word {
            Some((known, read)) if *known == charset && before.trim().is_empty() => {
                read.extend(bytes);
            }
            _ => {
                all.extend(
                    word.take().map(|(charset, bytes)| charset.decode(&bytes).0.into_owned()),
                );
                all.push_str(before);
                word = Some((charset, bytes));
            }
        }
        rest = after;
    }
    all.extend(word.map(|(charset, bytes)| charset.decode(&bytes).0.into_owned()));
    all + rest
}

/// The first word of mail: what stands before it, its charset and bytes, and what follows.
fn next_word(text: &str) -> Option<(&str, &'static Encoding, Vec<u8>, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("=?").map(|at| from + at) {
        from = at + 2;
        let mut parts = text[from..].splitn(4, '?');
        let (Some(charset), Some(way), Some(body), Some(after)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        // A language may stand behind the charset.
        let charset = Encoding::for_label(charset.split('*').next()?.as_bytes());
        let bytes = match way {
            "b" | "B" => BASE64.decode(body.trim()).ok(),
            "q" | "Q" => Some(percent_decode(quoted(body).as_bytes()).collect()),
            _ => None,
        };
        if let (Some(charset), Some(bytes), Some(after)) = (charset, bytes, after.strip_prefix('='))
        {
            return Some((&text[..at], charset, bytes, after));
        }
    }
    None
}

/// The `Q` way with percent signs for its equals signs.
fn quoted(body: &str) -> String {
    body.replace('%', "%25").replace('_', "%20").replace('=', "%")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(header: &[u8]) -> Option<String> {
        let header = HeaderValue::from_bytes(header).expect("a header");
        file_name(&HeaderMap::from_iter([(CONTENT_DISPOSITION, header)]))
    }

    #[test]
    fn a_name_is_read_however_it_is_spelled() {
        let new = Some("新 a.png".to_owned());
        for header in [
            "form-data; name=\"f\"; filename=\"新 a.png\"",
            "form-data; name=f; FILENAME*=utf-8''%E6%96%B0%20a.png",
            "form-data; filename*=UTF-8'zh-CN'%e6%96%b0%20a.png; name=f",
            "form-data; filename=\"x.png\"; filename*=UTF-8''%E6%96%B0%20a.png",
            "form-data; filename=\"%E6%96%B0%20a.png\"; filename*=UTF-8''%E6%96%B0%20a.png",
            "form-data; filename*=gbk''%D0%C2%20a.png",
            "form-data; filename*=\"UTF-8''%E6%96%B0%20a.png\"",
            "form-data; filename=\"%E6%96%B0%20a.png\"",
            "form-data; filename=%E6%96%B0%20a.png",
            "form-data; filename=\"=?utf-8?B?5pawIGEucG5n?=\"",
            "form-data; filename==?UTF-8?B?5pawIGEucG5n?=",
            "form-data; filename=\"=?utf-8?b?5g?= =?utf-8?b?lrAgYS5wbmc=?=\"",
            "form-data; filename=\"=?utf-8?Q?=E6=96=B0_a.png?=\"",
            "form-data; filename=\"=?gb2312?B?0MI=?= a.png\"",
            "form-data; filename=\"=?utf-8*zh?q?=E6=96=B0?= a.png\"",
            "form-data; filename*0*=UTF-8''%E6%96; filename*1*=%B0; filename*2=\" a.png\"",
            "form-data; filename*=nonsense''x; filename=\"新 a.png\"",
            "form-data; filename=\"C:\\pics\\新 a.png\"",
            "attachment;filename = \"/pics/新 a.png\" ;name=f",
        ] {
            assert_eq!(read(header.as_bytes()), new, "{header}");
        }
        let gbk = b"form-data; name=\"f\"; filename=\"\xd0\xc2 a.png\"";
        assert_eq!(read(gbk), new);
    }

    #[test]
    fn what_is_no_spelling_stays_as_it_is() {
        for (header, expected) in [
            ("form-data; name=\"a\"", None),
            ("form-data", None),
            ("form-data; name=\"filename=x\"", None),
            ("form-data; filename=\"\"", Some("")),
            ("form-data; filename=\"a;b.png\"; name=x", Some("a;b.png")),
            ("form-data; filename=\"a\\\"b.png\"", Some("a\"b.png")),
            ("form-data; filename=\"a%22b.png\"", Some("a\"b.png")),
            ("form-data; filename=\"100%25 a%20b.png\"", Some("100%25 a%20b.png")),
            ("form-data; filename=\"=?utf-8?X?a?= =?.png\"", Some("=?utf-8?X?a?= =?.png")),
            ("form-data; filename=\"a.png", Some("a.png")),
            ("form-data; filename=a.png", Some("a.png")),
            ("form-data; filename=\"a=b.png\"", Some("a=b.png")),
        ] {
            assert_eq!(read(header.as_bytes()).as_deref(), expected, "{header}");
        }
        let latin = b"form-data; filename=\"caf\xe9.png\"";
        assert_eq!(read(latin).as_deref(), Some("caf\u{e9}.png"));
    }
}
