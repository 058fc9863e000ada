//! The program of a simulation: what callers do to a mount, and what the service is like meanwhile. It
//! follows from its seed, and reads as a person would tell it.

use std::fmt;
use std::time::Duration;

use bedfs_emulator::{Answers, DuplicateName, Fault, FaultKind};

use crate::machine::mix;
use crate::service;

/// One thing that a caller does. Bytes follow from the number of the step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Makes the file, or all of its content anew; with a sync when half is written.
    Write {
        path: String,
        len: usize,
        is_synced: bool,
    },
    /// Writes these bytes into the file, or behind its end.
    Patch {
        path: String,
        at: usize,
        len: usize,
    },
    Cut {
        path: String,
        len: usize,
    },
    /// Writes what another file has.
    Copy {
        from: String,
        to: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    MakeFolder {
        path: String,
    },
    RemoveFolder {
        path: String,
    },
    Read {
        path: String,
    },
    /// Somebody else puts a file into the bed.
    Elsewhere {
        path: String,
        len: usize,
    },
    Wait {
        millis: u64,
    },
    /// The local disk is full for so long.
    Fill {
        millis: u64,
    },
}

impl Op {
    /// The names that nobody else may use meanwhile.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Write { path, .. }
            | Self::Patch { path, .. }
            | Self::Cut { path, .. }
            | Self::Remove { path }
            | Self::MakeFolder { path }
            | Self::RemoveFolder { path }
            | Self::Read { path }
            | Self::Elsewhere { path, .. } => vec![path],
            Self::Copy { from, to } | Self::Rename { from, to } => vec![from, to],
            Self::Wait { .. } | Self::Fill { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, len, is_synced: false } => write!(f, "write {path}, {len} bytes"),
            Self::Write { path, len, .. } => {
                write!(f, "write {path}, {len} bytes, with an fsync at half of them")
            }
            Self::Patch { path, at, len } => write!(f, "write {len} bytes at {at} of {path}"),
            Self::Cut { path, len } => write!(f, "truncate {path} to {len} bytes"),
            Self::Copy { from, to } => write!(f, "cp {from} {to}"),
            Self::Rename { from, to } => write!(f, "mv {from} {to}"),
            Self::Remove { path } => write!(f, "rm {path}"),
            Self::MakeFolder { path } => write!(f, "mkdir {path}"),
            Self::RemoveFolder { path } => write!(f, "rmdir {path}"),
            Self::Read { path } => write!(f, "read {path}"),
            Self::Elsewhere { path, len } => {
                write!(f, "somebody else puts {path}, {len} bytes, into the bed")
            }
            Self::Wait { millis } => write!(f, "wait {millis} ms"),
            Self::Fill { millis } => write!(f, "the local disk is full for {millis} ms"),
        }
    }
}

/// A step, and which of the callers takes it. The number names its bytes, also when others are left out.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) number: usize,
    pub(crate) caller: usize,
    pub(crate) op: Op,
}

/// All that a simulation is made of, but for the crash.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) seed: u64,
    pub(crate) is_background: bool,
    /// Whether a crash loses what was not synced.
    pub(crate) is_power_lost: bool,
    pub(crate) answers: Answers,
    /// The answers that are not the usual ones, in words.
    pub(crate) told: Vec<String>,
    pub(crate) latency: Duration,
    pub(crate) async_polls: u32,
    pub(crate) faults: Vec<Fault>,
    /// Files that the bed has at first.
    pub(crate) before: Vec<(String, usize)>,
    pub(crate) steps: Vec<Step>,
}

/// The most callers.
pub(crate) const CALLERS: usize = 3;

const FOLDERS: [&str; 4] = ["", "d", "e", "d/f"];
const NAMES: [&str; 5] = ["a.jpg", "b.jpg", "c.png", "a.jpg~", "b.jpg~"];

