//! What is known of folders: over remounts and kills, in large folders, as others change them, and who
//! goes first at the limit.

use std::fs;
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind};

use crate::calls::resident;
use crate::harness::{Mount, fast, noise, run, wait_until, xattr};
use crate::semantics::{bed, bed_with, names, no_violations};

#[test]
fn who_waits_goes_before_what_is_uploaded_in_the_background() {
    let known = noise(1, 3000);
    let mount = bed(|bed| drop(bed.put("known.jpg", &known)));
    mount.unmount();
    let mut slow = mount.bedfs("mount");
    slow.args(["--upload", "background", "--qps", "create=1"]).arg(&mount.path);
    assert!(slow.output().expect("bedfs runs").status.success());
    for number in 0..6 {
        fs::write(mount.at(format!("{number}.jpg")), noise(10 + number, 100)).expect("written");
    }
    wait_until("uploads are under way", || mount.emulator.count("create") > 0);
    // A new name is an instant upload: a create that somebody waits for.
    run("mv", [mount.at("known.jpg"), mount.at("renamed.jpg")]);
    assert_eq!(mount.emulator.read("renamed.jpg"), Some(known));
    let there = (0..6).filter(|n| mount.emulator.row(&format!("{n}.jpg")).is_some()).count();
    assert!(there <= 3, "{there} of six were uploaded before");
    mount.quiet();
    no_violations(&mount);
}

#[test]
fn twenty_thousand_entries_cost_200_calls_once() {
    const COUNT: usize = 20_000;
    // However slow the machine is, nothing is listed again.
    let mount = bed_with(fast(), &["--dir-ttl", "3600"], |bed| bed.fill("large", COUNT, 100));
    names(&mount.path);
    mount.emulator.forget_requests();
    assert_eq!(names(&mount.at("large")).len(), COUNT);
    run("ls", ["-lR".as_ref(), mount.path.as_os_str()]);
    assert_eq!(mount.emulator.count("list"), COUNT / 100);
    no_violations(&mount);
}

#[test]
fn a_hundred_thousand_entries_stay_within_64_mib() {
    const COUNT: usize = 100_000;
    let mount = bed_with(fast(), &["--dir-ttl", "3600"], |bed| bed.fill("large", COUNT, 100));
    run("ls", ["-lR".as_ref(), mount.path.as_os_str()]);
    let held = || resident(&mount, "VmRSS:") >> 10;
    wait_until("what the listing took is given back", || held() <= 64);
    assert_eq!(mount.emulator.count("list"), 1 + COUNT / 100);
    no_violations(&mount);
}

#[test]
fn the_first_names_come_before_the_last_page_is_asked_for() {
    let mount = bed(|bed| bed.fill("d", 1000, 100));
    mount.emulator.forget_requests();
    mount.emulator.change(|options| options.latency = Duration::from_millis(100));
    let mut listing = fs::read_dir(mount.at("d")).expect("it opens");
    let first = listing.next().expect("a name").expect("read").file_name();
    assert!(fs::metadata(mount.at("d").join(&first)).expect("stat").is_file());
    let pages = mount.emulator.count("list");
    assert!(pages < 10, "all {pages} pages were asked for before the first name was given");
    let rest = listing.map(|entry| entry.expect("read").file_name());
    let mut all: Vec<_> = rest.chain([first]).collect();
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!((all.len(), count), (1000, 1000), "each name once");
    assert_eq!(mount.emulator.count("list"), 10);
    no_violations(&mount);
}

#[test]
fn a_listing_that_fails_half_way_ends_in_an_error_and_is_begun_anew() {
    let mount = bed(|bed| bed.fill("d", 1000, 100));
    let refusal = FaultKind::Refuse { code: 1, message: "not now".to_owned() };
    mount.emulator.inject(Fault::new("list", refusal).skip(4));
    let listed: Vec<_> = fs::read_dir(mount.at("d")).expect("it opens").collect();
    let (names, errors): (Vec<_>, Vec<_>) = listed.into_iter().partition(Result::is_ok);
    assert_eq!((names.len(), errors.len()), (400, 1), "what came is given, and then the error");
    assert_eq!(fs::read_dir(mount.at("d")).expect("it opens").count(), 1000);
    no_violations(&mount);
}

