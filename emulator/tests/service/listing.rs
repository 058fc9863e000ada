//! Listings and details.

use std::time::Duration;

use bedfs_emulator::{Cursor, ListOrder, SelfUrl};
use serde_json::{Value, json};

use crate::client::{Client, LIST, detail, start, text};

/// The names of all pages.
fn pages(client: &Client, parent: &str, limit: u64) -> Vec<String> {
    let mut names = Vec::new();
    let mut last = None;
    loop {
        let (rows, next) = client.page(parent, limit, last.as_deref());
        assert!(rows.len() <= limit as usize);
        names.extend(rows.iter().map(|row| text(&row["filename"])));
        if next == "-1" {
            return names;
        }
        last = Some(next);
    }
}

#[test]
fn a_row_is_spelled_like_the_sample() {
    let (emulator, client) = start(|_| ());
    let id = emulator.put("目录/测试图床.jpg", b"bytes");
    emulator.set_times("目录/测试图床.jpg", "2025-03-03 16:38:26", "2025-03-04 00:00:00");
    emulator.set_status("目录/测试图床.jpg", 3);
    let row = client.get(&detail(&id)).data();
    let folder = emulator.row("目录").expect("it was made");
    let url = emulator.row("目录/测试图床.jpg").expect("it was put").url;
    let expected = json!({
        "fileId": id,
        "filename": "测试图床.jpg",
        "parentFileId": folder.id,
        "type": 0,
        "etag": "4b3a6218bb3e3a7303e8a171a60fcf92",
        "size": 5,
        "status": 3,
        "s3KeyFlag": "1815309870-0",
        "storageNode": "m76",
        "createAt": "2025-03-03 16:38:26",
        "updateAt": "2025-03-04 00:00:00",
        "downloadURL": url,
        "ossIndex": 43,
        "totalTraffic": 0,
        "parentFilename": "目录",
        "extension": "jpg",
        "userSelfURL": url,
    });
    assert_eq!(row, expected);
    assert!(url.ends_with(&format!("/1815309870/{id}.jpg")));
    assert_eq!(id.len(), "ymjew503t0m000d7w32xormjidkak3rgDIYPAIDOBIY0DcxvDwFO".len());
    assert_eq!(client.page(&folder.id, 100, None), (vec![expected], "-1".to_owned()));
    client.get(&detail("missing")).refused(5066);
}

#[test]
fn a_folder_has_no_link() {
    let (emulator, client) = start(|_| ());
    let root = emulator.mkdir("");
    emulator.mkdir("folder.d");
    let (rows, _) = client.page("", 100, None);
    assert_eq!(rows[0]["parentFileId"], json!(root));
    assert_eq!(rows[0]["parentFilename"], "img_oss");
    assert_eq!((&rows[0]["type"], &rows[0]["downloadURL"]), (&json!(1), &json!("")));
    assert_eq!((&rows[0]["etag"], &rows[0]["extension"]), (&json!(""), &json!("")));
    assert_eq!(client.page(&root, 100, None).0, rows, "the root has an ID too");
    client.post(LIST, json!({"parentFileId": "missing", "limit": 1, "type": 1})).refused(5066);
}

#[test]
fn pages_join_whatever_the_cursor_names() {
    let (emulator, client) = start(|_| ());
    emulator.fill("many", 25, 10);
    let folder = emulator.row("many").expect("it was filled").id;
    for cursor in [Cursor::NextFirst, Cursor::ThisLast] {
        for order in
            [ListOrder::ById, ListOrder::NewestFirst, ListOrder::OldestFirst, ListOrder::ByName]
        {
            emulator.change(|options| {
                options.answers.cursor = cursor;
                options.answers.order = order;
            });
            let mut names = pages(&client, &folder, 10);
            names.sort();
            names.dedup();
            assert_eq!(names.len(), 25, "{cursor:?} {order:?}");
            assert_eq!(pages(&client, &folder, 25).len(), 25, "{cursor:?} {order:?}");
        }
    }
}

#[test]
fn the_cursor_names_the_next_row_or_the_last() {
    let (emulator, client) = start(|options| options.answers.order = ListOrder::ByName);
    let (_, b, c) = (emulator.put("a", b"a"), emulator.put("b", b"b"), emulator.put("c", b"c"));
    assert_eq!(client.page("", 2, None).1, c);
    emulator.change(|options| options.answers.cursor = Cursor::ThisLast);
    assert_eq!(client.page("", 2, None).1, b);
    client.post(LIST, json!({"limit": 2, "type": 1, "lastFileId": "missing"})).refused(1);
}

