//! Users: an ordinary one mounts, others see what they may, and secrets are for nobody.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::command::{pid, unmounted};
use crate::harness::{BEDFS, Mount, attempt, fast, in_place_of, run, text, wait_until};
use crate::journaled::staged;
use crate::options::{errno, mounted};
use crate::semantics::{bed_with, no_violations};

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
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

/// How many tests want the device open to all, and its mode before the first of them.
static OPEN: Mutex<(usize, u32)> = Mutex::new((0, 0));

/// Lets ordinary users mount, as distributions do, until the last one is dropped.
pub(crate) struct OpenDevice;

impl OpenDevice {
    pub(crate) fn new() -> Self {
        let mut open = OPEN.lock().expect("no thread panics here");
        if open.0 == 0 {
            open.1 = fs::metadata("/dev/fuse").expect("/dev/fuse").mode() & 0o777;
            fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).expect("as root");
        }
        open.0 += 1;
        Self
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        let mut open = OPEN.lock().expect("no thread panics here");
        open.0 -= 1;
        if open.0 == 0 {
            let mode = fs::Permissions::from_mode(open.1);
            fs::set_permissions("/dev/fuse", mode).expect("as root");
        }
    }
}

/// Runs a command as the user `nobody`.
pub(crate) fn as_nobody(command: &Command) -> Output {
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    other.arg(command.get_program()).args(command.get_args()).current_dir("/");
    in_place_of(command, &mut other);
    other.output().expect("setpriv, of the package util-linux")
}

pub(crate) fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A bed and a mount point that are of the user `nobody`, and the program where they can run it.
pub(crate) struct Nobodys {
    pub(crate) mount: Mount,
    program: PathBuf,
}

impl Nobodys {
    pub(crate) fn new() -> Self {
        let mount = unmounted();
        // Test programs may be built where others cannot look. Copied by another process: what is open
        // for writing here another test's child has open too until it runs, and such a program is busy.
        let program = mount.dir.path().join("bedfs");
        run("cp", [Path::new(BEDFS), &program]);
        run("chown", [Path::new("-R"), Path::new("65534:65534"), mount.dir.path()]);
        Self { mount, program }
    }

    /// A command of the program, to be run as `nobody`.
    pub(crate) fn bedfs(&self, command: &str) -> Command {
        let built = self.mount.bedfs(command);
        let mut copied = Command::new(&self.program);
        copied.arg(command);
        in_place_of(&built, &mut copied);
        copied
    }
}

#[test]
fn an_ordinary_user_mounts_uses_and_unmounts() {
    let _open = OpenDevice::new();
    let nobodys = Nobodys::new();
    let (mount, ours) = (&nobodys.mount, |command: &str| nobodys.bedfs(command));
    mount.emulator.put("a.jpg", b"a");
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

#[test]
fn who_makes_a_file_owns_it_unless_one_user_owns_all() {
    let all = ["--allow-other", "--umask", "000"];
    let one = [&all[..], &["--uid", "1000", "--gid", "1001"]].concat();
    for (args, file, in_folder) in
        [(&all[..], "65534:65534", "65534:4321"), (&one, "1000:1001", "1000:1001")]
    {
        let mount = mounted(args);
        fs::set_permissions(mount.dir.path(), fs::Permissions::from_mode(0o755)).expect("open");
        // What is made in a folder with this bit gets the folder's group.
        run("mkdir", ["-m".as_ref(), "2777".as_ref(), mount.at("d").as_os_str()]);
        run("chgrp", ["4321".as_ref(), mount.at("d").as_os_str()]);
        let make = "cp /etc/passwd a.jpg && cp /etc/passwd d/b.jpg && mkdir d/sub";
        let make = format!("cd {} && {make}", mount.path.display());
        succeeded(&as_nobody(Command::new("sh").args(["-c", &make])));
        let owner = |path: &str| {
            let told = run("stat", ["-c".as_ref(), "%u:%g".as_ref(), mount.at(path).as_os_str()]);
            told.trim_end().to_owned()
        };
        for _ in ["at once", "mounted again"] {
            let found = ["a.jpg", "d/b.jpg", "d/sub"].map(owner);
            assert_eq!(found, [file, in_folder, in_folder], "{args:?}");
            mount.remount(args);
        }
        wait_until("unmounted", || attempt("umount", [&mount.path]).status.success());
    }
}

#[test]
fn others_may_do_what_modes_let_them() {
    let mount = bed_with(fast(), &["--allow-other"], |bed| {
        bed.put("d/a.jpg", b"a");
        bed.put("b.jpg", b"b");
    });
    fs::set_permissions(mount.dir.path(), fs::Permissions::from_mode(0o755)).expect("open");
    let may = |line: &str| {
        let line = format!("cd {} && {line}", mount.path.display());
        as_nobody(Command::new("sh").args(["-ec", &line])).status.success()
    };
    let set = |mode: &str, group: &str, path: &str| {
        run("chgrp", [group.as_ref(), mount.at(path).as_os_str()]);
        run("chmod", [mode.as_ref(), mount.at(path).as_os_str()]);
    };
    let (none, theirs) = ("0", "65534");
    for (mode, group, reads, writes) in [
        ("644", none, true, false),
        ("600", none, false, false),
        ("666", none, true, true),
        ("640", none, false, false),
        ("640", theirs, true, false),
        ("620", theirs, false, true),
        ("604", theirs, false, false),
    ] {
        set(mode, group, "b.jpg");
        let found = (may("cat b.jpg"), may(": >>b.jpg"));
        assert_eq!(found, (reads, writes), "a file of {mode}, group {group}");
    }
    for (mode, looks, reaches, makes) in [
        ("755", true, true, false),
        ("700", false, false, false),
        ("711", false, true, false),
        ("777", true, true, true),
        ("1777", true, true, true),
    ] {
        set(mode, none, "d");
        let made = may("cp /etc/passwd d/theirs.jpg");
        assert_eq!((may("ls d"), may("cat d/a.jpg"), made), (looks, reaches, makes), "{mode}");
        // Where everybody may make names, and the folder is sticky, each takes away their own alone.
        assert_eq!(may("mv d/a.jpg d/c.jpg && mv d/c.jpg d/a.jpg"), mode == "777", "{mode}");
        assert_eq!(may("rm d/theirs.jpg"), makes, "{mode}");
    }
    assert!(!may("chmod 666 b.jpg") && !may("chown 65534 b.jpg"), "theirs is not theirs to give");
    mount.quiet();
    assert_eq!(mount.emulator.read("d/a.jpg").as_deref(), Some(&b"a"[..]));
    no_violations(&mount);
}
