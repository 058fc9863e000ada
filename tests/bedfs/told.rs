//! What is told of what goes wrong, in words that name it.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use bedfs_emulator::{Answers, MoveFolder, Options};

use crate::command::{Ended, kill, unmounted};
use crate::harness::{BEDFS, Mount, attempt, bedfs, fast, in_place_of, noise, text, wait_until};
use crate::local_names::sh;
use crate::semantics::{bed_with, errno, no_violations};

/// What a command says that must fail: one line.
fn failure(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{command:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{command:?}: {said}");
    said
}

#[test]
fn an_option_of_mount_is_told_as_it_was_typed() {
    let mount = unmounted();
    for (typed, named) in [
        ("foo", "-o foo"),
        ("ro,dir_tll=5", "-o dir_tll"),
        ("dir_ttl=long", "-o dir_ttl"),
        ("upload=never", "-o upload"),
    ] {
        let said = failure(mount.bedfs("mount").args(["-o", typed]).arg(&mount.path));
        let about = said.split("did you mean").next().unwrap_or_default();
        assert!(about.contains(named) && !about.contains("'--"), "{typed}: {said}");
    }
    let said = failure(mount.bedfs("mount").arg("--foo").arg(&mount.path));
    assert!(said.contains("--foo"), "{said}");
}

#[test]
fn a_mount_in_the_foreground_says_that_it_is_there() {
    let mount = unmounted();
    let mut command = mount.bedfs("mount");
    command.args(["--qps", "unlimited", "-f"]).arg(&mount.path);
    let log = mount.dir.path().join("said");
    let child = command.stderr(fs::File::create(&log).expect("a file")).stdin(Stdio::null());
    let mut child = Ended(child.spawn().expect("bedfs runs"));
    let path = mount.path.to_str().expect("UTF-8");
    wait_until("it is told", || {
        let said = fs::read_to_string(&log).expect("readable");
        said.contains("mounted on") && said.contains(path)
    });
    assert!(mount.is_mounted());
    kill(child.0.id(), libc::SIGINT);
    assert!(child.0.wait().expect("an end").success());
    // As mount(8) calls it to no end.
    let helper = mount.dir.path().join("mount.bedfs");
    std::os::unix::fs::symlink(BEDFS, &helper).expect("a link");
    let output = attempt(helper.to_str().expect("UTF-8"), ["bedfs", path, "-f", "-o", "rw"]);
    assert!(output.status.success() && text(&output.stderr).contains("nothing is mounted"));
    assert!(!mount.is_mounted());
}

#[test]
fn a_port_that_is_taken_is_told_with_the_option_that_names_another() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mount = unmounted();
    for command in ["emulator", "serve"] {
        let said = failure(mount.bedfs(command).args(["--listen", &address]));
        assert!(said.contains(&address) && said.contains("--listen"), "{said}");
    }
}

#[test]
fn a_host_whose_name_leads_nowhere_is_told_as_that() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let point = home.path().join("mnt");
    fs::create_dir(&point).expect("a folder");
    let mut command = bedfs(home.path(), "http://no-such-host.invalid");
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    let output = command.args(["mount", "--timeout", "5"]).arg(&point).output().expect("it runs");
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert!(!output.status.success() && last.contains("does not resolve"), "{said}");
    assert!(last.contains("no-such-host.invalid") && !last.contains("busy"), "{said}");
}

#[test]
fn an_error_of_fusermount_stays_in_one_line() {
    let mount = unmounted();
    let bin = mount.dir.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    let script = "#!/bin/sh\necho 'fusermount3: one' >&2; echo 'fusermount3: two' >&2; exit 1\n";
    fs::write(bin.join("fusermount3"), script).expect("written");
    attempt("chmod", ["755".as_ref(), bin.join("fusermount3").as_os_str()]);
    // Only who may not mount needs that program.
    let mut command = Command::new("setpriv");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    in_place_of(&mount.bedfs("mount"), &mut command);
    command.args(["--bounding-set=-sys_admin", BEDFS, "mount"]).arg(&mount.path);
    let said = failure(command.env("PATH", path));
    assert!(said.contains("one") && said.contains("two"), "{said}");
}

#[test]
fn a_name_that_is_refused_is_not_told_as_a_move_into_itself() {
    let mount = Mount::new();
    fs::write(mount.at("x.png"), b"x").expect("written");
    fs::create_dir(mount.at("d")).expect("made");
    for name in ["x.png", "d"] {
        let moved = attempt("mv", [mount.at(name), mount.at("a:b.png")]);
        let said = text(&moved.stderr);
        assert!(!moved.status.success() && said.contains("not permitted"), "{said}");
        assert!(!said.contains("itself"), "{said}");
    }
    assert_eq!(errno(fs::write(mount.at("a:b.png"), b"x")), libc::EINVAL);
    assert_eq!(errno(fs::rename(mount.at("d"), mount.at("d/d"))), libc::EINVAL);
}

#[test]
fn pictures_of_a_folder_that_was_renamed_and_moved_stay_in_the_table_of_links() {
    for move_folder in [MoveFolder::Works, MoveFolder::Refused] {
        let answers = Answers { move_folder, ..Answers::default() };
        let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
            bed.put("d/deep/a.jpg", &noise(1, 3000));
            bed.put("d/b.jpg", &noise(2, 3000));
            bed.mkdir("e");
        });
        sh(&mount, "find . >$S/found && mv d e/f");
        for end in ["at once", "mounted again"] {
            let table = fs::read_to_string(mount.at(".bedfs/links.csv")).expect("readable");
            for path in ["e/f/deep/a.jpg,http", "e/f/b.jpg,http"] {
                assert!(table.contains(path), "{move_folder:?}, {end}: {table}");
            }
            assert_eq!(table.lines().count(), 3, "{move_folder:?}, {end}: {table}");
            mount.remount(&[]);
        }
        no_violations(&mount);
    }
}
