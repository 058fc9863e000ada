//! Waiting and its end: who is killed while a request waits is gone, who waits for a silent service
//! is told so, and what was under way comes to its end.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Fault, FaultKind, Options};

use crate::bench::{all_at_once, refusal};
use crate::command::{Ended, kill, pid, unmounted};
use crate::harness::{
    BEDFS, Mount, attempt, fast, in_place_of, noise, run, text, wait_until, xattr,
};
use crate::options::errno;
use crate::outages::no_violations;

use FaultKind::{Hang, Slow};

/// Longer than any test waits.
const FOR_EVER: &str = "--timeout=600";

const SECOND: Duration = Duration::from_secs(1);

/// A program in the mount's root that every signal can end, and that leaves no core there.
fn start(mount: &Mount, program: &str, args: &[&str]) -> Ended {
    const PLAINLY: &str = "ulimit -c 0; exec env --default-signal=INT,TERM,QUIT \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", PLAINLY, "sh", program]).args(args).current_dir(&mount.path);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ended(quiet.spawn().expect("it starts"))
}

/// The end of a program that must be gone soon.
fn end_of(child: &mut Child, what: &str) -> ExitStatus {
    let mut end = None;
    wait_until(&format!("{what} is gone"), || {
        end = child.try_wait().expect("a state");
        end.is_some()
    });
    end.expect("an end")
}

/// Starts a program, kills it when it has made the service do a call, and sees it gone.
fn kill_at(mount: &Mount, endpoint: &str, signal: i32, program: &str, args: &[&str]) {
    let before = mount.emulator.count(endpoint);
    let mut child = start(mount, program, args);
    wait_until(endpoint, || mount.emulator.count(endpoint) > before);
    kill(child.0.id(), signal);
    let end = end_of(&mut child.0, program);
    assert!(!end.success(), "{program} {args:?} has not waited at {endpoint}");
}

/// A bed with what the cases need; its root is listed, its folders are not.
fn bed(args: &[&str]) -> Mount {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.put("a.jpg", b"picture");
    emulator.put("d/b.jpg", b"another");
    let mount = Mount::over(emulator, args);
    mount.local("new.jpg", &noise(3, 5000));
    mount
}

/// The inodes and the handles that the mount held before this look opened one.
fn held(mount: &Mount) -> (u64, u64) {
    let status = fs::read(mount.at(".bedfs/status.json")).expect("the status");
    let status: serde_json::Value = serde_json::from_slice(&status).expect("JSON");
    let figure = |name: &str| status[name].as_u64().expect("a number");
    (figure("inodes"), figure("handles"))
}

/// The mount does everything, and ends in order.
fn goes_on(mount: &Mount) {
    mount.emulator.clear_faults();
    run("cp", [mount.local("later.jpg", b"later"), mount.at("later.jpg")]);
    assert_eq!(run("cat", [mount.at("d/b.jpg"), mount.at("later.jpg")]), "anotherlater");
    run("rm", [mount.at("later.jpg")]);
    mount.unmount();
    no_violations(mount);
}

#[test]
fn a_program_that_is_killed_while_it_waits_is_gone_and_the_mount_goes_on() {
    const CASES: &[(&str, &str, &[&str])] = &[
        ("cdn", "cat", &["a.jpg"]),
        ("list", "ls", &["d"]),
        ("list", "stat", &["d/b.jpg"]),
        ("create", "cp", &["../new.jpg", "new.jpg"]),
        ("put", "cp", &["../new.jpg", "new.jpg"]),
        ("list", "rm", &["d/b.jpg"]),
        ("move", "mv", &["a.jpg", "d/a.jpg"]),
        ("mkdir", "mkdir", &["new"]),
    ];
    let signals = [libc::SIGINT, libc::SIGKILL];
    all_at_once(CASES.iter().flat_map(|case| signals.map(|signal| (case, signal))), |case| {
        let (&(endpoint, program, args), signal) = case;
        let mount = bed(&[]);
        if endpoint == "move" {
            fs::read_dir(mount.at("d")).expect("listed");
        }
        mount.emulator.inject(Fault::new(endpoint, Hang).always());
        kill_at(&mount, endpoint, signal, program, args);
        assert!(mount.at("a.jpg").exists(), "{program}: nothing is gone while nothing is done");
        goes_on(&mount);
    });
}

