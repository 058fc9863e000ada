//! Local names: what programs write beside a picture stays on this machine across any end, and goes
//! to the service once, when it gets a proper name.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::command::unmounted;
use crate::harness::{Mount, attempt, fast, noise, run, text, xattr};
use crate::semantics::{bed, errno, names, no_violations};

const LOCAL: &[&str] = &[
    "a.jpg~",
    ".a.jpg.swp",
    "4913",
    ".a.jpg.Xk29aB",
    "a.jpg.part",
    "a.jpg.crdownload",
    ".goutputstream-AB12CD",
    "sedAb3dE9",
    "a.jpg.QGYOP0",
    "a.jpg~RF1a2b3c.TMP",
    "a.jpg.bak",
    "a.jpg_original",
    "a.jpg.new",
    ".DS_Store",
    "Thumbs.db",
];

const CHANGES: [&str; 6] = ["create", "mkdir", "move", "delete", "put", "upload_complete"];

/// How often each call that changes the bed was made.
pub(crate) fn changes(mount: &Mount) -> [usize; 6] {
    CHANGES.map(|endpoint| mount.emulator.count(endpoint))
}

/// The calls of as many uploads of one slice, and of nothing else.
pub(crate) fn uploads(count: usize) -> [usize; 6] {
    [count, 0, 0, 0, count, count]
}

/// Runs a line of shell in the mount. `$S` is the folder beside it.
pub(crate) fn sh(mount: &Mount, line: &str) -> String {
    let line = format!("S={}; cd {} && {line}", mount.dir.path().display(), mount.path.display());
    run("sh", ["-c", &line])
}

fn state(path: &Path) -> String {
    xattr(path, "state").expect("a state")
}

#[test]
fn files_of_local_names_stay_here_across_a_remount_and_a_kill() {
    let mount = bed(|bed| drop(bed.mkdir("d")));
    let paths: Vec<_> = ["", "d"]
        .iter()
        .flat_map(|dir| LOCAL.iter().map(move |name| Path::new(dir).join(name)))
        .map(|path| mount.at(path))
        .collect();
    for (seed, path) in paths.iter().enumerate() {
        fs::write(path, noise(seed as u64, 5000)).expect("written");
    }
    let there = |what: &str| {
        for (seed, path) in paths.iter().enumerate() {
            assert!(fs::read(path).expect("read") == noise(seed as u64, 5000), "{what}: {path:?}");
            assert_eq!(state(path), "local", "{what}: {path:?}");
            assert_eq!(xattr(path, "url"), None, "{what}: {path:?}");
        }
        assert_eq!(names(&mount.at("d")).len(), LOCAL.len(), "{what}");
    };
    there("at once");
    mount.quiet();
    mount.remount(&[]);
    there("mounted again");
    mount.crash(&[]);
    there("after a kill");
    assert_eq!(changes(&mount), [0; 6]);
    // What was written last is what is there, and what was removed is not.
    fs::write(&paths[0], b"anew").expect("written");
    fs::remove_file(&paths[1]).expect("removed");
    mount.crash(&[]);
    assert_eq!(fs::read(&paths[0]).expect("read"), b"anew");
    assert!(!paths[1].exists());
    run("rm", &paths[2..]);
    run("rm", [&paths[0]]);
    mount.remount(&[]);
    assert_eq!((names(&mount.path), names(&mount.at("d")).len()), (vec!["d".to_owned()], 0));
    assert_eq!(changes(&mount), [0; 6]);
    no_violations(&mount);
}

#[test]
fn what_only_looks_like_a_savers_name_is_uploaded() {
    let mount = bed(|bed| {
        bed.put("d/c.png.bak", b"of others");
        bed.mkdir("e");
    });
    let pictures = ["photo.bak.png", "sedAb3dE9.png", "IMG_ABC123", "notes.QGYOP0", "a.png.sha256"];
    for name in pictures {
        fs::write(mount.at(name), name).expect("written");
        assert_eq!(mount.emulator.read(name).as_deref(), Some(name.as_bytes()), "{name}");
        assert_eq!(state(&mount.at(name)), "remote", "{name}");
    }
    // What is a name of its own is a draft's once its neighbour is there.
    fs::write(mount.at("notes"), b"notes").expect("written");
    fs::write(mount.at("notes.FKWQZE"), b"draft").expect("written");
    assert_eq!(state(&mount.at("notes.FKWQZE")), "local");
    // A folder is meant, and so is what the bed has under such a name.
    sh(&mount, "mkdir a.png.bak && cp photo.bak.png a.png.bak/ && mv d/c.png.bak e/");
    assert!(mount.emulator.read("a.png.bak/photo.bak.png").is_some());
    assert_eq!(mount.emulator.read("e/c.png.bak").as_deref(), Some(&b"of others"[..]));
    no_violations(&mount);
}

