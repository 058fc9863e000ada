//! A link as text: the forms in which the address of a picture is put into a page.

/// `![name](url)`, with what Markdown would take for its own escaped.
pub fn markdown(name: &str, url: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '[' | ']' | '\\') {
            text.push('\\');
        }
        text.push(if c == '\n' { ' ' } else { c });
    }
    if url.contains([' ', '(', ')']) {
        format!("![{text}](<{url}>)")
    } else {
        format!("![{text}]({url})")
    }
}

/// `<img src="url" alt="name">`, with what HTML would take for its own escaped.
pub fn html(name: &str, url: &str) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
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
}
