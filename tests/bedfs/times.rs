//! Times: which changes a file or folder tells by mtime and ctime, as on a local disk, and that they
//! outlive the mount.

use std::path::Path;

use crate::harness::noise;
use crate::semantics::{bed, no_violations, python};

/// Does each change, and prints which of mtime and ctime it moved (`m`, `c`), of a file and its folder.
const SCRIPT: &str = r#"
import ctypes, os, sys, time
root = sys.argv[1]
os.chdir(root)
libc = ctypes.CDLL(None, use_errno=True)

def truncated(path):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
def opened(path, change, flags=os.O_RDWR):
    fd = os.open(path, flags)
    try:
        change(fd)
    finally:
        os.close(fd)
def allocated(fd):
    # FALLOC_FL_KEEP_SIZE: room, and no byte.
    if libc.fallocate(fd, 1, ctypes.c_long(0), ctypes.c_long(4096)):
        raise OSError(ctypes.get_errno(), 'fallocate')
def copied(path):
    opened('d/full.jpg', lambda source: opened(path, lambda fd: os.copy_file_range(source, fd, 10)), os.O_RDONLY)
def omitted(path):
    # UTIME_OMIT for the time of the last change of content, and UTIME_NOW for the last access.
    times = (ctypes.c_long * 4)(0, 0x3fffffff, 0, 0x3ffffffe)
    if libc.utimensat(-100, os.fsencode(path), times, 0):
        raise OSError(ctypes.get_errno(), 'utimensat')

CHANGES = [
    ('O_TRUNC of an empty file', 'd/empty.jpg', truncated),
    ('O_TRUNC', 'd/cut.jpg', truncated),
    ('truncate to the same size', 'd/full.jpg', lambda path: os.truncate(path, 3000)),
    ('ftruncate to the same size', 'd/full.jpg', lambda path: opened(path, lambda fd: os.ftruncate(fd, 3000))),
    ('truncate', 'd/full.jpg', lambda path: os.truncate(path, 3001)),
    ('fallocate', 'd/full.jpg', lambda path: opened(path, allocated)),
    ('write of nothing', 'd/full.jpg', lambda path: opened(path, lambda fd: os.write(fd, b''))),
    ('write', 'd/full.jpg', lambda path: opened(path, lambda fd: os.write(fd, b'x'))),
    ('copy_file_range', 'd/other.jpg', copied),
    ('utimensat', 'd/other.jpg', omitted),
    ('chmod', 'd/other.jpg', lambda path: os.chmod(path, 0o600)),
    ('setxattr', 'd/other.jpg', lambda path: os.setxattr(path, 'user.a', b'x')),
    ('reading', 'd/other.jpg', lambda path: open(path, 'rb').read()),
    ('making', 'd', lambda path: open(path + '/new.jpg', 'w').close()),
    ('making a folder', 'd', lambda path: os.mkdir(path + '/sub')),
    ('renaming', 'd', lambda path: os.rename(path + '/moved.jpg', path + '/renamed.jpg')),
    ('unlink', 'd', lambda path: os.unlink(path + '/renamed.jpg')),
    ('rmdir', 'd', lambda path: os.rmdir(path + '/sub')),
]
for what, path, change in CHANGES:
    before = os.stat(path)
    time.sleep(0.002)
    change(path)
    after = os.stat(path)
    moved = ''.join(letter for letter, old, new in [
        ('m', before.st_mtime_ns, after.st_mtime_ns), ('c', before.st_ctime_ns, after.st_ctime_ns)] if new > old)
    print(f'{what}: {moved}')
before = os.stat('d/other.jpg')
os.rename('d/other.jpg', 'e/other.jpg')
after = os.stat('e/other.jpg')
print('moved:', 'm' if after.st_mtime_ns != before.st_mtime_ns else '', 'c' if after.st_ctime_ns > before.st_ctime_ns else '')
"#;

const MOVED: &str = "\
O_TRUNC of an empty file: mc
O_TRUNC: mc
truncate to the same size: mc
ftruncate to the same size: mc
truncate: mc
fallocate: mc
write of nothing: \nwrite: mc
copy_file_range: mc
utimensat: c
chmod: c
setxattr: c
reading: \nmaking: mc
making a folder: mc
renaming: mc
unlink: mc
rmdir: mc
moved:  c
";

/// Path, mtime and ctime of everything.
const TIMES: &str = "
import os, sys
for folder, _, names in sorted(os.walk(sys.argv[1])):
    for path in [folder] + [os.path.join(folder, name) for name in sorted(names)]:
        stat = os.stat(path)
        print(path, stat.st_mtime_ns, stat.st_ctime_ns)
";

#[test]
fn every_change_tells_its_time_and_the_next_mount_tells_the_same() {
    let mount = bed(|bed| {
        for (seed, name) in ["full", "cut", "other", "moved"].into_iter().enumerate() {
            bed.put(&format!("d/{name}.jpg"), &noise(seed as u64, 3000));
        }
        bed.mkdir("e");
    });
    std::fs::write(mount.at("d/empty.jpg"), b"").expect("an empty file");
    let root: &[&Path] = &[&mount.path];
    assert_eq!(python(SCRIPT, root), MOVED);
    let told = python(TIMES, root);
    mount.quiet();
    mount.remount(&[]);
    assert_eq!(python(TIMES, root), told);
    no_violations(&mount);
}
