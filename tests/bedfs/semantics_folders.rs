//! Names and folders: what moves keeps its ID and its link, what is renamed keeps its bytes, and
//! no folder goes with anything in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;

use bedfs_emulator::{Answers, Emulator, MoveFolder, Options};

use crate::harness::{Mount, attempt, fast, noise, run, text, xattr};
use crate::semantics::{bed, bed_with, errno, names, no_violations, open_rw, python, refresh};

/// A mount of a filled bed that answers so when folders are moved.
fn moving(folders: MoveFolder, fill: impl FnOnce(&Emulator)) -> Mount {
    let answers = Answers { move_folder: folders, ..Answers::default() };
    bed_with(Options { answers, ..fast() }, &[], fill)
}

/// The ID of each file of the bed, by path.
fn ids(mount: &Mount) -> BTreeMap<String, String> {
    let files = mount.emulator.tree().into_iter();
    files.filter(|(_, row)| !row.is_folder).map(|(path, row)| (path, row.id)).collect()
}

#[test]
fn a_file_moved_to_another_folder_keeps_its_id_and_its_link() {
    let bytes = noise(1, 5000);
    let mount = bed(|bed| {
        bed.put("a/p.jpg", &bytes);
        bed.mkdir("b");
    });
    let id = mount.emulator.row("a/p.jpg").expect("the file").id;
    let link = xattr(&mount.at("a/p.jpg"), "url").expect("a link");
    assert_eq!(names(&mount.at("b")), [""; 0]);
    mount.emulator.forget_requests();
    run("mv", [mount.at("a/p.jpg"), mount.at("b")]);
    assert_eq!(mount.emulator.row("b/p.jpg").expect("moved").id, id);
    assert_eq!(xattr(&mount.at("b/p.jpg"), "url"), Some(link.clone()));
    assert_eq!(fs::read(mount.at("b/p.jpg")).expect("read"), bytes);
    assert_eq!((mount.emulator.count("move"), mount.emulator.count("create")), (1, 0));
    // Into the root and out of it.
    run("mv", [mount.at("b/p.jpg"), mount.path.clone()]);
    assert_eq!(mount.emulator.row("p.jpg").expect("moved").id, id);
    run("mv", [mount.at("p.jpg"), mount.at("a")]);
    assert_eq!(mount.emulator.row("a/p.jpg").expect("moved").id, id);
    assert_eq!(xattr(&mount.at("a/p.jpg"), "url"), Some(link));
    assert_eq!(mount.emulator.tree().len(), 3);
    no_violations(&mount);
}

#[test]
fn a_renamed_file_is_made_anew_without_sending_a_byte() {
    let bytes = noise(2, 50_000);
    let mount = bed(|bed| {
        bed.put("a/p.jpg", &bytes);
        bed.mkdir("b");
    });
    let id = mount.emulator.row("a/p.jpg").expect("the file").id;
    run("mv", [mount.at("a/p.jpg"), mount.at("a/q.jpg")]);
    let row = mount.emulator.row("a/q.jpg").expect("renamed");
    assert_ne!(row.id, id, "the service has no rename");
    assert_eq!(xattr(&mount.at("a/q.jpg"), "id"), Some(row.id));
    assert_eq!(xattr(&mount.at("a/q.jpg"), "url"), Some(row.url));
    run("mv", [mount.at("a/q.jpg"), mount.at("b/r.jpg")]);
    assert_eq!(ids(&mount).into_keys().collect::<Vec<_>>(), ["b/r.jpg"]);
    assert_eq!(fs::read(mount.at("b/r.jpg")).expect("read"), bytes);
    assert_eq!((mount.emulator.count("create"), mount.emulator.count("put")), (2, 0));
    assert!(!mount.at("a/p.jpg").exists() && !mount.at("a/q.jpg").exists());
    no_violations(&mount);
}

#[test]
fn a_rename_over_a_file_replaces_it() {
    let mount = Mount::new();
    for (from, to) in [("p.jpg", "q.jpg"), ("a/p.jpg", "b/p.jpg"), ("a/p.jpg", "b/q.jpg")] {
        mount.emulator.put(from, b"new");
        mount.emulator.put(to, b"old");
        mount.emulator.mkdir("b");
        for folder in ["", "a", "b"] {
            // The first round has no folders yet.
            if mount.at(folder).exists() {
                refresh(&mount.at(folder));
            }
        }
        run("mv", ["-f".into(), mount.at(from), mount.at(to)]);
        assert_eq!(mount.emulator.read(to).as_deref(), Some(&b"new"[..]), "{from} to {to}");
        assert_eq!(fs::read(mount.at(to)).expect("read"), b"new");
        assert_eq!(mount.emulator.row(from), None);
        assert!(!mount.at(from).exists());
        run("rm", [mount.at(to)]);
        mount.quiet();
    }
    assert_eq!(ids(&mount), BTreeMap::new());
    no_violations(&mount);
}

