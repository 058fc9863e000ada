//! What the service does not give: room that is used up, traffic that is used up, pictures that
//! moderation rejected, or anything at all.

use std::fs;
use std::thread;
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind, Options};

use crate::harness::{Mount, attempt, fast, noise, run, text, wait_until, xattr};
use crate::journaled::{BACKGROUND, all_done, pending};
use crate::semantics::{bed_with, errno, names, no_violations};

/// Bytes that the account may hold, and of each of its two pictures.
const ROOM: u64 = 150_000;
const PICTURE: usize = 60_000;

fn nearly_full(args: &[&str]) -> Mount {
    bed_with(Options { space_total: ROOM, ..fast() }, args, |bed| {
        bed.put("a.jpg", &noise(1, PICTURE));
        bed.put("b.jpg", &noise(2, PICTURE));
    })
}

#[test]
fn an_account_without_room_keeps_what_it_has_and_the_new_bytes_stay_here() {
    let mount = nearly_full(&[]);
    let new = mount.local("new", &noise(3, PICTURE + 1));
    for name in ["new.jpg", "a.jpg"] {
        let copied = attempt("cp", [&new, &mount.at(name)]);
        assert!(text(&copied.stderr).contains("Disk quota exceeded"), "{}", text(&copied.stderr));
        assert_eq!(xattr(&mount.at(name), "state").as_deref(), Some("failed"), "{name}");
        assert!(fs::read(mount.at(name)).expect("read") == noise(3, PICTURE + 1), "{name}");
        let error = xattr(&mount.at(name), "error").expect("why");
        assert!(error.contains("空间不足"), "{error}");
    }
    assert_eq!(mount.emulator.read("a.jpg"), Some(noise(1, PICTURE)), "the old version");
    assert_eq!(mount.emulator.row("new.jpg"), None);
    // With room again both go, and nothing has to be copied again.
    run("rm", [mount.at("b.jpg")]);
    mount.emulator.change(|options| options.space_total = 10 * ROOM);
    let retried = pending(&mount, &["retry"]);
    assert!(retried.status.success(), "{}", text(&retried.stderr));
    all_done(&mount);
    for name in ["new.jpg", "a.jpg"] {
        assert_eq!(mount.emulator.read(name), Some(noise(3, PICTURE + 1)), "{name}");
    }
    no_violations(&mount);
}

#[test]
fn an_account_without_room_is_told_where_uploads_are_in_the_background() {
    let mount = nearly_full(BACKGROUND);
    let path = mount.at("new.jpg");
    fs::write(&path, noise(3, PICTURE)).expect("promised");
    wait_until("it is refused", || xattr(&path, "state").as_deref() == Some("failed"));
    let told = text(&pending(&mount, &[]).stdout);
    assert!(
        told.contains("failed") && told.contains("new.jpg") && told.contains("空间不足"),
        "{told}"
    );
    run("rm", [mount.at("a.jpg")]);
    wait_until("there is room", || mount.emulator.row("a.jpg").is_none());
    assert!(pending(&mount, &["retry"]).status.success());
    all_done(&mount);
    assert_eq!(mount.emulator.read("new.jpg"), Some(noise(3, PICTURE)));
    no_violations(&mount);
}

#[test]
fn an_account_without_traffic_shows_all_and_reads_what_is_kept_here() {
    let options = Options { traffic_left: PICTURE as u64, ..fast() };
    let mount = bed_with(options, &[], |bed| {
        bed.put("a.jpg", &noise(1, PICTURE));
        bed.put("b.jpg", &noise(2, PICTURE));
    });
    assert!(fs::read(mount.at("a.jpg")).expect("read") == noise(1, PICTURE));
    assert_eq!(errno(fs::read(mount.at("b.jpg"))), libc::EACCES);
    assert_eq!(names(&mount.path), ["a.jpg", "b.jpg"]);
    mount.remount(&[]);
    assert!(fs::read(mount.at("a.jpg")).expect("kept here") == noise(1, PICTURE));
    fs::write(mount.at("c.jpg"), b"c").expect("uploads cost none");
    fs::rename(mount.at("b.jpg"), mount.at("d.jpg")).expect("nor do renames");
    assert_eq!(mount.emulator.read("d.jpg"), Some(noise(2, PICTURE)));
    no_violations(&mount);
}

#[test]
fn what_moderation_rejected_is_shown_cannot_be_read_and_can_be_moved_and_removed() {
    let mount = bed_with(fast(), &[], |bed| {
        bed.put("a.jpg", &noise(1, PICTURE));
        bed.put("b.jpg", b"b");
        bed.mkdir("d");
        ["a.jpg", "b.jpg"].into_iter().for_each(|path| bed.set_status(path, 104));
    });
    let path = mount.at("a.jpg");
    assert_eq!(xattr(&path, "status").as_deref(), Some("104"));
    assert_eq!(fs::metadata(&path).expect("stat").len(), PICTURE as u64);
    assert_eq!(errno(fs::read(&path)), libc::EACCES);
    assert!(mount.log().contains("rejected by moderation (status 104)"), "{}", mount.log());
    run("mv", [&path, &mount.at("d")]);
    assert_eq!(mount.emulator.read("d/a.jpg"), Some(noise(1, PICTURE)));
    // A new version is a picture of its own, which passes or not.
    fs::write(mount.at("d/a.jpg"), b"another").expect("written");
    assert_eq!(fs::read(mount.at("d/a.jpg")).expect("read"), b"another");
    run("rm", [mount.at("b.jpg")]);
    mount.quiet();
    assert_eq!(mount.emulator.row("b.jpg"), None);
    no_violations(&mount);
}

#[test]
fn what_is_kept_here_serves_on_while_the_service_is_away_and_what_is_written_waits() {
    let args = ["--upload", "background", "--timeout", "2", "--dir-ttl", "1"];
    let mount = bed_with(fast(), &args, |bed| {
        bed.put("read.jpg", b"read");
        bed.put("other.jpg", b"other");
        bed.mkdir("d");
    });
    assert_eq!(fs::read(mount.at("read.jpg")).expect("read"), b"read");
    assert_eq!(names(&mount.at("d")), [""; 0]);
    mount.emulator.inject(Fault::new("*", FaultKind::Reset).always());
    // Older than a listing is believed, and nothing newer to be had.
    thread::sleep(Duration::from_secs(2));
    for _ in 0..2 {
        assert_eq!(names(&mount.path), ["d", "other.jpg", "read.jpg"]);
        assert_eq!(fs::read(mount.at("read.jpg")).expect("kept here"), b"read");
    }
    let error = errno(fs::read(mount.at("other.jpg")));
    assert!([libc::EIO, libc::ETIMEDOUT].contains(&error), "{error}");
    let new = fs::write(mount.at("read.jpg"), b"written while it was away");
    new.expect("promised");
    assert_eq!(fs::read(mount.at("read.jpg")).expect("read"), b"written while it was away");
    assert_ne!(xattr(&mount.at("read.jpg"), "state").as_deref(), Some("remote"));
    mount.emulator.clear_faults();
    mount.quiet();
    assert_eq!(mount.emulator.read("read.jpg").as_deref(), Some(&b"written while it was away"[..]));
    assert_eq!(fs::read(mount.at("other.jpg")).expect("read"), b"other");
    no_violations(&mount);
}
