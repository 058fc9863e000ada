//! `mount` and `umount` by lines of `/etc/fstab`: in a mount namespace of its own, where the helper
//! `/sbin/mount.bedfs` is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::command::unmounted;
use crate::harness::{ALONE, BEDFS, Mount, in_place_of, run, text};
use crate::users::OpenDevice;

/// A bed, lines for it, and the commands that are run where these are `/etc/fstab`.
struct Table {
    mount: Mount,
    program: PathBuf,
}

/// Leaves the machine's mounts alone, installs the helper, and runs the rest.
const SCRIPT: &str = r#"set -eu
mount --make-rprivate /
mkdir -p "$HOME/sbin" "$HOME/bin"
cp -a /sbin/mount.* "$HOME/sbin"
ln -sf "$PROGRAM" "$HOME/sbin/mount.bedfs"
ln -sf "$PROGRAM" "$HOME/bin/bedfs"
PATH=$HOME/bin:$PATH
mount --bind "$HOME/sbin" "$(realpath /sbin)"
mount --bind "$HOME/fstab" /etc/fstab
user() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
pid() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1/.bedfs/status.json"; }
bed=$HOME/mnt
gone() { if mountpoint -q "$bed"; then exit 9; fi; }
"#;

impl Table {
    fn new(options: &str) -> Self {
        let mount = unmounted();
        mount.emulator.put("a.jpg", b"a");
        // The built one may lie where users cannot look.
        let program = mount.dir.path().join("bedfs");
        run("cp", [Path::new(BEDFS), &program]);
        let line = format!("bedfs {} bedfs {options} 0 0\n", mount.path.display());
        mount.local("fstab", line.as_bytes());
        Self { mount, program }
    }

    /// Runs commands of a shell; `$bed` is the mount point, and `user` runs one as an ordinary user.
    fn run(&self, commands: &str) -> Output {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "bash", "-c", &format!("{ALONE}{SCRIPT}{commands}")]);
        in_place_of(&self.mount.bedfs("mount"), &mut shell);
        // As units of systemd have it.
        let bare = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        shell.env("PROGRAM", &self.program).env("PATH", bare).output().expect("unshare runs")
    }

    fn good(&self, commands: &str) -> String {
        let output = self.run(commands);
        let said = text(&output.stderr) + &self.mount.log();
        assert!(output.status.success(), "{commands}: {said}");
        text(&output.stdout)
    }
}

#[test]
fn a_line_of_fstab_mounts_once_and_umount_ends_it() {
    let table = Table::new(
        "rw,_netdev,nofail,x-systemd.automount,uid=1234,gid=4321,umask=027,qps=list=7\\,create=5",
    );
    let seen = table.good(
        "mount -a -t bedfs\n\
         mount -a -t bedfs\n\
         grep -c \"^bedfs $bed fuse.bedfs\" /proc/self/mounts\n\
         stat -c '%u:%g %a' $bed/a.jpg\n\
         echo b >$bed/b.jpg\n\
         process=$(pid $bed)\n\
         umount $bed\n\
         while [ -e /proc/$process ]; do sleep 0.1; done\n\
         gone\n\
         mount -f $bed\n\
         gone\n",
    );
    assert_eq!(seen, "1\n1234:4321 640\n");
    assert_eq!(table.mount.emulator.read("b.jpg").as_deref(), Some(&b"b\n"[..]));
    assert!(!table.mount.is_mounted(), "the machine has it");
}

#[test]
fn the_file_and_the_profile_can_stand_in_the_line() {
    let table = Table::new("noauto,_netdev,ro,config=CONFIG,profile=p");
    let config = table.mount.local("own.toml", b"umask = '077'\n[profile.p]\numask = '027'\n");
    let fstab = table.mount.dir.path().join("fstab");
    let lines = fs::read_to_string(&fstab).expect("lines");
    fs::write(&fstab, lines.replace("CONFIG", config.to_str().expect("UTF-8"))).expect("written");
    let seen = table.good(
        "mount -a -t bedfs\n\
         gone\n\
         mount $bed\n\
         stat -c %a $bed/a.jpg\n\
         if touch $bed/new 2>/dev/null; then exit 8; fi\n\
         umount $bed\n\
         mount -t bedfs bed $bed -o umask=007\n\
         stat -c %a $bed/a.jpg\n\
         umount $bed\n",
    );
    assert_eq!(seen, "640\n660\n");
}

