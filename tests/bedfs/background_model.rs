//! Random changes of a mount that uploads in the background, with kills in between: after each kill
//! the mount shows what was acknowledged, and in the end the bed has that and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use bedfs_emulator::{FaultKind, Options};

use crate::bench::all_at_once;
use crate::compare::{assert_same, bed, content};
use crate::harness::{Mount, fast, noise, xattr};
use crate::journaled::{
    BACKGROUND, all_done, crash, eventually, listed, mount_again, over_old, staged, stays,
};

/// Changes in a walk.
const STEPS: usize = 60;

const NAMES: &[&str] = &["a.jpg", "b.jpg", "c.jpg", "d/a.jpg", "d/b.jpg"];

/// A walk by a seed.
struct Walk {
    mount: Mount,
    /// What was acknowledged, by path.
    model: BTreeMap<String, Option<Vec<u8>>>,
    /// What the seed gives, from the end.
    chances: Vec<u8>,
    seed: u64,
    steps: Vec<String>,
}

impl Walk {
    fn new(seed: u64, async_polls: u32) -> Self {
        let options = Options {
            latency: Duration::from_millis(15),
            async_polls,
            slice_size: 64 << 10,
            ..fast()
        };
        let mount = Mount::with(options, BACKGROUND);
        fs::create_dir(mount.at("d")).expect("a folder");
        let model = BTreeMap::from([("d".to_owned(), None)]);
        Self { mount, model, chances: noise(seed, STEPS * 16), seed, steps: Vec::new() }
    }

    fn chance(&mut self, of: usize) -> usize {
        usize::from(self.chances.pop().expect("enough chances")) % of
    }

    fn name(&mut self) -> String {
        let index = self.chance(NAMES.len());
        NAMES[index].to_owned()
    }

    fn fresh(&mut self) -> Vec<u8> {
        let (seed, len) = (self.chance(256), self.chance(200));
        noise(self.seed * 1000 + (seed * STEPS + self.steps.len()) as u64, 1 + len * 700)
    }

    /// One change, which must succeed, here and in the model.
    fn step(&mut self) {
        let (name, kind) = (self.name(), self.chance(6));
        let path = self.mount.at(&name);
        let bytes = self.fresh();
        let known = self.model.get(&name).cloned().flatten();
        self.steps.push(format!("{kind} {name} {}", bytes.len()));
        match (kind, known) {
            (1, Some(mut all)) => {
                let mut file = self.must(fs::File::options().append(true).open(&path));
                self.must(file.write_all(&bytes));
                all.extend(bytes);
                self.model.insert(name, Some(all));
            }
            (2, Some(mut all)) => {
                let file = self.must(fs::File::options().write(true).open(&path));
                let at = self.chance(256) * all.len() / 256;
                self.must(file.write_all_at(&bytes[..1], at as u64));
                self.must(file.sync_all());
                all[at] = bytes[0];
                self.model.insert(name, Some(all));
            }
            (3, Some(all)) => {
                let to = self.name();
                self.steps.push(format!("to {to}"));
                self.must(fs::rename(&path, self.mount.at(&to)));
                self.model.remove(&name);
                self.model.insert(to, Some(all));
            }
            (4, Some(_)) => {
                self.must(fs::remove_file(&path));
                self.model.remove(&name);
            }
            _ => {
                self.must(fs::write(&path, &bytes));
                self.model.insert(name, Some(bytes));
            }
        }
    }

    fn must<T>(&self, result: std::io::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("seed {}: {:?}: {error}", self.seed, self.steps))
    }

    fn is_as_acknowledged(&self) {
        let what = format!("seed {}: {:?}", self.seed, self.steps);
        assert_same(&content(&self.mount.path), &self.model, &what);
    }

    fn crash(&mut self) {
        self.steps.push("crash".to_owned());
        crash(&self.mount);
        mount_again(&self.mount, BACKGROUND);
        self.is_as_acknowledged();
    }

    fn end(self) {
        all_done(&self.mount);
        self.is_as_acknowledged();
        self.mount.unmount();
        let what = format!("the bed, seed {}: {:?}", self.seed, self.steps);
        assert_same(&bed(&self.mount.emulator), &self.model, &what);
        let paths: Vec<_> = self.mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths.len(), self.model.len(), "{paths:?}, {what}");
        assert_eq!(listed(&self.mount), "", "{what}");
        assert_eq!(staged(&self.mount), Vec::<std::path::PathBuf>::new(), "{what}");
        let violations = self.mount.emulator.violations();
        assert!(violations.is_empty(), "{violations:?}, {what}");
    }
}

fn walk(seeds: std::ops::Range<u64>, async_polls: u32) {
    all_at_once(seeds, |seed| {
        let mut walk = Walk::new(seed, async_polls);
        for _ in 0..STEPS {
            walk.step();
            if walk.chance(6) == 0 {
                walk.crash();
            }
        }
        walk.end();
    });
}

#[test]
fn what_was_acknowledged_outlives_any_kill_and_ends_at_the_bed() {
    walk(0..6, 0);
}

#[test]
fn what_the_service_was_still_checking_at_a_kill_does_not_come_back_later() {
    walk(6..8, 1);
}

/// Kills the mount while the service checks what it was sent, makes a change in a mount that can
/// upload nothing, as `create` fails so, and kills that: an upload that nobody polls is complete after
/// three seconds. In the end the bed has these names.
fn change_between_kills(mount: &Mount, fails: FaultKind, change: impl FnOnce(), names: &[&str]) {
    eventually("it is being checked", || mount.emulator.count("upload_async_result") > 0);
    let began = Instant::now();
    crash(mount);
    mount.emulator.inject(stays("create", fails));
    mount_again(mount, BACKGROUND);
    change();
    crash(mount);
    mount.emulator.clear_faults();
    mount_again(mount, BACKGROUND);
    eventually("only what should be there is there", || {
        let tree = mount.emulator.tree();
        let mut found: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
        found.sort_unstable();
        began.elapsed() > Duration::from_secs(6) && found == names
    });
}

