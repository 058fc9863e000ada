//! What others do to the bed behind the mount's back, and listings that fail: sane answers, a true
//! view again soon, and nothing lost from view without a clear word of the service.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use bedfs_emulator::{Fault, FaultKind};

use crate::harness::{Mount, attempt, fast, noise, run, wait_until, xattr};
use crate::semantics::{bed, bed_with, errno, names, no_violations, open_rw, refresh};

/// Folders are listed again after a second.
const SOON: &[&str] = &["--dir-ttl", "1"];

fn refusal() -> FaultKind {
    FaultKind::Refuse { code: 1, message: "try again".to_owned() }
}

#[test]
fn what_is_added_replaced_and_removed_elsewhere_shows_soon() {
    let mount = bed_with(fast(), SOON, |bed| {
        bed.put("gone.jpg", b"gone");
        bed.put("changed.jpg", b"before");
        bed.put("d/deep.jpg", b"deep");
    });
    assert_eq!(names(&mount.path), ["changed.jpg", "d", "gone.jpg"]);
    assert_eq!(fs::read(mount.at("changed.jpg")).expect("read"), b"before");
    let before = fs::metadata(mount.at("changed.jpg")).expect("stat").ino();
    mount.emulator.remove("gone.jpg");
    mount.emulator.put("changed.jpg", b"and after");
    mount.emulator.put("new.jpg", b"new");
    mount.emulator.put("d/new.jpg", b"new too");
    wait_until("the view is true", || {
        names(&mount.path) == ["changed.jpg", "d", "new.jpg"]
            && fs::read(mount.at("changed.jpg")).is_ok_and(|bytes| bytes == b"and after")
            && fs::read(mount.at("d/new.jpg")).is_ok()
            && !mount.at("gone.jpg").exists()
    });
    assert_eq!(fs::read(mount.at("new.jpg")).expect("read"), b"new");
    let after = fs::metadata(mount.at("changed.jpg")).expect("stat").ino();
    assert_ne!(before, after, "another object is another inode");
    no_violations(&mount);
}

#[test]
fn a_refresh_lists_one_folder_now() {
    let mount = bed(|bed| {
        bed.put("d/a.jpg", b"a");
        bed.put("e/a.jpg", b"a");
    });
    assert_eq!(names(&mount.at("d")), ["a.jpg"]);
    assert_eq!(names(&mount.at("e")), ["a.jpg"]);
    mount.emulator.put("d/b.jpg", b"b");
    mount.emulator.put("e/b.jpg", b"b");
    assert_eq!(names(&mount.at("d")), ["a.jpg"], "a listing serves for a minute");
    mount.emulator.forget_requests();
    refresh(&mount.at("d"));
    assert_eq!(mount.emulator.count("list"), 1);
    assert_eq!(names(&mount.at("d")), ["a.jpg", "b.jpg"]);
    assert_eq!(names(&mount.at("e")), ["a.jpg"]);
    assert_eq!(mount.emulator.count("list"), 1);
    no_violations(&mount);
}

#[test]
fn a_name_that_a_fresh_listing_lacks_costs_no_call() {
    let mount = bed(|bed| drop(bed.put("d/a.jpg", b"a")));
    assert_eq!(names(&mount.at("d")), ["a.jpg"]);
    wait_until("the account is asked for", || mount.emulator.count("user/info") > 0);
    mount.emulator.forget_requests();
    for name in ["none", "d/none", "d/.hidden", "d/a.JPG"] {
        assert_eq!(errno(fs::metadata(mount.at(name))), libc::ENOENT, "{name}");
        assert_eq!(errno(fs::remove_file(mount.at(name))), libc::ENOENT, "{name}");
        assert_eq!(errno(fs::File::open(mount.at(name))), libc::ENOENT, "{name}");
    }
    assert_eq!(mount.emulator.requests().len(), 0);
    no_violations(&mount);
}

