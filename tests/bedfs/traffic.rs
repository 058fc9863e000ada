//! The traffic log: every row is archived once, whatever the service is like, and outlives it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;
use std::time::Duration;

use bedfs_emulator::{
    Answers, Emulator, Fault, FaultKind, LogEnd, LogReach, LogTotal, Options, TrafficEntry,
    UniqueId,
};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use crate::command::unmounted;
use crate::harness::{Mount, fast, noise, run, text, wait_until, xattr};

/// The service's day, so many days back.
fn day(back: i64) -> String {
    let today = Offset::constant(8).to_datetime(Timestamp::now()).date();
    today.checked_sub(back.days()).expect("a day").to_string()
}

/// A row of a picture, at a time of a day.
fn row(back: i64, time: &str, number: usize, bytes: u64) -> TrafficEntry {
    TrafficEntry {
        at: format!("{} {time}", day(back)),
        unique_id: format!("row-{back}-{number:05}"),
        file_name: format!("p{number}.jpg"),
        file_size: 10,
        file_path: format!("/blog/p{number}.jpg"),
        url: format!("https://vip.example/1/id{number}.jpg"),
        source: 2,
        bytes,
    }
}

/// `count` rows of that day.
fn add(emulator: &Emulator, back: i64, count: usize) {
    (0..count).for_each(|number| emulator.add_traffic(row(back, "07:00:00", number, 1000)));
}

fn traffic(mount: &Mount, args: &[&str]) -> Output {
    mount.bedfs("traffic").args(args).output().expect("bedfs runs")
}

