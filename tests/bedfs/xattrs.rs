//! Extended attributes that are set: what bedfs tells cannot be, what is the user's own is kept, and
//! programs that copy attributes along have no errors, into the bed and out of it.

use std::fs;
use std::path::Path;

use crate::attributes_kept::{NOTED, give, note};
use crate::harness::{noise, xattr};
use crate::local_names::sh;
use crate::semantics::{bed, no_violations, python};
use crate::semantics_attributes::{fails, listed};

#[test]
fn what_bedfs_tells_cannot_be_set_and_other_kinds_are_not_supported() {
    let mount = bed(|bed| drop(bed.put("d/a.png", b"a")));
    for path in [mount.at("d/a.png"), mount.at("d"), mount.path.clone()] {
        let before = listed(&path);
        for name in ["user.bedfs.url", "user.bedfs.id", "user.bedfs.none", "user.bedfs.cached"] {
            for call in [
                format!("os.setxattr(path, '{name}', b'x')"),
                format!("os.setxattr(path, '{name}', b'x', os.XATTR_CREATE)"),
                format!("os.setxattr(path, '{name}', b'x', os.XATTR_REPLACE)"),
                format!("os.removexattr(path, '{name}')"),
            ] {
                assert_eq!(fails(&call, &path), 0, "{call}");
            }
        }
        assert_eq!(fails("os.getxattr(path, 'user.bedfs.none')", &path), libc::ENODATA);
        for name in ["security.selinux", "system.other", "trusted.x"] {
            for call in [
                format!("os.getxattr(path, '{name}')"),
                format!("os.setxattr(path, '{name}', b'x')"),
                format!("os.removexattr(path, '{name}')"),
            ] {
                assert_eq!(fails(&call, &path), libc::ENOTSUP, "{call}");
            }
        }
        // None of it changed anything, nor switched the attributes off for the life of the mount.
        assert_eq!(listed(&path), before);
    }
    assert_eq!(xattr(&mount.at("d/a.png"), "cached").as_deref(), Some("0"));
    no_violations(&mount);
}

#[test]
fn other_attributes_of_the_user_are_kept_as_on_a_local_disk() {
    const SCRIPT: &str = "
import errno, os, sys
def fails(call, *args):
    try:
        call(*args)
        return None
    except OSError as error:
        return errno.errorcode[error.errno]
def ours(path):
    return sorted(name for name in os.listxattr(path) if not name.startswith('user.bedfs.'))
for path in sys.argv[1:]:
    before = os.stat(path)
    assert fails(os.getxattr, path, 'user.a') == 'ENODATA'
    assert fails(os.removexattr, path, 'user.a') == 'ENODATA'
    assert fails(os.setxattr, path, 'user.a', b'x', os.XATTR_REPLACE) == 'ENODATA'
    os.setxattr(path, 'user.a', b'x', os.XATTR_CREATE)
    assert fails(os.setxattr, path, 'user.a', b'y', os.XATTR_CREATE) == 'EEXIST'
    os.setxattr(path, 'user.a', bytes(range(256)), os.XATTR_REPLACE)
    assert os.getxattr(path, 'user.a') == bytes(range(256))
    os.setxattr(path, 'user.empty', b'')
    assert os.getxattr(path, 'user.empty') == b''
    assert ours(path) == ['user.a', 'user.empty'], ours(path)
    os.setxattr(path, 'user.big', b'x' * 65280)
    assert fails(os.setxattr, path, 'user.more', b'x') == 'ENOSPC'
    assert ours(path) == ['user.a', 'user.big', 'user.empty']
    os.removexattr(path, 'user.big')
    assert ours(path) == ['user.a', 'user.empty']
    after = os.stat(path)
    assert after.st_ctime_ns > before.st_ctime_ns and after.st_mtime_ns == before.st_mtime_ns
";
    let mount = bed(|bed| drop(bed.put("d/a.png", b"a")));
    fs::write(mount.at("d/notes~"), b"stays here").expect("written");
    let paths = ["d/a.png", "d", "", "d/notes~"].map(|path| mount.at(path));
    python(SCRIPT, &paths.each_ref().map(|path| path.as_path()));
    // Room for a value is asked for first, and too little of it is told.
    let room = "
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
path, name = os.fsencode(sys.argv[1]), b'user.a'
def get(room):
    got = libc.getxattr(path, name, ctypes.create_string_buffer(256), ctypes.c_size_t(room))
    return got, ctypes.get_errno() if got < 0 else 0
assert get(0) == (256, 0) and get(256) == (256, 0) and get(255) == (-1, errno.ERANGE)
";
    python(room, &[&paths[0]]);
    no_violations(&mount);
}

#[test]
fn copies_take_attributes_along_in_both_directions() {
    let mount = bed(|bed| drop(bed.put("old/b.jpg", b"in the bed")));
    let source = mount.dir.path().join("src");
    fs::create_dir_all(source.join("d")).expect("folders");
    fs::write(source.join("d/a.jpg"), noise(1, 3000)).expect("written");
    give(&source.join("d/a.jpg"));
    give(&source.join("d"));
    let has_note = |path: &Path| assert_eq!(note(path).as_deref(), Some(NOTED), "{path:?}");
    // The second time there is something to compare with, and to remove.
    for line in [
        "mkdir rsync && rsync -aX $S/src/ rsync && rsync -aX $S/src/ rsync",
        "cp -a $S/src cp && cp -a $S/src/. cp && cp --preserve=xattr -r $S/src/. cp",
        "cp -a $S/src $S/moved && mv $S/moved mv",
        "tar -C $S/src --xattrs -cf $S/tar d && mkdir tar && tar -C tar --xattrs -xf $S/tar",
        "rsync -aX mv/ $S/back && rsync -aX mv/ $S/back && rsync -aX $S/back/ again && rsync -aX $S/back/ again",
    ] {
        sh(&mount, line);
    }
    for to in ["rsync", "cp", "mv", "tar", "again"] {
        assert_eq!(fs::read(mount.at(to).join("d/a.jpg")).expect("read"), noise(1, 3000), "{to}");
        has_note(&mount.at(to).join("d/a.jpg"));
        has_note(&mount.at(to).join("d"));
    }
    // What bedfs tells goes along out of the bed, and is passed over on its way back.
    sh(
        &mount,
        "tar --xattrs -cf $S/out old cp && mkdir $S/out.d && tar -C $S/out.d --xattrs -xf $S/out
         getfattr -dR old cp > $S/dump && setfattr --restore $S/dump && cp -a old $S/old && cp -a $S/old twin",
    );
    let out = mount.dir.path().join("out.d");
    has_note(&out.join("cp/d/a.jpg"));
    let told = ["url", "id"].map(|name| xattr(&mount.at("old/b.jpg"), name));
    let copied = ["url", "id"].map(|name| xattr(&out.join("old/b.jpg"), name));
    assert_eq!(told, copied);
    assert_ne!(told[1], xattr(&mount.at("twin/b.jpg"), "id"), "another object");
    no_violations(&mount);
}
