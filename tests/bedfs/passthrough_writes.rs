//! Passthrough: where the kernel writes a new file by itself, the file is what it would be otherwise,
//! and what was promised is kept.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bedfs_emulator::FaultKind;

use crate::command::{kill, pid};
use crate::crash_open::is_exported;
use crate::harness::{Mount, fast, noise, wait_until, xattr};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, crash, eventually, in_background, listed, mount_again, staged,
    stays,
};
use crate::passthrough::is_possible;
use crate::semantics::{bed, no_violations};

/// A new file, open for writing.
pub(crate) fn create(path: &Path) -> File {
    OpenOptions::new().write(true).create_new(true).open(path).expect("made")
}

/// The same with these bytes, which are promised.
fn synced(path: &Path, bytes: &[u8]) -> File {
    let file = create(path);
    file.write_all_at(bytes, 0).expect("written");
    file.sync_all().expect("synced");
    file
}

/// Whether the file can be written to while the mount's process is stopped.
pub(crate) fn is_written_without_the_mount(
    mount: &Mount, file: &File, bytes: &[u8], offset: u64,
) -> bool {
    let (process, file, bytes) = (pid(mount), file.try_clone().expect("another"), bytes.to_owned());
    let (sender, written) = std::sync::mpsc::channel();
    // The first write after a `stat` asks the mount for `security.capability`, which no file has: what
    // the kernel knew of that goes with the attributes that it knew.
    file.write_all_at(&bytes, offset).expect("written");
    kill(process, libc::SIGSTOP);
    std::thread::spawn(move || {
        // Whose close waits for the mount.
        let _nobody_waits = sender.send(file.write_all_at(&bytes, offset));
    });
    let written = written.recv_timeout(Duration::from_secs(10));
    kill(process, libc::SIGCONT);
    written.is_ok_and(|written| written.is_ok())
}

/// Objects that the bed has, those in scratch folders too.
pub(crate) fn pictures(mount: &Mount) -> usize {
    mount.emulator.tree().iter().filter(|(_, row)| !row.is_folder).count()
}

#[test]
fn a_new_file_is_written_by_the_kernel_itself_and_gets_to_the_service() {
    if !is_possible() {
        return;
    }
    for args in [&[][..], BACKGROUND] {
        let mount = Mount::with(fast(), args);
        let (path, mut wanted) = (mount.at("a.jpg"), noise(1, 3 << 20));
        let mut file = File::create(&path).expect("made");
        file.write_all(&wanted).expect("written");
        assert_eq!(xattr(&path, "state").as_deref(), Some("dirty"));
        assert!(is_written_without_the_mount(&mount, &file, b"changed", 1000));
        wanted[1000..1007].copy_from_slice(b"changed");
        assert_eq!(fs::metadata(&path).expect("its size").len(), 3 << 20);
        assert!(fs::read(&path).expect("readable") == wanted, "while it is written");
        drop(file);
        all_done(&mount);
        assert_eq!(mount.emulator.read("a.jpg").as_ref(), Some(&wanted));
        wait_until("it is at rest", || xattr(&path, "state").as_deref() == Some("remote"));
        assert!(fs::read(&path).expect("readable") == wanted);
        mount.remount(args);
        assert!(fs::read(&path).expect("readable") == wanted);
        assert_eq!(mount.emulator.total_traffic(), 0, "what was sent is not fetched");
        assert!(staged(&mount).is_empty());
        no_violations(&mount);
    }
}

#[test]
fn each_fsync_publishes_what_was_written_until_then() {
    if !is_possible() {
        return;
    }
    let mount = Mount::new();
    let mut file = create(&mount.at("a.jpg"));
    let mut wanted = Vec::new();
    for round in 1..4 {
        let more = noise(round, 50_000);
        file.write_all(&more).expect("written");
        wanted.extend_from_slice(&more);
        file.sync_all().expect("synced");
        assert_eq!(mount.emulator.read("a.jpg").as_ref(), Some(&wanted), "round {round}");
        let calls = mount.emulator.requests().len();
        file.sync_all().expect("synced again");
        assert_eq!(mount.emulator.requests().len(), calls, "nothing changed, nothing is asked");
    }
    assert!(fs::read(mount.at("a.jpg")).expect("readable") == wanted);
    drop(file);
    eventually("no version is left beside it", || pictures(&mount) == 1);
    no_violations(&mount);
}

