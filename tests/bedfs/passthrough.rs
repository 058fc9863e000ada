//! Passthrough: where the kernel reads a cached file by itself, it reads what it would otherwise.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cache::drop_pages;
use crate::command::{kill, pid};
use crate::harness::{Mount, noise, not_tested, run, wait_until};
use crate::semantics::{bed, no_violations, open_rw, python};

/// Whether this machine can do what is tested here. If not, that is told, and no test of this module
/// says anything, nor of `passthrough_writes`.
pub(crate) fn is_possible() -> bool {
    let release = run("uname", ["-r"]);
    let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    // SAFETY: no argument, and it never fails.
    let is_root = unsafe { libc::geteuid() } == 0;
    let is_possible = is_root && version >= (6, 9);
    if !is_possible {
        not_tested(&format!("passthrough takes root and Linux 6.9, this is {release}"));
    }
    is_possible
}

/// All of an open file, read while the mount's process is stopped; `None` if it could not be.
pub(crate) fn read_without_the_mount(mount: &Mount, file: &File, len: usize) -> Option<Vec<u8>> {
    let process = pid(mount);
    let file = file.try_clone().expect("a duplicate");
    let (sender, bytes) = std::sync::mpsc::channel();
    kill(process, libc::SIGSTOP);
    std::thread::spawn(move || {
        let mut bytes = vec![0; len];
        let read = file.read_exact_at(&mut bytes, 0);
        drop(file);
        let _nobody_waits = sender.send(read.map(|()| bytes));
    });
    let read = bytes.recv_timeout(Duration::from_secs(2));
    kill(process, libc::SIGCONT);
    let Ok(read) = read else {
        // The next one would find the file open, and be lent nothing for that.
        bytes.recv().expect("it ends").expect("readable");
        return None;
    };
    Some(read.expect("readable"))
}

/// The file, open and read by the kernel itself, as soon as it is lent.
pub(crate) fn lent(mount: &Mount, path: &Path, wanted: &[u8]) -> File {
    let mut lent = None;
    wait_until("it is lent", || {
        // Of what was read before, the kernel may have pages.
        drop_pages(path);
        let file = File::open(path).expect("opens");
        let read = read_without_the_mount(mount, &file, wanted.len());
        lent = read.map(|read| {
            assert!(read == wanted);
            file
        });
        if lent.is_none() {
            // The mount, which does nothing while it is stopped, has to check what it has cached.
            std::thread::sleep(Duration::from_millis(500));
        }
        lent.is_some()
    });
    lent.expect("waited for")
}

#[test]
fn a_cached_file_is_read_by_the_kernel_itself() {
    if !is_possible() {
        return;
    }
    let bytes = noise(1, 3 << 20);
    let mount = bed(|bed| drop(bed.put("a.jpg", &bytes)));
    let path = mount.at("a.jpg");
    let first = File::open(&path).expect("opens");
    assert!(read_without_the_mount(&mount, &first, bytes.len()).is_none(), "nothing is here yet");
    assert!(fs::read(&path).expect("readable") == bytes);
    drop(first);
    for _ in 0..2 {
        drop(lent(&mount, &path, &bytes));
        // What the mount before kept is checked before it is lent.
        mount.remount(&[]);
    }
    assert_eq!(mount.emulator.total_traffic(), bytes.len() as u64);
    no_violations(&mount);
}

