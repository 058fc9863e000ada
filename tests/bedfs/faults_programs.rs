//! Faults under whole programs: overwrites, appends, renames over another, saves, removals in batches,
//! and what is done in a row in the background. What passes is not noticed, at whichever endpoint;
//! what fails at any step leaves one of the two versions at the service.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind};

use crate::bench::refusal;
use crate::compare::whole_bed;
use crate::crash::{Case, Cut, Scenario, Upload, is_quiet, settle, wait};
use crate::crash_points::{reason, some_at_once};
use crate::crash_verdict::Verdict;
use crate::harness::text;
use crate::{crash_folders, crash_pictures};

use FaultKind::{
    EmptyObject, Expired, Garbage, GarbageAfter, LostAnswer, MissingData, Reset, ResetAfter, Slow,
    Status, Truncate,
};

/// Every endpoint that a program here may need.
const ENDPOINTS: [&str; 11] = [
    "list",
    "detail",
    "mkdir",
    "create",
    "get_upload_url",
    "put",
    "upload_complete",
    "upload_async_result",
    "move",
    "delete",
    "cdn",
];

fn kinds() -> Vec<FaultKind> {
    let mut kinds = vec![Status(500), Status(503), Reset, ResetAfter, LostAnswer, GarbageAfter];
    kinds.extend([Garbage, EmptyObject, MissingData, Truncate(9), Expired]);
    kinds.extend([refusal(401, "token"), refusal(429, "busy"), Slow(Duration::from_millis(200))]);
    kinds
}

/// Whether it passes at this endpoint: storage and direct links would lie by a success in JSON, and
/// some endpoints have no data whose absence could be seen.
fn passes(kind: &FaultKind, endpoint: &str) -> bool {
    match kind {
        Garbage | EmptyObject | FaultKind::Refuse { .. } => !matches!(endpoint, "put" | "cdn"),
        MissingData => !matches!(endpoint, "put" | "cdn" | "move" | "delete"),
        _ => true,
    }
}

/// Programs that the other tests of faults have not, each with one of the two ways to close.
fn programs() -> Vec<Scenario> {
    let close = [
        "a rename over another",
        "a move over another",
        "an append",
        "a cut",
        "an editor's save",
        "rm -r",
    ];
    let background = [
        "an overwrite",
        "rsync of a changed picture",
        "a copy that is renamed",
        "an overwrite that is renamed over another",
    ];
    let mut all =
        [crash_pictures::over(), crash_pictures::renamed(), crash_folders::savers()].concat();
    all.extend([crash_folders::trees(), crash_folders::in_a_row()].concat());
    all.retain(|scenario| match scenario.upload {
        Upload::Close => close.contains(&scenario.name),
        Upload::Background => background.contains(&scenario.name),
    });
    assert_eq!(all.len(), close.len() + background.len(), "a program has another name");
    all
}

/// Works on each item, and fails with all that was wrong.
fn each<T: Send>(items: Vec<(String, T)>, work: impl Fn(T) + Sync) {
    let wrong: Vec<String> = some_at_once(items, |(label, item)| {
        let done = catch_unwind(AssertUnwindSafe(|| work(item)));
        done.err().map(|why| format!("{label}: {}", reason(&*why)))
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Holds what is there to the law when so many commands were done.
fn judge(case: &Case, done: usize) {
    let all = case.scenario.commands.len();
    if case.scenario.ends {
        case.revive();
    }
    settle(&case.mount);
    Verdict { case, cut: Cut { done, is_under_way: done < all, is_told: true } }.in_the_end();
    case.abandon();
}

#[test]
fn no_program_notices_a_fault_that_passes_once_at_every_endpoint() {
    let cases = programs().into_iter().flat_map(|scenario| {
        kinds().into_iter().map(move |kind| {
            let label = format!("{} ({:?}) under {kind:?}", scenario.name, scenario.upload);
            (label, (scenario.clone(), kind))
        })
    });
    each(cases.collect(), |(scenario, kind)| {
        let case = Case::new(&scenario);
        for endpoint in ENDPOINTS.into_iter().filter(|endpoint| passes(&kind, endpoint)) {
            case.mount.emulator.inject(Fault::new(endpoint, kind.clone()));
        }
        let done = case.run(scenario.commands.len());
        assert_eq!(done, scenario.commands.len(), "a command failed: {}", case.mount.log());
        settle_if_mounted(&case);
        case.mount.emulator.clear_faults();
        judge(&case, done);
    });
}

fn settle_if_mounted(case: &Case) {
    if case.mount.is_mounted() {
        settle(&case.mount);
    }
}

#[test]
fn what_is_refused_from_any_step_on_leaves_one_of_the_two_versions_at_the_service() {
    let changes =
        [crash_pictures::over(), crash_pictures::renamed(), crash_folders::savers()].concat();
    let changes = changes.into_iter().filter(|scenario| !scenario.ends);
    let steps = |scenario: &Scenario| 2 + scenario.requests;
    let cases = changes.flat_map(|scenario| {
        (0..steps(&scenario)).map(move |step| {
            let label = format!("{} ({:?}) refused from {step} on", scenario.name, scenario.upload);
            (label, (scenario.clone(), step))
        })
    });
    each(cases.collect(), |(scenario, step)| {
        let case = Case::new(&scenario);
        let refused = Fault::new("*", refusal(1, "not today")).skip(step).always();
        case.mount.emulator.inject(refused);
        let done = case.run(scenario.commands.len());
        // In the background it may be tried for ever.
        wait(Duration::from_secs(2), || is_quiet(&case.mount));
        // Whatever had a name has its bytes at the service still, or its successor has.
        let kept: BTreeSet<_> = whole_bed(&case.mount.emulator).into_values().flatten().collect();
        let last = &case.states[case.states.len() - 1];
        for (path, bytes) in &case.states[0] {
            let Some(bytes) = bytes else { continue };
            let successor = last.get(path).cloned().flatten();
            let is_kept = kept.contains(bytes) || successor.is_some_and(|new| kept.contains(&new));
            assert!(is_kept, "neither version of {path} is at the service");
        }
        case.mount.emulator.clear_faults();
        case.refuse();
        let retried = case.mount.bedfs("pending").arg("retry").output().expect("bedfs runs");
        assert!(retried.status.success(), "retry: {}", text(&retried.stderr));
        // What stopped half way comes to its end by the next mount at the latest.
        case.abandon();
        case.revive();
        judge(&case, done);
    });
}
