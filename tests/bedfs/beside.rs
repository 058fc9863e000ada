//! The state file beside other processes: who only looks waits for none of them, who changes something
//! waits and gets through.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;

use rusqlite::Connection;

use crate::harness::{Mount, fast, noise, run, text};
use crate::journaled::{BACKGROUND, all_done, eventually};
use bedfs_emulator::Emulator;

/// More at once than the program has threads for tasks on any machine that tests this.
const WRITERS: usize = 40;

/// The account's state file with the right to write into it, as another process has it in a transaction.
pub(crate) fn hold(mount: &Mount) -> Connection {
    let db = state_file(mount);
    db.execute_batch("BEGIN IMMEDIATE").expect("begun");
    db
}

/// The same in the middle of reading it.
pub(crate) fn look(mount: &Mount) -> Connection {
    let db = state_file(mount);
    db.execute_batch("BEGIN; SELECT count(*) FROM local").expect("read");
    db
}

fn state_file(mount: &Mount) -> Connection {
    let mut accounts = fs::read_dir(mount.dir.path().join("state/bedfs")).expect("the state");
    let account = accounts.next().expect("an account").expect("readable");
    let db = Connection::open(account.path().join("state.db")).expect("the state file");
    db.busy_timeout(std::time::Duration::from_secs(20)).expect("set");
    db
}

/// Writes into a file that is at the service, without cutting it, and closes it.
fn write_over(path: &Path) {
    let mut file = fs::File::options().write(true).open(path).expect("opened");
    file.write_all(b"over").expect("written");
}

#[test]
fn who_looks_at_the_mount_waits_for_no_other_process_and_who_writes_gets_through() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    let known = noise(1, 50_000);
    emulator.put("known.jpg", &known);
    emulator.put("unknown/far.jpg", b"never seen here");
    // The kernel has a folder locked while something is made in it or removed from it.
    emulator.put("going/going.jpg", b"to be removed");
    emulator.mkdir("new");
    for number in 0..WRITERS {
        emulator.put(&format!("there/{number}.jpg"), b"here and there");
    }
    let mount = Mount::over(emulator, BACKGROUND);
    assert_eq!(fs::read(mount.at("known.jpg")).expect("read"), known);
    fs::write(mount.at("mine.jpg"), b"mine").expect("written");
    all_done(&mount);
    run("ls", ["there", "going", "new"].map(|folder| mount.at(folder)));
    let last = fs::File::open(mount.at("mine.jpg")).expect("opened");

    let other = hold(&mount);
    // The last close of a file that the service has forgets its row.
    drop(last);
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let (there, new) =
            (mount.at(format!("there/{number}.jpg")), mount.at(format!("new/{number}.jpg")));
        writers.push(thread::spawn(move || write_over(&there)));
        writers.push(thread::spawn(move || fs::write(&new, b"new").expect("written")));
    }
    let gone = mount.at("going/going.jpg");
    let mode = mount.at("known.jpg");
    writers.push(thread::spawn(move || drop(run("rm", [gone]))));
    writers.push(thread::spawn(move || drop(run("chmod", ["600".as_ref(), mode.as_os_str()]))));
    thread::sleep(std::time::Duration::from_millis(300));
    let looks = "ls -l . there unknown && stat known.jpg mine.jpg there/* && cat known.jpg | md5sum && \
                 cat mine.jpg unknown/far.jpg && cat .bedfs/pending.json .bedfs/status.json && \
                 getfattr -n user.bedfs.url known.jpg";
    // Before the other process lets go; on a mount that waits for it they would be killed.
    let seen = std::process::Command::new("timeout")
        .args(["25", "sh", "-ec", looks])
        .current_dir(&mount.path)
        .output()
        .expect("timeout runs");
    assert!(seen.status.success(), "{:?}: {}", seen.status, text(&seen.stderr));
    let seen = text(&seen.stdout);
    assert!(seen.contains("mine") && seen.contains("never seen here"), "{seen}");
    assert!(writers.iter().any(|writer| !writer.is_finished()), "nobody had to wait");

    drop(other);
    writers.into_iter().for_each(|writer| writer.join().expect("it got through"));
    eventually("all is there, and nothing else", || {
        let gone = mount.emulator.read("going/going.jpg").is_none();
        gone && (0..WRITERS).all(|number| {
            let is =
                |path: String, bytes: &[u8]| mount.emulator.read(&path).as_deref() == Some(bytes);
            is(format!("new/{number}.jpg"), b"new")
                && is(format!("there/{number}.jpg"), b"over and there")
        })
    });
    all_done(&mount);
    assert!(!mount.log().contains("locked"), "{}", mount.log());
}

#[test]
fn commands_and_a_mount_that_change_the_state_file_at_once_all_get_through() {
    let mount = Mount::with(fast(), BACKGROUND);
    let uploads: Vec<_> = (0..4)
        .map(|number| {
            let files: Vec<_> = (0..6)
                .map(|file| {
                    let seed = 100 + number * 10 + file;
                    mount.local(&format!("u{seed}.jpg"), &noise(seed, 3000))
                })
                .collect();
            let mut upload = mount.bedfs("upload");
            upload.args(["--to", "uploaded"]).args(files);
            thread::spawn(move || upload.output().expect("bedfs runs"))
        })
        .collect();
    for number in 0..40 {
        fs::write(mount.at(format!("{number}.jpg")), noise(number, 3000)).expect("written");
    }
    for upload in uploads {
        let output = upload.join().expect("no panic");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    all_done(&mount);
    assert_eq!(mount.emulator.list("uploaded").len(), 24);
    assert!((0..40).all(|number| mount.emulator.read(&format!("{number}.jpg")).is_some()));
    assert!(!mount.log().contains("locked"), "{}", mount.log());
}
