//! The torture: random operations under random faults, with the mount killed at random moments,
//! against a plain folder that has what was acknowledged.
//!
//! Several workers, each in a folder of its own. An operation that was under way when the mount was
//! killed, or that failed under a fault, is done or not done; every other one must be as it was
//! acknowledged. `BEDFS_TORTURE_SEED` repeats the dice, `BEDFS_TORTURE_SECONDS` makes it longer.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bedfs_emulator::{Answers, Fault, InstantUpload, MoveFolder, Options, ReuseFileId};

use crate::bench::{all_at_once, end};
use crate::command::pid;
use crate::compare::{Content, assert_same, bed, content, make_so, try_content};
use crate::crash::{kill_at_once, settle, wait};
use crate::harness::{Mount, attempt, fast, text};
use crate::model::{Dice, Op, apply, number, op};

/// Folders that are worked in at the same time.
const WORKERS: usize = 3;

/// How often something is tried anew under faults, each of which passes.
const TRIES: usize = 30;

/// One of those who change things, in a folder of its own.
pub(crate) struct Worker {
    pub(crate) folder: PathBuf,
    /// Has what was acknowledged.
    pub(crate) plain: PathBuf,
    dice: Dice,
    /// What was done, for whoever must find out why.
    pub(crate) done: Vec<String>,
    /// Changes nothing: what it has is there to be looked at.
    pub(crate) is_idle: bool,
}

/// An operation of which nobody was told whether it is done.
pub(crate) struct Doubt {
    op: Op,
    before: Content,
    after: Content,
}

impl Worker {
    pub(crate) fn new(mount: &Mount, name: &str, seed: u64) -> Self {
        let (folder, plain) = (mount.at(name), mount.dir.path().join(format!("plain-{name}")));
        fs::create_dir(&folder).expect("a folder in the mount");
        fs::create_dir(&plain).expect("a folder");
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { folder, plain, dice, done: Vec::new(), is_idle: false }
    }

    /// Does the next operation in both places. `Err` when the mount was killed over it.
    pub(crate) fn step(&mut self, is_killed: &AtomicBool) -> Result<(), Doubt> {
        if self.is_idle {
            thread::sleep(Duration::from_millis(10));
            return Ok(());
        }
        let op = with_bytes(op(&mut self.dice));
        let before = content(&self.plain);
        let here = apply(&self.folder, &op);
        let was_killed = is_killed.load(Ordering::SeqCst);
        let there = apply(&self.plain, &op);
        self.note(&op, &here);
        if here == there {
            return Ok(());
        }
        let doubt = Doubt { op, before, after: content(&self.plain) };
        match here {
            Err(_) if was_killed => return Err(doubt),
            // What the user sees of a service that fails, or that refuses a link and its successor.
            Err(libc::EIO | libc::ETIMEDOUT | libc::EINTR | libc::EACCES) => {}
            _ => panic!("{:?}: {} here, {} there, {}", doubt.op, brief(&here), brief(&there), self),
        }
        match self.find_out(&doubt).and_then(|seen| self.publish(&seen)) {
            Ok(()) => Ok(()),
            Err(_) if is_killed.load(Ordering::SeqCst) => Err(doubt),
            Err(why) => panic!("{why}, {self}"),
        }
    }

    fn note(&mut self, op: &Op, result: &Result<Vec<u8>, i32>) {
        let mut line = format!("{op:?}");
        let cut = line.char_indices().nth(90).map_or(line.len(), |(at, _)| at);
        line.truncate(cut);
        self.done.push(format!("{line} -> {}", brief(result)));
    }

    /// Looks which of the two legal states an operation left, and takes it for the truth. An error
    /// where the mount cannot be read.
    fn find_out(&self, doubt: &Doubt) -> Result<Content, String> {
        let folder = self.folder.to_string_lossy();
        until_it_works(|| {
            let args = ["-n", "user.bedfs.refresh", "-v", "1", &folder];
            let looked = attempt("setfattr", args);
            looked.status.success().then_some(()).ok_or_else(|| text(&looked.stderr))
        })?;
        let seen = until_it_works(|| {
            try_content(&self.folder).map_err(|error| format!("unreadable: {error}"))
        })?;
        self.decide(doubt, &seen);
        Ok(seen)
    }

    /// Holds what is seen to the two legal states.
    fn decide(&self, doubt: &Doubt, seen: &Content) {
        let Doubt { op, before, after } = doubt;
        // A file that is made and not written yet is one more state than before and after.
        let is_begun = |path: &String, found: Option<&Option<Vec<u8>>>| {
            !before.contains_key(path) && found == Some(&Some(Vec::new()))
        };
        let is_piecewise = matches!(op, Op::RemoveAll(_));
        let mut paths: Vec<_> = before.keys().chain(after.keys()).chain(seen.keys()).collect();
        paths.dedup();
        let each = |path: &&String| {
            let found = seen.get(*path);
            found == before.get(*path) || found == after.get(*path) || is_begun(path, found)
        };
        let is_whole = |state: &Content| {
            paths
                .iter()
                .all(|path| seen.get(*path) == state.get(*path) || is_begun(path, seen.get(*path)))
        };
        let right = match is_piecewise {
            true => paths.iter().all(each),
            false => is_whole(before) || is_whole(after) || is_whole(&without_target(op, before)),
        };
        if !right {
            assert_same(seen, after, &format!("{op:?} is neither done nor undone, {self}"));
        }
        make_so(&self.plain, seen);
    }

