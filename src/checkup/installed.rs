//! What is installed around the program: lines of `/etc/fstab` and the helpers of `mount` that they
//! want, units of systemd, dead mounts, who searches the whole machine, and variables that say nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Check;
use crate::config;
use crate::mountpoint;

const FSTAB: &str = "/etc/fstab";

/// What `updatedb`, which lists every folder of the machine, leaves alone.
const UPDATEDB: &str = "/etc/updatedb.conf";
/// The type that beds are mounted as.
const TYPE: &str = "fuse.bedfs";

/// How long mounts may take to show that they live.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where `mount(8)` looks for helpers.
const HELPERS: &str = "/sbin";

/// Where systemd has what is enabled of the system's units.
const SYSTEM_UNITS: &str = "/etc/systemd/system/multi-user.target.wants";
/// The same of a user's units, in the folder of the user's configuration.
const USER_UNITS: &str = "systemd/user/default.target.wants";
/// The users whose units go on without a login.
const LINGERING: &str = "/var/lib/systemd/linger";

pub(super) fn checks() -> Vec<Check> {
    let fstab = fs::read_to_string(FSTAB).unwrap_or_default();
    let mut checks = vec![dead_mounts(), helper(), table(&fstab), system_units()];
    checks.extend(user_units());
    checks.extend(fs::read_to_string(UPDATEDB).ok().map(|text| searched(&text)));
    checks.extend(variables());
    checks
}

fn dead_mounts() -> Check {
    const ABOUT: &str = "dead mounts";
    let (dead, silent) = states(mountpoint::all_ours());
    if let Some(first) = dead.first() {
        let all: Vec<String> = dead.iter().map(|path| path.display().to_string()).collect();
        let seen = format!("the process is gone of {}", all.join(", "));
        let mend = format!("run: bedfs umount '{}' (or mount there again)", first.display());
        return Check::warning(ABOUT, seen, mend);
    }
    if let Some(first) = silent.first() {
        let seen = format!("none; {} does not answer, and may have much to do", first.display());
        let mend = format!("run, if that lasts: umount -l '{}', and mount again", first.display());
        return Check::warning(ABOUT, seen, mend);
    }
    Check::ok(ABOUT, "none")
}

/// Which of the mounts are dead, and which do not answer in time.
fn states(mounts: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (say, hear) = mpsc::channel();
    for path in mounts.clone() {
        let say = say.clone();
        // Who asks a mount that hangs, hangs: such a thread ends with the program.
        std::thread::spawn(move || {
            let is_dead = mountpoint::is_dead(&path);
            // Nobody waits any more.
            let _late = say.send((path, is_dead));
        });
    }
    drop(say);
    let (mut dead, mut silent) = (Vec::new(), mounts);
    let deadline = Instant::now() + PATIENCE;
    while let Ok((path, is_dead)) =
        hear.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        silent.retain(|other| *other != path);
        dead.extend(is_dead.then_some(path));
    }
    (dead, silent)
}

/// The mount points and types of the lines that are ours (`fstab(5)`).
fn lines(fstab: &str) -> impl Iterator<Item = (PathBuf, &str, &str)> {
    let lines = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (target, kind) = (fields.next()?, fields.next()?);
        let options = fields.next().unwrap_or_default();
        let is_ours = matches!(kind, "bedfs" | "fuse.bedfs");
        is_ours.then(|| (mountpoint::unescaped(target), kind, options))
    })
}

fn table(fstab: &str) -> Check {
    let about = FSTAB;
    let mounted = mountpoint::all_ours();
    let mut count = 0;
    for (target, kind, options) in lines(fstab) {
        count += 1;
        let shown = target.display();
        if !helpers(kind).iter().any(|name| Path::new(HELPERS).join(name).exists()) {
            return Check::failed(
                about,
                format!("the line of {shown} wants {HELPERS}/{}", helpers(kind)[0]),
                format!(
                    "run as root: ln -s \"$(command -v bedfs)\" {HELPERS}/{}",
                    helpers(kind)[0]
                ),
            );
        }
        // What is mounted there need not answer, and is told elsewhere.
        if !mounted.contains(&target) && !target.exists() && !options.contains("mkdir") {
            let seen = format!("the mount point {shown} is not there");
            return Check::failed(about, seen, format!("run as root: mkdir -p '{shown}'"));
        }
        if !options.split(',').any(|option| option == "_netdev") {
            let seen = format!("the line of {shown} does not wait for the network");
            return Check::warning(about, seen, "add _netdev to its options");
        }
    }
    match count {
        0 => Check::ok(about, "no line of bedfs"),
        count => Check::ok(about, format!("{count} of bedfs, as they should be")),
    }
}

/// The programs of which `mount` wants one, the best first.
fn helpers(kind: &str) -> &'static [&'static str] {
    match kind {
        "bedfs" => &["mount.bedfs"],
        _ => &["mount.fuse.bedfs", "mount.fuse", "mount.fuse3"],
    }
}

