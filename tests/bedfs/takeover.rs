//! Takeovers: whatever programs have open goes on when another program takes the mount's place.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bedfs_emulator::Emulator;

use crate::command::{kill, unmounted};
use crate::harness::{
    BEDFS, Mount, fast, in_place_of, noise, not_tested, run, text, wait_until, xattr,
};
use crate::journaled::{is_alive, staged};
use crate::passthrough::{lent, read_without_the_mount};
use crate::passthrough_writes::{create, is_written_without_the_mount};
use crate::semantics::no_violations;

/// What a mount logs that goes on as it was.
const REFUSED: &str = "this program goes on with the mount: ";

/// A mount whose program can be replaced.
pub(crate) struct Upgradable {
    pub(crate) mount: Mount,
    pub(crate) program: PathBuf,
    pub(crate) process: u32,
}

/// Whether the kernel can give requests again.
pub(crate) fn is_possible() -> bool {
    let release = run("uname", ["-r"]);
    let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < (6, 9) {
        not_tested(&format!("a takeover takes Linux 6.9, this is {release}"));
    }
    version >= (6, 9)
}

/// Puts the built program there, in place of what may run from there. It is written by another process:
/// what this one has open for writing a child of another test has open too, and cannot be run.
pub(crate) fn install(program: &Path) {
    let new = program.with_extension("new");
    run("cp", [Path::new(BEDFS), &new]);
    fs::rename(&new, program).expect("in its place");
}

/// A command of this program, with the mount's bed and state.
pub(crate) fn by(program: &Path, mount: &Mount, command: &str) -> Command {
    let built = mount.bedfs(command);
    let mut by = Command::new(program);
    by.arg(command).stdin(Stdio::null());
    in_place_of(&built, &mut by);
    by
}

/// The process that has the journal.
pub(crate) fn holder(mount: &Mount) -> u32 {
    let state = mount.dir.path().join("state/bedfs");
    let account = fs::read_dir(state).expect("the state").flatten().next().expect("an account");
    let told = fs::read_to_string(account.path().join("state.lock")).expect("who has it");
    let number = told.rsplit_once("(process ").and_then(|(_, rest)| rest.strip_suffix(')'));
    number.and_then(|number| number.parse().ok()).expect("a process")
}

impl Upgradable {
    pub(crate) fn over(emulator: Emulator, args: &[&str]) -> Self {
        let mut mount = unmounted();
        mount.emulator = emulator;
        let program = mount.dir.path().join("bedfs");
        install(&program);
        let mut command = by(&program, &mount, "mount");
        let output = command.args(["--qps", "unlimited"]).args(args).arg(&mount.path).output();
        let output = output.expect("bedfs runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let process = holder(&mount);
        Self { mount, program, process }
    }

    /// Of a bed that was filled before.
    pub(crate) fn new(args: &[&str], fill: impl FnOnce(&Emulator)) -> Self {
        let emulator = Emulator::start(fast()).expect("the emulator starts");
        fill(&emulator);
        Self::over(emulator, args)
    }

    fn logged(&self, what: &str) -> usize {
        self.mount.log().matches(what).count()
    }

    /// Has the program that stands there now take over.
    pub(crate) fn upgrade(&self) {
        let before = self.logged("took over the mount");
        kill(self.process, libc::SIGUSR1);
        wait_until("it took over", || self.logged("took over the mount") > before);
        assert!(self.mount.is_mounted());
    }

    /// The same, which must come to nothing; gives why.
    pub(crate) fn stays(&self) -> String {
        let before = self.logged(REFUSED);
        kill(self.process, libc::SIGUSR1);
        wait_until("it stays", || self.logged(REFUSED) > before);
        let log = self.mount.log();
        log.rsplit_once(REFUSED).expect("it is there").1.lines().next().expect("a line").to_owned()
    }

    /// Open descriptors of the mount's process.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process)).expect("the process").count()
    }

    /// Unmounts, and sees that the service had nothing to object to.
    pub(crate) fn end(self) {
        no_violations(&self.mount);
        self.mount.unmount();
    }

    fn at(&self, path: &str) -> PathBuf {
        self.mount.at(path)
    }
}