/// What `bedfs traffic --json` says.
fn json(mount: &Mount, args: &[&str]) -> Value {
    let output = traffic(mount, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn calls(mount: &Mount) -> usize {
    mount.emulator.count("direct-link/log")
}

fn honest(mount: &Mount) {
    assert_eq!(mount.emulator.violations(), Vec::<String>::new());
}

#[test]
fn every_page_of_a_day_is_asked_for_once() {
    let mount = unmounted();
    add(&mount.emulator, 1, 250);
    add(&mount.emulator, 2, 100);
    let told = json(&mount, &["--by", "day"]);
    assert_eq!(told["total_traffic"], 350_000);
    let rows = told["rows"].as_array().expect("rows");
    let days: Vec<_> = rows.iter().map(|row| row["time"].as_str().expect("a day")).collect();
    assert_eq!(days, [day(2), day(1)]);
    // Only a page without anything new is the last.
    assert_eq!(calls(&mount), 1 + 4 + 2);
    assert_eq!(json(&mount, &["--by", "day"])["total_traffic"], 350_000);
    assert_eq!(calls(&mount), 7, "days that are over are asked for once, today every ten minutes");
    honest(&mount);
}

#[test]
fn rows_that_come_between_two_pages_push_none_out() {
    let mount = unmounted();
    add(&mount.emulator, 1, 230);
    mount
        .emulator
        .inject(Fault::new("direct-link/log", FaultKind::Slow(Duration::from_secs(1))).skip(2));
    let mut command = mount.bedfs("traffic");
    let told = std::thread::scope(|scope| {
        let asking = scope.spawn(|| command.args(["--by", "file", "--csv"]).output());
        wait_until("the second page is asked for", || calls(&mount) >= 2);
        // The newest first: each pushes one row to the next page.
        (230..260).for_each(|number| {
            mount.emulator.add_traffic(row(1, "23:59:59", number, 1000));
        });
        asking.join().expect("no panic").expect("bedfs runs")
    });
    assert!(told.status.success(), "{}", text(&told.stderr));
    let told = text(&told.stdout);
    let missing: Vec<_> =
        (0..230).filter(|n| !told.contains(&format!("/blog/p{n}.jpg,"))).collect();
    assert_eq!(missing, Vec::<usize>::new());
}

#[test]
fn whatever_the_service_is_like_the_rows_are_the_same() {
    let odd = |change: fn(&mut Answers)| {
        let mut answers = Answers::default();
        change(&mut answers);
        answers
    };
    for (what, answers) in [
        ("numbers as strings", odd(|answers| answers.numbers_as_strings = true)),
        ("null lists", odd(|answers| answers.null_lists = true)),
        ("codes as strings", odd(|answers| answers.code_as_string = true)),
        ("a total of 0", odd(|answers| answers.log_total = LogTotal::Zero)),
        ("no data beyond the end", odd(|answers| answers.log_end = LogEnd::Null)),
        ("no list beyond the end", odd(|answers| answers.log_end = LogEnd::NoList)),
        ("a refusal beyond the end", odd(|answers| answers.log_end = LogEnd::Refused)),
        ("small pages", odd(|answers| answers.log_page = 7)),
        ("hours", odd(|answers| answers.log_reach = LogReach::Hours)),
        ("refusals of old days", odd(|answers| answers.log_reach = LogReach::DaysElseRefuse)),
        (
            "small pages, and their total",
            odd(|answers| (answers.log_page, answers.log_total) = (7, LogTotal::OfPage)),
        ),
        (
            "small pages, and a total of 0",
            odd(|answers| {
                (answers.log_page, answers.log_total) = (7, LogTotal::Zero);
            }),
        ),
    ] {
        let mount = unmounted();
        mount.emulator.change(|options| options.answers = answers);
        add(&mount.emulator, 0, 3);
        add(&mount.emulator, 1, 20);
        add(&mount.emulator, 2, 9);
        // Before what the service tells.
        mount.emulator.add_traffic(row(3, "10:00:00", 1, 77));
        let told = json(&mount, &["--by", "day", "--days", "4"]);
        assert_eq!(told["total_traffic"], (3 + 20 + 9) * 1000, "{what}");
        honest(&mount);
    }
}

#[test]
fn the_archive_outlives_the_memory_of_the_service_and_the_mount() {
    let mount = Mount::new();
    add(&mount.emulator, 1, 150);
    add(&mount.emulator, 2, 5);
    let at = |back, kind| mount.at(format!(".bedfs/traffic/{}.{kind}", day(back)));
    let seen = fs::read_to_string(at(1, "csv")).expect("read");
    assert_eq!(seen.lines().count(), 151);
    let lines = fs::read_to_string(at(2, "jsonl")).expect("read");
    assert_eq!(lines.lines().count(), 5);
    let asked = calls(&mount);
    mount.emulator.forget_traffic();
    mount.remount(&[]);
    assert_eq!(fs::read_to_string(at(1, "csv")).expect("read"), seen);
    assert_eq!(fs::read_to_string(at(2, "jsonl")).expect("read"), lines);
    assert_eq!(calls(&mount), asked, "a day that was over is not asked for again");
    let names: BTreeSet<_> =
        run("ls", [mount.at(".bedfs/traffic")]).lines().map(str::to_owned).collect();
    assert!(names.contains(&format!("{}.csv", day(2))), "{names:?}");
    honest(&mount);
}

#[test]
fn a_row_keeps_the_names_of_the_service_and_breaks_out_of_no_cell() {
    let mount = Mount::new();
    let hostile = TrafficEntry {
        file_name: "=cmd(),\"x\"\n.png".into(),
        file_path: "/图床/a,b \"c\".png".into(),
        ..row(1, "00:00:00", 1, 12)
    };
    mount.emulator.add_traffic(hostile.clone());
    // The last second of the day, and the first of the next.
    mount.emulator.add_traffic(row(1, "23:59:59", 2, 34));
    mount.emulator.add_traffic(row(0, "00:00:00", 3, 56));
    let file = |kind| mount.at(format!(".bedfs/traffic/{}.{kind}", day(1)));
    let table = fs::read(file("csv")).expect("read");
    let mut reader = csv::Reader::from_reader(&*table);
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("CSV")).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(&rows[0][1], format!("'{}", hostile.file_name), "no spreadsheet computes it");
    assert_eq!((&rows[0][3], &rows[0][6]), (&*hostile.file_path, "12"));
    let lines = fs::read_to_string(file("jsonl")).expect("read");
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["fileName"], *hostile.file_name);
    assert_eq!(first["directLinkURL"], *hostile.url);
    assert_eq!((&first["fileSource"], &first["totalTraffic"]), (&2.into(), &12.into()));
    assert_eq!(fs::metadata(file("csv")).expect("there").len(), table.len() as u64);
}

