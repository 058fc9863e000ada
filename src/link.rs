//! A link as text: the forms in which the address of a picture is put into a page.

use serde::Serialize;

use crate::types::{Entry, FileId, Md5};

/// The form in which a link is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The address alone.
    #[default]
    Url,
    /// `![name](url)`
    Markdown,
    /// `<img src="url" alt="name">`
    Html,
    /// `[img]url[/img]`
    Bbcode,
    /// An object with the address, and with what is known of the picture.
    Json,
}

/// A picture and its link. The names of the fields are those of [`Format::Json`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Linked {
    /// The address to publish.
    pub url: String,
    /// The service's address, where it is known.
    pub download_url: Option<String>,
    /// That of the user's own domain, where the service tells one.
    pub self_url: Option<String>,
    /// What the picture is called.
    pub name: String,
    /// Where it is: from the root of the bed, as `blog/a.png`, or as the user named it.
    pub path: String,
    /// The file ID, where it is known.
    #[serde(serialize_with = "some_text")]
    pub id: Option<FileId>,
    /// Of its bytes, where the service told it.
    #[serde(serialize_with = "some_text")]
    pub md5: Option<Md5>,
    /// Bytes.
    pub size: u64,
}

impl Linked {
    /// The link of an entry that lies at this path; `None` while the service has told none.
    pub fn of(entry: &Entry, path: &str) -> Option<Self> {
        let picture = entry.picture()?;
        let link = picture.link.as_ref()?;
        Some(Self {
            url: link.publish().to_owned(),
            download_url: Some(link.download.to_string()),
            self_url: link.own().map(str::to_owned),
            name: entry.name.to_string(),
            path: path.to_owned(),
            id: Some(entry.id.clone()),
            md5: picture.md5,
            size: picture.size,
        })
    }
}

fn some_text<S: serde::Serializer>(
    value: &Option<impl ToString>, to: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(to)
}

impl Format {
    /// The link in this form: one line, without its end, whatever the name holds.
    pub fn render(self, linked: &Linked) -> String {
        let url = one_line_url(&linked.url);
        match self {
            Self::Url => url,
            Self::Markdown => markdown(&linked.name, &url),
            Self::Html => html(&linked.name, &url),
            Self::Bbcode => bbcode(&url),
            Self::Json => json(linked, &url),
        }
    }
}

/// What is known of a picture, with its link ready to paste.
fn json(linked: &Linked, url: &str) -> String {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        linked: &'a Linked,
        markdown: String,
        html: String,
    }
    let (markdown, html) = (markdown(&linked.name, url), html(&linked.name, url));
    let whole = Whole { linked, markdown, html };
    serde_json::to_string(&whole).expect("texts and numbers are always JSON")
}

/// The address with control characters written as `%0A` and the like: none stands in a valid one.
fn one_line_url(url: &str) -> String {
    escape_in(url, char::is_control)
}

fn escape_in(url: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(url.len());
    let mut buffer = [0; 4];
    for c in url.chars() {
        if is_escaped(c) {
            let bytes = c.encode_utf8(&mut buffer).bytes();
            text.extend(bytes.map(|byte| format!("%{byte:02X}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// `![name](url)`, with what Markdown would take for its own escaped.
pub fn markdown(name: &str, url: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '[' | ']' | '\\') {
            text.push('\\');
        }
        text.push(if c.is_control() { ' ' } else { c });
    }
    if url.contains([' ', '(', ')']) {
        format!("![{text}](<{url}>)")
    } else {
        format!("![{text}]({url})")
    }
}

/// `[img]url[/img]`, with what BBCode would take for its own escaped.
pub fn bbcode(url: &str) -> String {
    format!("[img]{}[/img]", escape_in(url, |c| matches!(c, '[' | ']')))
}

/// `<img src="url" alt="name">`, with what HTML would take for its own escaped.
pub fn html(name: &str, url: &str) -> String {
    let escape = |text: &str| {
        let text = text.replace(char::is_control, " ").replace('&', "&amp;");
        text.replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
    };
    format!(r#"<img src="{}" alt="{}">"#, escape(url), escape(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_text() {
        assert_eq!(markdown("a]b.png", "https://x/y.png"), r"![a\]b.png](https://x/y.png)");
        assert_eq!(markdown("a", "https://x/(1).png"), "![a](<https://x/(1).png>)");
        assert_eq!(
            html(r#""><script>"#, "https://x/?a&b"),
            r#"<img src="https://x/?a&amp;b" alt="&quot;&gt;&lt;script&gt;">"#
        );
    }

    #[test]
    fn every_form_is_one_line() {
        let linked = Linked {
            url: "https://x/[1]\n.png".into(),
            download_url: None,
            self_url: None,
            name: "a\r\nb\".png".into(),
            path: "blog/a\r\nb\".png".into(),
            id: Some(FileId::new("7")),
            md5: Some(Md5::new([1; 16])),
            size: 5,
        };
        let forms = [
            (Format::Url, "https://x/[1]%0A.png"),
            (Format::Markdown, "![a  b\".png](https://x/[1]%0A.png)"),
            (Format::Html, r#"<img src="https://x/[1]%0A.png" alt="a  b&quot;.png">"#),
            (Format::Bbcode, "[img]https://x/%5B1%5D%0A.png[/img]"),
            (
                Format::Json,
                r#"{"url":"https://x/[1]\n.png","download_url":null,"self_url":null,"name":"a\r\nb\".png","path":"blog/a\r\nb\".png","id":"7","md5":"01010101010101010101010101010101","size":5,"markdown":"![a  b\".png](https://x/[1]%0A.png)","html":"<img src=\"https://x/[1]%0A.png\" alt=\"a  b&quot;.png\">"}"#,
            ),
        ];
        for (format, expected) in forms {
            assert_eq!(format.render(&linked), expected);
        }
    }
}
