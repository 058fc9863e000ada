//! Modes, owners, times and extended attributes that programs set: they outlive the mount and its death,
//! and go along with the object wherever it is moved, renamed or taken aside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::harness::{Mount, noise, run};
use crate::local_names::{changes, sh};
use crate::semantics::{bed, no_violations, refresh};

/// What `stat` tells that a program can set: mode, owner, group, seconds and nanoseconds.
type Set = (u32, u32, u32, i64, i64);

fn set(path: &Path) -> Set {
    let stat = fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime(), stat.mtime_nsec())
}

/// 2001-02-03 04:05:06.789012345 UTC.
const TIME: &str = "2001-02-03 04:05:06.789012345 UTC";
const SET: Set = (0o640, 1234, 4321, 981_173_106, 789_012_345);

pub(crate) fn give(path: &Path) {
    run("chown", ["1234:4321".as_ref(), path.as_os_str()]);
    run("chmod", ["640".as_ref(), path.as_os_str()]);
    run("touch", ["-d".as_ref(), TIME.as_ref(), path.as_os_str()]);
    ::xattr::set(path, NOTE, NOTED).expect("an attribute is set");
}

/// An attribute of the user's own, and its value.
pub(crate) const NOTE: &str = "user.note";
pub(crate) const NOTED: &[u8] = b"\0of any bytes\xff";

pub(crate) fn note(path: &Path) -> Option<Vec<u8>> {
    ::xattr::get(path, NOTE).expect("attributes are told")
}

/// Checks it now, listed anew, after a remount and after a kill.
pub(crate) fn throughout(mount: &Mount, what: &str, check: impl Fn(&str)) {
    check(&format!("{what}, at once"));
    mount.quiet();
    refresh(&mount.path);
    check(&format!("{what}, listed anew"));
    mount.remount(&[]);
    check(&format!("{what}, mounted again"));
    mount.crash(&[]);
    check(&format!("{what}, after a kill"));
}

#[test]
fn what_is_set_goes_along_with_every_move_and_rename() {
    for line in [
        "true",
        "mv d/a.jpg e/",
        "mv d/a.jpg e/b.jpg",
        "mv d/a.jpg d/b.jpg",
        "mv d/a.jpg over.jpg",
        "mv d/a.jpg d/over.jpg",
        "mv d f",
        "mv d e/",
        "mv d/a.jpg d/a.jpg~",
        "mv d/a.jpg d/a.jpg~ && mv d/a.jpg~ d/a.jpg",
        "mv d/a.jpg d/a.jpg~ && mv d/a.jpg~ d/b.jpg",
    ] {
        let mount = bed(|bed| {
            bed.put("d/a.jpg", b"a");
            bed.put("over.jpg", b"over");
            bed.put("d/over.jpg", b"over too");
            bed.mkdir("e");
        });
        give(&mount.at("d/a.jpg"));
        sh(&mount, line);
        let find = "find . -type f -perm 640 -printf '%P'";
        let place = sh(&mount, find);
        assert!(!place.is_empty(), "{line}: {}", sh(&mount, "ls -lR"));
        throughout(&mount, line, |what| {
            assert_eq!(set(&mount.at(&place)), SET, "{what}");
            assert_eq!(note(&mount.at(&place)).as_deref(), Some(NOTED), "{what}");
        });
        no_violations(&mount);
    }
}

#[test]
fn setting_them_costs_no_call() {
    let mount = bed(|bed| drop(bed.put("d/a.jpg", b"a")));
    run("ls", [mount.at("d")]);
    mount.emulator.forget_requests();
    give(&mount.at("d/a.jpg"));
    give(&mount.at("d"));
    assert_eq!((changes(&mount), mount.emulator.count("list")), ([0; 6], 0));
    mount.remount(&[]);
    assert_eq!((set(&mount.at("d/a.jpg")), set(&mount.at("d"))), (SET, SET));
    assert_eq!(note(&mount.at("d")).as_deref(), Some(NOTED));
    no_violations(&mount);
}

