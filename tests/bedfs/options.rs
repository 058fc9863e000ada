//! The options of a mount: each by its name, as `-o` writes it, in the configuration file and in the
//! environment.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use bedfs_emulator::{Fault, FaultKind};

use crate::command::unmounted;
use crate::harness::{BEDFS, Mount, in_place_of, noise, run, text};

/// A mount whose `bedfs mount` was given these arguments alone.
pub(crate) fn mounted(args: &[&str]) -> Mount {
    let mount = unmounted();
    mount.emulator.put("blog/2024/a.jpg", b"picture");
    started(&mount, mount.bedfs("mount").args(args).arg(&mount.path));
    mount
}

pub(crate) fn started(mount: &Mount, command: &mut Command) {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "a mount that succeeds says nothing");
    assert!(mount.is_mounted(), "{command:?} mounted nothing");
}

fn status(mount: &Mount) -> serde_json::Value {
    let status = fs::read(mount.at(".bedfs/status.json")).expect("the status");
    serde_json::from_slice(&status).expect("JSON")
}

pub(crate) fn errno<T>(result: std::io::Result<T>) -> i32 {
    result.err().expect("a failure").raw_os_error().expect("a number")
}

#[test]
fn a_read_only_mount_changes_nothing_however_it_is_asked_for() {
    for args in [&["--read-only"][..], &["-o", "ro"], &["-oro,nosuid"], &["-o", "read-only"]] {
        let mount = mounted(args);
        let file = mount.at("blog/2024/a.jpg");
        assert_eq!(fs::read(&file).expect("readable"), b"picture");
        assert_eq!(errno(fs::write(&file, b"x")), libc::EROFS);
        assert_eq!(errno(fs::write(mount.at("new.jpg"), b"x")), libc::EROFS);
        assert_eq!(errno(fs::create_dir(mount.at("new"))), libc::EROFS);
        assert_eq!(errno(fs::remove_file(&file)), libc::EROFS);
        assert_eq!(errno(fs::rename(&file, mount.at("b.jpg"))), libc::EROFS);
        assert_eq!(errno(fs::remove_dir(mount.at("blog"))), libc::EROFS);
        assert_eq!(mount.emulator.read("blog/2024/a.jpg").as_deref(), Some(&b"picture"[..]));
        for endpoint in ["create", "delete", "move", "mkdir"] {
            assert_eq!(mount.emulator.count(endpoint), 0, "{endpoint}");
        }
        mount.unmount();
    }
}

#[test]
fn owner_and_permissions_are_what_was_asked_for() {
    for args in [
        &["--uid=1234", "--gid", "4321", "--umask=027"][..],
        &["-o", "uid=1234,gid=4321,umask=027"],
    ] {
        let mount = mounted(args);
        for (path, mode) in [("", 0o750), ("blog", 0o750), ("blog/2024/a.jpg", 0o640)] {
            let seen = fs::metadata(mount.at(path)).expect("metadata");
            assert_eq!((seen.uid(), seen.gid()), (1234, 4321), "{path:?}");
            assert_eq!(seen.mode() & 0o777, mode, "{path:?} has {:o}", seen.mode());
        }
    }
}

#[test]
fn one_folder_of_the_bed_can_be_the_root() {
    for args in [&["--root", "/blog/2024/"][..], &["--root=blog/2024"], &["-o", "root=blog/2024"]] {
        let mount = mounted(args);
        assert_eq!(run("ls", [&mount.path]), "a.jpg\n");
        let new = mount.local("b.jpg", b"new");
        run("cp", [&new, &mount.path]);
        run("cp", [&new, &mount.at("a.jpg")]);
        run("mkdir", [mount.at("deep")]);
        run("mv", [mount.at("b.jpg"), mount.at("deep")]);
        run("mv", [mount.at("deep/b.jpg"), mount.at("c.jpg")]);
        assert_eq!(mount.emulator.read("blog/2024/a.jpg").as_deref(), Some(&b"new"[..]));
        assert_eq!(mount.emulator.read("blog/2024/c.jpg").as_deref(), Some(&b"new"[..]));
        mount.unmount();
        let left: Vec<_> = mount.emulator.list("").into_iter().map(|row| row.name).collect();
        assert_eq!(left, ["blog"], "nothing but the folder lies in the bed's root");
    }
}

