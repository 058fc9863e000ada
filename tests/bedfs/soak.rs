//! The soak: everything at once for as long as is asked, under faults that come and go and kills in
//! between. Nothing acknowledged is lost, and what a mount holds at rest is no more in the end than it
//! was in the beginning: memory, descriptors, threads, inodes, staged files; nor is anything left behind
//! where it was, here or at the service.
//!
//! `BEDFS_SOAK_MINUTES` makes it longer, `BEDFS_SOAK_SEED` repeats the dice.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bedfs_emulator::Options;

use crate::compare::{Content, content};
use crate::crash::{settle, wait};
use crate::harness::{Mount, fast, noise, text};
use crate::journaled::{listed, mount_again, pending};
use crate::model::{Dice, number};
use crate::soak_rest::{Rest, files};
use crate::torture::{self, Worker, compare, inject_all};

/// Those who change things, each in a folder of its own, and those who look around.
const WORKERS: usize = 3;
const GUESTS: usize = 2;

/// What nobody changes, in a folder of its own.
const STILL: &str = "still";
const PICTURES: usize = 12;

/// Stretches of work in one life of a mount; it is looked at after each.
const STRETCHES: usize = 4;

/// Seconds of a soak that nobody asked for.
const SHORT: u64 = 16;

/// The chances of a request to be hit by a fault, one after the other.
const CHANCES: [f64; 4] = [0.0, 0.05, 0.0, 0.01];

/// How a mount is mounted in its lives. The cache is small, so that it is full.
const ARGS: [&[&str]; 2] = [
    &["--upload", "close", "--cache-size", "8M", "--dir-ttl", "20"],
    &["--upload", "background", "--cache-size", "8M", "--dir-ttl", "20"],
];

/// A mount, those who work in it, and what is told of them.
struct Soak {
    mount: Mount,
    workers: Vec<Worker>,
    dice: Dice,
    /// How long the work goes on between two looks.
    stretch: Duration,
    looks: AtomicUsize,
    kills: usize,
    /// What was held at rest, and should not have been.
    leaks: Vec<String>,
}

impl Soak {
    fn new(mount: Mount, dice: Dice, seed: u64, seconds: u64) -> Self {
        let names = (0..WORKERS).map(|number| format!("w{number}"));
        let mut workers: Vec<_> =
            names.zip(seed..).map(|(name, seed)| Worker::new(&mount, &name, seed)).collect();
        let mut still = Worker::new(&mount, STILL, seed);
        still.is_idle = true;
        for number in 0..PICTURES {
            let bytes = noise(seed + number as u64, 1 + 40_000 * number);
            for folder in [&still.folder, &still.plain] {
                fs::write(folder.join(format!("{number}.jpg")), &bytes).expect("written");
            }
        }
        workers.push(still);
        let stretch = Duration::from_secs((seconds / 8).clamp(2, 30));
        let (looks, kills, leaks) = (AtomicUsize::default(), 0, Vec::new());
        Self { mount, workers, dice, stretch, looks, kills, leaks }
    }

    /// A life of a mount. What it holds at rest in the end is no more than after the first stretch.
    fn life(&mut self, what: &str) {
        self.stretch(&format!("{what}, stretch 1"));
        let first = Rest::of(&self.mount);
        for number in 2..=STRETCHES {
            self.stretch(&format!("{what}, stretch {number}"));
        }
        let (last, leaks) = first.grown(&self.mount);
        println!("{what}: {first}\n{what}: {last}");
        self.leaks.extend(leaks.into_iter().map(|leak| format!("{what}: {leak}")));
    }

    /// Works for a while, under faults that change, and compares when all is at rest.
    fn stretch(&mut self, what: &str) {
        let (mount, looks) = (&self.mount, &self.looks);
        let still = &content(&self.workers[WORKERS].plain);
        let is_over = &AtomicBool::new(false);
        let guests: Vec<_> =
            (0..GUESTS).map(|_| Dice(self.dice.below(1 << 30) as u64 | 1)).collect();
        let work = |worker: &mut Worker| {
            let nobody = AtomicBool::new(false);
            while !is_over.load(Ordering::SeqCst) {
                assert!(worker.step(&nobody).is_ok(), "nobody killed it");
            }
        };
        let look_around = |mut dice: Dice| {
            while !is_over.load(Ordering::SeqCst) {
                look(&mount.path, &mut dice, still);
                looks.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            let workers = self.workers.iter_mut();
            let mut threads: Vec<_> =
                workers.map(|worker| scope.spawn(move || work(worker))).collect();
            threads.extend(guests.into_iter().map(|dice| scope.spawn(move || look_around(dice))));
            for chance in CHANCES {
                mount.emulator.clear_faults();
                inject_all(mount, chance);
                let piece = self.stretch / CHANCES.len() as u32;
                wait(piece, || threads.iter().any(|thread| thread.is_finished()));
            }
            is_over.store(true, Ordering::SeqCst);
        });
        mount.emulator.clear_faults();
        settle(mount);
        for worker in &self.workers {
            // What was refused waits for its user, here and with a reason.
            let published = worker.publish(&content(&worker.folder));
            published.unwrap_or_else(|why| panic!("{what}: {why}, {worker}"));
        }
        settle(mount);
        compare(mount, &self.workers, what);
    }

