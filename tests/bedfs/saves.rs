//! How real programs save and copy: by backups, temporary names and renames. The bed sees each
//! version once, and never what was only on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bedfs_emulator::{Answers, Emulator, Fault, Formats, Options};

use crate::bench::refusal;
use crate::harness::{Mount, attempt, fast, noise, run, text, xattr};
use crate::local_names::{changes, sh, uploads};
use crate::semantics::{bed_with, names, no_violations, python};

/// The calls that change the bed where a picture is replaced: uploaded into a scratch folder that
/// was made for it, the old one deleted, the new one moved into place.
const FIRST_REPLACEMENT: [usize; 6] = [1, 1, 1, 1, 1, 1];

/// A service that takes pictures alone: what is on the way to be one would be refused.
fn pictures_only() -> Options {
    let answers = Answers { formats: Formats::PicturesOnly, ..Answers::default() };
    Options { answers, ..fast() }
}

fn bed(fill: impl FnOnce(&Emulator)) -> Mount {
    bed_with(pictures_only(), &[], fill)
}

/// Nothing but these names is in the mount, and nothing but them, with the same bytes, in the bed.
fn holds_only(mount: &Mount, wanted: &[(&str, &[u8])]) {
    mount.quiet();
    assert_eq!(names(&mount.path), wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, bytes) in wanted {
        assert!(fs::read(mount.at(name)).expect("read") == *bytes, "{name}: other bytes are read");
        assert!(mount.emulator.read(name).as_deref() == Some(*bytes), "{name}: not in the bed");
        assert_eq!(xattr(&mount.at(name), "state").as_deref(), Some("remote"));
    }
    let rows = mount.emulator.tree().into_iter().filter(|(path, _)| !path.starts_with(".bedfs-"));
    assert_eq!(rows.count(), wanted.len(), "{:?}", mount.emulator.tree());
    no_violations(mount);
}

fn vim(file: &Path, backup: &str, change: &str) {
    // By default vim makes no backup of what lies below /tmp.
    let set = format!("set writebackup backupskip= {backup}");
    let args = ["-u", "NONE", "-i", "NONE", "-N", "-es", "-c", &set, "-c", change, "-c", "wq"];
    let output = attempt("vim", args.map(str::as_ref).into_iter().chain([file.as_os_str()]));
    assert!(output.status.success(), "vim, {backup}: {}", text(&output.stdout));
}

#[test]
fn vim_saves_in_every_way_it_knows_and_leaves_nothing_beside_the_file() {
    for backup in [
        "backupcopy=auto",
        "backupcopy=no",
        "backupcopy=yes",
        "backupcopy=no nowritebackup",
        "backupcopy=no swapsync=fsync directory=.",
    ] {
        let mount = bed(|bed| drop(bed.put("a.svg", b"<svg>one</svg>\n")));
        vim(&mount.at("a.svg"), backup, "s/one/two/");
        holds_only(&mount, &[("a.svg", b"<svg>two</svg>\n")]);
        assert_eq!(mount.emulator.count("put"), 1, "{backup}");
        vim(&mount.at("a.svg"), backup, "s/two/three/");
        holds_only(&mount, &[("a.svg", b"<svg>three</svg>\n")]);
        assert_eq!(mount.emulator.count("put"), 2, "{backup}");
        vim(&mount.at("b.svg"), backup, "normal iof a new file");
        assert_eq!(mount.emulator.count("put"), 3, "{backup}");
        mount.remount(&[]);
        holds_only(&mount, &[("a.svg", b"<svg>three</svg>\n"), ("b.svg", b"of a new file\n")]);
    }
}

#[test]
fn a_backup_that_vim_is_told_to_keep_stays_here() {
    let mount = bed(|bed| drop(bed.put("a.svg", b"<svg>one</svg>\n")));
    vim(&mount.at("a.svg"), "backup backupcopy=no backupdir=.", "s/one/two/");
    mount.quiet();
    mount.remount(&[]);
    assert_eq!(names(&mount.path), ["a.svg", "a.svg~"]);
    assert_eq!(fs::read(mount.at("a.svg~")).expect("read"), b"<svg>one</svg>\n");
    assert_eq!(xattr(&mount.at("a.svg~"), "state").as_deref(), Some("local"));
    assert_eq!(mount.emulator.read("a.svg").as_deref(), Some(&b"<svg>two</svg>\n"[..]));
    assert_eq!(mount.emulator.row("a.svg~"), None);
    // The next save takes the place of the backup.
    vim(&mount.at("a.svg"), "backup backupcopy=no backupdir=.", "s/two/three/");
    mount.crash(&[]);
    assert_eq!(fs::read(mount.at("a.svg~")).expect("read"), b"<svg>two</svg>\n");
    assert_eq!(fs::read(mount.at("a.svg")).expect("read"), b"<svg>three</svg>\n");
    run("rm", [mount.at("a.svg~")]);
    mount.quiet();
    mount.unmount();
    assert_eq!(mount.emulator.tree().len(), 1, "{:?}", mount.emulator.tree());
    no_violations(&mount);
}

