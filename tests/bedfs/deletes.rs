//! Deletes: acknowledged when they are journaled, sent in batches; what was removed is gone from view
//! and for everything that comes after, across any end, and nothing goes that nobody removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bedfs_emulator::{Emulator, Fault, FaultKind};
use tempfile::TempDir;

use crate::bench::refusal;
use crate::compare::whole_bed;
use crate::harness::{Mount, bedfs, fast, noise, run, text, unmount, wait_until, xattr};
use crate::semantics::{bed, errno, names, no_violations, open_rw, refresh};

/// The IDs of all files of the bed.
fn ids(mount: &Mount) -> BTreeSet<String> {
    let rows = mount.emulator.tree().into_iter();
    rows.filter(|(_, row)| !row.is_folder).map(|(_, row)| row.id).collect()
}

/// No delete is done until the faults are cleared.
fn hold_deletes(mount: &Mount) {
    mount.emulator.inject(Fault::new("delete", FaultKind::Status(503)).always());
}

fn release_deletes(mount: &Mount) {
    mount.emulator.clear_faults();
    mount.quiet();
}

/// Another machine's mount of the same bed.
struct Elsewhere {
    home: TempDir,
    endpoint: String,
}

impl Elsewhere {
    fn mount(mount: &Mount) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(home.path().join("mnt")).expect("a mount point");
        let elsewhere = Self { home, endpoint: mount.emulator.base_url() };
        let mut command = bedfs(elsewhere.home.path(), &elsewhere.endpoint);
        let output = command.args(["mount", "--qps", "unlimited"]).arg(elsewhere.at("")).output();
        let output = output.expect("bedfs runs");
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
        elsewhere
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join("mnt").join(path)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let mut command = bedfs(self.home.path(), &self.endpoint);
        unmount(command.arg("umount").arg(self.at("")));
    }
}

#[test]
fn a_folder_of_500_pictures_goes_in_few_calls() {
    let mount = bed(|bed| {
        bed.fill("d", 500, 10);
        bed.put("keep.jpg", b"keep");
    });
    assert_eq!(names(&mount.path), ["d", "keep.jpg"]);
    mount.emulator.forget_requests();
    run("rm", ["-rf".into(), mount.at("d")]);
    assert_eq!(names(&mount.path), ["keep.jpg"]);
    assert_eq!(whole_bed(&mount.emulator).into_keys().collect::<Vec<_>>(), ["keep.jpg"]);
    let calls = |endpoint| mount.emulator.count(endpoint);
    assert!(calls("delete") <= 8, "{} deletes", calls("delete"));
    assert!(calls("list") <= 500 / 100 + 3, "{} listings", calls("list"));
    assert_eq!(calls("detail"), 0);
    no_violations(&mount);
}

#[test]
fn removals_in_several_folders_share_a_call() {
    let mount = bed(|bed| {
        for folder in ["a", "b", "c"] {
            bed.fill(folder, 20, 10);
        }
    });
    run("find", [&mount.path]);
    mount.emulator.forget_requests();
    let all = "cd \"$0\" && rm a/*.jpg b/*.jpg c/*.jpg";
    run("sh", ["-c".as_ref(), all.as_ref(), mount.path.as_os_str()]);
    mount.quiet();
    assert_eq!(ids(&mount).len(), 0);
    assert_eq!(mount.emulator.count("delete"), 1);
    no_violations(&mount);
}

#[test]
fn what_is_being_deleted_is_in_no_listing_and_under_no_name() {
    let mount = bed(|bed| {
        bed.put("d/a.jpg", b"a");
        bed.put("d/b.jpg", b"b");
    });
    assert_eq!(names(&mount.at("d")), ["a.jpg", "b.jpg"]);
    hold_deletes(&mount);
    run("rm", [mount.at("d/a.jpg")]);
    refresh(&mount.at("d"));
    assert_eq!(names(&mount.at("d")), ["b.jpg"]);
    assert_eq!(errno(fs::read(mount.at("d/a.jpg"))), libc::ENOENT);
    assert_eq!(errno(fs::rename(mount.at("d/a.jpg"), mount.at("c.jpg"))), libc::ENOENT);
    assert_eq!(errno(fs::remove_file(mount.at("d/a.jpg"))), libc::ENOENT);
    let pending = fs::read_to_string(mount.at(".bedfs/pending.json")).expect("read");
    assert!(pending.contains("a.jpg") && pending.contains("delete"), "{pending}");
    assert_eq!(mount.emulator.read("d/a.jpg").as_deref(), Some(&b"a"[..]), "held for the test");
    release_deletes(&mount);
    assert_eq!(mount.emulator.row("d/a.jpg"), None);
    assert_eq!(mount.emulator.read("d/b.jpg").as_deref(), Some(&b"b"[..]));
    no_violations(&mount);
}

