//! Uploads: create, slices, completion, polls.

use std::time::Duration;

use bedfs_emulator::{
    DuplicateName, EmptyFile, FaultKind, Formats, InstantUpload, ReuseFileId, SameBytes,
};
use serde_json::json;

use crate::client::{
    CREATE, Client, GET_UPLOAD_URL, LIST_PARTS, breached, md5, start, text, wait_until,
};

/// A slice size that tests can afford.
const SLICE: u64 = 10;

#[test]
fn a_file_is_uploaded_in_slices() {
    let (emulator, client) = start(|options| options.slice_size = SLICE);
    let bytes: Vec<u8> = (0..25).collect();
    let folder = emulator.mkdir("folder");
    let id = client.put_slices("a.jpg", &folder, &bytes);
    assert!(["/", "+", "="].iter().all(|character| id.contains(character)), "{id}");
    assert!(emulator.row("folder/a.jpg").is_none());
    let data = client.complete(&id).data();
    assert_eq!((&data["async"], &data["completed"]), (&json!(false), &json!(true)));
    let row = emulator.row("folder/a.jpg").expect("it was completed");
    assert_eq!((json!(row.id), row.md5, row.size), (data["fileID"].clone(), md5(&bytes), 25));
    assert_eq!(emulator.read("folder/a.jpg"), Some(bytes.clone()));
    assert_eq!(client.fetch(&row.url, &[]).body, bytes);
    assert!(emulator.violations().is_empty());
}

#[test]
fn the_parts_can_be_compared_when_there_are_several() {
    let (_emulator, client) = start(|options| options.slice_size = SLICE);
    let id = client.put_slices("a.jpg", "", &[7; 15]);
    let parts = client.post(LIST_PARTS, json!({"preuploadID": id})).data();
    let expected = json!({"parts": [
        {"partNumber": "1", "size": 10, "etag": md5(&[7; 10])},
        {"partNumber": "2", "size": 5, "etag": md5(&[7; 5])},
    ]});
    assert_eq!(parts, expected);
    let id = client.put_slices("b.jpg", "", &[8; 10]);
    assert_eq!(client.post(LIST_PARTS, json!({"preuploadID": id})).data(), json!({"parts": []}));
}

#[test]
fn create_is_refused_what_the_documents_forbid() {
    let (emulator, client) = start(|_| ());
    let body = |etag: &str, parent: &str| json!({"parentFileID": parent, "filename": "a.jpg", "etag": etag, "size": 1, "type": 1});
    client.post(CREATE, body("e62623f4906aeba8f8d8f5de19e1e34e", "missing")).refused(5066);
    assert!(emulator.violations().is_empty());
    for etag in ["E62623F4906AEBA8F8D8F5DE19E1E34E", "e62623f4", ""] {
        client.post(CREATE, body(etag, "")).refused(1);
        breached(&emulator, "create: etag");
    }
    let mut body = body("e62623f4906aeba8f8d8f5de19e1e34e", "");
    body["size"] = json!(-1);
    client.post(CREATE, body).refused(1);
    breached(&emulator, "size is not a whole number");
}

#[test]
fn a_name_is_created_twice_or_not() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.jpg", b"old");
    emulator.mkdir("folder");
    client.create("a.jpg", "", b"new").refused(5060);
    client.create("folder", "", b"new").refused(5060);
    client.create("a.jpg", "", b"old").refused(5060);
    emulator.change(|options| options.answers.duplicate_create = DuplicateName::Allow);
    client.upload("a.jpg", "", b"new");
    assert_eq!(emulator.list("").iter().filter(|row| row.name == "a.jpg").count(), 2);
}

#[test]
fn a_name_that_was_taken_meanwhile_fails_the_upload() {
    let (emulator, client) = start(|_| ());
    let first = client.put_slices("a.jpg", "", b"first");
    let second = client.put_slices("a.jpg", "", b"second");
    client.complete(&first).data();
    client.complete(&second).refused(5060);
    client.poll(&second).refused(5060);
    assert_eq!(emulator.read("a.jpg").as_deref(), Some(&b"first"[..]));
}

