//! The kill points of a program: its requests, each before it is done and after, and the moment after
//! each command. The simulation crashes at every one of them and many more; real processes are killed at
//! some, and at each where `BEDFS_TEST_ALL` is set.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex};
use std::thread;

use crate::crash::{Case, Scenario, Stop};

/// Cases at a time, in all tests together: they spend their time waiting, but each has a mount.
const AT_ONCE: usize = 6;

static AT_WORK: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// One of the cases that may be at work.
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn take() -> Self {
        let (at_work, freed) = &AT_WORK;
        let at_work = at_work.lock().expect("no thread panics here");
        let free = freed.wait_while(at_work, |at_work| *at_work >= AT_ONCE);
        *free.expect("no thread panics here") += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *AT_WORK.0.lock().expect("no thread panics here") -= 1;
        AT_WORK.1.notify_one();
    }
}

/// More requests than any program here makes.
const MOST: usize = 120;

/// Runs the work on each item, some at a time, and gives what it gave.
pub(crate) fn some_at_once<T: Send, R: Send>(
    items: Vec<T>, work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let (queue, results) = (Mutex::new(items.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panics here").next();
                    let Some(item) = next else { return };
                    let result = work(item);
                    results.lock().expect("no thread panics here").push(result);
                }
            });
        }
    });
    results.into_inner().expect("no thread panicked")
}

/// What became of one kill point.
struct Point {
    /// Whether the program came so far.
    is_reached: bool,
    wrong: Option<String>,
}

fn kill_at(scenario: &Scenario, stop: Stop) -> Point {
    let mut is_reached = false;
    let mut log = String::new();
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let case = Case::new(scenario);
        let judged = catch_unwind(AssertUnwindSafe(|| case.judge(stop, &mut is_reached)));
        log = case.mount.log();
        case.abandon();
        judged.unwrap_or_else(|why| resume_unwind(why));
    }));
    let label = format!("{} ({:?}), killed at {stop:?}", scenario.name, scenario.upload);
    let wrong = judged.err().map(|why| format!("{label}: {}\n{log}", reason(&*why)));
    Point { is_reached, wrong }
}

/// What a panic said.
pub(crate) fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Kills the mount at each point of a kind in turn, until the program ends before it. Gives how many
/// points there were, and what was wrong.
fn sweep(scenario: &Scenario, stops: impl Iterator<Item = Stop>) -> (usize, Vec<String>) {
    let (mut points, mut wrong) = (0, Vec::new());
    for stop in stops {
        let point = kill_at(scenario, stop);
        wrong.extend(point.wrong);
        if !point.is_reached {
            break;
        }
        points += 1;
    }
    (points, wrong)
}

/// Some points of a program that it reaches for certain.
pub(crate) fn some(scenario: &Scenario) -> Vec<Stop> {
    let middle = scenario.requests / 2;
    let requests = [Stop::Before(middle), Stop::After(middle)].into_iter();
    let commands = (scenario.commands.len() > 1).then_some(Stop::Away(1));
    requests.filter(|_| scenario.requests > 0).chain(commands).collect()
}

/// Kills the mount at some steps of every program, or at each.
pub(crate) fn kill(scenarios: &[Scenario]) {
    if std::env::var_os("BEDFS_TEST_ALL").is_some() {
        return kill_everywhere(scenarios);
    }
    let points = |scenario| some(scenario).into_iter().map(move |stop| (scenario, stop));
    let items: Vec<(&Scenario, Stop)> = scenarios.iter().flat_map(points).collect();
    let done = some_at_once(items, |(scenario, stop)| {
        let Point { is_reached, wrong } = kill_at(scenario, stop);
        let missed = || format!("{}: {stop:?} is not reached", scenario.name);
        wrong.or_else(|| (!is_reached).then(missed))
    });
    println!("{} kill points", done.len());
    let wrong: Vec<String> = done.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} kill points are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn kill_everywhere(scenarios: &[Scenario]) {
    let kinds = 0..4;
    let items =
        scenarios.iter().flat_map(|scenario| kinds.clone().map(move |kind| (scenario, kind)));
    let done = some_at_once(items.collect(), |(scenario, kind)| {
        let commands = scenario.commands.len();
        let (points, wrong) = match kind {
            0 => sweep(scenario, (0..MOST).map(Stop::Before)),
            1 => sweep(scenario, (0..MOST).map(Stop::After)),
            2 => sweep(scenario, (1..=commands).map(Stop::Done)),
            _ => sweep(scenario, (1..commands).map(Stop::Away)),
        };
        ((scenario.name, scenario.upload), points, wrong)
    });
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let mine = || done.iter().filter(|(which, ..)| *which == (scenario.name, scenario.upload));
        let points: usize = mine().map(|(_, points, _)| points).sum();
        println!("{points:4} kill points: {} ({:?})", scenario.name, scenario.upload);
        wrong.extend(mine().flat_map(|(.., wrong)| wrong.clone()));
        if points < scenario.points() {
            wrong.push(format!("{}: only {points} kill points", scenario.name));
        }
    }
    assert!(wrong.is_empty(), "{} kill points are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