/// All that a mount shows, as `ls` tells it.
fn shown(mount: &Mount) -> String {
    run("ls", ["-lRA".as_ref(), mount.path.as_os_str()])
}

#[test]
fn a_remount_shows_all_that_was_known_without_a_call() {
    let mount = bed(|bed| {
        bed.fill("a/b", 250, 100);
        bed.fill("a/c", 3, 100);
        bed.put("top.jpg", b"top");
        bed.put_raw("a", "twin.jpg", b"one");
        bed.put_raw("a", "twin.jpg", b"other");
        bed.mkdir("empty");
    });
    // Of two objects of one name it is settled at the end of the listing which has it.
    shown(&mount);
    let before = shown(&mount);
    let link = xattr(&mount.at("a/b/pic-000007.jpg"), "url");
    mount.unmount();
    mount.emulator.forget_requests();
    assert!(mount.mount(&[]).status.success());
    assert_eq!(shown(&mount), before);
    assert_eq!(xattr(&mount.at("a/b/pic-000007.jpg"), "url"), link);
    assert_eq!(mount.emulator.count("list"), 0);
    assert_eq!(mount.emulator.count("detail"), 0);
    // So does a mount of one of its folders.
    mount.unmount();
    assert!(mount.mount(&["--root", "a/b"]).status.success());
    assert_eq!(names(&mount.path).len(), 250);
    assert_eq!(mount.emulator.count("list"), 0);
    no_violations(&mount);
}

#[test]
fn what_this_mount_changed_is_known_to_the_next_without_a_call() {
    let mount = bed(|bed| {
        bed.fill("d", 5, 100);
        bed.mkdir("e");
        bed.mkdir("gone");
    });
    shown(&mount);
    change(&mount, "");
    mount.unmount();
    mount.emulator.forget_requests();
    assert!(mount.mount(&[]).status.success());
    assert_true(&mount, "");
    assert_eq!(mount.emulator.count("list"), 0);
    no_violations(&mount);
}

/// Each kind of change that a mount makes of folders.
fn change(mount: &Mount, name: &str) {
    let at = |path: &str| mount.at(path);
    fs::write(at("d").join(format!("{name}new.jpg")), noise(name.len() as u64 + 90, 50))
        .expect("written");
    fs::remove_file(at("d/pic-000000.jpg")).expect("removed");
    fs::rename(at("d/pic-000001.jpg"), at("d/renamed.jpg")).expect("renamed");
    fs::rename(at("d/pic-000002.jpg"), at("e/pic-000002.jpg")).expect("moved");
    fs::write(at("d/pic-000003.jpg"), b"another").expect("overwritten");
    fs::create_dir(at("made")).expect("made");
    fs::remove_dir(at("gone")).expect("removed");
    fs::rename(at("e"), at("made/e")).expect("moved");
}

/// Whether the mount shows what the bed holds.
fn assert_true(mount: &Mount, case: &str) {
    let mut there: Vec<String> = mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
    there.retain(|path| !path.starts_with(".bedfs-scratch-"));
    there.sort();
    let found = run(
        "find",
        [
            mount.path.as_os_str(),
            "-mindepth".as_ref(),
            "1".as_ref(),
            "-printf".as_ref(),
            "%P\n".as_ref(),
        ],
    );
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, there, "{case}");
    let changed = mount.at("d/pic-000003.jpg");
    if changed.exists() {
        assert_eq!(fs::read(changed).ok(), mount.emulator.read("d/pic-000003.jpg"), "{case}");
    }
}

