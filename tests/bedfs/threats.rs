//! Threats: what other users, other programs, dumps and crafted answers get of a mount, which is
//! nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::command::{Ended, kill, pid, unmounted};
use crate::harness::{BEDFS, Mount, attempt, in_place_of, not_tested, run, text, wait_until};
use crate::journaled::eventually;
use crate::users::{Nobodys, OpenDevice, as_nobody, succeeded};

/// The mode of each file and folder below a folder, and of the folder itself.
fn modes(folder: &Path) -> Vec<(PathBuf, bool, u32)> {
    let found = fs::symlink_metadata(folder).expect("there");
    let own = (folder.to_owned(), found.is_dir(), found.mode() & 0o777);
    let inside = found.is_dir().then(|| fs::read_dir(folder).expect("readable"));
    let inside = inside.into_iter().flatten().flatten().flat_map(|entry| modes(&entry.path()));
    std::iter::once(own).chain(inside).collect()
}

/// The same mount by a shell, with these words before it.
fn by_shell(mount: &Mount, before: &str, args: &[&str]) -> Command {
    let built = mount.bedfs("mount");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec \"$@\""), "sh", BEDFS, "mount"]);
    shell.args(["--qps", "unlimited"]).args(args).arg(&mount.path);
    in_place_of(&built, &mut shell);
    shell
}

fn mounted_by(command: &mut Command) {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_is_kept_is_for_its_owner_alone_under_any_umask_and_in_folders_that_were_open() {
    let mount = unmounted();
    mount.emulator.put("b.jpg", &[1; 200_000]);
    let (state, cache) = (mount.dir.path().join("state"), mount.dir.path().join("cache"));
    let log = mount.dir.path().join("named.log");
    for round in 0..2 {
        let args = ["--upload", "background", "--log-level", "trace"];
        let named = ["--log-file", log.to_str().expect("UTF-8")];
        let args = [&args[..], if round == 0 { &[] } else { &named }].concat();
        mounted_by(&mut by_shell(&mount, "umask 0", &args));
        run("cat", [mount.at("b.jpg")]);
        mount.emulator.inject(crate::journaled::stays("create", crate::api::refusal(1)));
        fs::write(mount.at("a.jpg"), [round; 5000]).expect("taken");
        let kept = [modes(&state.join("bedfs")), modes(&cache.join("bedfs"))].concat();
        assert!(kept.len() > 12, "state, staged bytes, log, token, blocks: {kept:?}");
        for (path, is_folder, mode) in kept {
            // The folders that were made open are closed, but for looking at their names.
            let shared = round > 0 && path.ends_with("bedfs");
            let wanted = if shared { 0o755 } else { 0o700 };
            assert_eq!(mode, if is_folder { wanted } else { 0o600 }, "{}", path.display());
        }
        mount.emulator.clear_faults();
        crate::journaled::crash(&mount);
        for (path, is_folder, _) in [modes(&state), modes(&cache)].concat() {
            if is_folder {
                fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
            }
        }
    }
    assert_eq!(fs::metadata(log).expect("a log").mode() & 0o777, 0o600);
}

#[test]
fn folders_that_another_user_laid_out_are_not_used() {
    let nobody = |path: &Path| {
        run("chown", [Path::new("-h"), Path::new("65534:65534"), path]);
    };
    for is_link in [false, true] {
        let mount = unmounted();
        let (shared, ours) = (mount.dir.path().join("shared"), mount.dir.path().join("ours"));
        for folder in [&shared, &ours] {
            fs::create_dir(folder).expect("made");
        }
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).expect("open");
        let place = shared.join("bedfs");
        match is_link {
            true => std::os::unix::fs::symlink(&ours, &place).expect("a link"),
            false => fs::create_dir(&place).expect("made"),
        }
        nobody(&place);
        let refused = mount.bedfs("mount").env("XDG_STATE_HOME", &shared).arg(&mount.path).output();
        let refused = refused.expect("bedfs runs");
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{said}");
        assert!(said.contains("another user") && said.contains("XDG_STATE_HOME"), "{said}");
        assert_eq!(mount.emulator.requests().len(), 0, "nothing is asked");
        // Without a cache on disk it goes on.
        mount.emulator.put("a.jpg", b"bytes");
        let mut cached = mount.bedfs("mount");
        mounted_by(cached.env("XDG_CACHE_HOME", &shared).arg(&mount.path));
        assert_eq!(fs::read(mount.at("a.jpg")).expect("readable"), b"bytes");
        let left = [modes(&ours).len(), fs::read_dir(&place).expect("there").count()];
        // The account's folder may be there, but has nothing in it.
        let files = [&ours, &place].map(|folder| crate::users::files(folder).len());
        assert_eq!(files, [0, 0], "{left:?}");
        mount.unmount();
    }
}

