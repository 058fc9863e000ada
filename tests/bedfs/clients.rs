//! Clients of others: programs that were written for PicGo, and know nothing of bedfs.
//!
//! `scripts/test` installs them into `target/clients`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::unmounted;
use crate::harness::{BEDFS, Mount, in_place_of, text};
use crate::serve::{Server, png};

/// A Markdown file with two pictures beside it.
fn page(mount: &Mount) -> PathBuf {
    mount.local("cat.png", &png(1, 900));
    mount.local("dog.png", &png(2, 900));
    mount.local("page.md", b"# Pets\n\n![a cat](cat.png) and ![a dog](dog.png)\n")
}

/// What the page is when both pictures are in the bed.
fn migrated(mount: &Mount) -> String {
    let url = |path| mount.emulator.row(path).map(|row| row.url).expect("it is in the bed");
    format!("# Pets\n\n![a cat](<{}>) and ![a dog](<{}>)\n", url("cat.png"), url("dog.png"))
}

/// `image-migrate-picgo` of PyPI, which uploads the pictures of a page and puts in their links.
fn migrate(page: &Path) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/bin/imp");
    assert!(program.exists(), "{} is missing: scripts/test installs it", program.display());
    let mut command = Command::new(program);
    command.arg(page).arg("--no-rename").env("NO_PROXY", "127.0.0.1").env("HOME", "/nonexistent");
    command
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn a_migrator_of_pages_uploads_by_the_server() {
    let server = Server::with(unmounted(), &[], Some("p4ss"));
    let page = page(&server.mount);
    let url = format!("http://{}/upload", server.host());
    let ask = |secret: &str| {
        let mut command = migrate(&page);
        command.args(["--server-url", &url, "--server-secret", secret]);
        command.output().expect("it runs")
    };
    let output = ask("wrong");
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert_eq!(server.mount.emulator.count("create"), 0);
    let output = ask("p4ss");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(fs::read_to_string(&page).expect("a page"), migrated(&server.mount));
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn a_migrator_of_pages_reads_the_links_that_upload_prints() {
    let mount = unmounted();
    let page = page(&mount);
    // It calls `picgo --config FILE upload PATH...`.
    let script = format!("#!/bin/sh\nshift 3\nexec '{BEDFS}' upload \"$@\"\n");
    let picgo = mount.local("picgo", script.as_bytes());
    fs::set_permissions(&picgo, fs::Permissions::from_mode(0o755)).expect("set");
    let config = mount.local("picgo.json", b"{}");
    let mut command = migrate(&page);
    command.args(["--method", "cli", "--picgo-command"]).arg(&picgo);
    command.arg("--picgo-config").arg(&config);
    // What the program itself needs to know of the bed.
    let environment = mount.bedfs("upload");
    in_place_of(&environment, &mut command);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(fs::read_to_string(&page).expect("a page"), migrated(&mount));
}
