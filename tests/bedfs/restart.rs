//! Restarts and upgrades under load: whatever a close was told, the next program shows at once, and
//! brings to the service.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bedfs_emulator::{Emulator, Fault, FaultKind};

use crate::command::{kill, pid};
use crate::failing_disk::close;
use crate::harness::{BEDFS, Mount, fast, in_place_of, noise, run, text};
use crate::journaled::{BACKGROUND, all_done, crash, eventually, is_alive};
use crate::semantics::no_violations;

/// Programs that write at once.
const WRITERS: u64 = 4;

/// Files that are closed between two restarts.
const CLOSED: usize = 30;

/// What was closed, by its name, and the seed of its bytes.
type Closed = Mutex<BTreeMap<String, u64>>;

/// The folder in which is written. The bed has it, and the bare mount point has not.
const FOLDER: &str = "in";

fn bytes(seed: u64) -> Vec<u8> {
    noise(seed, 3000 + 500 * (seed % 20) as usize)
}

/// Writes a file anew, and gives what its close came to.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    close(file)
}

/// Writes file after file, new ones and a few over and over, and notes what was closed.
fn write_on(folder: &Path, writer: u64, seeds: &AtomicU64, closed: &Closed, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        let name = match seed % 3 {
            0 => format!("over-{writer}.jpg"),
            _ => format!("{seed}.jpg"),
        };
        // One whose writing fails may be the old version or the new one.
        closed.lock().expect("no panic").remove(&name);
        if write(&folder.join(&name), &bytes(seed)).is_ok() {
            closed.lock().expect("no panic").insert(name, seed);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The built program under another path, as an upgrade installs it. Another process writes it: what
/// this one has open for writing a child of another test has open too, and cannot be run.
fn another_program(mount: &Mount) -> PathBuf {
    let program = mount.dir.path().join("bedfs-new");
    run("cp", [Path::new(BEDFS), &program]);
    program
}

/// Mounts by this program.
fn mount_by(program: &Path, mount: &Mount, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(["mount", "--qps", "unlimited"]).args(args).arg(&mount.path).stdin(Stdio::null());
    in_place_of(&mount.bedfs("mount"), &mut command);
    let output = command.output().expect("bedfs runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let runs = fs::read_link(format!("/proc/{}/exe", pid(mount))).expect("the program");
    assert_eq!(runs, program);
}

/// Ends the mount by a signal, or kills it.
fn end_by(signal: i32, mount: &Mount) {
    if signal == libc::SIGKILL {
        return crash(mount);
    }
    let process = pid(mount);
    kill(process, signal);
    eventually("the mount has ended", || !is_alive(process));
}

/// All that was closed is there, whatever the service has of it by now.
fn all_is_there(mount: &Mount, closed: &Closed) {
    for (name, seed) in closed.lock().expect("no panic").iter() {
        let read = fs::read(mount.at(FOLDER).join(name));
        assert!(read.expect("it was closed") == bytes(*seed), "{name}");
    }
}

#[test]
fn what_was_closed_is_there_at_once_after_a_restart_and_an_upgrade_under_load() {
    for args in [BACKGROUND, &[]] {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        emulator.mkdir(FOLDER);
        let slow = FaultKind::Slow(Duration::from_millis(50));
        emulator.inject(Fault::new("create", slow).always());
        let mount = Mount::over(emulator, args);
        let new = another_program(&mount);
        let (closed, seeds) = (Closed::default(), AtomicU64::new(0));
        for (signal, program) in [(libc::SIGTERM, &*new), (libc::SIGKILL, Path::new(BEDFS))] {
            let (is_over, folder) = (AtomicBool::new(false), mount.at(FOLDER));
            let count = || closed.lock().expect("no panic").len();
            let aim = count() + CLOSED;
            thread::scope(|scope| {
                for writer in 0..WRITERS {
                    let (folder, seeds, closed, is_over) = (&folder, &seeds, &closed, &is_over);
                    scope.spawn(move || write_on(folder, writer, seeds, closed, is_over));
                }
                eventually("programs write", || count() >= aim);
                end_by(signal, &mount);
                is_over.store(true, Ordering::Relaxed);
            });
            mount_by(program, &mount, args);
            all_is_there(&mount, &closed);
        }
        all_done(&mount);
        for (name, seed) in closed.lock().expect("no panic").iter() {
            let read = mount.emulator.read(&format!("{FOLDER}/{name}"));
            assert!(read == Some(bytes(*seed)), "{name} at the service");
        }
        no_violations(&mount);
    }
}

#[test]
fn what_is_open_when_the_mount_is_killed_is_told_so_and_the_file_opens_anew() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.put("a.jpg", &noise(1, 3 << 20));
    let mount = Mount::over(emulator, &[]);
    let mut reader = File::open(mount.at("a.jpg")).expect("opens");
    let mut writer = OpenOptions::new().write(true).create_new(true).open(mount.at("b.jpg"));
    let writer = writer.as_mut().expect("made");
    writer.write_all(b"never closed").expect("written");
    crash(&mount);
    mount_by(Path::new(BEDFS), &mount, &[]);
    let errno = |result: io::Result<usize>| result.err().and_then(|error| error.raw_os_error());
    assert_eq!(errno(reader.read(&mut [0; 100])), Some(libc::ENOTCONN));
    assert_eq!(errno(writer.write(b"more")), Some(libc::ENOTCONN));
    assert_eq!(errno(writer.sync_all().map(|()| 0)), Some(libc::ENOTCONN));
    let again = fs::read(mount.at("a.jpg")).expect("opened anew");
    assert!(again == noise(1, 3 << 20));
    no_violations(&mount);
}
