//! The view: the page as HTML. All texts are escaped where they are put in.

use maud::{DOCTYPE, Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::traffic::Traffic;
use crate::link;
use crate::pending::Pending;
use crate::state::Shown;
use crate::thumbs::{Fetched, LARGEST};
use crate::types::{Account, Entry, Picture};

/// Pictures on one page.
const AT_ONCE: usize = 200;

/// What one page shows.
pub(super) struct View<'a> {
    pub(super) key: &'a str,
    pub(super) token: &'a str,
    /// The folder, from the root of the bed.
    pub(super) dir: &'a str,
    /// Of its pictures, counted from 1.
    pub(super) page: usize,
    pub(super) rows: Result<std::sync::Arc<Vec<Shown>>, String>,
    pub(super) account: Option<Account>,
    pub(super) pending: Result<Vec<Pending>, String>,
    pub(super) traffic: Traffic,
    pub(super) fetched: Fetched,
}

impl View<'_> {
    pub(super) fn render(&self) -> Markup {
        let base = format!("/page/{}/", self.key);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="bedfs-token" content=(self.token);
                    title { (self.dir.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("bedfs")) }
                    link rel="stylesheet" href={ (base) "page.css" };
                    script src={ (base) "page.js" } defer {}
                }
                body data-base=(base) data-dir=(self.dir) {
                    (self.header())
                    main {
                        (self.upload())
                        (self.pending())
                        @match &self.rows {
                            Ok(rows) => {
                                (self.folders(rows))
                                (self.pictures(rows))
                            }
                            Err(error) => p.error role="alert" { (error) }
                        }
                        (traffic(&self.traffic))
                    }
                    footer { p id="fetched" { (fetched(self.fetched)) } }
                    p.toast role="status" aria-live="polite" id="said" {}
                }
            }
        }
    }

    /// The address of a folder, and of one page of it.
    fn address(&self, dir: &str, page: usize) -> String {
        let dir = utf8_percent_encode(dir, NON_ALPHANUMERIC);
        format!("/page/{}/?dir={dir}&page={page}", self.key)
    }

    fn header(&self) -> Markup {
        let parts: Vec<&str> = self.dir.split('/').filter(|part| !part.is_empty()).collect();
        html! {
            header {
                nav aria-label="Folders" {
                    a href=(self.address("", 1)) { "bed" }
                    @for (depth, part) in parts.iter().enumerate() {
                        span.slash aria-hidden="true" { "/" }
                        a href=(self.address(&parts[..=depth].join("/"), 1)) { (part) }
                    }
                }
                @if let Some(account) = self.account {
                    p.account {
                        (bytes(account.space_used)) " of " (bytes(account.space_total)) " used, "
                        (bytes(account.traffic_left)) " of traffic left"
                    }
                }
            }
        }
    }

    fn upload(&self) -> Markup {
        html! {
            section.upload id="drop" {
                label.button for="files" { "Upload pictures" }
                input.hidden id="files" type="file" accept="image/*" multiple;
                span.hint { "or drop or paste them anywhere here" }
                ul id="uploads" {}
            }
        }
    }

    fn pending(&self) -> Markup {
        html! {
            @match &self.pending {
                Ok(all) if all.is_empty() => {}
                Ok(all) => section {
                    h2 { "Not finished" }
                    ul.pending {
                        @for pending in all {
                            li class=[pending.error.as_ref().map(|_| "failed")] {
                                span.path { (pending.path) } " "
                                span.state { (pending.stage.name()) } " "
                                span.size { (bytes(pending.size)) }
                                @if let Some(error) = &pending.error { p.why { (error) } }
                            }
                        }
                    }
                },
                Err(error) => p.error role="alert" { (error) },
            }
        }
    }

    fn folders(&self, rows: &[Shown]) -> Markup {
        let mut folders: Vec<&str> = rows
            .iter()
            .filter(|(_, row)| row.picture().is_none())
            .map(|(name, _)| &**name)
            .collect();
        folders.sort_unstable();
        let inside = |name: &str| format!("{}/{name}", self.dir).trim_start_matches('/').to_owned();
        html! {
            @if !folders.is_empty() {
                ul.folders aria-label="Folders in this one" {
                    @for name in folders {
                        li { a href=(self.address(&inside(name), 1)) { (name) } }
                    }
                }
            }
        }
    }

    fn pictures(&self, rows: &[Shown]) -> Markup {
        let pictures: Vec<(&str, &Entry, &Picture)> =
            rows.iter().filter_map(|(name, row)| Some((&**name, row, row.picture()?))).collect();
        let pages = pictures.len().div_ceil(AT_ONCE).max(1);
        let page = self.page.clamp(1, pages);
        let shown = pictures.iter().skip((page - 1) * AT_ONCE).take(AT_ONCE);
        html! {
            @if pictures.is_empty() { p.hint { "No pictures are in this folder." } }
            ul.pictures {
                @for (name, row, picture) in shown { li { (self.picture(name, row, picture)) } }
            }
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @for number in 1..=pages {
                        a href=(self.address(self.dir, number)) aria-current=[(number == page).then_some("page")] {
                            (number)
                        }
                    }
                }
            }
        }
    }

    fn picture(&self, name: &str, row: &Entry, picture: &Picture) -> Markup {
        let id = utf8_percent_encode(row.id.as_str(), NON_ALPHANUMERIC);
        let is_shown = picture.size <= LARGEST && !picture.is_rejected();
        let url = picture.link.as_ref().map(|link| link.publish());
        html! {
            figure {
                div.frame {
                    @if is_shown {
                        img alt="" data-src=(format!("/page/{}/thumb/{id}", self.key));
                    } @else if picture.is_rejected() { span.none { "rejected by moderation" } }
                    @else { span.none { "too large to preview" } }
                }
                figcaption {
                    span.name title=(name) { (name) }
                    span.facts {
                        (bytes(picture.size)) " · " (bytes(picture.traffic)) " served"
                    }
                    @match url {
                        Some(url) => div.copy role="group" aria-label={ "Copy the link of " (name) } {
                            button type="button" data-copy=(url) { "URL" }
                            button type="button" data-copy=(link::markdown(name, url)) { "Markdown" }
                            button type="button" data-copy=(link::html(name, url)) { "HTML" }
                        },
                        None => span.facts { "its link is not told yet" },
                    }
                }
            }
        }
    }
}