#[test]
fn known_bytes_are_not_uploaded_again() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.jpg", b"bytes");
    let data = client.create("b.jpg", "", b"bytes").data();
    assert_eq!(data["reuse"], true);
    assert_eq!(data.get("preuploadID"), None);
    let row = emulator.row("b.jpg").expect("instant upload made it");
    assert_eq!((json!(row.id), row.size), (data["fileID"].clone(), 5));
    assert_eq!(emulator.read("b.jpg").as_deref(), Some(&b"bytes"[..]));

    emulator.change(|options| options.answers.reuse_file_id = ReuseFileId::Empty);
    assert_eq!(client.create("c.jpg", "", b"bytes").data()["fileID"], "");
    assert!(emulator.row("c.jpg").is_some());

    emulator.change(|options| options.answers.instant_upload = InstantUpload::Never);
    assert_eq!(client.create("d.jpg", "", b"bytes").data()["reuse"], false);
}

#[test]
fn deleted_bytes_are_known_or_not() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.jpg", b"bytes");
    emulator.remove("a.jpg");
    emulator.change(|options| options.answers.reuse_after_delete = false);
    assert_eq!(client.create("b.jpg", "", b"bytes").data()["reuse"], false);
    emulator.change(|options| options.answers.reuse_after_delete = true);
    assert_eq!(client.create("b.jpg", "", b"bytes").data()["reuse"], true);
}

#[test]
fn the_same_bytes_in_a_folder_replace_each_other_or_not() {
    let (emulator, client) = start(|options| options.answers.same_bytes = SameBytes::ReplaceOlder);
    emulator.put("a.jpg", b"bytes");
    emulator.put("other/a.jpg", b"bytes");
    client.create("b.jpg", "", b"bytes").data();
    assert!(emulator.row("a.jpg").is_none());
    assert!(emulator.row("b.jpg").is_some() && emulator.row("other/a.jpg").is_some());
    emulator.change(|options| options.answers.same_bytes = SameBytes::KeepBoth);
    client.create("c.jpg", "", b"bytes").data();
    assert!(emulator.row("b.jpg").is_some() && emulator.row("c.jpg").is_some());
}

#[test]
fn formats_can_be_bounded() {
    let (emulator, client) = start(|options| options.answers.formats = Formats::PicturesOnly);
    client.create("notes.txt", "", b"text").refused(1);
    client.create("JPG", "", b"text").refused(1);
    client.upload("a.JPG", "", b"picture");
    emulator.change(|options| options.answers.formats = Formats::Any);
    client.upload("notes.txt", "", b"text");
}

#[test]
fn an_empty_file_is_taken_or_not() {
    let (emulator, client) = start(|_| ());
    client.create("a.jpg", "", b"").refused(1);
    emulator.change(|options| options.answers.empty_file = EmptyFile::Accept);
    client.upload("a.jpg", "", b"");
    emulator.change(|options| options.answers.instant_upload = InstantUpload::Never);
    let id = text(&client.create("b.jpg", "", b"").data()["preuploadID"]);
    let target = client.presigned(&id, 1);
    assert_eq!(client.put(&target, b"").status, 200);
    client.complete(&id).data();
    assert_eq!(emulator.row("b.jpg").map(|row| row.size), Some(0));
}

#[test]
fn an_upload_that_lacks_a_slice_is_not_complete() {
    let (emulator, client) = start(|options| options.slice_size = SLICE);
    let id = text(&client.create("a.jpg", "", &[1; 15]).data()["preuploadID"]);
    client.complete(&id).refused(1);
    let target = client.presigned(&id, 2);
    client.put(&target, &[1; 5]);
    client.complete(&id).refused(1);
    client.poll(&id).refused(1);
    let target = client.presigned(&id, 1);
    client.put(&target, &[1; 10]);
    client.complete(&id).data();
    client.complete("missing").refused(1);
    assert!(emulator.violations().is_empty());
}

