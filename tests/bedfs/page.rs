//! The page of `bedfs serve`: what it shows in a browser, what that costs, and who may change the bed by
//! it.

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use bedfs_emulator::{Emulator, Fault, FaultKind, Instead};
use image::{ImageFormat, RgbImage};

use crate::command::kill;
use crate::harness::{Mount, bedfs, fast, noise, run, text, wait_until};
use crate::journaled::crash;

/// A server of the built program over an emulated bed. It ends when this is dropped.
struct Server<'a> {
    emulator: &'a Emulator,
    home: &'a Path,
    process: Child,
    url: String,
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl<'a> Server<'a> {
    /// A server that keeps everything in `home`, with this configuration.
    fn start(emulator: &'a Emulator, home: &'a Path, config: &str) -> Self {
        let file = home.join("config.toml");
        fs::write(&file, config).expect("written");
        run("chmod", ["600".as_ref(), file.as_os_str()]);
        let mut command = bedfs(home, &emulator.base_url());
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("BEDFS_CONFIG", file);
        let mut process = command.stderr(Stdio::piped()).spawn().expect("bedfs runs");
        let mut line = String::new();
        let said = process.stderr.take().expect("a pipe");
        BufReader::new(said).read_line(&mut line).expect("it says where it listens");
        let at = line.find("http://").unwrap_or_else(|| panic!("no address: {line}"));
        let url = line[at..].trim().to_owned();
        emulator.forget_requests();
        Self { emulator, home, process, url }
    }

    /// What a browser makes of a page when all is quiet.
    fn dom(&self, path: &str) -> String {
        let profile = self.home.join("browser");
        run(
            "chromium",
            [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--window-size=1000,700",
                "--virtual-time-budget=10000",
                &format!("--user-data-dir={}", profile.display()),
                "--dump-dom",
                &format!("{}{path}", self.url),
            ],
        )
    }

    /// Sends a request, and gives the status and the body of the answer.
    fn ask(
        &self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8],
    ) -> (u16, String) {
        let host = self.url.strip_prefix("http://").expect("an address");
        let mut stream = std::net::TcpStream::connect(host).expect("connected");
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {host}\r\n");
        }
        head +=
            &headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).expect("sent");
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).expect("an answer");
        let answer = text(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, &[], b"")
    }

    /// Uploads a picture by the page's own endpoint.
    fn upload(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; \
                         filename=\"new.png\"\r\n\r\n"
            .to_vec();
        body.extend(picture(7, 8));
        body.extend(b"\r\n--x--\r\n");
        let mut all = vec![("Content-Type", "multipart/form-data; boundary=x")];
        all.extend(headers);
        self.ask("POST", path, &all, &body)
    }
}

/// A picture of one colour.
fn picture(colour: u8, side: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(side, side, |x, y| image::Rgb([colour, x as u8, y as u8]));
    picture.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
    bytes.into_inner()
}

/// A bed, and a folder for its server.
fn bed(fill: impl FnOnce(&Emulator)) -> (Emulator, tempfile::TempDir) {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    fill(&emulator);
    (emulator, tempfile::tempdir().expect("a folder"))
}

/// What stands between two texts in a page.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let start =
        page.find(before).unwrap_or_else(|| panic!("no {before:?} in {page}")) + before.len();
    let end = page[start..].find(after).expect("its end");
    &page[start..start + end]
}

