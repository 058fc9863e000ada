//! What the service writes down: the traffic log, offline logs, links of the cloud drive, paid shares.

use bedfs_emulator::{Asked, LogReach, Share, TrafficEntry};
use serde_json::{Value, json};

use crate::client::{Client, breached, start, text};

const LOG: &str = "/api/v1/direct-link/log";
const OFFLINE: &str = "/api/v1/direct-link/offline/logs";
const URL: &str = "/api/v1/direct-link/url";
const SHARES: &str = "/api/v1/share/payment/list";

/// A span that holds every day of this century.
const EVER: &str = "startTime=2001-01-01%2000%3A00%3A00&endTime=2099-12-31%2023%3A59%3A59";

fn log(client: &Client, page: u32, size: u32) -> Value {
    client.get(&format!("{LOG}?pageNum={page}&pageSize={size}&{EVER}")).data()
}

fn rows(page: &Value) -> usize {
    page["list"].as_array().expect("a list").len()
}

#[test]
fn what_a_link_serves_in_an_hour_is_one_row() {
    let (emulator, client) = start(|_| ());
    emulator.put("blog/a.png", b"0123456789");
    let url = emulator.row("blog/a.png").expect("it was put").url;
    client.fetch(&url, &[]);
    client.fetch(&url, &[("Range", "bytes=0-3")]);
    let page = log(&client, 1, 10);
    assert_eq!((rows(&page), &page["total"]), (1, &json!(1)));
    let row = &page["list"][0];
    assert_eq!((&row["totalTraffic"], &row["fileSize"]), (&json!(14), &json!(10)));
    assert_eq!((&row["filePath"], &row["fileSource"]), (&json!("/blog/a.png"), &json!(2)));
    assert_eq!(text(&row["directLinkURL"]), url);
    assert!(emulator.violations().is_empty());
}

#[test]
fn pages_reach_and_right_of_the_traffic_log() {
    let (emulator, client) = start(|_| ());
    for number in 0..5 {
        let at = "2001-01-02 10:00:00".to_owned();
        emulator.add_traffic(TrafficEntry { at, bytes: number, ..TrafficEntry::default() });
    }
    assert_eq!(rows(&log(&client, 1, 10)), 0, "older than three days");
    emulator.change(|options| options.answers.log_reach = LogReach::DaysElseRefuse);
    client.get(&format!("{LOG}?pageNum=1&pageSize=1&{EVER}")).refused(1);
    emulator.change(|options| options.answers.no_developer = Some(403));
    client.get(&format!("{LOG}?pageNum=1&pageSize=1&{EVER}")).refused(403);
    assert!(emulator.violations().is_empty());
    emulator.change(|options| options.answers.no_developer = None);
    client.get(&format!("{LOG}?pageNum=1&pageSize=1&startTime=now&endTime=now")).refused(1);
    breached(&emulator, "startTime is no time");
}

#[test]
fn offline_logs_hear_the_way_that_is_chosen() {
    let (emulator, client) = start(|_| ());
    let body =
        json!({"startHour": "2001010100", "endHour": "2099010100", "pageNum": 1, "pageSize": 9});
    let query = "startHour=2001010100&endHour=2099010100&pageNum=1&pageSize=9";
    for (asked, by_query, by_body) in
        [(Asked::Query, 0, 1), (Asked::Body, 1, 0), (Asked::Either, 0, 0)]
    {
        emulator.change(|options| options.answers.offline_logs = asked);
        assert_eq!(client.get(&format!("{OFFLINE}?{query}")).code(), by_query, "{asked:?}");
        let bytes = body.to_string().into_bytes();
        let (length, token) = (bytes.len().to_string(), format!("Bearer {}", client.token));
        let headers = [
            ("Authorization", &*token),
            ("Platform", "open_platform"),
            ("Content-Type", "application/json"),
            ("Content-Length", &*length),
        ];
        let answer = client.ask("GET", OFFLINE, &headers, &bytes);
        assert_eq!(answer.code(), by_body, "{asked:?}");
    }
    assert!(emulator.violations().is_empty());
}

#[test]
fn an_offline_log_is_had_by_its_address_alone() {
    let (emulator, client) = start(|options| options.clock_ahead = std::time::Duration::ZERO);
    let hour = jiff::tz::Offset::constant(8).to_datetime(jiff::Timestamp::now());
    let hour = hour.strftime("%Y%m%d%H").to_string();
    let id = emulator.add_offline_log(&hour, "x.gz", b"packed");
    let query = format!("startHour={hour}&endHour={hour}&pageNum=1&pageSize=9");
    let page = client.get(&format!("{OFFLINE}?{query}")).data();
    let row = &page["list"][0];
    assert_eq!((&row["id"], &row["fileSize"]), (&json!(id), &json!(6)));
    let url = text(&row["downloadURL"]);
    assert_eq!(client.fetch(&url, &[]).body, b"packed");
    assert_eq!(client.fetch(&url.replace(".gz", "0.gz"), &[]).status, 404);
    assert!(emulator.violations().is_empty());
    assert_eq!(client.fetch(&url, &[("Platform", "open_platform")]).status, 403);
    breached(&emulator, "API headers");
}

#[test]
fn shares_come_in_pages_and_links_by_number() {
    let (emulator, client) = start(|_| ());
    (1..=3).for_each(|id| emulator.add_share(Share { id, ..Share::default() }));
    let page = client.get(&format!("{SHARES}?limit=2&lastShareId=0")).data();
    assert_eq!(
        (&page["lastShareId"], page["shareList"].as_array().map(Vec::len)),
        (&json!(3), Some(2))
    );
    let page = client.get(&format!("{SHARES}?limit=2&lastShareId=3")).data();
    assert_eq!((&page["lastShareId"], &page["shareList"][0]["shareId"]), (&json!(-1), &json!(3)));
    emulator.add_drive_file(7, "https://x/1/a.mp4");
    assert_eq!(text(&client.get(&format!("{URL}?fileID=7")).data()["url"]), "https://x/1/a.mp4");
    client.get(&format!("{URL}?fileID=8")).refused(5066);
    assert!(emulator.violations().is_empty());
    client.get(&format!("{URL}?fileID=abc")).refused(1);
    breached(&emulator, "fileID is no number");
}
