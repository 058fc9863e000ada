//! Faults while a picture is read or a folder listed: what passes is not noticed, what stays is an
//! error, and nothing goes from view that nobody removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bedfs_emulator::{Emulator, Fault, FaultKind, Options};

use crate::bench::{all_at_once, end, refusal};
use crate::compare::whole_bed;
use crate::harness::{Mount, attempt, fast, noise, run};

use FaultKind::{
    EmptyObject, Expired, Garbage, GarbageAfter, LostAnswer, MissingData, Reset, ResetAfter, Slow,
    Stall, Status, Truncate,
};

/// What is worth another try, where it happens once. `data` tells whether a success has some: without
/// it `MissingData` is no fault that could be seen.
pub(crate) fn passing(data: bool) -> Vec<FaultKind> {
    let mut kinds = vec![Status(500), Status(503), Reset, ResetAfter, LostAnswer, Garbage];
    kinds.extend([GarbageAfter, EmptyObject, Truncate(9), Slow(Duration::from_millis(200))]);
    kinds.extend([refusal(401, "token"), refusal(429, "busy")]);
    kinds.extend(data.then_some(MissingData));
    kinds
}

pub(crate) fn is_listed_anew(mount: &Mount, folder: &str) -> bool {
    let folder = mount.at(folder);
    let args = ["-n", "user.bedfs.refresh", "-v", "1", folder.to_str().expect("UTF-8")];
    attempt("setfattr", args).status.success()
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<_> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

pub(crate) fn no_violations(mount: &Mount) {
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

#[test]
fn a_download_outlives_every_fault_that_passes() {
    const SIZE: usize = 3 << 20;
    let mut cases = vec![Status(500), Status(503), Reset, ResetAfter, LostAnswer, Expired];
    cases.extend([Truncate(0), Truncate(1000), Truncate(100_000), Truncate((256 << 10) - 1)]);
    cases.extend([Slow(Duration::from_millis(200)), Stall(0), Stall(150_000)]);
    all_at_once(cases, |kind| {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        let picture = noise(1, SIZE);
        emulator.put("a.jpg", &picture);
        let mount = Mount::over(emulator, &[]);
        mount.emulator.forget_requests();
        mount.emulator.inject(Fault::new("cdn", kind.clone()));
        let read = fs::read(mount.at("a.jpg"));
        assert!(read.expect("readable") == picture, "other bytes under one {kind:?}");
        // Two or three ranges, and one of them again.
        let (gets, again) = (mount.emulator.count("cdn"), usize::from(!matches!(kind, Slow(_))));
        assert!((2 + again..=4 + again).contains(&gets), "{kind:?}: {gets} GETs");
        assert_eq!(mount.emulator.count("detail"), usize::from(kind == Expired), "{kind:?}");
        // What came before the break is not paid for twice, give or take what was in flight.
        let served: u64 = mount.emulator.requests().iter().map(|r| r.bytes_out).sum();
        assert!(served < 2 * SIZE as u64, "{kind:?}: {served} bytes were served");
        no_violations(&mount);
    });
}

#[test]
fn a_download_that_stays_broken_is_an_error_and_later_it_is_not() {
    let cases = [
        (Expired, libc::EACCES),
        (Reset, libc::EIO),
        (Status(500), libc::EIO),
        (Truncate(0), libc::EIO),
        (Status(404), libc::ENOENT),
    ];
    all_at_once(cases, |(kind, errno)| {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        emulator.put("a.jpg", b"picture");
        let mount = Mount::over(emulator, &[]);
        mount.emulator.forget_requests();
        mount.emulator.inject(Fault::new("cdn", kind.clone()).always());
        let error = fs::read(mount.at("a.jpg")).expect_err("no bytes");
        assert_eq!(error.raw_os_error(), Some(errno), "{kind:?}: {error}");
        // The kernel asks twice: it reads ahead, and then for the page alone.
        let asked = (mount.emulator.count("detail"), mount.emulator.count("cdn"));
        assert!(asked.0 <= 2, "{kind:?}: a link is fetched anew once, not {} times", asked.0);
        assert!(asked.1 <= 10, "{kind:?}: {} tries", asked.1);
        mount.emulator.clear_faults();
        assert_eq!(fs::read(mount.at("a.jpg")).expect("readable"), b"picture", "{kind:?}");
        no_violations(&mount);
    });
}

#[test]
fn a_listing_outlives_every_fault_that_passes_on_each_of_its_pages() {
    all_at_once([0, 2], |page| {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        emulator.fill("d", 250, 10);
        let mount = Mount::over(emulator, &[]);
        for kind in passing(true) {
            mount.emulator.inject(Fault::new("list", kind.clone()).skip(page));
            assert!(is_listed_anew(&mount, "d"), "one {kind:?} on page {page}");
            mount.emulator.clear_faults();
            let seen = names(&mount.at("d")).expect("listed").len();
            assert_eq!(seen, 250, "one {kind:?} on page {page}");
        }
        no_violations(&mount);
    });
}

#[test]
fn a_listing_that_breaks_off_takes_nothing_out_of_view() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.fill("known", 250, 10);
    emulator.fill("unknown", 250, 10);
    let mount = Mount::over(emulator, &["--dir-ttl", "1"]);
    let before = whole_bed(&mount.emulator);
    let known = names(&mount.at("known")).expect("listed");
    assert_eq!(known.len(), 250);
    for page in [0, 1, 2] {
        mount.emulator.inject(Fault::new("list", refusal(1, "no")).skip(page).always());
        assert!(!is_listed_anew(&mount, "known"), "page {page}");
        assert_eq!(names(&mount.at("known")).expect("an older view"), known, "page {page}");
        let first = mount.at("known").join(&known[0]);
        assert_eq!(fs::read(first).expect("readable").len(), 10);
        mount.emulator.clear_faults();
    }
    // Never listed: there is nothing to show, and nothing may be concluded.
    mount.emulator.inject(Fault::new("list", refusal(1, "no")).skip(1).always());
    let error = names(&mount.at("unknown")).expect_err("no listing");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    let removed = attempt("rm", [Path::new("-rf"), &mount.at("unknown")]);
    assert!(!removed.status.success(), "rm -rf of what cannot be listed");
    mount.emulator.clear_faults();
    assert_eq!(names(&mount.at("unknown")).expect("listed").len(), 250);
    assert_eq!(whole_bed(&mount.emulator), before, "nothing is deleted");
    no_violations(&mount);
}

#[test]
fn a_bed_with_a_bad_day_still_takes_and_gives_every_picture() {
    let emulator = Emulator::start(Options { slice_size: 8 << 10, ..fast() });
    let mount = Mount::over(emulator.expect("the emulator starts"), &[]);
    for kind in [Status(502), LostAnswer, Reset, GarbageAfter] {
        mount.emulator.inject(Fault::new("*", kind).always().probability(0.05));
    }
    fs::create_dir(mount.at("d")).expect("a folder");
    for round in 0..2 {
        for number in 0..8_u64 {
            let bytes = noise(round * 100 + number, 20_000);
            let local = mount.local("picture.jpg", &bytes);
            let path = mount.at(format!("d/{number}.jpg"));
            run("cp", [&local, &path]);
            assert!(fs::read(&path).expect("readable") == bytes);
        }
    }
    mount.emulator.clear_faults();
    for number in 0..8_u64 {
        let found = mount.emulator.read(&format!("d/{number}.jpg"));
        assert!(found.is_some_and(|bytes| bytes == noise(100 + number, 20_000)), "{number}");
    }
    assert_eq!(mount.emulator.list("d").len(), 8, "nothing is there twice");
    end(&mount);
    assert_eq!(mount.emulator.tree().len(), 9, "nothing is left behind");
    no_violations(&mount);
}
