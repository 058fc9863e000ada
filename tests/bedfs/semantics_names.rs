//! Names: those that the service refuses are refused before any call, and hostile ones in listings
//! neither break out of their folder nor hide anything.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::harness::{Mount, attempt, fast, run, wait_until, xattr};
use crate::semantics::{bed, bed_with, errno, names, no_violations, refresh};

const CHANGES: [&str; 5] = ["create", "mkdir", "move", "delete", "put"];

/// Names that the documents allow no one to give, or that Linux does not know, each distinct.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "..",
        ".",
        "",
        "a/b",
        "../../etc/passwd",
        "a\0b",
        "a:2Fb",
        "a\nb",
        "-rf",
        "a*b",
        " ",
        "...",
        ".bedfs",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(300));
    names.push(format!("{}.jpg", "图".repeat(200)));
    names.push(format!("{}.png", "图".repeat(200)));
    names
}

fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_name_that_the_service_refuses_is_refused_before_any_call() {
    let mount = bed(|bed| {
        bed.put("a.jpg", b"a");
        bed.mkdir("d");
    });
    assert_eq!(names(&mount.path), ["a.jpg", "d"]);
    assert!(names(&mount.at("d")).is_empty());
    let mut refused: Vec<(Vec<u8>, i32)> =
        b"\"\\:*?|><".iter().map(|c| (vec![b'a', *c, b'b'], libc::EINVAL)).collect();
    refused.push((b"\xff\xfe.jpg".to_vec(), libc::EINVAL));
    refused.push((vec![b'x'; 255], libc::ENAMETOOLONG));
    refused.push((vec![b'x'; 256], libc::ENAMETOOLONG));
    refused.push(("图".repeat(86).into_bytes(), libc::ENAMETOOLONG));
    for (name, expected) in refused {
        let name = OsStr::from_bytes(&name);
        let path = mount.at(name);
        assert_eq!(errno(File::create(&path)), expected, "create {name:?}");
        assert_eq!(errno(fs::create_dir(&path)), expected, "mkdir {name:?}");
        // `mv` would take EINVAL for a folder that is moved into itself.
        let expected = if expected == libc::EINVAL { libc::EPERM } else { expected };
        assert_eq!(errno(fs::rename(mount.at("a.jpg"), &path)), expected, "mv {name:?}");
        assert_eq!(errno(fs::rename(mount.at("d"), &path)), expected, "mv a folder {name:?}");
        let inside = mount.at("d").join(name);
        assert_eq!(errno(fs::rename(mount.at("a.jpg"), inside)), expected, "mv {name:?} away");
        // Nothing can have such a name, so it is not there.
        let looked = errno(fs::metadata(&path));
        assert!([libc::ENOENT, libc::ENAMETOOLONG].contains(&looked), "{name:?}: {looked}");
    }
    assert_eq!(CHANGES.map(|endpoint| mount.emulator.count(endpoint)), [0; 5]);
    assert_eq!(mount.emulator.tree().len(), 2);
    no_violations(&mount);
}

#[test]
fn the_longest_and_strangest_names_that_are_allowed_work() {
    let mount = Mount::new();
    let allowed = [
        "x".repeat(254),
        "图".repeat(85),
        "🖼".repeat(63),
        " leading and trailing ".to_owned(),
        "-rf".to_owned(),
        "new\nline".to_owned(),
        "'$(reboot)'&;%41#.jpg".to_owned(),
        "...".to_owned(),
        ".hidden".to_owned(),
    ];
    for (number, name) in allowed.iter().enumerate() {
        let bytes = format!("bytes of {number}").into_bytes();
        fs::write(mount.at(name), &bytes).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(mount.emulator.read(name), Some(bytes.clone()), "{name:?}");
        let folder = mount.at(format!("d{number}"));
        fs::create_dir(&folder).expect("a folder");
        fs::rename(mount.at(name), folder.join(name)).expect("moved");
        fs::create_dir(mount.at(name)).unwrap_or_else(|error| panic!("mkdir {name:?}: {error}"));
        assert_eq!(fs::read(folder.join(name)).expect("read"), bytes);
    }
    let before: BTreeSet<_> = entries(&mount.path).into_iter().collect();
    mount.remount(&[]);
    assert_eq!(entries(&mount.path).into_iter().collect::<BTreeSet<_>>(), before);
    no_violations(&mount);
}