    /// What failed to upload is closed again until it is uploaded.
    pub(crate) fn publish(&self, seen: &Content) -> Result<(), String> {
        let files = seen.iter().filter(|(_, bytes)| bytes.is_some());
        files.map(|(path, _)| self.folder.join(path)).try_for_each(|path| {
            until_it_works(|| {
                let told = |name: &str| {
                    attempt("getfattr", ["--only-values", "-n", name, &path.to_string_lossy()])
                };
                let state = told("user.bedfs.state");
                match text(&state.stdout).as_str() {
                    "failed" => {
                        let why = text(&told("user.bedfs.error").stdout);
                        attempt("sh", ["-c".as_ref(), ": >> \"$0\"".as_ref(), path.as_os_str()]);
                        Err(format!("{} stays failed: {why}", path.display()))
                    }
                    _ if state.status.success() => Ok(()),
                    _ => Err(text(&state.stderr)),
                }
            })
        })
    }
}

impl std::fmt::Display for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let last = &self.done[self.done.len().saturating_sub(25)..];
        write!(f, "{} after\n{}\n", self.folder.display(), last.join("\n"))
    }
}

/// What was there before, without the empty folder that a folder was to be renamed over: it goes first,
/// and what cuts the rename off then leaves that.
fn without_target(op: &Op, before: &Content) -> Content {
    let mut without = before.clone();
    let is_folder = |path: &PathBuf| before.get(&*path.to_string_lossy()) == Some(&None);
    if let Op::Rename(from, to) = op
        && is_folder(from)
        && is_folder(to)
    {
        without.remove(&*to.to_string_lossy());
    }
    without
}

/// The first success of many tries, or the last error. They go on for longer than the minute in which
/// no token is asked for after a new one was refused.
fn until_it_works<T>(mut once: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let mut last = once();
    for number in 1..TRIES as u32 {
        if last.is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(10) * number * number);
        last = once();
    }
    last
}

fn brief(result: &Result<Vec<u8>, i32>) -> String {
    format!("{:?}", result.as_ref().map(Vec::len))
}

/// The operation without empty files: these are in the mount alone.
fn with_bytes(op: Op) -> Op {
    match op {
        Op::Truncate(path, 0) => Op::Truncate(path, 1),
        op => op,
    }
}

/// Whatever passes: each request is hit with this chance.
pub(crate) fn inject_all(mount: &Mount, chance: f64) {
    Fault::passing(chance).into_iter().for_each(|fault| mount.emulator.inject(fault));
}

/// What a service may be like, by the dice.
pub(crate) fn some_answers(dice: &mut Dice) -> Answers {
    let mut answers = Answers::default();
    let mut either = || dice.below(2) == 0;
    if either() {
        answers.instant_upload = InstantUpload::Never;
    }
    if either() {
        answers.move_folder = MoveFolder::Refused;
    }
    if either() {
        answers.reuse_file_id = ReuseFileId::Empty;
    }
    answers
}

/// Holds mount and bed to what the workers were told.
pub(crate) fn compare(mount: &Mount, workers: &[Worker], what: &str) {
    let mut wanted = Content::new();
    for worker in workers {
        let name = worker.folder.file_name().expect("a name").to_string_lossy().into_owned();
        let plain = content(&worker.plain);
        let seen = (0..TRIES).find_map(|_| try_content(&worker.folder).ok()).expect("readable");
        assert_same(&seen, &plain, &format!("{what}: the mount, {worker}"));
        let below = plain.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes));
        wanted.extend(
            below.filter(|(_, bytes)| bytes.as_ref().is_none_or(|bytes| !bytes.is_empty())),
        );
        wanted.insert(name, None);
    }
    let last: Vec<_> = workers.iter().map(Worker::to_string).collect();
    assert_same(&bed(&mount.emulator), &wanted, &format!("{what}: the bed, {}", last.join("\n")));
    let paths = mount.emulator.tree().len();
    let found = crate::compare::whole_bed(&mount.emulator).len();
    assert_eq!(paths, found, "{what}: something is there twice");
}

/// Ends the mount in order, and holds the bed to what must be so then.
pub(crate) fn finish(mount: &Mount, what: &str) {
    end(mount);
    let left = mount.emulator.tree();
    let scratch =
        left.iter().find(|(path, row)| path.starts_with(".bedfs-scratch-") && !row.is_folder);
    assert!(scratch.is_none(), "{what}: {scratch:?} is left behind");
    assert!(mount.emulator.violations().is_empty(), "{what}: {:?}", mount.emulator.violations());
}

