//! The cache on disk: what was read is read again without the service, across remounts and kills;
//! damage, and a disk that fails, cost speed and nothing else.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bedfs_emulator::Emulator;

use crate::bench::all_at_once;
use crate::command::{kill, pid};
use crate::harness::{Mount, attempt, fast, noise, run, wait_until, xattr};
use crate::semantics::{bed, bed_with, no_violations};

const MIB: usize = 1 << 20;

/// The folder of the account's cache.
pub(crate) fn folder(mount: &Mount) -> PathBuf {
    let all = mount.dir.path().join("cache/bedfs");
    let accounts: Vec<_> = fs::read_dir(all).expect("a cache").flatten().collect();
    assert_eq!(accounts.len(), 1, "one account has been used");
    accounts[0].path()
}

/// The files of the cache with this extension.
fn kept(mount: &Mount, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(mount)).expect("the cache").flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Bytes that the disk has allotted to the cache.
fn allotted(mount: &Mount) -> u64 {
    let entries = fs::read_dir(folder(mount)).expect("the cache").flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.blocks() * 512).sum()
}

/// Has the kernel drop the pages it has of a file.
pub(crate) fn drop_pages(path: &Path) {
    let file = File::open(path).expect("opens");
    // SAFETY: the descriptor is open, and the call reads and writes no memory of ours.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(result, 0);
}

fn cached(path: &Path) -> u64 {
    xattr(path, "cached").expect("a figure").parse().expect("a number")
}

fn set_cached(path: &Path, value: &str) -> bool {
    let args = ["-n", "user.bedfs.cached", "-v", value, path.to_str().expect("UTF-8")];
    attempt("setfattr", args).status.success()
}

fn reads(mount: &Mount, name: &str, bytes: &[u8]) {
    drop_pages(&mount.at(name));
    assert!(fs::read(mount.at(name)).expect("readable") == bytes, "{name}: other bytes");
}

fn no_gets(mount: &Mount) {
    assert_eq!(mount.emulator.count("cdn"), 0, "something was fetched again");
}

#[test]
fn what_was_read_is_read_again_after_a_remount_without_a_get() {
    let sizes = [1, 5000, 16 << 10, 200_001, 6 * MIB + 1];
    let pictures: Vec<_> = sizes.iter().map(|size| noise(*size as u64, *size)).collect();
    let mount = bed(|bed| {
        for (number, bytes) in pictures.iter().enumerate() {
            bed.put(&format!("{number}.jpg"), bytes);
        }
    });
    for (number, bytes) in pictures.iter().enumerate() {
        reads(&mount, &format!("{number}.jpg"), bytes);
    }
    for round in 0..2 {
        match round {
            0 => mount.emulator.forget_requests(),
            _ => mount.remount(&[]),
        }
        for (number, bytes) in pictures.iter().enumerate() {
            reads(&mount, &format!("{number}.jpg"), bytes);
            assert_eq!(cached(&mount.at(format!("{number}.jpg"))), bytes.len() as u64);
        }
        no_gets(&mount);
    }
    for path in fs::read_dir(folder(&mount)).expect("the cache").flatten() {
        assert_eq!(path.metadata().expect("metadata").mode() & 0o777, 0o600, "{path:?}");
    }
    assert_eq!(fs::metadata(folder(&mount)).expect("metadata").mode() & 0o777, 0o700);
    no_violations(&mount);
}

#[test]
fn parts_that_were_read_are_kept_and_only_the_rest_is_fetched() {
    let bytes = noise(1, 8 * MIB);
    let mount = bed(|bed| drop(bed.put("a.jpg", &bytes)));
    let file = File::open(mount.at("a.jpg")).expect("opens");
    let mut part = vec![0; 100_000];
    for at in [5 * MIB, MIB, 7 * MIB + 12_345] {
        file.read_exact_at(&mut part, at as u64).expect("a part");
        assert!(part == bytes[at..at + part.len()]);
    }
    drop(file);
    mount.remount(&[]);
    let held = cached(&mount.at("a.jpg"));
    assert!(held >= 300_000 && held < 2 * MIB as u64, "{held} bytes are held");
    reads(&mount, "a.jpg", &bytes);
    assert_eq!(mount.emulator.total_traffic(), bytes.len() as u64, "no byte is fetched twice");
    no_violations(&mount);
}