#[test]
fn a_proper_name_uploads_the_bytes_once() {
    for end in ["nothing", "remount", "crash"] {
        let mount = Mount::new();
        for (number, name) in LOCAL.iter().enumerate() {
            fs::write(mount.at(name), noise(number as u64, 5000)).expect("written");
        }
        match end {
            "remount" => mount.remount(&[]),
            "crash" => mount.crash(&[]),
            _ => {}
        }
        mount.emulator.forget_requests();
        for (number, name) in LOCAL.iter().enumerate() {
            fs::rename(mount.at(name), mount.at(format!("{number}.jpg"))).expect("renamed");
        }
        mount.quiet();
        for number in 0..LOCAL.len() {
            let name = format!("{number}.jpg");
            assert_eq!(mount.emulator.read(&name), Some(noise(number as u64, 5000)), "{end}");
            assert_eq!(state(&mount.at(name)), "remote", "{end}");
        }
        assert_eq!(changes(&mount), uploads(LOCAL.len()), "{end}");
        assert_eq!(names(&mount.path).len(), LOCAL.len());
        no_violations(&mount);
    }
}

#[test]
fn a_file_renamed_while_it_is_written_is_uploaded_under_its_last_name_alone() {
    let mount = Mount::new();
    sh(&mount, "(printf one; mv a.jpg.part a.jpg; printf two) > a.jpg.part");
    mount.quiet();
    assert_eq!(names(&mount.path), ["a.jpg"]);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"onetwo"[..]));
    assert_eq!(mount.emulator.tree().len(), 1);
    assert_eq!(changes(&mount), uploads(1));
    no_violations(&mount);
}

#[test]
fn what_was_written_of_a_local_file_before_a_kill_is_there() {
    let mount = Mount::new();
    let mut file = fs::File::create(mount.at("a.jpg.part")).expect("created");
    file.write_all(&noise(1, 30_000)).expect("written");
    mount.crash(&[]);
    drop(file);
    assert!(fs::read(mount.at("a.jpg.part")).expect("read") == noise(1, 30_000));
    sh(&mount, "printf end >> a.jpg.part && mv a.jpg.part a.jpg");
    let mut whole = noise(1, 30_000);
    whole.extend(b"end");
    assert!(mount.emulator.read("a.jpg") == Some(whole));
    assert_eq!(changes(&mount), uploads(1));
    no_violations(&mount);
}

#[test]
fn a_picture_that_is_changed_under_a_local_name_is_uploaded_when_it_comes_back() {
    for end in ["nothing", "remount", "crash"] {
        let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 5000))));
        sh(&mount, "mv a.jpg a.jpg~ && printf end >> a.jpg~");
        let mut whole = noise(1, 5000);
        whole.extend(b"end");
        match end {
            "remount" => mount.remount(&[]),
            "crash" => mount.crash(&[]),
            _ => {}
        }
        assert!(fs::read(mount.at("a.jpg~")).expect("read") == whole, "{end}");
        assert_eq!(mount.emulator.count("put"), 0, "{end}");
        sh(&mount, "mv a.jpg~ a.jpg");
        mount.quiet();
        assert!(mount.emulator.read("a.jpg") == Some(whole.clone()), "{end}");
        assert_eq!(mount.emulator.count("put"), 1, "{end}");
        mount.remount(&[]);
        assert!(fs::read(mount.at("a.jpg")).expect("read") == whole, "{end}");
        mount.unmount();
        assert_eq!(mount.emulator.tree().len(), 1, "{end}: {:?}", mount.emulator.tree());
        no_violations(&mount);
    }
}

