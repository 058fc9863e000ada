//! Tokens, quotas, call limits, and the headers that every call needs.

use std::collections::HashMap;
use std::time::Duration;

use bedfs_emulator::{Lapsed, Qps};
use serde_json::json;

use crate::client::{ACCESS_TOKEN, Client, DETAIL, LIST, MKDIR, USER_INFO, breached, start};

#[test]
fn a_token_is_given_for_the_right_secret_only() {
    let (emulator, client) = start(|_| ());
    let answer =
        client.post(ACCESS_TOKEN, json!({"clientID": "emulator-id", "clientSecret": "wrong"}));
    answer.refused(1);
    let answer = client
        .post(ACCESS_TOKEN, json!({"clientID": "emulator-id", "clientSecret": "emulator-secret"}));
    let expiry = answer.data()["expiredAt"].as_str().expect("a string").to_owned();
    assert!(
        expiry.ends_with("+08:00") && expiry.len() == "2025-03-23T15:48:37+08:00".len(),
        "{expiry}"
    );
    assert!(emulator.violations().is_empty());
}

#[test]
fn a_token_over_the_limit_throws_out_the_oldest() {
    let (_emulator, mut client) = start(|options| options.live_tokens = 2);
    let second = client.ask_for_token();
    client.get(USER_INFO).data();
    let third = client.ask_for_token();
    client.get(USER_INFO).refused(401);
    for token in [second, third] {
        client.token = token;
        client.get(USER_INFO).data();
    }
}

#[test]
fn tokens_end_by_age_and_on_demand() {
    let (emulator, mut client) = start(|_| ());
    client.get(USER_INFO).data();
    emulator.expire_tokens();
    client.get(USER_INFO).refused(401);
    emulator.change(|options| options.token_life = Duration::from_millis(1));
    client.token = client.ask_for_token();
    std::thread::sleep(Duration::from_millis(5));
    client.get(USER_INFO).refused(401);
    assert!(emulator.violations().is_empty(), "an old token is no breach");
}

#[test]
fn an_account_whose_developer_right_lapsed_is_refused_all_but_its_token_and_itself() {
    let (emulator, mut client) = start(|_| ());
    assert!(client.get(USER_INFO).data()["developerInfo"]["endTime"].is_string());
    let lapsed = Lapsed { status: 401, ..Lapsed::with_code(401) };
    emulator.change(|options| options.answers.lapsed = Some(lapsed));
    let refused = client.post(LIST, json!({"limit": 10, "type": 1}));
    assert_eq!((refused.status, refused.code()), (401, 401));
    assert!(client.get(USER_INFO).data()["developerInfo"].is_null());
    client.token = client.ask_for_token();
    emulator.change(|options| options.answers.lapsed = None);
    client.post(LIST, json!({"limit": 10, "type": 1})).data();
    assert!(emulator.violations().is_empty());
}

#[test]
fn every_answer_tells_the_time_of_the_service() {
    let (emulator, client) = start(|_| ());
    let date = |client: &Client| {
        let answer = client.get(USER_INFO);
        let date = answer.header("Date").expect("a date");
        jiff::fmt::rfc2822::parse(date).expect("an HTTP date").timestamp()
    };
    let now = date(&client);
    assert!(jiff::Timestamp::now().duration_since(now).as_secs().abs() < 60);
    emulator.change(|options| options.clock_ahead = Duration::from_secs(7200));
    assert!(date(&client).duration_since(now).as_secs() >= 7200);
}

#[test]
fn every_call_needs_its_headers() {
    let (emulator, client) = start(|_| ());
    let bearer = format!("Bearer {}", client.token);
    let body = br#"{"limit":10,"type":1}"#;
    let platform = ("Platform", "open_platform");
    let content_type = ("Content-Type", "application/json");
    client.ask("POST", LIST, &[("Authorization", &bearer), content_type], body).refused(1);
    breached(&emulator, "list: Platform");
    client.ask("POST", LIST, &[("Authorization", &bearer), platform], body).refused(1);
    breached(&emulator, "list: Content-Type");
    client.ask("POST", LIST, &[platform, content_type], body).refused(401);
    breached(&emulator, "list: access_token");
    client
        .ask("POST", LIST, &[("Authorization", &client.token), platform, content_type], body)
        .refused(401);
    breached(&emulator, "list: access_token");
    assert_eq!(emulator.violations().len(), 4);
    let body = br#"{"clientID":"emulator-id","clientSecret":"emulator-secret"}"#;
    client.ask("POST", ACCESS_TOKEN, &[platform, content_type], body).data();
    assert_eq!(emulator.violations().len(), 4, "a token is asked for without one");
}

