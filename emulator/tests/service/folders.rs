//! Making folders, deleting, moving.

use bedfs_emulator::{
    DeleteFullFolder, DeleteMissing, DuplicateName, MkdirName, MoveFolder, MoveToRoot,
};
use serde_json::json;

use crate::client::{Client, DELETE, MKDIR, MOVE, breached, start, text};

fn delete(client: &Client, ids: &[&str]) -> crate::client::Answer {
    client.post(DELETE, json!({"fileIDs": ids}))
}

fn relocate(client: &Client, ids: &[&str], to: &str) -> crate::client::Answer {
    client.post(MOVE, json!({"fileIDs": ids, "toParentFileID": to}))
}

#[test]
fn folders_are_made_in_folders() {
    let (emulator, client) = start(|_| ());
    let data = client.mkdir("outer", "").data();
    assert_eq!(data["list"][0]["filename"], "outer");
    let outer = text(&data["list"][0]["dirID"]);
    client.mkdir("inner", &outer).data();
    assert_eq!(
        emulator.tree().iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["outer", "outer/inner"]
    );
    client.mkdir("outer", "").refused(5060);
    client.mkdir("lost", "nowhere").refused(5066);
    assert!(emulator.violations().is_empty());
}

#[test]
fn folder_names_come_as_a_string_or_as_a_list() {
    let (emulator, client) = start(|_| ());
    let both = client.post(MKDIR, json!({"name": ["a", "b"], "parentID": "", "type": 1})).data();
    assert_eq!(both["list"].as_array().map(Vec::len), Some(2));
    client.post(MKDIR, json!({"name": ["c", "c"], "parentID": "", "type": 1})).refused(5060);
    emulator.change(|options| options.answers.mkdir_name = MkdirName::String);
    client.post(MKDIR, json!({"name": ["d"], "parentID": "", "type": 1})).refused(1);
    client.mkdir("d", "").data();
    emulator.change(|options| options.answers.mkdir_name = MkdirName::List);
    client.mkdir("e", "").refused(1);
    client.post(MKDIR, json!({"name": ["e"], "parentID": "", "type": 1})).data();
    assert!(emulator.violations().is_empty());
}

#[test]
fn names_follow_the_rules() {
    let (emulator, client) = start(|_| ());
    for character in "\"\\/:*?|><".chars() {
        client.mkdir(&format!("a{character}b"), "").refused(1);
        breached(&emulator, "mkdir: the name has a");
    }
    client.mkdir("", "").refused(1);
    breached(&emulator, "empty");
    client.mkdir(&"图".repeat(255), "").refused(1);
    breached(&emulator, "255");
    client.mkdir(&"图".repeat(254), "").data();
    client.create("a/b.jpg", "", b"x").refused(1);
    breached(&emulator, "create: the name has a /");
}

#[test]
fn files_are_deleted_all_or_none() {
    let (emulator, client) = start(|_| ());
    let (a, b) = (emulator.put("a", b"a"), emulator.put("b", b"b"));
    delete(&client, &[&a, "missing"]).refused(5066);
    assert!(emulator.row("a").is_some());
    assert_eq!(delete(&client, &[&a, &b]).data(), json!(null));
    assert!(emulator.tree().is_empty());
    emulator.change(|options| options.answers.delete_missing = DeleteMissing::Ok);
    delete(&client, &[&a]).data();
    assert!(emulator.violations().is_empty());
}

#[test]
fn ids_are_one_to_a_hundred() {
    let (emulator, client) = start(|options| options.answers.delete_missing = DeleteMissing::Ok);
    delete(&client, &["x"; 100]).data();
    delete(&client, &["x"; 101]).refused(1);
    breached(&emulator, "delete: fileIDs has 101 IDs");
    delete(&client, &[]).refused(1);
    breached(&emulator, "delete: fileIDs has 0 IDs");
    client.post(DELETE, json!({"fileIDs": "x"})).refused(1);
    breached(&emulator, "not a list");
}

