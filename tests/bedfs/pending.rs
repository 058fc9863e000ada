//! `bedfs pending`: what is not at the service yet is listed, exported, tried again and given up,
//! with a mount and without one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use bedfs_emulator::{Emulator, FaultKind};

use crate::bench::refusal;
use crate::harness::{Mount, fast, noise, run, text, xattr};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, crash, eventually, in_background, listed, mount_again, pending,
    staged, stays,
};
use crate::semantics::bed;

/// A picture that was being written over when its mount was killed.
struct Interrupted {
    mount: Mount,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// `d/old.jpg` is an old picture that was cut to nothing and written over, `part.jpg` one that was
/// changed in part, and `new.jpg` is new; none of them was closed.
fn interrupted() -> Interrupted {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    let (old, new) = (noise(1, 90_000), noise(2, 60_000));
    emulator.put("d/old.jpg", &old);
    emulator.put("part.jpg", &old);
    let mount = Mount::over(emulator, &[]);
    let mut over = fs::File::create(mount.at("d/old.jpg")).expect("cut");
    over.write_all(&new).expect("written");
    let part = fs::File::options().write(true).open(mount.at("part.jpg")).expect("opened");
    part.write_all_at(b"changed", 40_000).expect("written");
    let mut fresh = fs::File::create(mount.at("new.jpg")).expect("created");
    fresh.write_all(&new).expect("written");
    crash(&mount);
    Interrupted { mount, old, new }
}

/// `old` with what was written over it in part.
fn changed(old: &[u8]) -> Vec<u8> {
    let mut all = old.to_vec();
    all[40_000..40_007].copy_from_slice(b"changed");
    all
}

fn must(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The line of the list that ends with this path.
fn line(list: &str, path: &str) -> String {
    let found = list.lines().find(|line| line.ends_with(path));
    found.unwrap_or_else(|| panic!("{path} is not listed:\n{list}")).to_owned()
}

#[test]
fn a_file_that_was_never_closed_is_listed_by_path_and_time_and_never_uploaded() {
    let Interrupted { mount, old, new } = interrupted();
    let today = run("date", ["+%Y-%m-%d"]);
    for round in 0..3 {
        if round > 0 {
            mount_again(&mount, if round == 1 { &[] } else { BACKGROUND });
            // Everything that is to be done at a start is done before an upload comes to its end.
            run("cp", [mount.local("mark", b"mark"), mount.at("mark.jpg")]);
            all_done(&mount);
            assert!(fs::read(mount.at("d/old.jpg")).is_ok_and(|found| found == old));
            assert!(!mount.at("new.jpg").exists());
            mount.unmount();
        }
        let list = listed(&mount);
        assert_eq!(list.lines().count(), 3, "{list}");
        for path in ["d/old.jpg", "part.jpg", "new.jpg"] {
            let line = line(&list, path);
            assert!(line.starts_with(today.trim()) && line.contains("interrupted"), "{line}");
        }
        assert!(line(&list, "new.jpg").contains(" 60000 "), "{list}");
        for path in ["d/old.jpg", "part.jpg"] {
            assert!(mount.emulator.read(path).is_some_and(|found| found == old), "it stands");
        }
        assert!(mount.emulator.row("new.jpg").is_none());
        assert!(staged(&mount).iter().any(|path| fs::read(path).is_ok_and(|it| it == new)));
        mount.emulator.remove("mark.jpg");
    }
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn export_copies_the_bytes_out_and_never_over_another_file() {
    let Interrupted { mount, new, .. } = interrupted();
    let out = mount.dir.path().join("out/side");
    let first = pending(&mount, &["export", out.to_str().expect("UTF-8")]);
    let places = must(&first);
    assert_eq!(places.lines().count(), 3, "{places}");
    assert!(places.lines().all(|place| Path::new(place).starts_with(&out)), "{places}");
    for path in ["new.jpg", "d/old.jpg"] {
        assert!(fs::read(out.join(path)).is_ok_and(|found| found == new), "{path}");
    }
    assert!(fs::read(out.join("part.jpg")).is_ok_and(|it| it[40_000..].starts_with(b"changed")));
    let said = text(&first.stderr);
    assert!(said.lines().any(|line| line.contains("part.jpg") && line.contains("part")), "{said}");
    assert!(!said.contains("new.jpg"), "{said}");
    fs::write(out.join("new.jpg"), b"mine").expect("written");
    must(&pending(&mount, &["export", out.to_str().expect("UTF-8"), "new.jpg"]));
    assert_eq!(fs::read(out.join("new.jpg")).expect("read"), b"mine");
    let copies = fs::read_dir(&out).expect("the folder").flatten();
    let whole = |file: &fs::DirEntry| fs::read(file.path()).is_ok_and(|it| it == new);
    assert_eq!(copies.filter(whole).count(), 1, "beside it");
    assert_eq!(listed(&mount).lines().count(), 3, "an export gives up nothing");
}

#[test]
fn a_whole_overwrite_exports_without_a_warning() {
    let Interrupted { mount, .. } = interrupted();
    let out = mount.dir.path().join("out");
    let output = pending(&mount, &["export", out.to_str().expect("UTF-8"), "d/old.jpg"]);
    must(&output);
    assert_eq!(text(&output.stderr), "", "it was cut to nothing first: nothing is missing");
}

/// Tries one path again, beside a mount or without one, and gives what the bed then has there. What
/// was not named stays as it was.
fn retried(interrupted: &Interrupted, path: &str, is_mounted: bool) -> Vec<u8> {
    let Interrupted { mount, old, .. } = interrupted;
    if is_mounted {
        mount_again(mount, &[]);
    }
    let output = pending(mount, &["retry", path]);
    assert!(output.status.success(), "{path}: {}", text(&output.stderr));
    eventually("it is done", || !listed(mount).contains(path));
    assert_eq!(listed(mount).lines().count(), 2, "what was not named waits: {}", listed(mount));
    let found = mount.emulator.read(path).expect("it is at the bed");
    if is_mounted {
        assert!(fs::read(mount.at(path)).is_ok_and(|it| it == found), "{path}");
        mount.unmount();
    }
    let others = ["d/old.jpg", "part.jpg", "new.jpg"].into_iter().filter(|other| *other != path);
    for other in others {
        assert!(mount.emulator.read(other).is_none_or(|found| found == *old), "{other}");
    }
    assert_eq!(mount.emulator.tree().iter().filter(|(path, _)| path.starts_with('.')).count(), 0);
    found
}

#[test]
fn retry_uploads_a_new_file_that_was_interrupted() {
    for is_mounted in [true, false] {
        let left = interrupted();
        assert!(retried(&left, "new.jpg", is_mounted) == left.new);
    }
}

#[test]
fn retry_uploads_what_was_written_over_an_old_picture() {
    for is_mounted in [true, false] {
        let left = interrupted();
        assert!(retried(&left, "d/old.jpg", is_mounted) == left.new, "beside: {is_mounted}");
    }
}

#[test]
fn retry_uploads_an_old_picture_with_the_part_that_was_changed() {
    for is_mounted in [true, false] {
        let left = interrupted();
        let found = retried(&left, "part.jpg", is_mounted);
        assert!(found == changed(&left.old), "beside: {is_mounted}");
    }
}

#[test]
fn discard_gives_up_what_it_is_told_and_nothing_else() {
    let Interrupted { mount, old, .. } = interrupted();
    let wrong = pending(&mount, &["discard", "d/ol.jpg"]);
    assert!(!wrong.status.success());
    let said = text(&wrong.stderr);
    assert!(said.lines().count() == 1 && said.contains("d/ol.jpg"), "{said}");
    assert!(!pending(&mount, &["discard"]).status.success(), "never all by accident");
    must(&pending(&mount, &["discard", "new.jpg"]));
    mount_again(&mount, &[]);
    must(&pending(&mount, &["discard", "d/old.jpg"]));
    let list = listed(&mount);
    assert!(list.lines().count() == 1 && list.contains("part.jpg"), "{list}");
    mount.unmount();
    let left = staged(&mount);
    let is_of_part = |path: &std::path::PathBuf| path.to_string_lossy().contains("part.jpg");
    assert!(!left.is_empty() && left.iter().all(is_of_part), "{left:?}");
    bed_is(&mount, &[("d", b""), ("d/old.jpg", &old), ("part.jpg", &old)]);
}

#[test]
fn what_failed_can_be_exported_and_discarded_without_a_mount() {
    let mount = in_background();
    mount.emulator.inject(stays("create", refusal(1, "not today")));
    for name in ["a.jpg", "b.jpg"] {
        run("cp", [mount.local("source", name.as_bytes()), mount.at(name)]);
        eventually("failed", || xattr(&mount.at(name), "state").as_deref() == Some("failed"));
    }
    crash(&mount);
    let out = mount.dir.path().join("out");
    must(&pending(&mount, &["export", out.to_str().expect("UTF-8")]));
    assert_eq!(fs::read(out.join("a.jpg")).expect("read"), b"a.jpg");
    must(&pending(&mount, &["discard", "a.jpg"]));
    let refused = pending(&mount, &["retry"]);
    assert!(!refused.status.success(), "the service still refuses");
    assert!(text(&refused.stderr).contains("b.jpg"), "{}", text(&refused.stderr));
    let list = listed(&mount);
    assert!(list.contains("b.jpg") && list.contains("not today"), "{list}");
    assert!(!list.contains("a.jpg"), "{list}");
    mount.emulator.clear_faults();
    must(&pending(&mount, &["retry"]));
    bed_is(&mount, &[("b.jpg", b"b.jpg")]);
    assert_eq!(listed(&mount), "");
    assert_eq!(staged(&mount), Vec::<std::path::PathBuf>::new(), "nobody wants these bytes");
}

#[test]
fn a_retry_without_a_service_fails_and_keeps_everything() {
    let Interrupted { mount, new, .. } = interrupted();
    mount.emulator.inject(stays("*", FaultKind::Reset));
    let output = pending(&mount, &["retry", "new.jpg"]);
    assert!(!output.status.success());
    assert!(!text(&output.stderr).is_empty());
    assert!(listed(&mount).contains("new.jpg"), "{}", listed(&mount));
    mount.emulator.clear_faults();
    mount_again(&mount, &[]);
    eventually("done by the mount", || mount.emulator.read("new.jpg").is_some_and(|it| it == new));
}

#[test]
fn what_a_running_mount_writes_is_not_called_interrupted_and_cannot_be_discarded() {
    let mount = in_background();
    let mut file = fs::File::create(mount.at("a.jpg")).expect("created");
    file.write_all(b"first half, ").expect("written");
    let list = listed(&mount);
    assert!(!list.contains("interrupted"), "it is being written: {list}");
    let discarded = pending(&mount, &["discard", "a.jpg"]);
    assert!(!discarded.status.success(), "the mount has it at hand");
    file.write_all(b"second half").expect("written");
    file.sync_all().expect("fsync");
    drop(file);
    crash(&mount);
    mount_again(&mount, BACKGROUND);
    all_done(&mount);
    bed_is(&mount, &[("a.jpg", b"first half, second half")]);
}

#[test]
fn looking_at_what_is_pending_while_files_come_in_disturbs_none_of_them() {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let names: Vec<_> = (0..400).map(|number| format!("{number}.jpg")).collect();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    listed(&mount);
                }
            });
        }
        for name in &names {
            fs::write(mount.at(name), name).expect("written and closed");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let list = listed(&mount);
    assert!(!list.contains("interrupted"), "nothing was: {list}");
    crash(&mount);
    mount.emulator.clear_faults();
    let list = listed(&mount);
    assert_eq!(list.lines().count(), names.len(), "each was closed once: {list}");
    mount_again(&mount, BACKGROUND);
    all_done(&mount);
    bed_is(&mount, &names.iter().map(|name| (&**name, name.as_bytes())).collect::<Vec<_>>());
}