#[test]
fn a_kill_while_the_cache_is_written_leaves_right_bytes_and_what_was_whole() {
    let (first, second) = (noise(2, 3 * MIB), noise(3, 24 * MIB));
    let mount = bed(|bed| {
        bed.put("first.jpg", &first);
        bed.put("second.jpg", &second);
    });
    reads(&mount, "first.jpg", &first);
    wait_until("the first picture is on disk", || {
        kept(&mount, "sums").iter().any(|path| fs::metadata(path).is_ok_and(|m| m.len() > 3000))
    });
    all_at_once([true, false], |is_reader| {
        if is_reader {
            // The kill cuts it off.
            let _cut = fs::read(mount.at("second.jpg"));
        } else {
            wait_until("the second is half here", || {
                kept(&mount, "data").iter().any(|path| {
                    fs::metadata(path)
                        .is_ok_and(|m| m.len() > 4 << 20 && m.blocks() * 512 > 1 << 20)
                })
            });
            kill(pid(&mount), libc::SIGKILL);
        }
    });
    run("umount", ["-l".as_ref(), mount.path.as_os_str()]);
    mount.emulator.forget_requests();
    let output = mount.mount(&[]);
    assert!(output.status.success());
    reads(&mount, "first.jpg", &first);
    no_gets(&mount);
    let held = cached(&mount.at("second.jpg"));
    assert!(held > 0, "nothing was kept of what was being read");
    reads(&mount, "second.jpg", &second);
    let fetched: u64 = mount.emulator.requests().iter().map(|request| request.bytes_out).sum();
    assert!(fetched < second.len() as u64 - held + MIB as u64, "{fetched} fetched, {held} held");
    no_violations(&mount);
}

#[test]
fn damage_on_disk_is_noticed_and_what_is_damaged_is_fetched_again() {
    let bytes = noise(4, 5 * MIB);
    let damages: [fn(&Mount); 4] = [
        |mount| flip(&kept(mount, "data")[0], 3_000_000),
        |mount| flip(&kept(mount, "sums")[0], 200),
        |mount| {
            let sums = OpenOptions::new().write(true).open(&kept(mount, "sums")[0]).expect("opens");
            sums.set_len(sums.metadata().expect("metadata").len() - 5).expect("cut");
        },
        |mount| fs::write(&kept(mount, "data")[0], b"").expect("emptied"),
    ];
    all_at_once(damages.into_iter().enumerate(), |(number, damage)| {
        let mount = bed(|bed| drop(bed.put("a.jpg", &bytes)));
        reads(&mount, "a.jpg", &bytes);
        mount.unmount();
        damage(&mount);
        mount.emulator.forget_requests();
        assert!(mount.mount(&[]).status.success());
        reads(&mount, "a.jpg", &bytes);
        let fetched: u64 = mount.emulator.requests().iter().map(|request| request.bytes_out).sum();
        let most = if number == 3 { bytes.len() } else { MIB };
        assert!(fetched > 0 || number == 2, "damage {number} is not noticed");
        assert!(fetched < 2 * most as u64, "damage {number}: {fetched} bytes were fetched");
        mount.remount(&[]);
        mount.emulator.forget_requests();
        reads(&mount, "a.jpg", &bytes);
        no_gets(&mount);
        no_violations(&mount);
    });
}

/// Flips a bit of a file.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("readable");
    file.write_all_at(&[byte[0] ^ 4], at).expect("written");
}