#[test]
fn what_the_service_was_to_complete_before_kills_is_asked_after_and_not_sent_again() {
    // What nobody polls is complete after half a minute.
    let mount = Mount::with(Options { async_polls: 10, ..fast() }, BACKGROUND);
    mount.emulator.inject(stays("upload_async_result", FaultKind::Hang));
    fs::write(mount.at("a.jpg"), b"first").expect("written and closed");
    for polls in 1..=3 {
        let is_asked = || mount.emulator.count("upload_async_result") >= polls;
        eventually("what became of it is asked for", is_asked);
        crash(&mount);
        mount_again(&mount, BACKGROUND);
    }
    mount.emulator.clear_faults();
    eventually("it is there", || listed(&mount).is_empty());
    assert_eq!(mount.emulator.read("a.jpg"), Some(b"first".to_vec()));
    assert_eq!(mount.emulator.count("create"), 1);
    assert_eq!(mount.emulator.tree().len(), 1);
}

#[test]
fn what_the_service_was_not_told_to_complete_before_a_kill_is_sent_again() {
    let mount = Mount::with(fast(), BACKGROUND);
    mount.emulator.inject(stays("upload_complete", FaultKind::Hang));
    fs::write(mount.at("a.jpg"), b"first").expect("written and closed");
    eventually("it is told", || mount.emulator.count("upload_complete") > 0);
    crash(&mount);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    eventually("it is there", || listed(&mount).is_empty());
    assert_eq!(mount.emulator.read("a.jpg"), Some(b"first".to_vec()));
    assert_eq!(mount.emulator.count("create"), 2);
    assert_eq!(mount.emulator.tree().len(), 1);
}

#[test]
fn a_removed_file_that_was_being_checked_at_a_kill_does_not_come_back() {
    let mount = Mount::with(Options { async_polls: 1, ..fast() }, BACKGROUND);
    mount.emulator.inject(stays("upload_async_result", FaultKind::Hang));
    fs::write(mount.at("a.jpg"), b"first").expect("written and closed");
    let remove = || fs::remove_file(mount.at("a.jpg")).expect("removed");
    change_between_kills(&mount, FaultKind::Hang, remove, &[]);
}

#[test]
fn a_renamed_file_of_which_a_version_was_being_checked_at_a_kill_does_not_come_back() {
    let mount = Mount::with(Options { async_polls: 1, ..fast() }, BACKGROUND);
    mount.emulator.inject(stays("upload_async_result", FaultKind::Hang));
    fs::write(mount.at("a.jpg"), b"first").expect("written and closed");
    eventually("it is being checked", || mount.emulator.count("upload_async_result") > 0);
    fs::write(mount.at("a.jpg"), b"second").expect("written and closed");
    let rename = || fs::rename(mount.at("a.jpg"), mount.at("b.jpg")).expect("renamed");
    // A rename waits for a try that hangs.
    change_between_kills(&mount, FaultKind::Status(503), rename, &["b.jpg"]);
    assert_eq!(fs::read(mount.at("b.jpg")).expect("readable"), b"second");
}

#[test]
fn what_was_overwritten_just_before_it_was_sent_does_not_come_back_after_a_kill() {
    let mount = Mount::with(Options { async_polls: 1, ..fast() }, BACKGROUND);
    let emulator = &mount.emulator;
    let refusal = FaultKind::Refuse { code: 1, message: "not today".to_owned() };
    emulator.inject(stays("create", refusal));
    fs::write(mount.at("a.jpg"), b"refused").expect("written and closed");
    eventually("it failed", || xattr(&mount.at("a.jpg"), "state").as_deref() == Some("failed"));
    emulator.clear_faults();
    emulator.inject(stays("upload_async_result", FaultKind::Hang));
    // What became of it is looked for some seconds; this name's next upload waits for that.
    fs::remove_file(mount.at("a.jpg")).expect("removed");
    fs::write(mount.at("a.jpg"), b"sent").expect("written and closed");
    std::thread::sleep(Duration::from_millis(500));
    fs::write(mount.at("a.jpg"), b"closed meanwhile").expect("written and closed");
    let remove = || fs::remove_file(mount.at("a.jpg")).expect("removed");
    change_between_kills(&mount, FaultKind::Hang, remove, &[]);
}

#[test]
fn what_fails_of_a_version_that_another_took_the_place_of_is_not_told_of_that_one() {
    let mount = over_old(&noise(1, 50_000));
    let path = mount.at("old.jpg");
    mount.emulator.change(|options| options.latency = Duration::from_millis(500));
    mount.emulator.inject(stays("cdn", FaultKind::Corrupt));
    let mut file = fs::File::options().append(true).open(&path).expect("opens");
    file.write_all(b"more").expect("written");
    drop(file);
    eventually("the old bytes are fetched", || mount.emulator.count("cdn") > 0);
    mount.emulator.inject(stays("create", FaultKind::Hang));
    fs::write(&path, b"anew").expect("promised");
    // Versions of a file go one after the other: the first has failed by then.
    eventually("the second version is on its way", || mount.emulator.count("create") > 0);
    assert_eq!(xattr(&path, "error"), None);
    assert!(!listed(&mount).contains("failed"), "{}", listed(&mount));
    mount.emulator.clear_faults();
    eventually("it is there", || mount.emulator.read("old.jpg").as_deref() == Some(b"anew"));
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}