#[test]
fn what_a_saver_left_is_told_after_an_hour_and_holds_nothing_up() {
    let mount = bed(|bed| drop(bed.put("b.svg", b"<svg/>")));
    for name in ["a.svg.QGYOP0", "sedAb3dE9", ".DS_Store"] {
        fs::write(mount.at(name), noise(1, 5000)).expect("written");
    }
    fs::rename(mount.at("b.svg"), mount.at("b.svg.bak")).expect("renamed");
    assert_eq!(listed(&mount), "", "a save may be under way");
    mount.unmount();
    // As if it were two hours later.
    let older = "for db in state/bedfs/*/state.db; do
            sqlite3 $db 'update local set changed = changed - 7200'; done
        touch -d '2 hours ago' state/bedfs/*/staging/*";
    run("sh", ["-c", &format!("cd {} && {older}", mount.dir.path().display())]);
    let list = listed(&mount);
    for name in ["a.svg.QGYOP0", "sedAb3dE9", "b.svg.bak"] {
        assert!(line(&list, name).contains("  local  "), "{list}");
    }
    assert_eq!(list.lines().count(), 6, "each is told with what to do: {list}");
    let run_pending = |args: &[&str]| mount.bedfs("pending").args(args).output().expect("runs");
    let out = mount.dir.path().join("out");
    let exported = run_pending(&["export", out.to_str().expect("UTF-8")]);
    must(&exported);
    assert!(fs::read(out.join("a.svg.QGYOP0")).expect("exported") == noise(1, 5000));
    assert!(!out.join("b.svg.bak").exists(), "its bytes are at the service alone");
    assert!(text(&exported.stderr).contains("b.svg.bak"), "{}", text(&exported.stderr));
    for action in ["retry", "discard"] {
        let refused = run_pending(&[action, "sedAb3dE9"]);
        assert!(!refused.status.success(), "{action}");
        assert!(text(&refused.stderr).contains("rename it"), "{}", text(&refused.stderr));
    }
    mount_again(&mount, &[]);
    mount.quiet();
    assert!(line(&listed(&mount), "sedAb3dE9").contains("  local  "));
    fs::rename(mount.at("a.svg.QGYOP0"), mount.at("a.svg")).expect("renamed");
    assert_eq!(mount.emulator.read("a.svg"), Some(noise(1, 5000)));
    assert!(!listed(&mount).contains("a.svg.QGYOP0"));
}

#[test]
fn a_name_cannot_write_lines_of_its_own_into_the_list() {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let name = "a\n2026-01-01 00-00-00  pending  7  \u{1b}[2Jforged.jpg";
    fs::write(mount.at(name), b"bytes").expect("written");
    let list = listed(&mount);
    assert_eq!(list.lines().count(), 1, "{list:?}");
    assert!(!list.contains('\u{1b}'), "{list:?}");
}

#[test]
fn a_mount_is_not_refused_since_somebody_looks_at_what_is_pending() {
    let mount = in_background();
    mount.unmount();
    let staging = mount.dir.path().join("state/bedfs");
    let account = fs::read_dir(staging).expect("the state").next().expect("one").expect("read");
    for number in 0..50 {
        let name = format!("staging/20260101T000000-{number:06}-{number}.jpg");
        fs::write(account.path().join(name), b"of a damaged journal").expect("written");
    }
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let mounted: Vec<Output> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                listed(&mount);
            }
        });
        let mounts = (0..15).map(|_| {
            let output = mount.mount(&[]);
            if output.status.success() {
                mount.unmount();
            }
            output
        });
        let mounted = mounts.collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        mounted
    });
    for output in mounted {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}
