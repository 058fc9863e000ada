//! The service is away, in each way in which it can be, while changes are left unfinished: what is known
//! is shown and what is here is read at once, and what is acknowledged here waits for nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bedfs_emulator::Emulator;

use crate::absence::{Away, Bed};
use crate::bench::all_at_once;
use crate::command::{kill, pid};
use crate::harness::{Mount, noise, run, text, wait_until, xattr};
use crate::journaled::{crash, mount_again};
use crate::options::errno;
use crate::outages::no_violations;

/// How long the mount waits for the service, and what no look comes near that waits for it too.
const TIMEOUT: &str = "--timeout=25";
const AT_ONCE: Duration = Duration::from_secs(10);

/// Listings are old after that long.
const TTL: (&str, Duration) = ("--dir-ttl=1", Duration::from_secs(2));

const IN_BACKGROUND: [&str; 4] = [TIMEOUT, TTL.0, "--upload", "background"];

/// A change that needs the service, in a folder of its own.
struct Change {
    folder: &'static str,
    make: fn(&Path) -> io::Result<()>,
    /// Of what the bed has there before: a name, and one below another if it has a slash.
    names: &'static [&'static str],
    /// What may be shown afterwards: one of these in full, with everything that is in none of them.
    views: &'static [&'static [&'static str]],
    /// Whether it is acknowledged without the service.
    is_done: bool,
}

const CHANGES: &[Change] = &[
    Change {
        folder: "move",
        make: |at| fs::rename(at.join("a.jpg"), at.join("to/a.jpg")),
        names: &["a.jpg", "to/b.jpg"],
        views: &[&["a.jpg", "to/b.jpg"], &["to/a.jpg", "to/b.jpg"]],
        is_done: false,
    },
    Change {
        folder: "rename",
        make: |at| fs::rename(at.join("a.jpg"), at.join("b.jpg")),
        names: &["a.jpg"],
        views: &[&["a.jpg"], &["b.jpg"]],
        is_done: false,
    },
    Change {
        folder: "move-folder",
        make: |at| fs::rename(at.join("d"), at.join("to/d")),
        names: &["d/a.jpg", "to/b.jpg"],
        views: &[&["d/a.jpg", "to/b.jpg"], &["to/b.jpg", "to/d/a.jpg"]],
        is_done: false,
    },
    Change {
        folder: "rename-folder",
        make: |at| fs::rename(at.join("d"), at.join("e")),
        names: &["d/a.jpg"],
        views: &[&["d/a.jpg"], &["e/a.jpg"]],
        is_done: false,
    },
    Change {
        folder: "rm",
        make: |at| fs::remove_file(at.join("a.jpg")),
        names: &["a.jpg", "b.jpg"],
        views: &[&["b.jpg"]],
        is_done: true,
    },
    Change {
        folder: "rmdir",
        make: |at| fs::remove_dir(at.join("empty")),
        names: &["a.jpg"],
        views: &[&["a.jpg"]],
        is_done: false,
    },
    Change {
        folder: "mkdir",
        make: |at| fs::create_dir(at.join("new")),
        names: &["a.jpg"],
        views: &[&["a.jpg"]],
        is_done: false,
    },
    Change {
        folder: "cp",
        make: |at| write(&at.join("new.jpg"), b"new bytes"),
        names: &["a.jpg"],
        views: &[&["a.jpg", "new.jpg"]],
        is_done: false,
    },
    Change {
        folder: "overwrite",
        make: |at| write(&at.join("a.jpg"), b"new bytes"),
        names: &["a.jpg"],
        views: &[&["a.jpg"]],
        is_done: false,
    },
];

/// What a picture holds is told by its place at first.
fn picture(path: &str) -> Vec<u8> {
    noise(path.bytes().fold(7, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte)), 3000)
}

/// Writes a file, and hears what comes of it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Does it, which must come to an end at once.
fn at_once<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, end) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    end.recv_timeout(AT_ONCE).unwrap_or_else(|_| panic!("{what} waits"))
}

/// The files in a folder and those below it, by their paths in it, with what they hold.
fn files(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.metadata()?.is_dir() {
            true => {
                let below = files(&entry.path())?.into_iter();
                found.extend(below.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
            }
            false => drop(found.insert(name, fs::read(entry.path())?)),
        }
    }
    Ok(found)
}