#[test]
fn a_save_by_renaming_the_old_version_away_is_one_upload() {
    for (backup, end) in [
        ("a.jpg~", "nothing"),
        ("a.jpg~", "remount"),
        ("a.jpg~", "crash"),
        ("a.jpg.bak", "nothing"),
        ("a.jpg_original", "remount"),
        ("a.jpg~RF1a2b3c.TMP", "crash"),
    ] {
        let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 5000))));
        mount.local("new", &noise(2, 6000));
        // As vim does: the old one aside, the new one in its place, the old one away.
        sh(&mount, &format!("mv a.jpg {backup}"));
        sh(&mount, "cat $S/new > a.jpg");
        match end {
            "remount" => mount.remount(&[]),
            "crash" => mount.crash(&[]),
            _ => {}
        }
        assert!(fs::read(mount.at(backup)).expect("read") == noise(1, 5000), "{end}");
        sh(&mount, &format!("rm {backup}"));
        holds_only(&mount, &[("a.jpg", &noise(2, 6000))]);
        assert_eq!((mount.emulator.count("create"), mount.emulator.count("put")), (1, 1), "{end}");
        mount.unmount();
        assert_eq!(mount.emulator.tree().len(), 1, "{end}: {:?}", mount.emulator.tree());
    }
}

#[test]
fn a_save_that_is_given_up_leaves_the_picture_as_it_was() {
    let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 5000))));
    let id = xattr(&mount.at("a.jpg"), "id");
    for backup in ["a.jpg~", "a.jpg.bak", "a.jpg_original", "a.jpg.orig"] {
        sh(&mount, &format!("mv a.jpg {backup} && mv {backup} a.jpg"));
    }
    sh(&mount, "echo half > .a.jpg.swp && rm .a.jpg.swp");
    sh(&mount, "echo half > .goutputstream-AB12CD && rm .goutputstream-AB12CD");
    holds_only(&mount, &[("a.jpg", &noise(1, 5000))]);
    assert_eq!(xattr(&mount.at("a.jpg"), "id"), id);
    assert_eq!(mount.emulator.count("create"), 0);
}

#[test]
fn a_save_by_renaming_the_new_version_over_the_old_one_is_one_upload() {
    let script = "
import os, sys
temporary, path, new = sys.argv[1:]
with open(temporary, 'xb') as file:
    for block in iter(lambda bytes=open(new, 'rb'): bytes.read(1000), b''):
        file.write(block)
    file.flush()
    os.fsync(file.fileno())
    os.fchmod(file.fileno(), 0o640)
    os.setxattr(file.fileno(), 'user.note', b'kept')
os.rename(temporary, path)
";
    for temporary in [
        ".goutputstream-AB12CD",
        ".a.jpg.Xk29aB",
        "a.jpg.part",
        "a.jpg.tmp",
        "sedAb3dE9",
        "a.jpg.QGYOP0",
        "a.jpg.new",
        "tmpk3j_x0ab",
    ] {
        let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 5000))));
        let new = mount.local("new", &noise(2, 6000));
        names(&mount.path);
        mount.emulator.forget_requests();
        python(script, &[&mount.at(temporary), &mount.at("a.jpg"), &new]);
        holds_only(&mount, &[("a.jpg", &noise(2, 6000))]);
        assert_eq!(changes(&mount), FIRST_REPLACEMENT, "{temporary}");
        mount.remount(&[]);
        holds_only(&mount, &[("a.jpg", &noise(2, 6000))]);
        let mode = fs::metadata(mount.at("a.jpg")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{temporary}");
        let note = ::xattr::get(mount.at("a.jpg"), "user.note").expect("attributes are told");
        assert_eq!(note.as_deref(), Some(&b"kept"[..]), "{temporary}");
    }
}

/// A tree of pictures on the local disk, older than the mount.
fn pictures(mount: &Mount) {
    let script = "cd $0 && mkdir -p src/d/deep && cp 1 src/a.jpg && cp 2 src/d/b.jpg && \
                  cp 3 src/d/deep/c.jpg && cp 4 'src/d/图 4.jpg' && chmod 640 src/a.jpg && \
                  chmod 700 src/d && find src -exec touch -d '2020-02-03 04:05:06.123456789' {} +";
    for number in 1..=4 {
        mount.local(&number.to_string(), &noise(number, 3000 + number as usize));
    }
    run("sh", ["-c".as_ref(), script.as_ref(), mount.dir.path().as_os_str()]);
}

fn rsync(mount: &Mount, args: &[&str]) -> String {
    let args = args.iter().map(|arg| (*arg).to_owned());
    let from = mount.dir.path().join("src/").display().to_string();
    let to = mount.at("").display().to_string();
    run("rsync", args.chain(["--itemize-changes".to_owned(), from, to]))
}