#[test]
fn a_folder_removed_elsewhere_is_gone_and_takes_nothing_in() {
    let mount = bed_with(fast(), SOON, |bed| drop(bed.put("d/a.jpg", b"a")));
    assert_eq!(names(&mount.at("d")), ["a.jpg"]);
    mount.emulator.remove("d");
    // Whether it is still shown or not: nothing can be put into it, and it is not made again.
    let output = attempt("cp", [mount.local("new.jpg", b"new"), mount.at("d/new.jpg")]);
    assert!(!output.status.success(), "cp into a folder that is gone");
    assert_eq!(errno(fs::create_dir(mount.at("d/sub"))), libc::ENOENT);
    wait_until("the folder is gone from view", || {
        names(&mount.path).is_empty() && !mount.at("d").exists()
    });
    assert_eq!(errno(fs::read_dir(mount.at("d"))), libc::ENOENT);
    assert_eq!(errno(fs::remove_dir(mount.at("d"))), libc::ENOENT);
    assert_eq!(mount.emulator.tree().len(), 0);
    fs::create_dir(mount.at("d")).expect("made anew");
    fs::write(mount.at("d/new.jpg"), b"new").expect("written");
    assert_eq!(mount.emulator.read("d/new.jpg").as_deref(), Some(&b"new"[..]));
    no_violations(&mount);
}

#[test]
fn an_object_removed_elsewhere_is_an_error_for_who_still_sees_it() {
    let mount = bed(|bed| {
        for name in ["read", "remove", "move", "over", "rename"] {
            bed.put(&format!("{name}.jpg"), format!("of {name}").as_bytes());
        }
        bed.mkdir("d");
    });
    assert_eq!(names(&mount.path).len(), 6);
    for name in ["read", "remove", "move", "over", "rename"] {
        mount.emulator.remove(&format!("{name}.jpg"));
    }
    let read = errno(fs::read(mount.at("read.jpg")));
    assert!([libc::ENOENT, libc::EIO, libc::ESTALE].contains(&read), "errno {read}");
    let removed = fs::remove_file(mount.at("remove.jpg"));
    assert!(removed.is_ok() || errno(removed) == libc::ENOENT);
    assert_eq!(errno(fs::rename(mount.at("move.jpg"), mount.at("d/move.jpg"))), libc::ENOENT);
    // A close that says yes has its bytes at the service, even while an old name is still known.
    let source = mount.local("source", b"new bytes");
    let copied = attempt("cp", [&source, &mount.at("over.jpg")]);
    let there = mount.emulator.read("over.jpg");
    assert!(
        !copied.status.success() || there.as_deref() == Some(&b"new bytes"[..]),
        "cp succeeded, the bed has {there:?}"
    );
    refresh(&mount.path);
    wait_until("it is overwritten", || {
        attempt("cp", [&source, &mount.at("over.jpg")]).status.success()
    });
    assert_eq!(mount.emulator.read("over.jpg").as_deref(), Some(&b"new bytes"[..]));
    wait_until("the view is true", || names(&mount.path) == ["d", "over.jpg"]);
    assert_eq!(fs::read(mount.at("over.jpg")).expect("read"), b"new bytes");
    no_violations(&mount);
}

#[test]
fn bytes_written_to_a_file_that_vanished_elsewhere_are_kept_or_refused() {
    let mount = bed(|bed| drop(bed.put("a.jpg", b"of old")));
    let file = open_rw(&mount.at("a.jpg"));
    mount.emulator.remove("a.jpg");
    refresh(&mount.path);
    file.write_all_at(b"new bytes", 0).expect("written");
    match file.sync_all() {
        Ok(()) => assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"new bytes"[..])),
        Err(error) => {
            let known = [libc::ENOENT, libc::ESTALE, libc::EIO].map(Some);
            assert!(known.contains(&error.raw_os_error()), "{error}");
        }
    }
    no_violations(&mount);
}

#[test]
fn bytes_are_put_over_an_object_of_their_name_that_was_added_elsewhere() {
    let mount = Mount::new();
    fs::create_dir(mount.at("d")).expect("a folder");
    mount.emulator.put("d/a.jpg", b"a stranger's");
    fs::write(mount.at("d/a.jpg"), b"ours").expect("written");
    let rows = mount.emulator.list("d");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(mount.emulator.read("d/a.jpg").as_deref(), Some(&b"ours"[..]));
    refresh(&mount.at("d"));
    assert_eq!(names(&mount.at("d")), ["a.jpg"]);
    assert_eq!(xattr(&mount.at("d/a.jpg"), "id"), Some(rows[0].id.clone()));
    no_violations(&mount);
}