#[test]
fn hostile_names_are_each_listed_read_and_removed_as_themselves() {
    for folder in ["", "d"] {
        let mount = bed(|bed| {
            for (number, name) in hostile().iter().enumerate() {
                bed.put_raw(folder, name, format!("bytes of {number}").as_bytes());
            }
            for number in 0..3 {
                bed.put_raw(folder, "same.png", format!("same {number}").as_bytes());
            }
            bed.mkdir_raw(folder, "same.png");
        });
        let root = mount.at(folder);
        let shown = entries(&root);
        assert_eq!(shown.len(), hostile().len() + 4);
        assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len());
        let mut left: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for path in &shown {
            assert_eq!(path.parent(), Some(root.as_path()), "{path:?}");
            let name = path.file_name().expect("a name");
            assert!(name.len() <= 255 && name != ".bedfs" || folder == "d", "{name:?}");
            let id = xattr(path, "id").expect("an ID");
            let bytes = path.is_file().then(|| fs::read(path).expect("read"));
            assert_eq!(left.insert(id, bytes), None, "{path:?}: the ID of another");
        }
        let distinct: BTreeSet<_> = left.values().collect();
        assert_eq!(distinct.len(), left.len(), "two names with the same bytes");
        for path in &shown {
            let id = xattr(path, "id").expect("an ID");
            run(if path.is_dir() { "rmdir" } else { "rm" }, [path]);
            mount.quiet();
            left.remove(&id);
            let rows = mount.emulator.list(folder);
            let ids: BTreeSet<_> =
                rows.iter().filter(|row| row.name != "d").map(|row| &row.id).collect();
            assert_eq!(ids, left.keys().collect(), "{path:?} took another with it");
        }
        no_violations(&mount);
    }
}

#[test]
fn folders_of_hostile_names_hold_what_they_hold() {
    let mount = bed(|bed| {
        for name in ["..", ".", "a:b", ".bedfs"] {
            bed.mkdir_raw("", name);
            bed.put_raw(name, "in.jpg", name.as_bytes());
        }
    });
    let shown = entries(&mount.path);
    assert_eq!(shown.len(), 4);
    let mut found = BTreeSet::new();
    for folder in &shown {
        assert_eq!(entries(folder), [folder.join("in.jpg")]);
        found.insert(fs::read(folder.join("in.jpg")).expect("read"));
        fs::write(folder.join("new.jpg"), format!("new in {folder:?}")).expect("written");
    }
    assert_eq!(found.len(), 4);
    for name in ["..", ".", "a:b", ".bedfs"] {
        assert!(mount.emulator.row(&format!("{name}/new.jpg")).is_some(), "{name}");
    }
    let outside = fs::read_dir(mount.dir.path()).expect("the folder around");
    assert!(
        !outside.map(|entry| entry.expect("an entry").file_name()).any(|name| name == "new.jpg")
    );
    for folder in &shown {
        run("rm", ["-r".as_ref(), folder.as_os_str()]);
    }
    assert!(!mount.emulator.tree().iter().any(|(path, _)| !path.starts_with(".bedfs-scratch")));
    no_violations(&mount);
}

