//! Faults while something is moved, removed or made: what passes is not noticed, what stays is an
//! error, and nothing is deleted that nobody deleted.

use std::fs;

use bedfs_emulator::{Emulator, Fault};

use crate::bench::{all_at_once, end, refusal};
use crate::compare::{Content, content, whole_bed};
use crate::harness::{Mount, attempt, fast, run, text, wait_until};
use crate::outages::{is_listed_anew, no_violations, passing};

/// A mount of a small bed, listed.
fn small() -> Mount {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    for (path, content) in [("d/a.jpg", "a"), ("d/b.jpg", "b"), ("e/b.jpg", "older")] {
        emulator.put(path, content.as_bytes());
    }
    emulator.mkdir("empty");
    emulator.put("full/below/c.jpg", b"c");
    let mount = Mount::over(emulator, &[]);
    run("find", [&mount.path]);
    mount.emulator.forget_requests();
    mount
}

/// One command of the user's, the calls it needs, and the bed it should leave.
struct Walk {
    what: &'static [&'static str],
    endpoints: &'static [&'static str],
    gone: &'static [&'static str],
    there: &'static [(&'static str, Option<&'static str>)],
}

const WALKS: &[Walk] = &[
    Walk {
        what: &["mv", "d/a.jpg", "e/"],
        endpoints: &["move"],
        gone: &["d/a.jpg"],
        there: &[("e/a.jpg", Some("a"))],
    },
    Walk {
        what: &["mv", "d/a.jpg", "."],
        endpoints: &["move"],
        gone: &["d/a.jpg"],
        there: &[("a.jpg", Some("a"))],
    },
    Walk {
        what: &["mv", "d/a.jpg", "d/new.jpg"],
        endpoints: &["create", "detail", "delete"],
        gone: &["d/a.jpg"],
        there: &[("d/new.jpg", Some("a"))],
    },
    Walk {
        what: &["mv", "d/b.jpg", "e/b.jpg"],
        endpoints: &["mkdir", "move", "delete"],
        gone: &["d/b.jpg"],
        there: &[("e/b.jpg", Some("b"))],
    },
    Walk {
        what: &["mv", "full", "empty/"],
        endpoints: &["move"],
        gone: &["full", "full/below", "full/below/c.jpg"],
        there: &[
            ("empty/full", None),
            ("empty/full/below", None),
            ("empty/full/below/c.jpg", Some("c")),
        ],
    },
    Walk {
        what: &["mv", "full", "other"],
        endpoints: &["mkdir", "move", "list", "delete"],
        gone: &["full", "full/below", "full/below/c.jpg"],
        there: &[("other", None), ("other/below", None), ("other/below/c.jpg", Some("c"))],
    },
    Walk { what: &["rm", "d/a.jpg"], endpoints: &["delete"], gone: &["d/a.jpg"], there: &[] },
    Walk {
        what: &["rmdir", "empty"],
        endpoints: &["list", "delete"],
        gone: &["empty"],
        there: &[],
    },
    Walk {
        what: &["rm", "-r", "full"],
        endpoints: &["delete"],
        gone: &["full", "full/below", "full/below/c.jpg"],
        there: &[],
    },
    Walk { what: &["mkdir", "new"], endpoints: &["mkdir"], gone: &[], there: &[("new", None)] },
];

impl Walk {
    fn run(&self, mount: &Mount) -> std::process::Output {
        let line = format!("cd {} && {}", mount.path.display(), self.what.join(" "));
        attempt("sh", ["-c", &line])
    }

    fn expected(&self, before: &Content) -> Content {
        let mut after = before.clone();
        for path in self.gone {
            after.remove(*path);
        }
        for (path, content) in self.there {
            let bytes = content.map(|text| text.as_bytes().to_vec());
            after.insert((*path).to_owned(), bytes);
        }
        after
    }
}

#[test]
fn moving_removing_and_making_outlive_every_fault_that_passes() {
    let cases = WALKS.iter().flat_map(|walk| walk.endpoints.iter().map(move |e| (walk, *e)));
    all_at_once(cases, |(walk, endpoint)| {
        let data = !matches!(endpoint, "move" | "delete");
        for kind in passing(data) {
            let mount = small();
            let what = format!("{:?} under one {kind:?} at {endpoint}", walk.what);
            let expected = walk.expected(&whole_bed(&mount.emulator));
            mount.emulator.inject(Fault::new(endpoint, kind));
            let output = walk.run(&mount);
            mount.quiet();
            mount.emulator.clear_faults();
            assert!(mount.emulator.count(endpoint) > 0, "{what}: not called");
            assert!(output.status.success(), "{what}: {}", text(&output.stderr));
            assert_eq!(content(&mount.path), expected, "{what}: in the mount");
            end(&mount);
            assert_eq!(whole_bed(&mount.emulator), expected, "{what}: at the service");
            no_violations(&mount);
        }
    });
}

#[test]
fn what_the_service_refuses_to_change_is_an_error_and_stays() {
    all_at_once(
        WALKS.iter().flat_map(|walk| walk.endpoints.iter().map(move |e| (walk, *e))),
        |(walk, endpoint)| {
            let mount = small();
            let what = format!("{:?} where {endpoint} is refused", walk.what);
            let before = whole_bed(&mount.emulator);
            let expected = walk.expected(&before);
            mount.emulator.inject(Fault::new(endpoint, refusal(1, "no")).always());
            let output = walk.run(&mount);
            // A rename that could only not delete what it renamed goes on until it may.
            wait_until("quiet or going on", || {
                let told = fs::read_to_string(mount.at(".bedfs/pending.json")).unwrap_or_default();
                told == "[]\n" || told.contains("\"renaming\"")
            });
            mount.emulator.clear_faults();
            // A removal is acknowledged before the service is asked. What it refuses to delete stays.
            let is_taken_back =
                walk.what[0] == "rm" && endpoint == "delete" && output.status.success();
            let is_done = output.status.success() && !is_taken_back;
            if is_taken_back {
                assert_eq!(whole_bed(&mount.emulator), before, "{what}");
                assert_eq!(content(&mount.path), before, "{what}: not shown again");
                assert!(mount.log().contains("a.jpg\" is not deleted"), "{what}: not told");
            }
            // Every content is still somewhere, unless it was to be removed and the command succeeded.
            let after = whole_bed(&mount.emulator);
            let kept: Vec<_> = after.values().flatten().collect();
            let wanted = if is_done { &expected } else { &before };
            for (path, bytes) in wanted {
                let Some(bytes) = bytes else { continue };
                assert!(kept.contains(&bytes), "{what}: the bytes of {path} are gone");
            }
            for folder in ["", "d", "e"] {
                assert!(is_listed_anew(&mount, folder), "{what}");
            }
            let seen = content(&mount.path);
            let seen: Vec<_> = seen.values().flatten().collect();
            let mut kept = wanted.values().flatten();
            assert!(kept.all(|bytes| seen.contains(&bytes)), "{what}: not shown");
            if walk.what[..2] == ["mv", "full"] {
                // Poured half way, both folders are there; `mv` may have put one into the other.
                return;
            }
            if !is_done {
                let again = walk.run(&mount);
                let said = text(&again.stderr);
                assert!(again.status.success(), "{what}, then again: {said}");
            }
            assert_eq!(content(&mount.path), expected, "{what}: in the mount");
            end(&mount);
            assert_eq!(whole_bed(&mount.emulator), expected, "{what}: at the service");
            no_violations(&mount);
        },
    );
}
