//! What the tests of the journal share: mounts in the background, kills, and a look at what is left.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Fault, FaultKind};

use crate::command::{kill, pid};
use crate::harness::{Mount, fast, run, text};

/// Mounts in the background.
pub(crate) const BACKGROUND: &[&str] = &["--upload", "background"];

/// A mount of an empty bed that uploads in the background.
pub(crate) fn in_background() -> Mount {
    Mount::with(fast(), BACKGROUND)
}

/// The same of a bed with `old.jpg`.
pub(crate) fn over_old(bytes: &[u8]) -> Mount {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.put("old.jpg", bytes);
    Mount::over(emulator, BACKGROUND)
}

/// A fault that stays until the faults are cleared.
pub(crate) fn stays(endpoint: &str, kind: FaultKind) -> Fault {
    Fault::new(endpoint, kind).always()
}

/// Waits until it is so, at most a minute and a half: a try that is under way may take 15 s, and is
/// repeated.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 90 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the process is there, and not a dead one that nobody has asked for.
pub(crate) fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Kills the mount's process at once, and clears away what it leaves in the mount table.
pub(crate) fn crash(mount: &Mount) {
    crash_process(mount, pid(mount));
}

/// The same, of a mount that may not answer any more.
pub(crate) fn crash_process(mount: &Mount, process: u32) {
    kill(process, libc::SIGKILL);
    eventually("killed", || !is_alive(process));
    while mount.is_mounted() {
        run("umount", ["-l".as_ref(), mount.path.as_os_str()]);
    }
}

/// Mounts again what crashed or was unmounted.
pub(crate) fn mount_again(mount: &Mount, args: &[&str]) -> Output {
    let output = mount.mount(args);
    assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
    output
}

/// Runs `bedfs pending`.
pub(crate) fn pending(mount: &Mount, args: &[&str]) -> Output {
    mount.bedfs("pending").args(args).output().expect("bedfs runs")
}

/// What `bedfs pending` lists, all of it, which must succeed.
pub(crate) fn listed(mount: &Mount) -> String {
    let output = pending(mount, &["--all"]);
    assert!(output.status.success(), "bedfs pending: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Waits until the running mount has done everything that is its to do. What was interrupted waits
/// for the user.
pub(crate) fn all_done(mount: &Mount) {
    eventually("nothing is pending", || {
        let text = fs::read_to_string(mount.at(".bedfs/pending.json")).expect("what is pending");
        let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        all.iter().all(|one| one["state"] == "interrupted")
    });
}

/// The bed has these files, each once and with these bytes, and nothing else; no call broke a rule.
pub(crate) fn bed_is(mount: &Mount, wanted: &[(&str, &[u8])]) {
    let tree = mount.emulator.tree();
    let mut found: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
    let mut names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
    found.sort_unstable();
    names.sort_unstable();
    assert_eq!(found, names);
    for (name, bytes) in wanted {
        let is_it = mount.emulator.read(name).is_some_and(|found| found == *bytes);
        assert!(is_it || mount.emulator.row(name).is_none_or(|row| row.is_folder), "{name}");
    }
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

/// Files on disk that hold staged bytes of this mount's account.
pub(crate) fn staged(mount: &Mount) -> Vec<PathBuf> {
    let accounts = fs::read_dir(mount.dir.path().join("state/bedfs")).expect("the state");
    let folders = accounts.map(|account| account.expect("an account").path().join("staging"));
    let files = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    files.map(|file| file.expect("a staged file").path()).collect()
}
