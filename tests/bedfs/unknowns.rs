//! What nobody could confirm of the service: whatever it answers, the same walk with the same
//! commands leaves the mount, the bed and a plain folder with the same content.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use bedfs_emulator::{
    Answers, Cursor, DeleteFullFolder, DeleteMissing, DuplicateName, EmptyFile, Emulator, Formats,
    InstantUpload, ListOrder, MkdirName, MoveFolder, MoveToRoot, Options, RangeAnswer, Redirect,
    ReuseFileId, SameBytes, SelfUrl, Validator,
};

use crate::bench::{all_at_once, end};
use crate::compare::{assert_same, bed, content};
use crate::harness::{Mount, attempt, fast, noise, run, text, wait_until, xattr};

/// What a user does in a day. `$S` has the pictures `1.jpg` to `4.jpg`.
const WALK: &[&str] = &[
    "mkdir d",
    "mkdir d/sub",
    "cp $S/1.jpg a.jpg",
    "cp $S/2.jpg d/b.jpg",
    "cp $S/1.jpg d/sub/c.jpg",
    "cat a.jpg d/b.jpg d/sub/c.jpg > $S/all && cat $S/1.jpg $S/2.jpg $S/1.jpg | cmp - $S/all",
    "cp $S/3.jpg d/b.jpg",
    "cp $S/1.jpg d/b.jpg",
    "mv d/b.jpg d/b2.jpg",
    "mv d/b2.jpg d/sub/",
    "mv d/sub/b2.jpg .",
    "mv b2.jpg d/",
    "cp $S/4.jpg d/c.jpg",
    "mv d/c.jpg d/sub/c.jpg",
    "mv d d2",
    "mkdir f",
    "mv d2 f/",
    "mv f/d2 .",
    "mv a.jpg f/renamed.jpg",
    "cp f/renamed.jpg f/same.jpg",
    "printf tail >> f/same.jpg",
    ": > f/empty.jpg && test -f f/empty.jpg && rm f/empty.jpg",
    "rm f/same.jpg",
    "! rmdir d2 && test -d d2/sub",
    "rm -r d2",
];

struct Walker {
    what: String,
    mount: Mount,
    /// Where the same is done on the local disk.
    plain: std::path::PathBuf,
    /// How far listings lag behind.
    lag: Duration,
}

impl Walker {
    fn new(what: &str, answers: Answers) -> Self {
        let lag = answers.list_lag;
        let options = Options { answers, slice_size: 16 << 10, ..fast() };
        let mount = Mount::with(options, &[]);
        for number in 1..=4 {
            mount.local(&format!("{number}.jpg"), &noise(number, 20_000 + number as usize));
        }
        let plain = mount.dir.path().join("plain");
        fs::create_dir(&plain).expect("a folder");
        let what = what.to_owned();
        Self { what, mount, plain, lag }
    }

    fn sh(&self, folder: &Path, command: &str) -> Output {
        let pictures = self.mount.dir.path().display();
        let line = format!("S={pictures}; cd {} && {command}", folder.display());
        attempt("sh", ["-c", &line])
    }

    /// Does it in both, and compares.
    fn step(&self, command: &str) {
        let label = format!("{}, {command:?}", self.what);
        let here = self.sh(&self.mount.path, command);
        assert!(here.status.success(), "{label}: {}", text(&here.stderr));
        let there = self.sh(&self.plain, command);
        assert!(there.status.success(), "{label}: {}", text(&there.stderr));
        self.compare(&label);
    }

    fn compare(&self, label: &str) {
        self.mount.quiet();
        let wanted = content(&self.plain);
        assert_same(&content(&self.mount.path), &wanted, &format!("{label}: the mount"));
        assert_same(&bed(&self.mount.emulator), &wanted, &format!("{label}: the bed"));
    }

    fn refresh(&self, folder: &str) {
        let folder = self.mount.at(folder);
        run("setfattr", ["-n", "user.bedfs.refresh", "-v", "1", folder.to_str().expect("UTF-8")]);
    }

