//! `kill -9` while files are open, and just after they were closed in the background: bytes that were
//! never closed are kept and not uploaded, bytes that were acknowledged are there at once.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind};

use crate::bench::{all_at_once, end};
use crate::command::pid;
use crate::compare::bed;
use crate::crash::{kill_at_once, laid_out, settle, wait};
use crate::harness::{Mount, attempt, fast, noise, run, text, wait_until, xattr};

const BACKGROUND: &[&str] = &["--upload", "background"];
const BOTH: [&[&str]; 2] = [&["--upload", "close"], BACKGROUND];

fn mounted(args: &[&str]) -> Mount {
    let mount = Mount::over(laid_out(fast()), args);
    run("find", [&mount.path]);
    mount
}

/// Kills the mount, then does what ends the programs that used it, then mounts again.
fn killed(mount: &Mount, args: &[&str], then: impl FnOnce()) {
    kill_at_once(pid(mount));
    then();
    attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
    let output = mount.mount(args);
    assert!(output.status.success(), "mounted again: {}", text(&output.stderr));
}

/// No request is answered any more, as if the service were away.
fn away(mount: &Mount) {
    for endpoint in ["create", "put", "upload_complete", "mkdir", "move", "delete"] {
        mount.emulator.inject(Fault::new(endpoint, FaultKind::Status(503)).always());
    }
}

