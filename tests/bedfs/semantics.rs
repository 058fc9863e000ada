//! What a file of the mount holds: written anywhere, cut, lengthened, mapped, appended to, and read
//! back by real programs, before its upload and after.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use bedfs_emulator::{Emulator, Options};

use crate::harness::{Mount, fast, noise, run, wait_until, xattr};

/// What a system call that must fail says.
pub(crate) fn errno<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.raw_os_error().expect("a system call's error"),
    }
}

/// The client kept to the documents.
pub(crate) fn no_violations(mount: &Mount) {
    assert_eq!(mount.emulator.violations(), Vec::<String>::new());
}

/// Runs a script of Python with these paths as its arguments.
pub(crate) fn python(script: &str, paths: &[&Path]) -> String {
    let mut args = vec!["-c".into(), script.into()];
    args.extend(paths.iter().map(|path| path.as_os_str().to_owned()));
    run("python3", args)
}

/// A mount of a bed that was filled before.
pub(crate) fn bed(fill: impl FnOnce(&Emulator)) -> Mount {
    bed_with(fast(), &[], fill)
}

/// A mount, with these arguments more, of a bed that was filled before.
pub(crate) fn bed_with(options: Options, args: &[&str], fill: impl FnOnce(&Emulator)) -> Mount {
    let emulator = Emulator::start(options).expect("the emulator starts");
    fill(&emulator);
    emulator.forget_requests();
    Mount::over(emulator, args)
}

/// Lists a folder anew at the service.
pub(crate) fn refresh(folder: &Path) {
    let set = ["-n", "user.bedfs.refresh", "-v", "1"].map(OsStr::new);
    run("setfattr", set.into_iter().chain([folder.as_os_str()]));
}

/// What a folder shows, hidden names too, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let listed = run("ls", [OsStr::new("-A"), folder.as_os_str()]);
    listed.lines().map(str::to_owned).collect()
}

/// Opens an existing file for reading and writing.
pub(crate) fn open_rw(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("the file opens for reading and writing")
}

/// Bytes that direct links served since the requests were last forgotten.
pub(crate) fn fetched(mount: &Mount) -> u64 {
    let requests = mount.emulator.requests();
    let cdn = requests.iter().filter(|request| request.endpoint == "cdn");
    cdn.map(|request| request.bytes_out).sum()
}

#[test]
fn written_bytes_are_read_back_before_and_after_the_upload() {
    let mount = Mount::new();
    let bytes = noise(1, 300_001);
    let path = mount.at("a.png");
    let mut file = File::create(&path).expect("a new file");
    file.write_all(&bytes).expect("written");
    assert_eq!(fs::read(&path).expect("read while open"), bytes);
    assert_eq!(mount.emulator.read("a.png"), None);
    drop(file);
    assert_eq!(mount.emulator.read("a.png"), Some(bytes.clone()));
    assert_eq!(fs::read(&path).expect("read after the upload"), bytes);
    mount.remount(&[]);
    assert_eq!(fs::read(&path).expect("read after a remount"), bytes);
    assert_eq!(run("stat", ["-c".as_ref(), "%s".as_ref(), path.as_os_str()]), "300001\n");
    no_violations(&mount);
}

#[test]
fn writes_land_at_any_offset_of_new_and_of_remote_files() {
    let mut model = noise(2, 700_000);
    let mount = bed(|bed| drop(bed.put("old.jpg", &model)));
    let path = mount.at("old.jpg");
    let file = open_rw(&path);
    for (seed, (offset, len)) in
        [(0, 1), (131_071, 2), (699_990, 20), (300_000, 131_072), (299_999, 3), (900_000, 10)]
            .into_iter()
            .enumerate()
    {
        let bytes = noise(seed as u64 + 10, len);
        file.write_all_at(&bytes, offset as u64).expect("written");
        model.resize(model.len().max(offset + len), 0);
        model[offset..offset + len].copy_from_slice(&bytes);
        assert_eq!(fs::read(&path).expect("read between writes"), model);
    }
    drop(file);
    assert_eq!(mount.emulator.read("old.jpg"), Some(model));

    let sparse = mount.at("sparse.jpg");
    let file = File::create(&sparse).expect("a new file");
    file.write_all_at(b"end", 200_000).expect("written");
    file.write_all_at(b"begin", 0).expect("written");
    drop(file);
    let mut model = vec![0; 200_003];
    model[..5].copy_from_slice(b"begin");
    model[200_000..].copy_from_slice(b"end");
    assert_eq!(mount.emulator.read("sparse.jpg"), Some(model));
    no_violations(&mount);
}