#[test]
fn what_is_being_written_and_what_was_synced_outlive_a_kill() {
    if !is_possible() {
        return;
    }
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let (kept, open) = (noise(1, 200_000), noise(2, 300_000));
    let kept_file = synced(&mount.at("a.jpg"), &kept);
    let written = create(&mount.at("b.jpg"));
    written.write_all_at(&open, 0).expect("written");
    crash(&mount);
    assert!(written.sync_all().is_err(), "nobody is told that it was kept");
    drop((kept_file, written));
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    assert!(fs::read(mount.at("a.jpg")).is_ok_and(|bytes| bytes == kept));
    assert!(listed(&mount).contains("b.jpg"));
    assert!(is_exported(&mount, &open));
    all_done(&mount);
    bed_is(&mount, &[("a.jpg", &kept)]);
}

#[test]
fn what_is_written_after_its_upload_outlives_a_kill() {
    if !is_possible() {
        return;
    }
    let mount = Mount::new();
    let file = synced(&mount.at("a.jpg"), b"uploaded");
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"uploaded"[..]));
    file.write_all_at(b" and more", 8).expect("written");
    crash(&mount);
    drop(file);
    mount_again(&mount, &[]);
    assert!(is_exported(&mount, b"uploaded and more"));
    assert_eq!(fs::read(mount.at("a.jpg")).expect("readable"), b"uploaded");
}

#[test]
fn what_was_synced_and_then_cut_outlives_a_kill_before_its_successor_is_synced() {
    if !is_possible() {
        return;
    }
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let kept = noise(1, 200_000);
    let file = synced(&mount.at("a.jpg"), &kept);
    file.set_len(0).expect("cut");
    file.write_all_at(b"never synced", 0).expect("written anew");
    assert_eq!(fs::read(mount.at("a.jpg")).expect("read"), b"never synced");
    crash(&mount);
    drop(file);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    assert!(fs::read(mount.at("a.jpg")).is_ok_and(|bytes| bytes == kept));
    all_done(&mount);
    bed_is(&mount, &[("a.jpg", &kept)]);
}

#[test]
fn a_file_that_is_cut_after_a_sync_goes_on_in_one_piece() {
    if !is_possible() {
        return;
    }
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let file = synced(&mount.at("a.jpg"), &noise(1, 200_000));
    file.set_len(0).expect("cut");
    let wanted = noise(2, 100_000);
    file.write_all_at(&wanted, 0).expect("written anew");
    drop(file);
    mount.emulator.clear_faults();
    all_done(&mount);
    bed_is(&mount, &[("a.jpg", &wanted)]);
    assert!(fs::read(mount.at("a.jpg")).is_ok_and(|bytes| bytes == wanted));
    mount.unmount();
    assert!(staged(&mount).is_empty());
}

#[test]
fn who_goes_on_writing_after_a_crash_does_not_spoil_what_was_synced() {
    if !is_possible() {
        return;
    }
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let kept = noise(1, 200_000);
    let file = synced(&mount.at("a.jpg"), &kept);
    crash(&mount);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    let mut more = 0;
    eventually("it is uploaded whole", || {
        let _may_fail = file.write_all_at(b"more", 200_000 + more);
        more += 4;
        mount.emulator.read("a.jpg").is_some_and(|bytes| bytes.starts_with(&kept))
    });
    drop(file);
    all_done(&mount);
    no_violations(&mount);
}