#[test]
fn a_full_folder_is_deleted_or_not() {
    let (emulator, client) = start(|_| ());
    emulator.put("folder/below/a", b"a");
    let folder = emulator.row("folder").expect("it was made").id;
    delete(&client, &[&folder]).refused(1);
    emulator.change(|options| options.answers.delete_full_folder = DeleteFullFolder::Recursive);
    delete(&client, &[&folder]).data();
    assert!(emulator.tree().is_empty());
    let empty = emulator.mkdir("empty");
    emulator.change(|options| options.answers.delete_full_folder = DeleteFullFolder::Refuse);
    delete(&client, &[&empty]).data();
}

#[test]
fn the_root_stays() {
    let (emulator, client) = start(|options| {
        options.answers.delete_full_folder = DeleteFullFolder::Recursive;
    });
    let (root, folder) = (emulator.mkdir(""), emulator.mkdir("folder"));
    delete(&client, &[&root]).refused(1);
    relocate(&client, &[&root], &folder).refused(1);
}

#[test]
fn a_move_keeps_the_id_and_the_link() {
    let (emulator, client) = start(|_| ());
    let id = emulator.put("a.jpg", b"a");
    let url = emulator.row("a.jpg").expect("it was put").url;
    let folder = emulator.mkdir("folder");
    assert_eq!(relocate(&client, &[&id], &folder).data(), json!(null));
    let moved = emulator.row("folder/a.jpg").expect("it was moved");
    assert_eq!((moved.id, moved.url.clone()), (id.clone(), url));
    assert_eq!(client.fetch(&moved.url, &[]).body, b"a");
    relocate(&client, &[&id], &folder).data();
    relocate(&client, &["missing"], &folder).refused(5066);
    relocate(&client, &[&folder], "missing").refused(5066);
    assert!(emulator.violations().is_empty());
}

#[test]
fn a_move_onto_a_name_is_refused_or_makes_two() {
    let (emulator, client) = start(|_| ());
    let (a, other) = (emulator.put("a.jpg", b"a"), emulator.put("other/a.jpg", b"b"));
    let folder = emulator.row("other").expect("it was made").id;
    relocate(&client, &[&a], &folder).refused(5060);
    let third = emulator.mkdir("third");
    relocate(&client, &[&a, &other], &third).refused(5060);
    emulator.change(|options| options.answers.duplicate_move = DuplicateName::Allow);
    relocate(&client, &[&a, &other], &third).data();
    assert_eq!(emulator.list("third").len(), 2);
}

#[test]
fn folders_move_but_not_into_themselves() {
    let (emulator, client) = start(|_| ());
    let inner = emulator.mkdir("outer/inner");
    let outer = emulator.row("outer").expect("it was made").id;
    emulator.put("outer/inner/a", b"a");
    relocate(&client, &[&outer], &inner).refused(1);
    relocate(&client, &[&outer], &outer).refused(1);
    relocate(&client, &[&inner], "").data();
    assert!(emulator.row("inner/a").is_some());
    emulator.change(|options| options.answers.move_folder = MoveFolder::Refused);
    relocate(&client, &[&inner], &outer).refused(1);
    emulator.change(|options| options.answers.move_folder = MoveFolder::Ignored);
    relocate(&client, &[&inner], &outer).data();
    assert!(emulator.row("inner/a").is_some(), "it stays where it was");
}

#[test]
fn the_root_is_named_in_either_way() {
    let (emulator, client) = start(|_| ());
    let (id, root) = (emulator.put("folder/a", b"a"), emulator.mkdir(""));
    let cases = [
        (MoveToRoot::Either, true, true),
        (MoveToRoot::EmptyString, true, false),
        (MoveToRoot::RealId, false, true),
        (MoveToRoot::Refused, false, false),
    ];
    for (switch, takes_empty, takes_id) in cases {
        emulator.change(|options| options.answers.move_to_root = switch);
        for (to, takes) in [("", takes_empty), (root.as_str(), takes_id)] {
            assert_eq!(relocate(&client, &[&id], to).code() == 0, takes, "{switch:?} {to}");
        }
    }
}
