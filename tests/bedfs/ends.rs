//! The end of a mount: by `bedfs umount`, by a signal, with uploads under way and with bytes that
//! could not be uploaded.

use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bedfs_emulator::{Emulator, Fault, FaultKind, Options};

use crate::command::{Ended, kill, pid, unmounted};
use crate::crash::wait;
use crate::harness::{Mount, attempt, fast, in_place_of, noise, run, text, wait_until, xattr};
use crate::journaled::{BACKGROUND, in_background, listed, mount_again};

fn refuse(endpoint: &str) -> Fault {
    let refusal = FaultKind::Refuse { code: 1, message: "not today".to_owned() };
    Fault::new(endpoint, refusal).always()
}

fn umount(mount: &Mount, args: &[&str]) -> Output {
    let mut command = mount.bedfs("umount");
    command.args(args).arg(&mount.path).output().expect("bedfs runs")
}

/// A mount in the foreground, once it answers.
fn in_foreground(mount: &Mount) -> Ended {
    let mut command = mount.bedfs("mount");
    command.args(["--foreground", "--qps", "unlimited"]).arg(&mount.path);
    let child = command.stderr(Stdio::piped()).spawn().expect("bedfs runs");
    wait_until("mounted", || mount.at(".bedfs").exists());
    Ended(child)
}

/// Waits for the end and gives the exit's success and what was said on stderr.
fn end_of(child: &mut Child) -> (bool, String) {
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut said).expect("UTF-8");
    let of_its_begin = |line: &str| line.contains("mounting …") || line.contains("mounted on");
    let said: Vec<_> = said.lines().filter(|line| !of_its_begin(line)).collect();
    (child.wait().expect("an end").success(), said.join("\n"))
}

fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Stops a process, and waits until none of its threads takes a request any more.
fn stop(process: u32) {
    kill(process, libc::SIGSTOP);
    let is_stopped = |thread: std::io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(thread.expect("a thread").path().join("stat"));
        stat.is_ok_and(|stat| stat.contains(") T "))
    };
    let threads = format!("/proc/{process}/task");
    wait_until("stopped", || fs::read_dir(&threads).expect("its threads").all(is_stopped));
}

/// Ends the session at once, with what is under way, though files are open.
fn cut_off(mount: &Mount) {
    let path = CString::new(mount.path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the path is a C string, which the call only reads.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_FORCE) };
}

/// The staged file that a text names.
fn told_place(said: &str) -> PathBuf {
    let line = said.lines().find(|line| line.contains("its bytes are in"));
    let line = line.unwrap_or_else(|| panic!("no place is told:\n{said}"));
    line.rsplit(" in ").next().expect("a path").trim().into()
}

#[test]
fn a_mount_in_the_background_outlives_its_command_and_ends_with_umount() {
    let mount = Mount::new();
    let process = pid(&mount);
    assert!(is_alive(process));
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let session = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3));
    assert_eq!(session, Some(process.to_string().as_str()), "no terminal can end it");
    run("cp", [mount.local("a.jpg", b"a"), mount.path.clone()]);
    mount.unmount();
    assert!(!mount.is_mounted() && !is_alive(process), "gone when umount returns");
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"a"[..]));
    assert_eq!(fs::read_dir(&mount.path).expect("the mount point").count(), 0);
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn a_mount_in_the_foreground_ends_on_either_signal_and_on_umount() {
    for signal in [Some(libc::SIGTERM), Some(libc::SIGINT), None] {
        let mount = unmounted();
        let mut bedfs = in_foreground(&mount);
        assert!(bedfs.0.try_wait().expect("a state").is_none(), "it stays");
        run("cp", [mount.local("a.jpg", b"a"), mount.path.clone()]);
        match signal {
            Some(signal) => kill(bedfs.0.id(), signal),
            None => run("umount", [&mount.path]).clear(),
        }
        let (success, said) = end_of(&mut bedfs.0);
        assert!(success, "{said}");
        assert_eq!(said, "", "an orderly end says nothing");
        assert!(!mount.is_mounted());
        assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"a"[..]));
    }
}

