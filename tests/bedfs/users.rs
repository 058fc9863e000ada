//! Users: an ordinary one mounts, others see what they may, and secrets are for nobody.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::command::{pid, unmounted};
use crate::harness::{BEDFS, attempt, run, text, wait_until};
use crate::journaled::staged;
use crate::options::{errno, mounted};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path().is_dir() {
            true => files(&entry.path()),
            false => vec![entry.path()],
        })
        .collect()
}

#[test]
fn secrets_are_in_no_log_no_argument_and_no_file_that_others_can_read() {
    let mount = mounted(&["--log-level", "trace"]);
    let picture = mount.local("a.jpg", b"bytes");
    run("cp", [&picture, &mount.path]);
    run("cat", [mount.at("a.jpg")]);
    // What is staged goes some time after its close.
    wait_until("nothing is staged", || staged(&mount).is_empty());
    let state = mount.dir.path().join("state/bedfs");
    for folder in [state.clone(), state.join("..")] {
        let mode = fs::metadata(&folder).expect("the state").mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{folder:?} has {mode:o}");
    }
    let token = files(&state).into_iter().find(|path| path.ends_with("token.json"));
    let token = token.expect("a token is kept");
    let kept: serde_json::Value =
        serde_json::from_slice(&fs::read(&token).expect("readable")).expect("JSON");
    let texts = kept.as_object().expect("an object").values();
    let access = texts.filter_map(|value| value.as_str()).max_by_key(|text| text.len());
    let access = access.expect("a token");
    for path in files(&state) {
        let mode = fs::metadata(&path).expect("metadata").mode() & 0o777;
        assert_eq!(mode, 0o600, "{path:?} has {mode:o}");
        let content = text(&fs::read(&path).expect("readable"));
        assert!(!content.contains("emulator-secret"), "{path:?} has the secret");
        assert!(path == token || !content.contains(access), "{path:?} has the token");
    }
    assert!(mount.log().contains("DEBUG"), "a log that was searched for nothing");
    let typed = text(&fs::read(format!("/proc/{}/cmdline", pid(&mount))).expect("arguments"));
    assert!(!typed.contains("emulator-secret") && !typed.contains(access));
    for request in mount.emulator.requests() {
        assert!(!request.target.contains("emulator-secret") && !request.target.contains(access));
    }
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

/// Lets ordinary users mount, as distributions do, until dropped.
struct OpenDevice(u32);

impl OpenDevice {
    fn new() -> Self {
        let mode = fs::metadata("/dev/fuse").expect("/dev/fuse").mode() & 0o777;
        fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).expect("as root");
        Self(mode)
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        let mode = fs::Permissions::from_mode(self.0);
        fs::set_permissions("/dev/fuse", mode).expect("as root");
    }
}

/// Runs a command as the user `nobody`.
fn as_nobody(command: &Command) -> Output {
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    other.arg(command.get_program()).args(command.get_args()).current_dir("/");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.output().expect("setpriv, of the package util-linux")
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn an_ordinary_user_mounts_uses_and_unmounts() {
    let _open = OpenDevice::new();
    let mount = unmounted();
    mount.emulator.put("a.jpg", b"a");
    // Test programs may be built where others cannot look. Copied by another process: what is open for
    // writing here another test's child has open too until it runs, and such a program is busy.
    let program = mount.dir.path().join("bedfs");
    run("cp", [Path::new(BEDFS), &program]);
    run("chown", [Path::new("-R"), Path::new("65534:65534"), mount.dir.path()]);
    let ours = |command: &str| {
        let built = mount.bedfs(command);
        let mut copied = Command::new(&program);
        copied.arg(command);
        for (name, value) in built.get_envs() {
            match value {
                Some(value) => copied.env(name, value),
                None => copied.env_remove(name),
            };
        }
        copied
    };
    succeeded(&as_nobody(ours("mount").arg(&mount.path)));
    assert!(mount.is_mounted());
    let copy = format!("cp {0}/a.jpg {0}/b.jpg && cat {0}/b.jpg", mount.path.display());
    assert_eq!(succeeded(&as_nobody(Command::new("sh").args(["-c", &copy]))), "a");
    let who =
        succeeded(&as_nobody(Command::new("stat").args(["-c", "%u:%g"]).arg(mount.at("a.jpg"))));
    assert_eq!(who.trim(), "65534:65534");
    // Not even root sees another user's mount, unless it is asked for.
    assert_eq!(errno(fs::metadata(mount.at("a.jpg"))), libc::EACCES);
    succeeded(&as_nobody(ours("umount").arg(&mount.path)));
    assert!(!mount.is_mounted());
    assert_eq!(mount.emulator.read("b.jpg").as_deref(), Some(&b"a"[..]));
}

#[test]
fn others_see_the_mount_only_where_they_are_allowed_to() {
    for (args, allowed) in
        [(&["--allow-other"][..], true), (&["-o", "allow_other"], true), (&[], false)]
    {
        let mount = mounted(args);
        fs::set_permissions(mount.dir.path(), fs::Permissions::from_mode(0o755)).expect("open");
        let seen = as_nobody(Command::new("cat").arg(mount.at("blog/2024/a.jpg")));
        assert_eq!(seen.status.success(), allowed, "{args:?}: {}", text(&seen.stderr));
        let wrote = as_nobody(Command::new("cp").arg("/etc/hostname").arg(&mount.path));
        assert!(!wrote.status.success(), "others may not write");
        wait_until("unmounted", || attempt("umount", [&mount.path]).status.success());
    }
}
