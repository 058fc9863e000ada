//! A local disk that is small: what is read gives way to what is written, and on a full disk whatever
//! makes room, or ends something, works.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use bedfs::types::Md5;
use bedfs_emulator::{Emulator, FaultKind, Options};
use md5::{Digest, Md5 as Hasher};

use crate::command::unmounted;
use crate::harness::{Mount, attempt, fast, noise, run, text, wait_until, xattr};
use crate::journaled::{BACKGROUND, crash, listed, stays};
use crate::semantics::no_violations;

const MIB: usize = 1 << 20;

/// What the error of a full disk is called.
const FULL: &str = "No space left on device";

/// A mount whose state and cache are on one small disk.
pub(crate) struct Small {
    pub(crate) mount: Mount,
    disk: PathBuf,
}

impl Small {
    pub(crate) fn new(mib: usize, options: Options, laid_out: impl FnOnce(&Emulator)) -> Self {
        let mut mount = unmounted();
        mount.emulator = Emulator::start(options).expect("the emulator starts");
        laid_out(&mount.emulator);
        let disk = mount.dir.path().join("disk");
        fs::create_dir(&disk).expect("a folder");
        let size = format!("size={mib}M");
        let tmpfs = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(AsRef::as_ref);
        run("mount", tmpfs.into_iter().chain([disk.as_os_str()]));
        for folder in ["state", "cache"] {
            fs::create_dir(disk.join(folder)).expect("a folder");
            symlink(disk.join(folder), mount.dir.path().join(folder)).expect("a link");
        }
        let small = Self { mount, disk };
        small.mount();
        small
    }

    fn mount(&self) {
        let output = self.mount.mount(BACKGROUND);
        assert!(output.status.success(), "bedfs mount: {}", text(&output.stderr));
    }

    /// Bytes that are free on the disk.
    fn free(&self) -> usize {
        let told = run("df", ["--output=avail".as_ref(), "-B1".as_ref(), self.disk.as_os_str()]);
        told.lines().nth(1).and_then(|free| free.trim().parse().ok()).expect("a number")
    }

    /// Takes up all the room there is.
    fn fill(&self) {
        let mut filler = File::create(self.disk.join("filler")).expect("a file");
        while filler.write_all(&[1; 4096]).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
        assert_eq!(self.free(), 0);
    }

    /// Takes up all the room, and what the program keeps for itself of it too.
    pub(crate) fn leave_nothing(&self) {
        run(
            "find",
            [self.disk.as_os_str(), "-name".as_ref(), "reserve".as_ref(), "-delete".as_ref()],
        );
        self.fill();
    }

    /// Gives the room back that was taken up.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.disk.join("filler")).expect("removed");
    }

    /// Reads a picture, and waits until it is in the cache on disk.
    fn read(&self, name: &str) {
        assert!(fs::read(self.mount.at(name)).ok() == self.mount.emulator.read(name), "{name}");
        wait_until("it is cached", || self.is_cached(name));
        wait_until("it is cached", || xattr(&self.mount.at(name), "cached") == self.size(name));
    }

    fn size(&self, name: &str) -> Option<String> {
        self.mount.emulator.read(name).map(|bytes| bytes.len().to_string())
    }

    /// Whether the cache on disk has something of a picture.
    fn is_cached(&self, name: &str) -> bool {
        let id = self.mount.emulator.row(name).expect("it is there").id;
        let file = format!("{}.data", Md5::new(Hasher::digest(id).into()));
        let found =
            run("find", [self.disk.join("cache").as_os_str(), "-name".as_ref(), file.as_ref()]);
        !found.is_empty()
    }

    pub(crate) fn cp(&self, name: &str, bytes: &[u8]) {
        run("cp", [self.mount.local("local.jpg", bytes), self.mount.at(name)]);
    }

    /// Copies something for which there is no room.
    fn cp_in_vain(&self, name: &str, bytes: &[u8]) {
        let copied = attempt("cp", [self.mount.local("local.jpg", bytes), self.mount.at(name)]);
        assert!(text(&copied.stderr).contains(FULL), "{name}: {}", text(&copied.stderr));
    }

    /// Runs `bedfs pending`, which must succeed.
    fn pending<const N: usize>(&self, args: [&str; N]) -> String {
        let output = self.mount.bedfs("pending").args(args).output().expect("bedfs runs");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        for path in [&self.mount.path, &self.disk] {
            attempt("umount", ["-l".as_ref(), path.as_os_str()]);
        }
    }
}