#[test]
fn who_is_no_developer_is_told_once_and_has_all_else() {
    for code in [1, 401, 403] {
        let options = Options {
            answers: Answers { no_developer: Some(code), ..Answers::default() },
            ..fast()
        };
        let mount = Mount::with(options, &[]);
        let tokens = mount.emulator.count("access_token");
        let output = traffic(&mount, &[]);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("开发者权益"), "{code}: {said}");
        // Beside what is waited for.
        assert_eq!(said.lines().filter(|line| !line.ends_with(" …")).count(), 1, "{said}");
        let log = mount.at(format!(".bedfs/traffic/{}.csv", day(1)));
        for _ in 0..3 {
            let error = fs::read(&log).expect_err("refused");
            assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{code}");
        }
        fs::write(mount.at("a.jpg"), noise(1, 5000)).expect("written");
        assert_eq!(xattr(&mount.at("a.jpg"), "traffic_3d"), None);
        let all = run("getfattr", ["-d".as_ref(), mount.at("a.jpg").as_os_str()]);
        assert!(all.contains("user.bedfs.url"), "{all}");
        assert_eq!(fs::read(mount.at("a.jpg")).expect("read"), noise(1, 5000));
        let log = mount.log();
        let told = log.lines().filter(|line| line.contains("开发者权益")).count();
        assert_eq!(told, 1, "{log}");
        assert_eq!(mount.emulator.count("access_token"), tokens, "{code}: the token is good");
        // The command asked for three days, and the mount for one.
        assert_eq!(calls(&mount), 4, "{code}");
    }
}

#[test]
fn days_are_those_of_the_service_whatever_the_clock_here_says() {
    let mount = unmounted();
    mount.emulator.change(|options| options.clock_ahead = Duration::from_secs(26 * 3600));
    // Tomorrow or the day after, by this machine's clock.
    let then = Timestamp::now() + 26.hours();
    let there = Offset::constant(8).to_datetime(then).date();
    mount
        .emulator
        .add_traffic(TrafficEntry { at: format!("{there} 00:00:00"), ..row(0, "00:00:00", 1, 9) });
    let told = json(&mount, &["--by", "day", "--days", "1"]);
    assert_eq!(told["to"], there.to_string());
    assert_eq!(told["total_traffic"], 9);
    honest(&mount);
}

#[test]
fn an_attribute_tells_the_traffic_of_three_days_by_id_and_by_path() {
    for unique_id in [UniqueId::Row, UniqueId::File] {
        let answers = Answers { unique_id, ..Answers::default() };
        let mount = Mount::with(Options { answers, ..fast() }, &[]);
        fs::write(mount.at("a.jpg"), noise(1, 4000)).expect("written");
        let link = xattr(&mount.at("a.jpg"), "url").expect("a link");
        let of_it = |number, url: &str, back| TrafficEntry {
            url: url.into(),
            file_name: "a.jpg".into(),
            file_path: "/a.jpg".into(),
            ..row(back, "00:00:01", number, 100)
        };
        mount.emulator.add_traffic(of_it(1, &link, 1));
        mount.emulator.add_traffic(of_it(2, &link, 2));
        // A link that ends with the name tells the path alone.
        mount.emulator.add_traffic(of_it(3, "https://v.example/1/a.jpg", 2));
        mount.emulator.add_traffic(of_it(4, "https://v.example/1/other.jpg", 2));
        assert_eq!(xattr(&mount.at("a.jpg"), "traffic_3d").as_deref(), Some("300"));
        let asked = calls(&mount);
        assert_eq!(xattr(&mount.at("a.jpg"), "traffic_3d").as_deref(), Some("300"));
        assert_eq!(calls(&mount), asked, "it is not asked for at every look");
    }
}

#[test]
fn the_command_tells_files_days_and_hours_as_people_and_programs_want_it() {
    let mount = unmounted();
    mount.emulator.add_traffic(row(1, "03:10:00", 1, 3 << 20));
    mount.emulator.add_traffic(row(1, "15:20:00", 2, 1 << 20));
    mount.emulator.add_traffic(TrafficEntry { source: 1, ..row(2, "15:59:59", 3, 512) });
    let plain = text(&traffic(&mount, &[]).stdout);
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines[0].contains("3.00 MiB") && lines[0].ends_with("/blog/p1.jpg"), "{plain}");
    assert!(lines[1].contains("1.00 MiB") && lines[1].ends_with("/blog/p2.jpg"), "{plain}");
    assert!(lines[3].contains("4.00 MiB in 3 rows"), "{plain}");
    assert!(lines[4].starts_with("as the service told at"), "{plain}");
    assert!(lines[5].starts_with("left: 1.00 TiB, at this pace for"), "{plain}");
    assert!(!plain.contains('\x1b'), "no colours where there is no terminal");
    let hours = json(&mount, &["--by", "hour"]);
    let times: Vec<_> =
        hours["rows"].as_array().expect("rows").iter().map(|r| &r["time"]).collect();
    let wanted = [(2, "15"), (1, "03"), (1, "15")];
    let wanted = wanted.map(|(back, hour)| format!("{}T{hour}:00:00+08:00", day(back)));
    assert_eq!(times, wanted.each_ref());
    let table = text(&traffic(&mount, &["--by", "day", "--csv"]).stdout);
    assert_eq!(
        table,
        format!(
            "time,image_bed,cloud_drive,traffic,rows\n{},0,512,512,1\n{},4194304,0,4194304,2\n",
            day(2),
            day(1)
        )
    );
    honest(&mount);
}