#[test]
fn whatever_takes_a_name_that_is_being_deleted_ends_in_its_place() {
    let new = noise(1, 3000);
    for command in
        ["cp ../new a.jpg", "mv b.jpg a.jpg", "mv d/a.jpg .", "mv d/c.jpg a.jpg", "mkdir a.jpg"]
    {
        let mount = bed(|bed| {
            bed.put("a.jpg", &noise(2, 3000));
            for path in ["b.jpg", "d/a.jpg", "d/c.jpg"] {
                bed.put(path, &new);
            }
        });
        mount.local("new", &new);
        run("find", [&mount.path]);
        let old = mount.emulator.row("a.jpg").expect("the file").id;
        let line = format!("cd {} && rm a.jpg && {command}", mount.path.display());
        run("sh", ["-c", &line]);
        mount.quiet();
        refresh(&mount.path);
        let rows = mount.emulator.list("");
        let there: Vec<_> = rows.iter().filter(|row| row.name == "a.jpg").collect();
        assert_eq!(there.len(), 1, "{command}: {there:?}");
        assert_ne!(there[0].id, old, "{command}");
        assert_eq!(xattr(&mount.at("a.jpg"), "id").as_ref(), Some(&there[0].id), "{command}");
        if command.starts_with("mkdir") {
            assert!(mount.at("a.jpg").is_dir(), "{command}");
        } else {
            assert!(fs::read(mount.at("a.jpg")).expect("read") == new, "{command}");
            assert!(mount.emulator.read("a.jpg") == Some(new.clone()), "{command}");
        }
        no_violations(&mount);
    }
}

#[test]
fn a_name_is_given_again_and_again_and_holds_the_last_bytes() {
    let mount = bed(|bed| drop(bed.put("a.jpg", b"the first")));
    for round in 0..5 {
        fs::remove_file(mount.at("a.jpg")).expect("removed");
        fs::write(mount.at("a.jpg"), noise(round, 2000)).expect("written");
    }
    mount.quiet();
    assert_eq!(fs::read(mount.at("a.jpg")).expect("read"), noise(4, 2000));
    assert_eq!(mount.emulator.read("a.jpg"), Some(noise(4, 2000)));
    assert_eq!(ids(&mount).len(), 1);
    no_violations(&mount);
}

#[test]
fn a_removal_that_returned_outlives_a_kill_and_never_shows_again() {
    let mount = bed(|bed| {
        bed.fill("d", 6, 10);
        bed.put("a.jpg", b"a");
    });
    run("find", [&mount.path]);
    mount.emulator.inject(Fault::new("delete", FaultKind::Hang).always());
    run("rm", [mount.at("a.jpg"), mount.at("d/pic-000001.jpg"), mount.at("d/pic-000004.jpg")]);
    mount.crash(&[]);
    let left = ["pic-000000.jpg", "pic-000002.jpg", "pic-000003.jpg", "pic-000005.jpg"];
    assert_eq!(
        (names(&mount.path), names(&mount.at("d"))),
        (vec!["d".to_owned()], left.map(str::to_owned).to_vec())
    );
    assert_eq!(ids(&mount).len(), 7, "the service has them all yet");
    mount.emulator.clear_faults();
    mount.crash(&[]);
    assert_eq!(names(&mount.at("d")), left);
    mount.quiet();
    assert_eq!(names(&mount.path), ["d"]);
    assert_eq!(mount.emulator.list("d").len(), 4);
    assert_eq!(ids(&mount).len(), 4);
    no_violations(&mount);
}

#[test]
fn a_removal_cut_off_before_the_listing_was_kept_shows_in_no_later_mount() {
    let mount = bed(|bed| bed.fill("d", 3, 10));
    run("find", [&mount.path]);
    mount.remount(&[]);
    hold_deletes(&mount);
    run("rm", [mount.at("d/pic-000001.jpg")]);
    mount.crash(&[]);
    let left = ["pic-000000.jpg", "pic-000002.jpg"];
    assert_eq!(names(&mount.at("d")), left);
    release_deletes(&mount);
    // It has the folder kept anew, as it is now.
    fs::write(mount.at("d/new.jpg"), noise(1, 100)).expect("written");
    mount.remount(&[]);
    mount.emulator.inject(Fault::new("list", FaultKind::Status(503)).always());
    assert_eq!(names(&mount.at("d")), ["new.jpg", left[0], left[1]]);
    no_violations(&mount);
}

