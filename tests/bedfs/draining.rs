//! The end of a mount that uploads in the background: it waits, shows for what, and what is left
//! stays in the journal.

use std::fs;
use std::time::{Duration, Instant};

use bedfs_emulator::{FaultKind, Options};

use crate::bench::refusal;
use crate::command::{kill, pid};
use crate::harness::{Mount, attempt, fast, in_place_of, noise, run, text};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, crash_process, eventually, in_background, is_alive, listed,
    mount_again, pending, stays,
};

/// A mount with a dozen pictures on their way, at about a second each.
fn loaded() -> (Mount, Vec<(String, Vec<u8>)>) {
    let options = Options { latency: Duration::from_millis(300), ..fast() };
    let mount = Mount::with(options, BACKGROUND);
    let files: Vec<_> =
        (0..12).map(|number| (format!("{number}.jpg"), noise(number + 1, 50_000))).collect();
    for (name, bytes) in &files {
        fs::write(mount.at(name), bytes).expect("written");
    }
    (mount, files)
}

fn all_arrived(mount: &Mount, files: &[(String, Vec<u8>)]) {
    bed_is(mount, &files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect::<Vec<_>>());
}

#[test]
fn umount_waits_for_what_is_pending_and_shows_it() {
    let (mount, files) = loaded();
    // `script` gives it a terminal.
    let umount = format!("{} umount {}", crate::harness::BEDFS, mount.path.display());
    let mut command = std::process::Command::new("script");
    in_place_of(&mount.bedfs("umount"), &mut command);
    command.args(["-qec", &umount, "/dev/null"]).stdin(std::process::Stdio::null());
    let output = command.output().expect("script runs");
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("waiting for") && shown.contains(".jpg"), "{shown:?}");
    assert!(!mount.is_mounted());
    all_arrived(&mount, &files);
    assert!(listed(&mount).is_empty());
}

#[test]
fn a_signal_drains_what_is_pending() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (mount, files) = loaded();
        let process = pid(&mount);
        kill(process, signal);
        eventually("it ended", || !is_alive(process));
        assert!(!mount.is_mounted());
        all_arrived(&mount, &files);
        assert!(listed(&mount).is_empty());
    }
}

#[test]
fn a_deadline_ends_the_drain_and_the_next_mount_finishes_it() {
    let mount = in_background();
    let bytes = noise(1, 70_000);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    fs::write(mount.at("a.jpg"), &bytes).expect("written");
    let process = pid(&mount);
    let began = Instant::now();
    let output = mount.bedfs("umount").args(["--timeout", "1"]).arg(&mount.path).output();
    let output = output.expect("bedfs runs");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a.jpg") && said.contains("journal"), "{said}");
    assert!(!mount.is_mounted());
    assert!(listed(&mount).contains("a.jpg"), "{}", listed(&mount));
    if is_alive(process) {
        crash_process(&mount, process);
    }
    mount.emulator.clear_faults();
    mount_again(&mount, &[]);
    assert!(fs::read(mount.at("a.jpg")).is_ok_and(|found| found == bytes));
    all_done(&mount);
    bed_is(&mount, &[("a.jpg", &bytes)]);
}

/// Asks for the end of a mount, and waits no longer than so.
fn umount(mount: &Mount, timeout: &str) -> (bool, String) {
    let mut command = mount.bedfs("umount");
    let output = command.args(["--timeout", timeout]).arg(&mount.path).output();
    let output = output.expect("bedfs runs");
    (output.status.success(), text(&output.stderr))
}

