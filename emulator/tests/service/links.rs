//! Direct links: ranges, signatures, redirects, traffic.

use std::time::{Duration, Instant};

use bedfs_emulator::{RangeAnswer, Redirect, Validator};
use serde_json::Value;

use crate::client::{Client, Connection, breached, detail, start, text, wait_until};

const BYTES: &[u8] = b"0123456789";

#[test]
fn a_link_serves_the_bytes() {
    let (emulator, client) = start(|_| ());
    let id = emulator.put("a.PNG", BYTES);
    let url = emulator.row("a.PNG").expect("it was put").url;
    let answer = client.fetch(&url, &[]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, BYTES));
    assert_eq!(answer.header("Content-Type"), Some("image/png"));
    assert_eq!(answer.header("Accept-Ranges"), Some("bytes"));
    let wrong = url.replace(".PNG", ".jpg");
    assert_eq!(client.fetch(&wrong, &[]).status, 404);
    assert_eq!(client.ask("DELETE", &client.target(&url), &[], &[]).status, 405);
    emulator.remove_id(&id);
    assert_eq!(client.fetch(&url, &[]).status, 404);
    assert!(emulator.violations().is_empty());
}

#[test]
fn a_link_can_be_asked_for_without_its_bytes() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    let answer = client.ask("HEAD", &client.target(&url), &[], &[]);
    assert_eq!((answer.status, answer.header("Content-Length")), (200, Some("10")));
    assert_eq!(emulator.total_traffic(), 0);
}

#[test]
fn ranges_are_honoured_or_not() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    for (range, bytes, shown) in [
        ("bytes=2-4", &BYTES[2..5], "bytes 2-4/10"),
        ("bytes=7-", &BYTES[7..], "bytes 7-9/10"),
        ("bytes=-1", &BYTES[9..], "bytes 9-9/10"),
    ] {
        let answer = client.fetch(&url, &[("Range", range)]);
        assert_eq!((answer.status, answer.body.as_slice()), (206, bytes));
        assert_eq!(answer.header("Content-Range"), Some(shown));
    }
    let beyond = client.fetch(&url, &[("Range", "bytes=10-")]);
    assert_eq!((beyond.status, beyond.header("Content-Range")), (416, Some("bytes */10")));
    emulator.change(|options| options.answers.range = RangeAnswer::Ignore);
    let answer = client.fetch(&url, &[("Range", "bytes=2-4")]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, BYTES));
}

#[test]
fn a_link_wants_no_api_headers() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    client.fetch(&url, &[("Authorization", "Bearer x")]);
    breached(&emulator, "cdn: Authorization sent to a direct link");
}

