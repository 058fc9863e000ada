//! Local files in places that change: folders that are renamed, removed or filled by others, names
//! that meet. What is only here is neither lost nor put in another's place.

use std::fs;

use bedfs_emulator::{Answers, MoveFolder, Options};

use crate::harness::{Mount, fast, noise, run, text, wait_until, xattr};
use crate::local_names::{changes, sh};
use crate::semantics::{bed, bed_with, errno, names, no_violations, refresh};

#[test]
fn local_files_go_along_with_a_folder_that_is_renamed_and_moved() {
    for move_folder in [MoveFolder::Works, MoveFolder::Refused] {
        for end in ["nothing", "remount", "crash"] {
            let what = format!("{move_folder:?}, {end}");
            let answers = Answers { move_folder, ..Answers::default() };
            let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
                bed.put("d/sub/a.jpg", b"a");
                bed.mkdir("e");
            });
            sh(&mount, "echo draft > d/sub/a.jpg.part && touch d/empty.jpg");
            sh(&mount, "mkdir d/sub/.Trash-0 && echo old > d/sub/.Trash-0/o.jpg");
            sh(&mount, "mv d f && mv f e/");
            match end {
                "remount" => mount.remount(&[]),
                "crash" => mount.crash(&[]),
                _ => {}
            }
            assert_eq!(names(&mount.at("e/f")), ["empty.jpg", "sub"], "{what}");
            assert_eq!(names(&mount.at("e/f/sub")), [".Trash-0", "a.jpg", "a.jpg.part"], "{what}");
            assert_eq!(sh(&mount, "cat e/f/sub/a.jpg.part e/f/sub/.Trash-0/*"), "draft\nold\n");
            sh(&mount, "mv e/f/sub/a.jpg.part e/f/b.jpg");
            assert_eq!(
                mount.emulator.read("e/f/b.jpg").as_deref(),
                Some(&b"draft\n"[..]),
                "{what}"
            );
            no_violations(&mount);
        }
    }
}

#[test]
fn a_folder_with_a_local_file_is_not_empty_and_goes_with_it() {
    for end in ["nothing", "remount", "crash"] {
        let mount = bed(|bed| drop(bed.mkdir("d")));
        sh(&mount, "echo draft > d/a.jpg~ && mkdir d/.Trash-0 && echo b > d/.Trash-0/b.jpg");
        match end {
            "remount" => mount.remount(&[]),
            "crash" => mount.crash(&[]),
            _ => {}
        }
        assert_eq!(errno(fs::remove_dir(mount.at("d"))), libc::ENOTEMPTY, "{end}");
        assert!(mount.emulator.row("d").is_some(), "{end}");
        run("rm", ["-r".into(), mount.at("d")]);
        mount.quiet();
        assert_eq!(mount.emulator.tree(), [], "{end}");
        fs::create_dir(mount.at("d")).expect("made anew");
        mount.remount(&[]);
        assert_eq!(names(&mount.at("d")), [""; 0], "{end}");
        no_violations(&mount);
    }
}

