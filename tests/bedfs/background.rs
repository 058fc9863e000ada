//! Uploads in the background: a close returns when its bytes are in the journal, and they get to the
//! service at its pace, whatever happens meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use bedfs_emulator::{FaultKind, Options};

use crate::bench::refusal;
use crate::harness::{Mount, attempt, fast, noise, run, text, xattr};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, crash, eventually, in_background, listed, mount_again, over_old,
    pending, staged, stays,
};

/// Uploads that bedfs has on their way at once.
const AT_ONCE: usize = 16;

fn copy(mount: &Mount, name: &str, bytes: &[u8]) {
    run("cp", [mount.local("source", bytes), mount.at(name)]);
}

/// A mount in the background all of whose places for uploads are taken: what is closed now waits
/// its turn. Its blockers are `0.jpg` and so on.
fn busy() -> Mount {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    for number in 0..AT_ONCE {
        copy(&mount, &format!("{number}.jpg"), format!("blocker {number}").as_bytes());
    }
    eventually("all places are taken", || mount.emulator.count("create") >= AT_ONCE);
    mount
}

/// The blockers give way by a crash, the service works again, and all is uploaded. The bed has the
/// blockers and these.
fn goes_on(mount: &Mount, wanted: &[(&str, &[u8])]) {
    crash(mount);
    mount.emulator.clear_faults();
    mount.emulator.forget_requests();
    mount_again(mount, BACKGROUND);
    for (name, bytes) in wanted {
        assert!(fs::read(mount.at(name)).is_ok_and(|found| found == *bytes), "{name} is there");
    }
    all_done(mount);
    let blockers: Vec<_> = (0..AT_ONCE)
        .map(|number| (format!("{number}.jpg"), format!("blocker {number}").into_bytes()))
        .collect();
    let blockers = blockers.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    bed_is(mount, &blockers.chain(wanted.iter().copied()).collect::<Vec<_>>());
    assert_eq!(mount.emulator.count("upload_complete"), AT_ONCE + wanted.len(), "each once");
}

/// Whether any call to the service named this file.
fn was_named(mount: &Mount, name: &str) -> bool {
    mount.emulator.requests().iter().any(|request| text(&request.body).contains(name))
}

#[test]
fn close_and_fsync_return_while_the_service_hangs_and_the_file_is_there() {
    let mount = busy();
    let (closed, synced) = (noise(1, 300_000), noise(2, 300_000));
    let began = Instant::now();
    copy(&mount, "a.jpg", &closed);
    let file = fs::File::create(mount.at("b.jpg")).expect("created");
    file.write_all_at(&synced, 0).expect("written");
    file.sync_all().expect("fsync");
    drop(file);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for (name, bytes) in [("a.jpg", &closed), ("b.jpg", &synced)] {
        assert_eq!(xattr(&mount.at(name), "state").as_deref(), Some("pending"));
        assert_eq!(fs::metadata(mount.at(name)).expect("a stat").len(), 300_000);
        assert!(fs::read(mount.at(name)).is_ok_and(|found| found == *bytes));
        assert!(run("ls", [&mount.path]).lines().any(|line| line == name));
        let list = listed(&mount);
        let line = list.lines().find(|line| line.ends_with(name)).expect("a line");
        assert!(line.contains("pending") && line.contains("300000"), "{line}");
        assert!(!was_named(&mount, name), "it waits for its turn");
    }
    assert!(mount.emulator.tree().is_empty());
    goes_on(&mount, &[("a.jpg", &closed), ("b.jpg", &synced)]);
}

#[test]
fn what_was_overwritten_before_it_went_is_never_sent() {
    let mount = busy();
    let (first, second) = (noise(1, 100_000), noise(2, 50_000));
    copy(&mount, "a.jpg", &first);
    copy(&mount, "a.jpg", &second);
    assert!(!was_named(&mount, "a.jpg"));
    goes_on(&mount, &[("a.jpg", &second)]);
}