#[test]
fn a_wrong_option_in_the_line_is_told() {
    let table = Table::new("rw,dir_tll=5");
    let output = table.run("mount $bed");
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("did you mean --dir-ttl?"), "{said}");
}

#[test]
fn a_user_mounts_and_unmounts_where_the_line_lets_them() {
    let _open = OpenDevice::new();
    let table = Table::new("rw,user,noauto,_netdev");
    run("chown", [Path::new("-R"), Path::new("65534:65534"), table.mount.dir.path()]);
    let seen = table.good(
        "user mount $bed\n\
         user stat -c '%u:%g' $bed/a.jpg\n\
         grep \" $bed \" /proc/self/mounts | grep -o noexec\n\
         user cp $bed/a.jpg $bed/b.jpg\n\
         process=$(user cat $bed/.bedfs/status.json | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p')\n\
         user umount $bed\n\
         while [ -e /proc/$process ]; do sleep 0.1; done\n",
    );
    // As mount(8) says of lines with `user`.
    assert_eq!(seen, "65534:65534\nnoexec\n");
    assert_eq!(table.mount.emulator.read("b.jpg").as_deref(), Some(&b"a"[..]));
}

#[test]
fn a_dead_mount_is_replaced_by_the_next_one() {
    let table = Table::new("rw,_netdev");
    let seen = table.good(
        "mount $bed\n\
         process=$(pid $bed)\n\
         kill -9 $process\n\
         while ls $bed 2>/dev/null; do sleep 0.1; done\n\
         ls $bed 2>&1 | grep -c 'endpoint is not connected'\n\
         mount $bed\n\
         cat $bed/a.jpg\n\
         grep -c \"^bedfs $bed fuse.bedfs\" /proc/self/mounts\n\
         umount $bed\n",
    );
    assert_eq!(seen, "1\na1\n");
}

#[test]
fn the_doctor_tells_what_the_line_wants_and_its_commands_mend_it() {
    let table = Table::new("rw,_netdev");
    let doctor = |commands: &str| {
        let said = table.run(&format!("{commands}\n$PROGRAM doctor || true"));
        text(&said.stdout)
    };
    let line = |said: &str, about: &str| {
        let line = said.lines().find(|line| line.contains(about)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("nothing of {about}: {said}"))
    };
    let well = doctor("");
    assert!(line(&well, "/etc/fstab: ").starts_with("ok       /etc/fstab: 1 of bedfs"), "{well}");
    assert!(line(&well, "mount -t bedfs: ").starts_with("ok"), "{well}");
    for (harm, seen) in
        [("rm /sbin/mount.bedfs", "wants /sbin/mount.bedfs"), ("rmdir $bed", "is not there")]
    {
        let said = doctor(harm);
        let told = line(&said, "/etc/fstab: ");
        assert!(told.starts_with("failed") && told.contains(seen), "{told}");
        let (_, mend) = told.split_once("run as root: ").expect("what mends it");
        let said = doctor(&format!("{harm} || true\n{mend}"));
        assert!(line(&said, "/etc/fstab: ").starts_with("ok"), "{mend}: {said}");
    }
}

#[test]
fn the_doctor_tells_of_dead_mounts_and_of_variables_that_say_nothing() {
    let table = Table::new("rw,_netdev");
    let said = table.run(
        "mount $bed\n\
         kill -9 $(pid $bed)\n\
         while ls $bed >/dev/null 2>&1; do sleep 0.1; done\n\
         BEDFS_DIR_TLL=5 $PROGRAM doctor || true\n\
         $PROGRAM umount $bed\n\
         echo; $PROGRAM doctor || true\n",
    );
    let said = text(&said.stdout);
    let (before, after) = said.split_once("\n\n").expect("two reports");
    let dead = |said: &str| {
        let line = said.lines().find(|line| line.contains("dead mounts: ")).expect("a line");
        line.contains(table.mount.path.to_str().expect("UTF-8"))
    };
    assert!(dead(before) && !dead(after), "{said}");
    assert!(before.contains("did you mean BEDFS_DIR_TTL?"), "{before}");
}
