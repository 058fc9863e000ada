//! The probe: what the service does is found out, and the bed is afterwards as it was.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bedfs::api::{Client, Credentials, QpsTable, Settings};
use bedfs::probe;
use bedfs::state::Lock;
use bedfs::state::answer::{AfterCreate, EmptyFile, MoveFolder, SameBytes as Twins};
use bedfs::types::{FileId, Secret};
use bedfs_emulator::{
    Answers, Cursor, DeleteFullFolder, EmptyFile as Empty, Fault, FaultKind, Formats,
    InstantUpload as Instant, MkdirName, MoveFolder as Folders, SameBytes, SelfUrl,
};

use crate::bench::all_at_once;
use crate::command::{Ended, kill};
use crate::harness::{Mount, text, wait_until};
use crate::ward::{Ward, failed, rows};

/// What the emulator's own answers are, in the probe's words.
const DEFAULTS: &[(&str, &str)] =
    &[("empty-file", "is refused"), ("move-folder", "works"), ("same-bytes", "keeps both")];

/// The defaults with these answers in the place of some.
fn but(others: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = DEFAULTS.iter().chain(others);
    all.map(|(question, answer)| ((*question).to_owned(), (*answer).to_owned())).collect()
}

type Case = (&'static str, fn(&mut Answers), &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("the defaults", |_| {}, &[]),
    ("mkdir wants a list", |a| a.mkdir_name = MkdirName::List, &[]),
    (
        "twins replace",
        |a| a.same_bytes = SameBytes::ReplaceOlder,
        &[("same-bytes", "makes the older vanish")],
    ),
    (
        "no instant upload, and pictures only",
        |a| (a.instant_upload, a.formats) = (Instant::Never, Formats::PicturesOnly),
        &[],
    ),
    ("empty files", |a| a.empty_file = Empty::Accept, &[("empty-file", "is taken")]),
    ("delete is recursive", |a| a.delete_full_folder = DeleteFullFolder::Recursive, &[]),
    ("folders do not move", |a| a.move_folder = Folders::Refused, &[("move-folder", "is refused")]),
    (
        "folders are said to move",
        |a| a.move_folder = Folders::Ignored,
        &[("move-folder", "is said to work and does nothing")],
    ),
    (
        "other spellings",
        |a| {
            (a.code_as_string, a.numbers_as_strings) = (true, true);
            (a.null_lists, a.booleans_as_numbers) = (true, true);
            (a.cursor, a.self_url) = (Cursor::ThisLast, SelfUrl::Empty);
        },
        &[],
    ),
];

#[test]
fn the_probe_finds_what_the_service_answers_and_leaves_the_bed_as_it_was() {
    for some in CASES.chunks(9) {
        all_at_once(some, |(what, change, others)| {
            let ward = Ward::new(change);
            let said = ward.probe();
            let learned = ward.learned();
            assert_eq!(learned, but(others), "{what}: {said}");
            for answer in learned.values() {
                assert!(said.contains(answer), "{what}: {answer} is not told: {said}");
            }
            assert!(said.contains("file is empty") || *what == "empty files", "no reason: {said}");
            ward.is_as_before(what);
        });
    }
}

#[test]
fn a_listing_that_lags_is_measured_and_misleads_nobody() {
    let ward = Ward::new(|a| a.list_lag = Duration::from_secs(2));
    // What was put in is older than that when it is listed.
    let said = ward.probe();
    assert_eq!(ward.learned(), but(&[]), "{said}");
    let AfterCreate(seen) = ward.state().answer().expect("readable").expect("learned");
    assert!(seen.listing.is_some_and(|lag| lag >= Duration::from_secs(1)), "{said}");
    assert!(seen.detail.is_some_and(|lag| lag < Duration::from_secs(1)), "{said}");
    ward.is_as_before("listings lag");
}

#[test]
fn faults_that_pass_change_no_answer() {
    use FaultKind::{LostAnswer, Reset, ResetAfter, Status};
    let kinds = [Status(500), Reset, ResetAfter, LostAnswer];
    all_at_once(kinds, |kind| {
        let ward = Ward::new(|_| {});
        let what = format!("{kind:?}");
        ward.mount.emulator.inject(Fault::new("*", kind).always().probability(0.1));
        let said = ward.probe();
        assert_eq!(ward.learned(), but(&[]), "{what}: {said}");
        ward.mount.emulator.clear_faults();
        ward.is_as_before(&what);
    });
}

