//! The command: what it says and does when it cannot mount, and what it prints.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bedfs_emulator::{Emulator, Fault, FaultKind};

use crate::harness::{BEDFS, Mount, attempt, bedfs, fast, run, text, wait_until, xattr};

/// An emulated bed and a mount point on which nothing is mounted yet.
pub(crate) fn unmounted() -> Mount {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("mnt");
    fs::create_dir(&path).expect("a mount point");
    Mount { emulator: Emulator::start(fast()).expect("the emulator starts"), dir, path }
}

/// Runs a command that must fail before it mounts, and gives the one line it says.
fn refused(mount: &Mount, command: &mut Command) -> String {
    let mounts = || fs::read_to_string("/proc/self/mounts").expect("the mount table");
    let ours = |table: String| {
        let under = mount.dir.path().to_str().expect("a UTF-8 path").to_owned();
        table.lines().filter(|line| line.contains(&under)).count()
    };
    let before = ours(mounts());
    let output = command.output().expect("the program runs");
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{command:?} succeeded: {said}");
    // A wait of some seconds is told before.
    let said: Vec<&str> = said.lines().filter(|line| !line.ends_with(" …")).collect();
    assert_eq!(said.len(), 1, "one line is wanted:\n{said:?}");
    let said = said.concat();
    assert_eq!(text(&output.stdout), "", "stdout is no place for errors");
    assert_eq!(ours(mounts()), before, "something is mounted");
    assert!(!said.contains("emulator-secret"), "the secret is told: {said}");
    said
}

/// `bedfs mount` with these arguments, and the mount point.
fn mounting(mount: &Mount, args: &[&str]) -> Command {
    let mut command = mount.bedfs("mount");
    command.args(args).arg(&mount.path);
    command
}

#[test]
fn a_wrong_secret_or_client_id_is_told_in_one_line() {
    let mount = unmounted();
    for way in [&["--foreground"][..], &[]] {
        for (variable, wrong) in [("BEDFS_CLIENT_SECRET", "s3cr3t"), ("BEDFS_CLIENT_ID", "who")] {
            let mut command = mounting(&mount, way);
            let said = refused(&mount, command.env(variable, wrong));
            assert!(said.contains("credentials"), "{said}");
            // Nobody need try again before they are mended.
            assert_eq!(command.status().expect("bedfs runs").code(), Some(78), "{way:?}");
            assert!(!said.contains("s3cr3t"), "the secret is told: {said}");
        }
    }
    assert_eq!(mount.emulator.count("list"), 0);
}

#[test]
fn a_misspelt_command_with_a_folder_mounts_nothing() {
    let mount = unmounted();
    for (typed, meant) in [("unmount", "umount"), ("moutn", "mount")] {
        let output = mount.bedfs(typed).arg(&mount.path).output().expect("bedfs runs");
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(meant), "{said}");
        assert!(!mount.is_mounted() && mount.emulator.requests().is_empty());
    }
}

#[test]
fn missing_credentials_name_the_variable_and_the_file() {
    let mount = unmounted();
    for variable in ["BEDFS_CLIENT_ID", "BEDFS_CLIENT_SECRET"] {
        for absent in [true, false] {
            let mut command = mounting(&mount, &[]);
            match absent {
                true => command.env_remove(variable),
                false => command.env(variable, ""),
            };
            let said = refused(&mount, &mut command);
            assert!(said.contains(variable) && said.contains("config.toml"), "{said}");
        }
    }
    assert_eq!(mount.emulator.requests().len(), 0, "nothing to ask without credentials");
}

#[test]
fn an_unreachable_service_is_told_in_one_line() {
    let mount = unmounted();
    // Bound and dropped: nobody listens there.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", socket.local_addr().expect("an address"));
    drop(socket);
    let said = refused(&mount, mounting(&mount, &[]).env("BEDFS_ENDPOINT", &nobody));
    assert!(said.contains("127.0.0.1") || said.contains("away"), "{said}");
    for endpoint in ["no url", "ftp://127.0.0.1", "http://"] {
        let said = refused(&mount, mounting(&mount, &[]).env("BEDFS_ENDPOINT", endpoint));
        assert!(said.starts_with("bedfs: "), "{said}");
    }
}

#[test]
fn a_bed_that_cannot_be_listed_is_not_mounted() {
    let mount = unmounted();
    let refusal = FaultKind::Refuse { code: 1, message: "system maintenance".to_owned() };
    mount.emulator.inject(Fault::new("list", refusal).always());
    let said = refused(&mount, &mut mounting(&mount, &[]));
    assert!(said.contains("list") && said.contains("system maintenance"), "{said}");
}

