//! What is told of files and folders beside their bytes: extended attributes, modes, owners and
//! times, the space of the account, the control folder; and what an image bed has not got.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use bedfs_emulator::{Answers, Options, SelfUrl};

use crate::harness::{Mount, attempt, fast, run, text, wait_until, xattr};
use crate::local_names::sh;
use crate::semantics::{bed, bed_with, errno, names, no_violations, python, refresh};

const OF_FILES: [&str; 13] = [
    "cached",
    "created",
    "download_url",
    "html",
    "id",
    "markdown",
    "md5",
    "self_url",
    "state",
    "status",
    "traffic",
    "traffic_3d",
    "url",
];

const CONTROL: [&str; 9] = [
    "account.json",
    "links.csv",
    "metrics",
    "moved.csv",
    "offline-logs",
    "pending.json",
    "shares",
    "status.json",
    "traffic",
];

/// The attributes that `getfattr -d` finds.
pub(crate) fn listed(path: &Path) -> Vec<String> {
    let args = ["-d", "-m", "-", "--absolute-names"].map(OsStr::new);
    let said = run("getfattr", args.into_iter().chain([path.as_os_str()]));
    let lines = said.lines().filter_map(|line| line.split_once('='));
    let names = lines.map(|(name, _)| name.strip_prefix("user.bedfs.").expect("ours"));
    names.map(str::to_owned).collect()
}

/// The errno with which a call of Python's `os` fails.
pub(crate) fn fails(call: &str, path: &Path) -> i32 {
    let script = format!(
        "
import os, socket, sys
path = sys.argv[1]
try:
    {call}
    print(0)
except OSError as error:
    print(error.errno)
"
    );
    python(&script, &[path]).trim().parse().expect("an errno")
}

#[test]
fn a_file_tells_its_link_in_every_form_and_all_that_its_row_holds() {
    let answers = Answers { self_url: SelfUrl::OwnDomain, ..Answers::default() };
    let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
        bed.put("d/a b [1].png", b"picture");
        bed.set_status("d/a b [1].png", 1);
        bed.set_times("d/a b [1].png", "2024-05-06 07:08:09", "2024-05-06 07:08:10");
    });
    let path = mount.at("d/a b [1].png");
    let row = mount.emulator.row("d/a b [1].png").expect("the file");
    let of = |name| xattr(&path, name);
    assert_eq!(of("download_url"), Some(row.url.clone()));
    let own = of("self_url").expect("a link of the own domain");
    assert!(own != row.url && own.contains("localhost"), "{own}");
    assert_eq!(of("url"), Some(own.clone()));
    let markdown = of("markdown").expect("Markdown");
    assert!(markdown.starts_with("![") && markdown.contains(&own), "{markdown}");
    let html = of("html").expect("HTML");
    assert!(html.starts_with("<img ") && html.contains(&own), "{html}");
    assert_eq!(of("id"), Some(row.id));
    assert_eq!(of("md5"), Some(row.md5));
    assert_eq!(of("status").as_deref(), Some("1"));
    assert_eq!(of("traffic").as_deref(), Some("0"));
    assert_eq!(of("created").as_deref(), Some("2024-05-06T07:08:09+08:00"));
    assert_eq!(of("state").as_deref(), Some("remote"));
    assert_eq!(of("error"), None);
    assert_eq!(listed(&path), OF_FILES);
    assert_eq!(fs::metadata(&path).expect("stat").mtime(), 1_714_950_490);
    no_violations(&mount);
}

#[test]
fn the_link_is_the_services_where_there_is_no_domain_of_ones_own() {
    for (self_url, has_own) in [(SelfUrl::Same, true), (SelfUrl::Empty, false)] {
        let answers = Answers { self_url, ..Answers::default() };
        let mount = Mount::with(Options { answers, ..fast() }, &[]);
        fs::write(mount.at("a.png"), b"picture").expect("written");
        let url = mount.emulator.row("a.png").expect("the file").url;
        assert_eq!(xattr(&mount.at("a.png"), "url"), Some(url.clone()));
        assert_eq!(xattr(&mount.at("a.png"), "self_url"), has_own.then_some(url));
        assert_eq!(listed(&mount.at("a.png")).contains(&"self_url".to_owned()), has_own);
        no_violations(&mount);
    }
}