#[test]
fn a_listing_is_believed_as_long_as_dir_ttl_says() {
    for args in [&["--dir-ttl", "0"][..], &["-o", "dir_ttl=0"], &["-odir-ttl=0"]] {
        let mount = mounted(args);
        assert_eq!(run("ls", [&mount.path]), "blog\n");
        mount.emulator.put("seen.jpg", b"x");
        assert_eq!(run("ls", [&mount.path]), "blog\nseen.jpg\n", "{args:?}");
    }
    let mount = mounted(&["--dir-ttl=3600"]);
    run("ls", [&mount.path]);
    mount.emulator.put("unseen.jpg", b"x");
    let listings = mount.emulator.count("list");
    // Longer than the kernel itself believes anything.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(run("ls", [&mount.path]), "blog\n");
    assert_eq!(mount.emulator.count("list"), listings);
}

#[test]
fn a_silent_service_is_waited_for_as_long_as_was_asked_for() {
    for args in [&["--timeout", "1"][..], &["-o", "timeout=1"]] {
        let mount = mounted(args);
        mount.emulator.inject(Fault::new("list", FaultKind::Hang).always());
        assert_eq!(errno(fs::read_dir(mount.at("blog"))), libc::ETIMEDOUT, "{args:?}");
    }
}

#[test]
fn the_cache_has_the_size_that_was_asked_for() {
    for (args, bytes) in [
        (&["--cache-size", "1M"][..], 1 << 20),
        (&["--cache-size=2097152"], 2 << 20),
        (&["-o", "cache_size=3M"], 3 << 20),
    ] {
        let mount = mounted(args);
        assert_eq!(status(&mount)["cache_capacity"], bytes, "{args:?}");
        let picture = noise(1, 5 << 20);
        mount.emulator.put("big.jpg", &picture);
        run(
            "setfattr",
            ["-n", "user.bedfs.refresh", "-v", "1", mount.path.to_str().expect("UTF-8")],
        );
        assert!(fs::read(mount.at("big.jpg")).expect("readable") == picture);
        let held = status(&mount)["cache_bytes"].as_u64().expect("a number");
        assert!(held <= bytes, "{held} bytes are held where {bytes} may be");
    }
}

#[test]
fn calls_are_slowed_to_the_rate_that_was_asked_for() {
    for args in [&["--qps", "mkdir=2,detail=unlimited"][..], &["-o", r"qps=mkdir=2\,list=9"]] {
        let mount = mounted(args);
        mount.emulator.forget_requests();
        for name in ["1", "2", "3", "4", "5", "6"] {
            fs::create_dir(mount.at(name)).expect("a folder");
        }
        let asked = mount.emulator.requests();
        let at: Vec<_> = asked.iter().filter(|r| r.endpoint == "mkdir").map(|r| r.at).collect();
        assert_eq!(at.len(), 6);
        // Whatever may be asked at once: the sixth is not in the first second.
        assert!(at[5] - at[0] >= std::time::Duration::from_millis(1000), "{args:?}");
    }
}

#[test]
fn the_control_folder_shows_as_it_was_asked_to() {
    let lists = |mount: &Mount| run("ls", [Path::new("-A"), &mount.path]).contains(".bedfs");
    for (args, listed, reachable) in [
        (&[][..], false, true),
        (&["--control", "hidden"], false, true),
        (&["--control=visible"], true, true),
        (&["-o", "control=visible"], true, true),
        (&["-o", "control=off"], false, false),
    ] {
        let mount = mounted(args);
        assert_eq!(lists(&mount), listed, "{args:?}");
        assert_eq!(mount.at(".bedfs/status.json").exists(), reachable, "{args:?}");
        assert_eq!(mount.at(".bedfs").exists(), reachable, "{args:?}");
        mount.unmount();
    }
}

#[test]
fn the_log_is_as_loud_as_was_asked_for_and_lies_in_the_state_folder() {
    for (args, debug) in
        [(&["--log-level", "debug"][..], true), (&["-o", "log_level=error"], false)]
    {
        let mount = mounted(args);
        run("ls", [mount.at("blog")]);
        assert_eq!(mount.log().contains("DEBUG"), debug, "{}", mount.log());
        mount.unmount();
    }
}

