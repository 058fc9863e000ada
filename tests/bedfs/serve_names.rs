//! The server: names in forms however they are spelled, paths as editors hand them over, and pages of
//! other origins.

use bedfs_emulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::command::unmounted;
use crate::harness::text;
use crate::serve::{Server, png};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=B");

/// A form of one picture, with this line and perhaps others before the bytes.
fn part(disposition: &[u8], bytes: &[u8]) -> Vec<u8> {
    [b"--B\r\n", disposition, b"\r\n\r\n", bytes, b"\r\n--B--\r\n"].concat()
}

#[test]
fn a_picture_of_a_form_has_its_right_name_however_that_is_spelled() {
    let server = Server::with(unmounted(), &[], None);
    let disposition = "Content-Disposition: form-data; name=\"file\"; ";
    let spellings: [(&str, &[u8], &str); 9] = [
        ("", b"filename*=UTF-8''%E6%96%B0%201.png", "新 1.png"),
        ("", b"filename=\"x.png\"; filename*=utf-8'zh'%E6%96%B0%202.png", "新 2.png"),
        ("", b"filename=\"%E6%96%B0%203.png\"; filename*=UTF-8''%E6%96%B0%203.png", "新 3.png"),
        ("", b"filename=\"=?utf-8?B?5pawIDQucG5n?=\"", "新 4.png"),
        ("", b"filename=\"=?UTF-8?Q?=E6=96=B0_5.png?=\"", "新 5.png"),
        ("", "filename=\"新 6.png\"".as_bytes(), "新 6.png"),
        ("", b"filename=\"\xd0\xc2 7.png\"", "新 7.png"),
        ("Content-Type: image/png\r\n", b"filename=\"C:\\fakepath\\8.png\"", "8.png"),
        ("", "filename=\"截图 12:30:05.png\"".as_bytes(), "截图 12_30_05.png"),
    ];
    for (seed, (before, name, expected)) in (1..).zip(spellings) {
        let head = [before.as_bytes(), disposition.as_bytes(), name].concat();
        let (status, answer) = server.post("/upload", &[FORM], &part(&head, &png(seed, 50)));
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{expected}: {answer}");
        assert_eq!(answer["fullResult"][0]["fileName"], expected, "{answer}");
        assert_eq!(answer["result"], json!([server.url(expected)]));
        // Told where it is another name than the client said.
        let is_told = answer["message"].as_str().is_some_and(|words| words.contains(expected));
        assert_eq!(is_told, expected.contains('_'), "{answer}");
    }
    let said = std::fs::read_to_string(server.mount.dir.path().join("serve.log")).expect("a log");
    assert!(said.contains("截图 12_30_05.png"), "{said}");

    // None at all, beside a word that is no picture.
    let body = [
        &b"--B\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nweb\r\n"[..],
        &part(b"Content-Disposition: form-data; name=\"image\"", &png(99, 50)),
    ];
    let (_, answer) = server.post("/upload", &[FORM], &body.concat());
    let name = answer["fullResult"][0]["fileName"].as_str().expect("a name");
    assert!(name.starts_with("20") && name.ends_with(".png"), "{answer}");
    assert_eq!(server.names().len(), 10);
    assert_eq!(server.mount.emulator.violations(), [""; 0]);
}

#[test]
fn files_are_named_by_encoded_paths_and_file_urls() {
    let server = Server::with(unmounted(), &[], None);
    let dir = server.mount.dir.path().to_str().expect("UTF-8").to_owned();
    server.mount.local("新 a.png", &png(1, 50));
    server.mount.local("b%20c.png", &png(2, 50));
    server.mount.local("d:e.png", &png(3, 50));
    let list = [
        format!("{dir}/%E6%96%B0%20a.png"),
        format!("file://{dir}/%E6%96%B0%20a.png"),
        format!("file://localhost{dir}/%E6%96%B0%20a.png"),
        format!("file:{dir}/新%20a.png"),
        format!("{dir}/b%20c.png"),
        format!("file://{dir}/d%3Ae.png"),
    ];
    let answer = server.json("/upload", &json!({ "list": list }));
    let [a, b, d] = ["新 a.png", "b%20c.png", "d_e.png"].map(|name| server.url(name));
    assert_eq!(answer["result"], json!([a, a, a, a, b, d]), "{answer}");
    assert_eq!(server.names().len(), 3);

    // The command takes the same.
    let uploaded = server.mount.bedfs("upload").args(&list).output().expect("bedfs runs");
    let said = text(&uploaded.stderr);
    assert!(uploaded.status.success(), "{said}");
    assert_eq!(text(&uploaded.stdout).lines().collect::<Vec<_>>(), [&a, &a, &a, &a, &b, &d]);
    let fresh = server.mount.local("f?g.png", &png(4, 50));
    let uploaded = server.mount.bedfs("upload").arg(&fresh).output().expect("bedfs runs");
    assert_eq!(text(&uploaded.stdout).trim(), server.url("f_g.png"));
    assert!(text(&uploaded.stderr).contains("f_g.png"), "{}", text(&uploaded.stderr));
    let missing =
        server.json("/upload", &json!({ "list": ["file:///none/%E6.png", "file:a.png"] }));
    assert_eq!(missing["success"], false, "{missing}");
}