/// Works until the mount is killed after a while, and mounts again.
pub(crate) fn round(mount: &Mount, workers: &mut [Worker], dice: &mut Dice, what: &str) {
    let chance = [0.0, 0.02, 0.1][dice.below(3)];
    inject_all(mount, chance);
    let is_killed = AtomicBool::new(false);
    let process = pid(mount);
    let doubts: Vec<Option<Doubt>> = thread::scope(|scope| {
        let work = |worker: &mut Worker| loop {
            if is_killed.load(Ordering::SeqCst) {
                return None;
            }
            if let Err(doubt) = worker.step(&is_killed) {
                return Some(doubt);
            }
        };
        let threads: Vec<_> =
            workers.iter_mut().map(|worker| scope.spawn(move || work(worker))).collect();
        let while_they_work = Duration::from_millis(100 + dice.below(2500) as u64);
        wait(while_they_work, || threads.iter().any(|thread| thread.is_finished()));
        is_killed.store(true, Ordering::SeqCst);
        kill_at_once(process);
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.unwrap_or_else(|why| std::panic::resume_unwind(why))).collect()
    });
    let modes = ["close", "background"];
    loop {
        attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
        let again = mount.mount(&["--upload", modes[dice.below(2)]]);
        assert!(again.status.success(), "{what}: mounted again: {}", text(&again.stderr));
        if dice.below(3) > 0 {
            break;
        }
        thread::sleep(Duration::from_millis(dice.below(300) as u64));
        kill_at_once(pid(mount));
    }
    mount.emulator.clear_faults();
    settle(mount);
    for (worker, doubt) in workers.iter().zip(&doubts) {
        let seen = try_content(&worker.folder)
            .unwrap_or_else(|error| panic!("{what}: unreadable: {error}, {worker}"));
        match doubt {
            Some(doubt) => worker.decide(doubt, &seen),
            None => assert_same(&seen, &content(&worker.plain), &format!("{what}: {worker}")),
        }
        let published = worker.publish(&seen);
        published.unwrap_or_else(|why| panic!("{what}: {why}, {worker}"));
    }
    settle(mount);
    compare(mount, workers, what);
}

fn torture(seed: u64, seconds: u64) {
    println!("BEDFS_TORTURE_SEED={seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let answers = some_answers(&mut dice);
    let polls = dice.below(2) as u32;
    let options = Options { slice_size: 16 << 10, answers, async_polls: polls, ..fast() };
    let mount = Mount::with(options, &[]);
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|number| Worker::new(&mount, &format!("w{number}"), seed + number as u64))
        .collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    while rounds < 2 || Instant::now() < until {
        rounds += 1;
        round(&mount, &mut workers, &mut dice, &format!("seed {seed}, round {rounds}"));
    }
    let operations: usize = workers.iter().map(|worker| worker.done.len()).sum();
    println!("{rounds} kills, {operations} operations");
    finish(&mount, &format!("seed {seed}"));
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::from(now.expect("after 1970").subsec_nanos())
}

#[test]
fn nothing_acknowledged_is_lost_however_often_the_mount_is_killed() {
    let seed = number("BEDFS_TORTURE_SEED").unwrap_or_else(now);
    let seconds = number("BEDFS_TORTURE_SECONDS").unwrap_or(10);
    all_at_once(0..3, |world| torture(seed + 1000 * world, seconds));
}

/// A thousand operations in all.
#[test]
fn a_mount_under_faults_does_what_a_folder_does() {
    let seed = number("BEDFS_TORTURE_SEED").unwrap_or_else(now);
    let modes = ["close", "background"];
    all_at_once(0..4, |world| {
        let seed = seed + 1000 * world;
        println!("BEDFS_TORTURE_SEED={seed}");
        let mut dice = Dice(seed | 1);
        let options = Options { slice_size: 16 << 10, answers: some_answers(&mut dice), ..fast() };
        let mount = Mount::with(options, &["--upload", modes[world as usize % 2]]);
        let mut workers = [Worker::new(&mount, "w", seed)];
        let nobody = AtomicBool::new(false);
        for batch in 0..10 {
            inject_all(&mount, 0.1);
            for _ in 0..25 {
                let done = workers[0].step(&nobody);
                assert!(done.is_ok(), "nobody killed it");
            }
            mount.emulator.clear_faults();
            settle(&mount);
            compare(&mount, &workers, &format!("seed {seed}, batch {batch}"));
        }
        finish(&mount, &format!("seed {seed}"));
        let again = mount.mount(&[]);
        assert!(again.status.success(), "seed {seed}: {}", text(&again.stderr));
        compare(&mount, &workers, &format!("seed {seed}, mounted again"));
    });
}