#[test]
fn a_file_is_cut_and_lengthened_by_name_and_by_descriptor() {
    let bytes = noise(3, 400_000);
    let mount = bed(|bed| drop(bed.put("a.jpg", &bytes)));
    let path = mount.at("a.jpg");
    // By name, without a descriptor: uploaded when the call returns.
    python("import os,sys; os.truncate(sys.argv[1], 100000)", &[&path]);
    assert_eq!(mount.emulator.read("a.jpg"), Some(bytes[..100_000].to_vec()));
    run("truncate", ["-s".as_ref(), "150000".as_ref(), path.as_os_str()]);
    let mut model = bytes[..100_000].to_vec();
    model.resize(150_000, 0);
    assert_eq!(mount.emulator.read("a.jpg"), Some(model.clone()));
    assert_eq!(fs::read(&path).expect("read"), model);
    // What is cut off and lengthened again is zeros, of what was written here as well.
    let file = open_rw(&path);
    file.write_all_at(&[7; 1000], 60_000).expect("written");
    file.set_len(60_500).expect("cut");
    file.set_len(61_000).expect("lengthened");
    drop(file);
    model.truncate(60_000);
    model.resize(60_500, 7);
    model.resize(61_000, 0);
    assert_eq!(mount.emulator.read("a.jpg"), Some(model));
    assert_eq!(fs::metadata(&path).expect("stat").len(), 61_000);
    no_violations(&mount);
}

#[test]
fn a_cut_to_nothing_and_new_bytes_make_one_new_version() {
    let mount = bed(|bed| drop(bed.put("a.jpg", &noise(4, 50_000))));
    run("sh", ["-c", "echo new > \"$0\"", mount.at("a.jpg").to_str().expect("a path")]);
    assert_eq!(mount.emulator.read("a.jpg").as_deref(), Some(&b"new\n"[..]));
    assert_eq!(mount.emulator.count("cdn"), 0);
    assert_eq!(mount.emulator.list("").iter().filter(|row| !row.is_folder).count(), 1);
    no_violations(&mount);
}

#[test]
fn appends_go_to_the_end() {
    let mount = Mount::new();
    let path = mount.at("log.txt");
    for word in ["a", "b", "c"] {
        let script = format!("echo {word} >> \"$0\"");
        run("sh", ["-c".as_ref(), script.as_ref(), path.as_os_str()]);
    }
    assert_eq!(mount.emulator.read("log.txt").as_deref(), Some(&b"a\nb\nc\n"[..]));
    mount.remount(&[]);
    let mut one = OpenOptions::new().append(true).open(&path).expect("opens");
    let mut two = OpenOptions::new().append(true).open(&path).expect("opens");
    one.write_all(b"d\n").expect("appended");
    two.write_all(b"e\n").expect("appended");
    one.write_all(b"f\n").expect("appended");
    drop((one, two));
    let all = b"a\nb\nc\nd\ne\nf\n";
    assert_eq!(fs::read(&path).expect("read"), all);
    assert_eq!(mount.emulator.read("log.txt").as_deref(), Some(&all[..]));
    no_violations(&mount);
}

#[test]
fn a_mapped_file_is_read_and_written_through_memory() {
    let mut model = noise(5, 500_000);
    let mount = bed(|bed| drop(bed.put("map.bmp", &model)));
    let path = mount.at("map.bmp");
    let script = "
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
with mmap.mmap(fd, 0) as view:
    before = open(sys.argv[2], 'rb').read()
    assert view[:] == before, 'the mapping shows other bytes'
    view[4090:4100] = b'0123456789'
    view[499990:500000] = b'abcdefghij'
    view.flush()
os.close(fd)
fd = os.open(sys.argv[1], os.O_RDWR)
view = mmap.mmap(fd, 0)
os.close(fd)
view[200000:200004] = b'late'
view.close()
";
    python(script, &[&path, &mount.local("before", &model)]);
    model[4090..4100].copy_from_slice(b"0123456789");
    model[499_990..].copy_from_slice(b"abcdefghij");
    model[200_000..200_004].copy_from_slice(b"late");
    assert_eq!(fs::read(&path).expect("read"), model);
    // The last change was made after the last close: only the mapping's end tells of it.
    wait_until("the mapped bytes are uploaded", || {
        mount.emulator.read("map.bmp").as_ref() == Some(&model)
    });
    no_violations(&mount);
}

