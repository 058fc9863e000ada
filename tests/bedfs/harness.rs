//! The harness: a real mount of the built binary over an emulated bed, for one test.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Options, Qps};
use tempfile::TempDir;

use crate::command::{kill, pid};

/// The built program.
pub(crate) const BEDFS: &str = env!("CARGO_BIN_EXE_bedfs");

/// An emulated bed, and a mount of it. Unmounted when dropped.
pub(crate) struct Mount {
    /// The bed.
    pub(crate) emulator: Emulator,
    /// The folder that holds everything of this mount on the local disk.
    pub(crate) dir: TempDir,
    /// The mount point.
    pub(crate) path: PathBuf,
}

/// An emulator without rate limits: what most tests want. Tests of the limits say otherwise.
pub(crate) fn fast() -> Options {
    Options { qps: Qps::Unlimited, ..Options::default() }
}

/// Has `bedfs umount` succeed. What another test has just forked holds our open files until its exec.
pub(crate) fn unmount(umount: &mut Command) {
    let mut output = umount.output().expect("bedfs runs");
    for _ in 0..50 {
        if output.status.success() || !text(&output.stderr).contains("in use") {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        output = umount.output().expect("bedfs runs");
    }
    assert!(output.status.success(), "bedfs umount: {}", text(&output.stderr));
}

/// What a shell in a mount namespace of its own does first: the mounts of other tests, which would live
/// for as long as it, are none of its.
pub(crate) const ALONE: &str = r#"sed -n 's/^[^ ]* \([^ ]*\) fuse.bedfs .*/\1/p' /proc/self/mounts |
while read -r other; do umount -il "$other" || :; done
"#;

impl Mount {
    /// A mount of an empty bed, without rate limits on either side.
    pub(crate) fn new() -> Self {
        Self::with(fast(), &[])
    }

    /// A mount of a bed that `options` describes, mounted with these arguments more.
    pub(crate) fn with(options: Options, args: &[&str]) -> Self {
        let emulator = Emulator::start(options).expect("the emulator starts");
        Self::over(emulator, args)
    }

    /// A mount of this bed.
    pub(crate) fn over(emulator: Emulator, args: &[&str]) -> Self {
        Self::in_dir(emulator, tempfile::tempdir().expect("a temporary folder"), args)
    }

    /// A mount of this bed that keeps everything in `dir`.
    pub(crate) fn in_dir(emulator: Emulator, dir: TempDir, args: &[&str]) -> Self {
        let path = dir.path().join("mnt");
        fs::create_dir(&path).expect("a mount point");
        let mount = Self { emulator, dir, path };
        let output = mount.mount(args);
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
        mount
    }

    /// Runs `bedfs mount` on the mount point.
    pub(crate) fn mount(&self, args: &[&str]) -> Output {
        self.bedfs("mount")
            .args(["--qps", "unlimited"])
            .args(self.service_lag(args))
            .args(args)
            .arg(&self.path)
            .output()
            .expect("bedfs runs")
    }

    /// Where nothing of the emulator lags behind, nothing that lags is waited for as long as elsewhere.
    fn service_lag(&self, args: &[&str]) -> &'static [&'static str] {
        let is_told = args.iter().any(|arg| arg.contains("service-lag"));
        let mut lags = false;
        self.emulator.change(|options| lags = options.answers.list_lag > Duration::ZERO);
        if is_told || lags { &[] } else { &["--service-lag", "3"] }
    }

    /// A command of the program, with this mount's bed and state.
    pub(crate) fn bedfs(&self, command: &str) -> Command {
        let mut bedfs = bedfs(self.dir.path(), &self.emulator.base_url());
        bedfs.arg(command);
        bedfs
    }

    /// A path in the mount.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// A file on the local disk beside the mount, with this content.
    pub(crate) fn local(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).expect("a local file");
        path
    }

    /// Unmounts by `bedfs umount`; it must succeed.
    pub(crate) fn unmount(&self) {
        let mut umount = self.bedfs("umount");
        unmount(umount.arg(&self.path));
    }

    /// Unmounts and mounts again.
    pub(crate) fn remount(&self, args: &[&str]) {
        self.unmount();
        let output = self.mount(args);
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
    }

    /// Waits until nothing is pending, neither an upload nor a delete.
    pub(crate) fn quiet(&self) {
        let pending = self.at(".bedfs/pending.json");
        wait_until("quiet", || fs::read_to_string(&pending).is_ok_and(|told| told == "[]\n"));
    }

    /// Kills the mount's process, takes away what is left of the mount, and mounts again.
    pub(crate) fn crash(&self, args: &[&str]) {
        let process = pid(self);
        kill(process, libc::SIGKILL);
        let stat = format!("/proc/{process}/stat");
        wait_until("the process is dead", || {
            fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        });
        run("umount", ["-l".as_ref(), self.path.as_os_str()]);
        let output = self.mount(args);
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
    }

    /// Whether the kernel shows a mount on the mount point.
    pub(crate) fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table");
        let path = self.path.to_str().expect("a UTF-8 path");
        mounts.lines().any(|line| line.split(' ').nth(1) == Some(path))
    }

    /// The log of a mount in the background.
    pub(crate) fn log(&self) -> String {
        let state = self.dir.path().join("state/bedfs");
        let accounts = fs::read_dir(state).into_iter().flatten().flatten();
        accounts
            .filter_map(|account| fs::read_to_string(account.path().join("bedfs.log")).ok())
            .collect()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the mount's log:\n{}", self.log());
        }
        for attempt in ["", "-l"] {
            if self.is_mounted() {
                let flags = if attempt.is_empty() { vec![] } else { vec![attempt] };
                let _unmounted = Command::new("umount")
                    .args(flags)
                    .arg(&self.path)
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}

/// Has a command run in the environment that is settled for another.
pub(crate) fn in_place_of(other: &Command, command: &mut Command) {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// The program with an environment of its own: state in `home`, the bed at `endpoint`.
pub(crate) fn bedfs(home: &Path, endpoint: &str) -> Command {
    let options = Options::default();
    let mut command = Command::new(BEDFS);
    command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("BEDFS_ENDPOINT", endpoint)
        .env("BEDFS_CLIENT_ID", options.client_id)
        .env("BEDFS_CLIENT_SECRET", options.client_secret)
        .env_remove("BEDFS_CONFIG")
        .stdin(Stdio::null());
    command
}

/// Runs a program and gives what it says; it must succeed.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> String {
    let output = attempt(program, args);
    assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a program, whatever becomes of it.
pub(crate) fn attempt<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Output {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).env("LC_ALL", "C");
    command.output().unwrap_or_else(|error| panic!("{program} cannot be run: {error}"))
}

/// Says that a test cannot be run on this machine: past the runner, which keeps to itself what passing
/// tests print.
pub(crate) fn not_tested(why: &str) {
    let told = writeln!(std::io::stderr(), "*** NOT TESTED: {why}");
    told.expect("it can be told");
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An extended attribute of a file; `None` if it has none of that name.
pub(crate) fn xattr(path: &Path, name: &str) -> Option<String> {
    let full = format!("user.bedfs.{name}");
    let args = [OsStr::new("--only-values"), OsStr::new("-n"), OsStr::new(&full), path.as_os_str()];
    let output = attempt("getfattr", args);
    match output.status.success() {
        true => Some(text(&output.stdout)),
        false => {
            let words = text(&output.stderr);
            assert!(words.contains("No such attribute"), "getfattr: {words}");
            None
        }
    }
}

/// Bytes that look random and are the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Waits until it is so, at most ten seconds; then the test fails.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    // What the service may still make of an upload is waited for, for five seconds.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
