//! Services: systemd is told how it goes, its units are right, and a crash leaves no dead mount.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{Ended, kill, unmounted};
use crate::harness::{BEDFS, Mount, attempt, text, wait_until};

/// A mount in the foreground whose supervisor listens.
struct Service {
    mount: Mount,
    process: Ended,
    socket: UnixDatagram,
}

impl Service {
    fn start(mount: Mount) -> Self {
        let path = mount.dir.path().join("notify");
        // Of an earlier one.
        let _removed = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let mut command = mount.bedfs("mount");
        command.arg("--foreground").arg(&mount.path);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
        let process = Ended(command.spawn().expect("bedfs runs"));
        Self { mount, process, socket }
    }

    /// Waits for a message, and gives those that came before it.
    fn hears(&self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let len = self.socket.recv(&mut bytes);
            let len = len.unwrap_or_else(|error| panic!("no {line} after {before:?}: {error}"));
            let message = text(&bytes[..len]);
            if message.lines().any(|told| told == line) {
                return before;
            }
            before.push(message);
        }
    }
}

#[test]
fn systemd_is_told_that_the_mount_answers_lives_and_ends() {
    let mut service = Service::start(unmounted());
    assert_eq!(service.hears("READY=1"), <[String; 0]>::default());
    assert!(service.mount.is_mounted());
    service.hears("WATCHDOG=1");
    service.hears("WATCHDOG=1");
    kill(service.process.0.id(), libc::SIGTERM);
    for before in service.hears("STOPPING=1") {
        assert_eq!(before, "WATCHDOG=1\n");
    }
    assert!(service.process.0.wait().expect("an end").success());
    assert!(!service.mount.is_mounted());
    assert_eq!(service.mount.emulator.count("user/info"), 1, "a watchdog costs no calls");
}

#[test]
fn a_mount_in_the_background_speaks_to_no_supervisor() {
    let mount = unmounted();
    let path = mount.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    let mut command = mount.bedfs("mount");
    command.arg(&mount.path).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000");
    assert!(command.status().expect("bedfs runs").success());
    mount.unmount();
    assert!(socket.recv(&mut [0; 100]).is_err(), "it is not the process that was started");
}

#[test]
fn after_a_crash_what_the_unit_runs_leaves_no_dead_mount_and_the_restart_mounts() {
    let mut service = Service::start(unmounted());
    service.mount.emulator.put("a.jpg", b"a");
    service.hears("READY=1");
    let bury = |mount: &Mount| {
        let output = mount.bedfs("umount").arg("--dead").arg(&mount.path).output();
        let output = output.expect("bedfs runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
    };
    bury(&service.mount);
    assert!(service.mount.is_mounted(), "what lives is left alone");
    for is_buried in [true, false] {
        kill(service.process.0.id(), libc::SIGKILL);
        service.process.0.wait().expect("an end");
        wait_until("it is dead", || fs::read_dir(&service.mount.path).is_err());
        if is_buried {
            bury(&service.mount);
            assert!(!service.mount.is_mounted());
            bury(&service.mount);
        }
        service = Service::start(service.mount);
        service.hears("READY=1");
        assert_eq!(fs::read(service.mount.at("a.jpg")).expect("readable"), b"a");
        let table = fs::read_to_string("/proc/self/mounts").expect("the mount table");
        let path = service.mount.path.to_str().expect("UTF-8");
        assert_eq!(table.lines().filter(|line| line.contains(path)).count(), 1, "one mount");
    }
}

#[test]
fn what_does_not_mend_itself_ends_with_a_status_that_is_not_tried_again() {
    let mount = unmounted();
    let mut wrong = mount.bedfs("mount");
    wrong.arg("--foreground").arg(&mount.path).env("BEDFS_CLIENT_SECRET", "wrong");
    let output = wrong.output().expect("bedfs runs");
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    for unit in units() {
        let text = fs::read_to_string(&unit).expect("a unit");
        assert!(text.contains("\nRestartPreventExitStatus=2 78\n"), "{}", unit.display());
    }
}

fn units() -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    ["system", "user"].map(|kind| folder.join(kind).join("bedfs@.service"))
}

/// A unit as it is installed, with the program where it is here.
fn installed(unit: &Path, folder: &Path) -> PathBuf {
    let text = fs::read_to_string(unit).expect("a unit").replace("/usr/bin/bedfs", BEDFS);
    let path = folder.join("bedfs@mnt-bed.service");
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn the_units_are_right_in_the_eyes_of_systemd() {
    for (unit, manager) in units().iter().zip(["--system", "--user"]) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = installed(unit, folder.path());
        // It wants a folder for what it runs with.
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", manager]).arg(&path);
        let output = verify.env("XDG_RUNTIME_DIR", folder.path()).output().expect("it runs");
        let said = text(&output.stderr);
        let about_it: Vec<_> = said.lines().filter(|line| line.contains("bedfs@")).collect();
        assert!(output.status.success() && about_it.is_empty(), "{}: {said}", unit.display());
    }
}

#[test]
fn the_system_unit_is_protected_as_far_as_a_mount_can_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = installed(&units()[0], folder.path());
    let args = ["security", "--offline=true", "--no-pager", path.to_str().expect("UTF-8")];
    let output = attempt("systemd-analyze", args);
    let said = text(&output.stdout);
    let line = said.lines().find(|line| line.contains("exposure level"));
    let score = line.and_then(|line| line.split("service: ").nth(1)).expect("a score");
    let score = score.split_whitespace().next().expect("a number");
    // Each systemd weighs a little differently; 5.0 is what it calls medium.
    assert!(score.parse::<f64>().is_ok_and(|score| score < 5.0), "{score}: {said}");
}
