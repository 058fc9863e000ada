//! Takeovers while work is under way: nothing is lost or done twice, nobody hangs, and where it cannot
//! be the mount goes on.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind};

use crate::command::{Ended, kill, unmounted};
use crate::harness::{Mount, noise, run, text, wait_until};
use crate::journaled::{BACKGROUND, all_done, eventually, mount_again};
use crate::semantics::no_violations;
use crate::takeover::{Upgradable, by, holder, install, is_possible};

#[test]
fn uploads_in_the_background_arrive_once() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(BACKGROUND, |_| {});
    let slow = FaultKind::Slow(Duration::from_millis(300));
    mount.mount.emulator.inject(Fault::new("create", slow).always());
    let names: Vec<String> = (0..60).map(|number| format!("{number}.jpg")).collect();
    for (seed, name) in names.iter().enumerate() {
        fs::write(mount.mount.at(name), noise(seed as u64, 5000)).expect("written");
    }
    mount.upgrade();
    all_done(&mount.mount);
    for (seed, name) in names.iter().enumerate() {
        assert!(mount.mount.emulator.read(name) == Some(noise(seed as u64, 5000)), "{name}");
    }
    assert_eq!(mount.mount.emulator.count("create"), names.len());
    mount.end();
}

#[test]
fn who_waits_for_the_service_gets_his_answer() {
    if !is_possible() {
        return;
    }
    let bytes = noise(1, 100_000);
    let mount = Upgradable::new(&[], |bed| {
        bed.put("read.jpg", &bytes);
    });
    let slow = |endpoint: &str, seconds| {
        let fault = Fault::new(endpoint, FaultKind::Slow(Duration::from_secs(seconds)));
        mount.mount.emulator.inject(fault);
    };
    // The read is begun anew by the next program, the close is waited for.
    slow("cdn", 20);
    slow("create", 3);
    let (read, written) = (mount.mount.at("read.jpg"), mount.mount.at("written.jpg"));
    let reader = thread::spawn(move || fs::read(read).expect("readable"));
    let closer = thread::spawn(move || fs::write(written, b"written").expect("written"));
    wait_until("both wait", || {
        mount.mount.emulator.count("cdn") == 1 && mount.mount.emulator.count("create") == 1
    });
    mount.upgrade();
    assert!(reader.join().expect("no panic") == bytes);
    closer.join().expect("no panic");
    assert_eq!(mount.mount.emulator.read("written.jpg").as_deref(), Some(&b"written"[..]));
    assert_eq!(mount.mount.emulator.count("create"), 1);
    mount.end();
}

#[test]
fn a_folder_that_is_read_while_it_is_listed_is_read_to_its_end() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(&[], |bed| {
        bed.fill("many", 1000, 10);
    });
    fs::metadata(mount.mount.at("many")).expect("there");
    // The first page comes at once, each other one late.
    let slow = FaultKind::Slow(Duration::from_millis(500));
    mount.mount.emulator.inject(Fault::new("list", slow).skip(1).always());
    let mut names = fs::read_dir(mount.mount.at("many")).expect("a folder");
    let mut seen: Vec<_> = names.by_ref().take(10).map(|it| it.expect("a name").path()).collect();
    assert!(mount.mount.emulator.count("list") < 10, "it is still being listed");
    mount.upgrade();
    seen.extend(names.map(|it| it.expect("a name").path()));
    assert_eq!(seen.len(), 1000);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1000, "each once");
    mount.end();
}

#[test]
fn what_takes_too_long_puts_it_off() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(&[], |_| {});
    mount.mount.emulator.inject(Fault::new("create", FaultKind::Slow(Duration::from_secs(14))));
    let path = mount.mount.at("a.jpg");
    let closer = thread::spawn(move || fs::write(path, b"a").expect("written"));
    wait_until("it waits", || mount.mount.emulator.count("create") == 1);
    let why = mount.stays();
    assert!(why.contains("requests are still under way"), "{why}");
    closer.join().expect("no panic");
    assert_eq!(mount.mount.emulator.read("a.jpg").as_deref(), Some(&b"a"[..]));
    mount.upgrade();
    assert_eq!(fs::read(mount.mount.at("a.jpg")).expect("readable"), b"a");
    mount.end();
}