#[test]
fn a_file_gets_another_name_or_none_while_it_is_written() {
    if !is_possible() {
        return;
    }
    for args in [&[][..], BACKGROUND] {
        let mount = Mount::with(fast(), args);
        let (renamed, removed) = (create(&mount.at("a.jpg")), create(&mount.at("c.jpg")));
        renamed.write_all_at(b"before", 0).expect("written");
        removed.write_all_at(b"before", 0).expect("written");
        let readers = ["a.jpg", "c.jpg"].map(|name| File::open(mount.at(name)).expect("opened"));
        fs::rename(mount.at("a.jpg"), mount.at("b.jpg")).expect("renamed");
        fs::remove_file(mount.at("c.jpg")).expect("removed");
        for (file, reader) in [&renamed, &removed].into_iter().zip(&readers) {
            file.write_all_at(b" and after", 6).expect("written");
            let mut all = [0; 16];
            reader.read_exact_at(&mut all, 0).expect("readable");
            assert_eq!(&all, b"before and after");
            assert_eq!(file.metadata().expect("its size").len(), 16);
        }
        drop((renamed, removed, readers));
        eventually("it is there", || mount.emulator.read("b.jpg").is_some());
        all_done(&mount);
        bed_is(&mount, &[("b.jpg", b"before and after")]);
        no_violations(&mount);
    }
}

#[test]
fn two_writers_and_a_reader_see_one_file() {
    if !is_possible() {
        return;
    }
    let mount = Mount::new();
    let path = mount.at("a.jpg");
    let first = create(&path);
    first.write_all_at(b"first", 0).expect("written");
    let reader = File::open(&path).expect("opened");
    let second = OpenOptions::new().append(true).open(&path).expect("opened");
    (&second).write_all(b" second").expect("written");
    let mut all = [0; 12];
    reader.read_exact_at(&mut all, 0).expect("readable");
    assert_eq!(&all, b"first second");
    drop(second);
    first.write_all_at(b"FIRST", 0).expect("written");
    drop(first);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"FIRST second"[..]));
    // The reader has it open as the kernel's still: so has who writes it now.
    let third = OpenOptions::new().write(true).open(&path).expect("opened");
    third.write_all_at(b"third", 0).expect("written");
    reader.read_exact_at(&mut all, 0).expect("readable");
    assert_eq!(&all, b"third second");
    drop(third);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"third second"[..]));
    fs::write(&path, b"fourth").expect("written over");
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"fourth"[..]));
    drop(reader);
    assert_eq!(fs::read(&path).expect("readable"), b"fourth");
    no_violations(&mount);
}

#[test]
fn names_that_stay_here_and_saves_by_rename_are_written_so_too() {
    if !is_possible() {
        return;
    }
    let mount = bed(|bed| drop(bed.put("a.jpg", b"old")));
    let file = create(&mount.at(".a.jpg.swp"));
    assert!(is_written_without_the_mount(&mount, &file, b"draft", 0));
    drop(file);
    let file = create(&mount.at("a.jpg.tmp"));
    assert!(is_written_without_the_mount(&mount, &file, b"new", 0));
    let reader = File::open(mount.at("a.jpg.tmp")).expect("opened");
    drop(file);
    fs::rename(mount.at("a.jpg.tmp"), mount.at("a.jpg")).expect("renamed");
    drop(reader);
    assert_eq!(fs::read(mount.at("a.jpg")).expect("readable"), b"new");
    all_done(&mount);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"new"[..]));
    eventually("the old one is gone", || pictures(&mount) == 1);
    mount.remount(&[]);
    assert_eq!(fs::read(mount.at(".a.jpg.swp")).expect("readable"), b"draft");
}

#[test]
fn times_tell_the_last_write_and_stay_as_they_are_set() {
    if !is_possible() {
        return;
    }
    let mount = Mount::new();
    let path = mount.at("a.jpg");
    let mut file = create(&path);
    let made = fs::metadata(&path).expect("stat").modified().expect("a time");
    eventually("a write makes it younger", || {
        file.write_all(b"x").expect("written");
        fs::metadata(&path).expect("stat").modified().expect("a time") > made
    });
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(981_173_106);
    file.set_modified(old).expect("set");
    assert_eq!(fs::metadata(&path).expect("stat").mtime(), 981_173_106);
    drop(file);
    assert_eq!(fs::metadata(&path).expect("stat").mtime(), 981_173_106);
    no_violations(&mount);
}
