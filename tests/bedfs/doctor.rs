//! The doctor: what is wrong is told with what mends it, and nothing is changed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{BEDFS, in_place_of, noise, run, text};
use crate::ward::{Ward, failed, mode, rows};

#[test]
fn a_healthy_machine_and_account_are_told_so_without_a_change() {
    let ward = Ward::new(|_| {});
    let output = ward.doctor(&[]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for about in ["FUSE device", "kernel", "credentials", "clock", "account", "image bed"] {
        assert!(said.contains(&format!("ok       {about}: ")), "{about}: {said}");
    }
    assert!(!said.contains("a.png") && !said.contains("emulator-secret"), "{said}");
    for endpoint in ["mkdir", "create", "delete", "move"] {
        assert_eq!(ward.mount.emulator.count(endpoint), 0, "{endpoint}");
    }
    assert_eq!(rows(&ward.mount), ward.before);
}

#[test]
fn wrong_credentials_and_a_service_that_is_away_are_failures_with_a_clear_line() {
    let ward = Ward::new(|_| {});
    for (variable, value) in [("BEDFS_CLIENT_SECRET", "s3cr3t"), ("BEDFS_CLIENT_ID", "who")] {
        let said =
            failed(&ward.command(&["--probe"]).env(variable, value).output().expect("bedfs runs"));
        assert!(said.contains("failed   credentials: "), "{said}");
        assert!(said.contains("not begun"), "{said}");
    }
    let said =
        failed(&ward.command(&[]).env("BEDFS_CLIENT_SECRET", "").output().expect("bedfs runs"));
    assert!(said.contains("failed   configuration: no client secret"), "{said}");
    // Bound and dropped: nobody listens there.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", socket.local_addr().expect("an address"));
    drop(socket);
    let said =
        failed(&ward.command(&[]).env("BEDFS_ENDPOINT", &nobody).output().expect("bedfs runs"));
    assert!(said.contains("failed   service: "), "{said}");
    assert_eq!(ward.mount.emulator.count("list"), 0);
}

#[test]
fn what_is_not_as_it_should_be_is_told_with_what_mends_it() {
    let ward = Ward::new(|_| {});
    ward.doctor(&[]);
    mode(&ward.state_dir(), 0o755);
    let config = ward.mount.dir.path().join("config/bedfs/config.toml");
    mode(&config, 0o644);
    ward.mount.emulator.change(|options| options.clock_ahead = Duration::from_secs(3600));
    ward.mount.emulator.change(|options| options.traffic_left = 0);
    ward.mount.emulator.mkdir(".bedfs-scratch-of-another");
    let output = ward.command(&[]).env("PATH", "/nowhere").output().expect("bedfs runs");
    let said = text(&output.stdout);
    assert!(output.status.success(), "these are warnings: {said}");
    for (about, words) in [
        ("mounting by users", "install the package fuse3"),
        ("configuration", "chmod 600"),
        ("state folder", "chmod 700"),
        ("clock", "behind the service's"),
        ("account", "buy traffic"),
        ("others' scratch", ".bedfs-scratch-of-another"),
    ] {
        let begin = format!("warning  {about}: ");
        let line = said.lines().find(|line| line.starts_with(&begin));
        assert!(line.is_some_and(|line| line.contains(words)), "{about}: {said}");
    }
    ward.probe();
    let left = rows(&ward.mount);
    assert!(left.iter().any(|(path, _)| path == ".bedfs-scratch-of-another"), "{left:?}");
}

#[test]
fn a_damaged_state_file_is_told_and_stays_as_it_is() {
    let ward = Ward::new(|_| {});
    ward.doctor(&[]);
    let file = ward.state_dir().join("state.db");
    let damage = noise(7, 20_000);
    fs::write(&file, &damage).expect("written");
    let said = failed(&ward.doctor(&["--probe"]));
    assert!(said.contains("failed   state file: "), "{said}");
    assert!(said.contains("not begun"), "{said}");
    assert!(fs::read(&file).expect("readable") == damage, "the file was touched");
    assert_eq!(rows(&ward.mount), ward.before);
}

#[test]
fn a_device_that_is_not_there_or_not_for_this_user_is_told_with_what_mends_it() {
    let ward = Ward::new(|_| {});
    let program = ward.mount.dir.path().join("bedfs");
    run("cp", [Path::new(BEDFS), &program]);
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    for (device, user, seen, mend) in [
        ("true", "", "/dev/fuse is not there", "modprobe fuse"),
        (
            "mknod -m 600 /dev/fuse c 10 229",
            nobody,
            "/dev/fuse may not be opened by you",
            "chmod 666",
        ),
    ] {
        run("chown", [Path::new("-R"), Path::new("65534:65534"), ward.mount.dir.path()]);
        // A machine with a /dev of its own.
        let files = "mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9";
        let script =
            format!("mount -t tmpfs none /dev && {files} && {device} && exec {user} \"$@\"");
        let mut machine = ward.command(&[]);
        let doctor = std::mem::replace(&mut machine, Command::new("unshare"));
        machine.args(["-m", "sh", "-c", &script, "sh"]).arg(&program).args(doctor.get_args());
        in_place_of(&doctor, &mut machine);
        let said = failed(&machine.output().expect("unshare runs"));
        let line = said.lines().find(|line| line.contains("FUSE device"));
        assert!(line.is_some_and(|line| line.starts_with("failed")), "{said}");
        assert!(said.contains(seen) && said.contains(mend), "{said}");
        assert!(said.contains("ok       credentials: "), "all else is looked at: {said}");
    }
}