    /// Unmounts, mounts again, and compares once more.
    fn finish(self) {
        end(&self.mount);
        let left = self.mount.emulator.tree();
        let scratch = left.iter().find(|(path, _)| path.starts_with(".bedfs-"));
        assert!(scratch.is_none(), "{}: {scratch:?} is left behind", self.what);
        // A new mount knows only what listings tell.
        std::thread::sleep(self.lag);
        let again = self.mount.mount(&[]);
        assert!(again.status.success(), "{}: {}", self.what, text(&again.stderr));
        self.compare(&format!("{}, mounted again", self.what));
        let violations = self.mount.emulator.violations();
        assert!(violations.is_empty(), "{}: {violations:?}", self.what);
    }
}

/// The documents' answers with one change.
fn but(change: impl FnOnce(&mut Answers)) -> Answers {
    let mut answers = Answers::default();
    change(&mut answers);
    answers
}

/// Every answer that leaves the walk as it is; the strict sides are in every test.
fn harmless() -> Vec<(&'static str, Answers)> {
    vec![
        ("the defaults", Answers::default()),
        ("mkdir wants a string", but(|a| a.mkdir_name = MkdirName::String)),
        ("mkdir wants a list", but(|a| a.mkdir_name = MkdirName::List)),
        ("one name twice by create", but(|a| a.duplicate_create = DuplicateName::Allow)),
        ("one name twice by move", but(|a| a.duplicate_move = DuplicateName::Allow)),
        ("no ID with reuse", but(|a| a.reuse_file_id = ReuseFileId::Empty)),
        ("no instant upload", but(|a| a.instant_upload = InstantUpload::Never)),
        ("deleted bytes are forgotten", but(|a| a.reuse_after_delete = false)),
        ("pictures only", but(|a| a.formats = Formats::PicturesOnly)),
        ("empty files", but(|a| a.empty_file = EmptyFile::Accept)),
        ("delete is recursive", but(|a| a.delete_full_folder = DeleteFullFolder::Recursive)),
        ("deleting twice is fine", but(|a| a.delete_missing = DeleteMissing::Ok)),
        ("folders do not move", but(|a| a.move_folder = MoveFolder::Refused)),
        ("the root is empty", but(|a| a.move_to_root = MoveToRoot::EmptyString)),
        ("the root has its ID", but(|a| a.move_to_root = MoveToRoot::RealId)),
        ("nothing moves to the root", but(|a| a.move_to_root = MoveToRoot::Refused)),
        ("no ranges", but(|a| a.range = RangeAnswer::Ignore)),
        ("a tag of the content", but(|a| a.validator = Validator::Content)),
        ("a tag of each node", but(|a| a.validator = Validator::EachAnswer)),
        ("redirects", but(|a| a.redirect = Redirect::OtherHost)),
        ("by ID", but(|a| a.order = ListOrder::ById)),
        ("oldest first", but(|a| a.order = ListOrder::OldestFirst)),
        ("by name", but(|a| a.order = ListOrder::ByName)),
        ("the other cursor", but(|a| a.cursor = Cursor::ThisLast)),
        ("signed links", but(|a| a.link_life = Some(Duration::from_millis(500)))),
        ("codes as strings", but(|a| a.code_as_string = true)),
        ("numbers as strings", but(|a| a.numbers_as_strings = true)),
        ("empty lists are null", but(|a| a.null_lists = true)),
        ("booleans as numbers", but(|a| a.booleans_as_numbers = true)),
        ("md5 is not checked", but(|a| a.verify_md5 = false)),
        ("a domain of its own", but(|a| a.self_url = SelfUrl::OwnDomain)),
        ("no link of its own", but(|a| a.self_url = SelfUrl::Empty)),
    ]
}

fn walk(what: &str, answers: Answers) {
    let walker = Walker::new(what, answers);
    for command in WALK {
        walker.step(command);
    }
    walker.finish();
}

#[test]
fn the_walk_is_the_same_whatever_the_service_answers() {
    let variants = harmless();
    for some in variants.chunks(6) {
        all_at_once(some.to_vec(), |(what, answers)| walk(what, answers));
    }
}