#[test]
fn what_is_served_is_counted() {
    let (emulator, client) = start(|_| ());
    let id = emulator.put("a.png", BYTES);
    emulator.put("b.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    client.fetch(&url, &[]);
    client.fetch(&url, &[("Range", "bytes=0-2")]);
    client.fetch(&url, &[("Range", "bytes=99-")]);
    assert_eq!(emulator.total_traffic(), 13);
    assert_eq!(emulator.row("a.png").map(|row| row.traffic), Some(13));
    assert_eq!(client.get(&detail(&id)).data()["totalTraffic"], 13);
    let out: Vec<u64> = emulator
        .requests()
        .iter()
        .filter(|request| request.endpoint == "cdn")
        .map(|request| request.bytes_out)
        .collect();
    assert_eq!(out, [10, 3, 0]);
}

#[test]
fn a_client_that_leaves_is_not_charged_for_the_rest() {
    let (emulator, client) = start(|_| ());
    let size = 64 << 20;
    emulator.fill("", 1, size);
    let url = emulator.row("pic-000000.jpg").expect("it was filled").url;
    let mut connection = Connection::open(&client.address);
    let request = format!("GET {} HTTP/1.1\r\n\r\n", client.target(&url));
    connection.write(request.as_bytes()).expect("the emulator listens");
    connection.answer(false).expect("a head");
    drop(connection);
    wait_until(|| {
        let before = emulator.total_traffic();
        std::thread::sleep(Duration::from_millis(20));
        before == emulator.total_traffic()
    });
    assert!(emulator.total_traffic() < size as u64 / 2, "{}", emulator.total_traffic());
}

#[test]
fn traffic_has_an_end() {
    let (emulator, client) = start(|options| options.traffic_left = 10);
    emulator.put("a.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    assert_eq!(client.fetch(&url, &[]).status, 200);
    let answer = client.fetch(&url, &[]);
    assert_eq!((answer.status, answer.code()), (403, 5113));
}

#[test]
fn a_rejected_file_is_not_served() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.png", BYTES);
    emulator.set_status("a.png", 101);
    let row = emulator.row("a.png").expect("it was put");
    assert_eq!((row.status, client.fetch(&row.url, &[]).status), (101, 403));
}

#[test]
fn a_redirect_leads_to_another_host() {
    let (emulator, client) = start(|options| options.answers.redirect = Redirect::OtherHost);
    emulator.put("a.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    let first = client.fetch(&url, &[]);
    assert_eq!((first.status, first.body.len(), emulator.total_traffic()), (302, 0, 0));
    let location = first.header("Location").expect("a redirect").replace("http://", "");
    let (address, path) = location.split_once('/').expect("a path");
    assert_ne!(address, client.address);
    let other = Client { address: address.to_owned(), token: String::new() };
    let target = format!("/{path}");
    assert_eq!(other.ask("GET", &target, &[], &[]).body, BYTES);
    assert_eq!((emulator.count("cdn"), emulator.count("cdn2")), (1, 1));
    assert_eq!(emulator.total_traffic(), 10);
    assert_eq!(other.ask("GET", &target, &[("Platform", "open_platform")], &[]).status, 403);
    breached(&emulator, "cdn2: Platform sent to a direct link");
    assert_eq!(other.ask("GET", "/api/v1/user/info", &[], &[]).status, 404);
}

#[test]
fn a_signed_link_expires() {
    let (emulator, client) = start(|options| {
        options.answers.link_life = Some(Duration::from_secs(60));
    });
    let id = emulator.put("a.png", BYTES);
    let told = |client: &Client| -> Value { client.get(&detail(&id)).data() };
    let url = text(&told(&client)["downloadURL"]);
    let key: Vec<&str> = url.split_once("?auth_key=").expect("a signature").1.split('-').collect();
    assert_eq!((key.len(), key[2], key[3].len()), (4, "1815309870", 32));
    assert_eq!(client.fetch(&url, &[]).body, BYTES);
    let (plain, _) = url.split_once('?').expect("a signature");
    assert_eq!(client.fetch(plain, &[]).status, 403);
    assert_eq!(client.fetch(&url.replace("auth_key=", "auth_key=9"), &[]).status, 403);
    emulator.change(|options| options.answers.link_life = Some(Duration::ZERO));
    assert_eq!(client.fetch(&text(&told(&client)["downloadURL"]), &[]).status, 403);
    assert_eq!(client.fetch(&url, &[]).status, 200, "an older link lives as long as it was given");
}

#[test]
fn other_bytes_can_be_served_than_the_row_says() {
    let (emulator, client) = start(|_| ());
    let id = emulator.put("a.png", BYTES);
    let before = emulator.row("a.png").expect("it was put");
    emulator.replace_content(&id, b"others");
    assert_eq!(emulator.row("a.png"), Some(before.clone()));
    assert_eq!(client.fetch(&before.url, &[]).body, b"others");
}

#[test]
fn a_link_tells_its_content_by_a_tag_where_it_is_told_to() {
    let (emulator, client) = start(|_| ());
    let id = emulator.put("a.png", BYTES);
    let url = emulator.row("a.png").expect("it was put").url;
    let tag = || client.fetch(&url, &[("Range", "bytes=0-1")]).header("ETag").map(str::to_owned);
    assert_eq!(tag(), None);
    emulator.change(|options| options.answers.validator = Validator::Content);
    let before = tag();
    assert_eq!(before.as_deref(), Some("\"781e5e245d69b566979b86e28d23f2c7\""));
    assert_eq!(tag(), before);
    emulator.replace_content(&id, b"others");
    assert_ne!(tag(), before);
    emulator.change(|options| options.answers.validator = Validator::EachAnswer);
    assert_ne!(tag(), tag());
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.png", BYTES);
    let target = client.target(&emulator.row("a.png").expect("it was put").url);
    let mut connection = Connection::open(&client.address);
    for _ in 0..3 {
        assert_eq!(connection.ask("GET", &target, &[], &[]).expect("an answer").body, BYTES);
    }
    connection.ask("GET", &target, &[("Connection", "close")], &[]).expect("an answer");
    assert!(connection.ask("GET", &target, &[], &[]).is_err(), "the connection was closed");
}

#[test]
fn bandwidth_and_latency_take_time() {
    let (emulator, client) = start(|options| options.bandwidth = Some(1000));
    emulator.put("a.png", &[1; 300]);
    let url = emulator.row("a.png").expect("it was put").url;
    let start = Instant::now();
    assert_eq!(client.fetch(&url, &[]).body.len(), 300);
    assert!(start.elapsed() > Duration::from_millis(200), "300 bytes at 1000 a second");
    emulator.change(|options| options.latency = Duration::from_millis(50));
    let start = Instant::now();
    client.page("", 1, None);
    assert!(start.elapsed() >= Duration::from_millis(50));
}
