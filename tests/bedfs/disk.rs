//! The local disk fails: full, read-only, emptied under a running mount, with a state file that is
//! cut or overwritten. The error comes at the call that needed the disk, nothing is acknowledged, and
//! nothing at the service goes for it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bedfs_emulator::{Emulator, Fault, FaultKind};

use crate::bench::all_at_once;
use crate::command::{pid, unmounted};
use crate::compare::{bed, content};
use crate::crash::{kill_at_once, laid_out, settle};
use crate::harness::{Mount, attempt, fast, noise, run, text, wait_until, xattr};
use crate::model::Dice;

const BACKGROUND: &[&str] = &["--upload", "background"];

/// What the errors of a full disk are called; SQLite does not always tell which one it was.
const FULL: [&str; 2] = ["No space left on device", "Input/output error"];

/// Bytes of the small disk, and of a picture that does not fit on it.
const DISK: usize = 3 << 20;
const LARGE: usize = 8 << 20;

/// A mount whose state is on a small disk of its own.
struct Small {
    mount: Mount,
    disk: PathBuf,
}

impl Small {
    fn new(args: &[&str]) -> Self {
        let mut mount = unmounted();
        mount.emulator = laid_out(fast());
        let disk = mount.dir.path().join("state");
        fs::create_dir(&disk).expect("a folder");
        let size = format!("size={DISK}");
        let target = disk.as_os_str();
        run(
            "mount",
            ["-t", "tmpfs", "-o", &size, "tmpfs"].map(AsRef::as_ref).into_iter().chain([target]),
        );
        let small = Self { mount, disk };
        let output = small.mount.mount(args);
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
        run("find", [&small.mount.path]);
        small
    }

    /// Takes up all the room there is.
    fn fill(&self) {
        let mut filler = File::create(self.disk.join("filler")).expect("a file");
        while filler.write_all(&[1; 4096]).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.disk.join("filler")).expect("removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if self.mount.is_mounted() {
            attempt("umount", ["-l".as_ref(), self.mount.path.as_os_str()]);
        }
        attempt("umount", ["-l".as_ref(), self.disk.as_os_str()]);
    }
}

/// Runs a command that must fail with one of these words.
fn fails(command: &str, mount: &Mount, words: &[&str]) {
    let line = format!("cd {} && {command}", mount.path.display());
    let output = attempt("sh", ["-c", &line]);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{command:?} succeeded");
    assert!(words.iter().any(|word| said.contains(word)), "{command:?}: {said}");
}

