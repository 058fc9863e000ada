//! Every kind of fault.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Fault, FaultKind};
use serde_json::{Value, json};

use crate::client::{Answer, Client, Connection, MKDIR, start, wait_until};

/// Makes a folder under that fault.
fn mkdir(
    emulator: &Emulator, client: &Client, name: &str, kind: FaultKind,
) -> std::io::Result<Answer> {
    emulator.inject(Fault::new("mkdir", kind));
    client.try_post(MKDIR, &json!({"name": name, "parentID": "", "type": 1}))
}

#[test]
fn a_fault_in_place_of_the_work_leaves_nothing() {
    let (emulator, client) = start(|_| ());
    let mkdir = |kind| mkdir(&emulator, &client, "folder", kind).expect("an answer");
    let refused = mkdir(FaultKind::Refuse { code: 7, message: "no".to_owned() });
    refused.refused(7);
    assert_eq!(refused.json()["message"], "no");
    let status = mkdir(FaultKind::Status(503));
    assert_eq!((status.status, status.header("Content-Type")), (503, Some("text/html")));
    let garbage = mkdir(FaultKind::Garbage);
    assert_eq!(garbage.status, 200);
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    let empty = mkdir(FaultKind::EmptyObject);
    assert_eq!((empty.status, empty.json()), (200, json!({})));
    let missing = mkdir(FaultKind::MissingData);
    assert_eq!(missing.data(), Value::Null);
    assert!(emulator.tree().is_empty());
    client.mkdir("folder", "").data();
}