#[test]
fn the_first_version_stands_until_the_second_is_closed() {
    let mount = busy();
    let (first, second) = (noise(1, 100_000), noise(2, 50_000));
    copy(&mount, "a.jpg", &first);
    let mut half = fs::File::create(mount.at("a.jpg")).expect("cut to nothing");
    half.write_all(&second).expect("written");
    crash(&mount);
    drop(half);
    mount_again(&mount, BACKGROUND);
    assert!(fs::read(mount.at("a.jpg")).is_ok_and(|found| found == first));
    goes_on(&mount, &[("a.jpg", &first)]);
    let list = listed(&mount);
    assert!(list.lines().count() == 1 && list.contains("interrupted"), "{list}");
    copy(&mount, "a.jpg", &second);
    all_done(&mount);
    assert!(mount.emulator.read("a.jpg").is_some_and(|found| found == second));
    mount.unmount();
    assert_eq!(mount.emulator.tree().len(), AT_ONCE + 1, "no scratch, nothing twice");
}

#[test]
fn what_was_renamed_and_removed_before_it_went_costs_no_call() {
    let mount = busy();
    copy(&mount, "gone-a.jpg", b"not wanted");
    run("mv", [mount.at("gone-a.jpg"), mount.at("gone-b.jpg")]);
    run("rm", [mount.at("gone-b.jpg")]);
    assert!(!mount.at("gone-a.jpg").exists() && !mount.at("gone-b.jpg").exists());
    assert!(!listed(&mount).contains("gone"), "{}", listed(&mount));
    eventually("its bytes are gone from disk", || staged(&mount).len() == AT_ONCE);
    assert!(!was_named(&mount, "gone"));
    goes_on(&mount, &[]);
    assert!(!was_named(&mount, "gone"));
}

#[test]
fn a_pending_file_that_is_renamed_goes_once_under_its_new_name() {
    let mount = busy();
    fs::create_dir(mount.at("d")).expect("a folder");
    let (bytes, other) = (noise(1, 100_000), noise(2, 20_000));
    copy(&mount, "old-name.jpg", &bytes);
    copy(&mount, "over.jpg", &other);
    run("mv", [mount.at("old-name.jpg"), mount.at("d/new.jpg")]);
    copy(&mount, "old-name.jpg", &other);
    run("mv", [mount.at("old-name.jpg"), mount.at("over.jpg")]);
    assert!(!mount.at("old-name.jpg").exists());
    assert!(fs::read(mount.at("d/new.jpg")).is_ok_and(|found| found == bytes));
    crash(&mount);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    all_done(&mount);
    assert!(!was_named(&mount, "old-name"), "nobody heard of that name");
    assert!(mount.emulator.read("d/new.jpg").is_some_and(|found| found == bytes));
    assert!(mount.emulator.read("over.jpg").is_some_and(|found| found == other));
    assert_eq!(mount.emulator.count("upload_complete"), AT_ONCE + 2);
    assert_eq!(mount.emulator.tree().len(), AT_ONCE + 3);
}

#[test]
fn a_folder_that_is_moved_takes_what_is_pending_in_it_along() {
    let mount = busy();
    fs::create_dir_all(mount.at("d/e")).expect("folders");
    fs::create_dir(mount.at("f")).expect("a folder");
    copy(&mount, "d/e/a.jpg", b"pending");
    run("mv", [mount.at("d"), mount.at("f")]);
    assert_eq!(fs::read(mount.at("f/d/e/a.jpg")).expect("read"), b"pending");
    assert!(listed(&mount).contains("f/d/e/a.jpg"), "{}", listed(&mount));
    crash(&mount);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    all_done(&mount);
    assert_eq!(mount.emulator.read("f/d/e/a.jpg").as_deref(), Some(&b"pending"[..]));
    assert!(mount.emulator.row("d").is_none());
}

#[test]
fn a_pending_file_can_be_appended_to_and_goes_once() {
    let mount = busy();
    let mut bytes = noise(1, 200_000);
    copy(&mount, "a.jpg", &bytes);
    for part in [noise(2, 10), noise(3, 70_000)] {
        let mut file = fs::File::options().append(true).open(mount.at("a.jpg")).expect("opened");
        file.write_all(&part).expect("appended");
        bytes.extend(part);
    }
    goes_on(&mount, &[("a.jpg", &bytes)]);
}

#[test]
fn a_reader_sees_the_same_bytes_before_during_and_after_the_upload() {
    let slow = Options { bandwidth: Some(512 << 10), slice_size: 128 << 10, ..fast() };
    let mount = Mount::with(slow, BACKGROUND);
    let bytes = noise(1, 1 << 20);
    copy(&mount, "a.jpg", &bytes);
    let mut reader = fs::File::open(mount.at("a.jpg")).expect("opened");
    let mut half = vec![0; 1 << 19];
    reader.read_exact(&mut half).expect("read");
    assert!(half == bytes[..1 << 19]);
    all_done(&mount);
    assert_eq!(xattr(&mount.at("a.jpg"), "state").as_deref(), Some("remote"));
    reader.read_exact(&mut half).expect("read");
    assert!(half == bytes[1 << 19..]);
    bed_is(&mount, &[("a.jpg", &bytes)]);
}