#[test]
fn fsync_returns_when_the_service_has_the_bytes() {
    let mount = Mount::new();
    let mut file = File::create(mount.at("a.png")).expect("a new file");
    file.write_all(b"first").expect("written");
    file.sync_all().expect("synced");
    assert_eq!(mount.emulator.read("a.png").as_deref(), Some(&b"first"[..]));
    file.write_all(b" second").expect("written");
    file.sync_data().expect("synced");
    assert_eq!(mount.emulator.read("a.png").as_deref(), Some(&b"first second"[..]));
    mount.emulator.forget_requests();
    drop(file);
    assert_eq!(mount.emulator.count("create"), 0);
    assert_eq!(xattr(&mount.at("a.png"), "state").as_deref(), Some("remote"));
    no_violations(&mount);
}

#[test]
fn an_overwrite_in_part_fetches_only_what_it_needs() {
    const MIB: usize = 1 << 20;
    let mount = Mount::new();
    let old = noise(6, 8 * MIB);
    let new = noise(7, 8 * MIB);
    let source = mount.local("source", &new);
    // What is overwritten, in MiB, and what is needed of the old version, in MiB.
    for (case, (skip, count, keep, needed)) in
        [(0, 8, 8, 0), (0, 4, 8, 4), (6, 2, 8, 6), (2, 4, 8, 4), (0, 0, 1, 1)]
            .into_iter()
            .enumerate()
    {
        let name = format!("{case}.jpg");
        let mut model = old.clone();
        // Other bytes each time, or one case would be read from the cache of another.
        model[8 * MIB - 1] = case as u8;
        model[0] = case as u8;
        mount.emulator.put(&name, &model);
        refresh(&mount.path);
        mount.emulator.forget_requests();
        let path = mount.at(&name);
        if count > 0 {
            let dd = format!(
                "if={} of={} bs=1M skip={skip} seek={skip} count={count} conv=notrunc",
                source.display(),
                path.display()
            );
            run("dd", dd.split(' '));
            let part = skip * MIB..(skip + count) * MIB;
            model[part.clone()].copy_from_slice(&new[part]);
        }
        if keep < 8 {
            python(&format!("import os,sys; os.truncate(sys.argv[1], {})", keep * MIB), &[&path]);
            model.truncate(keep * MIB);
        }
        assert!(mount.emulator.read(&name).as_ref() == Some(&model), "case {case}: other bytes");
        let (fetched, most) =
            (fetched(&mount), if needed == 0 { 0 } else { needed * MIB + MIB / 2 });
        assert!(fetched <= most as u64, "case {case}: {fetched} bytes fetched where {most} do");
    }
    no_violations(&mount);
}

#[test]
fn reads_give_the_bytes_asked_for_at_any_offset() {
    let bytes = noise(8, 3_000_001);
    let small = ["--cache-size", "1M"];
    let mount = bed_with(fast(), &small, |bed| drop(bed.put("a.jpg", &bytes)));
    let file = File::open(mount.at("a.jpg")).expect("opens");
    for offset in [2_999_999, 0, 1_500_000, 131_071, 2_000_000, 1, 2_999_990] {
        let mut part = vec![0; 5000];
        let count = file.read_at(&mut part, offset as u64).expect("read");
        let end = bytes.len().min(offset + 5000);
        assert_eq!(part[..count], bytes[offset..end][..count], "at {offset}");
        assert!(count > 0, "nothing at {offset}");
    }
    assert_eq!(file.read_at(&mut [0; 10], 3_000_001).expect("at the end"), 0);
    assert_eq!(file.read_at(&mut [0; 10], 9_000_000).expect("beyond"), 0);
    let mut whole = Vec::new();
    (&file).read_to_end(&mut whole).expect("read whole");
    assert!(whole == bytes, "the whole differs");
    no_violations(&mount);
}

#[test]
fn an_empty_file_lives_here_until_it_has_bytes() {
    let mount = Mount::with(fast(), &["--dir-ttl", "0"]);
    let (path, moved) = (mount.at("empty.png"), mount.at("moved.png"));
    run("touch", [&path]);
    assert_eq!(fs::metadata(&path).expect("stat").len(), 0);
    assert_eq!(fs::read(&path).expect("read"), b"");
    assert_eq!(run("ls", [&mount.path]), "empty.png\n");
    run("mv", [&path, &moved]);
    assert_eq!(run("ls", [&mount.path]), "moved.png\n");
    assert_eq!((mount.emulator.count("create"), mount.emulator.count("move")), (0, 0));
    fs::write(&moved, b"bytes").expect("written");
    assert_eq!(mount.emulator.read("moved.png").as_deref(), Some(&b"bytes"[..]));
    run("touch", [&path]);
    run("rm", [&path]);
    assert_eq!(run("ls", [&mount.path]), "moved.png\n");
    assert_eq!(mount.emulator.count("delete"), 0);
    no_violations(&mount);
}

