//! Namespaces: a mount inside a user's own ones, in a chroot and through it, and after the session that
//! it was begun in.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::command::{Ended, unmounted};
use crate::harness::{ALONE, BEDFS, Mount, in_place_of, noise, not_tested, run, text};
use crate::journaled::bed_is;
use crate::users::{OpenDevice, as_nobody};

/// A bed that is not mounted, and a copy of the program where everybody can run it.
fn with_program() -> (Mount, PathBuf) {
    let mount = unmounted();
    mount.emulator.put("a.jpg", b"a");
    mount.emulator.mkdir("d");
    mount.local("new.jpg", &noise(1, 5000));
    let program = mount.dir.path().join("bedfs");
    run("cp", [Path::new(BEDFS), &program]);
    (mount, program)
}

/// A command with the mount's environment; `$B` is the program, `$M` the mount point, `$S` the folder
/// around it.
fn told(mount: &Mount, program: &Path, command: &[&str]) -> Command {
    let mut told = Command::new(command[0]);
    told.args(&command[1..]);
    in_place_of(&mount.bedfs("mount"), &mut told);
    told.env("B", program).env("M", &mount.path).env("S", mount.dir.path());
    told.env("BEDFS_QPS", "unlimited").env("LC_ALL", "C");
    told
}

fn good(output: &Output, mount: &Mount) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stderr), mount.log());
    text(&output.stdout)
}

#[test]
fn a_user_without_any_rights_mounts_in_namespaces_of_their_own() {
    let _open = OpenDevice::new();
    let (mount, program) = with_program();
    run("chown", [Path::new("-R"), Path::new("65534:65534"), mount.dir.path()]);
    if !as_nobody(Command::new("unshare").args(["-Urm", "true"])).status.success() {
        return not_tested("this kernel gives ordinary users no namespaces");
    }
    // Whatever fails, the mount ends with the shell.
    let script = r#"trap 'umount -l "$M" 2>/dev/null || true' EXIT
"$B" mount --allow-other "$M"
grep -c "^bedfs:[^ ]* $M fuse.bedfs" /proc/self/mounts
stat -c %u:%g "$M/a.jpg"
cp "$S/new.jpg" "$M/" && mv "$M/new.jpg" "$M/d/"
cat "$M/a.jpg" && echo
cmp "$S/new.jpg" "$M/d/new.jpg" && getfattr --only-values -n user.bedfs.state "$M/d/new.jpg" && echo
"$B" umount "$M"
if mountpoint -q "$M"; then exit 9; fi"#;
    let shell = told(&mount, &program, &["unshare", "-Urm", "sh", "-ec", script]);
    assert_eq!(good(&as_nobody(&shell), &mount), "1\n0:0\na\nremote\n");
    assert!(!mount.is_mounted(), "the machine has it");
    bed_is(&mount, &[("a.jpg", b"a"), ("d", b""), ("d/new.jpg", &noise(1, 5000))]);
}

/// A root folder with nothing in it but the system's programs, and their libraries.
const ROOT: &str = r#"mount --make-rprivate /
root=$S/root
mkdir -p "$root/usr" "$root/bed" "$root/bound" "$root/dev" "$root/proc" "$root/home"
mount --bind /usr "$root/usr"
for name in bin sbin lib lib64; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root/"; elif [ -d "/$name" ]; then
        mkdir "$root/$name" && mount --bind "/$name" "$root/$name"; fi
done
"#;

#[test]
fn a_mount_is_used_through_a_chroot() {
    let (mount, program) = with_program();
    // The mount point is in the root folder, and the other way is a bind mount of one outside of it.
    let script = format!(
        r#"{ALONE}{ROOT}trap 'umount -l "$root/bed" || true' EXIT
"$B" mount "$root/bed"
mount --bind "$root/bed" "$root/bound"
cp "$S/new.jpg" "$root/home/"
chroot "$root" sh -ec 'cat /bed/a.jpg /bound/a.jpg && echo
    cp /home/new.jpg /bed/new.jpg && cmp /home/new.jpg /bound/new.jpg
    mv /bound/new.jpg /bound/d/ && cd /bed/d && ls && rm /bed/a.jpg && pwd'
umount "$root/bound"
"$B" umount "$root/bed"
"#
    );
    let said = told(&mount, &program, &["unshare", "-m", "sh", "-ec", &script]).output();
    assert_eq!(good(&said.expect("unshare runs"), &mount), "aa\nnew.jpg\n/bed/d\n");
    bed_is(&mount, &[("d", b""), ("d/new.jpg", &noise(1, 5000))]);
}