#[test]
fn the_bound_holds_for_many_pictures_and_for_one_that_is_larger() {
    const BOUND: u64 = 4 << 20;
    let size = ["--cache-size", "4M"];
    let mount = bed_with(fast(), &size, |bed| {
        (0..30).for_each(|n| drop(bed.put(&format!("{n}.jpg"), &noise(n, 400_000))));
        bed.put("large.jpg", &noise(99, 20 * MIB));
    });
    let fits = |mount: &Mount| {
        let held = allotted(mount);
        assert!(held <= BOUND, "{held} bytes are held");
    };
    (0..30).for_each(|n| {
        reads(&mount, &format!("{n}.jpg"), &noise(n, 400_000));
        fits(&mount);
    });
    mount.remount(&size);
    mount.emulator.forget_requests();
    reads(&mount, "29.jpg", &noise(29, 400_000));
    no_gets(&mount);
    reads(&mount, "large.jpg", &noise(99, 20 * MIB));
    mount.remount(&size);
    fits(&mount);
    mount.emulator.forget_requests();
    // Of what is larger than the bound, the last that was read is here.
    let mut part = vec![0; 4096];
    let file = File::open(mount.at("large.jpg")).expect("opens");
    file.read_exact_at(&mut part, 20 * MIB as u64 - 4096).expect("the end");
    no_gets(&mount);
    drop(file);
    reads(&mount, "large.jpg", &noise(99, 20 * MIB));
    no_violations(&mount);
}

#[test]
fn the_link_of_a_new_picture_is_asked_for_once_to_read_it() {
    let mount = Mount::new();
    let picture = noise(4, 100_000);
    fs::write(mount.at("a.jpg"), &picture).expect("published");
    mount.quiet();
    assert!(set_cached(&mount.at("a.jpg"), "evict"));
    mount.emulator.forget_requests();
    mount.emulator.change(|options| options.latency = std::time::Duration::from_millis(200));
    reads(&mount, "a.jpg", &picture);
    assert_eq!((mount.emulator.count("detail"), mount.emulator.count("cdn")), (1, 1));
    no_violations(&mount);
}

#[test]
fn a_pinned_picture_comes_by_itself_and_stays_until_it_is_evicted() {
    let size = ["--cache-size", "8M"];
    let (pinned, other) = (noise(5, 3 * MIB), noise(6, 2 * MIB));
    let mount = bed_with(fast(), &size, |bed| {
        bed.put("pinned.jpg", &pinned);
        bed.put("huge.jpg", &noise(7, 9 * MIB));
        (0..8).for_each(|n| drop(bed.put(&format!("{n}.jpg"), &other)));
    });
    let path = mount.at("pinned.jpg");
    assert_eq!(cached(&path), 0);
    // What is here already is not paid for again.
    let mut part = vec![0; 4096];
    File::open(&path).expect("opens").read_exact_at(&mut part, MIB as u64).expect("a part");
    assert!(set_cached(&path, "pin"));
    wait_until("the pinned picture is here", || cached(&path) == pinned.len() as u64);
    assert_eq!(mount.emulator.row("pinned.jpg").expect("a row").traffic, pinned.len() as u64);
    assert!(!set_cached(&mount.at("huge.jpg"), "pin"), "more than the bound is pinned");
    assert!(set_cached(&path, "3145728"), "copies that bring it along would fail");
    for round in 0..2 {
        (0..8).for_each(|n| reads(&mount, &format!("{n}.jpg"), &other));
        assert_eq!(cached(&path), pinned.len() as u64, "evicted in round {round}");
        mount.remount(&size);
    }
    mount.emulator.forget_requests();
    reads(&mount, "pinned.jpg", &pinned);
    no_gets(&mount);
    assert!(set_cached(&path, "evict"));
    assert_eq!(cached(&path), 0);
    assert!(kept(&mount, "pin").is_empty());
    reads(&mount, "pinned.jpg", &pinned);
    let traffic = mount.emulator.row("pinned.jpg").expect("a row").traffic;
    assert_eq!(traffic, 2 * pinned.len() as u64);
    no_violations(&mount);
}

#[test]
fn a_cache_that_is_taken_away_while_mounted_costs_no_read() {
    let (first, second) = (noise(8, 2 * MIB), noise(9, 6 * MIB));
    let ways: [fn(&Mount); 2] = [
        |mount| fs::remove_dir_all(folder(mount)).expect("removed"),
        |mount| {
            for path in [kept(mount, "data"), kept(mount, "sums")].concat() {
                fs::remove_file(path).expect("removed");
            }
        },
    ];
    all_at_once(ways, |way| {
        let mount = bed(|bed| {
            bed.put("first.jpg", &first);
            bed.put("second.jpg", &second);
        });
        reads(&mount, "first.jpg", &first);
        way(&mount);
        reads(&mount, "second.jpg", &second);
        reads(&mount, "first.jpg", &first);
        mount.remount(&[]);
        mount.emulator.forget_requests();
        reads(&mount, "second.jpg", &second);
        no_gets(&mount);
        reads(&mount, "first.jpg", &first);
        no_violations(&mount);
    });
}