#[test]
fn no_running_process_shows_a_secret_in_its_arguments_or_environment() {
    let shown = |process: u32| {
        let read = |file: &str| fs::read(format!("/proc/{process}/{file}")).expect("as root");
        text(&[read("cmdline"), read("environ")].concat())
    };
    let hides = |shown: &str| {
        // What is looked at is the environment that was given.
        assert!(shown.contains("BEDFS_ENDPOINT=http") && shown.contains("mount"), "{shown}");
        assert!(!shown.contains("emulator-secret") && !shown.contains("hush"), "{shown}");
    };
    let mount = unmounted();
    let mut background = mount.bedfs("mount");
    mounted_by(background.env("BEDFS_SERVE_SECRET", "hush").arg(&mount.path));
    hides(&shown(pid(&mount)));
    mount.unmount();
    let mut foreground = mount.bedfs("mount");
    foreground.env("BEDFS_SERVE_SECRET", "hush").arg("--foreground").arg(&mount.path);
    let foreground = Ended(foreground.spawn().expect("bedfs runs"));
    wait_until("it is mounted", || mount.is_mounted() && mount.at(".bedfs/status.json").exists());
    hides(&shown(foreground.0.id()));
    mount.unmount();
}

#[test]
fn a_program_that_a_mount_starts_does_not_inherit_the_secret() {
    let _open = OpenDevice::new();
    let nobodys = Nobodys::new();
    let (mount, dir) = (&nobodys.mount, nobodys.mount.dir.path());
    let seen = dir.join("seen");
    let helper = format!("#!/bin/sh\nenv >>'{}'\nexec fusermount3 \"$@\"\n", seen.display());
    let helper = mount.local("helper", helper.as_bytes());
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("a program");
    let mut command = nobodys.bedfs("mount");
    succeeded(&as_nobody(command.env("FUSERMOUNT_PATH", &helper).arg(&mount.path)));
    let inherited = fs::read_to_string(&seen).expect("it was run");
    assert!(inherited.contains("BEDFS_ENDPOINT=http"), "{inherited}");
    assert!(!inherited.contains("BEDFS_CLIENT_SECRET"), "{inherited}");
    succeeded(&as_nobody(nobodys.bedfs("umount").arg(&mount.path)));
}

#[test]
fn other_programs_of_the_user_cannot_read_the_memory_of_a_mount() {
    let _open = OpenDevice::new();
    let nobodys = Nobodys::new();
    let mount = &nobodys.mount;
    succeeded(&as_nobody(nobodys.bedfs("mount").arg(&mount.path)));
    let status = succeeded(&as_nobody(Command::new("cat").arg(mount.at(".bedfs/status.json"))));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let own = |file: &str| format!("/proc/{}/{file}", status["pid"]);
    let read = |file: &str| as_nobody(Command::new("head").args(["-c", "1"]).arg(own(file)));
    succeeded(&read("status"));
    for file in ["environ", "mem", "maps", "auxv"] {
        let refused = read(file);
        assert!(text(&refused.stderr).contains("Permission denied"), "{file} can be read");
    }
    // One that does not hide itself shows all that to its user.
    let other = as_nobody(Command::new("sh").args(["-c", "head -c 1 /proc/$$/environ; true"]));
    assert!(!other.stdout.is_empty(), "{}", text(&other.stderr));
    succeeded(&as_nobody(nobodys.bedfs("umount").arg(&mount.path)));
}

