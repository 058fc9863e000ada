//! The IDs of the traffic log: the sums are right whether an ID is of one row for ever, or of a file in
//! the day that was asked for.

use std::fs;
use std::time::Duration;

use bedfs_emulator::{Answers, Fault, FaultKind, TrafficEntry, UniqueId};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use crate::command::unmounted;
use crate::harness::{Mount, text};

const MINUTE: Duration = Duration::from_secs(60);

/// How far the service's clock has to be ahead for it to be noon there, far from any other day.
fn until_noon() -> Duration {
    let past = (Timestamp::now().as_second() + 8 * 3600).rem_euclid(86_400);
    Duration::from_secs((86_400 + 43_200 - past).unsigned_abs())
}

fn day_ahead(ahead: Duration) -> Date {
    Offset::constant(8).to_datetime(Timestamp::now() + ahead).date()
}

fn entry(day: Date, time: &str, number: usize, bytes: u64) -> TrafficEntry {
    TrafficEntry {
        at: format!("{day} {time}"),
        file_name: format!("p{number}.jpg"),
        file_path: format!("/p{number}.jpg"),
        url: format!("https://vip.example/1/id{number}.jpg"),
        source: 2,
        bytes,
        ..TrafficEntry::default()
    }
}

/// The bytes of each row of `bedfs traffic`, with the file or the time that it is of, and their sum.
fn told(mount: &Mount, by: &str) -> (Vec<(String, u64)>, u64) {
    let output = mount.bedfs("traffic").args(["--days", "5", "--by", by, "--json"]).output();
    let output = output.expect("bedfs runs");
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = all["rows"].as_array().expect("rows");
    let name = |row: &Value| {
        let key = if by == "file" { "path" } else { "time" };
        row[key].as_str().expect("a name").to_owned()
    };
    let rows = rows.iter().map(|row| (name(row), row["traffic"].as_u64().expect("bytes")));
    (rows.collect(), all["total_traffic"].as_u64().expect("a sum"))
}

fn bytes((rows, _): (Vec<(String, u64)>, u64)) -> Vec<u64> {
    rows.into_iter().map(|(_, bytes)| bytes).collect()
}

/// What today used is replaced by what is told now, and what the service tells no more stays.
#[test]
fn sums_are_right_whatever_an_id_is_of() {
    for unique_id in [UniqueId::Row, UniqueId::File] {
        let mount = unmounted();
        let noon = until_noon();
        let at = |ahead| mount.emulator.change(|options| options.clock_ahead = ahead);
        let add = |entry| mount.emulator.add_traffic(entry);
        at(noon);
        mount.emulator.change(|options| {
            options.answers = Answers { unique_id, log_page: 1, ..Answers::default() };
        });
        let today = day_ahead(noon);
        let back = |days: i64| today - days.days();
        // One picture is looked at on three days, and twice on one of them.
        add(entry(back(2), "10:00:00", 1, 100));
        add(entry(back(1), "03:00:00", 1, 200));
        add(entry(back(1), "15:00:00", 1, 300));
        add(entry(today, "09:00:00", 1, 10));
        add(entry(today, "09:10:00", 2, 1));
        assert_eq!(bytes(told(&mount, "day")), [100, 500, 11], "{unique_id:?}");
        let files = [("/p1.jpg".to_owned(), 610), ("/p2.jpg".to_owned(), 1)];
        assert_eq!(told(&mount, "file"), (files.into(), 611), "{unique_id:?}");
        assert_eq!(told(&mount, "hour").1, 611, "{unique_id:?}");
        assert_eq!(bytes(told(&mount, "hour")), [100, 200, 300, 11], "{unique_id:?}");

        // Ten minutes later today is asked for again.
        add(entry(today, "09:20:00", 1, 20));
        at(noon + 11 * MINUTE);
        assert_eq!(bytes(told(&mount, "day")), [100, 500, 31], "{unique_id:?}");
        add(entry(today, "11:00:00", 3, 40));
        at(noon + 22 * MINUTE);
        assert_eq!(bytes(told(&mount, "hour")), [100, 200, 300, 31, 40], "{unique_id:?}");
        assert_eq!(told(&mount, "day").1, 671, "the hours tell no more than their day");

        // An answer that breaks off half way replaces nothing.
        add(entry(today, "11:30:00", 1, 7));
        at(noon + 33 * MINUTE);
        let config = mount.local("config.toml", b"timeout = 2\n");
        let away = Fault::new("direct-link/log", FaultKind::Status(502)).skip(1).always();
        mount.emulator.inject(away);
        let mut command = mount.bedfs("traffic");
        let output = command.args(["--by", "day", "--csv"]).env("BEDFS_CONFIG", &config).output();
        let output = output.expect("bedfs runs");
        assert!(!output.status.success(), "the service is away");
        assert!(text(&output.stdout).contains(&format!("{today},71,0,71,")), "{unique_id:?}");
        mount.emulator.clear_faults();

        // The next day: what grew after it was told is told, and the oldest day is kept.
        at(noon + 24 * 60 * MINUTE);
        assert_eq!(bytes(told(&mount, "day")), [100, 500, 78], "{unique_id:?}");
        let table = state(&mount, &format!("traffic/{today}.csv"));
        assert_eq!(table.lines().count(), 1 + if unique_id == UniqueId::Row { 5 } else { 3 });
        assert_eq!(mount.emulator.violations(), Vec::<String>::new());
    }
}

/// A day that is over and of which less is told than is known is being forgotten: it stays.
#[test]
fn a_day_that_the_service_begins_to_forget_stays() {
    let mount = unmounted();
    let noon = until_noon();
    mount.emulator.change(|options| options.clock_ahead = noon);
    let today = day_ahead(noon);
    mount.emulator.add_traffic(entry(today, "09:00:00", 1, 500));
    assert_eq!(told(&mount, "day").1, 500);
    mount.emulator.forget_traffic();
    mount.emulator.add_traffic(entry(today, "11:00:00", 1, 100));
    mount.emulator.change(|options| options.clock_ahead = noon + 24 * 60 * MINUTE);
    assert_eq!(told(&mount, "day").1, 500);
}

/// A control file, read in a mount that is made for it.
fn state(mount: &Mount, path: &str) -> String {
    let output = mount.mount(&[]);
    assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
    let read = fs::read_to_string(mount.at(".bedfs").join(path)).expect("read");
    mount.unmount();
    read
}
