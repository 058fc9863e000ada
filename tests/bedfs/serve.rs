//! The server: what PicGo's clients ask for, and what it does not do for others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::command::{kill, unmounted};
use crate::harness::{Mount, noise, text, wait_until};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A running server, and the bed that it serves. It is ended when dropped.
pub(crate) struct Server {
    pub(crate) mount: Mount,
    child: Child,
    port: u16,
}

impl Server {
    fn new() -> Self {
        Self::with(unmounted(), &[], None)
    }

    pub(crate) fn with(mount: Mount, args: &[&str], secret: Option<&str>) -> Self {
        let folder = mount.dir.path().join("config/bedfs");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("config.toml"), "qps = 'unlimited'").expect("written");
        let (child, port) = start(&mount, args, secret);
        Self { mount, child, port }
    }

    /// Another process over the same bed.
    fn restart(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
        (self.child, self.port) = start(&self.mount, &[], None);
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends a request as it is written here, and gives all of the answer.
    pub(crate) fn answer(&self, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.host()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        text(&answer)
    }

    /// The same, but the status and the body.
    fn raw(&self, head: &str, body: &[u8]) -> (u16, String) {
        let answer = self.answer(head, body);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.host());
        let (status, body) = self.raw(&head, body);
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")))
    }

    pub(crate) fn json(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, &[JSON], body.to_string().as_bytes());
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn local(&self, name: &str, bytes: &[u8]) -> String {
        self.mount.local(name, bytes).to_str().expect("a UTF-8 path").to_owned()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.mount.emulator.row(path).unwrap_or_else(|| panic!("{path} is not there")).url
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
        names.sort();
        names
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn start(mount: &Mount, args: &[&str], secret: Option<&str>) -> (Child, u16) {
    let said = mount.dir.path().join("serve.log");
    let mut command = mount.bedfs("serve");
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    command.envs(secret.map(|secret| ("BEDFS_SERVE_SECRET", secret)));
    command.stderr(fs::File::create(&said).expect("a file"));
    let child = command.spawn().expect("bedfs runs");
    let read = || fs::read_to_string(&said).expect("readable");
    wait_until("it listens", || read().ends_with('\n'));
    let port = read().trim().rsplit(':').next().and_then(|port| port.parse().ok());
    (child, port.unwrap_or_else(|| panic!("no port: {}", read())))
}

/// A picture by its beginning.
pub(crate) fn png(seed: u64, len: usize) -> Vec<u8> {
    [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &noise(seed, len)].concat()
}

/// A form with these files: the field, the file's name, its bytes.
fn form(files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, name, bytes) in files {
        let head = format!(
            "--B\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    body.extend(b"--B--\r\n");
    body
}

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=B");

#[test]
fn pictures_are_uploaded_by_their_paths_and_told_in_order() {
    let server = Server::with(unmounted(), &["--to", "blog"], None);
    let paths = [1, 2, 3].map(|seed| server.local(&format!("{seed}.png"), &png(seed, 900)));
    let answer = server.json("/upload", &json!({ "list": paths }));
    assert_eq!(answer["success"], true, "{answer}");
    let urls = ["blog/1.png", "blog/2.png", "blog/3.png"].map(|path| server.url(path));
    assert_eq!(answer["result"], json!(urls));
    let full = &answer["fullResult"][1];
    let row = server.mount.emulator.row("blog/2.png").expect("there");
    for (field, value) in [
        ("imgUrl", &*row.url),
        ("fileName", "2.png"),
        ("extname", ".png"),
        ("type", "bedfs"),
        ("id", &row.id),
        ("fileID", &row.id),
        ("md5", &row.md5),
    ] {
        assert_eq!(full[field], value, "{field}: {full}");
    }
    // Once more: the same links, and nothing new.
    assert_eq!(server.json("/upload", &json!({ "list": paths }))["result"], json!(urls));
    assert_eq!(server.mount.emulator.list("blog").len(), 3);
    assert_eq!(server.json("/heartbeat", &json!({})), json!({"success": true, "result": "alive"}));
    assert_eq!(server.mount.emulator.violations(), [""; 0]);
}

#[test]
fn pictures_are_uploaded_from_a_form_under_any_field_name() {
    let server = Server::new();
    let (one, two) = (png(1, 900), png(2, 300_000));
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    let body = form(&[
        ("files", "one.png", &one),
        ("list[]", "/home/me/../two.png", &two),
        ("x", "drawing", svg),
    ]);
    let (status, answer) = server.post("/upload", &[FORM], &body);
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    let urls = ["one.png", "two.png", "drawing.svg"].map(|path| server.url(path));
    assert_eq!(answer["result"], json!(urls));
    assert_eq!(server.mount.emulator.read("two.png"), Some(two));
}

#[test]
fn only_pictures_are_taken_and_failures_are_told() {
    let server = Server::new();
    let good = server.local("good.png", &png(1, 900));
    let text = server.local("passwd.png", b"root:x:0:0:root:/root:/bin/bash\n");
    for path in [&*text, "/etc/passwd", "/dev/zero", "/nowhere.png", "relative.png", "/"] {
        let answer = server.json("/upload", &json!({ "list": [path] }));
        assert_eq!(answer["success"], false, "{path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|m| m.contains(path)), "{path}: {answer}");
    }
    let (status, answer) = server.post("/upload", &[FORM], &form(&[("f", "a.png", b"no picture")]));
    assert_eq!((status, &answer["success"]), (200, &json!(false)), "{answer}");
    assert_eq!(server.names(), [""; 0]);
    let answer = server.json("/upload", &json!({ "list": [good, text] }));
    assert_eq!(answer["success"], false, "{answer}");
    assert_eq!(answer["result"], json!([server.url("good.png")]));
    assert!(answer["message"].as_str().is_some_and(|m| m.contains("no picture")), "{answer}");
    for (headers, body, words) in [
        (&[][..], "", "clipboard"),
        (&[JSON], "{}", "clipboard"),
        (&[JSON], "{\"list\": []}", "clipboard"),
        (&[JSON], "{\"list\": [1]}", "not understood"),
        (&[JSON], "nonsense", "not understood"),
    ] {
        let (status, answer) = server.post("/upload", headers, body.as_bytes());
        assert_eq!((status, &answer["success"]), (200, &json!(false)), "{answer}");
        assert!(answer["message"].as_str().is_some_and(|m| m.contains(words)), "{answer}");
    }
}

#[test]
fn what_is_too_large_is_refused_by_path_and_by_form() {
    let server = Server::new();
    let path = server.local("large.png", &png(1, 900));
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
    file.set_len((100 << 20) + 1).expect("a sparse file");
    let answer = server.json("/upload", &json!({ "list": [path] }));
    assert!(answer["message"].as_str().is_some_and(|m| m.contains("at most")), "{answer}");
    let bytes = fs::read(&path).expect("read");
    let (_, answer) = server.post("/upload", &[FORM], &form(&[("f", "large.png", &bytes)]));
    assert!(answer["message"].as_str().is_some_and(|m| m.contains("larger than")), "{answer}");
    assert_eq!(server.mount.emulator.count("create"), 0);
}

#[test]
fn pages_of_others_and_names_that_lead_here_are_refused() {
    let server = Server::new();
    let path = server.local("a.png", &png(1, 900));
    let body = json!({ "list": [path] }).to_string();
    let port = server.port;
    let ask = |host: &str, headers: &str| {
        let head = format!("POST /upload HTTP/1.1\r\n{host}{headers}");
        server.raw(&head, body.as_bytes()).0
    };
    let ours = format!("Host: 127.0.0.1:{port}\r\n");
    for (host, headers) in [
        ("Host: evil.example\r\n".to_owned(), String::new()),
        (format!("Host: evil.example:{port}\r\n"), String::new()),
        (format!("Host: 127.0.0.1.evil.example:{port}\r\n"), String::new()),
        (format!("Host: 127.0.0.1:{}\r\n", port ^ 1), String::new()),
        (format!("{ours}Host: evil.example\r\n"), String::new()),
        (ours.clone(), "Origin: https://evil.example\r\n".to_owned()),
        (ours.clone(), "Origin: null\r\n".to_owned()),
        (ours.clone(), format!("Origin: http://evil.example:{port}\r\n")),
        (ours.clone(), format!("Origin: http://127.0.0.1:{}\r\n", port ^ 1)),
    ] {
        assert_eq!(ask(&host, &headers), 403, "{host}{headers}");
    }
    assert_eq!(server.mount.emulator.requests().len(), 0);
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let origin = format!("Origin: http://localhost:{port}\r\n");
        assert_eq!(ask(&format!("Host: {host}:{port}\r\n"), &origin), 200, "{host}");
    }
    assert_eq!(server.names(), ["a.png"]);
}

#[test]
fn a_secret_is_taken_in_three_ways_and_must_be_right() {
    let server = Server::with(unmounted(), &[], Some("p4ss"));
    let path = server.local("a.png", &png(1, 900));
    let body = json!({ "list": [path] }).to_string();
    let ask = |path: &str, headers: &[(&str, &str)]| server.post(path, headers, body.as_bytes());
    for (path, headers) in [
        ("/upload", &[][..]),
        ("/upload?secret=wrong", &[]),
        ("/upload?secret=", &[]),
        ("/upload", &[("Authorization", "Bearer p4s")]),
        ("/upload", &[("Authorization", "Basic p4ss")]),
        ("/upload", &[("X-PicGo-Secret", "p4ssx")]),
        ("/delete", &[]),
    ] {
        let (status, answer) = ask(path, headers);
        assert_eq!((status, &answer["success"]), (401, &json!(false)), "{path} {headers:?}");
    }
    assert_eq!(server.mount.emulator.requests().len(), 0);
    for (path, headers) in [
        ("/upload?secret=p4ss", &[][..]),
        ("/upload", &[("Authorization", "Bearer p4ss")]),
        ("/upload", &[("X-PicGo-Secret", "p4ss")]),
    ] {
        let (status, answer) = ask(path, headers);
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{path} {headers:?}");
    }
    assert_eq!(ask("/heartbeat", &[]).0, 200);
}

#[test]
fn what_an_upload_returned_can_be_deleted_and_nothing_else() {
    let mut server = Server::new();
    let (one, two) = (server.local("1.png", &png(1, 9)), server.local("2.png", &png(2, 9)));
    let other = server.mount.emulator.put("other.png", &png(3, 9));
    let folder = server.mount.emulator.mkdir("folder");
    let uploaded = server.json("/upload", &json!({ "list": [one, two] }))["fullResult"].clone();
    for item in [
        json!({ "fileID": other }),
        json!({ "id": other, "fileName": "other.png" }),
        json!({ "id": other, "fileName": "other.png", "md5": uploaded[0]["md5"] }),
        json!({ "id": folder, "fileName": "folder", "md5": "" }),
        json!({ "id": uploaded[0]["id"], "fileName": "2.png", "md5": uploaded[0]["md5"] }),
        json!({ "id": "", "fileName": "1.png" }),
        json!({ "fileName": "1.png", "imgUrl": uploaded[0]["imgUrl"] }),
    ] {
        let answer = server.json("/delete", &json!({ "list": [item] }));
        assert_eq!(answer["success"], false, "{item}: {answer}");
    }
    assert_eq!(server.json("/delete", &json!({}))["success"], false);
    assert_eq!(server.mount.emulator.count("delete"), 0);
    // By its ID alone, since this server uploaded it; the answer is lost on the way.
    server.mount.emulator.inject(Fault::new("delete", FaultKind::ResetAfter));
    let by_id = json!({ "list": [{ "id": uploaded[0]["id"] }] });
    assert_eq!(server.json("/delete", &by_id)["success"], true);
    assert_eq!(server.names(), ["2.png", "folder", "other.png"]);
    // Another process knows what it is told; what is gone already is as it was wanted.
    server.restart();
    let by_id = json!({ "list": [{ "id": uploaded[1]["id"] }] });
    assert_eq!(server.json("/delete", &by_id)["success"], false);
    let all = json!({ "list": [uploaded[0], uploaded[1]] });
    assert_eq!(server.json("/delete", &all)["success"], true);
    assert_eq!(server.names(), ["folder", "other.png"]);
}

#[test]
fn a_busy_port_and_an_address_for_others_are_refused_in_one_line() {
    let server = Server::new();
    for (address, words) in [
        (server.host(), "is in use"),
        ("0.0.0.0:0".to_owned(), "can be reached from outside"),
        ("[::]:0".to_owned(), "can be reached from outside"),
    ] {
        let mut command = server.mount.bedfs("serve");
        let output = command.args(["--listen", &address]).output().expect("bedfs runs");
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(words) && said.contains(&address), "{said}");
    }
}

#[test]
fn a_signal_ends_it_after_what_is_under_way() {
    let mut server = Server::new();
    let path = server.local("a.png", &png(1, 900));
    server.mount.emulator.inject(Fault::new("create", FaultKind::Slow(Duration::from_secs(2))));
    // Somebody who asks nothing does not hold it up.
    let _idle = TcpStream::connect(server.host()).expect("it listens");
    let pid = server.child.id();
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.json("/upload", &json!({ "list": [path] })));
        wait_until("it is under way", || server.mount.emulator.count("create") == 1);
        kill(pid, libc::SIGTERM);
        asked.join().expect("an answer")
    });
    assert_eq!(answer["result"], json!([server.url("a.png")]));
    assert!(server.child.wait().expect("it ended").success());
}

