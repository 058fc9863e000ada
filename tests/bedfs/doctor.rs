//! The doctor: what is wrong is told with what mends it, what the service does is found out, and the
//! bed is afterwards as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bedfs::api::{Client, Credentials, QpsTable, Settings};
use bedfs::probe;
use bedfs::state::answer::{AfterCreate, EmptyFile, InstantUpload, MoveFolder, SameBytes as Twins};
use bedfs::state::{Lock, State};
use bedfs::types::{FileId, Secret};
use bedfs_emulator::{
    Answers, Cursor, DeleteFullFolder, DeleteMissing, DuplicateName, EmptyFile as Empty, Fault,
    FaultKind, Formats, InstantUpload as Instant, ListOrder, MkdirName, MoveFolder as Folders,
    MoveToRoot, RangeAnswer, Redirect, ReuseFileId, Row, SameBytes, SelfUrl,
};

use crate::bench::all_at_once;
use crate::command::{Ended, kill, unmounted};
use crate::harness::{Mount, noise, text, wait_until};

/// What the emulator's own answers are, in the probe's words.
const DEFAULTS: &[(&str, &str)] = &[
    ("delete-full", "is refused"),
    ("delete-gone", "is an error"),
    ("duplicate-create", "is refused"),
    ("duplicate-move", "is refused"),
    ("empty-file", "is refused"),
    ("instant-after-delete", "works"),
    ("instant-upload", "works and tells the new ID"),
    ("list-order", "has the newest first"),
    ("mkdir-name", "as a text"),
    ("move-folder", "works"),
    ("move-to-root", "works by \"\" and by its real ID"),
    ("other-types", "is taken"),
    ("range", "gives the part"),
    ("same-bytes", "keeps both"),
];

const UNKNOWN: &str = "does not work: they are wanted again";

/// A bed with pictures, some of them alike, and a doctor who need not go slowly.
struct Ward {
    mount: Mount,
    before: Vec<(String, String)>,
}

impl Ward {
    fn new(change: impl FnOnce(&mut Answers)) -> Self {
        Self::of(unmounted(), change)
    }