/// A seeded source of choices.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        mix(&mut self.0) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    fn len(&mut self) -> usize {
        match self.below(8) {
            // More than a slice.
            0 => 70_000 + self.below(100_000) as usize,
            _ => 1 + self.below(300) as usize,
        }
    }

    fn path(&mut self) -> String {
        let name = self.of(&NAMES);
        let folder = if self.one_in(2) { self.of(&FOLDERS) } else { FOLDERS[0] };
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    }

    fn op(&mut self) -> Op {
        let (path, len) = (self.path(), self.len());
        match self.below(21) {
            0..=5 => Op::Write { path, len, is_synced: self.one_in(4) },
            6 => Op::Patch { path, at: self.below(400) as usize, len },
            7 => Op::Cut { path, len },
            8 => Op::Copy { from: path, to: self.path() },
            9..=12 => Op::Rename { from: path, to: self.path() },
            13..=14 => Op::Remove { path },
            15 => Op::MakeFolder { path: self.of(&["g", "d/g", "e"]).to_owned() },
            16 => Op::RemoveFolder { path: self.of(&["g", "d/g", "e", "d/f"]).to_owned() },
            17 => {
                let (from, to) = self.of(&[("d", "h"), ("h", "d"), ("d/f", "f"), ("e", "d/e")]);
                Op::Rename { from: from.to_owned(), to: to.to_owned() }
            }
            18 => Op::Fill { millis: self.below(3_000) },
            19 => Op::Elsewhere { path: format!("o{}.jpg", self.below(3)), len },
            _ => Op::Read { path },
        }
    }

    fn fault(&mut self) -> Fault {
        let endpoints = [
            "create",
            "get_upload_url",
            "put",
            "upload_complete",
            "upload_async_result",
            "move",
            "delete",
            "mkdir",
            "list",
            "detail",
        ];
        let kinds = [
            FaultKind::ResetAfter,
            FaultKind::LostAnswer,
            FaultKind::GarbageAfter,
            FaultKind::HangAfter,
            FaultKind::Hang,
            FaultKind::Reset,
            FaultKind::Status(503),
            FaultKind::Refuse { code: 1, message: "not today".to_owned() },
        ];
        let fault = Fault::new(self.of(&endpoints), self.of(&kinds));
        fault.skip(self.below(4) as usize).times(1 + self.below(2) as usize)
    }
}

impl Program {
    /// Whether nothing goes wrong but a crash.
    pub(crate) fn is_calm(&self) -> bool {
        let fills = self.steps.iter().any(|step| matches!(step.op, Op::Fill { .. }));
        self.faults.is_empty() && !fills
    }

    /// The program of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let chance = &mut Chance(seed);
        let (answers, told) = service::of(chance);
        // Where a name may be had twice, nobody can tell what was lost from what was never there: then
        // the service shows all at once, and loses nothing.
        let is_strict = answers.duplicate_create == DuplicateName::Refuse;
        let mut before = Vec::new();
        for folder in FOLDERS {
            for name in ["a.jpg", "b.jpg"] {
                if chance.one_in(2) {
                    let path = format!("{folder}/{name}").trim_start_matches('/').to_owned();
                    before.push((path, chance.len()));
                }
            }
        }
        let count = 3 + chance.below(8) as usize;
        let callers = 1 + chance.below(CALLERS as u64);
        let step = |number| {
            let op = match chance.below(8) {
                0 => Op::Wait { millis: chance.below(4_000) },
                _ => chance.op(),
            };
            Step { number, caller: chance.below(callers) as usize, op }
        };
        let mut steps: Vec<Step> = (0..count).map(step).collect();
        steps.retain(|step| is_strict || !matches!(step.op, Op::Fill { .. }));
        let polls = if is_strict { &[0, 0, 1, 3][..] } else { &[0] };
        let faults = chance.below(if is_strict { 4 } else { 1 });
        let faults = (0..faults).map(|_| chance.fault()).collect();
        Self {
            seed,
            is_background: chance.one_in(2),
            is_power_lost: chance.one_in(2),
            answers,
            told,
            latency: Duration::from_millis(chance.below(80)),
            async_polls: chance.of(polls),
            faults,
            before,
            steps,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upload = if self.is_background { "background" } else { "close" };
        let crash = if self.is_power_lost { "the machine" } else { "the process" };
        writeln!(f, "seed {}: --upload {upload}, a crash is one of {crash}", self.seed)?;
        let (latency, polls) = (self.latency.as_millis(), self.async_polls);
        writeln!(f, "  the service answers after {latency} ms; {polls} polls say \"not yet\"")?;
        self.told.iter().try_for_each(|told| writeln!(f, "  the service: {told}"))?;
        for Fault { endpoint, kind, skip, times, .. } in &self.faults {
            writeln!(f, "  fault: {endpoint}, after {skip}, {times} times: {kind:?}")?;
        }
        for (path, len) in &self.before {
            writeln!(f, "  in the bed: {path}, {len} bytes")?;
        }
        for Step { number, caller, op } in &self.steps {
            writeln!(f, "  {number:2}. caller {caller}: {op}")?;
        }
        Ok(())
    }
}