#[test]
fn a_path_that_is_none_keeps_no_other_picture_back() {
    let server = Server::new();
    let path = server.local("1.png", &png(1, 900));
    let answer = server.json("/upload", &json!({ "list": [path, "2.png"] }));
    assert_eq!(answer["success"], false);
    assert_eq!(answer["result"], json!([server.url("1.png")]));
    let message = answer["message"].as_str().expect("a message");
    assert!(message.contains("2.png: say the whole path"), "{message}");
}

#[test]
fn who_sends_nothing_holds_up_neither_others_nor_the_end() {
    let mut server = Server::new();
    let silent: Vec<TcpStream> = ["/upload", "/delete"]
        .iter()
        .cycle()
        .take(8)
        .map(|path| {
            let mut stream = TcpStream::connect(server.host()).expect("it listens");
            let host = server.host();
            let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n");
            // It is told when its body is wanted, and does not send it.
            write!(stream, "{head}Expect: 100-continue\r\n\r\n").expect("sent");
            let mut line = [0; 12];
            stream.read_exact(&mut line).expect("it is wanted");
            assert_eq!(&line, b"HTTP/1.1 100");
            stream
        })
        .collect();
    let path = server.local("a.png", &png(1, 900));
    let answer = server.json("/upload", &json!({ "list": [path] }));
    assert_eq!(answer["result"], json!([server.url("a.png")]));
    kill(server.child.id(), libc::SIGTERM);
    assert!(server.child.wait().expect("it ended").success());
    drop(silent);
}