/// The path that begins what belongs to a page, and its token.
fn key_and_token(page: &str) -> (String, String) {
    let key = between(page, "data-base=\"", "\"");
    (key.to_owned(), between(page, "name=\"bedfs-token\" content=\"", "\"").to_owned())
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn a_browser_shows_previews_once_paid_for_links_to_copy_and_folders() {
    let (emulator, home) = bed(|bed| {
        for name in ["a.png", "b.png", "c.png"] {
            bed.put(name, &picture(name.as_bytes()[0], 600));
        }
        bed.put("text.png", b"no picture at all");
        bed.put("blog/2024/d.png", &picture(9, 600));
    });
    let server = Server::start(&emulator, home.path(), "");
    let dom = server.dom("/");
    assert_eq!(dom.matches("class=\"loaded\"").count(), 3, "{dom}");
    assert!(dom.contains("no preview"), "{dom}");
    let url = server.emulator.row("a.png").expect("the picture").url;
    assert!(dom.contains(&format!("data-copy=\"{url}\"")), "{dom}");
    assert!(dom.contains(&format!("data-copy=\"![a.png]({url})\"")), "{dom}");
    assert!(dom.contains("&lt;img src=") || dom.contains("data-copy=\"<img src="), "{dom}");
    assert_eq!(server.emulator.count("cdn"), 4);
    assert!(dom.contains("4 originals were fetched"), "{dom}");
    // Another browser, and another start of the server.
    fs::remove_dir_all(home.path().join("browser")).expect("a profile");
    drop(server);
    let server = Server::start(&emulator, home.path(), "");
    let dom = server.dom("/");
    assert_eq!(dom.matches("class=\"loaded\"").count(), 3, "{dom}");
    assert_eq!(server.emulator.count("cdn"), 0, "they are kept");
    let (base, _) = key_and_token(&dom);
    let (status, page) = server.get(&format!("{base}?dir=blog%2F2024"));
    assert_eq!(status, 200);
    assert!(page.contains("d.png") && page.contains("dir=blog&amp;page=1"), "{page}");
    assert_eq!(server.get(&format!("{base}?dir=none")).0, 404);
    assert_eq!(server.emulator.violations(), Vec::<String>::new());
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn only_what_comes_into_view_is_fetched_and_nothing_that_is_large() {
    let (emulator, home) = bed(|bed| {
        for number in 0..80 {
            bed.put(&format!("{number}.png"), &picture(number, 40));
        }
        bed.put("large/huge.png", &noise(1, 21 << 20));
    });
    let server = Server::start(&emulator, home.path(), "");
    let dom = server.dom("/");
    let fetched = server.emulator.count("cdn");
    assert!((1..40).contains(&fetched), "{fetched} of 80 were fetched");
    assert_eq!(dom.matches("class=\"loaded\"").count(), fetched);
    let (base, _) = key_and_token(&dom);
    let dom = server.dom(&format!("{base}?dir=large"));
    assert!(dom.contains("too large to preview"), "{dom}");
    let id = server.emulator.row("large/huge.png").expect("the picture").id;
    assert_eq!(server.get(&format!("{base}thumb/{id}")).0, 415);
    assert_eq!(server.emulator.count("cdn"), fetched);
}

/// Neither the network nor what comes in place of a picture is a reason to show nothing for ever.
#[test]
fn a_preview_that_failed_is_made_when_it_is_asked_for_again() {
    let kinds = [
        FaultKind::Status(500),
        FaultKind::Truncate(100),
        FaultKind::Corrupt,
        FaultKind::Instead(Instead::Page),
        FaultKind::Instead(Instead::Video),
        FaultKind::Instead(Instead::Region(200)),
    ];
    let names: Vec<String> = (0..kinds.len()).map(|number| format!("{number}.png")).collect();
    let (emulator, home) = bed(|bed| {
        for (colour, name) in (0..).zip(&names) {
            bed.put(name, &picture(colour, 40));
        }
        bed.put("bad.png", b"\x89PNG\r\n\x1a\n, and no more");
    });
    let server = Server::start(&emulator, home.path(), "");
    let (base, _) = key_and_token(&server.get("/").1);
    let thumb = |name: &str| {
        let id = server.emulator.row(name).expect("the picture").id;
        server.get(&format!("{base}thumb/{}", id.replace('/', "%2F")))
    };
    for (kind, name) in kinds.into_iter().zip(&names) {
        server.emulator.inject(Fault::new("cdn", kind.clone()));
        let (status, answer) = thumb(name);
        assert_eq!(status, 502, "{kind:?}: {answer}");
        assert_eq!(thumb(name).0, 200, "{kind:?}");
    }
    server.emulator.forget_requests();
    assert_eq!((thumb("bad.png").0, thumb("bad.png").0), (415, 415));
    assert_eq!(server.emulator.count("cdn"), 1, "what is no picture is not paid for twice");
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn what_a_mount_has_of_a_picture_is_not_fetched_again() {
    let (emulator, _) = bed(|bed| drop(bed.put("a.png", &picture(1, 600))));
    let mount = Mount::over(emulator, &[]);
    run("cat", [mount.at("a.png")]);
    mount.unmount();
    let server = Server::start(&mount.emulator, mount.dir.path(), "");
    let dom = server.dom("/");
    assert_eq!(dom.matches("class=\"loaded\"").count(), 1, "{dom}");
    assert_eq!(server.emulator.count("cdn"), 0);
    assert!(dom.contains("0 originals were fetched"), "{dom}");
}

#[test]
fn an_upload_needs_the_token_of_the_page_and_goes_where_the_page_is() {
    let (emulator, home) = bed(|bed| drop(bed.mkdir("blog")));
    let server = Server::start(&emulator, home.path(), "");
    let (status, page) = server.get("/");
    assert_eq!(status, 200);
    let (base, token) = key_and_token(&page);
    let there = format!("{base}upload?dir=blog");
    for headers in [&[][..], &[("X-Bedfs-Token", "")], &[("X-Bedfs-Token", &base[6..38])]] {
        assert_eq!(server.upload(&there, headers).0, 403);
    }
    let foreign = [("X-Bedfs-Token", &*token), ("Origin", "http://example.org")];
    assert_eq!(server.upload(&there, &foreign).0, 403);
    let wrong = there.replace(&base[6..38], &"0".repeat(32));
    assert_eq!(server.upload(&wrong, &[("X-Bedfs-Token", &token)]).0, 404);
    assert_eq!(server.emulator.count("create"), 0);
    let (status, answer) = server.upload(&there, &[("X-Bedfs-Token", &token)]);
    assert!(status == 200 && answer.contains("\"success\":true"), "{answer}");
    assert_eq!(server.emulator.read("blog/new.png"), Some(picture(7, 8)));
    let (_, page) = server.get(&format!("{base}?dir=blog"));
    assert!(page.contains("new.png"), "it is shown at once: {page}");
}

#[test]
fn the_page_wants_the_secret_and_is_for_no_other_page() {
    let (emulator, home) = bed(|bed| drop(bed.put("a.png", &picture(1, 50))));
    let server = Server::start(&emulator, home.path(), "serve-secret = \"hush\"\n");
    assert_eq!(server.get("/").0, 401);
    assert_eq!(server.get("/page/0/").0, 404);
    assert_eq!(server.ask("GET", "/", &[("Host", "evil.example")], b"").0, 403);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("none", 200)] {
        let from = [("Sec-Fetch-Site", site)];
        assert_eq!(server.ask("GET", "/?secret=hush", &from, b"").0, status, "{site}");
    }
    let (status, page) = server.get("/?secret=hush");
    assert_eq!(status, 200);
    assert!(!page.contains("hush"), "{page}");
    for header in
        ["content-security-policy: default-src 'none'", "frame-ancestors 'none'", "no-referrer"]
    {
        assert!(page.contains(header), "{header}: {page}");
    }
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn a_browser_shows_what_wants_the_secret() {
    let (emulator, home) = bed(|bed| drop(bed.put("a.png", &picture(1, 50))));
    let server = Server::start(&emulator, home.path(), "serve-secret = \"hush\"\n");
    let dom = server.dom("/?secret=hush");
    assert_eq!(dom.matches("class=\"loaded\"").count(), 1, "{dom}");
}

/// A name that is an element where it is not spelled as a text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&.png";

#[test]
fn hostile_names_are_text_and_what_is_not_finished_is_told() {
    let (emulator, _) = bed(|bed| drop(bed.put_raw("", HOSTILE, &picture(1, 50))));
    let mount = Mount::over(emulator, &[]);
    let mut file = fs::File::create(mount.at("half.png")).expect("created");
    file.write_all(b"half").expect("written");
    crash(&mount);
    let server = Server::start(&mount.emulator, mount.dir.path(), "");
    let (_, page) = server.get("/");
    assert!(!page.contains("<img src=x"), "it would become an element: {page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    assert!(between(&page, "Not finished", "</ul>").contains("half.png"), "{page}");
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn a_browser_makes_no_element_of_a_hostile_name() {
    let (emulator, home) = bed(|bed| drop(bed.put_raw("", HOSTILE, &picture(1, 50))));
    let server = Server::start(&emulator, home.path(), "");
    let dom = server.dom("/");
    assert!(!dom.contains("src=\"x\""), "it became an element: {dom}");
    assert!(dom.contains("&lt;img src=x onerror=alert(1)&gt;"), "{dom}");
    assert_eq!(dom.matches("class=\"loaded\"").count(), 1, "{dom}");
}

#[test]
fn a_signal_ends_it_after_a_picture_that_is_dropped_in() {
    let (emulator, home) = bed(|_| {});
    let mut server = Server::start(&emulator, home.path(), "");
    let (base, token) = key_and_token(&server.get("/").1);
    emulator.inject(Fault::new("create", FaultKind::Slow(Duration::from_secs(4))));
    let (pid, there) = (server.process.id(), format!("{base}upload"));
    let (status, answer) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.upload(&there, &[("X-Bedfs-Token", &token)]));
        wait_until("it is under way", || emulator.count("create") == 1);
        kill(pid, libc::SIGTERM);
        asked.join().expect("an answer")
    });
    assert!(status == 200 && answer.contains("\"success\":true"), "{answer}");
    assert_eq!(emulator.read("new.png"), Some(picture(7, 8)));
    assert!(server.process.wait().expect("it ended").success());
}