/// A picture that was published, written to, and closed with nobody to hear it: the session was cut off.
/// Gives the mount, and what its process ended with.
fn closed_unheard(later: &[u8]) -> (Mount, bool, String) {
    let mount = unmounted();
    let mut bedfs = in_foreground(&mount);
    let mut file = fs::File::create(mount.at("a.jpg")).expect("a file");
    file.write_all(b"a").expect("written");
    file.sync_all().expect("published");
    file.write_all(later).expect("written");
    stop(bedfs.0.id());
    let closing = std::thread::spawn(move || drop(file));
    cut_off(&mount);
    closing.join().expect("closed");
    kill(bedfs.0.id(), libc::SIGCONT);
    let (success, said) = end_of(&mut bedfs.0);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"a"[..]));
    (mount, success, said)
}

#[test]
fn a_close_that_the_session_ended_before_leaves_nothing_undone() {
    let (mount, success, said) = closed_unheard(b"");
    assert!(success && said.is_empty(), "{said}");
    mount_again(&mount, &[]);
    assert_eq!(listed(&mount), "");
    assert_eq!(fs::read(mount.at("a.jpg")).expect("read"), b"a");
    assert_eq!(mount.emulator.count("create"), 1, "it was there");
}

#[test]
fn what_was_written_before_a_close_that_nobody_heard_is_kept_and_told() {
    let (mount, success, said) = closed_unheard(b" and more");
    assert!(!success && said.contains("a.jpg is dirty"), "{said}");
    assert_eq!(fs::read(told_place(&said)).expect("staged"), b"a and more");
    mount_again(&mount, &[]);
    assert!(listed(&mount).contains("interrupted"), "{}", listed(&mount));
}

#[test]
fn umount_of_what_is_no_mount_says_so() {
    let mount = unmounted();
    let nowhere = mount.dir.path().join("nowhere");
    for path in [&mount.path, &nowhere, &PathBuf::from("/proc")] {
        let output = mount.bedfs("umount").arg(path).output().expect("bedfs runs");
        let said = text(&output.stderr);
        assert!(!output.status.success());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(path.to_str().expect("UTF-8")), "{said}");
    }
    assert!(fs::metadata("/proc/self").is_ok(), "another's mount is left alone");
}

#[test]
fn umount_of_a_busy_mount_fails_and_the_mount_goes_on() {
    let mount = Mount::new();
    mount.emulator.put("late.jpg", b"late");
    run("cp", [mount.local("a.jpg", b"a"), mount.path.clone()]);
    let open = fs::File::open(mount.at("a.jpg")).expect("an open file");
    let output = umount(&mount, &[]);
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(said.lines().count() == 1 && said.contains("in use"), "{said}");
    run("cp", [mount.local("b.jpg", b"b"), mount.path.clone()]);
    assert_eq!(run("cat", [mount.at("a.jpg"), mount.at("b.jpg")]), "ab");
    drop(open);
    mount.unmount();
    assert_eq!(mount.emulator.tree().len(), 3);
}

#[test]
fn an_upload_under_way_is_finished_when_the_mount_is_told_to_end() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mount = Mount::with(slow(), &[]);
        let bytes = noise(7, 1 << 20);
        let picture = mount.local("a.jpg", &bytes);
        let process = pid(&mount);
        let copied = std::thread::scope(|scope| {
            let copy = scope.spawn(|| attempt("cp", [&picture, &mount.path]));
            wait_until("the upload runs", || mount.emulator.count("get_upload_url") > 0);
            kill(process, signal);
            copy.join().expect("cp ends")
        });
        assert!(copied.status.success(), "{}", text(&copied.stderr));
        assert!(mount.emulator.read("a.jpg").is_some_and(|found| found == bytes));
        wait_until("the mount ended", || !mount.is_mounted() && !is_alive(process));
        assert_eq!(mount.emulator.tree().len(), 1, "no scratch and no second copy");
        assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
    }
}

/// About a second for a MiB.
fn slow() -> Options {
    Options { bandwidth: Some(1 << 20), slice_size: 1 << 20, ..fast() }
}