#[test]
fn nothing_is_sent_where_nothing_changed() {
    let bytes = noise(9, 100_000);
    let mount = bed(|bed| drop(bed.put("a.png", &bytes)));
    let id = mount.emulator.row("a.png").expect("the file").id;
    let source = mount.local("source", &bytes);
    mount.emulator.forget_requests();
    drop(open_rw(&mount.at("a.png")));
    run("cp", [source.as_path(), &mount.at("a.png")]);
    let changes = ["create", "put", "delete", "move", "mkdir", "cdn"];
    let calls = changes.map(|endpoint| mount.emulator.count(endpoint));
    assert_eq!(calls, [0; 6]);
    assert_eq!(mount.emulator.row("a.png").expect("the file").id, id);
    no_violations(&mount);
}

#[test]
fn archives_are_unpacked_and_trees_are_copied_with_their_times_and_modes() {
    let mount = Mount::new();
    let from = mount.dir.path().join("from");
    fs::create_dir_all(from.join("sub/deep")).expect("folders");
    for (number, name) in ["a.png", "sub/b c.jpg", "sub/deep/图.gif"].iter().enumerate() {
        fs::write(from.join(name), noise(20 + number as u64, 10_000 * (number + 1)))
            .expect("a file");
        run(
            "touch",
            ["-d", "2019-03-04 05:06:07.123456789", from.join(name).to_str().expect("a path")],
        );
        run("chmod", ["640".as_ref(), from.join(name).as_os_str()]);
    }
    let tar = mount.dir.path().join("tar.tar");
    run("tar", ["-C".as_ref(), from.as_os_str(), "-cf".as_ref(), tar.as_os_str(), ".".as_ref()]);
    for folder in ["cp", "rsync", "tar"] {
        fs::create_dir(mount.at(folder)).expect("a folder");
    }
    let all = format!("{}/.", from.display());
    run("cp", ["-rp".as_ref(), all.as_ref(), mount.at("cp").as_os_str()]);
    run("rsync", ["-a".as_ref(), all.as_ref(), mount.at("rsync").as_os_str()]);
    run("tar", ["-C".as_ref(), mount.at("tar").as_os_str(), "-xf".as_ref(), tar.as_os_str()]);
    for folder in ["cp", "rsync", "tar"] {
        run("diff", ["-r".as_ref(), from.as_os_str(), mount.at(folder).as_os_str()]);
        let copied = fs::metadata(mount.at(folder).join("sub/b c.jpg")).expect("stat");
        let original = fs::metadata(from.join("sub/b c.jpg")).expect("stat");
        assert_eq!(copied.mode() & 0o777, 0o640, "{folder}");
        assert_eq!((copied.mtime()), original.mtime(), "{folder}");
        // `tar` knows whole seconds only.
        let nanoseconds = if folder == "tar" { 0 } else { 123_456_789 };
        assert_eq!(copied.mtime_nsec(), nanoseconds, "{folder}");
    }
    mount.emulator.forget_requests();
    run("rsync", ["-a".as_ref(), all.as_ref(), mount.at("rsync").as_os_str()]);
    let calls = ["create", "move", "delete", "cdn"].map(|endpoint| mount.emulator.count(endpoint));
    assert_eq!(calls, [0; 4], "a second rsync sends nothing");
    assert_eq!(mount.emulator.tree().iter().filter(|(_, row)| !row.is_folder).count(), 9);
    no_violations(&mount);
}

#[test]
fn files_are_locked_lengthened_in_advance_and_have_holes_punched() {
    let mount = Mount::new();
    let path = mount.at("a.png");
    fs::write(&path, b"bytes").expect("written");
    run("flock", [path.as_os_str(), "true".as_ref()]);
    for (how, expected) in [
        ("--keep-size --length 100", &b"bytes"[..]),
        ("--length 8", b"bytes\0\0\0"),
        ("--punch-hole --offset 1 --length 2", b"b\0\0es\0\0\0"),
        ("--zero-range --offset 4 --length 6", b"b\0\0e\0\0\0\0\0\0"),
    ] {
        run("fallocate", how.split(' ').map(Path::new).chain([&*path]));
        assert_eq!(fs::read(&path).expect("read"), expected, "{how}");
        assert_eq!(mount.emulator.read("a.png").as_deref(), Some(expected), "{how}");
    }
    // Reserving room changes nothing, so nothing is sent.
    assert_eq!(mount.emulator.count("create"), 4);
    no_violations(&mount);
}
