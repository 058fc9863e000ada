//! The build script: finds out which commit is built, for `bedfs --version`.
//!
//! A release tells it where there is one to tell: `BEDFS_COMMIT` names it for who builds from a tarball,
//! else git does. A debug build does not, or every commit would have it built anew.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BEDFS_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let named = env::var("BEDFS_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = named.or_else(|| if is_release { head() } else { None });
    let version = match commit {
        Some(commit) => format!("{version} ({commit})"),
        None if is_release => version,
        None => format!("{version} (debug)"),
    };
    println!("cargo::rustc-env=BEDFS_VERSION={version}");
}

/// The commit that is checked out here, if this is a repository of this project and not one that it
/// was unpacked in.
fn head() -> Option<String> {
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    if root.trim() != here {
        return None;
    }
    // The log of HEAD grows with every commit and checkout.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", name])?;
        // One that is not there would have every build begin anew.
        if std::path::Path::new(path.trim()).exists() {
            println!("cargo::rerun-if-changed={}", path.trim());
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    Some(commit.trim().to_owned())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}