#[test]
fn rsync_copies_a_tree_once_and_the_second_time_nothing() {
    for args in [&["-a"][..], &["-a", "--inplace"], &["-a", "--delay-updates"]] {
        let mount = Mount::with(pictures_only(), &[]);
        pictures(&mount);
        rsync(&mount, args);
        mount.quiet();
        assert_eq!(mount.emulator.count("put"), 4, "{args:?}");
        assert_eq!(mount.emulator.count("create"), 4, "{args:?}");
        assert_eq!(mount.emulator.count("mkdir"), 2, "{args:?}");
        assert_eq!((mount.emulator.count("move"), mount.emulator.count("delete")), (0, 0));
        for end in ["nothing", "remount", "crash"] {
            match end {
                "remount" => mount.remount(&[]),
                "crash" => mount.crash(&[]),
                _ => {}
            }
            mount.emulator.forget_requests();
            assert_eq!(rsync(&mount, args), "", "{args:?}, {end}");
            assert_eq!(changes(&mount), [0; 6], "{args:?}, {end}");
            assert_eq!(mount.emulator.count("cdn"), 0, "{args:?}, {end}: a byte was fetched");
            let listings = mount.emulator.count("list");
            assert!(listings <= 4, "{args:?}, {end}: {listings} listings");
        }
        let source = mount.dir.path().join("src");
        run("diff", ["-r".as_ref(), source.as_os_str(), mount.path.as_os_str()]);
        no_violations(&mount);
    }
}

#[test]
fn rsync_replaces_what_changed_and_removes_what_is_gone_and_nothing_else() {
    let mount = Mount::with(pictures_only(), &[]);
    pictures(&mount);
    rsync(&mount, &["-a"]);
    mount.quiet();
    mount.emulator.forget_requests();
    fs::write(mount.dir.path().join("src/d/b.jpg"), noise(9, 4000)).expect("written");
    fs::remove_file(mount.dir.path().join("src/a.jpg")).expect("removed");
    let told = rsync(&mount, &["-a", "--delete"]);
    assert!(told.contains("*deleting   a.jpg") && told.contains("d/b.jpg"), "{told}");
    assert!(!told.contains("c.jpg") && !told.contains("图"), "{told}");
    mount.quiet();
    assert_eq!(mount.emulator.read("d/b.jpg"), Some(noise(9, 4000)));
    assert_eq!(mount.emulator.row("a.jpg"), None);
    // The picture is replaced, and one deleted with its old version.
    let [create, mkdir, moves, delete, put, complete] = changes(&mount);
    assert_eq!([create, mkdir, moves, put, complete], [1; 5]);
    assert!(delete <= 2, "{delete} deletes");
    mount.remount(&[]);
    assert_eq!(rsync(&mount, &["-a", "--delete"]), "");
    no_violations(&mount);
}

#[test]
fn a_download_that_is_finished_by_a_rename_is_one_upload() {
    let mount = Mount::with(pictures_only(), &[]);
    mount.local("new", &noise(1, 40_000));
    // In pieces, with the file closed between them, as browsers do when they are paused.
    sh(&mount, "head -c 15000 $S/new > a.jpg.crdownload");
    sh(&mount, "tail -c +15001 $S/new | head -c 15000 >> a.jpg.crdownload");
    mount.remount(&[]);
    sh(&mount, "tail -c +30001 $S/new >> a.jpg.crdownload && mv a.jpg.crdownload a.jpg");
    holds_only(&mount, &[("a.jpg", &noise(1, 40_000))]);
    assert_eq!(changes(&mount), uploads(1));
}

#[test]
fn a_save_that_the_service_refuses_leaves_both_versions_where_they_were() {
    for over in [true, false] {
        for end in ["nothing", "remount", "crash"] {
            let what = format!("over a picture: {over}, {end}");
            let mount = bed(|bed| drop(over.then(|| bed.put("a.jpg", &noise(1, 5000)))));
            mount.local("new", &noise(2, 6000));
            sh(&mount, "cp $S/new .a.jpg.Xk29aB");
            mount.emulator.inject(Fault::new("create", refusal(1, "not today")).always());
            let renamed = fs::rename(mount.at(".a.jpg.Xk29aB"), mount.at("a.jpg"));
            assert!(renamed.is_err(), "{what}");
            mount.emulator.clear_faults();
            match end {
                "remount" => mount.remount(&[]),
                "crash" => mount.crash(&[]),
                _ => {}
            }
            assert!(fs::read(mount.at(".a.jpg.Xk29aB")).expect("read") == noise(2, 6000), "{what}");
            let state = xattr(&mount.at(".a.jpg.Xk29aB"), "state");
            assert_eq!(state.as_deref(), Some("local"), "{what}");
            assert_eq!(mount.emulator.read("a.jpg"), over.then(|| noise(1, 5000)), "{what}");
            assert_eq!(fs::read(mount.at("a.jpg")).ok(), over.then(|| noise(1, 5000)), "{what}");
            sh(&mount, "mv .a.jpg.Xk29aB a.jpg");
            holds_only(&mount, &[("a.jpg", &noise(2, 6000))]);
        }
    }
}
