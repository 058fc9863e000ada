//! Faults while a picture is copied in: each kind at each endpoint, once and for ever, over nothing,
//! over an old version and with bytes that the service knows.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Fault, FaultKind};

use crate::bench::{Bench, Copy, all_at_once, end, endpoints, passing, refusal};
use crate::crash::wait;
use crate::harness::{Mount, attempt, fast, noise, text, xattr};

#[test]
fn a_copy_outlives_every_fault_that_passes() {
    let copies = [Copy::New, Copy::Over, Copy::Known];
    let pairs =
        copies.iter().flat_map(|copy| endpoints(copy.to_owned()).iter().map(|e| (*copy, *e)));
    all_at_once(pairs, |(copy, endpoint)| {
        let mut bench = Bench::new(copy);
        for kind in passing(endpoint) {
            let what = format!("one {kind:?} at {endpoint}");
            let case = bench.copy_under(Fault::new(endpoint, kind));
            bench.succeeded(&case, &what);
        }
        bench.finish();
    });
}

#[test]
fn an_overwrite_outlives_every_fault_while_its_scratch_folder_is_made() {
    all_at_once(passing("mkdir"), |kind| {
        let mut bench = Bench::new(Copy::Over);
        let what = format!("one {kind:?} at mkdir");
        let case = bench.copy_under(Fault::new("mkdir", kind));
        bench.succeeded(&case, &what);
        bench.finish();
    });
}

#[test]
fn a_refused_copy_says_why_and_loses_nothing() {
    let refusals = [
        (refusal(1, "internal error"), "Input/output error"),
        (refusal(1, "存储空间不足"), "Disk quota exceeded"),
        (refusal(5113, "x"), "Disk quota exceeded"),
        (refusal(1, "文件过大"), "File too large"),
        (refusal(1, "不支持的文件格式"), "Invalid argument"),
    ];
    let mut pairs = vec![(Copy::Known, "create"), (Copy::Over, "delete"), (Copy::Over, "mkdir")];
    pairs.extend([(Copy::Over, "create"), (Copy::Over, "upload_complete")]);
    pairs.extend(endpoints(Copy::New).iter().filter(|e| **e != "put").map(|e| (Copy::New, *e)));
    all_at_once(pairs, |(copy, endpoint)| {
        let mut bench = Bench::new(copy);
        for (kind, words) in &refusals {
            let what = format!("{kind:?} at {endpoint}");
            let number = bench.cases;
            let case = bench.copy_under(Fault::new(endpoint, kind.clone()).always());
            let path = bench.mount.at("d").join(format!("{number}.jpg"));
            let error = xattr(&path, "error").unwrap_or_else(|| panic!("{what}: no error is told"));
            assert!(error.contains("code ") && error.contains("trace ID"), "{what}: {error}");
            bench.failed(&case, &what, words);
            if endpoint == "mkdir" {
                // The scratch folder is there now.
                break;
            }
        }
        bench.finish();
    });
}

#[test]
fn a_service_that_tells_no_details_is_asked_for_a_listing_instead() {
    let mut bench = Bench::new(Copy::Over);
    let case = bench.copy_under(Fault::new("detail", refusal(1, "not today")).always());
    bench.succeeded(&case, "detail refused for ever");
    bench.finish();
}

#[test]
fn a_fault_that_stays_fails_the_copy_and_loses_nothing() {
    use FaultKind::{Garbage, GarbageAfter, LostAnswer, MissingData, Reset, ResetAfter, Status};
    let mut cases = Vec::new();
    for copy in [Copy::New, Copy::Over, Copy::Known] {
        for endpoint in ["create", "upload_complete", "move"] {
            let needed = endpoints(copy).contains(&endpoint);
            cases.extend(needed.then_some((copy, endpoint)));
        }
    }
    all_at_once(cases, |(copy, endpoint)| {
        let mut bench = Bench::new(copy);
        for kind in [Status(500), Reset, Garbage, MissingData, LostAnswer, ResetAfter, GarbageAfter]
        {
            if endpoint == "move" && kind == MissingData {
                continue;
            }
            let what = format!("{kind:?} at {endpoint} for ever");
            let case = bench.copy_under(Fault::new(endpoint, kind).always());
            bench.stands(&case, &what);
            // Where the work is done all the same, looking finds it.
            match case.output.status.success() {
                true => bench.succeeded(&case, &what),
                false => bench.failed(&case, &what, "Input/output error"),
            }
        }
        bench.finish();
    });
}

#[test]
fn storage_that_stays_away_fails_the_copy_and_loses_nothing() {
    use FaultKind::{Expired, Reset, Status};
    let copies = [Copy::New, Copy::Over];
    let cases =
        copies.iter().flat_map(|copy| [Reset, Status(503), Expired].map(|kind| (*copy, kind)));
    all_at_once(cases, |(copy, kind)| {
        let mut bench = Bench::new(copy);
        let what = format!("{kind:?} at put for ever");
        let words = if kind == Expired { "" } else { "Input/output error" };
        let case = bench.copy_under(Fault::new("put", kind).always());
        bench.failed(&case, &what, words);
        bench.finish();
    });
}