#[test]
fn a_file_just_written_tells_everything_and_one_not_yet_written_only_its_state() {
    let mount = Mount::new();
    let path = mount.at("a.png");
    fs::write(&path, b"").expect("an empty file");
    assert_eq!(xattr(&path, "state").as_deref(), Some("local"));
    assert_eq!((xattr(&path, "url"), xattr(&path, "id")), (None, None));
    fs::write(&path, b"picture").expect("written");
    let row = mount.emulator.row("a.png").expect("the file");
    assert_eq!(xattr(&path, "state").as_deref(), Some("remote"));
    assert_eq!(xattr(&path, "url"), Some(row.url));
    assert_eq!(xattr(&path, "id"), Some(row.id));
    assert_eq!(listed(&path), OF_FILES);
    assert!(xattr(&path, "created").expect("a time").ends_with("+08:00"));
    no_violations(&mount);
}

#[test]
fn traffic_rises_with_what_the_link_serves() {
    let mount = bed(|bed| {
        bed.put("d/a.png", &[1; 1000]);
        bed.put("d/b.png", &[2; 500]);
        bed.put("d/sub/c.png", &[3; 100]);
    });
    for name in ["a.png", "b.png", "sub/c.png"] {
        assert!(!fs::read(mount.at("d").join(name)).expect("read").is_empty());
    }
    assert_eq!(xattr(&mount.at("d/a.png"), "traffic").as_deref(), Some("0"), "as it was listed");
    refresh(&mount.at("d"));
    assert_eq!(xattr(&mount.at("d/a.png"), "traffic").as_deref(), Some("1000"));
    assert_eq!(xattr(&mount.at("d"), "traffic").as_deref(), Some("1500"));
    assert_eq!(xattr(&mount.at("d"), "files").as_deref(), Some("2"));
    let id = mount.emulator.row("d").expect("the folder").id;
    assert_eq!(xattr(&mount.at("d"), "id"), Some(id));
    assert_eq!(listed(&mount.at("d")), ["files", "id", "traffic"]);
    no_violations(&mount);
}

#[test]
fn the_root_tells_of_the_account_and_statfs_of_its_space() {
    let options = Options { space_total: 1 << 30, traffic_left: 12_345_678, ..fast() };
    let mount = bed_with(options, &[], |bed| bed.fill("d", 10, 1 << 20));
    let of = |name| xattr(&mount.path, name);
    assert_eq!(of("account.space_total"), Some((1u64 << 30).to_string()));
    assert_eq!(of("account.space_used"), Some((10u64 << 20).to_string()));
    assert_eq!(of("account.traffic_left").as_deref(), Some("12345678"));
    assert_eq!(xattr(&mount.at("d"), "account.space_total"), None);
    wait_until("statfs knows the account", || {
        let said = run(
            "stat",
            ["-f".as_ref(), "-c".as_ref(), "%S %b %f".as_ref(), mount.path.as_os_str()],
        );
        let figures: Vec<u64> =
            said.split_whitespace().map(|figure| figure.parse().expect("a number")).collect();
        figures[0] * figures[1] == 1 << 30 && figures[0] * figures[2] == (1 << 30) - (10 << 20)
    });
    run("df", [&mount.path]);
    no_violations(&mount);
}