#[test]
fn a_folder_of_a_local_name_stays_here_with_all_that_is_in_it() {
    let mount = bed(|bed| drop(bed.put("d/a.jpg", b"a")));
    sh(&mount, "mkdir -p .Trash-0/files/deep .Trash-0/info");
    sh(&mount, "echo b > .Trash-0/files/deep/b.jpg && echo c > .Trash-0/c.jpg");
    for remount in [true, false] {
        if remount {
            mount.remount(&[])
        } else {
            mount.crash(&[])
        }
        assert_eq!(names(&mount.path), [".Trash-0", "d"]);
        assert_eq!(names(&mount.at(".Trash-0")), ["c.jpg", "files", "info"]);
        assert_eq!(fs::read(mount.at(".Trash-0/files/deep/b.jpg")).expect("read"), b"b\n");
        assert_eq!(state(&mount.at(".Trash-0/files/deep/b.jpg")), "local");
    }
    assert_eq!(changes(&mount), [0; 6]);
    // `mv` copies it out, since a folder cannot be renamed into the bed.
    let renamed = fs::rename(mount.at(".Trash-0/files"), mount.at("out"));
    assert_eq!(errno(renamed), libc::EXDEV);
    sh(&mount, "mv .Trash-0/files out");
    mount.quiet();
    assert_eq!(mount.emulator.read("out/deep/b.jpg").as_deref(), Some(&b"b\n"[..]));
    assert_eq!(names(&mount.at(".Trash-0")), ["c.jpg", "info"]);
    sh(&mount, "mv .Trash-0/info .Trash-0/other && rm -r .Trash-0");
    mount.remount(&[]);
    assert_eq!(names(&mount.path), ["d", "out"]);
    no_violations(&mount);
}

#[test]
fn a_picture_that_is_renamed_to_a_local_name_and_back_keeps_its_id_and_its_link() {
    let bytes = noise(1, 5000);
    for (away, end) in [
        ("mv d/a.jpg d/a.jpg~", "nothing"),
        ("mv d/a.jpg d/a.jpg~", "remount"),
        ("mv d/a.jpg d/a.jpg~", "crash"),
        ("mkdir -p .Trash-0/files && mv d/a.jpg .Trash-0/files/", "nothing"),
        ("mkdir -p .Trash-0/files && mv d/a.jpg .Trash-0/files/", "remount"),
        ("mkdir -p .Trash-0/files && mv d/a.jpg .Trash-0/files/", "crash"),
    ] {
        let what = format!("{away}, {end}");
        let mount = bed(|bed| drop(bed.put("d/a.jpg", &bytes)));
        let of = |path: &str| (xattr(&mount.at(path), "id"), xattr(&mount.at(path), "url"));
        let before = of("d/a.jpg");
        sh(&mount, away);
        assert!(!mount.at("d/a.jpg").exists(), "{what}");
        match end {
            "remount" => mount.remount(&[]),
            "crash" => mount.crash(&[]),
            _ => {}
        }
        let there = if away.contains("Trash") { ".Trash-0/files/a.jpg" } else { "d/a.jpg~" };
        assert_eq!(state(&mount.at(there)), "local", "{what}");
        assert!(fs::read(mount.at(there)).expect("read") == bytes, "{what}");
        assert!(!mount.at("d/a.jpg").exists(), "{what}");
        run("mv", [mount.at(there), mount.at("d/a.jpg")]);
        assert_eq!(of("d/a.jpg"), before, "{what}");
        assert_eq!(state(&mount.at("d/a.jpg")), "remote", "{what}");
        assert!(fs::read(mount.at("d/a.jpg")).expect("read") == bytes, "{what}");
        assert_eq!(mount.emulator.count("put") + mount.emulator.count("create"), 0, "{what}");
        mount.remount(&[]);
        assert_eq!(of("d/a.jpg"), before, "{what}, mounted again");
        let scratch = mount.emulator.tree().iter().any(|(path, _)| path.starts_with(".bedfs-"));
        assert!(!scratch, "{what}: a scratch folder is left");
        no_violations(&mount);
    }
}

#[test]
fn a_picture_that_is_put_into_the_trash_and_deleted_there_is_gone_from_the_bed() {
    let mount = bed(|bed| {
        bed.put("a.jpg", b"a");
        bed.put("b.jpg", b"b");
    });
    sh(&mount, "mkdir -p .Trash-0/files && mv a.jpg b.jpg .Trash-0/files/");
    sh(&mount, "rm .Trash-0/files/a.jpg");
    mount.quiet();
    mount.remount(&[]);
    assert_eq!(fs::read(mount.at(".Trash-0/files/b.jpg")).expect("read"), b"b");
    sh(&mount, "rm -r .Trash-0");
    mount.quiet();
    mount.unmount();
    assert_eq!(mount.emulator.tree(), []);
    no_violations(&mount);
}

