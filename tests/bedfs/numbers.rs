//! Inode numbers, by which backups tell what they have: each file and folder keeps its own, over whatever
//! is done to it here and over remounts; and file handles, which are made of them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bedfs_emulator::{Answers, Fault, FaultKind, MoveFolder, Options};

use crate::attributes_kept::throughout;
use crate::harness::{Mount, fast, noise, not_tested};
use crate::local_names::sh;
use crate::machines::Elsewhere;
use crate::semantics::{bed, bed_with, no_violations, python, refresh};

fn number(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).ino()
}

/// The numbers of everything in the mount, in order.
fn numbers(mount: &Mount) -> Vec<u64> {
    let said = sh(mount, "find . -mindepth 1 -printf '%i\\n'");
    let mut numbers: Vec<u64> = said.lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn what_is_here_keeps_its_number_whatever_is_done_to_it() {
    for (line, move_folder) in [
        ("true", MoveFolder::Works),
        ("mv d/a.jpg e/", MoveFolder::Works),
        ("mv d/a.jpg d/b.jpg", MoveFolder::Works),
        ("mv d/a.jpg e/b.jpg && mv e/b.jpg c.jpg", MoveFolder::Works),
        ("mv d/a.jpg d/a.jpg~", MoveFolder::Works),
        ("mv d/a.jpg d/a.jpg~ && mv d/a.jpg~ d/a.jpg", MoveFolder::Works),
        ("cp $S/new d/a.jpg", MoveFolder::Works),
        (
            "printf more >> d/a.jpg && mv d/a.jpg d/b.jpg && printf more >> d/b.jpg",
            MoveFolder::Works,
        ),
        ("mv d e/", MoveFolder::Works),
        ("mv d f", MoveFolder::Works),
        ("mv d e/", MoveFolder::Refused),
        ("mv d f && mv f g", MoveFolder::Refused),
    ] {
        let answers = Answers { move_folder, ..Answers::default() };
        let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
            bed.put("d/a.jpg", &noise(1, 3000));
            bed.put("d/deep/b.jpg", &noise(2, 3000));
            bed.mkdir("e");
        });
        mount.local("new", &noise(3, 3000));
        let before = numbers(&mount);
        assert_eq!(number(&mount.path), 1);
        sh(&mount, line);
        throughout(&mount, line, |what| assert_eq!(numbers(&mount), before, "{what}"));
        no_violations(&mount);
    }
}

#[test]
fn what_is_new_keeps_the_number_that_it_had_before_its_upload() {
    let mount = Mount::with(fast(), &["--upload", "background", "--timeout", "1"]);
    // What is not there yet, what only stays here, and folders of both kinds.
    sh(
        &mount,
        "mkdir d notes.part && echo a > d/a.jpg~ && echo b > notes.part/b.jpg && : > empty.jpg",
    );
    let is_away = || Fault::new("create", FaultKind::Status(503)).always();
    mount.emulator.inject(is_away());
    let mut file = File::create(mount.at("d/new.jpg")).expect("a new file");
    let open = file.metadata().expect("stat").ino();
    file.write_all(&noise(1, 3000)).expect("written");
    drop(file);
    assert_eq!(number(&mount.at("d/new.jpg")), open);
    let before = numbers(&mount);
    mount.crash(&["--upload", "background", "--timeout", "1"]);
    assert_eq!(numbers(&mount), before, "not uploaded yet");
    mount.emulator.clear_faults();
    throughout(&mount, "uploaded", |what| assert_eq!(numbers(&mount), before, "{what}"));
    assert_eq!(mount.emulator.read("d/new.jpg"), Some(noise(1, 3000)));
    no_violations(&mount);
}

#[test]
fn what_others_put_in_a_place_is_another_file() {
    let mount = bed(|bed| drop(bed.put("d/a.jpg", b"one")));
    let before = number(&mount.at("d/a.jpg"));
    mount.emulator.remove("d/a.jpg");
    mount.emulator.put("d/a.jpg", b"other");
    refresh(&mount.at("d"));
    assert_eq!(fs::read(mount.at("d/a.jpg")).expect("read"), b"other");
    assert_ne!(number(&mount.at("d/a.jpg")), before);
    // And one that is made anew here is.
    sh(&mount, "rm d/a.jpg && echo new > d/a.jpg");
    assert_ne!(number(&mount.at("d/a.jpg")), before);
    // What they moved is what it was.
    let moved = number(&mount.at("d/a.jpg"));
    mount.quiet();
    let other = Elsewhere::new(&mount, &[]);
    fs::create_dir(other.path.join("e")).expect("a folder");
    fs::rename(other.path.join("d/a.jpg"), other.path.join("e/a.jpg")).expect("moved");
    assert_eq!(number(&other.path.join("d")), number(&mount.at("d")), "on every machine");
    refresh(&mount.path);
    refresh(&mount.at("e"));
    assert_eq!(number(&mount.at("e/a.jpg")), moved);
    no_violations(&mount);
}

/// Prints the handle of each path as `open_by_handle_at` wants it, in hexadecimal digits.
const TAKE: &str = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
for path in sys.argv[1:]:
    handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 136)
    if libc.name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(ctypes.c_int()), 0):
        raise OSError(ctypes.get_errno(), path)
    print(handle.raw.hex())
";

/// Opens each handle, and prints what a file holds, what a folder has, or the error.
const OPEN: &str = "
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
mount = os.open(sys.argv[1], os.O_RDONLY)
for line in open(sys.argv[2]):
    handle = ctypes.create_string_buffer(bytes.fromhex(line))
    fd = libc.open_by_handle_at(mount, handle, os.O_RDONLY)
    if fd < 0:
        print(errno.errorcode[ctypes.get_errno()])
    elif os.path.isdir(f'/proc/self/fd/{fd}'):
        print(sorted(os.listdir(fd)), os.stat('..', dir_fd=fd).st_ino == os.stat(sys.argv[1]).st_ino)
    else:
        print(os.read(fd, 100).decode())
";

#[test]
fn a_file_handle_outlives_the_kernels_inode_and_the_mount() {
    let mount = bed(|bed| {
        bed.put("d/a.jpg", b"in the bed");
        bed.put("d/deep/b.jpg", b"deep");
    });
    sh(&mount, "printf stays > d/c.jpg~ && printf new > d/new.jpg");
    let paths =
        ["d/a.jpg", "d/deep/b.jpg", "d", "d/c.jpg~", "d/new.jpg"].map(|path| mount.at(path));
    let handles = mount.local("handles", python(TAKE, &paths.each_ref().map(|p| &**p)).as_bytes());
    let opened = || python(OPEN, &[&mount.path, &handles]);
    let all = "in the bed\ndeep\n['a.jpg', 'c.jpg~', 'deep', 'new.jpg'] True\nstays\nnew\n";
    assert_eq!(opened(), all);
    match fs::write("/proc/sys/vm/drop_caches", "2") {
        Ok(()) => assert_eq!(opened(), all, "forgotten by the kernel"),
        Err(error) => not_tested(&format!("the kernel is not made to forget: {error}")),
    }
    mount.remount(&[]);
    assert_eq!(opened(), all, "in another mount");
    // Renamed it is what it was; removed it is gone.
    sh(&mount, "mv d/a.jpg moved.jpg && mv d/deep e && rm d/new.jpg");
    let rest = "in the bed\ndeep\n['c.jpg~'] True\nstays\nESTALE\n";
    assert_eq!(opened(), rest);
    mount.quiet();
    mount.remount(&[]);
    assert_eq!(opened(), rest, "in a third");
    no_violations(&mount);
}
