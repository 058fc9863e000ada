//! Offline logs: however the service wants to be asked, each is listed, downloaded once, and kept.

use std::fs;
use std::io::Write;
use std::process::Output;

use bedfs_emulator::{Answers, Asked, Fault, FaultKind, LogEnd, LogTotal, Options};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use crate::command::unmounted;
use crate::harness::{Mount, fast, run, text};

fn packed(lines: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(lines.as_bytes()).expect("memory");
    gzip.finish().expect("memory")
}

/// The service's hour, so many hours back, in a pattern.
fn hour(back: i64, pattern: &str) -> String {
    let then = Timestamp::now() - back.hours();
    Offset::constant(8).to_datetime(then).strftime(pattern).to_string()
}

fn spelled(back: i64) -> String {
    hour(back, "%Y%m%d%H")
}

fn logs(mount: &Mount, args: &[&str]) -> Output {
    mount.bedfs("logs").args(args).output().expect("bedfs runs")
}

fn must(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn they_are_listed_however_the_service_wants_to_be_asked() {
    for asked in [Asked::Query, Asked::Body, Asked::Either] {
        for (log_total, log_page, log_end) in [
            (LogTotal::True, 100, LogEnd::Empty),
            (LogTotal::Zero, 100, LogEnd::Null),
            (LogTotal::OfPage, 2, LogEnd::Refused),
        ] {
            let mount = unmounted();
            mount.emulator.change(|options| {
                options.answers = Answers {
                    offline_logs: asked,
                    log_total,
                    log_end,
                    log_page,
                    numbers_as_strings: log_total == LogTotal::Zero,
                    ..Answers::default()
                };
            });
            for back in 1..6 {
                let name = format!("{}16.gz", spelled(back));
                mount.emulator.add_offline_log(&spelled(back), &name, &packed("line\n"));
            }
            let told = must(&logs(&mount, &[]));
            assert_eq!(told.lines().count(), 5, "{asked:?}, {log_page} a page:\n{told}");
            assert!(told.lines().next().expect("a line").starts_with(&hour(5, "%Y-%m-%dT%H")));
            assert_eq!(mount.emulator.violations(), Vec::<String>::new());
        }
    }
}

#[test]
fn two_of_one_name_in_one_hour_stay_apart_and_each_is_fetched_once() {
    let mount = Mount::new();
    let name = format!("{}16.gz", spelled(3));
    let (one, other) = (packed("one\n"), packed("the other\n"));
    let ids = [&one, &other].map(|log| mount.emulator.add_offline_log(&spelled(3), &name, log));
    let folder = mount.at(".bedfs/offline-logs").join(hour(3, "%Y-%m-%d"));
    let file = |id: u64| folder.join(format!("{}-{id}.gz", hour(3, "%H")));
    assert_eq!(run("ls", [&folder]).lines().count(), 2);
    assert_eq!(fs::metadata(file(ids[0])).expect("there").len(), one.len() as u64);
    assert_eq!(mount.emulator.count("offline-log"), 0, "nothing is fetched to be listed");
    assert_eq!(fs::read(file(ids[0])).expect("read"), one);
    assert_eq!(fs::read(file(ids[1])).expect("read"), other);
    assert_eq!(run("zcat", [file(ids[1])]), "the other\n");
    assert_eq!(mount.emulator.count("offline-log"), 2);
    mount.emulator.forget_offline_logs();
    mount.remount(&[]);
    assert_eq!(fs::read(file(ids[1])).expect("kept"), other);
    assert_eq!(mount.emulator.count("offline-log"), 2);
    let refused = fs::write(file(ids[0]), "x").expect_err("read-only");
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    assert_eq!(mount.emulator.violations(), Vec::<String>::new());
}

#[test]
fn they_are_downloaded_into_a_folder_and_merged_in_the_order_of_time() {
    let mount = unmounted();
    let line = |back: i64, minute: u32, what: &str| {
        let time = hour(back, "%d/%b/%Y:%H");
        format!("1.2.3.4 - - [{time}:{minute:02}:00 +0800] \"GET /{what}\" 200 1\n")
    };
    let late = line(2, 40, "late");
    let first = format!("{}{}", line(2, 5, "early"), &late);
    // Without an end of its last line, and not in order.
    let second = format!("{}{}", line(2, 50, "last"), line(2, 20, "middle").trim_end());
    // A line of the hour before, which was written down late.
    let newest = format!("{}{}", line(2, 59, "stray"), line(1, 1, "newest"));
    mount.emulator.add_offline_log(&spelled(1), "b.gz", &packed(&newest));
    mount.emulator.add_offline_log(&spelled(2), "a.gz", &packed(&first));
    mount.emulator.add_offline_log(&spelled(2), "a.gz", &packed(&second));
    let dir = mount.dir.path().join("logs");
    let merged = mount.dir.path().join("merged.log");
    let told = must(&logs(
        &mount,
        &["--output", &dir.to_string_lossy(), "--merge", &merged.to_string_lossy()],
    ));
    assert_eq!(told.lines().count(), 3);
    let place = dir.join(hour(2, "%Y-%m-%d")).join(format!("{}-2.gz", hour(2, "%H")));
    assert_eq!(run("zcat", [place]), first);
    let order: Vec<String> = fs::read_to_string(&merged)
        .expect("merged")
        .lines()
        .map(|line| line.split("GET /").nth(1).expect("a line").split('"').next().expect("").into())
        .collect();
    assert_eq!(order, ["early", "middle", "late", "last", "stray", "newest"]);
    let printed = must(&logs(&mount, &["--merge", "-", "--from", &spelled(1)]));
    assert_eq!(printed, newest);
    assert_eq!(mount.emulator.count("offline-log"), 3, "what is here is not fetched again");
}

#[test]
fn what_is_cut_off_expired_or_no_log_is_not_kept() {
    let mount = unmounted();
    let log = packed("a line\n");
    mount.emulator.add_offline_log(&spelled(2), "a.gz", &log);
    let dir = mount.dir.path().join("logs");
    let download = || logs(&mount, &["--output", &dir.to_string_lossy()]);
    for kind in [FaultKind::Truncate(5), FaultKind::Status(502), FaultKind::Expired] {
        mount.emulator.inject(Fault::new("offline-log", kind.clone()).always());
        let output = download();
        assert!(!output.status.success(), "{kind:?}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains(&hour(2, "%Y-%m-%dT%H")), "{kind:?}");
        assert!(!dir.exists(), "{kind:?}: nothing of it is there");
        mount.emulator.clear_faults();
    }
    // An address that was refused once is replaced by a new one.
    mount.emulator.inject(Fault::new("offline-log", FaultKind::Expired));
    must(&download());
    let place = dir.join(hour(2, "%Y-%m-%d")).join(format!("{}-1.gz", hour(2, "%H")));
    assert_eq!(fs::read(place).expect("there"), log);
    let cut = packed("another line\n");
    mount.emulator.add_offline_log(&spelled(1), "b.gz", &cut[..cut.len() - 3]);
    let output = download();
    assert!(text(&output.stderr).contains("no gzip file"), "{}", text(&output.stderr));
    assert!(!output.status.success());
}

#[test]
fn older_ones_than_the_service_keeps_are_a_clear_error() {
    let mount = unmounted();
    mount.emulator.add_offline_log(&spelled(2), "a.gz", &packed("x\n"));
    let output = logs(&mount, &["--from", "2020010115", "--to", "2020-01-02"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("30 days"), "{said}");
    assert_eq!(said.lines().count(), 1);
    let output = logs(&mount, &["--from", "yesterday"]);
    assert!(text(&output.stderr).contains("is no hour"), "{}", text(&output.stderr));
}

#[test]
fn who_is_no_developer_is_told_so() {
    let answers = Answers { no_developer: Some(1), ..Answers::default() };
    let mount = Mount::with(Options { answers, ..fast() }, &[]);
    let output = logs(&mount, &[]);
    assert!(!output.status.success() && text(&output.stderr).contains("开发者权益"));
    assert_eq!(run("ls", [mount.at(".bedfs/offline-logs")]), "");
}