#[test]
fn an_empty_file_is_local_until_it_has_bytes() {
    let mount = Mount::new();
    run("touch", [mount.at("new.jpg")]);
    for remount in [true, false] {
        assert_eq!(state(&mount.at("new.jpg")), "local");
        assert_eq!(fs::metadata(mount.at("new.jpg")).expect("stat").len(), 0);
        if remount { mount.remount(&[]) } else { mount.crash(&[]) }
    }
    assert_eq!(
        (names(&mount.path), state(&mount.at("new.jpg"))),
        (vec!["new.jpg".to_owned()], "local".to_owned())
    );
    run("mv", [mount.at("new.jpg"), mount.at("other.jpg")]);
    mount.crash(&[]);
    assert_eq!(names(&mount.path), ["other.jpg"]);
    assert_eq!(changes(&mount), [0; 6]);
    sh(&mount, "echo bytes >> other.jpg");
    assert_eq!(mount.emulator.read("other.jpg").as_deref(), Some(&b"bytes\n"[..]));
    assert_eq!(state(&mount.at("other.jpg")), "remote");
    assert_eq!(changes(&mount), uploads(1));
    run("touch", [mount.at("gone.jpg")]);
    run("rm", [mount.at("gone.jpg")]);
    mount.remount(&[]);
    assert_eq!(names(&mount.path), ["other.jpg"]);
    no_violations(&mount);
}

#[test]
fn the_patterns_are_what_the_option_and_the_file_say() {
    let ways: [&[&str]; 4] = [
        &["--local-names", "*.raw,draft-?.jpg"],
        &["--local-names=*.raw,draft-?.jpg"],
        &["-o", r"local_names=*.raw\,draft-?.jpg"],
        &[],
    ];
    for args in ways {
        let mount = unmounted();
        if args.is_empty() {
            let folder = mount.dir.path().join("config/bedfs");
            fs::create_dir_all(&folder).expect("a folder");
            let list = "local-names = [\"*.raw\", \"draft-?.jpg\"]\n";
            fs::write(folder.join("config.toml"), list).expect("a file");
        }
        let output = mount.mount(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        for name in ["a.raw", "draft-1.jpg", "draft-10.jpg", "a.jpg~", "4913"] {
            fs::write(mount.at(name), name).expect("written");
        }
        mount.quiet();
        assert_eq!(state(&mount.at("a.raw")), "local", "{args:?}");
        let bed: Vec<_> = mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
        assert_eq!(bed, ["4913", "a.jpg~", "draft-10.jpg"], "{args:?}");
        mount.remount(args);
        assert_eq!(fs::read(mount.at("draft-1.jpg")).expect("read"), b"draft-1.jpg", "{args:?}");
        no_violations(&mount);
    }
    let mount = Mount::with(fast(), &["--local-names="]);
    fs::write(mount.at("a.jpg~"), b"a").expect("written");
    assert_eq!(mount.emulator.read("a.jpg~").as_deref(), Some(&b"a"[..]), "no name stays here");
    let mount = unmounted();
    let output = mount.mount(&["--local-names", "[a"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("[a"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn what_stays_here_does_so_until_it_is_renamed_whatever_the_patterns_become() {
    let mount = Mount::with(fast(), &["--local-names", "*.raw"]);
    fs::write(mount.at("a.raw"), noise(1, 5000)).expect("written");
    mount.unmount();
    let retried = mount.bedfs("pending").arg("retry").output().expect("bedfs runs");
    assert!(retried.status.success(), "{}", text(&retried.stderr));
    let output = mount.mount(&["--local-names", "*.other"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    mount.quiet();
    assert!(fs::read(mount.at("a.raw")).expect("read") == noise(1, 5000));
    assert_eq!(state(&mount.at("a.raw")), "local");
    assert_eq!(changes(&mount), [0; 6]);
    run("mv", [mount.at("a.raw"), mount.at("b.raw")]);
    assert!(mount.emulator.read("b.raw") == Some(noise(1, 5000)));
    assert_eq!(state(&mount.at("b.raw")), "remote");
    assert_eq!(changes(&mount), uploads(1));
    no_violations(&mount);
}

#[test]
fn a_read_only_mount_shows_what_is_only_here() {
    let mount = Mount::new();
    fs::write(mount.at("a.jpg~"), b"draft").expect("written");
    mount.remount(&["--read-only"]);
    assert_eq!(fs::read(mount.at("a.jpg~")).expect("read"), b"draft");
    let removed = attempt("rm", [Path::new("-f"), &mount.at("a.jpg~")]);
    assert!(!removed.status.success(), "{}", text(&removed.stdout));
    mount.remount(&[]);
    assert_eq!(fs::read(mount.at("a.jpg~")).expect("read"), b"draft");
}