#[test]
fn the_walk_is_the_same_where_every_answer_is_the_unexpected_one() {
    let wire = |a: &mut Answers| {
        (a.code_as_string, a.numbers_as_strings) = (true, true);
        (a.null_lists, a.booleans_as_numbers) = (true, true);
    };
    let poor = but(|a| {
        wire(a);
        a.mkdir_name = MkdirName::List;
        a.instant_upload = InstantUpload::Never;
        a.move_folder = MoveFolder::Refused;
        a.move_to_root = MoveToRoot::Refused;
        a.range = RangeAnswer::Ignore;
        a.redirect = Redirect::OtherHost;
        a.cursor = Cursor::ThisLast;
        a.order = ListOrder::ById;
        a.link_life = Some(Duration::from_millis(500));
        a.self_url = SelfUrl::Empty;
    });
    let loose = but(|a| {
        wire(a);
        a.mkdir_name = MkdirName::String;
        a.duplicate_create = DuplicateName::Allow;
        a.duplicate_move = DuplicateName::Allow;
        a.reuse_file_id = ReuseFileId::Empty;
        a.delete_full_folder = DeleteFullFolder::Recursive;
        a.delete_missing = DeleteMissing::Ok;
        a.move_to_root = MoveToRoot::RealId;
        a.empty_file = EmptyFile::Accept;
        a.verify_md5 = false;
    });
    all_at_once([("poor", poor), ("loose", loose)], |(what, answers)| walk(what, answers));
}

#[test]
fn the_walk_is_the_same_where_listings_lag_behind() {
    walk("listings lag", but(|a| a.list_lag = Duration::from_secs(2)));
    let worse = but(|a| {
        a.list_lag = Duration::from_secs(2);
        a.reuse_file_id = ReuseFileId::Empty;
        a.move_folder = MoveFolder::Refused;
    });
    walk("listings lag, and more", worse);
}

#[test]
fn a_listing_that_lags_deletes_no_folder_with_something_in_it() {
    let answers = but(|a| {
        a.list_lag = Duration::from_secs(2);
        a.move_folder = MoveFolder::Refused;
        a.delete_full_folder = DeleteFullFolder::Recursive;
    });
    let walker = Walker::new("a lagging listing", answers);
    let emulator = &walker.mount.emulator;
    emulator.mkdir("old");
    // Older than the lag: the listing knows the folder, and not yet what comes into it.
    wait_until("listed", || {
        walker.refresh("");
        walker.mount.at("old").exists()
    });
    let there = |bytes: &[u8]| {
        let tree = emulator.tree();
        let files = tree.iter().filter(|(_, row)| !row.is_folder);
        files.filter_map(|(path, _)| emulator.read(path)).any(|found| found == bytes)
    };
    for command in ["cp $S/1.jpg old/a.jpg", "mv -T old new", "rmdir old", "rmdir new"] {
        let _whatever = walker.sh(&walker.mount.path, command);
        assert!(there(&noise(1, 20_001)), "{command:?} lost an acknowledged picture");
    }
}

#[test]
fn no_bytes_are_put_beside_their_twin_where_the_older_of_the_two_would_vanish() {
    let walker = Walker::new("twins replace", but(|a| a.same_bytes = SameBytes::ReplaceOlder));
    for command in WALK {
        match *command {
            "mv d/b2.jpg d/sub/" | "cp f/renamed.jpg f/same.jpg" => {
                let refused = walker.sh(&walker.mount.path, command);
                let said = text(&refused.stderr);
                assert!(!refused.status.success() && said.contains("File exists"), "{said}");
                // What `cp` wrote is still here, and waits for the user.
                walker.sh(&walker.mount.path, "rm -f f/same.jpg");
                walker.compare(command);
            }
            // Done to what was refused.
            "mv d/sub/b2.jpg ."
            | "mv b2.jpg d/"
            | "printf tail >> f/same.jpg"
            | "rm f/same.jpg" => {}
            command => walker.step(command),
        }
    }
    walker.finish();
}