#[test]
fn a_picture_moved_elsewhere_is_found_where_it_is() {
    let mount = bed_with(fast(), SOON, |bed| {
        bed.put("a/p.jpg", b"p");
        bed.mkdir("b");
    });
    assert_eq!((names(&mount.at("a")), names(&mount.at("b")).len()), (vec!["p.jpg".to_owned()], 0));
    // Another mount of the same bed does it.
    let other = Mount::with(fast(), &[]);
    let output = other.bedfs("umount").arg(&other.path).output().expect("bedfs runs");
    assert!(output.status.success());
    let endpoint = mount.emulator.base_url();
    let mounted = crate::harness::bedfs(other.dir.path(), &endpoint)
        .args(["mount", "--qps", "unlimited"])
        .arg(&other.path)
        .output()
        .expect("bedfs runs");
    assert!(mounted.status.success());
    run("mv", [other.at("a/p.jpg"), other.at("b/p.jpg")]);
    wait_until("the picture shows in its new folder alone", || {
        names(&mount.at("a")).is_empty() && names(&mount.at("b")) == ["p.jpg"]
    });
    assert_eq!(fs::read(mount.at("b/p.jpg")).expect("read"), b"p");
    no_violations(&mount);
}

#[test]
fn a_listing_that_fails_on_its_second_page_removes_nothing_from_view() {
    let mount = bed(|bed| bed.fill("d", 150, 1000));
    let all = names(&mount.at("d"));
    assert_eq!(all.len(), 150);
    for number in 0..60 {
        mount.emulator.remove(&format!("d/pic-{number:06}.jpg"));
        mount.emulator.put(&format!("d/new-{number:06}.jpg"), &noise(number, 10));
    }
    mount.emulator.forget_requests();
    mount.emulator.inject(Fault::new("list", refusal()).skip(1));
    let folder = mount.at("d");
    let refreshed = attempt(
        "setfattr",
        [
            "-n".as_ref(),
            "user.bedfs.refresh".as_ref(),
            "-v".as_ref(),
            "1".as_ref(),
            folder.as_os_str(),
        ],
    );
    assert!(!refreshed.status.success(), "a refresh that fails says so");
    assert_eq!(mount.emulator.count("list"), 2);
    assert_eq!(names(&folder), all);
    assert_eq!(fs::read(folder.join("pic-000100.jpg")).expect("read").len(), 1000);
    refresh(&folder);
    let now = names(&folder);
    assert_eq!(
        (now.len(), &now[..1], now.contains(&all[59])),
        (150, &["new-000000.jpg".to_owned()][..], false)
    );
    no_violations(&mount);
}

#[test]
fn the_last_view_serves_on_while_the_service_refuses_to_list() {
    let mount = bed_with(fast(), SOON, |bed| bed.fill("d", 20, 1000));
    let all = names(&mount.at("d"));
    mount.emulator.remove("d/pic-000000.jpg");
    mount.emulator.forget_requests();
    mount.emulator.inject(Fault::new("list", refusal()).always());
    wait_until("the folder is asked for and refused", || {
        assert_eq!(names(&mount.at("d")), all);
        mount.emulator.count("list") >= 2
    });
    assert_eq!(names(&mount.at("d")), all);
    assert_eq!(fs::read(mount.at("d/pic-000010.jpg")).expect("read").len(), 1000);
    fs::write(mount.at("d/new.jpg"), b"new").expect("written");
    assert_eq!(mount.emulator.read("d/new.jpg").as_deref(), Some(&b"new"[..]));
    mount.emulator.clear_faults();
    refresh(&mount.at("d"));
    assert_eq!((names(&mount.at("d")).len(), names(&mount.at("d")).contains(&all[0])), (20, false));
    no_violations(&mount);
}

