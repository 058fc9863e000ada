//! The doctor: what is wrong is told with what mends it, and nothing is changed.

use std::fs;
use std::time::Duration;

use crate::harness::{noise, text};
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