#[test]
fn thirty_files_at_once_go_in_parallel_and_all_arrive() {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let files: Vec<_> =
        (0..30).map(|number| (format!("{number}.jpg"), noise(number + 1, 20_000))).collect();
    let source = mount.dir.path().join("many");
    fs::create_dir(&source).expect("a folder");
    for (name, bytes) in &files {
        fs::write(source.join(name), bytes).expect("a local file");
    }
    run("cp", ["-r".into(), format!("{}/.", source.display()), mount.path.display().to_string()]);
    eventually("many wait for an answer", || mount.emulator.count("create") >= AT_ONCE);
    crash(&mount);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    assert_eq!(fs::read_dir(&mount.path).expect("the root").count(), 30, "at once");
    all_done(&mount);
    let files: Vec<_> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    bed_is(&mount, &files);
}

#[test]
fn what_is_closed_while_the_service_is_away_goes_when_it_is_back() {
    let mount = in_background();
    let old = noise(1, 40_000);
    copy(&mount, "old.jpg", &old);
    all_done(&mount);
    mount.emulator.forget_requests();
    mount.emulator.inject(stays("*", FaultKind::Reset));
    let (new, over) = (noise(2, 50_000), noise(3, 60_000));
    copy(&mount, "new.jpg", &new);
    copy(&mount, "old.jpg", &over);
    eventually("it is tried", || mount.emulator.requests().len() >= 4);
    assert!(mount.emulator.read("old.jpg").is_some_and(|found| found == old), "it stands");
    assert!(fs::read(mount.at("old.jpg")).is_ok_and(|found| found == over));
    mount.emulator.clear_faults();
    all_done(&mount);
    assert_eq!(xattr(&mount.at("new.jpg"), "state").as_deref(), Some("remote"));
    mount.unmount();
    bed_is(&mount, &[("new.jpg", &new), ("old.jpg", &over)]);
}

#[test]
fn a_refusal_for_good_is_told_keeps_the_bytes_and_ends_with_a_retry() {
    let mount = over_old(b"old");
    mount.emulator.inject(stays("create", refusal(1, "not today")));
    let bytes = noise(1, 50_000);
    for name in ["new.jpg", "old.jpg"] {
        copy(&mount, name, &bytes);
    }
    for round in 0..2 {
        for name in ["new.jpg", "old.jpg"] {
            let path = mount.at(name);
            eventually("it failed", || xattr(&path, "state").as_deref() == Some("failed"));
            assert!(xattr(&path, "error").is_some_and(|why| why.contains("not today")));
            assert!(fs::read(&path).is_ok_and(|found| found == bytes), "round {round}");
        }
        let list = listed(&mount);
        assert_eq!(list.lines().filter(|line| line.contains("failed")).count(), 2, "{list}");
        assert_eq!(list.matches("not today").count(), 2, "{list}");
        assert_eq!(staged(&mount).len(), 2);
        assert!(staged(&mount).iter().all(|path| fs::read(path).is_ok_and(|it| it == bytes)));
        assert_eq!(mount.emulator.read("old.jpg").as_deref(), Some(&b"old"[..]), "it stands");
        if round == 0 {
            crash(&mount);
            mount_again(&mount, BACKGROUND);
        }
    }
    mount.emulator.clear_faults();
    let retried = pending(&mount, &["retry", "new.jpg"]);
    assert!(retried.status.success(), "{}", text(&retried.stderr));
    eventually("uploaded", || mount.emulator.read("new.jpg").is_some_and(|found| found == bytes));
    assert_eq!(mount.emulator.read("old.jpg").as_deref(), Some(&b"old"[..]), "not asked for");
    assert!(pending(&mount, &["retry"]).status.success());
    all_done(&mount);
    assert_eq!(xattr(&mount.at("old.jpg"), "error"), None);
    assert!(listed(&mount).is_empty());
    mount.unmount();
    eventually("nothing is staged any more", || staged(&mount).is_empty());
    bed_is(&mount, &[("new.jpg", &bytes), ("old.jpg", &bytes)]);
}

