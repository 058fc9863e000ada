//! The ward: a bed that doctors look at and probe, and that is to be afterwards as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use bedfs::state::State;
use bedfs_emulator::{Answers, Row};

use crate::command::unmounted;
use crate::harness::{Mount, noise, text};

/// A bed with pictures, some of them alike, and a doctor who need not go slowly.
pub(crate) struct Ward {
    pub(crate) mount: Mount,
    pub(crate) before: Vec<(String, String)>,
}

impl Ward {
    pub(crate) fn new(change: impl FnOnce(&mut Answers)) -> Self {
        Self::of(unmounted(), change)
    }

    pub(crate) fn of(mount: Mount, change: impl FnOnce(&mut Answers)) -> Self {
        let folder = mount.dir.path().join("config/bedfs");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("config.toml"), "qps = \"unlimited\"").expect("written");
        mode(&folder.join("config.toml"), 0o600);
        let emulator = &mount.emulator;
        emulator.change(|options| change(&mut options.answers));
        for (path, seed) in [("a.png", 1), ("blog/a.png", 1), ("blog/twin.png", 1), ("b.jpg", 2)] {
            emulator.put(path, &noise(seed, 1000));
        }
        let before = rows(&mount);
        Self { mount, before }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.mount.bedfs("doctor");
        command.args(args);
        command
    }

    pub(crate) fn doctor(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("bedfs runs")
    }

    /// Probes to a good end.
    pub(crate) fn probe(&self) -> String {
        let output = self.doctor(&["--probe"]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        said
    }

    pub(crate) fn start_probe(&self) -> Child {
        let mut command = self.command(&["--probe"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bedfs runs")
    }

    /// Whether a scratch folder is in the bed.
    pub(crate) fn is_at_work(&self) -> bool {
        rows(&self.mount).iter().any(|(path, _)| path.starts_with(".bedfs-scratch-"))
    }

    /// The folder of the account's state.
    pub(crate) fn state_dir(&self) -> PathBuf {
        let all = self.mount.dir.path().join("state/bedfs");
        let mut accounts = fs::read_dir(all).expect("the state").flatten();
        accounts.next().expect("an account").path()
    }

    pub(crate) fn state(&self) -> State {
        State::open_sound(&self.state_dir()).expect("a state file")
    }

    /// What was learned that does not depend on time.
    pub(crate) fn learned(&self) -> BTreeMap<String, String> {
        let known = self.state().all_known().expect("readable").into_iter();
        let answers = known.map(|known| (known.question, known.answer));
        answers.filter(|(question, _)| !question.starts_with("after-")).collect()
    }

    /// Nothing of the probe is anywhere, and all else is as it was.
    pub(crate) fn is_as_before(&self, what: &str) {
        assert_eq!(rows(&self.mount), self.before, "{what}: the bed has changed");
        assert_eq!(self.state().probes().expect("readable"), [], "{what}: scratch is recorded");
        let violations = self.mount.emulator.violations();
        assert!(violations.is_empty(), "{what}: {violations:?}");
    }
}

/// Everything in the bed with its ID.
pub(crate) fn rows(mount: &Mount) -> Vec<(String, String)> {
    let rows = mount.emulator.tree().into_iter();
    let mut rows: Vec<_> = rows.map(|(path, Row { id, .. })| (path, id)).collect();
    rows.sort();
    rows
}

pub(crate) fn mode(path: &std::path::Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).expect("permissions");
}

pub(crate) fn failed(output: &Output) -> String {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(!said.contains("emulator-secret") && !said.contains("s3cr3t"), "{said}");
    said
}