/// Bars of the days, and of the pictures that served most.
fn traffic(traffic: &Traffic) -> Markup {
    html! {
        @if !traffic.days.is_empty() { (bars("Traffic by day", &traffic.days)) }
        @if !traffic.pictures.is_empty() {
            (bars("Traffic by picture, of this folder", &traffic.pictures))
        }
    }
}

fn bars(title: &str, rows: &[(String, u64)]) -> Markup {
    let most = rows.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default().max(1);
    let share = |bytes: u64| format!("{:.2}", bytes as f64 / most as f64 * 100.0);
    html! {
        section.chart {
            h2 { (title) }
            table {
                @for (name, served) in rows {
                    tr {
                        th scope="row" { (name) }
                        td.bar {
                            svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
                                rect width=(share(*served)) height="1" {}
                            }
                        }
                        td { (bytes(*served)) }
                    }
                }
            }
        }
    }
}

/// What thumbnails have cost, in words.
pub(super) fn fetched(fetched: Fetched) -> String {
    let Fetched { pictures, bytes: sum } = fetched;
    let originals = if pictures == 1 { "original" } else { "originals" };
    format!(
        "Since the server began {pictures} {originals} were fetched for previews: {} of paid traffic. \
         What was previewed once is kept here, and pictures over {} are not previewed.",
        bytes(sum),
        bytes(LARGEST)
    )
}

/// A number of bytes as people read it.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EntryKind, FileId, Link};

    fn hostile(text: &str) -> String {
        let link = Link { download: text.into(), own: None };
        let picture = Picture { size: 5, md5: None, status: 0, traffic: 7, link: Some(link) };
        let entry = |kind| Entry {
            id: FileId::new(text),
            name: text.into(),
            parent: FileId::root(),
            created: 0,
            updated: 0,
            kind,
        };
        let rows = vec![
            (text.into(), entry(EntryKind::File(picture))),
            (text.into(), entry(EntryKind::Folder)),
        ];
        let view = View {
            key: "k",
            token: "t",
            dir: &text.replace('/', ""),
            page: 1,
            rows: Ok(std::sync::Arc::new(rows)),
            account: None,
            pending: Err(text.to_owned()),
            traffic: Traffic { days: vec![(text.into(), 3)], pictures: vec![(text.into(), 5)] },
            fetched: Fetched::default(),
        };
        view.render().into_string()
    }

    #[test]
    fn no_text_of_others_becomes_part_of_the_page() {
        let plain = hostile("plain");
        let tags = |page: &str| page.matches('<').count();
        let quotes = |page: &str| page.matches('"').count();
        for text in
            ["<script>alert(1)</script>", "\"><img src=x onerror=y>", "' onload='z", "a&b\"c"]
        {
            let page = hostile(text);
            assert_eq!(tags(&page), tags(&plain), "{text}");
            assert_eq!(quotes(&page), quotes(&plain), "{text}");
        }
    }

    #[test]
    fn sizes_are_as_people_read_them() {
        for (count, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(count), words);
        }
    }
}
