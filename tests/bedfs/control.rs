//! The control folder: out of the way, read-only, and each file true at the moment it is opened.

use std::fs;
use std::process::{Command, Stdio};

use bedfs_emulator::{Answers, Emulator, Options, Share};
use serde_json::Value;

use crate::command::unmounted;
use crate::harness::{Mount, attempt, fast, noise, run, text, wait_until, xattr};

fn read(mount: &Mount, name: &str) -> String {
    fs::read_to_string(mount.at(".bedfs").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn json(mount: &Mount, name: &str) -> Value {
    serde_json::from_str(&read(mount, name)).expect("JSON")
}

/// All that is read-only and always there.
const FILES: [&str; 8] = [
    "account.json",
    "links.csv",
    "metrics",
    "moved.csv",
    "pending.json",
    "shares/paid.csv",
    "shares/paid.jsonl",
    "status.json",
];

#[test]
fn it_is_reachable_not_listed_and_nothing_in_it_can_be_changed() {
    let mount = Mount::new();
    fs::write(mount.at("a.jpg"), noise(1, 100)).expect("written");
    assert_eq!(run("ls", ["-A".as_ref(), mount.path.as_os_str()]), "a.jpg\n");
    assert_eq!(run("find", [mount.path.as_os_str()]).lines().count(), 2);
    for name in FILES {
        let path = mount.at(".bedfs").join(name);
        let content = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let copy = mount.dir.path().join("copy");
        run("cp", [&path, &copy]);
        assert!(!fs::read(&copy).expect("copied").is_empty() || content.is_empty(), "{name}");
        assert!(fs::write(&path, "x").is_err(), "{name} is written");
        assert!(fs::remove_file(&path).is_err(), "{name} is removed");
        assert!(fs::rename(&path, mount.at("b.jpg")).is_err(), "{name} is moved out");
        assert!(fs::rename(mount.at("a.jpg"), &path).is_err(), "{name} is replaced");
    }
    assert!(fs::create_dir(mount.at(".bedfs/traffic/x")).is_err());
    assert!(fs::write(mount.at(".bedfs/new"), "x").is_err());
    assert!(!mount.at(".bedfs/traffic/2020-01-01.csv").exists());
    assert!(!mount.at(".bedfs/no/such").exists());
    let listed = run("ls", ["-a".as_ref(), mount.at(".bedfs/shares").as_os_str()]);
    assert_eq!(listed, ".\n..\npaid.csv\npaid.jsonl\n");
    let inodes = run("ls", ["-aid".as_ref(), mount.at(".bedfs/shares/..").as_os_str()]);
    let folder = run("ls", ["-aid".as_ref(), mount.at(".bedfs").as_os_str()]);
    assert_eq!(inodes.split(' ').next(), folder.split(' ').next());
    // The tree of an rm, of an rsync and of a find has no .bedfs in it.
    run("sh", ["-c", "rm -rf \"$0\"/*", &mount.path.to_string_lossy()]);
    mount.quiet();
    assert_eq!(mount.emulator.tree().len(), 0);
    assert!(mount.at(".bedfs/status.json").exists());
}

#[test]
fn its_sizes_are_true_and_a_snapshot_does_not_change_under_its_reader() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    (0..300).for_each(|number| {
        emulator.put(&format!("many/p{number}.jpg"), &noise(number, 50));
    });
    let mount = Mount::over(emulator, &[]);
    assert_eq!(fs::read_dir(mount.at("many")).expect("listed").count(), 300);
    for name in ["links.csv", "account.json", "moved.csv", "shares/paid.csv"] {
        let content = read(&mount, name);
        let size = fs::metadata(mount.at(".bedfs").join(name)).expect("there").len();
        assert_eq!(size, content.len() as u64, "{name}");
    }
    let links = read(&mount, "links.csv");
    assert_eq!(links.lines().count(), 301);
    let opened = fs::File::open(mount.at(".bedfs/links.csv")).expect("opened");
    fs::remove_file(mount.at("many/p1.jpg")).expect("removed");
    let mut command = Command::new("cat");
    let seen = command.stdin(opened).stdout(Stdio::piped()).output().expect("cat runs");
    assert_eq!(text(&seen.stdout), links);
    assert_eq!(read(&mount, "links.csv").lines().count(), 300);
}

#[test]
fn links_tell_each_known_file_and_the_account_what_it_has() {
    let mount = Mount::new();
    fs::create_dir(mount.at("blog")).expect("made");
    fs::write(mount.at("blog/a,b.jpg"), noise(1, 4000)).expect("written");
    let link = xattr(&mount.at("blog/a,b.jpg"), "url").expect("a link");
    let md5 = xattr(&mount.at("blog/a,b.jpg"), "md5").expect("a sum");
    let table = read(&mount, "links.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let row = rows.records().next().expect("a row").expect("CSV");
    assert_eq!(&row, &vec!["blog/a,b.jpg", &*link, &*md5, "4000", "0"]);
    let account = json(&mount, "account.json");
    assert_eq!(account["space_total"], 2u64 << 40);
    assert_eq!(account["traffic_left"], 1u64 << 40);
    assert_eq!(account["member"], true);
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let mount = Mount::new();
    fs::write(mount.at("a.jpg"), noise(1, 100_000)).expect("written");
    run(
        "setfattr",
        ["-n", "user.bedfs.cached", "-v", "evict", &mount.at("a.jpg").to_string_lossy()],
    );
    assert_eq!(fs::read(mount.at("a.jpg")).expect("read").len(), 100_000);
    // What was read gets to the disk behind the reader's back.
    wait_until("it is on the disk", || {
        let metrics = read(&mount, "metrics");
        let held = metrics.lines().find_map(|line| line.strip_prefix("bedfs_cache_bytes "));
        held.and_then(|held| held.parse().ok()).is_some_and(|held: f64| held >= 100_000.0)
    });
    let metrics = read(&mount, "metrics");
    let value = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in\n{metrics}"));
        line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")
    };
    assert_eq!(value("bedfs_api_calls_total{endpoint=\"create\"}"), 1.0);
    assert_eq!(value("bedfs_api_latency_seconds_count{endpoint=\"create\"}"), 1.0);
    assert_eq!(value("bedfs_transfer_bytes_total{direction=\"sent\"}"), 100_000.0);
    assert_eq!(value("bedfs_transfer_bytes_total{direction=\"received\"}"), 100_000.0);
    assert_eq!(value("bedfs_failed"), 0.0);
    assert!(value("bedfs_inodes") >= 2.0 && value("bedfs_lookups_total") > 0.0);
    let file = mount.local("metrics.txt", metrics.as_bytes());
    // As the parser of Prometheus' own client reads it.
    let script = "
import sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(open(sys.argv[1]).read()))
assert sum(len(family.samples) for family in families) > 20, families
for family in families:
    assert family.documentation and family.type not in ('unknown', 'untyped'), family
";
    let mut command = Command::new("/usr/bin/python3");
    let checked = command.args(["-c", script]).arg(file).output().expect("python3 runs");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn status_tells_of_a_running_mount() {
    let mount = Mount::new();
    fs::write(mount.at("a.jpg"), noise(1, 100)).expect("written");
    let status = |args: &[&str]| mount.bedfs("status").args(args).arg(&mount.path).output();
    let told = status(&[]).expect("bedfs runs");
    let plain = text(&told.stdout);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(plain.contains("0 not finished, of which 0 under way, 0 failed"), "{plain}");
    assert!(plain.contains("traffic left 1.00 TiB"), "{plain}");
    let told = status(&["--json"]).expect("bedfs runs");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told[0]["calls"]["create"], 1);
    assert_eq!(told[0]["mountpoint"], mount.path.to_string_lossy().as_ref());
    let waiting = mount.bedfs("pending").output().expect("bedfs runs");
    assert_eq!((&*text(&waiting.stdout), waiting.status.success()), ("", true));
    assert_eq!(text(&waiting.stderr), "bedfs: nothing is pending\n");
    // Figures serve for some seconds, and then are asked for again.
    mount.emulator.change(|options| options.traffic_left = 3 << 30);
    wait_until("the figures of now", || {
        let told = status(&[]).expect("bedfs runs");
        text(&told.stdout).contains("traffic left 3.00 GiB")
    });
    mount.unmount();
    let gone = status(&[]).expect("bedfs runs");
    assert!(!gone.status.success() && text(&gone.stderr).contains("not mounted"));
    let hidden = mount.mount(&["--control", "off"]);
    assert!(hidden.status.success());
    assert!(!mount.at(".bedfs").exists());
    let told = status(&[]).expect("bedfs runs");
    assert!(text(&told.stderr).contains("--control off"), "{}", text(&told.stderr));
}

