//! The machine: the FUSE device, the helper for ordinary users, their leave for `--allow-other`, and
//! the kernel.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Check;
use crate::config::Wishes;

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";
const FUSE_CONF: &str = "/etc/fuse.conf";

/// What Ubuntu lets the helper mount, since 25.04; what else it may is the machine's owner's to add.
const PROFILE: &str = "/etc/apparmor.d/fusermount3";
const PROFILE_OFF: &str = "/etc/apparmor.d/disable/fusermount3";
const PROFILE_MORE: &str = "/etc/apparmor.d/local/fusermount3";
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";

/// Since this kernel look-ups in one folder go on beside each other (`FUSE_PARALLEL_DIROPS`).
const KERNEL: (u32, u32) = (4, 7);

/// The bit by which a program runs as its owner.
const SET_UID: u32 = 0o4000;

pub(super) fn checks(wishes: &Wishes) -> Vec<Check> {
    let is_root = rustix::process::geteuid().is_root();
    let allow_other = wishes.allow_other.unwrap_or(false);
    let is_on = fs::read_to_string(APPARMOR).is_ok_and(|text| text.trim() == "Y");
    let is_off = Path::new(PROFILE_OFF).exists();
    let profile = fs::read_to_string(PROFILE).ok().filter(|_| is_on && !is_off && !is_root);
    let mut checks = vec![device(), helper(is_root)];
    checks.extend(profile.map(|text| confinement(&text)));
    checks.extend([allow_others(is_root, allow_other), kernel()]);
    checks
}

/// Where a profile lets users mount. Elsewhere the kernel refuses it, and says no more than that.
fn confinement(profile: &str) -> Check {
    let rules = profile.lines().map(str::trim).filter(|line| line.starts_with("mount "));
    let places = rules.filter_map(|rule| rule.split_once("->"));
    let mut places: Vec<&str> =
        places.map(|(_, place)| place.trim().trim_end_matches(',')).collect();
    places.dedup();
    let seen = match places.is_empty() {
        true => format!("{HELPER} is confined by {PROFILE}"),
        false => format!("{PROFILE} lets users mount on {}", places.join(", ")),
    };
    Check::ok("AppArmor", format!("{seen}; {PROFILE_MORE} may allow more"))
}

fn device() -> Check {
    const ABOUT: &str = "FUSE device";
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Check::ok(ABOUT, format!("{DEVICE} can be opened")),
        Err(error) if error.kind() == ErrorKind::NotFound => Check::failed(
            ABOUT,
            format!("{DEVICE} is not there"),
            "run as root: modprobe fuse (in a container: start it with --device /dev/fuse)",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Check::failed(
            ABOUT,
            format!("{DEVICE} may not be opened by you"),
            format!("run as root: chmod 666 {DEVICE}"),
        ),
        Err(error) => Check::failed(
            ABOUT,
            format!("{DEVICE} cannot be opened: {error}"),
            "run as root: modprobe fuse (in a container: allow it the device)",
        ),
    }
}

/// Root mounts without it.
fn helper(is_root: bool) -> Check {
    const ABOUT: &str = "mounting by users";
    let install = "install the package fuse3";
    let Some(path) = find(HELPER) else {
        let seen = format!("{HELPER} is not in PATH");
        return match is_root {
            true => Check::warning(ABOUT, format!("{seen}: only root can mount"), install),
            false => Check::failed(ABOUT, seen, install),
        };
    };
    let is_set_uid = fs::metadata(&path)
        .is_ok_and(|metadata| metadata.uid() == 0 && metadata.mode() & SET_UID != 0);
    let seen = path.display().to_string();
    if is_set_uid {
        return Check::ok(ABOUT, format!("{seen} runs as root"));
    }
    let (seen, mend) =
        (format!("{seen} does not run as root"), format!("run as root: chmod u+s {seen}"));
    match is_root {
        true => Check::warning(ABOUT, format!("{seen}: only root can mount"), mend),
        false => Check::failed(ABOUT, seen, mend),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(found)
}

fn allow_others(is_root: bool, is_wished: bool) -> Check {
    const ABOUT: &str = "--allow-other";
    let text = fs::read_to_string(Path::new(FUSE_CONF)).unwrap_or_default();
    let is_set = text.lines().any(|line| line.trim() == "user_allow_other");
    let mend = format!("put the line user_allow_other into {FUSE_CONF}");
    match (is_set, is_root, is_wished) {
        (true, _, _) => Check::ok(ABOUT, "every user may use it"),
        (false, true, _) => Check::ok(ABOUT, "root may use it, other users may not"),
        (false, false, false) => Check::ok(ABOUT, "not for you, and not asked for"),
        (false, false, true) => Check::failed(ABOUT, "configured, and you may not use it", mend),
    }
}

fn kernel() -> Check {
    const ABOUT: &str = "kernel";
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if (major, minor) >= KERNEL {
        return Check::ok(ABOUT, format!("Linux {release}"));
    }
    Check::warning(
        ABOUT,
        format!("Linux {release} looks names up one after the other"),
        format!("use Linux {}.{} or newer", KERNEL.0, KERNEL.1),
    )
}

/// Whether others than the owner have any right to the file or folder.
pub(super) fn is_shared(path: &Path) -> std::io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_told_by_the_places_that_it_allows() {
        let profile = "profile fusermount3 /usr/bin/fusermount3 {\n  mount fstype=@{fuse_types} \
            options=(nosuid,nodev) -> @{HOME}/**/,\n  mount fstype=fuse -> /mnt/{,**/},\n  umount /mnt/**,\n}\n";
        let check = confinement(profile);
        assert!(check.seen.contains("@{HOME}/**/, /mnt/{,**/};"), "{}", check.seen);
        assert!(check.seen.contains("local/fusermount3"), "{}", check.seen);
        assert!(confinement("").seen.contains("is confined"));
    }
}