#[test]
fn umount_waits_for_an_upload_that_is_under_way() {
    let mount = Mount::with(slow(), &[]);
    let bytes = noise(8, 1 << 20);
    let picture = mount.local("a.jpg", &bytes);
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| attempt("cp", [&picture, &mount.path]));
        wait_until("the upload runs", || mount.emulator.count("get_upload_url") > 0);
        // `cp` may still hold the mount when the upload is done: then it is busy, and nothing lost.
        wait_until("unmounted", || umount(&mount, &[]).status.success());
        let copied = copy.join().expect("cp ends");
        assert!(copied.status.success(), "{}", text(&copied.stderr));
    });
    assert!(mount.emulator.read("a.jpg").is_some_and(|found| found == bytes));
}

#[test]
fn what_is_published_is_not_pending_though_a_writer_has_it_open() {
    let mount = Mount::new();
    let pending = || fs::read_to_string(mount.at(".bedfs/pending.json")).expect("readable");
    let mut file = fs::File::create(mount.at("a.jpg")).expect("a file");
    file.write_all(b"a").expect("written");
    assert!(pending().contains("dirty"), "{}", pending());
    file.sync_all().expect("published");
    assert_eq!(pending(), "[]\n");
    file.write_all(b" and more").expect("written");
    assert!(pending().contains("dirty"), "{}", pending());
    drop(file);
    mount.quiet();
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"a and more"[..]));
}

#[test]
fn umount_waits_no_longer_than_it_was_told_to_and_names_what_it_leaves() {
    let mount = Mount::new();
    mount.emulator.inject(Fault::new("create", FaultKind::Slow(Duration::from_secs(8))));
    let picture = mount.local("a.jpg", b"bytes");
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| attempt("cp", [&picture, &mount.path]));
        wait_until("the upload runs", || {
            let state = attempt(
                "getfattr",
                [
                    "--only-values".as_ref(),
                    "-n".as_ref(),
                    "user.bedfs.state".as_ref(),
                    mount.at("a.jpg").as_os_str(),
                ],
            );
            text(&state.stdout) == "uploading"
        });
        let began = std::time::Instant::now();
        let output = umount(&mount, &["--timeout", "1"]);
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        assert!(!output.status.success(), "an upload is not done");
        assert!(text(&output.stderr).contains("a.jpg"), "{}", text(&output.stderr));
        let copied = copy.join().expect("cp ends");
        assert!(copied.status.success(), "{}", text(&copied.stderr));
    });
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"bytes"[..]));
}

#[test]
fn bytes_that_cannot_be_uploaded_are_kept_and_umount_tells_where() {
    let mount = Mount::new();
    mount.emulator.put("old.jpg", b"old");
    mount.emulator.inject(refuse("create"));
    for name in ["new.jpg", "old.jpg"] {
        let copied = attempt("cp", [mount.local(name, b"fresh"), mount.at(name)]);
        assert!(!copied.status.success(), "the upload was refused");
        assert_eq!(xattr(&mount.at(name), "state").as_deref(), Some("failed"));
    }
    let output = umount(&mount, &[]);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "something is left");
    assert!(said.contains("new.jpg") && said.contains("old.jpg"), "{said}");
    assert!(said.contains("not today"), "the reason is told: {said}");
    assert!(!mount.is_mounted());
    let log = mount.log();
    let places: Vec<_> = log.lines().filter(|line| line.contains("its bytes are in")).collect();
    assert_eq!(places.len(), 2, "{log}");
    for line in places {
        assert_eq!(fs::read(told_place(line)).expect("the bytes are there"), b"fresh");
    }
    assert_eq!(
        mount.emulator.read("old.jpg").as_deref(),
        Some(&b"old"[..]),
        "the old version stands"
    );
}

#[test]
fn a_mount_in_the_foreground_that_leaves_bytes_behind_tells_where_and_fails() {
    let mount = unmounted();
    let mut bedfs = in_foreground(&mount);
    mount.emulator.inject(refuse("create"));
    let copied = attempt("cp", [mount.local("a.jpg", b"fresh"), mount.path.clone()]);
    assert!(!copied.status.success());
    kill(bedfs.0.id(), libc::SIGTERM);
    let (success, said) = end_of(&mut bedfs.0);
    assert!(!success, "something is left");
    assert_eq!(fs::read(told_place(&said)).expect("the bytes are there"), b"fresh");
    assert!(!mount.is_mounted());
}