#[test]
fn a_mount_that_goes_on_uploading_gives_way_to_the_next_and_says_what_is_left_in_few_lines() {
    let mount = in_background();
    fs::create_dir(mount.at("album")).expect("made");
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let names: Vec<_> = (0..30).map(|number| format!("album/{number}.jpg")).collect();
    for name in names.iter().map(String::as_str).chain(["top.jpg"]) {
        fs::write(mount.at(name), name).expect("written");
    }
    let process = pid(&mount);
    for times in ["once", "again, of what is unmounted"] {
        let (is_done, said) = umount(&mount, "1");
        assert!(!is_done && !mount.is_mounted(), "{times}: {said}");
        let lines: Vec<_> = said.lines().collect();
        assert!(lines.len() < 20, "{times}: {said}");
        assert!(said.contains("31 (") && said.contains("30 in album"), "{times}: {said}");
        assert!(said.contains("album/0.jpg") && said.contains("21 more"), "{times}: {said}");
        let last = lines.last().expect("a line");
        assert!(
            last.contains("Nothing is lost") && last.contains("bedfs mount"),
            "{times}: {said}"
        );
        assert!(is_alive(process), "{times}: {said}");
    }
    let list = text(&pending(&mount, &[]).stdout);
    assert!(list.lines().count() < 20 && list.contains("30 in album"), "{list}");
    let all = listed(&mount);
    assert_eq!(all.lines().filter(|line| line.contains(".jpg")).count(), 31, "{all}");
    // It waits half a minute at most, and the other would try for a whole one.
    mount_again(&mount, BACKGROUND);
    assert!(!is_alive(process));
    mount.emulator.clear_faults();
    all_done(&mount);
    let mut wanted: Vec<(&str, &[u8])> = vec![("album", b""), ("top.jpg", b"top.jpg")];
    wanted.extend(names.iter().map(|name| (&**name, name.as_bytes())));
    bed_is(&mount, &wanted);
}

#[test]
fn umount_waits_for_a_mount_that_is_unmounted_and_uploads_what_is_left() {
    let (mount, files) = loaded();
    let process = pid(&mount);
    let (is_done, said) = umount(&mount, "0");
    assert!(!is_done && is_alive(process), "{said}");
    let (is_done, said) = umount(&mount, "60");
    assert!(is_done && !is_alive(process), "{said}");
    all_arrived(&mount, &files);
    let (is_done, said) = umount(&mount, "60");
    assert!(!is_done && said.contains("not mounted"), "{said}");
}

#[test]
fn a_mount_that_waits_for_a_caller_gives_way_to_the_next() {
    let mount = Mount::new();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let (process, path) = (pid(&mount), mount.at("a.jpg"));
    let copy = std::thread::spawn(move || fs::write(path, b"bytes"));
    eventually("it is being uploaded", || mount.emulator.hanging() > 0);
    let refused = mount.mount(&[]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("bedfs umount"));
    kill(process, libc::SIGTERM);
    eventually("it is ending", || {
        let mut accounts = fs::read_dir(mount.dir.path().join("state/bedfs")).expect("the state");
        let account = accounts.next().expect("an account").expect("readable");
        fs::read_to_string(account.path().join("state.lock")).is_ok_and(|it| it.contains("true"))
    });
    mount_again(&mount, &[]);
    assert!(!is_alive(process) && mount.is_mounted());
    // What it may have written down of the copy it never acknowledged is its own.
    drop(copy.join().expect("no panic"));
    mount.emulator.clear_faults();
    eventually("it is uploaded", || mount.emulator.read("a.jpg").as_deref() == Some(b"bytes"));
}

#[test]
fn what_the_service_refuses_does_not_hold_up_the_end_and_is_told() {
    let mount = in_background();
    mount.emulator.inject(stays("create", refusal(1, "not today")));
    fs::write(mount.at("a.jpg"), b"bytes").expect("written");
    let began = Instant::now();
    let output = mount.bedfs("umount").arg(&mount.path).output().expect("bedfs runs");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a.jpg") && said.contains("not today"), "{said}");
    let list = listed(&mount);
    assert!(list.contains("failed") && list.contains("not today"), "{list}");
}

#[test]
fn an_open_file_keeps_its_closed_version_in_the_journal_when_the_mount_is_told_to_end() {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Status(503)));
    fs::write(mount.at("a.jpg"), b"first").expect("written");
    let mut open = fs::File::create(mount.at("a.jpg")).expect("cut to nothing");
    std::io::Write::write_all(&mut open, b"never closed").expect("written");
    let process = pid(&mount);
    kill(process, libc::SIGTERM);
    eventually("out of sight", || !mount.is_mounted());
    mount.emulator.clear_faults();
    crash_process(&mount, process);
    drop(open);
    mount_again(&mount, BACKGROUND);
    assert_eq!(run("cat", [mount.at("a.jpg")]), "first");
    eventually("uploaded", || mount.emulator.read("a.jpg").as_deref() == Some(b"first"));
    assert_eq!(attempt("ls", [&mount.path]).status.code(), Some(0));
}