#[test]
fn a_deleted_cursor_still_marks_its_place() {
    let (emulator, client) = start(|options| options.answers.order = ListOrder::OldestFirst);
    let ids: Vec<String> = (0..4).map(|number| emulator.put(&format!("{number}"), b"x")).collect();
    let (_, next) = client.page("", 2, None);
    assert_eq!(next, ids[2]);
    emulator.remove_id(&ids[2]);
    let (rows, _) = client.page("", 2, Some(&next));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["filename"], "3");
}

#[test]
fn rows_come_in_the_order_that_is_set() {
    let (emulator, client) = start(|_| ());
    for name in ["b", "a", "c"] {
        emulator.put(name, name.as_bytes());
    }
    let in_order = |order| {
        emulator.change(|options| options.answers.order = order);
        client.names("")
    };
    assert_eq!(in_order(ListOrder::NewestFirst), ["c", "a", "b"]);
    assert_eq!(in_order(ListOrder::OldestFirst), ["b", "a", "c"]);
    assert_eq!(in_order(ListOrder::ByName), ["a", "b", "c"]);
    in_order(ListOrder::ById);
    let ids: Vec<String> =
        client.page("", 10, None).0.iter().map(|row| text(&row["fileId"])).collect();
    assert!(ids.is_sorted());
}

#[test]
fn a_listing_can_be_bounded_by_time() {
    let (emulator, client) = start(|_| ());
    for (name, created) in [("old", "2024-10-31 15:59:59"), ("new", "2024-11-01 00:00:00")] {
        emulator.put(name, name.as_bytes());
        emulator.set_times(name, created, created);
    }
    let names = |bound: Value| {
        let mut body = json!({"limit": 10, "type": 1});
        body.as_object_mut()
            .expect("an object")
            .extend(bound.as_object().expect("an object").clone());
        let data = client.post(LIST, body).data();
        let rows = data["fileList"].as_array().expect("a list");
        rows.iter().map(|row| text(&row["filename"])).collect::<Vec<_>>()
    };
    // 1730390400 is 2024-11-01 00:00:00 in UTC+8.
    assert_eq!(names(json!({"startTime": 1_730_390_400})), ["new"]);
    assert_eq!(names(json!({"endTime": 1_730_390_399})), ["old"]);
    assert_eq!(names(json!({"startTime": 1, "endTime": 2})), Vec::<String>::new());
}

#[test]
fn a_listing_can_lag_behind() {
    let long = Duration::from_secs(600);
    let (emulator, client) = start(|options| options.answers.list_lag = long);
    let id = emulator.put("a.jpg", b"a");
    assert!(client.names("").is_empty());
    client.get(&detail(&id)).data();
    let short = Duration::from_millis(10);
    emulator.change(|options| options.answers.list_lag = short);
    std::thread::sleep(short);
    assert_eq!(client.names(""), ["a.jpg"]);
}

#[test]
fn the_own_link_can_differ() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.jpg", b"a");
    let row = |client: &Client| client.page("", 1, None).0.remove(0);
    assert_eq!(row(&client)["userSelfURL"], row(&client)["downloadURL"]);
    emulator.change(|options| options.answers.self_url = SelfUrl::Empty);
    assert_eq!(row(&client)["userSelfURL"], "");
    emulator.change(|options| options.answers.self_url = SelfUrl::OwnDomain);
    assert!(text(&row(&client)["userSelfURL"]).starts_with("http://localhost:"));
}

#[test]
fn names_that_no_client_could_create_are_listed() {
    let (emulator, client) = start(|options| options.answers.order = ListOrder::OldestFirst);
    emulator.put_raw("", "a/b", b"1");
    emulator.put_raw("", "a/b", b"2");
    emulator.mkdir_raw("", "..");
    assert_eq!(client.names(""), ["a/b", "a/b", ".."]);
}

#[test]
fn filled_files_have_the_bytes_they_claim() {
    let (emulator, client) = start(|_| ());
    emulator.fill("", 3, 1001);
    for row in emulator.list("") {
        let body = client.fetch(&row.url, &[]).body;
        assert_eq!((body.len(), crate::client::md5(&body)), (1001, row.md5));
    }
    let rows = emulator.list("");
    assert_ne!(rows[0].md5, rows[1].md5);
    let range = client.fetch(&rows[0].url, &[("Range", "bytes=13-29")]).body;
    assert_eq!(
        Some(&range[..]),
        emulator.read("pic-000000.jpg").as_deref().map(|all| &all[13..30])
    );
}
