//! Files that are open for writing while they get a local name, or a name of the bed again: whoever has
//! them open goes on, and no byte and no link is lost.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::harness::{Mount, noise, xattr};
use crate::semantics::{bed, names, no_violations, open_rw};

fn picture() -> Mount {
    bed(|bed| drop(bed.put("a.jpg", &noise(1, 3000))))
}

/// The picture with this over its beginning.
fn changed(begin: &[u8]) -> Vec<u8> {
    let mut bytes = noise(1, 3000);
    bytes[..begin.len()].copy_from_slice(begin);
    bytes
}

/// Written to or not before it gets its local name, uploaded or not by then, and by whom it is closed.
#[test]
fn an_uploaded_picture_that_is_open_for_writing_can_get_a_local_name() {
    type Before = fn(&File);
    let cases: [(&str, Before, &[u8]); 3] = [
        ("nothing written", |_| {}, b""),
        (
            "uploaded",
            |file| {
                file.write_all_at(b"one", 0).expect("written");
                file.sync_all().expect("uploaded");
            },
            b"one",
        ),
        ("written", |file| file.write_all_at(b"one", 0).expect("written"), b"one"),
    ];
    for (what, before, begin) in cases {
        let mount = picture();
        let file = open_rw(&mount.at("a.jpg"));
        before(&file);
        fs::rename(mount.at("a.jpg"), mount.at("a.jpg~")).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(fs::read(mount.at("a.jpg~")).expect("read"), changed(begin), "{what}");
        assert_eq!(mount.emulator.read("a.jpg"), None, "{what}");
        file.write_all_at(b"two!", 0).expect("its writer goes on");
        drop(file);
        mount.crash(&[]);
        assert_eq!(names(&mount.path), ["a.jpg~"], "{what}");
        assert_eq!(fs::read(mount.at("a.jpg~")).expect("read"), changed(b"two!"), "{what}");
        assert_eq!(mount.emulator.read("a.jpg"), None, "{what}: it stays here");
        fs::rename(mount.at("a.jpg~"), mount.at("a.jpg")).expect("renamed back");
        assert_eq!(mount.emulator.read("a.jpg"), Some(changed(b"two!")), "{what}");
        mount.quiet();
        mount.unmount();
        let left: Vec<String> = mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
        assert_eq!(left, ["a.jpg"], "{what}: nothing is left over");
        no_violations(&mount);
    }
}

#[test]
fn a_backup_of_an_open_picture_keeps_its_link_if_nothing_was_written() {
    let mount = picture();
    let id = xattr(&mount.at("a.jpg"), "id");
    let file = open_rw(&mount.at("a.jpg"));
    fs::rename(mount.at("a.jpg"), mount.at("a.jpg~")).expect("renamed");
    fs::rename(mount.at("a.jpg~"), mount.at("a.jpg")).expect("renamed back");
    drop(file);
    assert_eq!(xattr(&mount.at("a.jpg"), "id"), id);
    assert_eq!(mount.emulator.read("a.jpg"), Some(noise(1, 3000)));
    no_violations(&mount);
}

#[test]
fn who_has_a_picture_open_that_comes_back_from_a_local_name_writes_over_all_of_it() {
    for reader_only in [false, true] {
        let mount = picture();
        fs::rename(mount.at("a.jpg"), mount.at("a.jpg~")).expect("renamed");
        let path = mount.at("a.jpg~");
        let reader = File::open(&path).expect("open");
        let mut writer = (!reader_only).then(|| open_rw(&path));
        fs::rename(mount.at("a.jpg~"), mount.at("a.jpg")).expect("renamed back");
        let mut writer = writer.take().unwrap_or_else(|| open_rw(&mount.at("a.jpg")));
        writer.write_all(b"one").expect("written");
        drop(writer);
        // Nothing but what was written is another: not what was never fetched.
        assert_eq!(mount.emulator.read("a.jpg"), Some(changed(b"one")), "{reader_only}");
        drop(reader);
        mount.crash(&[]);
        assert_eq!(fs::read(mount.at("a.jpg")).expect("read"), changed(b"one"), "{reader_only}");
        no_violations(&mount);
    }
}
