//! What the machine lacks for a moment: an upload waits for it, says so, and is tried again by itself.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bedfs_emulator::FaultKind;

use crate::beside::{hold, look};
use crate::command::pid;
use crate::crash::wait;
use crate::harness::{Mount, fast, noise, run, xattr};
use crate::journaled::{all_done, eventually, in_background, listed, stays};
use crate::semantics::no_violations;
use crate::small_disk::Small;

/// Bytes of the files that wait.
const SIZE: usize = 5000;

/// Each of several writers of the state file may wait for half a minute before it fails.
const LONGEST: Duration = Duration::from_secs(240);

/// The file waits and says for what, to who asks for its attributes and to who asks what is pending.
fn waits_for(mount: &Mount, path: &Path, what: &str) {
    waits(mount, path, "pending", what);
}

fn waits(mount: &Mount, path: &Path, state: &str, what: &str) {
    let is_so = wait(LONGEST, || {
        let says = xattr(path, "error").is_some_and(|error| error.contains(what));
        // While it is tried again it says so.
        says && xattr(path, "state").as_deref() == Some(state)
    });
    assert!(is_so, "{path:?} does not say that it waits for {what}");
    let listed = listed(mount);
    assert!(listed.contains(&format!("{state} ")) && listed.contains(what), "{listed}");
    assert!(!listed.contains("failed"), "{listed}");
}

fn comes_to_the_bed(mount: &Mount, name: &str, bytes: &[u8]) {
    all_done(mount);
    assert!(mount.emulator.read(name).as_deref() == Some(bytes), "{name}");
    assert_eq!(xattr(&mount.at(name), "error"), None);
    assert_eq!(xattr(&mount.at(name), "state").as_deref(), Some("remote"));
    no_violations(mount);
}

fn limit_open_files(mount: &Mount, limit: usize) {
    run("prlimit", [format!("--pid={}", pid(mount)), format!("--nofile={limit}:")]);
}

#[test]
fn an_upload_waits_for_descriptors() {
    let mount = in_background();
    // Nothing goes on by a connection that is open.
    mount.emulator.inject(stays("*", FaultKind::Reset));
    let bytes = noise(1, SIZE);
    fs::write(mount.at("a.jpg"), &bytes).expect("written");
    eventually("it is tried", || mount.emulator.count("create") > 0);
    limit_open_files(&mount, 3);
    waits_for(&mount, &mount.at("a.jpg"), "Too many open files");
    mount.emulator.clear_faults();
    limit_open_files(&mount, 1024);
    comes_to_the_bed(&mount, "a.jpg", &bytes);
}

#[test]
fn an_upload_waits_for_another_process_that_changes_the_state_file() {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Status(503)));
    let bytes = noise(1, SIZE);
    fs::write(mount.at("a.jpg"), &bytes).expect("written");
    // It is about to be recorded anew.
    eventually("it failed once", || mount.log().contains("again in"));
    let other = hold(&mount);
    mount.emulator.clear_faults();
    waits_for(&mount, &mount.at("a.jpg"), "another process");
    drop(other);
    comes_to_the_bed(&mount, "a.jpg", &bytes);
}

#[test]
fn a_close_and_an_upload_wait_for_room_to_be_recorded_in() {
    let small = Small::new(4, fast(), |_| {});
    let mount = &small.mount;
    mount.emulator.inject(stays("create", FaultKind::Status(503)));
    let bytes = noise(1, SIZE);
    small.cp("a.jpg", &bytes);
    let mut open = File::create(mount.at("open.jpg")).expect("made");
    open.write_all(&bytes).expect("written");
    small.leave_nothing();
    // What was recorded before cannot be overwritten while somebody reads it.
    let reader = look(mount);
    let mode = |number: u32| fs::Permissions::from_mode(0o600 + (number & 0o77));
    let recorded = (0..5000)
        .take_while(|number| fs::set_permissions(mount.at("a.jpg"), mode(*number)).is_ok());
    assert!(recorded.count() < 5000, "there is always room");
    drop(open);
    // Who closed it was told.
    waits(mount, &mount.at("open.jpg"), "dirty", "make room on its disk");
    mount.emulator.clear_faults();
    waits_for(mount, &mount.at("a.jpg"), "make room on its disk");
    drop(reader);
    small.empty();
    comes_to_the_bed(mount, "a.jpg", &bytes);
    comes_to_the_bed(mount, "open.jpg", &bytes);
}