#[test]
fn a_local_file_whose_folder_was_removed_elsewhere_can_still_be_had() {
    let mount = bed(|bed| drop(bed.put("d/a.jpg", b"a")));
    fs::write(mount.at("d/draft.jpg.part"), noise(1, 5000)).expect("written");
    mount.unmount();
    mount.emulator.remove("d");
    let output = mount.mount(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let list = || text(&mount.bedfs("pending").output().expect("bedfs runs").stdout);
    wait_until("it is listed", || list().contains("d/draft.jpg.part"));
    let out = mount.dir.path().join("out");
    let exported = mount.bedfs("pending").arg("export").arg(&out).output().expect("bedfs runs");
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    assert!(fs::read(out.join("d/draft.jpg.part")).expect("read") == noise(1, 5000));
    no_violations(&mount);
}

#[test]
fn an_object_of_the_same_name_that_others_made_is_not_replaced_by_a_local_file() {
    for end in ["refresh", "remount", "crash"] {
        let mount = Mount::new();
        fs::write(mount.at("a.jpg~"), b"ours").expect("written");
        if end == "remount" {
            mount.unmount();
        }
        let theirs = mount.emulator.put("a.jpg~", b"theirs");
        match end {
            "remount" => assert!(mount.mount(&[]).status.success()),
            "crash" => mount.crash(&[]),
            _ => refresh(&mount.path),
        }
        mount.quiet();
        let shown: Vec<_> = names(&mount.path)
            .iter()
            .map(|name| fs::read(mount.at(name)).expect("readable"))
            .collect();
        assert!(shown.contains(&b"ours".to_vec()), "{end}: {shown:?}");
        mount.remount(&[]);
        mount.quiet();
        let row = mount.emulator.row("a.jpg~").expect("theirs is there");
        assert_eq!((row.id, row.size), (theirs, 6), "{end}");
        assert_eq!(changes(&mount), [0; 6], "{end}");
        no_violations(&mount);
    }
}

#[test]
fn local_files_take_each_others_names_as_files_do() {
    for end in ["nothing", "remount", "crash"] {
        let mount = bed(|bed| {
            bed.put("a.jpg", &noise(1, 3000));
            bed.put("b.jpg", &noise(2, 3000));
        });
        let end_it = || match end {
            "remount" => mount.remount(&[]),
            "crash" => mount.crash(&[]),
            _ => {}
        };
        // A local file over a picture that is aside, and that over a local file.
        sh(&mount, "mv a.jpg a.jpg~ && echo draft > draft~ && mv draft~ a.jpg~");
        end_it();
        assert_eq!(names(&mount.path), ["a.jpg~", "b.jpg"], "{end}");
        assert_eq!(fs::read(mount.at("a.jpg~")).expect("read"), b"draft\n", "{end}");
        sh(&mount, "mv b.jpg a.jpg~");
        end_it();
        assert_eq!(names(&mount.path), ["a.jpg~"], "{end}");
        assert!(fs::read(mount.at("a.jpg~")).expect("read") == noise(2, 3000), "{end}");
        // One local name after the other, then a proper one that is not the one it had.
        sh(&mount, "mv a.jpg~ c.part && mv c.part .c.swp");
        end_it();
        assert_eq!(xattr(&mount.at(".c.swp"), "state").as_deref(), Some("local"), "{end}");
        sh(&mount, "mv .c.swp c.jpg");
        mount.quiet();
        assert_eq!(names(&mount.path), ["c.jpg"], "{end}");
        assert!(mount.emulator.read("c.jpg") == Some(noise(2, 3000)), "{end}");
        assert_eq!(mount.emulator.count("put"), 0, "{end}: the service has the bytes");
        let files = mount.emulator.tree().into_iter().filter(|(_, row)| !row.is_folder);
        assert_eq!(files.count(), 1, "{end}: {:?}", mount.emulator.tree());
        no_violations(&mount);
    }
}

#[test]
fn a_local_file_that_gets_a_proper_name_in_the_background_outlives_a_kill() {
    let mount = bed_with(fast(), &["--upload", "background"], |bed| {
        bed.put("a.jpg", &noise(1, 3000));
    });
    let away = bedfs_emulator::Fault::new("create", bedfs_emulator::FaultKind::Status(503));
    mount.emulator.inject(away.always());
    let new = [("a.jpg", noise(2, 4000)), ("b.jpg", noise(3, 4000))];
    for (name, bytes) in &new {
        mount.local("new", bytes);
        sh(&mount, &format!("cp $S/new .{name}.Xk29aB && mv .{name}.Xk29aB {name}"));
    }
    for _ in 0..3 {
        for (name, bytes) in &new {
            assert!(fs::read(mount.at(name)).expect("read") == *bytes, "{name}");
        }
        assert_eq!(names(&mount.path), ["a.jpg", "b.jpg"]);
        assert!(mount.emulator.read("a.jpg") == Some(noise(1, 3000)));
        mount.crash(&["--upload", "background"]);
    }
    mount.emulator.clear_faults();
    mount.quiet();
    for (name, bytes) in &new {
        assert!(mount.emulator.read(name).as_ref() == Some(bytes), "{name}");
    }
    assert_eq!(mount.emulator.count("put"), 2, "the bytes are sent once");
    no_violations(&mount);
}