#[test]
fn what_failed_to_upload_is_tried_once_more_at_the_end() {
    let mount = Mount::new();
    mount.emulator.inject(refuse("create"));
    let copied = attempt("cp", [mount.local("a.jpg", b"fresh"), mount.path.clone()]);
    assert!(!copied.status.success());
    mount.emulator.clear_faults();
    let _told = umount(&mount, &[]);
    assert!(!mount.is_mounted());
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"fresh"[..]));
    assert_eq!(mount.emulator.tree().len(), 1);
}

#[test]
fn a_file_that_is_open_when_the_mount_is_told_to_end_is_not_lost() {
    let mount = Mount::new();
    let process = pid(&mount);
    let mut file = fs::File::create(mount.at("open.jpg")).expect("created");
    file.write_all(b"half a picture").expect("written");
    kill(process, libc::SIGTERM);
    wait_until("out of sight", || !mount.is_mounted());
    // Detached, the mount goes on for those who have it open, until its process ends.
    let closed = file.sync_all();
    drop(file);
    wait_until("the process ended", || !is_alive(process));
    let uploaded = mount.emulator.read("open.jpg");
    let kept = mount.log().contains("its bytes are in");
    assert!(closed.is_err() || uploaded.is_some(), "what was acknowledged is at the service");
    assert!(uploaded.is_some_and(|bytes| bytes == b"half a picture") || kept, "{}", mount.log());
}

#[test]
fn an_emulator_that_went_away_does_not_hold_up_the_end_of_an_idle_mount() {
    let mut mount = Mount::new();
    run("cp", [mount.local("a.jpg", b"a"), mount.path.clone()]);
    let process = pid(&mount);
    mount.emulator = Emulator::start(fast()).expect("another emulator");
    let began = std::time::Instant::now();
    let output = umount(&mount, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!mount.is_mounted() && !is_alive(process));
}

#[test]
fn a_file_that_was_removed_while_it_was_uploaded_does_not_come_back_after_the_end() {
    for done_first in [true, false] {
        let mount = in_background();
        // What became of the upload is not known at the end; it may have come about.
        let hang = if done_first { FaultKind::HangAfter } else { FaultKind::Hang };
        mount.emulator.inject(Fault::new("upload_complete", hang).always());
        fs::write(mount.at("a.jpg"), b"a picture").expect("acknowledged");
        wait_until("it is to be completed", || mount.emulator.count("upload_complete") > 0);
        fs::remove_file(mount.at("a.jpg")).expect("acknowledged");
        umount(&mount, &["--timeout", "1"]);
        mount_again(&mount, BACKGROUND);
        mount.emulator.clear_faults();
        let mut left = Vec::new();
        let is_gone = wait(Duration::from_secs(30), || {
            let tree = mount.emulator.tree().into_iter().map(|(path, _)| path);
            let shown =
                fs::read_dir(&mount.path).expect("listed").map(|shown| format!("{shown:?}"));
            left = listed(&mount).lines().map(str::to_owned).chain(tree).chain(shown).collect();
            left.is_empty()
        });
        assert!(is_gone, "{left:?}");
        assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
    }
}

#[test]
fn a_mount_whose_process_is_stopped_holds_up_no_command() {
    let mount = Mount::new();
    let process = pid(&mount);
    stop(process);
    let told = |command: &str| {
        let mut bedfs = mount.bedfs(command);
        let mut within = Command::new("timeout");
        within.args(["-k", "1", "20"]).arg(bedfs.arg(&mount.path).get_program()).arg(command);
        in_place_of(&bedfs, within.arg(&mount.path));
        text(&within.output().expect("timeout runs").stderr)
    };
    assert!(told("status").contains("does not answer"), "{}", told("status"));
    assert!(told("mount").contains("mounted on"), "{}", told("mount"));
    kill(process, libc::SIGCONT);
    assert!(mount.at(".bedfs").exists());
}