fn share(id: u64) -> Share {
    Share {
        id,
        key: format!("K{id}-x"),
        name: format!("=share, \"{id}\"\n"),
        price: 11.1,
        earned: 22.2,
        expiration: "2099-12-31 08:00:00".into(),
        is_expired: id.is_multiple_of(2),
    }
}

#[test]
fn paid_shares_come_page_by_page_with_all_fields_and_their_address() {
    let answers = Answers { numbers_as_strings: true, ..Answers::default() };
    let emulator = Emulator::start(Options { answers, ..fast() }).expect("the emulator starts");
    (1..=230).for_each(|id| emulator.add_share(share(id)));
    let mount = Mount::over(emulator, &[]);
    let table = read(&mount, "shares/paid.csv");
    assert_eq!(mount.emulator.count("share/payment/list"), 3);
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().map(|row| row.expect("CSV")).collect();
    assert_eq!(rows.len(), 230);
    assert_eq!(&rows[0][2], "https://www.123pan.com/ps/K1-x");
    assert_eq!(&rows[0][3], "'=share, \"1\"\n");
    assert_eq!((&rows[0][4], &rows[0][5]), ("11.1", "22.2"));
    assert_eq!((&rows[0][6], &rows[1][7]), ("2099-12-31T08:00:00+08:00", "1"));
    let lines = read(&mount, "shares/paid.jsonl");
    assert_eq!(lines.lines().count(), 230);
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["shareKey"], "K1-x");
    assert_eq!(first["auditStatus"], "0", "fields that no document names are kept");
    assert_eq!(mount.emulator.count("share/payment/list"), 3, "a minute serves one answer");
    let told = mount.bedfs("shares").arg("--json").output().expect("bedfs runs");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(230));
    let plain = mount.bedfs("shares").output().expect("bedfs runs");
    assert_eq!(text(&plain.stdout).lines().count(), 230, "{}", text(&plain.stdout));
    assert_eq!(mount.emulator.violations(), Vec::<String>::new());
}

#[test]
fn links_of_the_cloud_drive_come_in_order_and_a_failure_keeps_no_other_back() {
    let mount = unmounted();
    mount.emulator.add_drive_file(7, "https://vip.example/1/%E6%B5%8B.mp4");
    mount.emulator.add_drive_file(9, "https://vip.example/1/b.mp4");
    let told = mount.bedfs("direct-link").args(["9", "8", "7"]).output().expect("bedfs runs");
    let links = "https://vip.example/1/b.mp4\nhttps://vip.example/1/%E6%B5%8B.mp4\n";
    assert_eq!(text(&told.stdout), links);
    assert!(!told.status.success() && text(&told.stderr).contains("file 8"));
    let wrong = attempt(crate::harness::BEDFS, ["direct-link", "abc"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(mount.emulator.violations(), Vec::<String>::new());
}