#[test]
fn a_mount_point_that_cannot_be_one_is_told_with_what_to_do() {
    let mount = unmounted();
    let file = mount.local("file", b"x");
    let cases = [
        (mount.dir.path().join("nowhere"), "mkdir"),
        (file.clone(), "not a folder"),
        (file.join("below"), "below"),
        ("/".into(), "an empty folder"),
    ];
    for (path, words) in cases {
        let said = refused(&mount, mount.bedfs("mount").arg(&path));
        assert!(said.contains(words) && said.contains(path.to_str().expect("UTF-8")), "{said}");
    }
    assert_eq!(mount.emulator.requests().len(), 0, "looked at before any call");
}

#[test]
fn what_a_mount_hides_is_told() {
    let mount = unmounted();
    fs::write(mount.path.join("mine.txt"), b"mine").expect("written");
    let output = mounting(&mount, &[]).output().expect("the program runs");
    assert!(output.status.success() && mount.is_mounted());
    let said = text(&output.stderr);
    assert!(said.contains("hidden") && said.trim_end().lines().count() == 1, "{said}");
    mount.unmount();
    assert_eq!(fs::read(mount.path.join("mine.txt")).expect("still there"), b"mine");
}

#[test]
fn a_second_mount_on_the_same_folder_is_refused() {
    let mount = Mount::new();
    mount.emulator.put("a.jpg", b"a");
    let said = refused(&mount, &mut mounting(&mount, &[]));
    assert!(said.contains("already"), "{said}");
    run("setfattr", ["-n", "user.bedfs.refresh", "-v", "1", mount.path.to_str().expect("UTF-8")]);
    assert_eq!(run("cat", [mount.at("a.jpg")]), "a", "the first mount goes on");
    mount.unmount();
    assert!(!mount.is_mounted(), "nothing lay below the first mount");
}

#[test]
fn a_mount_whose_process_died_is_replaced_by_the_next_one_and_umount_removes_it() {
    let mount = Mount::new();
    let table = || fs::read_to_string("/proc/self/mounts").expect("the mount table");
    let path = mount.path.to_str().expect("UTF-8");
    for _ in 0..2 {
        kill(pid(&mount), libc::SIGKILL);
        let dead = |path: &Path| fs::metadata(path).is_err();
        wait_until("the mount is dead", || dead(&mount.path));
        let again = mount.mount(&[]);
        assert!(again.status.success(), "{}", text(&again.stderr));
        assert_eq!(table().lines().filter(|line| line.contains(path)).count(), 1);
    }
    kill(pid(&mount), libc::SIGKILL);
    wait_until("the mount is dead", || fs::read_dir(&mount.path).is_err());
    mount.unmount();
    assert!(!mount.is_mounted());
}

#[test]
fn a_root_that_is_no_folder_is_told() {
    let mount = unmounted();
    mount.emulator.put("blog/a.jpg", b"a");
    for (root, missing) in
        [("nowhere", "nowhere"), ("blog/deeper", "deeper"), ("blog/a.jpg", "a.jpg")]
    {
        let said = refused(&mount, &mut mounting(&mount, &["--root", root]));
        assert!(said.contains("--root") && said.contains(missing), "{said}");
    }
}

#[test]
fn a_wrong_option_is_told_in_one_line_that_names_it() {
    let mount = unmounted();
    let wrong = [
        ("dir-ttl", "soon"),
        ("timeout", "0"),
        ("cache-size", "much"),
        ("umask", "999"),
        ("uid", "-x"),
        ("gid", "wheel"),
        ("control", "perhaps"),
        ("upload", "never"),
        ("log-level", "loud"),
        ("qps", "list=0"),
        ("qps", "nonsense=1"),
        ("no-such-option", "1"),
    ];
    for (option, value) in wrong {
        let long = format!("--{option}={value}");
        let short = format!("{option}={value}").replace('-', "_");
        let said = refused(&mount, &mut mounting(&mount, &[&long]));
        let (part, _) = value.split_once('=').unwrap_or((value, ""));
        let typed = option.replace('-', "_");
        let named = |said: &str| [option, &typed, part].iter().any(|word| said.contains(word));
        assert!(named(&said), "{long}: {said}");
        let said = refused(&mount, &mut mounting(&mount, &["-o", &short]));
        assert!(named(&said), "-o {short}: {said}");
    }
    assert_eq!(mount.emulator.count("list"), 0);
}

