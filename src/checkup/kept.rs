//! What is kept: the configuration file, the folder of the account's state, its disk, the state file,
//! and the scratch folders.

use std::io;
use std::path::Path;

use super::Check;
use super::machine::is_shared;
use crate::disk;
use crate::pending::{self, STAGING, Stage};
use crate::state::{self, State};
use crate::tree::SCRATCH_PREFIX;

/// Bytes that should be free where files are staged: some pictures of the largest kind.
const ROOM: u64 = 1 << 30;
/// With fewer nothing can be kept safely.
const LEAST_ROOM: u64 = 16 << 20;

/// The most names that a line tells.
const NAMED: usize = 5;

pub(super) fn folders(config: &Path, state: &Path) -> Vec<Check> {
    vec![configuration(config), folder(state), writable(state), room(state)]
}

fn configuration(path: &Path) -> Check {
    const ABOUT: &str = "configuration";
    let shown = path.display();
    match is_shared(path) {
        Ok(false) => Check::ok(ABOUT, "the file is yours alone"),
        Ok(true) => {
            let seen = format!("others have rights to {shown}, which may hold the secret");
            Check::warning(ABOUT, seen, format!("run: chmod 600 '{shown}'"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::ok(ABOUT, "there is no file: the environment says it all")
        }
        Err(error) => Check::warning(ABOUT, format!("{shown}: {error}"), "make it readable"),
    }
}

fn folder(path: &Path) -> Check {
    const ABOUT: &str = "state folder";
    let shown = path.display();
    match is_shared(path) {
        Ok(false) => Check::ok(ABOUT, "it is yours alone"),
        Ok(true) => {
            let seen = format!("others can look into {shown}");
            Check::warning(ABOUT, seen, format!("run: chmod 700 '{shown}'"))
        }
        Err(error) => Check::failed(ABOUT, format!("{shown}: {error}"), "make it readable"),
    }
}

fn writable(path: &Path) -> Check {
    const ABOUT: &str = "writing there";
    match tempfile::tempfile_in(path) {
        Ok(_) => Check::ok(ABOUT, "works"),
        Err(error) => {
            let mend = format!("make {} writable, or set XDG_STATE_HOME", path.display());
            Check::failed(ABOUT, format!("does not work: {error}"), mend)
        }
    }
}

fn room(path: &Path) -> Check {
    const ABOUT: &str = "room on its disk";
    let mend = "make room: what is not uploaded yet is kept there";
    match disk::space(path).map(|space| space.free) {
        Ok(free) if free < LEAST_ROOM => Check::failed(ABOUT, megabytes(free), mend),
        Ok(free) if free < ROOM => Check::warning(ABOUT, megabytes(free), mend),
        Ok(free) => Check::ok(ABOUT, megabytes(free)),
        Err(error) => Check::warning(ABOUT, format!("cannot be told: {error}"), mend),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

pub(super) fn state_file(folder: &Path, root: Option<&[String]>) -> Vec<Check> {
    const ABOUT: &str = "state file";
    // Opening would make it.
    if !folder.join(state::FILE).exists() {
        let mut checks = vec![Check::ok(ABOUT, "none yet: the first mount makes it")];
        checks.extend(root.map(|root| foreign(root, &[])));
        return checks;
    }
    let state = match State::open_sound(folder) {
        Ok(state) => state,
        Err(error) => return vec![broken(ABOUT, &error)],
    };
    let mut checks = vec![Check::ok(ABOUT, "it is sound")];
    let mut add = |check: state::Result<Check>| match check {
        Ok(check) => checks.push(check),
        Err(error) => checks.push(broken(ABOUT, &error)),
    };
    add(uploads(&state, folder));
    add(own_scratch(&state));
    if let Some(root) = root {
        add(own_names(&state).map(|own| foreign(root, &own)));
    }
    checks
}

fn broken(about: &'static str, error: &state::Error) -> Check {
    let mend = match error.is_damaged() {
        true => "the next mount sets it aside and begins a new one; nothing at the bed is touched",
        false => "see what it says; nothing at the bed is touched",
    };
    Check::failed(about, error.to_string(), mend)
}

fn uploads(state: &State, folder: &Path) -> state::Result<Check> {
    const ABOUT: &str = "uploads";
    let all = pending::list(state, &folder.join(STAGING))?;
    let count = |stages: &[Stage]| all.iter().filter(|one| stages.contains(&one.stage)).count();
    let waiting = count(&[Stage::Waiting, Stage::Renaming]);
    let open = count(&[Stage::Open, Stage::Interrupted]);
    let (deletes, failed) = (count(&[Stage::Deleting]), count(&[Stage::Failed]));
    let seen = format!(
        "{waiting} wait, {open} are or were being written, {failed} failed; {deletes} deletes wait"
    );
    Ok(match (waiting + open + deletes, failed) {
        (0, 0) => Check::ok(ABOUT, "none waits, none failed"),
        (_, 0) => Check::ok(ABOUT, format!("{seen} (a mount sends them)")),
        _ => Check::warning(ABOUT, seen, "run: bedfs pending"),
    })
}

fn own_scratch(state: &State) -> state::Result<Check> {
    const ABOUT: &str = "scratch folders";
    let (mounts, probes) = (state.scratch()?.len(), state.probes()?.len());
    Ok(match (mounts, probes) {
        (0, 0) => Check::ok(ABOUT, "none of this machine"),
        (count, 0) => Check::ok(ABOUT, format!("{count} of this machine, which its mounts clear")),
        (_, _) => Check::warning(
            ABOUT,
            "a probe was cut off, unless it is at work now",
            "run: bedfs doctor --probe, which clears what it left",
        ),
    })
}

/// Of the scratch folders of this machine's mounts and probes.
fn own_names(state: &State) -> state::Result<Vec<String>> {
    let rows = state.scratch()?.into_iter().chain(state.probes()?);
    Ok(rows.map(|row| row.name).collect())
}

/// Scratch folders in the bed's root that are in no record of this machine.
fn foreign(root: &[String], own: &[String]) -> Check {
    const ABOUT: &str = "others' scratch";
    let foreign: Vec<&str> = root
        .iter()
        .filter(|name| name.starts_with(SCRATCH_PREFIX) && !own.contains(name))
        .map(|name| &**name)
        .collect();
    if foreign.is_empty() {
        return Check::ok(ABOUT, "none in the bed's root");
    }
    let mut names = foreign[..foreign.len().min(NAMED)].join(", ");
    if foreign.len() > NAMED {
        names.push_str(", …");
    }
    Check::warning(
        ABOUT,
        format!("{} in the bed's root: {names}", foreign.len()),
        "if no other machine uses this bed, look into them on 123pan's site and delete them there",
    )
}
