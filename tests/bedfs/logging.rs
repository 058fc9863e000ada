//! The log: of which rooms how much, changed while the mount runs, into which file, and for the
//! journal.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use crate::command::{Ended, kill, pid, unmounted};
use crate::harness::{Mount, run, text, wait_until};
use crate::options::mounted;

/// Has the mount do something that it logs.
fn use_it(mount: &Mount, name: &str) {
    run("cp", [&mount.local("picture", name.as_bytes()), &mount.at(name)]);
    run("rm", [mount.at(name)]);
    mount.quiet();
}

#[test]
fn each_room_says_as_much_as_it_is_asked_to() {
    let mount = mounted(&["--log-level", "off,api=debug"]);
    use_it(&mount, "a.jpg");
    let log = mount.log();
    assert!(log.contains("DEBUG") && !log.contains(" INFO"), "{log}");
    mount.unmount();
    let mount = mounted(&["-o", r"log_level=debug\,api=off"]);
    use_it(&mount, "a.jpg");
    assert!(mount.log().contains("INFO mounted on"), "{}", mount.log());
    assert!(!mount.log().contains("/upload/v1"), "{}", mount.log());
}

#[test]
fn a_signal_has_a_running_mount_say_more_and_then_less() {
    let mount = mounted(&[]);
    let process = pid(&mount);
    let debug = || mount.log().matches("DEBUG").count();
    use_it(&mount, "a.jpg");
    assert_eq!(debug(), 0, "{}", mount.log());
    for level in ["debug", "trace", "warn"] {
        kill(process, libc::SIGUSR2);
        let words = format!("the log level is {level} from here on");
        wait_until(&words, || mount.log().contains(&words));
        let before = debug();
        use_it(&mount, "b.jpg");
        assert_eq!(debug() > before, level != "warn", "{level}: {}", mount.log());
    }
}

#[test]
fn it_goes_into_the_file_that_is_named_and_finds_it_again() {
    let mount = unmounted();
    let file = mount.dir.path().join("own.log");
    let args = ["--log-level=debug", "--log-file", file.to_str().expect("UTF-8")];
    let output = mount.mount(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(mount.log(), "", "the usual one is not made");
    assert_eq!(fs::metadata(&file).expect("a log").permissions().mode() & 0o777, 0o600);
    let moved = mount.dir.path().join("own.log.rotated");
    fs::rename(&file, &moved).expect("renamed");
    use_it(&mount, "a.jpg");
    let (new, old) = (fs::read_to_string(&file).expect("a new log"), fs::read(&moved));
    assert!(new.contains("DEBUG"), "{new}");
    assert!(text(&old.expect("the old one")).contains("mounted on"));
}

#[test]
fn lines_for_the_journal_have_a_priority_and_no_time() {
    let mount = unmounted();
    let path = mount.local("journal", b"");
    let journal = File::options().append(true).open(&path).expect("a file");
    let seen = journal.metadata().expect("metadata");
    let mut command = mount.bedfs("mount");
    command.args(["--foreground", "--log-level=info"]).arg(&mount.path);
    command.env("JOURNAL_STREAM", format!("{}:{}", seen.dev(), seen.ino()));
    let _mount = Ended(command.stderr(Stdio::from(journal)).spawn().expect("bedfs runs"));
    let log = || fs::read_to_string(&path).expect("a log");
    let line = format!("<6>mounted on {}\n", mount.path.display());
    wait_until("it is mounted", || log().contains(&line));
    run("umount", [&mount.path]);
}