fn system_units() -> Check {
    const ABOUT: &str = "system units";
    match enabled(Path::new(SYSTEM_UNITS)) {
        (0, _) => Check::ok(ABOUT, "none of bedfs is enabled"),
        (count, None) => Check::ok(ABOUT, format!("{count} of bedfs enabled")),
        (_, Some(lost)) => lost_unit(ABOUT, &lost, "systemctl"),
    }
}

/// Nothing where there is no user's configuration.
fn user_units() -> Option<Check> {
    const ABOUT: &str = "user units";
    let folder = config::home_config().ok()?.join(USER_UNITS);
    let (count, lost) = enabled(&folder);
    if count == 0 {
        return None;
    }
    if let Some(lost) = lost {
        return Some(lost_unit(ABOUT, &lost, "systemctl --user"));
    }
    let user = std::env::var("USER").ok()?;
    Some(match Path::new(LINGERING).join(&user).exists() {
        true => Check::ok(ABOUT, format!("{count} of bedfs enabled, which outlive a log-out")),
        false => Check::warning(
            ABOUT,
            "the mounts end when you log out",
            format!("run: loginctl enable-linger {user}"),
        ),
    })
}

fn lost_unit(about: &'static str, unit: &str, command: &str) -> Check {
    let seen = format!("{unit} is enabled, and its file is gone");
    Check::failed(about, seen, format!("install bedfs again, or run: {command} disable '{unit}'"))
}

/// How many units of ours are enabled in a folder, and one whose file is not there.
fn enabled(folder: &Path) -> (usize, Option<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("bedfs@"));
    let ours: Vec<PathBuf> = ours.map(|entry| entry.path()).collect();
    let lost = ours.iter().find(|path| !path.exists()).and_then(|path| path.file_name());
    (ours.len(), lost.map(|name| name.to_string_lossy().into_owned()))
}

fn searched(text: &str) -> Check {
    const ABOUT: &str = "updatedb";
    let pruned = text.lines().find_map(|line| line.trim().strip_prefix("PRUNEFS"));
    let mut types = pruned.unwrap_or_default().split(['=', '"', ' ', '\t']);
    if types.any(|name| name.eq_ignore_ascii_case(TYPE)) {
        return Check::ok(ABOUT, "it leaves beds alone");
    }
    let mend = match pruned {
        Some(_) => format!("run as root: sed -i 's/^ *PRUNEFS *= *\"/&{TYPE} /' {UPDATEDB}"),
        None => format!("put the line PRUNEFS = \"{TYPE}\" into {UPDATEDB}"),
    };
    Check::warning(ABOUT, "it lists every folder of a bed each night", mend)
}

fn variables() -> Option<Check> {
    let unknown = config::unknown_variables();
    let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    if unknown.is_empty() {
        return None;
    }
    Some(Check::warning("environment", unknown.join("; "), "unset what is not meant"))
}

/// A link to a program that is gone is what a removal by hand leaves.
fn helper() -> Check {
    const ABOUT: &str = "mount -t bedfs";
    let path = Path::new(HELPERS).join("mount.bedfs");
    let shown = path.display();
    if path.exists() {
        return Check::ok(ABOUT, format!("works, by {shown}"));
    }
    if path.is_symlink() {
        let mend = format!("run as root: ln -sf \"$(command -v bedfs)\" {shown}");
        return Check::failed(ABOUT, format!("{shown} leads nowhere"), mend);
    }
    Check::ok(ABOUT, format!("not installed ({shown})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkup::Verdict;

    #[test]
    fn updatedb_is_to_leave_beds_alone() {
        for (text, verdict, mend) in [
            ("PRUNEFS=\"nfs fuse.bedfs\"\n", Verdict::Ok, ""),
            ("PRUNEFS = \"NFS fuse.sshfs\"\n", Verdict::Warning, "sed -i"),
            ("# PRUNEFS=\"fuse.bedfs\"\n", Verdict::Warning, "put the line"),
        ] {
            let check = searched(text);
            assert_eq!(check.verdict, verdict, "{text}");
            assert!(check.mend.unwrap_or_default().contains(mend), "{text}");
        }
    }

    #[test]
    fn lines_of_ours_are_found_in_the_table() {
        let fstab = "# bedfs /no bedfs\nproc /proc proc defaults\n\
                     bedfs /mnt/my\\040bed bedfs _netdev,ro 0 0\nx /b fuse.bedfs\n";
        let found: Vec<_> = lines(fstab).collect();
        assert_eq!(
            found,
            [
                (PathBuf::from("/mnt/my bed"), "bedfs", "_netdev,ro"),
                (PathBuf::from("/b"), "fuse.bedfs", "")
            ]
        );
    }
}
