//! What few programs ask for: names exchanged in one step, files without a name, the time of birth,
//! holes looked for, copies made by the kernel.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::harness::{Mount, noise, run, wait_until, xattr};
use crate::semantics::{bed, errno, fetched, names, no_violations};

/// Renames with flags, as `rename` of the standard library cannot.
fn rename(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<()> {
    let [from, to] =
        [from, to].map(|path| CString::new(path.as_os_str().as_bytes()).expect("a path"));
    let here = libc::AT_FDCWD;
    // SAFETY: both paths are strings ended by NUL that outlive the call.
    match unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn a_rename_that_replaces_nothing_is_one_and_an_exchange_is_refused() {
    let mount = bed(|bed| {
        bed.put("a.jpg", b"a");
        bed.put("b.jpg", b"b");
        bed.put("d/c.jpg", b"c");
        bed.mkdir("e");
    });
    fs::write(mount.at("x.part"), b"x").expect("written");
    fs::write(mount.at("y.part"), b"y").expect("written");
    names(&mount.path);
    names(&mount.at("d"));
    let before = mount.emulator.tree();
    let at = |name| mount.at(name);
    for (from, to) in [("a.jpg", "b.jpg"), ("x.part", "y.part"), ("a.jpg", "x.part"), ("d", "e")] {
        for flags in [libc::RENAME_EXCHANGE, libc::RENAME_WHITEOUT] {
            assert_eq!(
                errno(rename(&at(from), &at(to), flags)),
                libc::EINVAL,
                "{from} {to} {flags}"
            );
        }
        let exists = errno(rename(&at(from), &at(to), libc::RENAME_NOREPLACE));
        assert_eq!(exists, libc::EEXIST, "{from} {to}");
    }
    assert_eq!(mount.emulator.tree(), before);
    for (name, bytes) in [("a.jpg", b"a"), ("b.jpg", b"b"), ("x.part", b"x"), ("y.part", b"y")] {
        assert_eq!(fs::read(at(name)).expect("read"), bytes, "{name}");
    }
    let id = xattr(&at("a.jpg"), "id");
    rename(&at("a.jpg"), &at("e/a.jpg"), libc::RENAME_NOREPLACE).expect("a free name");
    assert_eq!(xattr(&at("e/a.jpg"), "id"), id);
    no_violations(&mount);
}

#[test]
fn a_file_without_a_name_is_refused_and_programs_do_without() {
    let mount = Mount::new();
    let nameless = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(&mount.path);
    assert_eq!(errno(nameless), libc::EOPNOTSUPP);
    // Python makes one that has a name for a moment.
    let script = "import tempfile,sys
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    file.write(b'some')
    file.seek(0)
    assert file.read() == b'some'";
    run("/usr/bin/python3", ["-c".as_ref(), script.as_ref(), mount.path.as_os_str()]);
    mount.quiet();
    assert_eq!(mount.emulator.tree().len(), 0);
    no_violations(&mount);
}

#[test]
fn the_time_of_birth_is_told_by_an_attribute_and_not_by_stat() {
    let mount = bed(|bed| {
        bed.put("a.png", b"a");
        bed.set_times("a.png", "2024-05-06 07:08:09", "2024-05-06 07:08:10");
    });
    let path = mount.at("a.png");
    // By `statx`, which tells that it does not know.
    let told = run("stat", ["-c".as_ref(), "%w %W".as_ref(), path.as_os_str()]);
    assert_eq!(told, "- 0\n");
    assert_eq!(xattr(&path, "created").as_deref(), Some("2024-05-06T07:08:09+08:00"));
    no_violations(&mount);
}

/// Where `SEEK_DATA` or `SEEK_HOLE` leads from an offset.
fn seek(file: &File, offset: i64, whence: i32) -> io::Result<i64> {
    // SAFETY: the call takes three numbers, and the descriptor is open.
    match unsafe { libc::lseek(file.as_raw_fd(), offset, whence) } {
        -1 => Err(io::Error::last_os_error()),
        found => Ok(found),
    }
}

#[test]
fn a_file_is_one_piece_of_data_with_a_hole_at_its_end() {
    const LEN: i64 = 1 << 20;
    let mut bytes = vec![0; LEN as usize];
    bytes[500_000..500_100].copy_from_slice(&noise(1, 100));
    let mount = bed(|bed| drop(bed.put("remote.bmp", &bytes)));
    let is_right = |file: &File, what: &str| {
        for offset in [0, 4096, 500_050, LEN - 1] {
            assert_eq!(seek(file, offset, libc::SEEK_DATA).expect("data"), offset, "{what}");
            assert_eq!(seek(file, offset, libc::SEEK_HOLE).expect("the end"), LEN, "{what}");
        }
        for whence in [libc::SEEK_DATA, libc::SEEK_HOLE] {
            assert_eq!(errno(seek(file, LEN, whence)), libc::ENXIO, "{what}");
        }
    };
    is_right(&File::open(mount.at("remote.bmp")).expect("open"), "remote");
    let staged =
        OpenOptions::new().read(true).write(true).create_new(true).open(mount.at("new.bmp"));
    let staged = staged.expect("a new file");
    staged.set_len(LEN as u64).expect("lengthened");
    staged.write_all_at(&bytes[500_000..500_100], 500_000).expect("written");
    is_right(&staged, "staged");
    drop(staged);
    // One that the kernel may write by itself.
    let alone = mount.at("alone.bmp");
    run("cp", [Path::new("--sparse=always"), &mount.at("new.bmp"), &alone]);
    is_right(&File::open(&alone).expect("open"), "copied");
    let out = mount.dir.path().join("out.bmp");
    run("cp", [Path::new("--sparse=auto"), &alone, &out]);
    assert!(
        fs::read(out).expect("read") == bytes && mount.emulator.read("alone.bmp") == Some(bytes)
    );
    no_violations(&mount);
}

#[test]
fn a_copy_within_the_mount_sends_nothing_and_fetches_the_picture_once() {
    let bytes = noise(2, 300_000);
    let mount = bed(|bed| {
        bed.put("a.jpg", &bytes);
        (0..4).for_each(|number| drop(bed.mkdir(&format!("d{number}"))));
    });
    let from = mount.at("a.jpg");
    let to = |number| mount.at(format!("d{number}/a.jpg"));
    run("cp", [&from, &to(0)]);
    run("cp", [Path::new("--reflink=auto"), &from, &to(1)]);
    // By `copy_file_range`.
    fs::copy(&from, to(2)).expect("copied");
    mount.remount(&[]);
    run("cp", [&from, &to(3)]);
    for number in 0..4 {
        let copied = mount.emulator.read(&format!("d{number}/a.jpg"));
        assert!(copied.as_ref() == Some(&bytes), "{number}");
    }
    let counts =
        ["create", "put", "upload_complete"].map(|endpoint| mount.emulator.count(endpoint));
    assert_eq!(counts, [4, 0, 0]);
    assert_eq!(fetched(&mount), bytes.len() as u64);
    wait_until("the cache has it", || xattr(&from, "cached").as_deref() == Some("300000"));
    no_violations(&mount);
}