#[test]
fn after_a_kill_no_name_is_stale_and_none_is_missing() {
    let mount = bed(|bed| {
        bed.fill("d", 5, 100);
        bed.mkdir("e");
        bed.mkdir("gone");
    });
    shown(&mount);
    // Everything is known to the mount that changes it.
    mount.remount(&[]);
    shown(&mount);
    change(&mount, "");
    mount.quiet();
    mount.crash(&[]);
    assert_true(&mount, "killed at once");
    fs::write(mount.at("d/more.jpg"), b"more").expect("written");
    fs::create_dir(mount.at("d/sub")).expect("made");
    mount.crash(&[]);
    assert_true(&mount, "killed again");
    fs::remove_file(mount.at("d/more.jpg")).expect("removed");
    fs::remove_dir(mount.at("d/sub")).expect("removed");
    mount.crash(&[]);
    mount.quiet();
    assert_true(&mount, "killed before the delete was sent");
    mount.remount(&[]);
    assert_true(&mount, "unmounted");
    no_violations(&mount);
}

#[test]
fn what_was_known_is_checked_behind_the_readers_back() {
    let mount = bed(|bed| bed.fill("d", 5, 100));
    let before = names(&mount.at("d"));
    mount.unmount();
    mount.emulator.put("d/new.jpg", b"new");
    mount.emulator.remove("d/pic-000000.jpg");
    // By then it is old: the mount asks, and nobody waits for the answer.
    std::thread::sleep(Duration::from_millis(1100));
    mount.emulator.forget_requests();
    mount.emulator.inject(Fault::new("list", FaultKind::HangAfter).always());
    assert!(mount.mount(&["--dir-ttl", "1"]).status.success());
    assert_eq!(names(&mount.at("d")), before);
    wait_until("the folder is asked for", || mount.emulator.count("list") > 0);
    mount.emulator.clear_faults();
    wait_until("the view is true", || {
        let now = names(&mount.at("d"));
        now.len() == 5 && now.contains(&"new.jpg".to_owned()) && now != before
    });
    assert_eq!(fs::read(mount.at("d/new.jpg")).expect("read"), b"new");
    no_violations(&mount);
}

#[test]
fn what_cannot_be_checked_is_shown_as_it_was_known() {
    let mount = bed(|bed| bed.fill("d", 5, 100));
    let before = shown(&mount);
    mount.unmount();
    let refusal = FaultKind::Refuse { code: 1, message: "not now".to_owned() };
    mount.emulator.inject(Fault::new("list", refusal).always());
    mount.emulator.forget_requests();
    assert!(mount.mount(&["--dir-ttl", "1"]).status.success());
    wait_until("it is asked for and refused", || {
        assert_eq!(shown(&mount), before);
        mount.emulator.count("list") >= 2
    });
    assert_eq!(shown(&mount), before);
    no_violations(&mount);
}

#[test]
fn a_folder_in_use_shows_what_others_did_without_a_second_look() {
    let mount = bed_with(fast(), &["--dir-ttl", "1"], |bed| bed.fill("d", 5, 100));
    assert_eq!(names(&mount.at("d")).len(), 5);
    mount.emulator.forget_requests();
    mount.emulator.put("d/new.jpg", b"new");
    wait_until("it is listed by itself", || mount.emulator.count("list") >= 3);
    assert_eq!(names(&mount.at("d")).len(), 6, "at the first look");
    no_violations(&mount);
}

#[test]
fn a_root_that_was_made_anew_elsewhere_is_found() {
    let mount = bed(|bed| drop(bed.put("a/b/old.jpg", b"old")));
    mount.unmount();
    assert!(mount.mount(&["--root", "a/b"]).status.success());
    assert_eq!(names(&mount.path), ["old.jpg"]);
    mount.unmount();
    mount.emulator.remove("a");
    mount.emulator.put("a/b/new.jpg", b"new");
    assert!(mount.mount(&["--root", "a/b", "--dir-ttl", "0"]).status.success());
    assert_eq!(names(&mount.path), ["new.jpg"]);
    no_violations(&mount);
}