#[test]
fn modes_owners_and_times_outlive_changes_and_the_mount() {
    let mount = bed_with(fast(), &["--dir-ttl", "0"], |bed| drop(bed.put("d/a.png", b"a")));
    for path in [mount.at("d/a.png"), mount.at("d")] {
        let before = fs::metadata(&path).expect("stat").permissions().mode() & 0o777;
        assert_eq!(before, if path.is_dir() { 0o755 } else { 0o644 });
        run("chmod", ["700".as_ref(), path.as_os_str()]);
        run("chown", ["1234:4321".as_ref(), path.as_os_str()]);
        run("touch", ["-d".as_ref(), "2001-02-03 04:05:06.789 UTC".as_ref(), path.as_os_str()]);
    }
    let kept = |file: &str| {
        for path in [mount.at(file), mount.at("d")] {
            let stat = fs::metadata(&path).expect("stat");
            let set = (stat.mode() & 0o777, stat.uid(), stat.gid());
            assert_eq!(set, (0o700, 1234, 4321), "{path:?}");
        }
    };
    let time = || {
        let stat = fs::metadata(mount.at("d")).expect("stat");
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (981_173_106, 789_000_000));
    };
    // Listed anew, written to, moved, mounted again: they stay.
    refresh(&mount.path);
    fs::write(mount.at("d/a.png"), b"changed").expect("written");
    kept("d/a.png");
    time();
    fs::rename(mount.at("d/a.png"), mount.at("b.png")).expect("moved");
    kept("b.png");
    mount.remount(&[]);
    kept("b.png");
    no_violations(&mount);
}

#[test]
fn folders_and_names_tell_when_they_changed() {
    let mount = bed(|bed| {
        bed.put("d/a.png", b"a");
        bed.mkdir("e");
    });
    let changed = |path: &str| {
        let stat = fs::symlink_metadata(mount.at(path)).expect("stat");
        ((stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec()))
    };
    for line in
        ["touch d/new", "mkdir d/f", "rm d/new", "rmdir d/f", "mv d/a.png e/", "mv e/a.png d/b.png"]
    {
        let before = changed("d");
        sh(&mount, line);
        let after = changed("d");
        assert!(after.0 > before.0 && after.1 > before.1, "{line}: {before:?} {after:?}");
    }
    let file = File::open(mount.at("d/b.png")).expect("open");
    let before = file.metadata().expect("stat");
    fs::remove_file(mount.at("d/b.png")).expect("removed");
    let after = file.metadata().expect("stat");
    assert_eq!((before.nlink(), after.nlink()), (1, 0));
    no_violations(&mount);
}

#[test]
fn no_file_has_a_set_id_bit() {
    let mount = bed(|bed| drop(bed.put("d/a.png", b"a")));
    for (mode, path) in [("0o4755", mount.at("d/a.png")), ("0o2755", mount.at("d/a.png"))] {
        assert_eq!(fails(&format!("os.chmod(path, {mode})"), &path), libc::EPERM, "{mode}");
    }
    let new = mount.at("d/new.png");
    assert_eq!(fails("os.write(os.open(path, os.O_CREAT | os.O_WRONLY, 0o6755), b'x')", &new), 0);
    for path in [mount.at("d/a.png"), new] {
        let mode = fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o7000, 0, "{path:?}");
    }
    // A folder's bits run nothing.
    assert_eq!(fails("os.chmod(path, 0o2755)", &mount.at("d")), 0);
    no_violations(&mount);
}

#[test]
fn what_an_image_bed_has_not_got_is_refused_at_once() {
    let mount = bed(|bed| {
        bed.put("a.png", b"a");
        bed.mkdir("d");
    });
    assert_eq!(names(&mount.path), ["a.png", "d"]);
    wait_until("the account is asked for", || mount.emulator.count("user/info") > 0);
    mount.emulator.forget_requests();
    let new = mount.at("new");
    assert_eq!(errno(fs::hard_link(mount.at("a.png"), &new)), libc::EPERM);
    assert_eq!(errno(std::os::unix::fs::symlink("a.png", &new)), libc::EPERM);
    assert_eq!(fails("os.mkfifo(path)", &new), libc::EPERM);
    assert_eq!(fails("os.mknod(path, 0o020666, os.makedev(1, 3))", &new), libc::EPERM);
    assert_eq!(fails("os.mknod(path, 0o060666, os.makedev(7, 0))", &new), libc::EPERM);
    assert_eq!(fails("socket.socket(socket.AF_UNIX).bind(path)", &new), libc::EPERM);
    assert_eq!(mount.emulator.requests().len(), 0);
    assert_eq!(names(&mount.path), ["a.png", "d"]);
    no_violations(&mount);
}