#[test]
fn a_change_of_a_file_that_is_lent_shows_to_who_opens_it_then() {
    if !is_possible() {
        return;
    }
    let (old, new) = (noise(1, 3 << 20), noise(2, 2 << 20));
    let mut changed = old.clone();
    changed[1000..1007].copy_from_slice(b"changed");
    let mount = bed(|bed| drop(bed.put("a.jpg", &old)));
    let path = mount.at("a.jpg");
    assert!(fs::read(&path).expect("readable") == old);
    let before = lent(&mount, &path, &old);
    let mut part = [0; 7];
    let writer = open_rw(&path);
    writer.write_all_at(b"changed", 1000).expect("written");
    writer.read_exact_at(&mut part, 1000).expect("readable");
    assert_eq!(&part, b"changed");
    assert!(fs::read(&path).expect("readable") == changed, "before it is closed");
    drop(writer);
    assert!(fs::read(&path).expect("readable") == changed, "after");
    File::create(&path).and_then(|mut file| file.write_all(&new)).expect("written over");
    assert!(fs::read(&path).expect("readable") == new);
    let mut all = vec![0; old.len()];
    before.read_exact_at(&mut all, 0).expect("readable");
    assert!(all == old, "who had it open before reads what it was");
    drop(before);
    assert!(fs::read(&path).expect("readable") == new);
    assert_eq!(mount.emulator.read("a.jpg").as_ref(), Some(&new));
    let anew = lent(&mount, &path, &new);
    python("import os, sys; os.truncate(sys.argv[1], 1000)", &[&path]);
    assert!(fs::read(&path).expect("readable") == new[..1000]);
    drop(anew);
    wait_until("it is uploaded", || {
        mount.emulator.read("a.jpg").is_some_and(|it| it.len() == 1000)
    });
    fs::rename(&path, mount.at("b.jpg")).expect("renamed");
    assert!(fs::read(mount.at("b.jpg")).expect("readable") == new[..1000]);
    no_violations(&mount);
}

#[test]
fn what_is_lent_and_gets_a_name_for_here_is_written_when_its_reader_is_gone() {
    if !is_possible() {
        return;
    }
    let old = noise(1, 200_000);
    let mount = bed(|bed| drop(bed.put("a.jpg", &old)));
    assert!(fs::read(mount.at("a.jpg")).expect("readable") == old);
    let reader = lent(&mount, &mount.at("a.jpg"), &old);
    let path = mount.at("a.jpg~");
    fs::rename(mount.at("a.jpg"), &path).expect("renamed");
    let open = || File::options().write(true).open(&path);
    assert_eq!(open().expect_err("it is read").raw_os_error(), Some(libc::EINVAL));
    assert!(fs::read(&path).expect("readable") == old);
    drop(reader);
    let writer = open().expect("nobody reads it");
    writer.write_all_at(b"changed", 1000).expect("written");
    drop(writer);
    let read = fs::read(&path).expect("readable");
    assert!(read[..1000] == old[..1000] && read[1007..] == old[1007..]);
    assert_eq!(&read[1000..1007], b"changed");
    no_violations(&mount);
}

/// Opens the file again and again, each time for so long.
fn look_again_and_again(path: &Path, pause: Duration, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let file = File::open(path).expect("opens at any time");
        std::thread::sleep(pause);
        drop(file);
    }
}

#[test]
fn readers_and_a_writer_at_once_see_no_error_and_lose_nothing() {
    const PICTURES: u64 = 12;
    if !is_possible() {
        return;
    }
    let name = |number: u64| format!("{number}.jpg");
    let (old, new) = (|number| noise(number, 200_000), |number| noise(100 + number, 150_000));
    let mount = bed(|bed| (0..PICTURES).for_each(|n| drop(bed.put(&name(n), &old(n)))));
    for number in 0..PICTURES {
        let (path, is_over) = (mount.at(name(number)), AtomicBool::new(false));
        assert!(fs::read(&path).expect("readable") == old(number));
        drop(lent(&mount, &path, &old(number)));
        std::thread::scope(|scope| {
            // One has it open for longer than a writer waits, and one comes at every moment.
            for pause in [Duration::from_millis(200), Duration::ZERO] {
                let (path, is_over) = (&path, &is_over);
                scope.spawn(move || look_again_and_again(path, pause, is_over));
            }
            std::thread::sleep(Duration::from_millis(50));
            let written = fs::write(&path, new(number));
            let read = fs::read(&path);
            is_over.store(true, Ordering::Relaxed);
            written.expect("written at any time");
            assert!(read.expect("readable at any time") == new(number), "{number}");
        });
    }
    let at_service = |number| mount.emulator.read(&name(number));
    assert!((0..PICTURES).all(|number| at_service(number) == Some(new(number))));
    mount.remount(&[]);
    let here = |number| fs::read(mount.at(name(number))).expect("readable");
    assert!((0..PICTURES).all(|number| here(number) == new(number)));
    no_violations(&mount);
}