#[test]
fn an_overwrite_keeps_mode_and_owner_and_has_a_new_time() {
    for line in ["cp $S/new a.jpg", "printf more >> a.jpg", "truncate -s 100 a.jpg"] {
        let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 3000))));
        mount.local("new", &noise(2, 3000));
        give(&mount.at("a.jpg"));
        sh(&mount, line);
        let after = set(&mount.at("a.jpg"));
        let now = jiff::Timestamp::now().as_second();
        assert!((now - after.3).abs() < 60, "{line}: {after:?}");
        throughout(&mount, line, |what| {
            let (mode, user, group, seconds, nanos) = set(&mount.at("a.jpg"));
            assert_eq!((mode, user, group), (SET.0, SET.1, SET.2), "{what}");
            assert_eq!(note(&mount.at("a.jpg")).as_deref(), Some(NOTED), "{what}");
            // The time of the last write, and not the one of the upload.
            assert_eq!((seconds, nanos), (after.3, after.4), "{what}");
        });
        no_violations(&mount);
    }
}

#[test]
fn cp_with_p_keeps_modes_owners_and_times() {
    for name in ["a.jpg", "图 1.jpg", "a.jpg~", "empty.jpg"] {
        for args in [&["-p"][..], &["-a"], &["-p", "--remove-destination"]] {
            let mount = bed(|bed| drop(bed.put("a.jpg", b"there before")));
            let len = if name == "empty.jpg" { 0 } else { 3000 };
            let source = mount.local("source", &noise(1, len));
            give(&source);
            let paths = [source.into_os_string(), mount.at(name).into_os_string()];
            run("cp", args.iter().map(Into::into).chain(paths));
            throughout(&mount, &format!("cp {args:?} {name}"), |what| {
                assert_eq!(set(&mount.at(name)), SET, "{what}");
            });
            no_violations(&mount);
        }
    }
}

#[test]
fn tar_keeps_modes_owners_and_times_of_files_and_folders() {
    let mount = Mount::new();
    let source = mount.dir.path().join("src");
    fs::create_dir_all(source.join("d/deep")).expect("folders");
    let files = ["a.jpg", "d/b.jpg", "d/deep/c.jpg", "d/notes~"];
    for (seed, name) in files.iter().enumerate() {
        fs::write(source.join(name), noise(seed as u64, 3000)).expect("written");
        give(&source.join(name));
    }
    let folders = ["d/deep", "d"];
    for folder in folders {
        give(&source.join(folder));
        run("chmod", ["750".as_ref(), source.join(folder).as_os_str()]);
    }
    sh(&mount, "tar -C $S/src --format=posix -cf $S/tar a.jpg d && tar -xpf $S/tar");
    throughout(&mount, "tar x", |what| {
        for name in files {
            assert_eq!(set(&mount.at(name)), SET, "{what}: {name}");
        }
        for folder in folders {
            assert_eq!(set(&mount.at(folder)), (0o750, SET.1, SET.2, SET.3, SET.4), "{what}");
        }
    });
    run("diff", ["-r".as_ref(), source.as_os_str(), mount.path.as_os_str()]);
    sh(&mount, "tar -C $S/src -df $S/tar && tar -df $S/tar");
    no_violations(&mount);
}

#[test]
fn what_is_made_after_a_removal_has_nothing_of_what_was_there() {
    let mount = bed(|bed| drop(bed.put("a.jpg", b"a")));
    give(&mount.at("a.jpg"));
    sh(&mount, "rm a.jpg && echo new > a.jpg");
    throughout(&mount, "made anew", |what| {
        let (mode, user, _, seconds, _) = set(&mount.at("a.jpg"));
        assert_eq!(mode, 0o644, "{what}");
        assert_ne!(user, SET.1, "{what}");
        assert!(seconds > SET.3, "{what}");
        assert_eq!(note(&mount.at("a.jpg")), None, "{what}");
    });
    no_violations(&mount);
}