#[test]
fn a_folder_renamed_and_moved_keeps_the_ids_of_all_its_pictures() {
    for folders in [MoveFolder::Works, MoveFolder::Refused] {
        let mount = moving(folders, |bed| {
            bed.fill("d", 130, 10);
            bed.fill("d/sub/deep", 3, 10);
            bed.mkdir("else/where");
        });
        let before = ids(&mount);
        let link = xattr(&mount.at("d/sub/deep/pic-000001.jpg"), "url").expect("a link");
        mount.emulator.forget_requests();
        run("mv", [mount.at("d"), mount.at("e")]);
        run("mv", [mount.at("e"), mount.at("else/where")]);
        let moved = |path: String| format!("else/where/e{}", path.strip_prefix('d').expect("in d"));
        let expected: BTreeMap<_, _> =
            before.into_iter().map(|(path, id)| (moved(path), id)).collect();
        assert_eq!(ids(&mount), expected, "{folders:?}");
        assert_eq!((mount.emulator.count("create"), mount.emulator.count("cdn")), (0, 0));
        let deep = mount.at("else/where/e/sub/deep");
        assert_eq!(xattr(&deep.join("pic-000001.jpg"), "url"), Some(link), "{folders:?}");
        let there = fs::read(deep.join("pic-000001.jpg")).expect("read");
        assert_eq!(Some(there), mount.emulator.read("else/where/e/sub/deep/pic-000001.jpg"));
        assert_eq!(names(&mount.path), ["else"]);
        assert_eq!(names(&mount.at("else/where/e")).len(), 131);
        let folders_left = mount.emulator.tree().iter().filter(|(_, row)| row.is_folder).count();
        assert_eq!(folders_left, 5, "no folder is left over");
        no_violations(&mount);
    }
}

#[test]
fn what_is_only_here_goes_with_a_folder_that_is_rebuilt() {
    let mount = moving(MoveFolder::Refused, |bed| {
        bed.put("d/sub/p.jpg", b"remote");
    });
    fs::write(mount.at("d/sub/empty"), b"").expect("an empty file");
    fs::create_dir(mount.at("to")).expect("a folder");
    let path = mount.at("d/sub/open.jpg");
    fs::write(&path, b"").expect("an empty file");
    let file = open_rw(&path);
    file.write_all_at(b"written before and after", 0).expect("written");
    run("mv", [mount.at("d"), mount.at("to/e")]);
    file.write_all_at(b"WRITTEN", 0).expect("written");
    drop(file);
    assert_eq!(names(&mount.at("to/e/sub")), ["empty", "open.jpg", "p.jpg"]);
    let wanted = b"WRITTEN before and after";
    assert_eq!(mount.emulator.read("to/e/sub/open.jpg").as_deref(), Some(&wanted[..]));
    assert_eq!(fs::read(mount.at("to/e/sub/open.jpg")).expect("read"), wanted);
    no_violations(&mount);
}

#[test]
fn a_shell_in_a_renamed_folder_goes_on_working() {
    for folders in [MoveFolder::Works, MoveFolder::Refused] {
        let mount = moving(folders, |bed| {
            bed.put("d/p.jpg", b"bytes");
        });
        let script = "cd \"$0/d\" && mv ../d ../e && cat p.jpg && echo new > q.jpg && ls";
        let said = run("sh", ["-c".as_ref(), script.as_ref(), mount.path.as_os_str()]);
        assert_eq!(said, "bytesp.jpg\nq.jpg\n");
        assert_eq!(ids(&mount).into_keys().collect::<Vec<_>>(), ["e/p.jpg", "e/q.jpg"]);
        no_violations(&mount);
    }
}

#[test]
fn renames_that_posix_forbids_are_refused_and_change_nothing() {
    let mount = bed(|bed| {
        bed.put("d/p.jpg", b"p");
        bed.put("full/q.jpg", b"q");
        bed.put("f.jpg", b"f");
        bed.mkdir("empty");
    });
    let before = mount.emulator.tree();
    let at = |path| mount.at(path);
    assert_eq!(errno(fs::rename(at("d"), at("full"))), libc::ENOTEMPTY);
    assert_eq!(errno(fs::rename(at("d"), at("d/in"))), libc::EINVAL);
    assert_eq!(errno(fs::rename(at("d"), at("f.jpg"))), libc::ENOTDIR);
    assert_eq!(errno(fs::rename(at("f.jpg"), at("empty"))), libc::EISDIR);
    assert_eq!(errno(fs::rename(at("none"), at("f.jpg"))), libc::ENOENT);
    assert_eq!(errno(fs::rename(at("f.jpg"), at("none/f.jpg"))), libc::ENOENT);
    fs::rename(at("f.jpg"), at("f.jpg")).expect("onto itself");
    run("mv", ["-n".into(), at("f.jpg"), at("d/p.jpg")]);
    assert_eq!(mount.emulator.tree(), before);
    fs::rename(at("d"), at("empty")).expect("over an empty folder");
    assert_eq!(ids(&mount).into_keys().collect::<Vec<_>>(), ["empty/p.jpg", "f.jpg", "full/q.jpg"]);
    no_violations(&mount);
}