#[test]
fn keys_and_types_are_spelled_as_documented() {
    let (emulator, client) = start(|_| ());
    let refusals = [
        (
            LIST,
            json!({"parentFileID": "", "limit": 10, "type": 1}),
            "parentFileID is not a parameter",
        ),
        (LIST, json!({"limit": 10}), "type is missing"),
        (LIST, json!({"limit": 10, "type": 2}), "type is not 1"),
        (LIST, json!({"limit": "10", "type": 1}), "limit is not a whole number"),
        (LIST, json!({"limit": 101, "type": 1}), "limit is 101"),
        (LIST, json!({"limit": 0, "type": 1}), "limit is 0"),
        (
            MKDIR,
            json!({"name": "a", "parentFileID": "", "type": 1}),
            "parentFileID is not a parameter",
        ),
        (MKDIR, json!({"name": "a", "type": 1}), "parentID is missing"),
        (MKDIR, json!({"name": 1, "parentID": "", "type": 1}), "name is not a string"),
        (MKDIR, json!([]), "not a JSON object"),
    ];
    for (path, body, what) in refusals {
        client.post(path, body).refused(1);
        breached(&emulator, what);
    }
    client.get(DETAIL).refused(1);
    breached(&emulator, "detail: fileID is missing");
}

#[test]
fn paths_and_methods_are_as_documented() {
    let (emulator, client) = start(|_| ());
    assert_eq!(client.get("/api/v1/oss/file/rename").status, 404);
    assert_eq!(emulator.count("/api/v1/oss/file/rename"), 1);
    assert_eq!(client.get(LIST).status, 405);
    breached(&emulator, "list: called with GET");
}

#[test]
fn calls_over_the_limit_are_refused() {
    let (emulator, client) = start(|options| options.qps = Qps::Documented);
    client.get(USER_INFO).data();
    assert!((0..50).any(|_| client.get(USER_INFO).code() == 429));
    breached(&emulator, "user/info");
    emulator.change(|options| options.qps = Qps::Each(HashMap::from([("list".to_owned(), 1.0)])));
    client.get(USER_INFO).data();
    client.get(USER_INFO).data();
    let list = || client.post(LIST, json!({"limit": 1, "type": 1})).code();
    assert!((0..50).any(|_| list() == 429));
}

#[test]
fn a_second_later_the_limit_is_forgotten() {
    let (_emulator, client) = start(|options| options.qps = Qps::Documented);
    client.get(USER_INFO).data();
    std::thread::sleep(Duration::from_secs(1));
    client.get(USER_INFO).data();
}

#[test]
fn the_account_tells_its_quotas() {
    let (emulator, client) = start(|options| {
        options.space_total = 1000;
        options.traffic_left = 500;
    });
    emulator.put("a.jpg", &[1; 300]);
    let url = emulator.row("a.jpg").expect("it was put").url;
    assert_eq!(client.fetch(&url, &[]).body, [1; 300]);
    let info = client.get(USER_INFO).data();
    assert_eq!(info["spaceUsed"], 300);
    assert_eq!(info["spacePermanent"], 1000);
    assert_eq!(info["directTraffic"], 200);
    assert_eq!(info["spaceTempExpr"], "");
    assert_eq!(info["vip"], true);
}

#[test]
fn the_space_has_an_end() {
    let (_emulator, client) = start(|options| options.space_total = 10);
    client.upload("a.jpg", "", &[1; 8]);
    client.create("b.jpg", "", &[2; 3]).refused(5103);
    client.upload("b.jpg", "", &[2; 2]);
}

#[test]
fn trace_ids_are_unique() {
    let (_emulator, client) = start(|_| ());
    let trace = |client: &Client| client.get(USER_INFO).json()["x-traceID"].to_string();
    assert_ne!(trace(&client), trace(&client));
}

#[test]
fn answers_can_be_spelled_otherwise() {
    let (emulator, client) = start(|_| ());
    emulator.change(|options| {
        options.answers.code_as_string = true;
        options.answers.numbers_as_strings = true;
        options.answers.booleans_as_numbers = true;
        options.answers.null_lists = true;
    });
    let info = client.get(USER_INFO).json();
    assert_eq!(info["code"], "0");
    assert_eq!(info["data"]["spaceUsed"], "0");
    assert_eq!(info["data"]["vip"], 1);
    let list = client.post(LIST, json!({"limit": 1, "type": 1})).json();
    assert_eq!(list["data"]["fileList"], json!(null));
    assert!(emulator.violations().is_empty());
}