    fn of(mount: Mount, change: impl FnOnce(&mut Answers)) -> Self {
        let folder = mount.dir.path().join("config/bedfs");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("config.toml"), "qps = \"unlimited\"").expect("written");
        mode(&folder.join("config.toml"), 0o600);
        let emulator = &mount.emulator;
        emulator.change(|options| change(&mut options.answers));
        for (path, seed) in [("a.png", 1), ("blog/a.png", 1), ("blog/twin.png", 1), ("b.jpg", 2)] {
            emulator.put(path, &noise(seed, 1000));
        }
        let before = rows(&mount);
        Self { mount, before }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.mount.bedfs("doctor");
        command.args(args);
        command
    }

    fn doctor(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("bedfs runs")
    }

    /// Probes to a good end.
    fn probe(&self) -> String {
        let output = self.doctor(&["--probe"]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        said
    }

    fn start_probe(&self) -> Child {
        let mut command = self.command(&["--probe"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bedfs runs")
    }

    /// Whether a scratch folder is in the bed.
    fn is_at_work(&self) -> bool {
        rows(&self.mount).iter().any(|(path, _)| path.starts_with(".bedfs-scratch-"))
    }

    /// The folder of the account's state.
    fn state_dir(&self) -> PathBuf {
        let all = self.mount.dir.path().join("state/bedfs");
        let mut accounts = fs::read_dir(all).expect("the state").flatten();
        accounts.next().expect("an account").path()
    }

    fn state(&self) -> State {
        State::open_sound(&self.state_dir()).expect("a state file")
    }

    /// What was learned that does not depend on time.
    fn learned(&self) -> BTreeMap<String, String> {
        let known = self.state().all_known().expect("readable").into_iter();
        let answers = known.map(|known| (known.question, known.answer));
        answers.filter(|(question, _)| !question.starts_with("after-")).collect()
    }

    /// Nothing of the probe is anywhere, and all else is as it was.
    fn is_as_before(&self, what: &str) {
        assert_eq!(rows(&self.mount), self.before, "{what}: the bed has changed");
        assert_eq!(self.state().probes().expect("readable"), [], "{what}: scratch is recorded");
        let violations = self.mount.emulator.violations();
        assert!(violations.is_empty(), "{what}: {violations:?}");
    }
}

/// Everything in the bed with its ID.
fn rows(mount: &Mount) -> Vec<(String, String)> {
    let rows = mount.emulator.tree().into_iter();
    let mut rows: Vec<_> = rows.map(|(path, Row { id, .. })| (path, id)).collect();
    rows.sort();
    rows
}

fn mode(path: &std::path::Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).expect("permissions");
}

/// The defaults with these answers in the place of some.
fn but(others: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = DEFAULTS.iter().chain(others);
    all.map(|(question, answer)| ((*question).to_owned(), (*answer).to_owned())).collect()
}

fn failed(output: &Output) -> String {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(!said.contains("emulator-secret") && !said.contains("s3cr3t"), "{said}");
    said
}

type Case = (&'static str, fn(&mut Answers), &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("the defaults", |_| {}, &[]),
    ("mkdir wants a string", |a| a.mkdir_name = MkdirName::String, &[]),
    ("mkdir wants a list", |a| a.mkdir_name = MkdirName::List, &[("mkdir-name", "as a list")]),
    (
        "one name twice by create",
        |a| a.duplicate_create = DuplicateName::Allow,
        &[("duplicate-create", "makes two of one name")],
    ),
    (
        "one name twice by move",
        |a| a.duplicate_move = DuplicateName::Allow,
        &[("duplicate-move", "makes two of one name")],
    ),
    (
        "twins replace",
        |a| a.same_bytes = SameBytes::ReplaceOlder,
        &[("same-bytes", "makes the older vanish")],
    ),
    (
        "no ID with reuse",
        |a| a.reuse_file_id = ReuseFileId::Empty,
        &[("instant-upload", "works without telling the new ID")],
    ),
    (
        "no instant upload",
        |a| a.instant_upload = Instant::Never,
        &[("instant-upload", UNKNOWN), ("instant-after-delete", UNKNOWN)],
    ),
    (
        "deleted bytes are forgotten",
        |a| a.reuse_after_delete = false,
        &[("instant-after-delete", UNKNOWN)],
    ),
    ("pictures only", |a| a.formats = Formats::PicturesOnly, &[("other-types", "is refused")]),
    ("empty files", |a| a.empty_file = Empty::Accept, &[("empty-file", "is taken")]),
    (
        "delete is recursive",
        |a| a.delete_full_folder = DeleteFullFolder::Recursive,
        &[("delete-full", "deletes all that is in it")],
    ),
    (
        "deleting twice is fine",
        |a| a.delete_missing = DeleteMissing::Ok,
        &[("delete-gone", "is a success")],
    ),
    ("folders do not move", |a| a.move_folder = Folders::Refused, &[("move-folder", "is refused")]),
    (
        "folders are said to move",
        |a| a.move_folder = Folders::Ignored,
        &[("move-folder", "is said to work and does nothing")],
    ),
    (
        "the root is empty",
        |a| a.move_to_root = MoveToRoot::EmptyString,
        &[("move-to-root", "works by \"\" only")],
    ),
    (
        "the root has its ID",
        |a| a.move_to_root = MoveToRoot::RealId,
        &[("move-to-root", "works by its real ID only")],
    ),
    (
        "nothing moves to the root",
        |a| a.move_to_root = MoveToRoot::Refused,
        &[("move-to-root", "does not work")],
    ),
    ("no ranges", |a| a.range = RangeAnswer::Ignore, &[("range", "gives the whole")]),
    ("redirects", |a| a.redirect = Redirect::OtherHost, &[]),
    ("by ID", |a| a.order = ListOrder::ById, &[("list-order", "goes by file ID")]),
    (
        "oldest first",
        |a| a.order = ListOrder::OldestFirst,
        &[("list-order", "has the oldest first")],
    ),
    ("by name", |a| a.order = ListOrder::ByName, &[("list-order", "goes by name")]),
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
    for some in CASES.chunks(8) {
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
    let anywhere = (6..92).step_by(12).map(|request| ("*", request, HangAfter));
    let mut points: Vec<_> = anywhere.collect();
    points.extend([("mkdir", 0, Hang), ("mkdir", 0, HangAfter), ("delete", 2, HangAfter)]);
    // The first moves a folder, the next four a picture to the root and back, twice.
    points.extend([1, 2, 3, 4].map(|request| ("move", request, HangAfter)));
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
        ward.mount.emulator.inject(Fault::new("create", FaultKind::HangAfter).skip(6));
        let probe = ward.start_probe();
        wait_until("a scratch folder", || ward.is_at_work());
        wait_until("a request hangs", || ward.mount.emulator.count("create") > 6);
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
fn a_healthy_machine_and_account_are_told_so_without_a_change() {
    let ward = Ward::new(|_| {});
    let output = ward.doctor(&[]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for about in ["FUSE device", "kernel", "credentials", "clock", "account", "image bed"] {
        assert!(said.contains(&format!("ok       {about}: ")), "{about}: {said}");
    }
    assert!(!said.contains("a.png") && !said.contains("emulator-secret"), "{said}");
    for endpoint in ["mkdir", "create", "delete", "move"] {
        assert_eq!(ward.mount.emulator.count(endpoint), 0, "{endpoint}");
    }
    assert_eq!(rows(&ward.mount), ward.before);
}

#[test]
fn wrong_credentials_and_a_service_that_is_away_are_failures_with_a_clear_line() {
    let ward = Ward::new(|_| {});
    for (variable, value) in [("BEDFS_CLIENT_SECRET", "s3cr3t"), ("BEDFS_CLIENT_ID", "who")] {
        let said =
            failed(&ward.command(&["--probe"]).env(variable, value).output().expect("bedfs runs"));
        assert!(said.contains("failed   credentials: "), "{said}");
        assert!(said.contains("not begun"), "{said}");
    }
    let said =
        failed(&ward.command(&[]).env("BEDFS_CLIENT_SECRET", "").output().expect("bedfs runs"));
    assert!(said.contains("failed   configuration: no client secret"), "{said}");
    // Bound and dropped: nobody listens there.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", socket.local_addr().expect("an address"));
    drop(socket);
    let said =
        failed(&ward.command(&[]).env("BEDFS_ENDPOINT", &nobody).output().expect("bedfs runs"));
    assert!(said.contains("failed   service: "), "{said}");
    assert_eq!(ward.mount.emulator.count("list"), 0);
}

#[test]
fn what_is_not_as_it_should_be_is_told_with_what_mends_it() {
    let ward = Ward::new(|_| {});
    ward.doctor(&[]);
    mode(&ward.state_dir(), 0o755);
    let config = ward.mount.dir.path().join("config/bedfs/config.toml");
    mode(&config, 0o644);
    ward.mount.emulator.change(|options| options.clock_ahead = Duration::from_secs(3600));
    ward.mount.emulator.change(|options| options.traffic_left = 0);
    ward.mount.emulator.mkdir(".bedfs-scratch-of-another");
    let output = ward.command(&[]).env("PATH", "/nowhere").output().expect("bedfs runs");
    let said = text(&output.stdout);
    assert!(output.status.success(), "these are warnings: {said}");
    for (about, words) in [
        ("mounting by users", "install the package fuse3"),
        ("configuration", "chmod 600"),
        ("state folder", "chmod 700"),
        ("clock", "behind the service's"),
        ("account", "buy traffic"),
        ("others' scratch", ".bedfs-scratch-of-another"),
    ] {
        let begin = format!("warning  {about}: ");
        let line = said.lines().find(|line| line.starts_with(&begin));
        assert!(line.is_some_and(|line| line.contains(words)), "{about}: {said}");
    }
    ward.probe();
    let left = rows(&ward.mount);
    assert!(left.iter().any(|(path, _)| path == ".bedfs-scratch-of-another"), "{left:?}");
}

#[test]
fn a_damaged_state_file_is_told_and_stays_as_it_is() {
    let ward = Ward::new(|_| {});
    ward.doctor(&[]);
    let file = ward.state_dir().join("state.db");
    let damage = noise(7, 20_000);
    fs::write(&file, &damage).expect("written");
    let said = failed(&ward.doctor(&["--probe"]));
    assert!(said.contains("failed   state file: "), "{said}");
    assert!(said.contains("not begun"), "{said}");
    assert!(fs::read(&file).expect("readable") == damage, "the file was touched");
    assert_eq!(rows(&ward.mount), ward.before);
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
            let instant = probe::instant_upload(&client, &folder).await.expect("learned");
            assert_eq!(instant, InstantUpload::GivesId);
        });
        assert_eq!(rows(&ward.mount), ward.before);
        assert!(ward.mount.emulator.violations().is_empty());
    }
}
