//! Files that somebody has open: closes of duplicates, children that inherit a descriptor, names
//! that go or change hands while the bytes are still read or written.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use crate::harness::{Mount, fast, noise, run, wait_until};
use crate::semantics::{bed, no_violations, open_rw, python, refresh};

/// The files of the bed, by path and bytes; scratch folders are the program's own affair, the
/// files in them are not.
fn files(mount: &Mount) -> Vec<(String, Vec<u8>)> {
    let tree = mount.emulator.tree();
    let files = tree.into_iter().filter(|(_, row)| !row.is_folder);
    files
        .map(|(path, _)| {
            let bytes = mount.emulator.read(&path).expect("a file");
            (path, bytes)
        })
        .collect()
}

/// Nothing of this mount is left at the service but what it shows.
fn is_tidy_after_unmounting(mount: &Mount) -> bool {
    mount.unmount();
    let tree = mount.emulator.tree();
    !tree.iter().any(|(path, _)| path.starts_with(".bedfs"))
}

#[test]
fn two_programs_that_write_to_one_descriptor_make_one_upload() {
    let mount = Mount::new();
    let script = "(echo a; /bin/echo b; echo c) > \"$0\"";
    run("sh", ["-c".as_ref(), script.as_ref(), mount.at("f.txt").as_os_str()]);
    assert_eq!(mount.emulator.read("f.txt").as_deref(), Some(&b"a\nb\nc\n"[..]));
    assert_eq!(mount.emulator.count("create"), 1);
    no_violations(&mount);
}

#[test]
fn a_child_that_closes_an_inherited_descriptor_uploads_nothing_half_written() {
    let mount = Mount::new();
    let script = "
import os, subprocess, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(fd, b'one ')
subprocess.run([sys.executable, '-c', f'import os; os.write({fd}, b\"two \")'], pass_fds=[fd], check=True)
os.write(fd, b'three')
os.close(fd)
";
    python(script, &[&mount.at("f.txt")]);
    assert_eq!(mount.emulator.read("f.txt").as_deref(), Some(&b"one two three"[..]));
    assert_eq!(mount.emulator.count("create"), 1);
    no_violations(&mount);
}

#[test]
fn what_a_child_writes_after_its_parent_closed_is_uploaded() {
    let mount = Mount::new();
    let script = "
import os, subprocess, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
child = subprocess.Popen([sys.executable, '-c', f'import os, sys; sys.stdin.read(); os.write({fd}, b\"late\")'], pass_fds=[fd], stdin=subprocess.PIPE)
os.close(fd)
child.communicate()
";
    python(script, &[&mount.at("f.txt")]);
    assert_eq!(fs::read(mount.at("f.txt")).expect("read"), b"late");
    wait_until("the child's bytes are uploaded", || {
        mount.emulator.read("f.txt").as_deref() == Some(&b"late"[..])
    });
    no_violations(&mount);
}

#[test]
fn a_closed_duplicate_does_not_end_the_writing() {
    let mount = Mount::new();
    let script = "
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(fd, b'one ')
os.close(os.dup(fd))
os.write(fd, b'two')
os.close(fd)
";
    python(script, &[&mount.at("f.txt")]);
    assert_eq!(files(&mount), [("f.txt".to_owned(), b"one two".to_vec())]);
    no_violations(&mount);
}

#[test]
fn a_removed_file_stays_readable_while_open_also_when_its_name_is_made_anew() {
    let old = noise(1, 3_000_000);
    let mount = bed(|bed| drop(bed.put("d/a.jpg", &old)));
    let path = mount.at("d/a.jpg");
    let mut file = File::open(&path).expect("opens");
    let mut read = vec![0; 1000];
    file.read_exact(&mut read).expect("read");
    fs::remove_file(&path).expect("removed");
    assert!(!path.exists());
    assert_eq!(mount.emulator.row("d/a.jpg"), None);
    fs::write(&path, b"new").expect("made anew");
    assert_eq!(mount.emulator.read("d/a.jpg").as_deref(), Some(&b"new"[..]));
    file.read_to_end(&mut read).expect("the old bytes are read");
    assert!(read == old, "the removed file reads as something else");
    assert_eq!(fs::read(&path).expect("read"), b"new");
    drop(file);
    wait_until("the removed file is deleted", || files(&mount).len() == 1);
    assert!(is_tidy_after_unmounting(&mount));
    no_violations(&mount);
}

#[test]
fn a_file_removed_before_its_close_is_never_uploaded() {
    let mount = Mount::new();
    let path = mount.at("temporary");
    let mut file = File::create_new(&path).expect("a new file");
    file.write_all(b"only here").expect("written");
    fs::remove_file(&path).expect("removed");
    file.write_all(b" and more").expect("written");
    let mut read = [0; 18];
    open_rw_of(&file).read_exact_at(&mut read, 0).expect("read");
    assert_eq!(&read, b"only here and more");
    drop(file);
    assert!(is_tidy_after_unmounting(&mount));
    assert_eq!(mount.emulator.count("create"), 0);
    no_violations(&mount);
}

/// Another descriptor of an open file that has no name any more.
fn open_rw_of(file: &File) -> File {
    use std::os::fd::AsRawFd;
    open_rw(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref())
}