#[test]
fn the_program_runs_in_a_chroot_that_has_little_more_than_its_libraries() {
    let (mount, program) = with_program();
    let script = r#"mount --make-rprivate /
root=$S/root
mkdir -p "$root/bed" "$root/dev" "$root/proc" "$root/home" "$root/etc/ssl/certs"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp "$B" "$root/bedfs"
ldd "$B" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root/${library%/*}" && cp "$library" "$root$library"
done
for device in fuse null; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -t proc proc "$root/proc"
trap 'umount -l "$root/bed" 2>/dev/null || true' EXIT
export HOME=/home XDG_CONFIG_HOME=/home XDG_STATE_HOME=/home XDG_CACHE_HOME=/home
chroot "$root" /bedfs mount /bed
cat "$root/bed/a.jpg" && echo
cp "$S/new.jpg" "$root/bed/d/"
chroot "$root" /bedfs link --format json /bed/d/new.jpg | grep -o '"size": *[0-9]*'
chroot "$root" /bedfs umount /bed
if mountpoint -q "$root/bed"; then exit 9; fi"#;
    let script = format!("{ALONE}{script}");
    let said = told(&mount, &program, &["unshare", "-m", "sh", "-ec", &script]).output();
    let said = good(&said.expect("unshare runs"), &mount).replace(' ', "");
    assert_eq!(said, "a\n\"size\":5000\n");
    bed_is(&mount, &[("a.jpg", b"a"), ("d", b""), ("d/new.jpg", &noise(1, 5000))]);
}

#[test]
fn umount_tells_that_another_namespace_still_shows_the_mount() {
    let mount = Mount::new();
    let script = "grep -q \" $0 fuse.bedfs\" /proc/self/mounts && echo ready && exec sleep 600";
    let mut other = Command::new("unshare");
    other.args(["-m", "sh", "-c", script]).arg(&mount.path).stdout(Stdio::piped());
    let mut other = Ended(other.spawn().expect("unshare runs"));
    let mut ready = [0; 6];
    let heard = other.0.stdout.as_mut().expect("it is piped").read_exact(&mut ready);
    heard.expect("the other namespace has the mount");
    let umount = mount.bedfs("umount").args(["--timeout", "1"]).arg(&mount.path).output();
    let umount = umount.expect("bedfs runs");
    let said = text(&umount.stderr);
    assert!(!umount.status.success() && !mount.is_mounted(), "{said}");
    assert!(said.contains("nothing is left to upload") && said.contains("namespace"), "{said}");
    drop(other);
    // What was shown there ends with it, and the mount's process with that.
    assert!(mount.mount(&[]).status.success(), "{}", mount.log());
}

/// Logs in at a terminal, runs a command, and hangs up when it has said `ready`; then the session's
/// processes are told to end, as the end of a session does.
const LOGIN: &str = r#"
import os, pty, signal, sys
shell, terminal = pty.fork()
if shell == 0:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.execvp("sh", ["sh", "-c", sys.argv[1] + " && echo ready; sleep 600"])
said = b""
while b"ready" not in said:
    said += os.read(terminal, 1000)
os.close(terminal)
os.waitpid(shell, 0)
try:
    os.killpg(shell, signal.SIGHUP)
except ProcessLookupError:
    pass
"#;

#[test]
fn a_mount_goes_on_after_its_owner_logged_out() {
    let _open = OpenDevice::new();
    for mode in ["close", "background"] {
        let (mount, program) = with_program();
        run("chown", [Path::new("-R"), Path::new("65534:65534"), mount.dir.path()]);
        // What is closed in the background is on its way when the terminal goes.
        mount.emulator.change(|options| options.latency = Duration::from_millis(100));
        let line = format!(r#""$B" mount --upload {mode} "$M" && cp "$S/new.jpg" "$M/before.jpg""#);
        good(
            &as_nobody(&told(&mount, &program, &["/usr/bin/python3", "-c", LOGIN, &line])),
            &mount,
        );
        assert!(mount.is_mounted(), "{mode}");
        let later = r#"cat "$M/a.jpg" && cp "$M/before.jpg" "$M/d/after.jpg" && "$B" umount "$M""#;
        let said = good(&as_nobody(&told(&mount, &program, &["sh", "-ec", later])), &mount);
        assert_eq!(said, "a", "{mode}");
        let bytes: &[u8] = &noise(1, 5000);
        bed_is(
            &mount,
            &[("a.jpg", b"a"), ("before.jpg", bytes), ("d", b""), ("d/after.jpg", bytes)],
        );
    }
}