/// Each takes a minute, so they take it together.
#[test]
fn a_service_or_storage_that_stays_away_is_given_up_within_the_deadline() {
    use FaultKind::{Hang, Status};
    let cases = [
        (Copy::New, Fault::new("get_upload_url", Status(500)).always(), false),
        (Copy::Over, Fault::new("delete", Status(500)).always(), false),
        (Copy::New, Fault::new("put", Hang), true),
    ];
    all_at_once(cases, |(copy, fault, mends)| {
        let mut bench = Bench::new(copy);
        let (began, what) = (Instant::now(), format!("{fault:?}"));
        let case = bench.copy_under(fault);
        assert!(began.elapsed() < Duration::from_secs(80), "{what}: {:?}", began.elapsed());
        match mends {
            true => bench.succeeded(&case, &what),
            false => bench.failed(&case, &what, ""),
        }
        bench.finish();
    });
}

#[test]
fn an_answer_that_never_comes_is_given_up_and_asked_for_anew() {
    use FaultKind::{Hang, HangAfter};
    let endpoints = ["create", "get_upload_url", "upload_complete"];
    let new = endpoints.map(|endpoint| (Copy::New, endpoint));
    let over = ["detail", "delete", "move"].map(|endpoint| (Copy::Over, endpoint));
    let cases = new.into_iter().chain(over);
    let cases =
        cases.flat_map(|(copy, endpoint)| [Hang, HangAfter].map(|kind| (copy, endpoint, kind)));
    all_at_once(cases, |(copy, endpoint, kind)| {
        let mut bench = Bench::new(copy);
        let what = format!("one {kind:?} at {endpoint}");
        let case = bench.copy_under(Fault::new(endpoint, kind));
        bench.succeeded(&case, &what);
        bench.finish();
    });
}

#[test]
fn a_token_that_expires_is_renewed_within_the_copy() {
    let mut bench = Bench::new(Copy::Over);
    for _ in 0..3 {
        bench.mount.emulator.expire_tokens();
        let case = bench.copy_under(Fault::new("create", FaultKind::Slow(Duration::ZERO)));
        bench.succeeded(&case, "a dead token");
        assert_eq!(bench.mount.emulator.count("access_token"), 1);
    }
    bench.finish();
}

#[test]
fn credentials_that_are_no_longer_valid_are_a_clear_error() {
    let mut bench = Bench::new(Copy::New);
    bench.mount.emulator.change(|options| options.client_secret = "changed".to_owned());
    bench.mount.emulator.expire_tokens();
    let case = bench.copy_under(Fault::new("create", FaultKind::Slow(Duration::ZERO)));
    assert!(
        text(&case.output.stderr).contains("Permission denied"),
        "{}",
        text(&case.output.stderr)
    );
    let asked = bench.mount.emulator.count("access_token");
    assert!(asked <= 3, "the token was asked for {asked} times");
    assert!(bench.mount.log().contains("credentials"), "{}", bench.mount.log());
    let path: &Path = &bench.mount.at("d").join(&case.name);
    assert_eq!(xattr(path, "state").as_deref(), Some("failed"));
    assert!(fs::read(path).expect("readable") == case.bytes);
}

#[test]
fn an_overwrite_that_was_broken_off_half_way_goes_on_by_itself() {
    let (old, new) = (noise(1, 3000), noise(2, 4000));
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.put("a.jpg", &old);
    let mount = Mount::over(emulator, &["--timeout", "2"]);
    let picture = mount.at("a.jpg");
    assert!(fs::read(&picture).expect("read") == old);
    // The old version is deleted, and the new one cannot come into its place.
    for endpoint in ["move", "detail", "list", "create"] {
        let fault = Fault::new(endpoint, FaultKind::Status(503)).always();
        mount.emulator.inject(if endpoint == "move" { fault } else { fault.skip(1) });
    }
    let source = mount.dir.path().join("new.jpg");
    fs::write(&source, &new).expect("a local file");
    assert!(!attempt("cp", [&source, &picture]).status.success(), "the service is away");
    assert_eq!(xattr(&picture, "state").as_deref(), Some("failed"));
    assert!(mount.emulator.read("a.jpg").is_none(), "not broken off half way");
    mount.emulator.clear_faults();
    let is_there = || mount.emulator.read("a.jpg").is_some_and(|bytes| bytes == new);
    assert!(wait(Duration::from_secs(40), is_there), "the new version is not in its place");
    mount.quiet();
    assert_eq!(xattr(&picture, "state").as_deref(), Some("remote"));
    end(&mount);
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}