#[test]
fn an_answer_without_its_list_is_not_taken_for_an_empty_folder() {
    for kind in [FaultKind::MissingData, FaultKind::EmptyObject, FaultKind::Garbage] {
        let mount = bed(|bed| bed.fill("d", 20, 1000));
        assert_eq!(names(&mount.at("d")).len(), 20);
        mount.emulator.forget_requests();
        mount.emulator.inject(Fault::new("list", kind.clone()).times(3));
        refresh(&mount.at("d"));
        assert!(mount.emulator.count("list") > 3, "{kind:?}: it is asked again");
        assert_eq!(names(&mount.at("d")).len(), 20, "{kind:?}");
        no_violations(&mount);
    }
}

#[test]
fn a_folder_that_was_never_listed_and_cannot_be_is_an_error_not_an_empty_one() {
    let mount = bed(|bed| bed.fill("d", 20, 1000));
    mount.emulator.inject(Fault::new("list", refusal()).always());
    assert_eq!(errno(fs::read_dir(mount.at("d"))), libc::EIO);
    assert_eq!(errno(fs::metadata(mount.at("d/pic-000001.jpg"))), libc::EIO);
    assert_eq!(errno(fs::remove_dir(mount.at("d"))), libc::EIO);
    mount.emulator.clear_faults();
    assert_eq!(names(&mount.at("d")).len(), 20);
    no_violations(&mount);
}

#[test]
fn a_folder_whose_listing_fails_is_not_removed() {
    let mount = bed(|bed| drop(bed.mkdir("d")));
    assert!(names(&mount.at("d")).is_empty());
    mount.emulator.put("d/a.jpg", b"a");
    mount.emulator.inject(Fault::new("list", refusal()).always());
    assert_eq!(errno(fs::remove_dir(mount.at("d"))), libc::EIO);
    mount.emulator.clear_faults();
    assert_eq!(mount.emulator.count("delete"), 0);
    assert_eq!(mount.emulator.read("d/a.jpg").as_deref(), Some(&b"a"[..]));
    no_violations(&mount);
}

#[test]
fn what_was_moved_elsewhere_is_not_deleted_for_the_name_it_had() {
    let emulator = bedfs_emulator::Emulator::start(fast()).expect("the emulator starts");
    let names = ["over.jpg", "removed.jpg", "renamed.jpg", "target.jpg"];
    for (seed, name) in names.iter().enumerate() {
        emulator.put(&format!("x/{name}"), &noise(seed as u64, 3000));
    }
    emulator.put("x/source.jpg", &noise(9, 3000));
    emulator.mkdir("keep");
    let mount = Mount::over(emulator, &[]);
    run("ls", [mount.at("x")]);
    // Another mount, with a state of its own, stands for another machine.
    let other = tempfile::tempdir().expect("a temporary folder");
    let there = other.path().join("mnt");
    std::fs::create_dir(&there).expect("a mount point");
    let second = |command: &str| {
        let mut bedfs = crate::harness::bedfs(other.path(), &mount.emulator.base_url());
        bedfs.arg(command).arg(&there).output().expect("bedfs runs")
    };
    assert!(second("mount").status.success());
    for name in names {
        run("mv", [there.join("x").join(name), there.join("keep").join(name)]);
    }
    assert!(second("umount").status.success());
    let kept: Vec<_> = mount.emulator.list("keep").into_iter().map(|row| row.id).collect();
    // What was seen of late is believed.
    std::thread::sleep(std::time::Duration::from_secs(11));
    let new = mount.local("new.jpg", &noise(20, 3000));
    let at = |name: &str| mount.at("x").join(name);
    // Acknowledged by what the view shows, and then looked for before it is deleted.
    run("rm", [at("removed.jpg")]);
    mount.quiet();
    run("cp", [new.clone(), at("over.jpg")]);
    assert!(!attempt("mv", [at("renamed.jpg"), at("other.jpg")]).status.success());
    run("mv", [at("source.jpg"), at("target.jpg")]);
    let now: Vec<_> = mount.emulator.list("keep").into_iter().map(|row| row.id).collect();
    assert_eq!((now.len(), now), (4, kept));
    assert_eq!(mount.emulator.read("x/over.jpg"), Some(noise(20, 3000)));
    assert_eq!(mount.emulator.read("x/target.jpg"), Some(noise(9, 3000)));
    assert_eq!(mount.emulator.violations(), Vec::<String>::new());
}