#[test]
fn a_file_that_another_was_renamed_over_stays_readable_while_open() {
    let (a, b) = (noise(2, 2_000_000), noise(3, 2_500_000));
    let mount = bed(|bed| {
        bed.put("a.jpg", &a);
        bed.put("d/b.jpg", &b);
    });
    let mut file = File::open(mount.at("d/b.jpg")).expect("opens");
    run("mv", [mount.at("a.jpg"), mount.at("d/b.jpg")]);
    assert!(fs::read(mount.at("d/b.jpg")).expect("read") == a);
    let mut read = Vec::new();
    file.read_to_end(&mut read).expect("the old bytes are read");
    assert!(read == b, "the replaced file reads as something else");
    drop(file);
    wait_until("the replaced file is deleted", || files(&mount).len() == 1);
    assert!(mount.emulator.read("d/b.jpg") == Some(a));
    assert!(is_tidy_after_unmounting(&mount));
    no_violations(&mount);
}

#[test]
fn a_replaced_file_that_is_written_to_does_not_come_back() {
    let mount = bed(|bed| {
        bed.put("a.jpg", b"the new one");
        bed.put("b.jpg", b"the old one");
    });
    let file = open_rw(&mount.at("b.jpg"));
    file.write_all_at(b"THE", 0).expect("written");
    run("mv", [mount.at("a.jpg"), mount.at("b.jpg")]);
    file.write_all_at(b"OLD", 4).expect("written");
    let mut read = [0; 11];
    file.read_exact_at(&mut read, 0).expect("read");
    assert_eq!(&read, b"THE OLD one");
    drop(file);
    assert_eq!(fs::read(mount.at("b.jpg")).expect("read"), b"the new one");
    wait_until("one file is left", || {
        files(&mount) == [("b.jpg".to_owned(), b"the new one".to_vec())]
    });
    assert!(is_tidy_after_unmounting(&mount));
    no_violations(&mount);
}

#[test]
fn a_file_renamed_while_it_is_written_is_uploaded_under_its_new_name() {
    for remote in [false, true] {
        let mount = Mount::new();
        if remote {
            mount.emulator.put("f.jpg", b"ONE");
        } else {
            fs::write(mount.at("f.jpg"), b"").expect("an empty file");
        }
        fs::create_dir(mount.at("d")).expect("a folder");
        let path = mount.at("f.jpg");
        refresh(&mount.path);
        let file = open_rw(&path);
        file.write_all_at(b"one two", 0).expect("written");
        fs::rename(&path, mount.at("d/g.jpg")).expect("renamed");
        file.write_all_at(b" three", 7).expect("written");
        drop(file);
        assert_eq!(files(&mount), [("d/g.jpg".to_owned(), b"one two three".to_vec())]);
        assert_eq!(fs::read(mount.at("d/g.jpg")).expect("read"), b"one two three");
        assert!(is_tidy_after_unmounting(&mount));
        no_violations(&mount);
    }
}

#[test]
fn an_editor_that_saves_beside_and_renames_over_leaves_one_file() {
    let mount = bed(|bed| drop(bed.put("d/a.svg", b"<svg>old</svg>")));
    let (path, beside) = (mount.at("d/a.svg"), mount.at("d/.a.svg.swp"));
    for text in ["<svg>one</svg>", "<svg>two</svg>", "<svg>one</svg>"] {
        let mut file = File::create(&beside).expect("a new file");
        file.write_all(text.as_bytes()).expect("written");
        file.sync_all().expect("synced");
        drop(file);
        fs::rename(&beside, &path).expect("renamed");
        assert_eq!(fs::read(&path).expect("read"), text.as_bytes());
        assert_eq!(files(&mount), [("d/a.svg".to_owned(), text.as_bytes().to_vec())]);
    }
    assert!(is_tidy_after_unmounting(&mount));
    no_violations(&mount);
}

#[test]
fn a_file_renamed_before_its_first_close_replaces_the_one_of_that_name() {
    let mount = bed(|bed| drop(bed.put("b.jpg", b"old")));
    let mut file = File::create(mount.at("a.jpg")).expect("a new file");
    file.write_all(b"new").expect("written");
    fs::rename(mount.at("a.jpg"), mount.at("b.jpg")).expect("renamed");
    assert_eq!(mount.emulator.read("b.jpg").as_deref(), Some(&b"old"[..]), "until the close");
    drop(file);
    assert_eq!(files(&mount), [("b.jpg".to_owned(), b"new".to_vec())]);
    assert!(is_tidy_after_unmounting(&mount));
    no_violations(&mount);
}

#[test]
fn an_open_file_whose_object_is_removed_elsewhere_ends_in_its_bytes_or_in_nothing() {
    let mount = Mount::with(fast(), &["--dir-ttl", "0"]);
    let path = mount.at("a.jpg");
    let mut file = File::create(&path).expect("a new file");
    file.write_all(b"acknowledged").expect("written");
    file.sync_all().expect("synced");
    assert!(mount.emulator.remove("a.jpg"));
    run("ls", [&mount.path]);
    drop(file);
    wait_until("the name is gone, or has its bytes", || {
        let listed = run("ls", [&mount.path]).contains("a.jpg");
        let read = fs::read(&path).ok();
        (!listed && read.is_none()) || (listed && read.as_deref() == Some(&b"acknowledged"[..]))
    });
    no_violations(&mount);
}
