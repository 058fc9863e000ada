//! What the system's own tools read of a mount: its type and source, its inodes, and what they say where
//! they would change it.

use std::path::Path;

use crate::command::unmounted;
use crate::harness::{attempt, run, text};
use crate::options::started;
use crate::semantics::{bed, python};

/// The source by which the mount table has a mount.
fn source(path: &Path) -> String {
    let args = ["-n", "-o", "SOURCE", "-t", "fuse.bedfs", "--mountpoint"].map(AsRef::as_ref);
    run("findmnt", args.into_iter().chain([path.as_os_str()])).trim().to_owned()
}

#[test]
fn a_mount_is_found_by_its_type_and_told_from_others_by_its_profile() {
    let (one, two) = (unmounted(), unmounted());
    for (mount, profile) in [(&one, "blog"), (&two, "my pictures")] {
        let config = mount.local("own.toml", format!("[profile.'{profile}']\n").as_bytes());
        let config = config.to_str().expect("UTF-8").to_owned();
        let mut command = mount.bedfs("mount");
        command.args(["--config", &config, "--profile", profile]).arg(&mount.path);
        started(mount, &mut command);
    }
    assert_eq!(source(&one.path), "bedfs:blog");
    assert_eq!(source(&two.path), "bedfs:my_pictures");
    let status = one.bedfs("status").arg(&one.path).output().expect("bedfs runs");
    assert!(status.status.success(), "{}", text(&status.stderr));
    // Without a profile it is the account.
    one.remount(&[]);
    let host = one.emulator.base_url();
    let host = host.strip_prefix("http://").expect("HTTP");
    assert_eq!(source(&one.path), format!("bedfs:emulator-id@{host}"));
    let options = run("findmnt", ["-n", "-o", "OPTIONS", one.path.to_str().expect("UTF-8")]);
    assert!(options.split(',').any(|option| option == "noatime"), "{options}");
}

#[test]
fn more_inodes_are_there_than_are_free() {
    let mount = bed(|bed| bed.fill("d", 10, 10));
    run("ls", [mount.at("d")]);
    let said = python(
        "import os,sys; fs = os.statvfs(sys.argv[1]); print(fs.f_files, fs.f_ffree, fs.f_favail)",
        &[&mount.path],
    );
    let figures: Vec<u64> = said.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    let (all, free, available) = (figures[0], figures[1], figures[2]);
    assert!(all > free && free == available && (12..100).contains(&(all - free)), "{said}");
    run("df", ["-i".as_ref(), mount.path.as_os_str()]);
}

#[test]
fn what_cannot_be_changed_of_a_mount_is_told_with_what_to_do() {
    let mount = bed(|bed| drop(bed.put("a.jpg", b"a")));
    let path = mount.path.to_str().expect("UTF-8");
    // As `mount` calls its helper, with what the kernel tells of the mount.
    let options = "rw,nosuid,nodev,noatime,user_id=0,group_id=0,default_permissions,remount,ro";
    let output = mount.bedfs("bed").args([path, "-o", options]).output().expect("bedfs runs");
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains(&format!("bedfs umount {path}")) && !said.contains("--timeout"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(attempt("touch", [mount.at("new.jpg")]).status.success(), "nothing has changed");
}