#[test]
fn what_exists_is_not_made_again() {
    let mount = bed(|bed| {
        bed.mkdir("d");
        bed.put("f.jpg", b"f");
    });
    assert_eq!(names(&mount.path), ["d", "f.jpg"]);
    mount.emulator.forget_requests();
    assert_eq!(errno(fs::create_dir(mount.at("d"))), libc::EEXIST);
    assert_eq!(errno(fs::create_dir(mount.at("f.jpg"))), libc::EEXIST);
    assert_eq!(errno(fs::File::create_new(mount.at("f.jpg"))), libc::EEXIST);
    assert_eq!(mount.emulator.count("mkdir"), 0);
    // Made elsewhere, and not listed here yet.
    let id = mount.emulator.mkdir("new");
    assert_eq!(errno(fs::create_dir(mount.at("new"))), libc::EEXIST);
    assert_eq!(mount.emulator.row("new").expect("the folder").id, id);
    assert!(mount.at("new").is_dir());
    no_violations(&mount);
}

#[test]
fn a_full_folder_is_not_removed_also_when_it_was_filled_elsewhere() {
    let mount = bed(|bed| {
        bed.put("full/p.jpg", b"p");
        bed.mkdir("filled");
    });
    fs::create_dir(mount.at("own")).expect("a folder");
    fs::create_dir(mount.at("local")).expect("a folder");
    fs::write(mount.at("local/empty"), b"").expect("an empty file");
    assert_eq!(names(&mount.at("filled")), [""; 0]);
    mount.emulator.put("filled/q.jpg", b"q");
    mount.emulator.mkdir("own/sub");
    for folder in ["full", "filled", "own", "local"] {
        assert_eq!(errno(fs::remove_dir(mount.at(folder))), libc::ENOTEMPTY, "{folder}");
        assert!(mount.emulator.row(folder).is_some());
    }
    assert_eq!(mount.emulator.count("delete"), 0);
    assert_eq!(names(&mount.at("filled")), ["q.jpg"]);
    assert_eq!(errno(fs::remove_dir(mount.at("full/p.jpg"))), libc::ENOTDIR);
    assert_eq!(errno(fs::remove_file(mount.at("full"))), libc::EISDIR);
    // Emptied elsewhere, it can go.
    mount.emulator.remove("full/p.jpg");
    fs::remove_dir(mount.at("full")).expect("an empty folder");
    assert_eq!(mount.emulator.row("full"), None);
    no_violations(&mount);
}

#[test]
fn a_folder_of_250_is_listed_whole_and_shows_every_change_at_once() {
    let mount = bed(|bed| {
        bed.fill("d", 250, 100);
    });
    let expected: Vec<_> = (0..250).map(|number| format!("pic-{number:06}.jpg")).collect();
    assert_eq!(names(&mount.at("d")), expected);
    assert_eq!(mount.emulator.count("list"), 1 + 3, "the root, then three pages");
    fs::write(mount.at("d/new.jpg"), b"new").expect("written");
    run("rm", [mount.at("d/pic-000100.jpg")]);
    run("mv", [mount.at("d/pic-000101.jpg"), mount.at("d/other.jpg")]);
    fs::create_dir(mount.at("d/sub")).expect("a folder");
    let mut changed: Vec<_> = expected
        .iter()
        .filter(|name| !["pic-000100.jpg", "pic-000101.jpg"].contains(&name.as_str()))
        .cloned()
        .collect();
    changed.extend(["new.jpg", "other.jpg", "sub"].map(str::to_owned));
    changed.sort();
    assert_eq!(names(&mount.at("d")), changed);
    // A reader that goes back to the beginning of an open folder sees what is there now.
    let script = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.readdir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
folder = libc.opendir(sys.argv[1].encode())
def count():
    number = 0
    while libc.readdir(folder):
        number += 1
    return number
before = count()
os.unlink(sys.argv[1] + '/new.jpg')
libc.rewinddir(folder)
print(before, count())
libc.closedir(folder)
";
    // With `.` and `..`.
    assert_eq!(python(script, &[&mount.at("d")]), "253 252\n");
    no_violations(&mount);
}

#[test]
fn a_tree_is_removed_whole_and_nothing_beside_it() {
    let mount = bed(|bed| {
        bed.fill("d/a", 120, 10);
        bed.fill("d/b/c", 5, 10);
        bed.put("keep/p.jpg", b"p");
    });
    fs::write(mount.at("d/b/empty"), b"").expect("an empty file");
    run("rm", ["-r".into(), mount.at("d")]);
    assert_eq!(names(&mount.path), ["keep"]);
    let left: Vec<_> = mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, ["keep", "keep/p.jpg"]);
    let output = attempt("rmdir", [&mount.path]);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    no_violations(&mount);
}