/// The status and the head of the answer to a request with this origin.
fn from_page(server: &Server, method: &str, path: &str, origin: &str, more: &str) -> (u16, String) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\n\
         Sec-Fetch-Site: cross-site\r\n{more}",
        server.host()
    );
    let answer = server.answer(&head, b"");
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), head.to_ascii_lowercase())
}

#[test]
fn pages_of_named_origins_may_upload_with_the_secret_and_others_may_not() {
    let args = ["--allow-origin", "app://obsidian.md", "--allow-origin", "http://localhost:5173/"];
    let server = Server::with(unmounted(), &args, Some("hush"));
    let asks = "Access-Control-Request-Method: POST\r\n\
                Access-Control-Request-Headers: content-type,authorization\r\n\
                Access-Control-Request-Private-Network: true\r\n";
    for origin in ["app://obsidian.md", "http://localhost:5173"] {
        let (status, head) = from_page(&server, "OPTIONS", "/upload", origin, asks);
        assert_eq!(status, 204, "{head}");
        for line in [
            &format!("access-control-allow-origin: {origin}"),
            "access-control-allow-methods: get, post",
            "access-control-allow-headers: authorization, content-type, x-picgo-secret",
            "access-control-allow-private-network: true",
            "vary: origin",
        ] {
            assert!(head.contains(line), "{line}: {head}");
        }
        let (status, head) = from_page(&server, "POST", "/upload?key=hush", origin, "");
        assert_eq!(status, 200, "{head}");
        assert!(head.contains(&format!("access-control-allow-origin: {origin}")), "{head}");
        // The page can read why not.
        let (status, head) = from_page(&server, "POST", "/upload?key=wrong", origin, "");
        assert!(status == 401 && head.contains("access-control-allow-origin"), "{head}");
        let (status, head) = from_page(&server, "GET", "/?secret=hush", origin, "");
        assert!(status == 403 && !head.contains("access-control"), "{head}");
        let rebound = format!("{origin}\r\nHost: evil.example:{}", server.host().len());
        assert_eq!(from_page(&server, "POST", "/upload?key=hush", &rebound, "").0, 403);
    }
    for origin in
        ["https://evil.example", "http://localhost:5174", "null", "app://obsidian.md.evil"]
    {
        for (method, more) in [("OPTIONS", asks), ("POST", "")] {
            let (status, head) = from_page(&server, method, "/upload?key=hush", origin, more);
            assert!(status == 403 && !head.contains("access-control-allow"), "{origin}: {head}");
        }
    }
    let both = "app://obsidian.md\r\nOrigin: https://evil.example";
    assert_eq!(from_page(&server, "POST", "/upload?key=hush", both, "").0, 403);

    // As PicList's clients ask, which send no origin.
    for (path, status) in [("/upload?key=hush", 200), ("/upload?key=wrong", 401), ("/upload", 401)]
    {
        assert_eq!(server.post(path, &[], b"").0, status, "{path}");
    }
    for method in ["GET", "POST"] {
        let head = format!("{method} /heartbeat HTTP/1.1\r\nHost: {}\r\n", server.host());
        let answer = server.answer(&head, b"");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let told: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(told, json!({"success": true, "result": "alive"}));
    }
}

#[test]
fn origins_want_a_secret_and_are_read_from_everywhere() {
    let mount = unmounted();
    let config = mount.local("config.toml", b"allow-origin = ['app://a', 'http://b:1']\n");
    let mut ways = [0, 1, 2, 3].map(|_| mount.bedfs("serve"));
    ways[0].args(["--allow-origin", "app://obsidian.md"]);
    ways[1].env("BEDFS_ALLOW_ORIGIN", "app://a, http://b:1");
    ways[2].env("BEDFS_CONFIG", &config);
    ways[3].args(["--allow-origin", "*"]).env("BEDFS_SERVE_SECRET", "hush");
    mount.emulator.inject(Fault::new("*", FaultKind::Reset).always());
    for (place, way) in ways.iter_mut().enumerate() {
        let output = way.args(["--listen", "127.0.0.1:0"]).output().expect("bedfs runs");
        let said = text(&output.stderr);
        let words = if place == 3 { "no origin" } else { "BEDFS_SERVE_SECRET" };
        assert!(!output.status.success() && said.contains(words), "{place}: {said}");
    }
}
