//! The journal as files and a lock: who may have it, what becomes of it when it is damaged, and that
//! what it acknowledged outlives the mount.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use bedfs_emulator::{Emulator, FaultKind, Options};

use crate::command::{kill, pid};
use crate::harness::{Mount, attempt, fast, noise, run, text};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, crash, crash_process, eventually, in_background, is_alive,
    listed, mount_again, over_old, pending, staged, stays,
};

/// The account's folder.
fn account(mount: &Mount) -> PathBuf {
    let state = mount.dir.path().join("state/bedfs");
    let mut accounts = fs::read_dir(state).expect("the state");
    accounts.next().expect("an account").expect("an entry").path()
}

fn state_file(mount: &Mount) -> PathBuf {
    account(mount).join("state.db")
}

/// Runs SQL on the state file.
fn sql(mount: &Mount, statement: &str) {
    let program = "import sqlite3, sys\n\
                   db = sqlite3.connect(sys.argv[1])\n\
                   db.executescript(sys.argv[2])\n\
                   db.commit()";
    let file = state_file(mount);
    run("python3", ["-c", program, file.to_str().expect("UTF-8"), statement]);
}

/// A killed mount with one closed picture that is not uploaded, `a.jpg`, and one that was never
/// closed, `b.jpg`.
fn left_behind(bytes: &[u8]) -> Mount {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.put("remote.jpg", b"remote");
    let mount = Mount::over(emulator, BACKGROUND);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    run("cp", [mount.local("source", bytes), mount.at("a.jpg")]);
    let mut open = fs::File::create(mount.at("b.jpg")).expect("created");
    open.write_all(bytes).expect("written");
    crash(&mount);
    mount.emulator.clear_faults();
    mount
}

/// Has SQLite put all that was committed into the one file, as the end of a process does.
fn checkpoint(mount: &Mount) {
    sql(mount, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert!(!state_file(mount).with_extension("db-wal").exists());
}

fn is_refused_in_a_line(output: &Output, words: &str) {
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(said.lines().count() == 1 && said.contains(words), "{said}");
}

#[test]
fn a_second_mount_of_the_account_is_told_who_has_it_and_the_first_goes_on() {
    let mount = Mount::new();
    let other = mount.dir.path().join("other");
    fs::create_dir(&other).expect("a mount point");
    let second = || mount.bedfs("mount").arg(&other).output().expect("bedfs runs");
    for _ in 0..2 {
        is_refused_in_a_line(&second(), mount.path.to_str().expect("UTF-8"));
        let foreground = mount.bedfs("mount").arg("--foreground").arg(&other).output();
        is_refused_in_a_line(&foreground.expect("bedfs runs"), &pid(&mount).to_string());
    }
    run("cp", [mount.local("a.jpg", b"a"), mount.path.clone()]);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"a"[..]));
    // The lock dies with its process, also where the dead mount is still in the table.
    let process = pid(&mount);
    kill(process, libc::SIGKILL);
    eventually("killed", || !is_alive(process));
    let output = second();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(other.join("a.jpg")).expect("read"), b"a");
    let ended = mount.bedfs("umount").arg(&other).output().expect("bedfs runs");
    assert!(ended.status.success(), "{}", text(&ended.stderr));
}

#[test]
fn of_many_mounts_at_once_one_gets_the_journal() {
    let mount = left_behind(b"bytes");
    let places: Vec<_> = (0..5).map(|n| mount.dir.path().join(format!("m{n}"))).collect();
    places.iter().for_each(|place| fs::create_dir(place).expect("a mount point"));
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let mount = &mount;
        let start = |place| scope.spawn(move || mount.bedfs("mount").arg(place).output());
        let all: Vec<_> = places.iter().map(start).collect();
        all.into_iter().map(|one| one.join().expect("an end").expect("bedfs runs")).collect()
    });
    let winners: Vec<_> =
        outputs.iter().zip(&places).filter(|(output, _)| output.status.success()).collect();
    assert_eq!(winners.len(), 1);
    let others = outputs.iter().filter(|output| !output.status.success());
    others.for_each(|output| is_refused_in_a_line(output, "on this machine"));
    eventually("replayed", || mount.emulator.row("a.jpg").is_some());
    let ended = mount.bedfs("umount").arg(winners[0].1).output().expect("bedfs runs");
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    bed_is(&mount, &[("a.jpg", b"bytes"), ("remote.jpg", b"remote")]);
    assert_eq!(mount.emulator.count("upload_complete"), 1);
}

#[test]
fn what_was_closed_is_finished_by_the_next_mount_when_the_kill_came_before_the_answer() {
    for endpoint in ["create", "get_upload_url", "put", "upload_complete"] {
        for kind in [FaultKind::Hang, FaultKind::HangAfter] {
            let mount = Mount::with(Options { slice_size: 64 << 10, ..fast() }, &[]);
            let bytes = noise(1, 200_000);
            mount.emulator.inject(stays(endpoint, kind.clone()));
            let (source, process) = (mount.local("a.jpg", &bytes), pid(&mount));
            std::thread::scope(|scope| {
                let copy = scope.spawn(|| attempt("cp", [&source, &mount.path]));
                eventually("on its way", || mount.emulator.count(endpoint) > 0);
                crash_process(&mount, process);
                assert!(!copy.join().expect("cp ends").status.success(), "nothing was promised");
            });
            mount.emulator.clear_faults();
            mount_again(&mount, &[]);
            let found = fs::read(mount.at("a.jpg"));
            assert!(found.is_ok_and(|found| found == bytes), "{endpoint} {kind:?}");
            all_done(&mount);
            bed_is(&mount, &[("a.jpg", &bytes)]);
            eventually("nothing is staged any more", || staged(&mount).is_empty());
        }
    }
}