/// A small disk for the cache of a mount, taken away when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn below(dir: &Path, size: &str) -> Self {
        let path = dir.join("cache");
        fs::create_dir(&path).expect("a folder");
        let options = format!("size={size},mode=0700");
        run("mount", ["-t", "tmpfs", "-o", &options, "none", path.to_str().expect("UTF-8")]);
        Self(path)
    }

    fn set(&self, options: &str) {
        let options = format!("remount,{options}");
        run("mount", ["-o".as_ref(), options.as_ref(), self.0.as_os_str()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        attempt("umount", ["-l".as_ref(), self.0.as_os_str()]);
    }
}

#[test]
fn a_disk_that_is_full_or_read_only_costs_no_read() {
    let bytes = noise(10, 12 * MIB);
    all_at_once(["small", "full", "read-only"], |kind| {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        emulator.put("a.jpg", &bytes);
        emulator.put("b.jpg", &bytes[1..]);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let disk = SmallDisk::below(dir.path(), if kind == "read-only" { "64m" } else { "3m" });
        let mount = Mount::in_dir(emulator, dir, &[]);
        match kind {
            "full" => drop(attempt("dd", full(&disk.0))),
            "read-only" => {
                reads(&mount, "b.jpg", &bytes[1..]);
                // A file that is open for writing keeps the disk from being read-only.
                mount.unmount();
                disk.set("ro");
                assert!(mount.mount(&[]).status.success());
            }
            _ => {}
        }
        reads(&mount, "a.jpg", &bytes);
        let traffic = mount.emulator.row("a.jpg").expect("a row").traffic;
        assert_eq!(traffic, bytes.len() as u64, "{kind}: fetched more than once");
        reads(&mount, "b.jpg", &bytes[1..]);
        no_violations(&mount);
    });
}

fn full(disk: &Path) -> [String; 3] {
    let file = format!("of={}", disk.join("junk").display());
    ["if=/dev/zero".to_owned(), file, "bs=64k".to_owned()]
}

#[test]
fn many_readers_of_what_is_partly_on_disk_fetch_each_byte_once() {
    let bytes = noise(11, 6 * MIB);
    let mount = bed(|bed| drop(bed.put("a.jpg", &bytes)));
    let file = File::open(mount.at("a.jpg")).expect("opens");
    let mut part = vec![0; 50_000];
    (1..6).for_each(|at| file.read_exact_at(&mut part, (at * MIB) as u64).expect("a part"));
    drop(file);
    mount.remount(&[]);
    all_at_once(0..8, |_| {
        assert!(fs::read(mount.at("a.jpg")).expect("readable") == bytes);
    });
    assert_eq!(mount.emulator.total_traffic(), bytes.len() as u64);
    no_violations(&mount);
}

#[test]
fn two_mounts_that_share_a_cache_folder_do_not_share_its_files() {
    let bytes = noise(12, MIB);
    let first = bed(|bed| drop(bed.put("a.jpg", &bytes)));
    reads(&first, "a.jpg", &bytes);
    let state = first.dir.path().join("other-state");
    let point = first.dir.path().join("other");
    fs::create_dir(&point).expect("a mount point");
    let mut second = first.bedfs("mount");
    let output = second.env("XDG_STATE_HOME", &state).arg(&point).output().expect("bedfs runs");
    assert!(output.status.success());
    assert!(fs::read(point.join("a.jpg")).expect("readable") == bytes);
    run("umount", [&point]);
    first.remount(&[]);
    first.emulator.forget_requests();
    reads(&first, "a.jpg", &bytes);
    no_gets(&first);
    no_violations(&first);
}