#[test]
fn two_processes_that_write_one_file_both_have_their_bytes_in_it() {
    let mount = in_background();
    let (low, high) = (noise(1, 300_000), noise(2, 300_000));
    let (first, second) = (mount.local("low", &low), mount.local("high", &high));
    for round in 0..6 {
        let to = mount.at(format!("{round}.jpg"));
        std::thread::scope(|scope| {
            for (from, seek) in [(&first, 0), (&second, 300_000)] {
                let write = format!(
                    "dd if={} of={} bs=1000 seek={} conv=notrunc,fsync status=none",
                    from.display(),
                    to.display(),
                    seek / 1000
                );
                scope.spawn(move || run("sh", ["-c", &write]));
            }
        });
        assert!(fs::read(&to).is_ok_and(|found| found == [&low[..], &high[..]].concat()));
    }
    mount.unmount();
    let all = [low, high].concat();
    let names: Vec<_> = (0..6).map(|round| format!("{round}.jpg")).collect();
    bed_is(&mount, &names.iter().map(|name| (&**name, &all[..])).collect::<Vec<_>>());
}

#[test]
fn what_was_synced_in_the_middle_of_writing_is_there_after_a_kill() {
    let (synced, later) = (noise(1, 150_000), noise(2, 150_000));
    let mount = over_old(&synced);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let mut new = fs::File::create(mount.at("new.jpg")).expect("created");
    new.write_all(&synced).expect("written");
    new.sync_all().expect("fsync");
    new.write_all(&later).expect("written");
    let old = fs::File::options().write(true).open(mount.at("old.jpg")).expect("opened");
    old.write_all_at(b"synced", 70_000).expect("written");
    old.sync_all().expect("fsync");
    old.write_all_at(b"and not", 100_000).expect("written");
    crash(&mount);
    drop((new, old));
    mount_again(&mount, BACKGROUND);
    let is_kept = |bytes: Option<Vec<u8>>| bytes.is_some_and(|it| it.starts_with(&synced));
    assert!(is_kept(fs::read(mount.at("new.jpg")).ok()));
    mount.emulator.clear_faults();
    crash(&mount);
    mount_again(&mount, BACKGROUND);
    all_done(&mount);
    assert!(is_kept(mount.emulator.read("new.jpg")));
    let old = mount.emulator.read("old.jpg").expect("it stands");
    assert!(old.len() == 150_000 && old[70_000..].starts_with(b"synced"));
    assert!(old[..70_000] == synced[..70_000] && old[110_000..] == synced[110_000..]);
}

#[test]
fn a_rename_that_fails_for_a_while_leaves_the_file_pending() {
    let mount = over_old(b"old");
    // It may pass, and is told at once.
    mount.emulator.inject(stays("create", refusal(401, "the token is not known")));
    let bytes = noise(1, 50_000);
    copy(&mount, "old.jpg", &bytes);
    let moved = attempt("mv", [mount.at("old.jpg"), mount.at("new.jpg")]);
    assert!(!moved.status.success(), "there is no service to do it");
    assert_eq!(mount.emulator.read("old.jpg").as_deref(), Some(&b"old"[..]), "it stands");
    assert!(!listed(&mount).contains("failed"), "nothing failed for good: {}", listed(&mount));
    mount.emulator.clear_faults();
    all_done(&mount);
    mount.unmount();
    bed_is(&mount, &[("old.jpg", &bytes)]);
}

#[test]
fn what_is_changed_while_its_upload_is_under_way_outlives_a_kill() {
    let bytes = noise(1, 100_000);
    let mount = over_old(&bytes);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let change = |at: u64, what: &[u8]| {
        let file = fs::File::options().write(true).open(mount.at("old.jpg")).expect("opened");
        file.write_all_at(what, at).expect("written");
        file.sync_all().expect("fsync");
    };
    change(10_000, b"first");
    eventually("its upload is under way", || mount.emulator.count("create") > 0);
    change(50_000, b"second");
    crash(&mount);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    let mut wanted = bytes;
    wanted[10_000..10_005].copy_from_slice(b"first");
    wanted[50_000..50_006].copy_from_slice(b"second");
    assert!(fs::read(mount.at("old.jpg")).is_ok_and(|found| found == wanted));
    all_done(&mount);
    mount.unmount();
    bed_is(&mount, &[("old.jpg", &wanted)]);
}