#[test]
fn the_upload_of_a_copy_that_was_killed_goes_on_or_is_kept() {
    all_at_once([None, Some(refusal(1, "not today"))], |then| {
        let mount = bed(&["--timeout=2"]);
        mount.emulator.inject(Fault::new("create", Hang));
        let fails = then.is_some();
        mount.emulator.inject(Fault::new("create", then.unwrap_or(Slow(SECOND))).always());
        kill_at(&mount, "create", libc::SIGKILL, "cp", &["../new.jpg", "new.jpg"]);
        let wanted = if fails { "failed" } else { "remote" };
        wait_until(wanted, || xattr(&mount.at("new.jpg"), "state").as_deref() == Some(wanted));
        let bytes = noise(3, 5000);
        assert!(mount.emulator.read("new.jpg").as_ref() == (!fails).then_some(&bytes));
        assert!(fs::read(mount.at("new.jpg")).expect("readable") == bytes);
        mount.emulator.clear_faults();
        run("sh", ["-c".as_ref(), ": >> \"$0\"".as_ref(), mount.at("new.jpg").as_os_str()]);
        assert!(mount.emulator.read("new.jpg").as_ref() == Some(&bytes), "not mended");
        goes_on(&mount);
    });
}

#[test]
fn what_an_answer_would_have_given_is_given_back_after_a_kill() {
    const CASES: &[(&str, &str, &[&str])] = &[
        ("list", "stat", &["d/b.jpg"]),
        ("list", "ls", &["d"]),
        ("mkdir", "mkdir", &["d/new"]),
        ("list", "touch", &["d/new.jpg"]),
    ];
    all_at_once(CASES, |&(endpoint, program, args)| {
        let is_touch = program == "touch";
        // `touch` is to wait in its `create`: so every look lists, and it looks at the root, at the
        // folder, and once more.
        let mount = bed(if is_touch { &["--dir-ttl=0"] } else { &[] });
        let (inodes, _) = held(&mount);
        let slow = Fault::new(endpoint, Slow(SECOND));
        let skip = if is_touch { 2 } else { 0 };
        mount.emulator.forget_requests();
        mount.emulator.inject(slow.skip(skip));
        let mut child = start(&mount, program, args);
        wait_until(program, || mount.emulator.count(endpoint) > skip);
        kill(child.0.id(), libc::SIGKILL);
        assert!(!end_of(&mut child.0, program).success(), "{program} has not waited");
        wait_until(&format!("the work of {program} has ended"), || match program {
            "stat" | "ls" => held(&mount).0 > inodes,
            _ => mount.at(args[0]).exists(),
        });
        mount.emulator.clear_faults();
        run("rm", [Path::new("-rf"), &mount.at("d")]);
        // The folder was one of them.
        wait_until(&format!("nothing is held for {program}"), || held(&mount) == (inodes - 1, 0));
        mount.unmount();
        no_violations(&mount);
    });
}

#[test]
fn who_waits_is_freed_by_the_end_of_a_mount_that_was_telling_the_kernel_of_changes() {
    let mount = bed(&["--dir-ttl", "1"]);
    let process = pid(&mount);
    fs::read_dir(mount.at("d")).expect("listed");
    std::thread::sleep(2 * SECOND);
    mount.emulator.put("d/new.jpg", b"by another");
    // The kernel takes no word of what is listed before the move is answered.
    mount.emulator.inject(Fault::new("list", Slow(SECOND)).always());
    mount.emulator.inject(Fault::new("move", Hang).always());
    let mut mover = start(&mount, "mv", &["d/b.jpg", "."]);
    wait_until("move", || mount.emulator.count("move") > 0);
    std::thread::sleep(2 * SECOND);
    kill(process, libc::SIGKILL);
    let end = end_within(&mut mover.0, 10 * SECOND);
    // By force, or who still waits would outlive the test.
    attempt("umount", ["-f".as_ref(), "-l".as_ref(), mount.path.as_os_str()]);
    assert!(end.is_some_and(|end| !end.success()), "{end:?}: it waits for who is dead");
}

/// The end of a program, if it comes in time.
fn end_within(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        match child.try_wait().expect("a state") {
            None if began.elapsed() < most => std::thread::sleep(SECOND / 20),
            end => return end,
        }
    }
}

