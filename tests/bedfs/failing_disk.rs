//! A local disk that fails to keep what was written: nobody is told otherwise later, and nothing but
//! what was written gets to the service.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedfs_emulator::FaultKind;

use crate::command::{kill, pid};
use crate::harness::{Mount, attempt, fast, noise, not_tested, run};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, eventually, is_alive, listed, mount_again, stays,
};
use crate::semantics::no_violations;

/// More than the disk keeps, and less than it says it has.
const TOO_MUCH: usize = 16 << 20;

/// A mount whose staged bytes are on a disk that has less than it says: what is written is lost when
/// it is to be brought there.
struct Failing {
    mount: Mount,
    staging: PathBuf,
    store: PathBuf,
}

impl Failing {
    /// `None` where this machine cannot do it.
    fn new(args: &[&str]) -> Option<Self> {
        let mount = Mount::with(fast(), args);
        mount.unmount();
        let mut accounts = fs::read_dir(mount.dir.path().join("state/bedfs")).expect("the state");
        let staging = accounts.find_map(|account| {
            let staging = account.expect("an account").path().join("staging");
            staging.is_dir().then_some(staging)
        });
        let store = mount.dir.path().join("store");
        fs::create_dir(&store).expect("made");
        let failing = Self { staging: staging.expect("staged bytes have a place"), store, mount };
        if !failing.has_disk() {
            not_tested("this machine mounts no loop device");
            return None;
        }
        mount_again(&failing.mount, args);
        Some(failing)
    }

    fn has_disk(&self) -> bool {
        let image = self.store.join("image");
        let did = |program: &str, args: &[&str], paths: &[&Path]| {
            let args = args.iter().map(OsStr::new).chain(paths.iter().map(|it| it.as_os_str()));
            Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
        };
        did("mount", &["-t", "tmpfs", "-o", "size=8M", "tmpfs"], &[&self.store])
            && File::create(&image).and_then(|file| file.set_len(64 << 20)).is_ok()
            && did(
                "mkfs.ext4",
                &["-q", "-O", "^has_journal", "-E", "lazy_itable_init=0"],
                &[&image],
            )
            && did("mount", &["-o", "loop"], &[&image, &self.staging])
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        for path in [&self.mount.path, &self.staging, &self.store] {
            attempt("umount", ["-l".as_ref(), path.as_os_str()]);
        }
    }
}

/// A new file.
fn create(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).expect("made")
}

/// Ends the mount, which tries once more to upload what it has.
fn end(mount: &Mount) {
    let process = pid(mount);
    kill(process, libc::SIGTERM);
    eventually("the mount has ended", || !is_alive(process));
}

/// Closes it, and tells what that came to.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor is this file's alone, and is not used after.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn bytes_that_the_disk_lost_are_never_acknowledged_nor_published() {
    for args in [&[][..], BACKGROUND] {
        let Some(failing) = Failing::new(args) else { return };
        let mount = &failing.mount;
        let file = create(&mount.at("a.jpg"));
        file.write_all_at(&noise(1, TOO_MUCH), 0).expect("nobody knows yet");
        for time in 0..4 {
            assert!(file.sync_all().is_err(), "told by each, so by number {time}");
        }
        assert!(close(file).is_err(), "told to who closes it too");
        assert!(mount.emulator.read("a.jpg").is_none());
        end(mount);
        assert!(mount.emulator.read("a.jpg").is_none(), "nor when the mount ends");
        assert!(listed(mount).contains("a.jpg"), "{}", listed(mount));
        mount_again(mount, args);
        assert!(mount.emulator.read("a.jpg").is_none(), "nor by the next one");
        no_violations(mount);
    }
}

#[test]
fn what_was_promised_before_the_disk_failed_waits_for_the_user() {
    let Some(failing) = Failing::new(BACKGROUND) else { return };
    let mount = &failing.mount;
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let file = create(&mount.at("a.jpg"));
    file.write_all_at(b"promised", 0).expect("written");
    file.sync_all().expect("promised");
    file.write_all_at(&noise(1, TOO_MUCH), 8).expect("nobody knows yet");
    assert!(file.sync_all().is_err());
    mount.emulator.clear_faults();
    assert!(close(file).is_err());
    end(mount);
    let sent = mount.emulator.read("a.jpg");
    assert!(sent.is_none_or(|sent| sent == b"promised"), "nothing that was not written");
    assert!(listed(mount).contains("a.jpg"), "{}", listed(mount));
}

#[test]
fn a_file_that_is_cut_to_nothing_after_its_disk_failed_is_written_anew() {
    let Some(failing) = Failing::new(&[]) else { return };
    let mount = &failing.mount;
    let file = create(&mount.at("a.jpg"));
    file.write_all_at(&noise(1, TOO_MUCH), 0).expect("nobody knows yet");
    assert!(file.sync_all().is_err());
    file.set_len(0).expect("cut");
    run("fstrim", [failing.staging.as_os_str()]);
    file.write_all_at(b"anew", 0).expect("written");
    file.sync_all().expect("there is room for that");
    close(file).expect("kept");
    all_done(mount);
    bed_is(mount, &[("a.jpg", b"anew")]);
}