#[test]
fn a_link_that_has_expired_is_fetched_anew_for_reading_and_for_publishing() {
    let life = Duration::from_millis(600);
    let walker = Walker::new("signed links", but(|a| a.link_life = Some(life)));
    let bytes = noise(9, 50_000);
    walker.mount.emulator.put("a.jpg", &bytes);
    walker.refresh("");
    std::thread::sleep(life * 2);
    walker.mount.emulator.forget_requests();
    assert!(fs::read(walker.mount.at("a.jpg")).expect("readable") == bytes);
    assert_eq!(walker.mount.emulator.count("detail"), 1);
    assert_eq!(walker.mount.emulator.count("cdn"), 2);
}

#[test]
fn a_name_the_service_takes_no_files_of_is_an_invalid_argument() {
    let walker = Walker::new("pictures only", but(|a| a.formats = Formats::PicturesOnly));
    let copied = walker.sh(&walker.mount.path, "cp $S/1.jpg notes.txt");
    assert!(!copied.status.success());
    assert!(text(&copied.stderr).contains("Invalid argument"), "{}", text(&copied.stderr));
    assert_eq!(xattr(&walker.mount.at("notes.txt"), "state").as_deref(), Some("failed"));
    walker.step("cp $S/1.jpg notes.jpg && rm -f notes.txt");
    walker.finish();
}

#[test]
fn one_name_twice_shows_both_and_either_can_go() {
    let walker = Walker::new("twice", but(|a| a.duplicate_create = DuplicateName::Allow));
    let emulator = &walker.mount.emulator;
    emulator.put_raw("", "a.jpg", b"first");
    emulator.put_raw("", "a.jpg", b"second");
    walker.refresh("");
    let shown = content(&walker.mount.path);
    let mut bytes: Vec<_> = shown.values().flatten().cloned().collect();
    bytes.sort();
    assert_eq!(bytes, [b"first".to_vec(), b"second".to_vec()], "{:?}", shown.keys());
    let copied = attempt("cp", [walker.mount.local("new", b"third"), walker.mount.at("a.jpg")]);
    // Which of the two is meant nobody knows, so neither goes.
    assert!(text(&copied.stderr).contains("File exists"), "{}", text(&copied.stderr));
    let left = emulator.list("").into_iter().filter(|row| row.name == "a.jpg");
    let mut sizes: Vec<_> = left.map(|row| row.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 6], "the first and the second");
    for name in content(&walker.mount.path).keys() {
        run("rm", [walker.mount.at(name)]);
    }
    walker.mount.quiet();
    assert!(emulator.list("").iter().all(|row| row.is_folder));
    walker.finish();
}

#[test]
fn what_came_back_from_aside_outlives_the_end_of_the_mount_under_a_lag() {
    all_at_once([false, true], |detail_lags| {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        let pictures = [("d/a.jpg", noise(1, 3000)), ("b.jpg", noise(2, 4000))];
        pictures.iter().for_each(|(path, bytes)| drop(emulator.put(path, bytes)));
        let mount = Mount::over(emulator, &[]);
        run("find", [&mount.path]);
        let lag = Duration::from_secs(2);
        mount.emulator.change(|options| {
            (options.answers.list_lag, options.answers.detail_lags) = (lag, detail_lags);
        });
        // Until listings show the bed as it is.
        let settle = || std::thread::sleep(lag + Duration::from_millis(500));
        settle();
        let aside = |path: &str| mount.at(format!("{path}~"));
        for (path, _) in &pictures {
            fs::rename(mount.at(path), aside(path)).expect("taken aside");
        }
        settle();
        for (path, _) in &pictures {
            fs::rename(aside(path), mount.at(path)).expect("brought back");
        }
        // Listings show both in the scratch folder still.
        end(&mount);
        for (path, bytes) in &pictures {
            assert!(mount.emulator.read(path).as_ref() == Some(bytes), "{path}, {detail_lags}");
        }
        let violations = mount.emulator.violations();
        assert!(violations.is_empty(), "{violations:?}");
    });
}