fn no_violations(mount: &Mount) {
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

fn ids(emulator: &Emulator) -> Vec<(String, String)> {
    emulator.tree().into_iter().map(|(path, row)| (path, row.id)).collect()
}

#[test]
fn a_picture_that_does_not_fit_on_the_disk_is_an_error_and_takes_the_place_of_nothing() {
    for args in [&["--upload", "close"], BACKGROUND] {
        let small = Small::new(args);
        let mount = &small.mount;
        let before = ids(&mount.emulator);
        let large = mount.local("large.jpg", &noise(1, LARGE));
        let small_one = mount.local("small.jpg", &noise(2, 9000));
        for name in ["d/n.jpg", "d/a.jpg"] {
            let copied = attempt("cp", [&large, &mount.at(name)]);
            let said = text(&copied.stderr);
            assert!(said.contains(FULL[0]), "{name}: {said}");
            let left = ids(&mount.emulator);
            for row in &before {
                assert!(left.contains(row), "{} is not what it was", row.0);
            }
            // What took the room can be cut, or removed, to have it again.
            run("cp", [&small_one, &mount.at(name)]);
            settle(mount);
            assert!(mount.emulator.read(name) == Some(noise(2, 9000)), "{name}");
        }
        attempt("cp", [&large, &mount.at("d/m.jpg")]);
        run("rm", [mount.at("d/m.jpg")]);
        run("cp", [mount.local("fits.jpg", b"fits"), mount.at("d/fits.jpg")]);
        settle(mount);
        assert_eq!(mount.emulator.read("d/fits.jpg").as_deref(), Some(&b"fits"[..]));
        no_violations(mount);
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_deletes_nothing() {
    for args in [&["--upload", "close"], BACKGROUND] {
        let small = Small::new(args);
        let mount = &small.mount;
        let before = ids(&mount.emulator);
        let local = mount.local("one.jpg", &noise(1, 300_000));
        small.fill();
        fails(&format!("cp {} d/n.jpg", local.display()), mount, &FULL);
        fails(&format!("cp {} d/a.jpg", local.display()), mount, &FULL);
        let all = attempt(
            "sh",
            ["-c", &format!("cd {} && rm d/b.jpg && mv e/b.jpg d/", mount.path.display())],
        );
        assert_eq!(fs::read(mount.at("d/u.jpg")).ok(), mount.emulator.read("d/u.jpg"), "readable");
        if !all.status.success() {
            settle(mount);
            let left = ids(&mount.emulator);
            for row in &before {
                assert!(left.contains(row), "{} is not what it was", row.0);
            }
        }
        small.make_room();
        // The same mount goes on.
        for name in ["d/n.jpg", "d/a.jpg"] {
            run("cp", [&local, &mount.at(name)]);
            settle(mount);
            assert!(mount.emulator.read(name) == Some(noise(1, 300_000)), "{name}");
        }
        run("rm", [mount.at("d/u.jpg")]);
        settle(mount);
        assert!(mount.emulator.read("d/u.jpg").is_none());
        let output = mount.bedfs("umount").arg(&mount.path).output().expect("bedfs runs");
        assert!(!mount.is_mounted(), "{}", text(&output.stderr));
        no_violations(mount);
    }
}

#[test]
fn what_was_acknowledged_before_the_disk_was_full_is_uploaded() {
    let small = Small::new(BACKGROUND);
    let mount = &small.mount;
    mount.emulator.inject(Fault::new("create", FaultKind::Status(503)).always());
    let bytes = noise(1, 300_000);
    run("cp", [mount.local("one.jpg", &bytes), mount.at("d/a.jpg")]);
    small.fill();
    kill_at_once(pid(mount));
    attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
    // A mount that cannot write its state says so, and leaves everything as it is.
    let output = mount.mount(BACKGROUND);
    if !output.status.success() {
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
    small.make_room();
    mount.emulator.clear_faults();
    wait_until("mounted", || mount.is_mounted() || mount.mount(BACKGROUND).status.success());
    wait_until("uploaded", || mount.emulator.read("d/a.jpg").as_ref() == Some(&bytes));
    settle(mount);
    no_violations(mount);
}

#[test]
fn a_state_folder_that_is_read_only_is_told_before_anything_is_acknowledged() {
    let small = Small::new(&[]);
    let mount = &small.mount;
    mount.unmount();
    let before = ids(&mount.emulator);
    run("mount", ["-o".as_ref(), "remount,ro".as_ref(), small.disk.as_os_str()]);
    let output = mount.mount(&[]);
    match output.status.success() {
        true => {
            fails("cp d/a.jpg d/n.jpg", mount, &["Read-only file system"]);
            fails("rm d/a.jpg", mount, &["Read-only file system"]);
        }
        false => {
            let said = text(&output.stderr);
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains("Read-only file system") || said.contains("writable"), "{said}");
        }
    }
    assert_eq!(ids(&mount.emulator), before);
    no_violations(mount);
}

/// The folders of the accounts, of which there is one.
fn account(mount: &Mount) -> PathBuf {
    let state = mount.dir.path().join("state/bedfs");
    let accounts = fs::read_dir(state).expect("the state").flatten();
    accounts.map(|entry| entry.path()).next().expect("an account")
}

#[test]
fn staged_bytes_that_go_under_a_running_mount_are_an_error_and_cost_no_picture() {
    for args in [&["--upload", "close"], BACKGROUND] {
        let mount = Mount::over(laid_out(fast()), args);
        run("find", [&mount.path]);
        let before = bed(&mount.emulator);
        mount.emulator.inject(Fault::new("create", FaultKind::Status(503)).always());
        if args == BACKGROUND {
            run("cp", [mount.local("one.jpg", &noise(1, 9000)), mount.at("d/a.jpg")]);
        }
        fs::remove_dir_all(account(&mount).join("staging")).expect("removed");
        mount.emulator.clear_faults();
        let local = mount.local("two.jpg", &noise(2, 9000));
        let copied = attempt("cp", [&local, &mount.at("d/n.jpg")]);
        settle(&mount);
        let new = mount.emulator.read("d/n.jpg");
        assert_eq!(copied.status.success(), new == Some(noise(2, 9000)), "told as it is");
        for (path, bytes) in before {
            let found = mount.emulator.read(&path);
            // An unlinked file that is open still has its bytes.
            let is_right = found == bytes || (path == "d/a.jpg" && found == Some(noise(1, 9000)));
            assert!(is_right, "{path} is not what it was");
        }
        if mount.emulator.read("d/a.jpg") != Some(noise(1, 9000)) && args == BACKGROUND {
            assert_eq!(xattr(&mount.at("d/a.jpg"), "state").as_deref(), Some("failed"));
        }
        // Mounted again, all is well.
        attempt(
            "bash",
            ["-c", &format!("{} umount {}", crate::harness::BEDFS, mount.path.display())],
        );
        attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
        wait_until("mounted again", || mount.mount(args).status.success());
        run("cp", [&local, &mount.at("e/n.jpg")]);
        settle(&mount);
        assert!(mount.emulator.read("e/n.jpg") == Some(noise(2, 9000)));
        no_violations(&mount);
    }
}

/// What happens to a state file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// It ends after this share of it.
    Cut(u8),
    /// Noise from this share of it on, for so many bytes.
    Noise(u8, usize),
    /// Its log of changes ends after this share of it.
    CutLog(u8),
    /// Noise in its log of changes.
    NoiseInLog(u8, usize),
    /// Something else altogether.
    Other,
    /// It is gone, its log is not.
    Gone,
}

fn damage(file: &Path, damage: Damage, seed: u64) {
    let log = file.with_extension("db-wal");
    let share = |path: &Path, part: u8| {
        fs::metadata(path).map_or(0, |metadata| metadata.len()) * u64::from(part) / 256
    };
    let cut = |path: &Path, part| {
        let open = OpenOptions::new().write(true).open(path);
        open.map_or(Ok(()), |open| open.set_len(share(path, part))).expect("cut");
    };
    let overwrite = |path: &Path, part, len| {
        if let Ok(open) = OpenOptions::new().write(true).open(path) {
            open.write_all_at(&noise(seed, len), share(path, part)).expect("overwritten");
        }
    };
    match damage {
        Damage::Cut(part) => cut(file, part),
        Damage::Noise(part, len) => overwrite(file, part, len),
        Damage::CutLog(part) => cut(&log, part),
        Damage::NoiseInLog(part, len) => overwrite(&log, part, len),
        Damage::Other => fs::write(file, b"this is no state file, but a letter").expect("written"),
        Damage::Gone => fs::remove_file(file).expect("removed"),
    }
}

/// Every file below a folder with these bytes.
fn is_kept(folder: &Path, bytes: &[u8]) -> bool {
    let found = run("find", [folder.as_os_str(), "-type".as_ref(), "f".as_ref()]);
    found.lines().any(|file| fs::read(file).is_ok_and(|content| content == bytes))
}

fn after_damage(what: Damage, is_killed: bool, seed: u64) {
    let label =
        format!("{what:?}, {}, seed {seed}", if is_killed { "killed" } else { "unmounted" });
    let mount = Mount::over(laid_out(fast()), BACKGROUND);
    run("find", [&mount.path]);
    let bytes = noise(seed, 20_000);
    run("cp", [mount.local("first.jpg", &noise(seed + 1, 9000)), mount.at("d/first.jpg")]);
    settle(&mount);
    let before = ids(&mount.emulator);
    if is_killed {
        mount.emulator.inject(Fault::new("*", FaultKind::Status(503)).always());
        run("cp", [mount.local("new.jpg", &bytes), mount.at("d/new.jpg")]);
        kill_at_once(pid(&mount));
        attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
        mount.emulator.clear_faults();
    } else {
        mount.unmount();
    }
    let file = account(&mount).join("state.db");
    damage(&file, what, seed);
    let damaged = fs::read(&file).unwrap_or_default();
    let again = mount.mount(BACKGROUND);
    assert!(again.status.success(), "{label}: {}", text(&again.stderr));
    settle(&mount);
    let seen = content(&mount.path);
    assert!(seen == bed(&mount.emulator), "{label}: the mount shows the bed");
    let left = ids(&mount.emulator);
    for row in &before {
        assert!(left.contains(row), "{label}: {} is not what it was", row.0);
    }
    if is_killed {
        let is_there = mount.emulator.read("d/new.jpg").as_ref() == Some(&bytes);
        let kept = is_there || is_kept(&account(&mount), &bytes);
        assert!(kept, "{label}: acknowledged bytes are gone from the disk");
    }
    // After a kill SQLite has all of it in its log still, and repairs the file.
    if !is_killed && matches!(what, Damage::Other) {
        let folder = account(&mount);
        let names = fs::read_dir(&folder).expect("listed").flatten();
        let aside = names.map(|entry| entry.path()).find(|path| {
            path.to_string_lossy().contains("damaged") && fs::read(path).is_ok_and(|b| b == damaged)
        });
        assert!(aside.is_some(), "{label}: the damaged file is not set aside");
    }
    run("cp", [mount.local("after.jpg", b"after"), mount.at("d/after.jpg")]);
    settle(&mount);
    assert_eq!(mount.emulator.read("d/after.jpg").as_deref(), Some(&b"after"[..]), "{label}");
    no_violations(&mount);
}

#[test]
fn a_damaged_state_file_is_set_aside_and_the_bed_stays_mountable() {
    let seed = crate::model::number("BEDFS_MODEL_SEED").unwrap_or(7);
    println!("BEDFS_MODEL_SEED={seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut part = || dice.below(256) as u8;
    let mut cases = vec![Damage::Other, Damage::Cut(0), Damage::Noise(0, 100), Damage::Gone];
    for _ in 0..3 {
        cases.extend([Damage::Cut(part()), Damage::Noise(part(), 5000)]);
        cases.extend([Damage::CutLog(part()), Damage::NoiseInLog(part(), 3000)]);
    }
    let cases: Vec<_> = cases.into_iter().flat_map(|case| [(case, true), (case, false)]).collect();
    for some in cases.chunks(4) {
        all_at_once(some.to_vec(), |(case, is_killed)| after_damage(case, is_killed, seed));
    }
}