#[test]
fn a_removal_is_done_when_umount_returns() {
    let mount = bed(|bed| bed.fill("", 3, 10));
    run("rm", [mount.at("pic-000000.jpg"), mount.at("pic-000002.jpg")]);
    mount.unmount();
    let left: Vec<_> = mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, ["pic-000001.jpg"]);
    no_violations(&mount);
}

#[test]
fn removals_while_the_service_is_away_are_done_when_it_is_back() {
    let mount = bed(|bed| bed.fill("d", 5, 10));
    assert_eq!(names(&mount.at("d")).len(), 5);
    mount.emulator.inject(Fault::new("*", FaultKind::Reset).always());
    run("rm", [mount.at("d/pic-000000.jpg"), mount.at("d/pic-000003.jpg")]);
    assert_eq!(names(&mount.at("d")).len(), 3);
    assert_eq!(ids(&mount).len(), 5);
    release_deletes(&mount);
    assert_eq!(ids(&mount).len(), 3);
    refresh(&mount.at("d"));
    assert_eq!(names(&mount.at("d")), ["pic-000001.jpg", "pic-000002.jpg", "pic-000004.jpg"]);
    no_violations(&mount);
}

#[test]
fn one_that_the_service_refuses_to_delete_is_shown_again_and_the_others_go() {
    let mount = bed(|bed| bed.fill("d", 4, 10));
    assert_eq!(names(&mount.at("d")).len(), 4);
    // The batch, and then the first of it by itself.
    mount.emulator.inject(Fault::new("delete", refusal(1, "it is locked")).times(2));
    run("rm", ["0", "1", "2"].map(|number| mount.at(format!("d/pic-00000{number}.jpg"))));
    mount.quiet();
    let left: Vec<_> = mount.emulator.list("d").into_iter().map(|row| row.name).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    // It is listed behind the reader's back.
    wait_until("it is shown again", || names(&mount.at("d")) == left);
    let log = mount.log();
    assert!(log.contains(&format!("{:?} is not deleted", left[0])), "{log}");
    assert!(log.contains("it is locked"), "{log}");
    run("rm", [mount.at("d").join(&left[0])]);
    mount.quiet();
    assert_eq!(mount.emulator.list("d").len(), 1);
    no_violations(&mount);
}

#[test]
fn what_was_moved_elsewhere_before_a_cut_off_delete_is_not_deleted() {
    // Few are asked for one by one, many by a listing.
    for removed in [2, 5] {
        let mount = bed(|bed| {
            bed.fill("d", 6, 10);
            bed.mkdir("keep");
        });
        run("find", [&mount.path]);
        mount.emulator.inject(Fault::new("delete", FaultKind::Hang).always());
        let name = |number: usize| format!("pic-{number:06}.jpg");
        run("rm", (0..removed).map(|number| mount.at("d").join(name(number))));
        let elsewhere = Elsewhere::mount(&mount);
        run("mv", [elsewhere.at("d").join(name(1)), elsewhere.at("keep")]);
        let moved = mount.emulator.row("keep/pic-000001.jpg").expect("moved").id;
        mount.emulator.clear_faults();
        mount.crash(&[]);
        mount.quiet();
        assert_eq!(names(&mount.at("d")), (removed..6).map(name).collect::<Vec<_>>());
        assert_eq!(mount.emulator.list("d").len(), 6 - removed);
        assert_eq!(mount.emulator.row("keep/pic-000001.jpg").expect("kept").id, moved);
        refresh(&mount.at("keep"));
        assert_eq!(names(&mount.at("keep")), [name(1)]);
        no_violations(&mount);
    }
}

#[test]
fn a_removed_file_that_is_open_goes_with_its_last_close_or_with_the_mount() {
    let mount = bed(|bed| {
        bed.put("closed.jpg", b"closed");
        bed.put("killed.jpg", b"killed");
    });
    for name in ["closed.jpg", "killed.jpg"] {
        let file = open_rw(&mount.at(name));
        run("rm", [mount.at(name)]);
        assert!(!mount.at(name).exists(), "{name}");
        // Its name is free for another.
        fs::write(mount.at(name), b"another").expect("written");
        assert_eq!(ids(&mount).len(), 3, "{name}: still there for who reads it");
        let mut bytes = [0; 6];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).expect("readable");
        assert_eq!(bytes, name.as_bytes()[..6]);
        match name {
            "closed.jpg" => drop(file),
            _ => mount.crash(&[]),
        }
        mount.quiet();
        assert_eq!(mount.emulator.read(name).as_deref(), Some(&b"another"[..]));
        assert_eq!(ids(&mount).len(), 2, "{name}");
    }
    mount.unmount();
    let tree = mount.emulator.tree();
    assert_eq!(tree.len(), 2, "no scratch folder is left: {tree:?}");
    no_violations(&mount);
}