#[test]
fn the_helper_of_mount_and_mount_itself_can_mount() {
    let mount = unmounted();
    mount.emulator.put("a.jpg", b"a");
    let path = mount.path.to_str().expect("UTF-8").to_owned();
    let mut helper = mount.bedfs("my-bed");
    started(&mount, helper.args([&path, "-o", "rw,nosuid,nodev,dir_ttl=5,x-systemd.automount"]));
    assert_eq!(run("cat", [mount.at("a.jpg")]), "a");
    mount.unmount();

    let program = Path::new(BEDFS).parent().expect("a folder").display();
    let system = std::env::var("PATH").expect("a PATH");
    // `mount -t fuse.bedfs` finds the program in the system's folders only: so its helper is called,
    // and `mount` itself with the program's full path.
    let by_helper = ["-t", "fuse.bedfs"];
    let by_mount = ["-t", &format!("fuse.{BEDFS}")];
    for (program_of_mount, kind) in [("/sbin/mount.fuse3", by_helper), ("mount", by_mount)] {
        let mut command = Command::new(program_of_mount);
        in_place_of(&mount.bedfs("mount"), &mut command);
        command.env("PATH", format!("{program}:{system}"));
        command.args(["bed", &path, "-o", "ro,umask=077,noatime"]).args(kind);
        started(&mount, &mut command);
        assert_eq!(errno(fs::create_dir(mount.at("new"))), libc::EROFS);
        let seen = fs::metadata(mount.at("a.jpg")).expect("metadata");
        assert_eq!(seen.mode() & 0o777, 0o600);
        let table = fs::read_to_string("/proc/self/mounts").expect("the mount table");
        let line = table.lines().find(|line| line.contains(&path)).expect("a line");
        assert!(line.starts_with("bed ") && line.contains(" fuse.bedfs ro,"), "{line}");
        mount.unmount();
    }
}

#[test]
fn the_file_configures_and_the_environment_and_the_options_are_stronger() {
    let mount = unmounted();
    mount.emulator.put("blog/a.jpg", b"a");
    let private = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("private");
    };
    let url = mount.emulator.base_url();
    let text = format!(
        "endpoint = \"{url}\"\nclient-id = \"emulator-id\"\nclient_secret = \"emulator-secret\"\n\
         root = \"blog\"\numask = \"077\"\ncache_size = \"1M\"\nread-only = true\ndir-ttl = 7\ntimeout = 1\n"
    );
    let usual = mount.dir.path().join("config/bedfs/config.toml");
    private(&usual, &text);
    let bare = |args: &[&str]| {
        let mut command = mount.bedfs("mount");
        for name in ["BEDFS_ENDPOINT", "BEDFS_CLIENT_ID", "BEDFS_CLIENT_SECRET"] {
            command.env_remove(name);
        }
        command.args(args).arg(&mount.path);
        command
    };
    started(&mount, &mut bare(&[]));
    let mode = || fs::metadata(mount.at("a.jpg")).expect("metadata").mode() & 0o777;
    assert_eq!(mode(), 0o600);
    assert_eq!(status(&mount)["cache_capacity"], 1 << 20);
    assert_eq!(errno(fs::write(mount.at("b.jpg"), b"b")), libc::EROFS);
    mount.emulator.inject(Fault::new("cdn", FaultKind::Hang).always());
    assert_eq!(errno(fs::read(mount.at("a.jpg"))), libc::ETIMEDOUT);
    mount.emulator.clear_faults();
    mount.unmount();

    started(&mount, &mut bare(&["--umask=022", "--cache-size=2M", "--read-only=false"]));
    assert_eq!(mode(), 0o644);
    assert_eq!(status(&mount)["cache_capacity"], 2 << 20);
    fs::write(mount.at("b.jpg"), b"b").expect("writable");
    mount.unmount();

    let named = mount.dir.path().join("elsewhere.toml");
    private(&named, &text.replace("emulator-secret", "wrong").replace("umask", "# umask"));
    let mut command = bare(&[]);
    command.env("BEDFS_CONFIG", &named).env("BEDFS_CLIENT_SECRET", "emulator-secret");
    started(&mount, &mut command);
    assert_eq!(mode(), 0o644, "the file named is read instead of the usual one");
    mount.unmount();
}