#[test]
fn slices_are_numbered_from_one() {
    let (emulator, client) = start(|options| options.slice_size = SLICE);
    let id = text(&client.create("a.jpg", "", &[1; 15]).data()["preuploadID"]);
    for slice in [0, 3] {
        client.post(GET_UPLOAD_URL, json!({"preuploadID": id, "sliceNo": slice})).refused(1);
        breached(&emulator, "get_upload_url: sliceNo");
    }
    let first = client.post(GET_UPLOAD_URL, json!({"preuploadID": id, "sliceNo": 1})).data();
    assert_eq!(first["isMultipart"], true);
}

#[test]
fn a_second_completion_is_refused_but_the_result_stays() {
    let (_emulator, client) = start(|_| ());
    let id = client.put_slices("a.jpg", "", b"bytes");
    let data = client.complete(&id).data();
    let again = client.complete(&id);
    again.refused(1);
    assert_eq!(again.json()["message"], "upload already completed");
    let result = client.poll(&id).data();
    assert_eq!((&result["completed"], &result["fileID"]), (&json!(true), &data["fileID"]));
    client.post(GET_UPLOAD_URL, json!({"preuploadID": id, "sliceNo": 1})).refused(1);
}

#[test]
fn other_bytes_than_were_promised_fail_the_upload() {
    let (emulator, client) = start(|_| ());
    let wrong = |client: &Client, name: &str| {
        let id = text(&client.create(name, "", b"promised").data()["preuploadID"]);
        let target = client.presigned(&id, 1);
        assert_eq!(client.put(&target, b"uploaded").status, 200);
        id
    };
    let id = wrong(&client, "a.jpg");
    client.complete(&id).refused(1);
    client.poll(&id).refused(1);
    emulator.change(|options| options.async_polls = 1);
    let id = wrong(&client, "b.jpg");
    assert_eq!(client.complete(&id).data()["async"], true);
    client.poll(&id).refused(1);
    assert!(emulator.tree().is_empty());
    emulator.change(|options| {
        options.async_polls = 0;
        options.answers.verify_md5 = false;
    });
    client.complete(&wrong(&client, "c.jpg")).data();
    assert_eq!(emulator.read("c.jpg").as_deref(), Some(&b"uploaded"[..]));
}

#[test]
fn an_asynchronous_completion_is_polled_once_a_second() {
    let (emulator, client) = start(|options| options.async_polls = 1);
    let id = client.put_slices("a.jpg", "", b"bytes");
    let data = client.complete(&id).data();
    assert_eq!(data, json!({"async": true, "completed": false, "fileID": ""}));
    assert_eq!(client.poll(&id).data(), json!({"completed": false, "fileID": ""}));
    assert!(emulator.row("a.jpg").is_none());
    std::thread::sleep(Duration::from_secs(1));
    let result = client.poll(&id).data();
    let row = emulator.row("a.jpg").expect("it was completed");
    assert_eq!(result, json!({"completed": true, "fileID": row.id}));
    assert_eq!(client.poll(&id).data(), result);
}

#[test]
fn a_poll_that_comes_too_soon_is_refused() {
    let (emulator, client) = start(|options| options.async_polls = 1000);
    let id = client.put_slices("a.jpg", "", b"bytes");
    client.complete(&id).data();
    client.poll(&id).data();
    assert!((0..50).any(|_| client.poll(&id).code() == 1));
    breached(&emulator, "upload_async_result: polled again within a second");
}

#[test]
fn an_upload_that_nobody_polls_completes() {
    let (emulator, client) = start(|options| options.async_polls = 1);
    let id = client.put_slices("a.jpg", "", b"bytes");
    client.complete(&id).data();
    wait_until(|| emulator.row("a.jpg").is_some());
}

#[test]
fn a_completion_that_lost_its_answer_was_done() {
    let (emulator, client) = start(|_| ());
    let id = client.put_slices("a.jpg", "", b"bytes");
    emulator.inject(bedfs_emulator::Fault::new("upload_complete", FaultKind::LostAnswer));
    assert_eq!(client.complete(&id).status, 502);
    client.complete(&id).refused(1);
    let row = emulator.row("a.jpg").expect("it was completed");
    assert_eq!(client.poll(&id).data()["fileID"], json!(row.id));
}
