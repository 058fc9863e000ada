//! Shrinking: a program that shows what is wrong is made as small as it can be and still show it.

use bedfs_emulator::Answers;

use crate::program::Program;
use crate::scenario::{self, Crashes, Outcome};

/// Runs a program with a crash at each moment, until something is wrong.
fn fails(program: &Program, crashes: Crashes) -> Option<(Crashes, Outcome)> {
    let whole = scenario::run(program, [None, None]);
    let points = whole.points;
    if whole.wrong.is_some() {
        return Some(([None, None], whole));
    }
    let second = crashes[1];
    let all = (0..points).map(|point| [Some(point), second]);
    all.filter(|_| crashes[0].is_some()).find_map(|crashes| {
        let outcome = scenario::run(program, crashes);
        outcome.wrong.is_some().then_some((crashes, outcome))
    })
}

/// The smallest program found, where it crashes, and what it comes to.
pub(crate) fn shrink(
    program: Program, crashes: Crashes, outcome: Outcome,
) -> (Program, Crashes, Outcome) {
    let mut best = (program, crashes, outcome);
    loop {
        let mut smaller = candidates(&best.0).into_iter();
        if best.1[1].is_some() {
            // One crash may do.
            if let Some((crashes, outcome)) = fails(&best.0, [best.1[0], None]) {
                best = (best.0, crashes, outcome);
                continue;
            }
        }
        let found = smaller.find_map(|program| {
            let (crashes, outcome) = fails(&program, best.1)?;
            Some((program, crashes, outcome))
        });
        match found {
            Some(found) => best = found,
            None => return best,
        }
    }
}

/// The same program with one thing less.
fn candidates(program: &Program) -> Vec<Program> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Program)| {
        let mut less = program.clone();
        change(&mut less);
        all.push(less);
    };
    if !program.told.is_empty() {
        add(&|less| {
            less.answers = Answers::default();
            less.told.clear();
        });
    }
    for number in 0..program.steps.len() {
        add(&|less| drop(less.steps.remove(number)));
    }
    for number in 0..program.faults.len() {
        add(&|less| drop(less.faults.remove(number)));
    }
    for number in 0..program.before.len() {
        add(&|less| drop(less.before.remove(number)));
    }
    if program.async_polls > 0 {
        add(&|less| less.async_polls = 0);
    }
    if program.is_power_lost {
        add(&|less| less.is_power_lost = false);
    }
    all
}
