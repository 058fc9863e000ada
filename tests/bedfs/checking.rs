//! The end of uploads: a service that goes on checking is asked on and gets no slice twice, and a slice
//! that got lost behind a success is found and sent again.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use bedfs_emulator::{Checking, Emulator, Fault, FaultKind, InstantUpload, Options};

use crate::harness::{Mount, attempt, fast, noise, run, text, xattr};
use crate::journaled::{BACKGROUND, all_done, eventually};
use crate::options::errno;
use crate::semantics::{bed_with, no_violations};

/// Bytes of a slice, and of a picture of four.
const SLICE: u64 = 1000;
const PICTURE: usize = 3500;

fn sliced() -> Options {
    let mut options = Options { slice_size: SLICE, ..fast() };
    options.answers.instant_upload = InstantUpload::Never;
    options
}

fn still_checking() -> FaultKind {
    FaultKind::Refuse {
        code: 20103, message: "文件正在校验中,请间隔1秒后再试".into()
    }
}

/// Writes a picture, waits until the service has it, and tells how many slices, tellings and addresses
/// that took.
fn copy(mount: &Mount, name: &str, bytes: &[u8]) -> (usize, usize) {
    mount.emulator.forget_requests();
    fs::write(mount.at(name), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    mount.quiet();
    assert_eq!(xattr(&mount.at(name), "state").as_deref(), Some("remote"), "{name}");
    assert!(mount.emulator.read(name).is_some_and(|there| there == bytes), "{name}");
    let is_whole = |path: &Path| fs::read(path).is_ok_and(|there| there == bytes);
    assert!(is_whole(&mount.at(name)), "{name}");
    mount.emulator.clear_faults();
    (mount.emulator.count("put"), mount.emulator.count("upload_complete"))
}

/// However it says so, whatever it took by then: more of it than one call may last, and than the
/// service may be silent.
#[test]
fn a_service_that_goes_on_checking_is_asked_on_and_sent_nothing_twice() {
    for (args, name) in [(&[][..], "close"), (BACKGROUND, "background")] {
        let args = [args, &["--timeout", "2"]].concat();
        let mount = bed_with(sliced(), &args, |bed| drop(bed.put("old.jpg", b"old")));
        for checking in [Checking::NotCompleted, Checking::Code] {
            mount.emulator.change(|options| {
                (options.async_polls, options.answers.checking) = (3, checking);
            });
            let bytes = noise(checking as u64 + 1, PICTURE);
            assert_eq!(
                copy(&mount, &format!("{checking:?}.jpg"), &bytes).0,
                4,
                "{checking:?} {name}"
            );
            assert_eq!(
                copy(&mount, "old.jpg", &noise(checking as u64 + 3, PICTURE)).0,
                4,
                "{name}"
            );
        }
        mount.emulator.change(|options| options.async_polls = 0);
        mount.emulator.inject(Fault::new("upload_complete", still_checking()).times(3));
        assert_eq!(copy(&mount, "told.jpg", &noise(9, PICTURE)), (4, 4), "{name}");
        no_violations(&mount);
    }
}

#[test]
fn an_upload_without_a_mount_asks_on_too() {
    let mount = crate::upload::bed(|options| {
        *options = Options { listen: options.listen, ..sliced() };
        (options.async_polls, options.answers.checking) = (3, Checking::Code);
    });
    mount.local("a.png", &noise(1, PICTURE));
    let links = crate::upload::links(&mount, &["a.png"]);
    assert_eq!(links, crate::upload::urls(&mount, &["a.png"]));
    assert_eq!(mount.emulator.count("put"), 4);
    assert_eq!(mount.emulator.violations(), [""; 0]);
}

#[test]
fn a_slice_that_was_lost_behind_a_success_is_found_and_sent_again() {
    use FaultKind::{Corrupt, Status, Swallow};
    let mount = bed_with(sliced(), &[], |_| {});
    let lost = |kind: FaultKind, skip, times| {
        mount.emulator.inject(Fault::new("put", kind).skip(skip).times(times));
    };
    let (several, single) = (noise(1, PICTURE), noise(2, SLICE as usize));
    // A page where nothing should come is seen at once.
    lost(Status(200), 1, 1);
    assert_eq!(copy(&mount, "page.jpg", &several), (5, 1));
    // One that comes always counts for nothing: what is missing is compared.
    lost(Status(200), 0, 2);
    assert_eq!(copy(&mount, "pages.jpg", &single), (3, 2));
    lost(Swallow, 2, 1);
    assert_eq!(copy(&mount, "swallowed.jpg", &noise(3, PICTURE)), (5, 2));
    lost(Swallow, 0, 1);
    assert_eq!(copy(&mount, "single.jpg", &noise(4, SLICE as usize)), (2, 2));
    // With a part missing the parts are told, and another that has other bytes.
    lost(Swallow, 0, 1);
    lost(Corrupt, 1, 1);
    assert_eq!(copy(&mount, "corrupt.jpg", &noise(5, PICTURE)), (6, 2));
    assert_eq!(mount.emulator.count("create"), 1);
    // This one is refused for good, and the upload begun anew.
    lost(Corrupt, 1, 1);
    assert_eq!(copy(&mount, "spoilt.jpg", &noise(6, PICTURE)).0, 8);
    assert_eq!(mount.emulator.count("create"), 2);
    mount.emulator.change(|options| options.async_polls = 1);
    lost(Corrupt, 0, 1);
    assert_eq!(copy(&mount, "later.jpg", &noise(7, PICTURE)).0, 8);
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn bytes_that_the_service_refuses_for_good_are_compared_once() {
    let mount = bed_with(sliced(), &[], |_| {});
    let refusal = FaultKind::Refuse { code: 1, message: "不行".into() };
    mount.emulator.inject(Fault::new("upload_complete", refusal).always());
    let copied = attempt("cp", [&mount.local("a", &noise(1, PICTURE)), &mount.at("a.jpg")]);
    assert!(text(&copied.stderr).contains("Input/output error"), "{}", text(&copied.stderr));
    let count = |endpoint| mount.emulator.count(endpoint);
    // All slices are there and right, so none is sent again.
    assert_eq!((count("list_upload_parts"), count("put"), count("upload_complete")), (1, 4, 1));
    let told = text(&mount.bedfs("pending").output().expect("runs").stdout);
    assert!(told.contains("不行"), "{told}");
}

/// The upload of a file that is checked for ever holds up changes of that file, and for no longer than
/// a call may take; all else goes on.
#[test]
fn a_check_that_does_not_end_holds_up_nothing_but_its_own_file() {
    let args = [BACKGROUND, &["--timeout", "3"]].concat();
    let fill = |bed: &Emulator| {
        ["checked/old.jpg", "moved/d/a.jpg", "other/old.jpg"].iter().for_each(|path| {
            bed.put(path, path.as_bytes());
        });
    };
    let mount = bed_with(sliced(), &args, fill);
    run("ls", ["checked", "moved", "other"].map(|folder| mount.at(folder)));
    mount.emulator.inject(Fault::new("upload_complete", still_checking()).always());
    fs::write(mount.at("checked/new.jpg"), b"checked").expect("acknowledged");
    eventually("it is checked", || mount.emulator.count("upload_complete") > 0);
    let busy = |from: &str, to: &str| errno(fs::rename(mount.at(from), mount.at(to)));
    thread::scope(|scope| {
        let moves = [("moved/d", "moved/e"), ("checked/new.jpg", "checked/other.jpg")];
        let waiting = moves.map(|(from, to)| scope.spawn(move || busy(from, to)));
        // While these wait.
        thread::sleep(Duration::from_millis(500));
        fs::create_dir(mount.at("other/new")).expect("made");
        let sent = mount.emulator.count("create");
        fs::write(mount.at("other/new.jpg"), b"beside it").expect("acknowledged");
        eventually("it is sent", || mount.emulator.count("create") > sent);
        fs::rename(mount.at("other/old.jpg"), mount.at("other/new/old.jpg")).expect("moved");
        assert!(waiting.iter().any(|waits| !waits.is_finished()), "nothing waited");
        waiting
            .into_iter()
            .for_each(|waits| assert_eq!(waits.join().expect("ended"), libc::ETIMEDOUT));
    });
    mount.emulator.clear_faults();
    all_done(&mount);
    fs::rename(mount.at("checked/new.jpg"), mount.at("checked/other.jpg")).expect("renamed");
    fs::rename(mount.at("moved/d"), mount.at("moved/e")).expect("renamed");
    for (path, bytes) in [("checked/other.jpg", "checked"), ("moved/e/a.jpg", "moved/d/a.jpg")] {
        assert_eq!(mount.emulator.read(path).as_deref(), Some(bytes.as_bytes()), "{path}");
    }
    no_violations(&mount);
}