#[test]
fn a_wrong_configuration_file_is_told_without_the_secret() {
    let mount = unmounted();
    for content in [
        "client-secret = \"hush",
        "client-secret = \"hush\"\nnonsense = true",
        "client-secret = \"hush\"\ndir-ttl = \"long\"",
    ] {
        let file = mount.local("wrong.toml", content.as_bytes());
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&file, private).expect("a private file");
        let said = refused(&mount, mounting(&mount, &[]).env("BEDFS_CONFIG", &file));
        assert!(said.contains("wrong.toml") && !said.contains("hush"), "{said}");
    }
    let nowhere = mount.dir.path().join("nowhere.toml");
    let said = refused(&mount, mounting(&mount, &[]).env("BEDFS_CONFIG", &nowhere));
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_told() {
    let mount = unmounted();
    let file = mount.local("in-the-way", b"x");
    let said = refused(&mount, mounting(&mount, &[]).env("XDG_STATE_HOME", &file));
    assert!(said.contains("in-the-way"), "{said}");
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    let home = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish"] {
        let output = bedfs(home.path(), "http://127.0.0.1:9").args(["completions", shell]).output();
        let output = output.expect("bedfs runs");
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains("umount"), "{shell}: {script}");
        for option in ["dir-ttl", "read-only", "cache-size"] {
            assert!(script.contains(option), "{shell} knows nothing of {option}");
        }
    }
    let page = run(BEDFS, ["man"]);
    assert!(page.contains(".TH"), "no manual page");
    for word in ["mount", "umount", "demo", "completions", "dir\\-ttl", "allow\\-other"] {
        assert!(page.contains(word), "the manual page has no {word}");
    }
    assert!(page.contains("BEDFS PENDING EXPORT"), "commands of commands are told");
    for page in [page, run(BEDFS, ["man", "mount.bedfs"])] {
        for word in ["bedfs\\-mount", "bedfs\\-help", "take\\-over", "TAKE-OVER", "mount\\fR(1)"] {
            assert!(!page.contains(word), "the manual page has {word}");
        }
    }
    let unknown = attempt(BEDFS, ["completions", "nosuchshell"]);
    assert!(!unknown.status.success());
}

#[test]
fn the_version_of_a_release_tells_the_commit_where_there_is_one() {
    let told = run(BEDFS, ["--version"]);
    let version = format!("bedfs {}", env!("CARGO_PKG_VERSION"));
    let rest = told.trim_end().strip_prefix(&version).unwrap_or_else(|| panic!("{told}"));
    let root = env!("CARGO_MANIFEST_DIR");
    let head = attempt("git", ["-C", root, "rev-parse", "--short=12", "HEAD"]);
    let is_repository = head.status.success() && Path::new(root).join(".git").exists();
    match (cfg!(debug_assertions), is_repository) {
        (true, _) => assert_eq!(rest, " (debug)"),
        (false, true) => assert_eq!(rest, format!(" ({})", text(&head.stdout).trim())),
        (false, false) => assert!(rest.is_empty() || rest.starts_with(" ("), "{rest}"),
    }
}

#[test]
fn the_demo_shows_pictures_and_ends_on_an_interrupt() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join("bed");
    let mut command = Command::new(BEDFS);
    command.arg("demo").arg(&folder).env("HOME", home.path()).stdin(Stdio::null());
    for variable in ["BEDFS_CLIENT_ID", "BEDFS_CLIENT_SECRET", "BEDFS_ENDPOINT", "BEDFS_CONFIG"] {
        command.env_remove(variable);
    }
    let mut demo = Ended(command.stdout(Stdio::piped()).spawn().expect("bedfs runs"));
    let mut said = BufReader::new(demo.0.stdout.take().expect("piped")).lines();
    let first = said.next().expect("a word").expect("in UTF-8");
    assert!(first.contains(folder.to_str().expect("UTF-8")), "{first}");
    let pictures = folder.join("pictures");
    let names: Vec<_> = fs::read_dir(&pictures).expect("pictures").flatten().collect();
    assert!(names.len() >= 2, "only {} pictures", names.len());
    for name in names {
        let bytes = fs::read(name.path()).expect("readable");
        assert!(!bytes.is_empty());
        let url = xattr(&name.path(), "url").expect("a link");
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    }
    kill(demo.0.id(), libc::SIGINT);
    assert!(demo.0.wait().expect("an end").success());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table");
    assert!(!mounts.contains(folder.to_str().expect("UTF-8")), "the demo stays mounted");
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 0);
    for hidden in [".local", ".config", ".cache"] {
        assert!(!home.path().join(hidden).exists(), "the demo left {hidden} at home");
    }
}

/// A process that is ended with the test.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The mount's process, as its control folder tells.
pub(crate) fn pid(mount: &Mount) -> u32 {
    let status = fs::read_to_string(mount.at(".bedfs/status.json")).expect("the status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    u32::try_from(status["pid"].as_u64().expect("a number")).expect("a process")
}

/// Sends a signal.
pub(crate) fn kill(process: u32, signal: i32) {
    let process = i32::try_from(process).expect("a process");
    // SAFETY: the call takes two numbers and touches no memory.
    let sent = unsafe { libc::kill(process, signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}