/// Writes, reads back, lists, renames and removes, until it is told to stop; gives what it left.
fn worker(folder: &Path, number: u64, stop: &AtomicBool) -> Vec<(String, u64)> {
    let mut left = Vec::new();
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (seed, name) = (number * 1000 + round, format!("{number}-{round}.jpg"));
        let (path, bytes) = (folder.join(&name), noise(seed, 20_000));
        let mut file = File::create(&path).expect("made");
        for part in bytes.chunks(3000) {
            file.write_all(part).expect("written");
        }
        drop(file);
        assert!(fs::read(&path).expect("readable") == bytes, "{name}");
        assert!(
            fs::read_dir(folder).expect("a folder").any(|it| it.expect("a name").path() == path)
        );
        match round % 3 {
            0 => left.push((name, seed)),
            1 => fs::remove_file(&path).expect("removed"),
            _ => {
                let renamed = format!("renamed-{name}");
                fs::rename(&path, folder.join(&renamed)).expect("renamed");
                left.push((renamed, seed));
            }
        }
    }
    left
}

#[test]
fn ten_takeovers_under_load_lose_and_leak_nothing() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(BACKGROUND, |_| {});
    fs::write(mount.mount.at("first.jpg"), b"first").expect("written");
    all_done(&mount.mount);
    mount.upgrade();
    let before = mount.descriptors();
    let stop = Arc::new(AtomicBool::new(false));
    let start = |number| {
        let (folder, stop) = (mount.mount.path.clone(), stop.clone());
        thread::spawn(move || worker(&folder, number, &stop))
    };
    let workers = [1, 2, 3].map(start);
    for _ in 0..10 {
        // What was just put in place is another file than what runs.
        install(&mount.program);
        mount.upgrade();
        thread::sleep(Duration::from_millis(300));
    }
    stop.store(true, Ordering::Relaxed);
    let left: Vec<_> = workers.into_iter().flat_map(|it| it.join().expect("no panic")).collect();
    assert!(left.len() > 10, "only {} files", left.len());
    all_done(&mount.mount);
    for (name, seed) in &left {
        assert!(mount.mount.emulator.read(name) == Some(noise(*seed, 20_000)), "{name}");
    }
    eventually("nothing else is there", || {
        let there = mount.mount.emulator.tree();
        there.iter().filter(|(_, row)| !row.is_folder).count() == left.len() + 1
    });
    no_violations(&mount.mount);
    mount.upgrade();
    eventually("no descriptor is left", || mount.descriptors() <= before + 4);
    let stat = format!("/proc/{}/task/{0}/children", mount.process);
    eventually("no process is left", || fs::read_to_string(&stat).is_ok_and(|it| it.is_empty()));
    mount.mount.unmount();
}