/// Three pictures of 5 MiB, and one of 1 MiB.
fn pictures(bed: &Emulator) {
    for (seed, name) in ["a.jpg", "b.jpg", "c.jpg", "p.jpg"].into_iter().enumerate() {
        let mib = if name == "p.jpg" { 1 } else { 5 };
        bed.put(name, &noise(seed as u64, mib * MIB));
    }
}

#[test]
fn what_is_read_gives_way_to_what_is_written_the_least_recently_used_first_and_pins_never() {
    let small = Small::new(24, fast(), pictures);
    let mount = &small.mount;
    mount.emulator.inject(stays("create", FaultKind::Status(503)));
    run(
        "setfattr",
        ["-n", "user.bedfs.cached", "-v", "pin"]
            .map(Into::into)
            .into_iter()
            .chain([mount.at("p.jpg").into_os_string()]),
    );
    ["p.jpg", "a.jpg", "b.jpg", "c.jpg"].into_iter().for_each(|name| small.read(name));
    // What can never be is not made room for.
    let free = small.free();
    let allocated =
        attempt("fallocate", ["-l".as_ref(), "1G".as_ref(), mount.at("g.jpg").as_os_str()]);
    assert!(text(&allocated.stderr).contains(FULL), "{}", text(&allocated.stderr));
    assert!(small.free() + MIB / 2 > free, "{free} bytes were free, {} are", small.free());
    let are_cached = || ["p.jpg", "a.jpg", "b.jpg", "c.jpg"].map(|name| small.is_cached(name));
    assert_eq!(are_cached(), [true; 4]);
    small.cp("first.jpg", &noise(11, 8 * MIB));
    assert_eq!(are_cached(), [true, false, true, true]);
    small.cp("second.jpg", &noise(12, 9 * MIB));
    assert_eq!(are_cached(), [true, false, false, false]);
    // All that is left nobody but this machine has, or the user wants here.
    small.cp_in_vain("third.jpg", &noise(13, 5 * MIB));
    assert!(small.is_cached("p.jpg"));
    assert!(fs::read(mount.at("a.jpg")).ok() == mount.emulator.read("a.jpg"));
    run("rm", ["third.jpg", "second.jpg", "b.jpg", "g.jpg"].map(|name| mount.at(name)));
    mount.emulator.clear_faults();
    mount.quiet();
    assert!(mount.emulator.read("first.jpg") == Some(noise(11, 8 * MIB)));
    assert_eq!(mount.emulator.tree().len(), 4, "{:?}", mount.emulator.tree());
    mount.unmount();
    no_violations(mount);
}

#[test]
fn a_copy_that_finds_no_room_leaves_what_was_there_and_the_room_to_the_next() {
    let small = Small::new(3, fast(), |bed| drop(bed.put("old.jpg", &noise(1, 9000))));
    let mount = &small.mount;
    let id = mount.emulator.row("old.jpg").expect("there").id;
    let large = noise(2, 4_400_000);
    for name in ["new.jpg", "old.jpg", "waits.jpg"] {
        if name == "waits.jpg" {
            mount.emulator.inject(stays("create", FaultKind::Status(503)));
            small.cp(name, b"promised before");
        }
        small.cp_in_vain(name, &large);
        small.cp_in_vain(name, &large);
    }
    assert_eq!(fs::read(mount.at("new.jpg")).expect("its name is there"), b"");
    assert!(fs::read(mount.at("old.jpg")).expect("read") == noise(1, 9000));
    assert_eq!(fs::read(mount.at("waits.jpg")).expect("read"), b"promised before");
    let waiting = listed(mount);
    let files = waiting.lines().filter(|line| !line.starts_with(' ')).count();
    assert!(waiting.contains("waits.jpg") && files == 1, "{waiting}");
    mount.emulator.clear_faults();
    small.cp("next.jpg", &noise(3, MIB));
    mount.quiet();
    run("rm", [mount.at("new.jpg")]);
    mount.unmount();
    assert_eq!(mount.emulator.row("old.jpg").expect("there").id, id, "its link lives");
    assert_eq!(mount.emulator.read("waits.jpg").as_deref(), Some(&b"promised before"[..]));
    assert!(mount.emulator.read("next.jpg") == Some(noise(3, MIB)));
    assert_eq!(mount.emulator.tree().len(), 3, "{:?}", mount.emulator.tree());
    no_violations(mount);
}