/// What is done to the state file.
type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn a_damaged_state_file_is_set_aside_and_the_staged_bytes_are_still_there() {
    let bytes = noise(1, 30_000);
    let noise_in = |file: &Path| fs::write(file, noise(7, 50_000)).expect("written");
    let noise_inside = |file: &Path| {
        let mut all = fs::read(file).expect("the file");
        let middle = all.len() / 2;
        all[middle..middle + 4096].copy_from_slice(&noise(8, 4096));
        all[4096..5000].copy_from_slice(&noise(9, 904));
        fs::write(file, all).expect("written");
    };
    let cut = |parts: u64| {
        move |file: &Path| {
            let len = fs::metadata(file).expect("the file").len();
            let file = fs::File::options().write(true).open(file).expect("opened");
            file.set_len(len * parts / 10 + 3).expect("cut");
        }
    };
    let damages: [(&str, Damage<'_>); 6] = [
        ("noise", &noise_in),
        ("noise inside", &noise_inside),
        ("cut to 3 bytes", &cut(0)),
        ("cut to a tenth", &cut(1)),
        ("cut to a half", &cut(5)),
        ("cut to nine tenths", &cut(9)),
    ];
    for (what, damage) in damages {
        let mount = left_behind(&bytes);
        checkpoint(&mount);
        damage(&state_file(&mount));
        let broken = fs::read(state_file(&mount)).expect("the file");
        let said = text(&mount_again(&mount, &[]).stderr);
        assert!(said.contains("damaged"), "{what}: {said:?}");
        assert_eq!(fs::read(mount.at("remote.jpg")).expect("read"), b"remote", "{what}");
        is_salvaged(&mount, &broken, &bytes, what);
        mount.unmount();
        bed_is(&mount, &[("remote.jpg", b"remote")]);
    }
}

/// The damaged file is kept as it was, and what was staged is listed and exported.
fn is_salvaged(mount: &Mount, broken: &[u8], bytes: &[u8], what: &str) {
    let files = fs::read_dir(account(mount)).expect("the account").flatten();
    let aside: Vec<_> = files
        .map(|file| file.path())
        .filter(|path| path.to_string_lossy().contains("state.db.damaged-"))
        .collect();
    assert!(aside.iter().any(|path| fs::read(path).is_ok_and(|it| it == broken)), "{what}");
    let list = listed(mount);
    assert_eq!(list.lines().count(), 2, "{what}: {list}");
    assert!(list.contains("a.jpg") && list.contains("b.jpg"), "{what}: {list}");
    let out = mount.dir.path().join("out");
    let output = pending(mount, &["export", out.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{what}: {}", text(&output.stderr));
    for name in ["a.jpg", "b.jpg"] {
        assert!(fs::read(out.join(name)).is_ok_and(|it| it == bytes), "{what}: {name}");
    }
}

#[test]
fn an_empty_or_missing_state_file_and_its_leavings_lose_no_staged_bytes() {
    let bytes = noise(1, 30_000);
    for (is_empty, with_wal) in [(true, false), (true, true), (false, false), (false, true)] {
        let mount = left_behind(&bytes);
        if !with_wal {
            checkpoint(&mount);
        }
        match is_empty {
            true => fs::write(state_file(&mount), b"").expect("emptied"),
            false => fs::remove_file(state_file(&mount)).expect("removed"),
        }
        mount_again(&mount, &[]);
        assert_eq!(fs::read(mount.at("remote.jpg")).expect("read"), b"remote");
        let has_it = || listed(&mount).contains("a.jpg") || mount.emulator.row("a.jpg").is_some();
        assert!(has_it(), "{is_empty} {with_wal}: {}", listed(&mount));
        let on_disk = staged(&mount).iter().any(|path| fs::read(path).is_ok_and(|it| it == bytes));
        assert!(on_disk, "{is_empty} {with_wal}");
        mount.unmount();
    }
}

#[test]
fn a_damaged_row_does_not_keep_the_bed_from_being_mounted() {
    let mount = left_behind(b"bytes");
    sql(&mount, "UPDATE local SET base = 'noise' WHERE name = 'b.jpg'");
    mount_again(&mount, &[]);
    assert_eq!(fs::read(mount.at("remote.jpg")).expect("read"), b"remote");
    let list = listed(&mount);
    assert!(list.contains("b.jpg"), "{list}");
}

#[test]
fn a_state_file_of_another_version_is_refused_and_left_as_it_is() {
    let mount = left_behind(b"bytes");
    checkpoint(&mount);
    let ours = fs::read(state_file(&mount)).expect("the file");
    let others = [
        ("PRAGMA user_version=99", "newer"),
        ("PRAGMA application_id=0; PRAGMA user_version=8", "before its first release"),
    ];
    for (change, said) in others {
        sql(&mount, change);
        checkpoint(&mount);
        let before = fs::read(state_file(&mount)).expect("the file");
        for output in [mount.mount(&[]), pending(&mount, &[]), pending(&mount, &["retry"])] {
            is_refused_in_a_line(&output, said);
        }
        assert!(!mount.is_mounted());
        assert!(fs::read(state_file(&mount)).expect("the file") == before);
        assert_eq!(staged(&mount).len(), 2);
    }
    fs::write(state_file(&mount), ours).expect("as it was");
    mount_again(&mount, &[]);
    eventually("replayed", || mount.emulator.read("a.jpg").as_deref() == Some(b"bytes"));
}

#[test]
fn staged_bytes_that_were_removed_by_hand_are_told_and_the_old_version_stands() {
    let mount = over_old(b"old");
    let old = mount.emulator.row("old.jpg").map(|row| row.id);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    for name in ["old.jpg", "new.jpg"] {
        run("cp", [mount.local("source", b"staged"), mount.at(name)]);
    }
    crash(&mount);
    mount.emulator.clear_faults();
    staged(&mount).iter().for_each(|path| fs::remove_file(path).expect("removed"));
    mount_again(&mount, BACKGROUND);
    assert_eq!(fs::read(mount.at("old.jpg")).expect("read"), b"old");
    eventually("told", || {
        listed(&mount).lines().filter(|line| line.contains("failed")).count() == 2
    });
    assert!(mount.log().contains("new.jpg"), "{}", mount.log());
    let said = mount.bedfs("umount").arg(&mount.path).output().expect("bedfs runs");
    assert!(text(&said.stderr).contains("new.jpg"), "{}", text(&said.stderr));
    bed_is(&mount, &[("old.jpg", b"old")]);
    assert_eq!(mount.emulator.row("old.jpg").map(|row| row.id), old, "never touched");
    bed_is(&mount, &[("old.jpg", b"old")]);
    assert_eq!(mount.emulator.row("old.jpg").map(|row| row.id), old, "never touched");
    let discarded = pending(&mount, &["discard", "old.jpg", "new.jpg"]);
    assert!(discarded.status.success(), "{}", text(&discarded.stderr));
    assert!(listed(&mount).is_empty());
}

#[test]
fn what_is_journaled_is_open_to_its_owner_alone() {
    let mount = left_behind(b"bytes");
    mount_again(&mount, &[]);
    let mut places = vec![mount.dir.path().join("state/bedfs")];
    let mut seen = 0;
    while let Some(place) = places.pop() {
        let metadata = fs::symlink_metadata(&place).expect("a place");
        let mode = metadata.permissions().mode() & 0o777;
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}: {mode:o}", place.display());
        seen += 1;
        if metadata.is_dir() {
            places.extend(fs::read_dir(&place).expect("a folder").flatten().map(|it| it.path()));
        }
    }
    assert!(seen >= 7, "the state file and what belongs to it, lock, log, token, staged bytes");
}

#[test]
fn what_lies_outside_of_the_mounted_folder_waits_is_told_and_is_done_later() {
    for by_mount in [true, false] {
        let mount = in_background();
        for folder in ["sub", "other"] {
            fs::create_dir(mount.at(folder)).expect("a folder");
        }
        mount.emulator.inject(stays("create", FaultKind::Hang));
        for path in ["sub/in.jpg", "other/out.jpg", "top.jpg"] {
            fs::write(mount.at(path), path).expect("written");
        }
        crash(&mount);
        mount.emulator.clear_faults();
        mount_again(&mount, &["--root", "sub", "--upload", "background"]);
        eventually("in.jpg is done", || mount.emulator.row("sub/in.jpg").is_some());
        let list = listed(&mount);
        assert!(list.contains("other/out.jpg") && list.contains("top.jpg"), "{list}");
        assert_eq!(list.matches("pending").count(), 2, "{list}");
        let began = std::time::Instant::now();
        let output = mount.bedfs("umount").arg(&mount.path).output().expect("bedfs runs");
        let said = text(&output.stderr);
        assert!(began.elapsed().as_secs() < 20, "nobody is at them: {:?}", began.elapsed());
        assert!(said.contains("other/out.jpg") || mount.log().contains("other"), "told: {said}");
        assert!(mount.emulator.row("other/out.jpg").is_none());
        match by_mount {
            true => {
                mount_again(&mount, &[]);
                all_done(&mount);
            }
            false => {
                let retried = pending(&mount, &["retry"]);
                assert!(retried.status.success(), "{}", text(&retried.stderr));
            }
        }
        bed_is(
            &mount,
            &[
                ("sub", b""),
                ("sub/in.jpg", b"sub/in.jpg"),
                ("other", b""),
                ("other/out.jpg", b"other/out.jpg"),
                ("top.jpg", b"top.jpg"),
            ],
        );
    }
}