    /// Kills the mount a few times, each time at work, and mounts it as it is to be in its next life.
    fn kills(&mut self, what: &str, args: &[&str]) {
        for number in 1..=1 + self.dice.below(3) {
            let what = format!("{what}, kill {number}");
            torture::round(&self.mount, &mut self.workers, &mut self.dice, &what);
            self.kills += 1;
        }
        let interrupted = interrupted(&self.mount);
        self.mount.unmount();
        if !interrupted.is_empty() {
            let mut discard = vec!["discard"];
            discard.extend(interrupted.iter().map(String::as_str));
            let discarded = pending(&self.mount, &discard);
            assert!(discarded.status.success(), "{what}: {}", text(&discarded.stderr));
        }
        mount_again(&self.mount, args);
    }
}

/// The paths of what was being written when a mount was killed: it waits for its user, who wants none
/// of it here.
fn interrupted(mount: &Mount) -> Vec<String> {
    let told = fs::read_to_string(mount.at(".bedfs/pending.json")).expect("what is pending");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&told).expect("JSON");
    let rows = rows.iter().filter(|row| row["state"] == "interrupted");
    rows.map(|row| row["path"].as_str().expect("a path").to_owned()).collect()
}

/// One look of somebody who changes nothing: what is read is right, or an error.
fn look(root: &Path, dice: &mut Dice, still: &Content) {
    let number = dice.below(PICTURES);
    let name = format!("{number}.jpg");
    let picture = root.join(STILL).join(&name);
    let bytes = still[&name].as_deref().expect("a file");
    match dice.below(8) {
        // As who shows small pictures of large ones.
        0..=2 => {
            let mut head = vec![0; bytes.len().min(16 << 10)];
            let read = File::open(&picture).and_then(|file| file.read_exact_at(&mut head, 0));
            assert!(read.is_err() || bytes.starts_with(&head), "{name}: others' bytes");
        }
        3 => {
            let read = fs::read(&picture);
            assert!(read.is_err() || read.is_ok_and(|read| read == bytes), "{name}: others' bytes");
        }
        4 => drop(walk(root)),
        5 => drop(::xattr::set(root.join(STILL), "user.bedfs.refresh", b"1")),
        6 => drop(::xattr::get(&picture, "user.bedfs.url")),
        _ => {
            let files = ["status.json", "pending.json", "links.csv", "moved.csv", "metrics"];
            drop(fs::read(root.join(".bedfs").join(files[number % files.len()])));
        }
    }
}

/// Looks at everything, as `ls -lR` does.
fn walk(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            walk(&entry.path())?;
        }
    }
    Ok(())
}

fn soak(seed: u64, seconds: u64) {
    println!("BEDFS_SOAK_SEED={seed}");
    let began = Instant::now();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let answers = torture::some_answers(&mut dice);
    let options = Options { slice_size: 16 << 10, answers, async_polls: 1, ..fast() };
    let args = |life: u64| ARGS[((seed + life) % 2) as usize];
    let mount = Mount::with(options, args(1));
    mount.unmount();
    let before = files(&mount);
    mount_again(&mount, args(1));
    let mut soak = Soak::new(mount, dice, seed, seconds);
    let mut lives = 0;
    while lives == 0 || began.elapsed() < Duration::from_secs(seconds) {
        lives += 1;
        let what = format!("seed {seed}, life {lives}");
        soak.life(&what);
        soak.kills(&what, args(lives + 1));
    }
    let Soak { mount, workers, looks, kills, leaks, .. } = soak;
    compare(&mount, &workers, &format!("seed {seed}, in the end"));
    torture::finish(&mount, &format!("seed {seed}"));
    assert_eq!(listed(&mount), "", "seed {seed}: something waits after the end");
    let left: Vec<_> = files(&mount).difference(&before).cloned().collect();
    let done: usize = workers.iter().map(|worker| worker.done.len()).sum();
    let (looks, requests) = (looks.into_inner(), mount.emulator.requests().len());
    println!("{done} changes, {looks} looks, {kills} kills, {requests} requests, {lives} lives");
    assert!(leaks.is_empty(), "seed {seed}: what is held grows:\n{}", leaks.join("\n"));
    assert!(left.is_empty(), "seed {seed}: left behind on the local disk: {left:?}");
}

#[test]
fn nothing_is_lost_and_nothing_is_left_over() {
    let seed = number("BEDFS_SOAK_SEED").unwrap_or_else(torture::now);
    let seconds = number("BEDFS_SOAK_MINUTES").map_or(SHORT, |minutes| 60 * minutes);
    soak(seed, seconds);
}