fn pending(mount: &Mount, args: &[&str]) -> String {
    let output = mount.bedfs("pending").args(args).output().expect("bedfs runs");
    assert!(output.status.success(), "bedfs pending {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Whether a file with these bytes is among those that `bedfs pending export` gives.
pub(crate) fn is_exported(mount: &Mount, bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    pending(mount, &["export", &folder.path().to_string_lossy()]);
    let found = run("find", [folder.path().as_os_str(), "-type".as_ref(), "f".as_ref()]);
    found.lines().any(|file| fs::read(file).expect("readable") == bytes)
}

fn no_violations(mount: &Mount) {
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn a_file_that_was_never_closed_is_not_uploaded_and_its_bytes_are_kept() {
    let cases = BOTH.into_iter().flat_map(|args| ["d/n.jpg", "d/a.jpg"].map(|path| (args, path)));
    all_at_once(cases, |(args, path)| {
        let mount = mounted(args);
        let before = bed(&mount.emulator);
        let bytes = noise(1, 50_000);
        let mut file = File::create(mount.at(path)).expect("created");
        file.write_all(&bytes).expect("written");
        killed(&mount, args, || drop(file));
        settle(&mount);
        assert!(bed(&mount.emulator) == before, "{path} was never closed");
        let old = before.get(path).cloned().flatten();
        let seen = fs::read(mount.at(path)).ok();
        assert!(seen == old, "{path} is what it was");
        let told = pending(&mount, &[]);
        let row = told.lines().find(|line| line.contains(path));
        let row = row.unwrap_or_else(|| panic!("{path} is not listed: {told}"));
        assert!(row.contains("interrupted"), "{row}");
        assert!(is_exported(&mount, &bytes), "the bytes of {path} are not exported");
        // The name is free for a new try.
        run("cp", [mount.local("again", b"again"), mount.at(path)]);
        settle(&mount);
        assert_eq!(mount.emulator.read(path).as_deref(), Some(&b"again"[..]));
        assert!(is_exported(&mount, &bytes), "a new version does not drop what was kept");
        no_violations(&mount);
    });
}

#[test]
fn bytes_that_were_synced_are_acknowledged_though_never_closed() {
    all_at_once(BOTH, |args| {
        let mount = mounted(args);
        let bytes = noise(2, 50_000);
        let mut file = File::create(mount.at("d/a.jpg")).expect("created");
        file.write_all(&bytes).expect("written");
        file.sync_all().expect("synced");
        killed(&mount, args, || drop(file));
        assert!(fs::read(mount.at("d/a.jpg")).expect("readable") == bytes, "{args:?}: at once");
        settle(&mount);
        let found = mount.emulator.read("d/a.jpg");
        assert!(found == Some(bytes), "{args:?}: at the service in the end");
        no_violations(&mount);
    });
}

#[test]
fn what_was_closed_in_the_background_is_there_at_once_and_uploaded_later() {
    let mount = mounted(BACKGROUND);
    away(&mount);
    let (new, over) = (noise(3, 30_000), noise(4, 30_000));
    run("cp", [mount.local("new", &new), mount.at("d/n.jpg")]);
    run("cp", [mount.local("over", &over), mount.at("d/a.jpg")]);
    run("rm", [mount.at("d/b.jpg")]);
    killed(&mount, BACKGROUND, || ());
    for (path, bytes) in [("d/n.jpg", &new), ("d/a.jpg", &over)] {
        assert!(fs::read(mount.at(path)).expect("readable") == *bytes, "{path} at once");
        let state = xattr(&mount.at(path), "state").expect("a state");
        assert!(["pending", "uploading"].contains(&&*state), "{path}: {state}");
        assert!(pending(&mount, &[]).contains(path), "{path} is listed");
    }
    assert!(!mount.at("d/b.jpg").exists(), "what was removed is gone");
    mount.emulator.clear_faults();
    wait_until("uploaded", || {
        let is_there =
            |path: &str, bytes: &[u8]| mount.emulator.read(path).as_deref() == Some(bytes);
        is_there("d/n.jpg", &new)
            && is_there("d/a.jpg", &over)
            && mount.emulator.read("d/b.jpg").is_none()
    });
    settle(&mount);
    assert_eq!(xattr(&mount.at("d/a.jpg"), "state").as_deref(), Some("remote"));
    end(&mount);
    no_violations(&mount);
}

#[test]
fn a_mount_that_is_killed_again_and_again_loses_nothing() {
    let mount = mounted(BACKGROUND);
    away(&mount);
    let bytes = noise(5, 30_000);
    run("cp", [mount.local("new", &bytes), mount.at("d/n.jpg")]);
    for _ in 0..5 {
        killed(&mount, BACKGROUND, || ());
        assert!(fs::read(mount.at("d/n.jpg")).expect("readable") == bytes);
    }
    mount.emulator.clear_faults();
    wait_until("uploaded", || mount.emulator.read("d/n.jpg").as_ref() == Some(&bytes));
    no_violations(&mount);
}

#[test]
fn what_is_local_only_outlives_a_kill_and_is_never_uploaded() {
    all_at_once(BOTH, |args| {
        let mount = mounted(args);
        let before = bed(&mount.emulator);
        let names = ["a.jpg~", ".a.jpg.swp", "4913", ".a.jpg.Xy12Z3", "b.part", "c.crdownload"];
        for name in names {
            run("cp", [mount.local("bytes", name.as_bytes()), mount.at("d").join(name)]);
        }
        run("touch", [mount.at("d/empty.jpg")]);
        killed(&mount, args, || ());
        settle(&mount);
        for name in names {
            let path = mount.at("d").join(name);
            assert_eq!(fs::read(&path).expect("readable"), name.as_bytes());
            assert_eq!(xattr(&path, "state").as_deref(), Some("local"), "{name}");
        }
        assert_eq!(fs::read(mount.at("d/empty.jpg")).expect("readable"), b"");
        assert!(bed(&mount.emulator) == before, "{args:?}: a local name was uploaded");
        // Under a proper name it is uploaded, once.
        run("mv", [mount.at("d/.a.jpg.Xy12Z3"), mount.at("d/a.jpg")]);
        settle(&mount);
        assert_eq!(mount.emulator.read("d/a.jpg").as_deref(), Some(&b".a.jpg.Xy12Z3"[..]));
        no_violations(&mount);
    });
}

#[test]
fn two_mounts_of_one_account_never_replay_one_journal() {
    let mount = mounted(BACKGROUND);
    away(&mount);
    let bytes = noise(6, 30_000);
    run("cp", [mount.local("new", &bytes), mount.at("d/n.jpg")]);
    let second = mount.dir.path().join("second");
    fs::create_dir(&second).expect("a mount point");
    let mut command = mount.bedfs("mount");
    let output = command.args(BACKGROUND).arg(&second).output().expect("bedfs runs");
    mount.emulator.forget_requests();
    mount.emulator.clear_faults();
    wait_until("uploaded", || mount.emulator.read("d/n.jpg").as_ref() == Some(&bytes));
    settle(&mount);
    assert_eq!(mount.emulator.count("upload_complete"), 1, "uploaded by one of them");
    match output.status.success() {
        // They share: what one has shows in the other.
        true => {
            assert!(fs::read(second.join("d/n.jpg")).expect("readable") == bytes);
            run("umount", [&second]);
        }
        false => assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr)),
    }
    no_violations(&mount);
}

#[test]
fn a_kill_in_the_middle_of_a_replay_is_replayed_again() {
    let mount = mounted(BACKGROUND);
    away(&mount);
    let bytes = noise(7, 30_000);
    run("cp", [mount.local("over", &bytes), mount.at("d/a.jpg")]);
    for requests in 1..12 {
        kill_at_once(pid(&mount));
        attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
        mount.emulator.clear_faults();
        let output = mount.mount(BACKGROUND);
        assert!(output.status.success(), "{}", text(&output.stderr));
        mount.emulator.inject(Fault::new("*", FaultKind::HangAfter).skip(requests));
        mount.emulator.inject(Fault::new("*", FaultKind::Hang).skip(requests).always());
        wait(Duration::from_millis(300), || mount.emulator.hanging() > 0);
        let shown = fs::symlink_metadata(mount.at("d/a.jpg")).map_err(|error| error.kind());
        // What is journaled shows. Once the service has it the folder, which was being changed at the kill,
        // is asked for; the service may be silent, and nothing is said to be gone for that.
        let pending = fs::read_to_string(mount.at(".bedfs/pending.json")).expect("what is pending");
        let is_right = match pending.contains("\"d/a.jpg\"") {
            true => shown.is_ok(),
            false => shown.as_ref().err() != Some(&ErrorKind::NotFound),
        };
        assert!(is_right, "after {requests} requests: {shown:?}, {pending}");
    }
    mount.emulator.clear_faults();
    killed(&mount, BACKGROUND, || ());
    settle(&mount);
    assert!(mount.emulator.read("d/a.jpg") == Some(bytes), "uploaded in the end");
    end(&mount);
    let names: Vec<_> = mount.emulator.list("d").into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["a.jpg", "b.jpg", "u.jpg"]);
    no_violations(&mount);
}