#[test]
fn what_was_written_until_the_disk_was_full_can_be_had_and_discarded_after_a_kill() {
    let small = Small::new(3, fast(), |_| {});
    let mount = &small.mount;
    let bytes = noise(1, 4_400_000);
    let mut file = File::create(mount.at("half.jpg")).expect("made");
    let written = bytes.chunks(4096).take_while(|part| file.write_all(part).is_ok()).count() * 4096;
    assert!(written > MIB && written < bytes.len(), "{written} bytes fit");
    small.fill();
    crash(mount);
    drop(file);
    assert!(listed(mount).contains("half.jpg"), "{}", listed(mount));
    small.mount();
    let out = mount.dir.path().join("out");
    small.pending(["export", out.to_str().expect("UTF-8")]);
    let exported = fs::read(out.join("half.jpg")).expect("exported");
    assert!(exported.len() >= written && bytes.starts_with(&exported), "{}", exported.len());
    small.cp_in_vain("n.jpg", &bytes);
    small.pending(["discard", "half.jpg"]);
    small.cp("n.jpg", &noise(2, MIB));
    mount.quiet();
    assert!(mount.emulator.read("n.jpg") == Some(noise(2, MIB)));
    mount.unmount();
    no_violations(mount);
}

#[test]
fn on_a_full_disk_whatever_makes_room_or_ends_something_works() {
    let small = Small::new(24, fast(), pictures);
    let mount = &small.mount;
    mount.emulator.inject(stays("create", FaultKind::Status(503)));
    for name in ["cut.jpg", "removed.jpg", "sent.jpg"] {
        small.cp(name, &noise(name.len() as u64, MIB));
    }
    small.fill();
    small.cp_in_vain("n.jpg", &noise(3, MIB));
    let room = small.free();
    run("rm", [mount.at("removed.jpg"), mount.at("a.jpg")]);
    run("truncate", ["-s".into(), "0".into(), mount.at("cut.jpg").into_os_string()]);
    mount.emulator.clear_faults();
    run("mv", [mount.at("b.jpg"), mount.at("z.jpg")]);
    mount.quiet();
    assert!(mount.emulator.read("sent.jpg") == Some(noise(8, MIB)));
    mount.unmount();
    assert!(small.free() > room, "{} bytes are free, {room} were", small.free());
    let names: Vec<String> = mount.emulator.tree().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["c.jpg", "p.jpg", "sent.jpg", "z.jpg"]);
    small.fill();
    small.mount();
    run("rm", [mount.at("c.jpg")]);
    mount.unmount();
    assert!(mount.emulator.read("c.jpg").is_none());
    no_violations(mount);
}

#[test]
fn the_transfer_of_a_file_that_nobody_wants_ends_and_its_room_is_free() {
    let bandwidth = Some(200 << 10);
    let small = Small::new(48, Options { bandwidth, slice_size: 4 << 20, ..fast() }, |_| {});
    let mount = &small.mount;
    let is_sent = || mount.emulator.count("get_upload_url") > 0;
    let large = noise(1, 20 * MIB);
    let free = small.free();
    for next in ["removed", "written anew"] {
        mount.emulator.forget_requests();
        small.cp("large.jpg", &large);
        wait_until("it is being sent", is_sent);
        match next {
            "removed" => run("rm", [mount.at("large.jpg")]).clear(),
            _ => small.cp("large.jpg", b"small"),
        }
        wait_until("its room is free", || small.free() + 2 * MIB > free);
        mount.quiet();
        assert_eq!(
            mount.emulator.count("upload_complete"),
            usize::from(next != "removed"),
            "{next}"
        );
    }
    assert_eq!(mount.emulator.read("large.jpg").as_deref(), Some(&b"small"[..]));
    // The service is asked to complete it, and does not answer: the bytes are not wanted for that.
    mount.emulator.change(|options| options.bandwidth = None);
    mount.emulator.inject(stays("upload_complete", FaultKind::Hang));
    small.cp("other.jpg", &large);
    wait_until("it is being completed", || mount.emulator.hanging() > 0);
    run("rm", [mount.at("other.jpg")]);
    assert!(small.free() + 2 * MIB > free, "{free} bytes were free, {} are", small.free());
    mount.emulator.clear_faults();
    mount.quiet();
    mount.unmount();
    assert_eq!(mount.emulator.tree().len(), 1, "{:?}", mount.emulator.tree());
    no_violations(mount);
}
