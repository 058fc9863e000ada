//! Machines: two mounts of one bed, each on a state folder of its own, show what the other does.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{Mount, attempt, bedfs, fast, noise, run, text, wait_until, xattr};
use crate::journaled::bed_is;
use crate::semantics::{bed_with, no_violations, refresh};

/// Another mount of a mount's bed, as on another machine.
pub(crate) struct Elsewhere {
    home: TempDir,
    pub(crate) path: PathBuf,
}

impl Elsewhere {
    pub(crate) fn new(of: &Mount, args: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path().join("mnt");
        fs::create_dir(&path).expect("a mount point");
        let mut mount = bedfs(home.path(), &of.emulator.base_url());
        mount.args(["mount", "--qps", "unlimited"]).args(args).arg(&path);
        let output = mount.output().expect("bedfs runs");
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
        Self { home, path }
    }

    fn unmount(&self, of: &Mount) {
        wait_until("unmounted", || {
            let mut umount = bedfs(self.home.path(), &of.emulator.base_url());
            umount.arg("umount").arg(&self.path).output().expect("bedfs runs").status.success()
        });
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        attempt("umount", ["-l".as_ref(), self.path.as_os_str()]);
    }
}

/// What one of two mounts does, by the words of it, and how the other shows that.
type Change<'a> = (&'a str, fn(&Path) -> std::io::Result<()>, fn(&Path) -> bool);

fn holds(path: PathBuf, bytes: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == bytes)
}

const CHANGES: &[Change] = &[
    ("new", |m| fs::write(m.join("n.jpg"), b"new"), |m| holds(m.join("n.jpg"), b"new")),
    (
        "overwritten",
        |m| fs::write(m.join("n.jpg"), b"longer"),
        |m| holds(m.join("n.jpg"), b"longer"),
    ),
    (
        "renamed",
        |m| fs::rename(m.join("n.jpg"), m.join("r.jpg")),
        |m| holds(m.join("r.jpg"), b"longer") && !m.join("n.jpg").exists(),
    ),
    ("a folder", |m| fs::create_dir(m.join("f")), |m| m.join("f").is_dir()),
    (
        "moved",
        |m| fs::rename(m.join("r.jpg"), m.join("f/r.jpg")),
        |m| holds(m.join("f/r.jpg"), b"longer") && !m.join("r.jpg").exists(),
    ),
    (
        "a renamed folder",
        |m| fs::rename(m.join("f"), m.join("g")),
        |m| holds(m.join("g/r.jpg"), b"longer") && !m.join("f").exists(),
    ),
    ("removed", |m| fs::remove_file(m.join("g/r.jpg")), |m| !m.join("g/r.jpg").exists()),
    ("a removed folder", |m| fs::remove_dir(m.join("g")), |m| !m.join("g").exists()),
];

#[test]
fn two_mounts_of_a_bed_show_each_other_their_changes() {
    let args = &["--dir-ttl", "1"];
    let one = bed_with(fast(), args, |bed| drop(bed.put("d/a.jpg", b"a")));
    let two = Elsewhere::new(&one, args);
    for (here, there) in [(&one.path, &two.path), (&two.path, &one.path)] {
        // In use at both.
        run("ls", ["-R".as_ref(), here.as_os_str(), there.as_os_str()]);
        for (what, change, shows) in CHANGES {
            change(&here.join("d")).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(shows(&here.join("d")), "{what}: not even here");
            wait_until(what, || shows(&there.join("d")));
        }
    }
    // What one makes has one ID and one link for both.
    fs::write(one.at("d/b.jpg"), b"b").expect("written");
    wait_until("it is there", || two.path.join("d/b.jpg").exists());
    for name in ["id", "url"] {
        let told = xattr(&one.at("d/b.jpg"), name);
        assert!(told.is_some() && xattr(&two.path.join("d/b.jpg"), name) == told, "{name}");
    }
    two.unmount(&one);
    one.unmount();
    bed_is(&one, &[("d", b""), ("d/a.jpg", b"a"), ("d/b.jpg", b"b")]);
}

#[test]
fn of_two_mounts_that_write_to_one_name_the_later_one_is_there() {
    for seen_just_now in [true, false] {
        // Neither looks again by itself: both write over what they do not know.
        let args = &["--dir-ttl", "3600"];
        let one = bed_with(fast(), args, |bed| {
            ["old-0.jpg", "old-1.jpg"].into_iter().for_each(|path| drop(bed.put(path, b"old")));
        });
        let two = Elsewhere::new(&one, args);
        run("ls", [&one.path, &two.path]);
        if !seen_just_now {
            // What was not seen for ten seconds is looked for before it is replaced.
            thread::sleep(Duration::from_secs(11));
        }
        for (number, name) in
            ["old-0.jpg", "new-0.jpg", "old-1.jpg", "new-1.jpg"].into_iter().enumerate()
        {
            let mut mounts = [&one.path, &two.path];
            mounts.rotate_left(number / 2);
            let versions = [0, 1].map(|machine| noise(10 * number as u64 + machine, 4000));
            for (mount, bytes) in mounts.into_iter().zip(&versions) {
                run("cp", [one.local("version", bytes), mount.join(name)]);
                assert!(one.emulator.read(name).as_ref() == Some(bytes), "{name}");
            }
            for mount in mounts {
                refresh(mount);
                wait_until("the later one is shown", || holds(mount.join(name), &versions[1]));
            }
        }
        two.unmount(&one);
        one.unmount();
        assert_eq!(one.emulator.tree().len(), 4, "{:?}", one.emulator.tree());
        no_violations(&one);
    }
}