#[test]
fn a_program_that_cannot_take_over_leaves_the_session_as_it_was() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(&[], |bed| {
        bed.put("a.jpg", b"a");
    });
    let mut open = File::create(mount.mount.at("b.jpg")).expect("made");
    open.write_all(b"first").expect("written");
    let put = |script: Option<&str>, mode| {
        let _there_or_not = fs::remove_file(&mount.program);
        if let Some(script) = script {
            // Written by another process, since what is open for writing cannot be run.
            run(
                "sh",
                [
                    "-c",
                    "printf '%s' \"$1\" >\"$2\"",
                    "sh",
                    script,
                    &*mount.program.to_string_lossy(),
                ],
            );
            fs::set_permissions(&mount.program, fs::Permissions::from_mode(mode)).expect("set");
        }
    };
    let is_as_before = |why: &str| {
        assert!(fs::read_dir(&mount.mount.path).expect("a folder").count() >= 2, "{why}");
        assert_eq!(fs::read(mount.mount.at("a.jpg")).expect("readable"), b"a", "{why}");
    };
    for (script, mode, told) in [
        (None, 0o755, "No such file"),
        (Some("#!/bin/true"), 0o644, "Permission denied"),
        (Some("no program"), 0o755, "Exec format error"),
        (Some("#!/bin/true\n"), 0o755, "cannot take over from this version"),
        (Some("#!/bin/sh\nkill -SEGV $$\n"), 0o755, "cannot take over from this version"),
        (Some("#!/bin/sh\necho bedfs-handover-0\n"), 0o755, "cannot take over from this version"),
        (Some("#!/bin/sh\nexec sleep 100\n"), 0o755, "does not say"),
    ] {
        put(script, mode);
        let why = mount.stays();
        assert!(why.contains(told), "{script:?}: {why}");
        is_as_before(&why);
    }
    install(&mount.program);
    mount.upgrade();
    is_as_before("upgraded");
    open.write_all(b"second").expect("written");
    drop(open);
    wait_until("it is there", || {
        mount.mount.emulator.read("b.jpg").as_deref() == Some(&b"firstsecond"[..])
    });
    mount.mount.unmount();
}

#[test]
fn a_mount_that_was_taken_over_ends_as_any_other() {
    if !is_possible() {
        return;
    }
    for ends_by_command in [true, false] {
        let mount = unmounted();
        let program = mount.dir.path().join("bedfs");
        install(&program);
        let mut command = by(&program, &mount, "mount");
        command.args(["--foreground", "--upload", "background", "--log-file"]);
        command.arg(mount.dir.path().join("log")).arg(&mount.path).stderr(Stdio::null());
        let mut process = Ended(command.spawn().expect("bedfs runs"));
        wait_until("mounted", || mount.is_mounted() && fs::read_dir(&mount.path).is_ok());
        assert_eq!(holder(&mount), process.0.id());
        fs::write(mount.at("a.jpg"), b"a").expect("written");
        kill(process.0.id(), libc::SIGUSR1);
        let log = mount.dir.path().join("log");
        wait_until("it took over", || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("took over"))
        });
        let status = mount.bedfs("status").arg(&mount.path).output().expect("bedfs runs");
        assert!(status.status.success(), "{}", text(&status.stderr));
        fs::write(mount.at("b.jpg"), b"b").expect("written");
        match ends_by_command {
            true => mount.unmount(),
            false => kill(process.0.id(), libc::SIGTERM),
        }
        let ended = process.0.wait().expect("an end");
        assert!(ended.success(), "{ended}: {:?}", fs::read_to_string(&log));
        assert!(!mount.is_mounted());
        for name in ["a.jpg", "b.jpg"] {
            assert!(mount.emulator.read(name).is_some(), "{name}");
        }
        no_violations(&mount);
    }
}

#[test]
fn a_kill_after_a_takeover_loses_nothing() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(BACKGROUND, |_| {});
    let open = |name: &str| File::create(mount.mount.at(name)).expect("made");
    let (mut synced, mut later) = (open("a.jpg"), open("b.jpg"));
    synced.write_all(b"synced").expect("written");
    later.write_all(b"la").expect("written");
    mount.mount.emulator.inject(Fault::new("create", FaultKind::Hang).always());
    mount.upgrade();
    synced.sync_all().expect("synced");
    later.write_all(b"ter").expect("written");
    later.sync_all().expect("synced");
    kill(mount.process, libc::SIGKILL);
    wait_until("dead", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", mount.process));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
    drop((synced, later));
    let mount: Mount = mount.mount;
    run("umount", ["-l".as_ref(), mount.path.as_os_str()]);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    all_done(&mount);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"synced"[..]));
    assert_eq!(mount.emulator.read("b.jpg").as_deref(), Some(&b"later"[..]));
    mount.unmount();
}