/// Runs a probe until it has made so many requests to the endpoint and one more, and kills it there.
fn kill_at(ward: &Ward, endpoint: &str, request: usize, fault: FaultKind) {
    let emulator = &ward.mount.emulator;
    emulator.inject(Fault::new(endpoint, fault).skip(request).always());
    let mut probe = Ended(ward.start_probe());
    let count = || match endpoint {
        "*" => emulator.requests().len(),
        endpoint => emulator.count(endpoint),
    };
    while count() <= request {
        let ended = probe.0.try_wait().expect("a child");
        assert!(ended.is_none(), "the probe ended before {endpoint} {request}");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(probe.0.id(), libc::SIGKILL);
    probe.0.wait().expect("an end");
    emulator.clear_faults();
}

#[test]
fn what_a_killed_probe_leaves_is_cleared_away_by_the_next() {
    use FaultKind::{Hang, HangAfter};
    let anywhere = (6..34).step_by(4).map(|request| ("*", request, HangAfter));
    let mut points: Vec<_> = anywhere.collect();
    points.extend([("mkdir", 0, Hang), ("mkdir", 0, HangAfter)]);
    points.extend([("delete", 1, HangAfter), ("move", 0, HangAfter)]);
    for some in points.chunks(8) {
        all_at_once(some, |(endpoint, request, kind)| {
            let ward = Ward::new(|_| {});
            kill_at(&ward, endpoint, *request, kind.clone());
            let said = text(&ward.doctor(&[]).stdout);
            assert!(said.contains("warning  scratch folders: a probe was cut off"), "{said}");
            ward.probe();
            ward.is_as_before(&format!("killed at {endpoint} {request}"));
        });
    }
}

#[test]
fn an_interrupted_probe_clears_away_what_it_made() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let ward = Ward::new(|_| {});
        ward.mount.emulator.inject(Fault::new("create", FaultKind::HangAfter).skip(3));
        let probe = ward.start_probe();
        wait_until("a scratch folder", || ward.is_at_work());
        wait_until("a request hangs", || ward.mount.emulator.count("create") > 3);
        kill(probe.id(), signal);
        let said = failed(&probe.wait_with_output().expect("an end"));
        assert!(said.contains("interrupted"), "{said}");
        assert!(said.contains("nothing of it is left"), "{said}");
        ward.is_as_before("interrupted");
        assert!(ward.learned().is_empty(), "half a probe was kept");
    }
}

#[test]
fn one_probe_runs_at_a_time() {
    let ward = Ward::new(|_| {});
    ward.doctor(&[]);
    let lock = Lock::take_for_probe(&ward.state_dir()).expect("free");
    let said = failed(&ward.doctor(&["--probe"]));
    assert!(said.contains("another probe"), "{said}");
    assert_eq!(ward.mount.emulator.count("mkdir"), 0);
    drop(lock);
    ward.probe();
    ward.is_as_before("one after the other");
}

#[test]
fn a_probe_beside_a_mount_does_not_show_in_it() {
    let ward = Ward::of(Mount::new(), |_| {});
    let listed = || {
        let entries = fs::read_dir(&ward.mount.path).expect("listed").flatten();
        entries.map(|entry| entry.file_name()).filter(|name| *name != "a.png").count()
    };
    crate::harness::run(
        "setfattr",
        ["-n", "user.bedfs.refresh", "-v", "1", ward.mount.path.to_str().expect("UTF-8")],
    );
    assert_eq!(listed(), 2, "b.jpg and blog");
    ward.probe();
    assert_eq!(listed(), 2);
    ward.mount.unmount();
    ward.is_as_before("beside a mount");
}

#[test]
fn a_single_question_is_asked_among_others_things_and_leaves_these_alone() {
    for (answer, wanted) in
        [(SameBytes::KeepBoth, Twins::BothStay), (SameBytes::ReplaceOlder, Twins::OlderVanishes)]
    {
        let ward = Ward::new(|answers| answers.same_bytes = answer);
        let credentials = Credentials {
            client_id: "emulator-id".to_owned(),
            client_secret: Secret::new("emulator-secret"),
        };
        let settings = Settings {
            qps: QpsTable::unlimited(),
            ..Settings::new(ward.mount.emulator.base_url(), credentials, ward.mount.dir.path())
        };
        let client = Client::new(settings).expect("a client");
        let folder = FileId::new(ward.mount.emulator.mkdir("blog"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let twins = probe::same_bytes(&client, &folder).await.expect("learned");
            assert_eq!(twins, wanted);
            let calls = ward.mount.emulator.requests().len();
            assert!(calls <= 24, "{calls} calls for one answer");
            let empty = probe::empty_file(&client, &folder).await.expect("learned");
            assert_eq!(empty, EmptyFile::Refused);
            let moves = probe::move_folder(&client, &folder).await.expect("learned");
            assert_eq!(moves, MoveFolder::Works);
        });
        assert_eq!(rows(&ward.mount), ward.before);
        assert!(ward.mount.emulator.violations().is_empty());
    }
}