/// Has a process end by a signal as a fault of its own would end it, and tells whether the system
/// dumped its memory.
fn is_dumped(mut command: Command, is_ready: impl Fn() -> bool) -> bool {
    let mut process = Ended(command.stdin(Stdio::null()).spawn().expect("it runs"));
    wait_until("it runs", is_ready);
    kill(process.0.id(), libc::SIGABRT);
    let status = process.0.wait().expect("an end");
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    status.core_dumped()
}

#[test]
fn a_mount_that_crashes_leaves_no_dump_of_its_memory() {
    let mount = unmounted();
    let before = format!("cd '{}' && ulimit -c unlimited", mount.dir.path().display());
    let mut other = Command::new("sh");
    other.args(["-c", &format!("{before} && echo >ready && exec sleep 60")]);
    let ready = mount.dir.path().join("ready");
    if !is_dumped(other, || ready.exists()) {
        return not_tested("a dump of memory: this machine dumps none of any program");
    }
    let command = by_shell(&mount, &before, &["--foreground"]);
    assert!(!is_dumped(command, || mount.is_mounted()));
    attempt("umount", ["-l".as_ref(), mount.path.as_os_str()]);
}

#[test]
fn an_answer_without_end_is_broken_off() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut head = [0; 4096];
            let _asked = client.read(&mut head);
            let mut part = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"code\":0,\"data\":{\"accessToken\":\"".to_vec();
            while client.write_all(&part).is_ok() {
                count.fetch_add(part.len(), Ordering::Relaxed);
                part = vec![b'a'; 1 << 20];
            }
        }
    });
    let mount = unmounted();
    let mut command = mount.bedfs("mount");
    command.env("BEDFS_ENDPOINT", format!("http://{address}")).args(["--timeout", "20"]);
    let refused = command.arg(&mount.path).output().expect("bedfs runs");
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("longer than"), "{said}");
    // A token is asked for three times at most; what is on its way when a reading ends is lost.
    let sent = sent.load(Ordering::Relaxed);
    assert!((16 << 20..3 * (24 << 20)).contains(&sent), "{sent} bytes were taken");
}

#[test]
fn a_configuration_that_others_can_read_is_told() {
    let mount = unmounted();
    let file = mount.local("config.toml", b"client-secret = 'emulator-secret'\n");
    for (mode, is_told) in [(0o644, true), (0o640, true), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
        let check = mount.bedfs("config").args(["check", "--config"]).arg(&file).output();
        let said = text(&check.expect("bedfs runs").stderr);
        assert_eq!(said.contains("others can read the secret"), is_told, "{mode:o}: {said}");
    }
}

#[test]
fn what_a_mount_tells_of_itself_has_no_secret() {
    let mount = Mount::new();
    mount.emulator.put("a.jpg", b"bytes");
    eventually("read", || fs::read(mount.at("a.jpg")).is_ok());
    let files = ["status.json", "metrics", "pending.json", "account.json", "links.csv"];
    let mut shown: String = files
        .map(|file| fs::read_to_string(mount.at(".bedfs").join(file)).expect("readable"))
        .concat();
    shown += &fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    let token = crate::users::files(&mount.dir.path().join("state"));
    let token = token.into_iter().find(|path| path.ends_with("token.json")).expect("kept");
    let token: serde_json::Value =
        serde_json::from_slice(&fs::read(token).expect("readable")).expect("JSON");
    let access = token["accessToken"].as_str().expect("a token");
    assert!(!shown.contains("emulator-secret") && !shown.contains(access), "{shown}");
}