#[test]
fn a_program_of_many_threads_is_killed_while_they_wait() {
    const WAITERS: &str = "
import threading, time
def write():
    with open('new.jpg', 'wb') as file: file.write(b'new')
threading.Thread(target=lambda: open('a.jpg', 'rb').read()).start()
threading.Thread(target=write).start()
time.sleep(1000)";
    all_at_once([libc::SIGKILL, libc::SIGTERM, libc::SIGQUIT], |signal| {
        let mount = bed(&[FOR_EVER]);
        mount.emulator.inject(Fault::new("cdn", Hang).times(1));
        mount.emulator.inject(Fault::new("create", Hang).times(1));
        let mut python = start(&mount, "python3", &["-c", WAITERS]);
        wait_until("both wait", || {
            mount.emulator.count("cdn") > 0 && mount.emulator.count("create") > 0
        });
        kill(python.0.id(), signal);
        end_of(&mut python.0, "python3");
        goes_on(&mount);
        assert_eq!(mount.emulator.read("new.jpg").as_deref(), Some(&b"new"[..]));
    });
}

/// A program that leaves its file open, then does that.
fn leaves_open(then: &str) -> String {
    format!(
        "import os, time\nfile = open('new.jpg', 'wb', 0)\nfile.write(b'new')\n\
         print('written', file=open('../written', 'w'))\n{then}"
    )
}

#[test]
fn who_is_killed_with_an_open_file_does_not_wait_for_its_upload() {
    // Of a signal that dumps core the kernel leaves no trace among those that are pending.
    all_at_once([libc::SIGKILL, libc::SIGTERM, libc::SIGQUIT], |signal| {
        let mount = bed(&[FOR_EVER]);
        mount.emulator.inject(Fault::new("create", Hang).times(1));
        let mut python = start(&mount, "python3", &["-c", &leaves_open("time.sleep(1000)")]);
        wait_until("written", || mount.dir.path().join("written").exists());
        kill(python.0.id(), signal);
        end_of(&mut python.0, "python3");
        goes_on(&mount);
    });
}

#[test]
fn who_leaves_by_itself_with_an_open_file_waits_for_its_upload() {
    let mount = bed(&[FOR_EVER]);
    mount.emulator.inject(Fault::new("create", Slow(SECOND)));
    let mut python = start(&mount, "python3", &["-c", &leaves_open("os._exit(0)")]);
    assert!(end_of(&mut python.0, "python3").success());
    assert_eq!(mount.emulator.read("new.jpg").as_deref(), Some(&b"new"[..]));
    goes_on(&mount);
}

#[test]
fn a_service_that_never_answers_is_given_up_after_the_timeout() {
    let mount = bed(&["--timeout=2"]);
    for name in ["renamed.jpg", "moved.jpg", "written.jpg"] {
        mount.emulator.put(name, b"old");
    }
    mount.emulator.mkdir("empty");
    mount.emulator.mkdir("target");
    assert!(crate::outages::is_listed_anew(&mount, "."));
    run("ls", [mount.at("target")]);
    mount.emulator.inject(Fault::new("*", Hang).always());
    let at = |path: &str| mount.at(path);
    type Operation<'a> = (&'a str, Box<dyn Fn() -> std::io::Result<()> + Send + 'a>);
    let operations: Vec<Operation<'_>> = vec![
        ("read", Box::new(|| fs::read(at("a.jpg")).map(drop))),
        ("readdir", Box::new(|| fs::read_dir(at("d")).map(drop))),
        ("lookup", Box::new(|| fs::metadata(at("d/b.jpg")).map(drop))),
        ("mkdir", Box::new(|| fs::create_dir(at("new")))),
        ("rmdir", Box::new(|| fs::remove_dir(at("empty")))),
        ("unlink", Box::new(|| fs::remove_file(at("d/b.jpg")))),
        ("rename", Box::new(|| fs::rename(at("renamed.jpg"), at("other.jpg")))),
        ("move", Box::new(|| fs::rename(at("moved.jpg"), at("target/moved.jpg")))),
        ("fsync", Box::new(|| write_and_sync(&at("new.jpg")))),
        ("overwrite", Box::new(|| write_and_sync(&at("written.jpg")))),
        ("create", Box::new(|| fs::File::create(at("d/new.jpg")).map(drop))),
    ];
    all_at_once(operations, |(what, operation)| {
        let begin = Instant::now();
        let result = operation();
        assert!(result.is_err(), "{what}: nothing can be done now");
        assert_eq!(errno(result), libc::ETIMEDOUT, "{what}");
        // Far below what holds without the option.
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}: {:?}", begin.elapsed());
    });
    let copied = attempt("cp", [mount.dir.path().join("new.jpg"), at("copied.jpg")]);
    assert!(text(&copied.stderr).contains("timed out"), "cp: {}", text(&copied.stderr));
    // What could not be uploaded is tried again by the next sync.
    mount.emulator.clear_faults();
    for name in ["new.jpg", "written.jpg", "copied.jpg"] {
        let file = fs::File::options().append(true).open(at(name)).expect("opened");
        file.sync_all().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    goes_on(&mount);
}