fn files_at_once(folder: PathBuf) -> BTreeMap<String, Vec<u8>> {
    let what = folder.display().to_string();
    at_once(&what, move || files(&folder)).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Looks at everything that nobody changes: names, attributes, bytes, and what is told of the mount.
fn look_around(root: &Path) {
    let quiet = root.join("quiet");
    let shown = files_at_once(quiet.clone());
    assert_eq!(shown, BTreeMap::from([("a.jpg".to_owned(), picture("quiet/a.jpg"))]));
    let path = quiet.join("a.jpg");
    assert!(at_once("getfattr", move || xattr(&path, "url")).is_some());
    let path = root.to_owned();
    let account = at_once("getfattr of the root", move || xattr(&path, "account.space_used"));
    assert!(account.is_some());
    for name in ["status.json", "pending.json", "account.json", "links.csv", "metrics"] {
        let path = root.join(".bedfs").join(name);
        at_once(name, move || fs::read(path)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let path = root.to_owned();
    at_once("df", move || run("df", [path]));
}

/// Requests that the kernel has no answer to yet.
fn waiting(mount: &Mount) -> usize {
    let device = fs::metadata(&mount.path).expect("it is mounted").dev();
    let connections = "/sys/fs/fuse/connections";
    let script =
        format!("mount -t fusectl fusectl {connections} && cat {connections}/{device}/waiting");
    let waiting = run("unshare", ["--mount", "sh", "-ec", &script]);
    waiting.trim().parse().expect("a number")
}

/// A bed with all that is changed, each picture once.
fn fill(emulator: &Emulator) {
    let put = |path: &str| drop(emulator.put(path, &picture(path)));
    put("quiet/a.jpg");
    emulator.mkdir("rmdir/empty");
    for Change { folder, names, .. } in CHANGES {
        names.iter().for_each(|name| put(&format!("{folder}/{name}")));
    }
}

/// What a change in a folder left must be shown so, and at once.
fn is_one_of_its_views(root: &Path, change: &Change) {
    let Change { folder, views, .. } = change;
    let shown = files_at_once(root.join(folder));
    let names: Vec<&str> = shown.keys().map(String::as_str).collect();
    assert!(views.contains(&names.as_slice()), "{folder}: {names:?} is shown");
    let before: Vec<_> =
        change.names.iter().map(|name| picture(&format!("{folder}/{name}"))).collect();
    let is_right = |bytes: &Vec<u8>| *bytes == b"new bytes" || before.contains(bytes);
    assert!(shown.values().all(is_right), "{folder}: other bytes are read");
}

fn stays_readable(way: Away) {
    let mut bed = Bed::new(way, &[TIMEOUT, TTL.0], fill);
    // Everything is listed, and read once.
    let before = files(&bed.root).expect("the bed");
    assert_eq!(before.len(), 1 + CHANGES.iter().map(|change| change.names.len()).sum::<usize>());
    look_around(&bed.root);
    bed.leave();
    thread::sleep(TTL.1);
    let root = &bed.root;
    let (under_way, ended) = mpsc::channel();
    thread::scope(|scope| {
        for change in CHANGES {
            let (at, ended) = (root.join(change.folder), under_way.clone());
            scope.spawn(move || {
                let made = (change.make)(&at);
                ended.send((change, made)).expect("somebody waits");
            });
        }
        drop(under_way);
        // None of them is waited for.
        thread::sleep(TTL.1);
        look_around(root);
        for (change, made) in ended {
            let folder = change.folder;
            match change.is_done {
                true => made.unwrap_or_else(|error| panic!("{folder}: {error}")),
                false => {
                    assert!(made.is_err(), "{folder}: it is done");
                    let errno = errno(made);
                    assert!([libc::EIO, libc::ETIMEDOUT].contains(&errno), "{folder}: {errno}");
                }
            }
            is_one_of_its_views(root, change);
        }
    });
    // What goes on by itself, or is looked at again and again, takes nothing out of view either.
    for _ in 0..4 {
        thread::sleep(Duration::from_secs(4));
        look_around(root);
        CHANGES.iter().for_each(|change| is_one_of_its_views(root, change));
    }
    bed.come_back();
    let emulator = &bed.mount.emulator;
    for change in CHANGES.iter().filter(|change| !["cp", "overwrite"].contains(&change.folder)) {
        wait_until(&format!("{} is as the bed has it", change.folder), || {
            let in_bed = |path: &str| emulator.read(&format!("{}/{path}", change.folder));
            files(&bed.root.join(change.folder)).is_ok_and(|shown| {
                shown.iter().all(|(path, bytes)| in_bed(path).as_ref() == Some(bytes))
                    && shown.len() == change.views[0].len()
            })
        });
    }
    no_violations(&bed.mount);
}

#[test]
fn what_is_known_is_shown_while_the_service_hangs_and_changes_are_unfinished() {
    stays_readable(Away::Hangs);
}

#[test]
fn what_is_known_is_shown_while_the_service_refuses_and_changes_are_unfinished() {
    stays_readable(Away::Refuses);
}

#[test]
fn what_is_known_is_shown_while_the_service_has_no_address_and_changes_are_unfinished() {
    stays_readable(Away::Nowhere);
}

#[test]
fn what_is_acknowledged_here_waits_for_no_service_and_gets_there_when_it_is_back() {
    all_at_once([Away::Hangs, Away::Refuses], |way| {
        let mut bed = Bed::new(way, &IN_BACKGROUND, fill);
        files(&bed.root).expect("the bed");
        bed.leave();
        // However long ago the folders were listed.
        thread::sleep(TTL.1);
        let root = bed.root.clone();
        let at = move |path: &str| root.join(path);
        let make = |what: &'static str, work: &(dyn Fn() -> io::Result<()> + Sync)| {
            thread::scope(|scope| {
                let (done, end) = mpsc::channel();
                scope.spawn(move || done.send(work()));
                let made = end.recv_timeout(AT_ONCE);
                made.unwrap_or_else(|_| panic!("{what} waits, {way:?}"))
                    .unwrap_or_else(|error| panic!("{what}: {error}, {way:?}"));
            });
        };
        // One that cannot be acknowledged is unfinished all the while. Within a folder, since the kernel
        // has one rename between folders wait for another.
        let moving = (at("move/a.jpg"), at("move/z.jpg"));
        thread::spawn(move || fs::rename(moving.0, moving.1));
        make("cp", &|| write(&at("cp/new.jpg"), b"new bytes"));
        make("cp over a known one", &|| write(&at("overwrite/a.jpg"), b"new bytes"));
        make("rm", &|| fs::remove_file(at("rm/a.jpg")));
        for name in ["b", "c", "d", "e"] {
            make("cp", &|| write(&at(&format!("rename/{name}.jpg")), name.as_bytes()));
        }
        // Their uploads are under way.
        thread::sleep(Duration::from_secs(1));
        make("rm of a pending one", &|| fs::remove_file(at("rename/e.jpg")));
        wait_until("nothing but the one rename waits", || waiting(&bed.mount) <= 1);
        let names =
            |folder: &str| -> Vec<String> { files_at_once(at(folder)).into_keys().collect() };
        assert_eq!(names("rename"), ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]);
        assert_eq!(names("cp"), ["a.jpg", "new.jpg"]);
        assert_eq!(names("rm"), ["b.jpg"]);
        look_around(&bed.root);
        let listed = fs::read_to_string(at(".bedfs/pending.json")).expect("what is pending");
        for path in ["cp/new.jpg", "overwrite/a.jpg", "rm/a.jpg", "rename/b.jpg", "rename/c.jpg"] {
            assert!(listed.contains(path), "{path} is not listed: {listed}");
        }
        if way == Away::Hangs {
            // What is recorded outlives a kill.
            crash(&bed.mount);
            bed.come_back();
            mount_again(&bed.mount, &["--upload", "background"]);
        } else {
            bed.come_back();
        }
        let wanted: [(&str, &[u8]); 5] = [
            ("cp/new.jpg", b"new bytes"),
            ("overwrite/a.jpg", b"new bytes"),
            ("rename/b.jpg", b"b"),
            ("rename/c.jpg", b"c"),
            ("rename/d.jpg", b"d"),
        ];
        let emulator = &bed.mount.emulator;
        for (path, bytes) in wanted {
            wait_until(path, || emulator.read(path).is_some_and(|found| found == bytes));
        }
        for path in ["rm/a.jpg", "rename/e.jpg"] {
            wait_until(&format!("{path} is gone"), || emulator.read(path).is_none());
        }
        no_violations(&bed.mount);
    });
}

#[test]
fn who_asks_how_a_mount_is_or_ends_it_does_not_wait_for_a_silent_service() {
    let mut bed = Bed::new(Away::Hangs, &IN_BACKGROUND, fill);
    files(&bed.root).expect("the bed");
    let process = pid(&bed.mount);
    bed.leave();
    thread::sleep(TTL.1);
    write(&bed.root.join("cp/new.jpg"), b"new bytes").expect("acknowledged");
    let ask = |command: &str, args: &[&str]| {
        let mut told = bed.mount.bedfs(command);
        told.args(args);
        at_once(command, move || told.output().expect("bedfs runs"))
    };
    let status = ask("status", &[]);
    assert!(text(&status.stdout).contains("1 not finished"), "{}", text(&status.stdout));
    assert!(text(&ask("pending", &[]).stdout).contains("cp/new.jpg"));
    wait_until("it says why", || {
        text(&ask("status", &[]).stdout).contains("nothing came from the service for")
    });
    let path = bed.mount.path.to_str().expect("UTF-8");
    let umount = ask("umount", &["--timeout", "2", path]);
    assert!(!umount.status.success() && text(&umount.stderr).contains("cp/new.jpg"));
    assert!(!bed.mount.is_mounted());
    kill(process, libc::SIGKILL);
}