#[test]
fn a_chart_is_drawn() {
    let mount = unmounted();
    add(&mount.emulator, 1, 15);
    mount.emulator.add_traffic(TrafficEntry {
        file_path: "/<b>&\".png".into(),
        ..row(1, "09:00:00", 99, 1 << 30)
    });
    let path = mount.dir.path().join("chart.svg");
    let output = traffic(&mount, &["--svg", &path.to_string_lossy()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let svg = fs::read_to_string(&path).expect("drawn");
    let parsed = run("python3", ["-c", PARSE, &path.to_string_lossy()]);
    assert!(parsed.contains("<b>&\".png") && parsed.contains("blog/p1.jpg"), "{parsed}");
    assert!(parsed.contains("1.00 GiB"), "{parsed}");
    assert!(svg.matches("<rect").count() >= 10, "a bar for each of the files");
}

/// Prints the texts of an SVG, which must be well-formed XML.
const PARSE: &str = "import sys, xml.etree.ElementTree as tree
for node in tree.parse(sys.argv[1]).iter():
    if node.text and node.text.strip(): print(node.text.strip())";

#[test]
fn what_was_archived_is_told_when_the_service_is_away() {
    let mount = unmounted();
    add(&mount.emulator, 1, 4);
    assert_eq!(json(&mount, &[])["total_traffic"], 4000);
    for endpoint in ["direct-link/log", "user/info"] {
        mount.emulator.inject(Fault::new(endpoint, FaultKind::Status(502)).always());
    }
    let config = mount.local("config.toml", b"timeout = 2\n");
    let told = |by| {
        let mut command = mount.bedfs("traffic");
        let command = command.args(["--by", by, "--csv"]).env("BEDFS_CONFIG", &config);
        command.output().expect("bedfs runs")
    };
    for by in ["day", "hour"] {
        let told = told(by);
        assert!(text(&told.stdout).contains(&format!("{},4000,0,4000,4", day(1))), "{by}");
        let said = text(&told.stderr);
        assert!(!told.status.success() && said.contains("archived before"), "{by}: {said}");
        assert_eq!(said.matches("user/info").count(), 1, "it is waited for once: {said}");
    }
}

/// A mount archives a day that is over by itself, some seconds after it began.
#[test]
fn a_mount_archives_days_that_are_over() {
    let mount = Mount::new();
    add(&mount.emulator, 1, 3);
    wait_until("archived", || calls(&mount) >= 2);
    mount.unmount();
    mount.emulator.forget_traffic();
    assert_eq!(json(&mount, &["--by", "day"])["total_traffic"], 3000);
    let off = Mount::with(fast(), &["--archive-traffic=false"]);
    std::thread::sleep(Duration::from_secs(22));
    assert_eq!(calls(&off), 0);
}

#[test]
fn a_service_that_fails_is_not_waited_for_at_every_file() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    (0..5).for_each(|number| {
        emulator.put(&format!("p{number}.jpg"), &noise(number, 100));
    });
    let mount = Mount::over(emulator, &["--timeout", "3"]);
    mount.emulator.inject(Fault::new("direct-link/log", FaultKind::Status(500)).always());
    let mut asked = 0;
    for number in 0..5 {
        let path = mount.at(format!("p{number}.jpg"));
        let name = "user.bedfs.traffic_3d".as_ref();
        let output = crate::harness::attempt("getfattr", ["-n".as_ref(), name, path.as_os_str()]);
        assert!(!output.status.success(), "nothing is known of it");
        asked = if number == 0 { calls(&mount) } else { asked };
    }
    assert_eq!(calls(&mount), asked, "the failure of the first look serves the others");
}