fn write_and_sync(path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = fs::File::create(path)?;
    file.write_all(b"new bytes")?;
    file.sync_all()
}

#[test]
fn statfs_answers_while_the_service_does_not() {
    let mount = bed(&[FOR_EVER]);
    mount.emulator.inject(Fault::new("*", Hang).always());
    let mut df = start(&mount, "df", &["."]);
    assert!(end_of(&mut df.0, "df").success());
    let mut stat = start(&mount, "stat", &["-f", "a.jpg"]);
    assert!(end_of(&mut stat.0, "stat -f").success());
    goes_on(&mount);
}

#[test]
fn a_transfer_that_moves_is_not_cut_however_long_it_takes() {
    // Slices of a second each, and blocks of two.
    let options =
        Options { slice_size: 64 << 10, bandwidth: Some(64 << 10), async_polls: 1, ..fast() };
    let emulator = Emulator::start(options).expect("the emulator starts");
    let picture = noise(4, 512 << 10);
    emulator.put("old.jpg", &picture);
    let mount = Mount::over(emulator, &["--timeout=4"]);
    let new = noise(5, 2 << 20);
    mount.local("new.jpg", &new);
    all_at_once([true, false], |up| {
        let begin = Instant::now();
        if up {
            run("cp", [mount.dir.path().join("new.jpg"), mount.at("new.jpg")]);
        } else {
            assert!(fs::read(mount.at("old.jpg")).expect("readable") == picture);
        }
        assert!(begin.elapsed() > Duration::from_secs(4), "it was no test of the timeout");
    });
    assert!(mount.emulator.read("new.jpg").as_ref() == Some(&new));
    mount.unmount();
    no_violations(&mount);
}

#[test]
fn who_catches_the_signal_waits_no_longer_than_the_timeout() {
    let mount = bed(&["--timeout=3"]);
    mount.emulator.inject(Fault::new("*", Hang).always());
    // Python catches SIGINT; what it does then waits for the call that is under way.
    let write = "open('new.jpg', 'wb', 0).write(b'new')";
    kill_at(&mount, "create", libc::SIGINT, "python3", &["-c", write]);
    mount.emulator.clear_faults();
    assert!(fs::read(mount.at("new.jpg")).expect("readable") == b"new");
    run("sh", ["-c".as_ref(), ": >> \"$0\"".as_ref(), mount.at("new.jpg").as_os_str()]);
    goes_on(&mount);
}

#[test]
fn a_caller_that_cannot_be_seen_waits_no_longer_than_the_timeout() {
    let mount = unmounted();
    // Whoever is not below the mount in the tree of PID namespaces has no number in it.
    let command = mount.bedfs("mount");
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", BEDFS]).args(["mount", "--foreground"]);
    unshare.args(["--qps", "unlimited", "--timeout", "3"]).arg(&mount.path);
    in_place_of(&command, &mut unshare);
    let _bedfs = Ended(unshare.stdin(Stdio::null()).spawn().expect("unshare runs"));
    wait_until("mounted", || mount.at(".bedfs").exists());
    mount.local("new.jpg", b"new");
    mount.emulator.inject(Fault::new("*", Hang).always());
    kill_at(&mount, "create", libc::SIGKILL, "cp", &["../new.jpg", "new.jpg"]);
    mount.emulator.clear_faults();
    assert!(fs::read(mount.at("new.jpg")).expect("readable") == b"new");
    run("umount", [&mount.path]);
}