#[test]
fn what_is_being_read_is_read_on() {
    if !is_possible() {
        return;
    }
    let bytes = noise(1, 3 << 20);
    let mount = Upgradable::new(&[], |bed| {
        for name in ["a.jpg", "gone.jpg"] {
            bed.put(name, &bytes);
        }
        bed.fill("many", 3000, 10);
        bed.put("sub/b.jpg", b"in the folder");
    });
    let mut half = vec![0; 1 << 20];
    let mut open = ["a.jpg", "gone.jpg"].map(|name| File::open(mount.at(name)).expect("opens"));
    open[0].read_exact(&mut half).expect("read");
    assert!(half == bytes[..1 << 20]);
    fs::remove_file(mount.at("gone.jpg")).expect("removed");
    let mut names = fs::read_dir(mount.at("many")).expect("a folder");
    let mut seen: Vec<_> =
        names.by_ref().take(10).map(|it| it.expect("a name").file_name()).collect();
    let mut status = File::open(mount.at(".bedfs/status.json")).expect("opens");
    let mut shell = Command::new("sh");
    shell.args(["-c", "read word; cat b.jpg; echo; pwd"]).current_dir(mount.at("sub"));
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh runs");
    let inode =
        |path: &str| run("stat", ["-c".as_ref(), "%i".as_ref(), mount.at(path).as_os_str()]);
    let before = inode("sub/b.jpg");
    mount.upgrade();
    assert_eq!(inode("sub/b.jpg"), before);
    for file in &mut open {
        let mut rest = Vec::new();
        let from = file.stream_position().expect("a position") as usize;
        file.read_to_end(&mut rest).expect("read");
        assert!(rest == bytes[from..]);
    }
    seen.extend(names.map(|it| it.expect("a name").file_name()));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3000);
    let mut told = String::new();
    status.read_to_string(&mut told).expect("read");
    assert!(told.contains(&format!("\"pid\": {}", mount.process)), "{told}");
    writeln!(shell.stdin.take().expect("a pipe"), "go").expect("written");
    let mut said = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
    assert_eq!(said.next().expect("a line").expect("text"), "in the folder");
    assert!(said.next().expect("a line").expect("text").ends_with("/sub"));
    shell.wait().expect("it ends");
    drop((open, status));
    let has_gone = || mount.mount.emulator.tree().iter().all(|(path, _)| !path.contains("gone"));
    wait_until("nobody has it open", has_gone);
    mount.end();
}

#[test]
fn what_is_being_written_is_written_on_and_arrives_whole() {
    if !is_possible() {
        return;
    }
    let old = noise(1, 300_000);
    for args in [&[][..], &["--upload", "background"]] {
        let mount = Upgradable::new(args, |bed| {
            bed.put("old.jpg", &old);
        });
        let both = |path: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).open(mount.at(path)).expect("opens")
        };
        // One that the kernel may write by itself, one by calls, one over an old version, one nameless.
        let mut files =
            [create(&mount.at("new.jpg")), both("calls.jpg"), both("old.jpg"), both("no.jpg")];
        let (first, second) = (noise(2, 150_000), noise(3, 100_000));
        for file in &mut files {
            file.write_all(&first).expect("written");
        }
        fs::remove_file(mount.at("no.jpg")).expect("removed");
        mount.upgrade();
        assert!(fs::read(mount.at("calls.jpg")).expect("readable") == first);
        let wanted = [&first[..], &second].concat();
        for file in &mut files {
            file.write_all(&second).expect("written");
        }
        let mut read = vec![0; wanted.len()];
        files[3].read_exact_at(&mut read, 0).expect("a file without a name is read");
        assert!(read == wanted);
        assert_eq!(xattr(&mount.at("calls.jpg"), "state").as_deref(), Some("dirty"));
        drop(files);
        wait_until("nothing is staged", || staged(&mount.mount).is_empty());
        let bed = &mount.mount.emulator;
        assert!(
            bed.read("new.jpg").as_ref() == Some(&wanted)
                && bed.read("calls.jpg").as_ref() == Some(&wanted)
        );
        assert!(bed.read("old.jpg") == Some([&wanted[..], &old[wanted.len()..]].concat()));
        assert_eq!(
            bed.tree().iter().filter(|(_, row)| !row.is_folder).count(),
            3,
            "{:?}",
            bed.tree()
        );
        no_violations(&mount.mount);
        mount.mount.unmount();
    }
}