#[test]
fn the_control_folder_is_reachable_but_in_no_listing() {
    let mount = Mount::new();
    fs::write(mount.at("a.png"), b"a").expect("written");
    assert_eq!(names(&mount.path), ["a.png"]);
    let control = mount.at(".bedfs");
    assert_eq!(names(&control), CONTROL);
    let status = fs::read_to_string(control.join("status.json")).expect("read");
    let pid = python(
        "import json,sys; print(json.load(open(sys.argv[1]))['pid'])",
        &[&control.join("status.json")],
    );
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.trim())).expect("a process");
    assert_eq!(name, "bedfs\n", "{status}");
    assert_eq!(
        python(
            "import json,sys; print(json.load(open(sys.argv[1])))",
            &[&control.join("pending.json")]
        ),
        "[]\n"
    );
    // What goes over the whole mount leaves it alone.
    let to = mount.dir.path().join("to");
    run("rsync", ["-a".into(), mount.at(""), to.clone()]);
    assert_eq!(names(&to), ["a.png"]);
    run(
        "sh",
        ["-c".as_ref(), "cd \"$0\" && find . -mindepth 1 -delete".as_ref(), mount.path.as_os_str()],
    );
    assert_eq!(names(&control), CONTROL);
    mount.quiet();
    assert_eq!(mount.emulator.tree().len(), 0);
    no_violations(&mount);
}

#[test]
fn the_control_folder_shows_or_is_away_as_asked_for() {
    let visible = Mount::with(fast(), &["--control", "visible"]);
    assert_eq!(names(&visible.path), [".bedfs"]);
    assert_eq!(names(&visible.at(".bedfs")), CONTROL);
    let off = Mount::with(fast(), &["--control", "off"]);
    assert_eq!(names(&off.path), [""; 0]);
    assert_eq!(errno(fs::metadata(off.at(".bedfs"))), libc::ENOENT);
    assert_eq!(errno(fs::metadata(off.at(".bedfs/status.json"))), libc::ENOENT);
    for mount in [visible, off] {
        no_violations(&mount);
    }
}

#[test]
fn nothing_in_the_control_folder_can_be_changed() {
    let mount = bed(|bed| drop(bed.put("a.png", b"a")));
    let control = mount.at(".bedfs");
    let before = mount.emulator.tree();
    let file = control.join("status.json");
    for script in [
        "echo x > \"$1/status.json\"",
        "echo x >> \"$1/status.json\"",
        "echo x > \"$1/new\"",
        "mkdir \"$1/new\"",
        "rm -f \"$1/status.json\"",
        "rmdir \"$1\"",
        "rm -rf \"$1\"",
        "mv \"$1/status.json\" \"$0/out.json\"",
        "mv \"$0/a.png\" \"$1/\"",
        "mv \"$1\" \"$0/moved\"",
        "chmod 777 \"$1/status.json\"",
        "truncate -s 0 \"$1/status.json\"",
        "ln \"$1/status.json\" \"$0/link\"",
        "setfattr -n user.bedfs.refresh -v 1 \"$1/status.json\"",
    ] {
        let output = attempt(
            "sh",
            ["-c".as_ref(), script.as_ref(), mount.path.as_os_str(), control.as_os_str()],
        );
        assert!(!output.status.success(), "{script}: {}", text(&output.stdout));
        assert_eq!(names(&control), CONTROL, "{script}");
    }
    assert!(fs::read_to_string(&file).expect("read").starts_with('{'));
    assert_eq!(mount.emulator.tree(), before);
    assert_eq!(names(&mount.path), ["a.png"]);
    no_violations(&mount);
}