#[test]
fn a_fault_after_the_work_loses_the_answer_only() {
    let (emulator, client) = start(|_| ());
    let lost = mkdir(&emulator, &client, "lost", FaultKind::LostAnswer).expect("an answer");
    assert_eq!(lost.status, 502);
    let garbage = mkdir(&emulator, &client, "garbage", FaultKind::GarbageAfter).expect("an answer");
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    let reset = mkdir(&emulator, &client, "reset", FaultKind::ResetAfter);
    assert_eq!(reset.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    for name in ["lost", "garbage", "reset"] {
        assert!(emulator.row(name).is_some(), "{name}");
        client.mkdir(name, "").refused(5060);
    }
}

#[test]
fn a_reset_is_a_reset() {
    let (emulator, client) = start(|_| ());
    let reset = mkdir(&emulator, &client, "folder", FaultKind::Reset);
    assert_eq!(reset.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    assert!(emulator.tree().is_empty());
    let request = emulator.requests().pop().expect("it was asked");
    assert_eq!((request.endpoint.as_str(), request.status), ("mkdir", 0));
}

#[test]
fn a_hanging_request_is_never_answered() {
    let (emulator, client) = start(|_| ());
    for (name, kind, done) in [("a", FaultKind::Hang, false), ("b", FaultKind::HangAfter, true)] {
        emulator.inject(Fault::new("mkdir", kind));
        let mut connection = Connection::open(&client.address).patience(Duration::from_millis(200));
        let authorization = format!("Bearer {}", client.token);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Platform", "open_platform"),
            ("Content-Type", "application/json"),
        ];
        let body = json!({"name": name, "parentID": "", "type": 1}).to_string();
        let answer = connection.ask("POST", MKDIR, &headers, body.as_bytes());
        let kind = answer.expect_err("no answer").kind();
        assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
        wait_until(|| emulator.hanging() == 1);
        assert_eq!(emulator.row(name).is_some(), done);
        drop(connection);
        wait_until(|| emulator.hanging() == 0);
    }
}

#[test]
fn a_slow_answer_comes() {
    let (emulator, client) = start(|_| ());
    let start = Instant::now();
    let slow = FaultKind::Slow(Duration::from_millis(100));
    mkdir(&emulator, &client, "folder", slow).expect("an answer").data();
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_truncated_body_breaks_its_promise() {
    let (emulator, client) = start(|_| ());
    let cut = mkdir(&emulator, &client, "folder", FaultKind::Truncate(3));
    assert_eq!(cut.expect_err("a cut").kind(), ErrorKind::UnexpectedEof);
    emulator.put("a.png", b"0123456789");
    let target = client.target(&emulator.row("a.png").expect("it was put").url);
    emulator.inject(Fault::new("cdn", FaultKind::Truncate(4)));
    let cut = client.try_ask("GET", &target, &[], &[]);
    assert_eq!(cut.expect_err("a cut").kind(), ErrorKind::UnexpectedEof);
    assert_eq!(emulator.total_traffic(), 4);
}

#[test]
fn a_link_can_lie_stall_and_expire() {
    let (emulator, client) = start(|_| ());
    let bytes = b"0123456789";
    emulator.put("a.png", bytes);
    let target = client.target(&emulator.row("a.png").expect("it was put").url);
    emulator.inject(Fault::new("cdn", FaultKind::Corrupt));
    let corrupt = client.ask("GET", &target, &[], &[]).body;
    assert!(corrupt.len() == bytes.len() && corrupt.iter().zip(bytes).all(|(a, b)| a != b));
    emulator.inject(Fault::new("cdn", FaultKind::Expired));
    assert_eq!(client.ask("GET", &target, &[], &[]).status, 403);
    emulator.inject(Fault::new("cdn", FaultKind::Stall(4)));
    let before = emulator.total_traffic();
    let mut stalled = Connection::open(&client.address).patience(Duration::from_millis(200));
    let kind = stalled.ask("GET", &target, &[], &[]).expect_err("a stall").kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
    wait_until(|| emulator.total_traffic() - before == 4);
    assert_eq!(client.ask("GET", &target, &[], &[]).body, bytes);
}

#[test]
fn storage_fails_before_and_after_the_slice() {
    let (emulator, client) = start(|_| ());
    let created = client.create("a.jpg", "", b"bytes").data();
    let id = crate::client::text(&created["preuploadID"]);
    let target = client.presigned(&id, 1);
    for kind in [FaultKind::Expired, FaultKind::Status(500)] {
        emulator.inject(Fault::new("put", kind));
        assert!(client.put(&target, b"bytes").status >= 400);
    }
    emulator.inject(Fault::new("put", FaultKind::Reset));
    let octets = [("Content-Type", "application/octet-stream")];
    assert!(client.try_ask("PUT", &target, &octets, b"bytes").is_err());
    client.complete(&id).refused(1);
    emulator.inject(Fault::new("put", FaultKind::LostAnswer));
    assert_eq!(client.put(&target, b"bytes").status, 502);
    client.complete(&id).data();
}

#[test]
fn faults_of_links_spare_the_api() {
    let (emulator, client) = start(|_| ());
    emulator.put("a.png", b"0123456789");
    let target = client.target(&emulator.row("a.png").expect("it was put").url);
    emulator.inject(Fault::new("*", FaultKind::Expired));
    client.names("");
    assert_eq!(client.ask("GET", &target, &[], &[]).status, 403);
}

#[test]
fn a_fault_hits_as_often_as_it_was_told() {
    let (emulator, client) = start(|_| ());
    let is_hit = || client.try_post(MKDIR, &json!({})).expect("an answer").status == 503;
    let fault = |endpoint| Fault::new(endpoint, FaultKind::Status(503));
    emulator.inject(fault("mkdir").skip(1).times(2));
    assert_eq!([is_hit(), is_hit(), is_hit(), is_hit()], [false, true, true, false]);
    emulator.inject(fault("*").always());
    assert_eq!([is_hit(), is_hit(), is_hit()], [true; 3]);
    emulator.clear_faults();
    assert!(!is_hit());
    emulator.inject(fault("list").always());
    assert!(!is_hit());
    emulator.inject(fault("mkdir").always().probability(0.5));
    let hits = (0..64).filter(|_| is_hit()).count();
    assert!((8..56).contains(&hits), "{hits}");
    emulator.clear_faults();
    emulator.inject(fault("mkdir").always().probability(0.0));
    assert!(!is_hit());
}
