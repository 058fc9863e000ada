//! What the emulator tells of itself, and what it keeps.

use std::path::PathBuf;

use bedfs_emulator::{Emulator, Options, Qps};
use serde_json::{Value, json};

use crate::client::{Client, LIST, MKDIR, start};

#[test]
fn requests_are_remembered_as_they_came() {
    let (emulator, client) = start(|_| ());
    emulator.forget_requests();
    client.mkdir("folder", "").data();
    client.mkdir("folder", "").refused(5060);
    let requests = emulator.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((emulator.count("mkdir"), emulator.count("list")), (2, 0));
    let (first, second) = (&requests[0], &requests[1]);
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", MKDIR));
    assert_eq!((first.status, first.code, second.code), (200, 0, 5060));
    let body: Value = serde_json::from_slice(&first.body).expect("it was JSON");
    assert_eq!(body, json!({"name": "folder", "parentID": "", "type": 1}));
    assert_eq!(first.bytes_in, first.body.len() as u64);
    assert!(first.bytes_out > 0 && first.at <= second.at);
    let platform = ("Platform".to_owned(), "open_platform".to_owned());
    assert!(first.headers.contains(&platform));
}

#[test]
fn breaches_outlive_the_requests() {
    let (emulator, client) = start(|_| ());
    client.post(LIST, json!({"limit": 1000, "type": 1})).refused(1);
    emulator.forget_requests();
    assert_eq!(emulator.violations().len(), 1);
    emulator.forget_violations();
    assert!(emulator.violations().is_empty());
}

#[test]
fn the_control_surface_is_there_when_asked_for() {
    let (emulator, client) = start(|_| ());
    let stats = |client: &Client| client.ask("GET", "/_emulator/stats", &[], &[]);
    assert_eq!(stats(&client).status, 404);
    emulator.change(|options| options.control = true);
    emulator.put("folder/a.png", b"0123456789");
    client.fetch(&emulator.row("folder/a.png").expect("it was put").url, &[]);
    let stats = stats(&client).json();
    assert_eq!((&stats["traffic"], &stats["entries"]), (&json!(10), &json!(2)));
    assert_eq!(stats["requests"]["cdn"], 1);
}

#[test]
fn the_bed_is_changed_behind_the_services_back() {
    let (emulator, client) = start(|_| ());
    let first = emulator.put("folder/a", b"1");
    let second = emulator.put("folder/a", b"2");
    assert_ne!(first, second, "an ID never changes its bytes");
    assert_eq!(emulator.list("folder").len(), 1);
    assert_eq!(emulator.read("folder/a").as_deref(), Some(&b"2"[..]));
    assert_eq!((emulator.read("folder"), emulator.read("missing")), (None, None));
    let folder = emulator.mkdir("folder");
    assert_eq!(
        emulator.row("folder").map(|row| (row.id, row.is_folder)),
        Some((folder.clone(), true))
    );
    assert_eq!(client.names(&folder), ["a"]);
    assert!(emulator.remove("folder") && !emulator.remove("folder"));
    assert!(!emulator.remove(""), "the root stays");
    assert!(emulator.tree().is_empty());
}

#[test]
fn a_taken_address_is_an_error() {
    let (emulator, _) = start(|_| ());
    let address = emulator.base_url().replace("http://", "").parse().expect("an address");
    assert!(Emulator::start(Options { listen: address, ..Options::default() }).is_err());
    emulator.stop();
    Emulator::start(Options { listen: address, ..Options::default() }).expect("it is free again");
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder =
            std::env::temp_dir().join(format!("bedfs-emulator-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whatever stays behind is under the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_bed_on_disk_survives_a_restart() {
    let folder = Folder::new("restart");
    let options = || Options {
        data: Some(folder.0.clone()),
        slice_size: 10,
        qps: Qps::Unlimited,
        ..Options::default()
    };
    let emulator = Emulator::start(options()).expect("a free port");
    let client = Client::of(&emulator);
    let bytes: Vec<u8> = (0..25).collect();
    client.upload("uploaded.jpg", "", &bytes);
    emulator.put("folder/kept.jpg", b"kept");
    emulator.put("folder/gone.jpg", b"gone");
    emulator.fill("folder", 3, 100);
    emulator.remove("folder/gone.jpg");
    emulator.set_status("folder/kept.jpg", 101);
    client.fetch(&emulator.row("uploaded.jpg").expect("it was uploaded").url, &[]);
    let moved = emulator.row("uploaded.jpg").expect("it was uploaded").id;
    let target = emulator.mkdir("folder");
    client.post(crate::client::MOVE, json!({"fileIDs": [moved], "toParentFileID": target})).data();
    let before = known(&emulator);
    emulator.stop();

    let emulator = Emulator::start(options()).expect("a free port");
    assert_eq!(known(&emulator), before);
    assert_eq!(emulator.total_traffic(), 25);
    assert_eq!(emulator.read("folder/uploaded.jpg"), Some(bytes));
    let client = Client::of(&emulator);
    assert_eq!(client.create("again.jpg", "", b"kept").data()["reuse"], true);
    assert_eq!(client.create("new.jpg", "", b"gone").data()["reuse"], false);
    let files = std::fs::read_dir(folder.0.join("slices")).expect("the folder is there").count();
    assert_eq!(files, 4, "three slices and a file; what was deleted is swept");
}

/// What a restart must not change: everything but the address.
fn known(emulator: &Emulator) -> Vec<(String, String, String, u64, i64, u64)> {
    let rows = emulator.tree().into_iter();
    rows.map(|(path, row)| (path, row.id, row.md5, row.size, row.status, row.traffic)).collect()
}
