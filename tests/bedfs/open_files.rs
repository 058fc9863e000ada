//! Open files: a mount that may have few of them holds any number of pending and local ones.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use bedfs_emulator::FaultKind;

use crate::command::{pid, unmounted};
use crate::harness::{Mount, in_place_of, noise, text};
use crate::journaled::{BACKGROUND, all_done, crash, listed, stays};
use crate::semantics::no_violations;

/// Descriptors that the mount may have, soft limit and hard limit.
const LIMITS: [u32; 2] = [100, 256];

/// Files of each kind.
const FILES: u64 = 400;

fn mount_within(mount: &Mount, limits: [u32; 2]) {
    let bedfs = mount.bedfs("mount");
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--nofile={}:{}", limits[0], limits[1])).arg("--");
    prlimit.arg(bedfs.get_program()).args(["mount", "--qps", "unlimited"]).args(BACKGROUND);
    in_place_of(&bedfs, prlimit.arg(&mount.path).stdin(Stdio::null()));
    let output = prlimit.output().expect("prlimit runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// The name of a file for the bed, or of one that stays here.
fn name(number: u64, is_local: bool) -> String {
    format!("{number}.jpg{}", if is_local { "~" } else { "" })
}

fn bytes(number: u64, is_local: bool) -> Vec<u8> {
    noise(2 * number + u64::from(is_local), 700)
}

fn all() -> impl Iterator<Item = (u64, bool)> {
    (0..FILES).flat_map(|number| [(number, false), (number, true)])
}

fn all_are_there(mount: &Mount) {
    for (number, is_local) in all() {
        let read = fs::read(mount.at(name(number, is_local))).expect("readable");
        assert!(read == bytes(number, is_local), "{}", name(number, is_local));
    }
}

#[test]
fn many_files_that_wait_or_stay_here_are_kept_by_a_mount_that_may_open_few() {
    let mount = unmounted();
    mount_within(&mount, LIMITS);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    for (number, is_local) in all() {
        fs::write(mount.at(name(number, is_local)), bytes(number, is_local)).expect("written");
    }
    all_are_there(&mount);
    assert!(!listed(&mount).contains("failed"), "{}", listed(&mount));
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid(&mount))).expect("its limits");
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let is_raised = limit.split_whitespace().filter(|word| *word == "256").count() == 2;
    assert!(is_raised, "the soft limit is as the hard one: {limit}");
    crash(&mount);
    mount.emulator.clear_faults();
    mount_within(&mount, LIMITS);
    all_are_there(&mount);
    all_done(&mount);
    for number in 0..FILES {
        assert!(
            mount.emulator.read(&name(number, false)) == Some(bytes(number, false)),
            "{number}"
        );
    }
    all_are_there(&mount);
    mount.remount(&[]);
    all_are_there(&mount);
    no_violations(&mount);
}

#[test]
fn more_files_are_written_at_once_than_the_mount_may_open() {
    let mount = unmounted();
    mount_within(&mount, LIMITS);
    let path = |number: u64| mount.at(name(number, false));
    let open = |number| File::create_new(path(number)).expect("made");
    let files: Vec<File> = (0..300).map(open).collect();
    for half in 0..2 {
        for (number, file) in files.iter().enumerate() {
            let part = &bytes(number as u64, false)[half * 350..][..350];
            file.write_all_at(part, half as u64 * 350).expect("written");
        }
    }
    // What is gone from its folder is read on by who has it open.
    fs::remove_file(path(0)).expect("removed");
    let mut read = vec![0; 700];
    File::open(path(1)).and_then(|file| file.read_exact_at(&mut read, 0)).expect("readable");
    assert!(read == bytes(1, false));
    files[0].write_all_at(b"on", 0).expect("written on");
    drop(files);
    all_done(&mount);
    for number in 1..300 {
        assert!(
            mount.emulator.read(&name(number, false)) == Some(bytes(number, false)),
            "{number}"
        );
    }
    assert!(mount.emulator.read(&name(0, false)).is_none());
    no_violations(&mount);
}