#[test]
fn a_removal_of_what_was_written_and_not_uploaded_makes_no_call() {
    let mount = Mount::with(fast(), &["--upload", "background"]);
    mount.emulator.inject(Fault::new("create", FaultKind::Hang).always());
    fs::write(mount.at("a.jpg"), noise(1, 3000)).expect("written");
    let mut rm = Command::new("rm").arg(mount.at("a.jpg")).spawn().expect("rm runs");
    wait_until("acknowledged without the service", || {
        rm.try_wait().expect("a state").is_some_and(|status| status.success())
    });
    mount.emulator.clear_faults();
    assert_eq!(names(&mount.path), [""; 0]);
    mount.crash(&[]);
    mount.quiet();
    assert_eq!(names(&mount.path), [""; 0]);
    assert_eq!(mount.emulator.tree().len(), 0);
    assert_eq!(mount.emulator.count("delete"), 0);
    no_violations(&mount);
}

#[test]
fn a_folder_emptied_by_others_deletes_is_removed_and_made_anew_at_once() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.fill("d", 3, 10);
    let mount = Mount::over(emulator, &[]);
    let old = mount.emulator.row("d").expect("the folder").id;
    let line = format!(
        "cd {} && rm d/* && rmdir d && mkdir d && cp ../new d/pic-000001.jpg",
        mount.path.display()
    );
    mount.local("new", b"new");
    run("sh", ["-c", &line]);
    mount.quiet();
    assert_ne!(mount.emulator.row("d").expect("the folder").id, old);
    assert_eq!(names(&mount.at("d")), ["pic-000001.jpg"]);
    assert_eq!(mount.emulator.read("d/pic-000001.jpg").as_deref(), Some(&b"new"[..]));
    assert_eq!(mount.emulator.tree().len(), 2);
    no_violations(&mount);
}

#[test]
fn who_has_a_removed_file_open_reads_it_whatever_becomes_of_its_upload() {
    for old in [&b""[..], b"an older version"] {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        if !old.is_empty() {
            emulator.put("a.jpg", old);
        }
        let mount = Mount::over(emulator, &["--upload", "background", "--timeout", "2"]);
        mount.emulator.inject(Fault::new("get_upload_url", FaultKind::Status(503)).always());
        let bytes = noise(1, 70_000);
        fs::write(mount.at("a.jpg"), &bytes).expect("written");
        wait_until("its upload failed once", || mount.log().contains("again in"));
        let mut file = fs::File::open(mount.at("a.jpg")).expect("opened");
        fs::remove_file(mount.at("a.jpg")).expect("removed");
        mount.emulator.clear_faults();
        // What the upload may have made is looked for, for five seconds, and its row goes then.
        std::thread::sleep(std::time::Duration::from_secs(8));
        assert_eq!(file.metadata().expect("a stat").len(), 70_000);
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut read).expect("read");
        assert!(read == bytes, "{} bytes came", read.len());
        drop(file);
        wait_until("nothing is left", || crate::journaled::staged(&mount).is_empty());
        mount.quiet();
        assert!(ids(&mount).is_empty(), "{:?}", mount.emulator.tree());
    }
}

#[test]
fn a_folder_goes_although_an_upload_into_it_ends_after_its_file_was_removed() {
    let mount = Mount::with(fast(), &["--upload", "background"]);
    fs::create_dir(mount.at("d")).expect("made");
    let slow = FaultKind::Slow(std::time::Duration::from_secs(2));
    mount.emulator.inject(Fault::new("upload_complete", slow).always());
    fs::write(mount.at("d/a.jpg"), noise(1, 5000)).expect("written");
    wait_until("the service has it", || mount.emulator.row("d/a.jpg").is_some());
    run("rm", ["-r".as_ref(), mount.at("d").as_os_str()]);
    assert!(!mount.at("d").exists());
    mount.quiet();
    assert!(mount.emulator.row("d").is_none());
    no_violations(&mount);
}
