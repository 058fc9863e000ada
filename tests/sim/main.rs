//! The simulation: what callers do to a mount, what the service answers, and crashes, all from a seed and
//! without a kernel, a process or a socket. What the mounts after a crash come to is held against a
//! model.
//!
//! `scripts/sim` runs it. `caller` plays the kernel over `bedfs::fs`, `net` is the network below the
//! client, `machine` the clock, the chance and the disk, which the program gets by `clib`; `scenario` puts
//! them together, `model` says what may be, and `verdict` whether it is.

mod caller;
mod clib;
mod crash;
mod life;
mod machine;
mod model;
mod net;
mod program;
mod scenario;
mod service;
mod shrink;
mod verdict;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;

use program::{Chance, Program};
use scenario::{Crashes, Outcome};

/// Simulates mounts that crash, and checks that nothing is lost.
#[derive(Debug, Parser)]
struct Args {
    /// How many programs, one for each seed.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The seed of the first.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only the program of this seed, with a crash at each moment.
    #[arg(long)]
    seed: Option<u64>,
    /// Only with a crash at this moment, of those of the seed.
    #[arg(long, requires = "seed")]
    at: Option<u64>,
    /// And another one at this moment of the mount after it.
    #[arg(long, requires = "at")]
    then: Option<u64>,
    /// Crashes for each program.
    #[arg(long, default_value_t = 8)]
    crashes: u64,
    /// Do not make a program smaller that shows a fault.
    #[arg(long)]
    whole: bool,
    /// Go on after a fault, and count them.
    #[arg(long)]
    count: bool,
    /// Show the log of the program too.
    #[arg(long)]
    log: bool,
    /// What the runner of tests is told.
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(hide = true)]
    names: Vec<String>,
}

/// A fault: where it shows.
struct Found {
    seed: u64,
    crashes: Crashes,
    outcome: Outcome,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.names.is_empty() && !args.names.iter().any(|name| "simulation".contains(&**name)) {
        return ExitCode::SUCCESS;
    }
    if args.log {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(std::io::stderr)
            .init();
    }
    scenario::hear_panics();
    let begin = Instant::now();
    let (points, seeds) = (AtomicU64::new(0), AtomicU64::new(0));
    let found = match args.seed {
        Some(seed) => one(seed, &args, &points).into_iter().collect(),
        None => many(&args, &points, &seeds),
    };
    let points = points.into_inner();
    let seconds = begin.elapsed().as_secs_f64();
    if found.is_empty() {
        println!("simulation: {points} crashes in {seconds:.1} s, and nothing is wrong");
        return ExitCode::SUCCESS;
    }
    if args.count {
        for Found { seed, crashes, outcome } in &found {
            let wrong = outcome.wrong.as_deref().unwrap_or_default();
            println!("seed {seed}, crash {crashes:?}: {wrong}");
        }
        println!("{} faults, {points} crashes, {seconds:.1} s", found.len());
        return ExitCode::FAILURE;
    }
    let tried = seeds.into_inner();
    found.into_iter().take(1).for_each(|found| tell(found, &args, tried));
    ExitCode::FAILURE
}

/// Many programs, with some crashes each, on all processors.
fn many(args: &Args, points: &AtomicU64, tried: &AtomicU64) -> Vec<Found> {
    let (next, is_over) = (AtomicU64::new(args.first), AtomicBool::new(false));
    let found = Mutex::new(Vec::new());
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.first + args.seeds {
                return;
            }
            tried.fetch_add(1, Ordering::Relaxed);
            if let Some(fault) = some(seed, args, points) {
                is_over.store(!args.count, Ordering::Relaxed);
                found.lock().expect("nobody panics with it").push(fault);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut found = found.into_inner().expect("nobody panics with it");
    found.sort_by_key(|found| found.seed);
    found
}

/// The program of a seed, without a crash and with some.
fn some(seed: u64, args: &Args, points: &AtomicU64) -> Option<Found> {
    let program = Program::of(seed);
    let found = |crashes, outcome: Outcome| {
        outcome.wrong.is_some().then_some(Found { seed, crashes, outcome })
    };
    let whole = scenario::run(&program, [None, None]);
    let moments = whole.points.max(1);
    if let Some(fault) = found([None, None], whole) {
        return Some(fault);
    }
    let mut chance = Chance(!seed);
    (0..args.crashes).find_map(|_| {
        let second = chance.one_in(3).then(|| chance.below(60));
        let crashes = [Some(chance.below(moments)), second];
        points.fetch_add(1 + u64::from(second.is_some()), Ordering::Relaxed);
        found(crashes, scenario::run(&program, crashes))
    })
}

/// The program of one seed, with a crash at each moment, or at the one that was asked for.
fn one(seed: u64, args: &Args, points: &AtomicU64) -> Option<Found> {
    let program = Program::of(seed);
    let whole = scenario::run(&program, [None, None]);
    let all = match args.at {
        Some(at) => at..at + 1,
        None if whole.wrong.is_some() => {
            return Some(Found { seed, crashes: [None, None], outcome: whole });
        }
        None => 0..whole.points,
    };
    all.into_iter().find_map(|at| {
        let crashes = [Some(at), args.then];
        points.fetch_add(1, Ordering::Relaxed);
        let outcome = scenario::run(&program, crashes);
        outcome.wrong.is_some().then_some(Found { seed, crashes, outcome })
    })
}

/// Tells a fault as a program that a person can read.
fn tell(found: Found, args: &Args, tried: u64) {
    let Found { seed, crashes, outcome } = found;
    let again = [("--at", crashes[0]), ("--then", crashes[1])];
    let again = again.map(|(name, at)| at.map_or(String::new(), |at| format!(" {name} {at}")));
    println!("FAULT after {tried} seeds: scripts/sim --seed {seed}{}{}", again[0], again[1]);
    let (program, crashes, outcome) = match args.whole {
        true => (Program::of(seed), crashes, outcome),
        false => shrink::shrink(Program::of(seed), crashes, outcome),
    };
    print!("{program}");
    println!("  it crashes at {crashes:?}");
    outcome.log.iter().for_each(|line| println!("    {line}"));
    println!("{}", outcome.wrong.unwrap_or_default());
}