#[test]
fn what_the_kernel_reads_and_writes_by_itself_it_goes_on_with() {
    if !is_possible() || !crate::passthrough::is_possible() {
        return;
    }
    let bytes = noise(1, 1 << 20);
    let mount = Upgradable::new(&[], |bed| {
        bed.put("a.jpg", &bytes);
    });
    run("cat", [mount.at("a.jpg")]);
    let reader = lent(&mount.mount, &mount.at("a.jpg"), &bytes);
    let writer = create(&mount.at("b.jpg"));
    writer.write_all_at(&bytes, 0).expect("written");
    for round in 0..2 {
        mount.upgrade();
        let read = read_without_the_mount(&mount.mount, &reader, bytes.len());
        assert!(read.as_ref() == Some(&bytes), "round {round}");
        assert!(is_written_without_the_mount(&mount.mount, &writer, b"more", 100 + round));
        let another = File::open(mount.at("a.jpg")).expect("opened beside it");
        let read = read_without_the_mount(&mount.mount, &another, bytes.len());
        assert!(read.as_ref() == Some(&bytes), "it is lent the same");
    }
    drop((reader, writer));
    let mut wanted = bytes;
    wanted[100..105].copy_from_slice(b"mmore");
    wait_until("it is there", || mount.mount.emulator.read("b.jpg").as_ref() == Some(&wanted));
    mount.end();
}

#[test]
fn a_mapped_file_that_was_closed_is_published_when_it_is_unmapped() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(&[], |_| {});
    let script = "import mmap,os,sys\n\
                  f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT)\n\
                  os.write(f,b'x'*10000)\n\
                  m=mmap.mmap(f,10000)\n\
                  os.close(f)\n\
                  print('mapped',flush=True)\n\
                  sys.stdin.readline()\n\
                  m[5000:5007]=b'changed'\n\
                  m.flush()\n";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(mount.at("a.jpg"));
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut line = String::new();
    BufReader::new(python.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    mount.upgrade();
    writeln!(python.stdin.take().expect("a pipe"), "go").expect("written");
    assert!(python.wait().expect("an end").success());
    let mut wanted = vec![b'x'; 10_000];
    wanted[5000..5007].copy_from_slice(b"changed");
    wait_until("it is there", || mount.mount.emulator.read("a.jpg").as_ref() == Some(&wanted));
    mount.end();
}

#[test]
fn the_mount_of_an_ordinary_user_is_taken_over_too() {
    if !is_possible() {
        return;
    }
    let _open = crate::users::OpenDevice::new();
    let mount = unmounted();
    mount.emulator.put("a.jpg", b"a");
    let program = mount.dir.path().join("bedfs");
    install(&program);
    run("chown", [Path::new("-R"), Path::new("65534:65534"), mount.dir.path()]);
    let ran = |output: Output| {
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let as_nobody = |command: &Command| ran(crate::users::as_nobody(command));
    as_nobody(by(&program, &mount, "mount").arg(&mount.path));
    let process = holder(&mount);
    let mount = Upgradable { mount, program, process };
    let script = format!(
        "exec 3<{0}/a.jpg 4>{0}/b.jpg; printf first >&4; kill -USR1 {process}; \
         until grep -q 'took over' {1}/state/bedfs/*/bedfs.log; do sleep 0.1; done; \
         cat <&3; printf second >&4; exec 4>&-; cat {0}/b.jpg",
        mount.mount.path.display(),
        mount.mount.dir.path().display(),
    );
    assert_eq!(as_nobody(Command::new("sh").args(["-c", &script])), "afirstsecond");
    as_nobody(by(&mount.program, &mount.mount, "umount").arg(&mount.mount.path));
    assert!(!mount.mount.is_mounted());
    assert_eq!(mount.mount.emulator.read("b.jpg").as_deref(), Some(&b"firstsecond"[..]));
    wait_until("it has ended", || !is_alive(process));
}

#[test]
fn a_takeover_costs_no_call_and_the_secret_is_in_no_argument() {
    if !is_possible() {
        return;
    }
    let mount = Upgradable::new(&[], |bed| {
        bed.put("sub/b.jpg", b"b");
    });
    let looked = || run("ls", ["-lR".as_ref(), mount.mount.path.as_os_str()]);
    let (seen, calls) = (looked(), mount.mount.emulator.requests().len());
    mount.upgrade();
    assert_eq!(looked(), seen);
    assert_eq!(mount.mount.emulator.requests().len(), calls, "what was known is known");
    let typed = fs::read(format!("/proc/{}/cmdline", mount.process)).expect("arguments");
    assert!(!text(&typed).contains("emulator-secret"));
    assert!(
        text(&typed).contains(&*mount.mount.path.to_string_lossy()),
        "who looks sees the mount"
    );
    mount.mount.emulator.expire_tokens();
    let mut file = File::create(mount.at("a.jpg")).expect("made");
    file.write_all(b"a").expect("written");
    file.seek(SeekFrom::Start(0)).expect("sought");
    drop(file);
    wait_until("it is there", || mount.mount.emulator.read("a.jpg").is_some());
    mount.mount.unmount();
}
