//! What presigned URLs take.

use std::time::Duration;

use crate::client::{Client, Connection, breached, start, text};

/// The presigned target of a file of five bytes, which are `bytes`.
fn presigned(client: &Client, name: &str) -> String {
    let id = text(&client.create(name, "", b"bytes").data()["preuploadID"]);
    client.presigned(&id, 1)
}

const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

#[test]
fn api_headers_are_refused() {
    let (emulator, client) = start(|_| ());
    let target = presigned(&client, "a.jpg");
    for header in [("Authorization", "Bearer x"), ("Platform", "open_platform")] {
        assert_eq!(client.ask("PUT", &target, &[OCTETS, header], b"bytes").status, 400);
        breached(&emulator, &format!("put: {} sent to a presigned URL", header.0));
    }
    assert_eq!(client.put(&target, b"bytes").status, 200);
}

#[test]
fn the_bytes_are_announced() {
    let (emulator, client) = start(|_| ());
    let target = presigned(&client, "a.jpg");
    assert_eq!(client.ask("PUT", &target, &[], b"bytes").status, 403);
    breached(&emulator, "put: Content-Type");
    assert_eq!(
        client
            .ask("PUT", &target, &[OCTETS, ("Transfer-Encoding", "chunked")], b"0\r\n\r\n")
            .status,
        411
    );
    breached(&emulator, "put: a body without Content-Length");
    assert_eq!(client.put(&target, b"too many bytes").status, 400);
    breached(&emulator, "put: slice 1 has 14 bytes, not 5");
    assert_eq!(client.ask("POST", &target, &[OCTETS], b"bytes").status, 405);
    breached(&emulator, "put: POST");
}

#[test]
fn a_url_is_good_for_what_was_signed() {
    let (emulator, client) = start(|_| ());
    let target = presigned(&client, "a.jpg");
    let tampered = target.replace("partNumber=1", "partNumber=2");
    assert_eq!(client.put(&tampered, b"bytes").status, 403);
    breached(&emulator, "put: a presigned URL that was tampered with");
}

#[test]
fn a_url_expires() {
    let (emulator, client) = start(|options| options.presigned_life = Duration::ZERO);
    let target = presigned(&client, "a.jpg");
    assert_eq!(client.put(&target, b"bytes").status, 403);
    assert!(emulator.violations().is_empty());
    emulator.change(|options| options.presigned_life = Duration::from_secs(60));
    assert_eq!(client.put(&presigned(&client, "b.jpg"), b"bytes").status, 200);
}

#[test]
fn a_completed_upload_takes_no_more() {
    let (_emulator, client) = start(|_| ());
    let id = text(&client.create("a.jpg", "", b"bytes").data()["preuploadID"]);
    let target = client.presigned(&id, 1);
    assert_eq!(client.put(&target, b"other").status, 200);
    assert_eq!(client.put(&target, b"bytes").status, 200, "a slice can be put again");
    client.complete(&id).data();
    assert_eq!(client.put(&target, b"bytes").status, 404);
}

#[test]
fn a_slice_that_breaks_off_was_never_there() {
    let (emulator, client) = start(|_| ());
    let id = text(&client.create("a.jpg", "", b"bytes").data()["preuploadID"]);
    let target = client.presigned(&id, 1);
    let mut connection = Connection::open(&client.address);
    let head = format!(
        "PUT {target} HTTP/1.1\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\nbyt"
    );
    connection.write(head.as_bytes()).expect("the emulator listens");
    drop(connection);
    client.complete(&id).refused(1);
    assert!(emulator.row("a.jpg").is_none());
}

#[test]
fn the_body_is_asked_for_when_the_client_waits() {
    let (_emulator, client) = start(|_| ());
    let target = presigned(&client, "a.jpg");
    let mut connection = Connection::open(&client.address);
    let head = format!(
        "PUT {target} HTTP/1.1\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    connection.write(head.as_bytes()).expect("the emulator listens");
    assert_eq!(connection.answer(false).expect("a go-ahead").status, 100);
    connection.write(b"bytes").expect("the emulator listens");
    assert_eq!(connection.answer(true).expect("an answer").status, 200);
}

#[test]
fn large_slices_come_in_whole() {
    let (emulator, client) = start(|_| ());
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    client.upload("a.bin", "", &bytes);
    assert_eq!(emulator.read("a.bin"), Some(bytes));
    let puts = emulator.requests().into_iter().filter(|request| request.endpoint == "put");
    assert_eq!(puts.map(|request| request.bytes_in).collect::<Vec<_>>(), [12_000_000]);
}