#[test]
fn a_hostile_name_can_be_given_up_for_a_good_one() {
    let mount = bed(|bed| {
        bed.mkdir("d");
        bed.put_raw("", "a/b.jpg", b"slashed");
        bed.put_raw("", "same.png", b"first");
        bed.put_raw("", "same.png", b"second");
    });
    let slashed = mount.at("a:2Fb.jpg");
    assert_eq!(fs::read(&slashed).expect("read"), b"slashed");
    run("mv", [slashed, mount.at("b.jpg")]);
    assert_eq!(mount.emulator.read("b.jpg").as_deref(), Some(&b"slashed"[..]));
    let marked = entries(&mount.path)
        .into_iter()
        .find(|path| path.to_string_lossy().contains(":#"))
        .expect("one of two has a mark");
    // Both are of one second, so either may have it.
    let (of_marked, of_plain) = match fs::read(&marked).expect("read") {
        bytes if bytes == b"second" => ("second", "first"),
        _ => ("first", "second"),
    };
    let id = xattr(&marked, "id").expect("an ID");
    run("mv", [marked.as_path(), &mount.at("d/other.png")]);
    assert_eq!(mount.emulator.read("d/other.png").as_deref(), Some(of_marked.as_bytes()));
    assert!(!mount.emulator.tree().iter().any(|(_, row)| row.id == id));
    assert_eq!(mount.emulator.read("same.png").as_deref(), Some(of_plain.as_bytes()));
    refresh(&mount.path);
    wait_until("the view is true", || names(&mount.path) == ["b.jpg", "d", "same.png"]);
    no_violations(&mount);
}

#[test]
fn writing_to_one_of_two_files_of_a_name_leaves_a_version_of_each() {
    let mount = bed(|bed| {
        bed.put_raw("", "same.png", b"of 4");
        bed.put_raw("", "same.png", b"five!");
    });
    let marked = entries(&mount.path)
        .into_iter()
        .find(|path| path.to_string_lossy().contains(":#"))
        .expect("one of two has a mark");
    let old = fs::metadata(&marked).expect("stat").len();
    let written = attempt("cp", [mount.local("new", b"sixsix"), marked]).status.success();
    let rows = mount.emulator.list("").into_iter().filter(|row| !row.is_folder);
    let sizes: BTreeSet<u64> = rows.map(|row| row.size).collect();
    // Told apart by size, since both have one name.
    let kept = if old == 4 { 5 } else { 4 };
    assert_eq!(sizes, BTreeSet::from([kept, if written { 6 } else { old }]), "written: {written}");
    no_violations(&mount);
}

#[test]
fn the_name_of_the_control_folder_cannot_be_taken() {
    for control in ["hidden", "visible", "off"] {
        let mount = bed_with(fast(), &["--control", control], |bed| {
            bed.put("f.jpg", b"f");
            bed.put("d/.bedfs", b"a file");
            bed.put("e/.bedfs/p.jpg", b"p");
        });
        assert_eq!(fs::read(mount.at("d/.bedfs")).expect("read"), b"a file");
        let before = mount.emulator.tree();
        let taken = mount.at(".bedfs");
        errno(fs::create_dir(&taken));
        errno(File::create_new(&taken));
        errno(fs::rename(mount.at("f.jpg"), &taken));
        errno(fs::rename(mount.at("d/.bedfs"), &taken));
        errno(fs::rename(mount.at("e/.bedfs"), &taken));
        errno(fs::rename(mount.at("d"), &taken));
        assert_eq!(mount.emulator.tree(), before, "{control}");
        no_violations(&mount);
    }
}

#[test]
fn a_folder_that_is_made_does_not_vanish_whatever_its_name() {
    let mount = Mount::new();
    let path = mount.at(".bedfs-scratch-of-mine");
    match fs::create_dir(&path) {
        Ok(()) => {
            refresh(&mount.path);
            assert_eq!(names(&mount.path), [".bedfs-scratch-of-mine"]);
        }
        Err(error) => {
            assert!(
                [Some(libc::EINVAL), Some(libc::EPERM)].contains(&error.raw_os_error()),
                "{error}"
            );
            assert_eq!(mount.emulator.tree().len(), 0);
        }
    }
    no_violations(&mount);
}
