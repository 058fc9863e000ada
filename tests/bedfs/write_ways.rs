//! New files that programs write in every way there is: what they wrote is what is published.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bedfs_emulator::FaultKind;

use crate::crash_open::is_exported;
use crate::harness::{Mount, fast, noise};
use crate::journaled::{
    BACKGROUND, all_done, bed_is, crash, eventually, in_background, mount_again, stays,
};
use crate::semantics::{no_violations, python};

/// A new file with these bytes, synced and still open.
fn synced(path: &Path, bytes: &[u8]) -> File {
    let file = File::create_new(path).expect("made");
    file.write_all_at(bytes, 0).expect("written");
    file.sync_all().expect("synced");
    file
}

/// Objects that the bed has, those in scratch folders too.
fn pictures(mount: &Mount) -> usize {
    mount.emulator.tree().iter().filter(|(_, row)| !row.is_folder).count()
}

#[test]
fn bytes_written_in_every_way_are_all_there() {
    let mount = Mount::new();
    let script = r#"
import mmap, os, sys
for path in sys.argv[1:]:
    first = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    fd = os.open(path, os.O_RDWR)
    os.write(fd, b"0123456789" * 1000)
    with mmap.mmap(fd, 10000) as memory:
        memory[5000:5006] = b"mapped"
        other = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(other, b"appended")
        os.close(other)
        memory[7000:7005] = b"after"
    os.pwrite(fd, b"far", 50000)
    os.ftruncate(fd, 40000)
    assert os.lseek(fd, 0, os.SEEK_END) == 40000
    os.truncate(path, 39999)
    os.write(fd, b"end")
    reader = os.open(path, os.O_RDONLY)
    assert os.fstat(reader).st_size == 40003
    assert os.pread(reader, 8, 10000) == b"appended"
    assert os.pread(reader, 6, 5000) == b"mapped"
    os.close(fd)
    os.close(first)
    assert os.pread(reader, 9, 39998) == b"\0\0end"
    os.close(reader)
"#;
    let (here, plain) = (mount.at("a.jpg"), mount.dir.path().join("plain"));
    python(script, &[&plain, &here]);
    let wanted = fs::read(&plain).expect("a plain file");
    assert_eq!(fs::read(&here).expect("read"), wanted);
    eventually("published", || mount.emulator.read("a.jpg").as_ref() == Some(&wanted));
    no_violations(&mount);
}

#[test]
fn what_is_written_to_a_mapping_after_the_last_close_is_published() {
    let script = r#"
import ctypes, mmap, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
first = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
fd = os.open(sys.argv[1], os.O_RDWR)
os.ftruncate(fd, 8192)
at = libc.mmap(None, 8192, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
ctypes.memmove(at, b"early", 5)
ctypes.memmove(at + 4096, b"....", 4)
os.close(fd)
os.close(first)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
ctypes.memmove(at + 4096, b"late", 4)
"#;
    for args in [&[][..], BACKGROUND] {
        let mount = Mount::with(fast(), args);
        let (path, go) = (mount.at("a.jpg"), mount.dir.path().join("go"));
        std::thread::scope(|scope| {
            scope.spawn(|| python(script, &[&path, &go]));
            eventually("the first version is promised", || {
                fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"early"))
            });
            if args.is_empty() {
                eventually("and there", || mount.emulator.read("a.jpg").is_some());
            }
            fs::write(&go, b"").expect("the sign");
        });
        eventually("the second version is there", || {
            mount.emulator.read("a.jpg").is_some_and(|bytes| &bytes[4096..4100] == b"late")
        });
        eventually("the first one is gone", || pictures(&mount) == 1);
        no_violations(&mount);
    }
}

#[test]
fn processes_that_write_one_file_together_lose_nothing() {
    // The parent closes it first: who is left are a child with its descriptor, one with its own, and
    // one with a mapping of a file that it has closed.
    let script = r#"
import mmap, os, sys, time
path, size = sys.argv[1], 400000
first = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
os.pwrite(first, b"\0", 4 * size - 1)
def write(number):
    begin = number * size
    if number == 0:
        put = lambda bytes, at: os.pwrite(first, bytes, at)
    elif number == 1:
        own = os.open(path, os.O_WRONLY)
        put = lambda bytes, at: os.pwrite(own, bytes, at)
    else:
        own = os.open(path, os.O_RDWR)
        memory = mmap.mmap(own, 4 * size)
        put = lambda bytes, at: memory.__setitem__(slice(at, at + len(bytes)), bytes)
        if number == 3:
            os.close(own)
    for at in range(begin, begin + size, 1000):
        put(b"%d" % number * 1000, at)
        if number == 2 and at % 100000 == 0:
            os.fsync(own)
        if at % 20000 == 0:
            time.sleep(0.01)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        write(number)
        os._exit(0)
    children.append(child)
os.close(first)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"#;
    let wanted: Vec<u8> = b"0123".iter().flat_map(|digit| [*digit].repeat(400_000)).collect();
    for args in [&[][..], BACKGROUND] {
        let mount = Mount::with(fast(), args);
        python(script, &[&mount.at("a.jpg")]);
        assert!(fs::read(mount.at("a.jpg")).is_ok_and(|bytes| bytes == wanted));
        eventually("all of it is there", || mount.emulator.read("a.jpg").as_ref() == Some(&wanted));
        eventually("no version is left beside it", || pictures(&mount) == 1);
        no_violations(&mount);
    }
}

#[test]
fn each_fsync_publishes_what_was_written_until_then() {
    let mount = Mount::new();
    let mut file = File::create_new(mount.at("a.jpg")).expect("made");
    let mut wanted = Vec::new();
    for round in 1..4 {
        let more = noise(round, 50_000);
        file.write_all(&more).expect("written");
        wanted.extend_from_slice(&more);
        file.sync_all().expect("synced");
        assert_eq!(mount.emulator.read("a.jpg").as_ref(), Some(&wanted), "round {round}");
        let calls = mount.emulator.requests().len();
        file.sync_all().expect("synced again");
        assert_eq!(mount.emulator.requests().len(), calls, "nothing changed, nothing is asked");
    }
    assert!(fs::read(mount.at("a.jpg")).expect("readable") == wanted);
    drop(file);
    eventually("no version is left beside it", || pictures(&mount) == 1);
    no_violations(&mount);
}

#[test]
fn what_is_written_after_its_upload_outlives_a_kill() {
    let mount = Mount::new();
    let file = synced(&mount.at("a.jpg"), b"uploaded");
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"uploaded"[..]));
    file.write_all_at(b" and more", 8).expect("written");
    crash(&mount);
    drop(file);
    mount_again(&mount, &[]);
    assert!(is_exported(&mount, b"uploaded and more"));
    assert_eq!(fs::read(mount.at("a.jpg")).expect("readable"), b"uploaded");
}

#[test]
fn what_was_synced_and_then_cut_outlives_a_kill_before_its_successor_is_synced() {
    let mount = in_background();
    mount.emulator.inject(stays("create", FaultKind::Hang));
    let kept = noise(1, 200_000);
    let file = synced(&mount.at("a.jpg"), &kept);
    file.set_len(0).expect("cut");
    file.write_all_at(b"never synced", 0).expect("written anew");
    assert_eq!(fs::read(mount.at("a.jpg")).expect("read"), b"never synced");
    crash(&mount);
    drop(file);
    mount.emulator.clear_faults();
    mount_again(&mount, BACKGROUND);
    assert!(fs::read(mount.at("a.jpg")).is_ok_and(|bytes| bytes == kept));
    all_done(&mount);
    bed_is(&mount, &[("a.jpg", &kept)]);
}
