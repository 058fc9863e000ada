//! Mount options as `mount(8)` and `/etc/fstab` write them, `-o name=value,…`, spelled out as the
//! options of `bedfs mount` that they are.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Options that `mount` passes on and that are not for a file system like this: who may mount, and
/// when. Those that begin with `x-` or `_` are notes to others.
const FOR_OTHERS: &[&str] = &[
    "rw",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "group",
    "owner",
    "nofail",
    "defaults",
    "exec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "async",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "lazytime",
    "nolazytime",
    "diratime",
    "nodiratime",
    "silent",
    "loud",
];

/// Ours that may stand without a value.
const FLAGS: &[&str] = &["read-only", "no-exec", "allow-other", "foreground"];

/// Names by which `mount(8)` calls a helper of ours: `/sbin/mount.TYPE`.
const HELPERS: &[&str] = &["mount.bedfs", "mount.fuse.bedfs"];

/// How the program was called.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// With these arguments, or with others that mean these.
    Plainly(Vec<OsString>),
    /// By `mount -f`, which wants nothing done.
    ForShow,
}

impl Called {
    /// Makes `mount.bedfs SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`, as
    /// `mount(8)` writes it, `bedfs mount -o OPTIONS MOUNTPOINT`.
    pub(super) fn by(typed: Vec<OsString>) -> Self {
        let name = typed.first().and_then(|program| Path::new(program).file_name());
        if !name.is_some_and(|name| HELPERS.iter().any(|helper| name == *helper)) {
            return Self::Plainly(typed);
        }
        let mut plain: Vec<OsString> = ["bedfs", "mount"].map(OsString::from).into();
        let (mut places, mut rest) = (Vec::new(), typed.into_iter().skip(1));
        while let Some(word) = rest.next() {
            match word.to_str() {
                Some("-o") => plain.extend([Some(word), rest.next()].into_iter().flatten()),
                Some("-N" | "-t") => drop(rest.next()),
                Some(flags) if flags.starts_with('-') && flags.contains('f') => {
                    return Self::ForShow;
                }
                Some(flags) if flags.starts_with('-') => {}
                _ => places.push(word),
            }
        }
        // Which account is meant is the configuration's to say. But by the source `mount -a` knows what is
        // mounted already.
        let mut places = places.into_iter();
        plain.extend(places.next().map(named));
        plain.extend(places);
        Self::Plainly(plain)
    }
}

/// The arguments with every `-o` spelled out, and with `bedfs SOURCE MOUNTPOINT -o OPTIONS` (as the helper
/// of `mount` calls it) made `bedfs mount MOUNTPOINT`.
pub(super) fn spell_out(typed: Vec<OsString>, commands: &[String]) -> Vec<OsString> {
    let mut rest = typed.into_iter();
    let mut plain: Vec<OsString> = rest.next().into_iter().collect();
    let mut rest: Vec<OsString> = rest.collect();
    let is_command =
        |word: &OsString| commands.iter().any(|name| word == name.as_str()) || word == "help";
    // The helper always has options, and a command that is misspelt has none of these.
    let called_by_mount = rest.iter().take(2).filter(|word| !is_option(word)).count() == 2
        && !is_command(&rest[0])
        && rest[2..].iter().any(|word| word.as_encoded_bytes().starts_with(b"-o"));
    if called_by_mount {
        let source = std::mem::replace(&mut rest[0], "mount".into());
        rest.insert(1, named(source));
    }
    // What says which account is meant may stand before the command.
    if rest.iter().find(|word| is_command(word)).is_none_or(|command| command != "mount") {
        plain.extend(rest);
        return plain;
    }
    let mut rest = rest.into_iter();
    while let Some(word) = rest.next() {
        let text = word.to_str().unwrap_or_default();
        match text.strip_prefix("-o") {
            Some("") => match rest.next() {
                Some(options) => plain.extend(split(&options)),
                None => plain.push(word),
            },
            Some(options) => plain.extend(split(OsStr::new(options))),
            None => plain.push(word),
        }
    }
    plain
}

/// The option by which a mount has this source.
fn named(source: OsString) -> OsString {
    let mut option = OsString::from("--fsname=");
    option.push(source);
    option
}

/// Where `mount -o remount` is to change a mount, as spelled out. Its other options are what the kernel
/// tells of the mount, and may be none of ours.
pub(super) fn remounted(spelled: &[OsString]) -> Option<&OsString> {
    let asks = |word: &OsString| word == "--remount" || word == "--remount=";
    let mountpoint = spelled.iter().rfind(|word| !is_option(word));
    mountpoint.filter(|_| spelled.iter().any(asks))
}

fn is_option(word: &OsString) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// `a,b=c` as `--a` and `--b=c`. A comma inside a value is written `\,`.
fn split(options: &OsStr) -> Vec<OsString> {
    let text = options.to_string_lossy().replace("\\,", "\0");
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let ours = items.filter(|item| {
        let name = item.split('=').next().unwrap_or_default();
        !FOR_OTHERS.contains(&name) && !name.starts_with("x-") && !name.starts_with('_')
    });
    ours.map(|item| {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (item, None),
        };
        let name = match name {
            "ro" => "read-only".to_owned(),
            "noexec" => "no-exec".to_owned(),
            name => name.replace('_', "-"),
        };
        match value {
            Some(value) => format!("--{name}={}", value.replace('\0', ",")).into(),
            None if FLAGS.contains(&&*name) => format!("--{name}").into(),
            // Else what comes next would be taken for the value.
            None => format!("--{name}=").into(),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(typed: &[&str]) -> Vec<String> {
        let commands = ["mount".to_owned(), "umount".to_owned()];
        let typed = typed.iter().map(OsString::from).collect();
        let words = spell_out(typed, &commands);
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn options_of_mount_become_ours() {
        assert_eq!(
            spelled(&[
                "bedfs",
                "mount",
                "-o",
                "ro,dir_ttl=5,allow_other,nofail,x-systemd.automount",
                "/m"
            ]),
            ["bedfs", "mount", "--read-only", "--dir-ttl=5", "--allow-other", "/m"]
        );
        assert_eq!(
            spelled(&["bedfs", "mount", "/m", r"-oqps=create=5\,list=4,rw"]),
            ["bedfs", "mount", "/m", "--qps=create=5,list=4"]
        );
    }

    #[test]
    fn a_remount_is_told_from_a_mount_whatever_else_it_says() {
        let commands = ["mount".to_owned()];
        let remounts = |typed: &[&str]| {
            let spelled = spell_out(typed.iter().map(OsString::from).collect(), &commands);
            remounted(&spelled).map(|path| path.to_string_lossy().into_owned())
        };
        let options = "rw,user_id=0,default_permissions,remount,ro";
        for helper in
            [["bedfs", "mount", "-o", options, "/m"], ["bedfs", "bed", "/m", "-o", options]]
        {
            assert_eq!(remounts(&helper).as_deref(), Some("/m"));
        }
        assert_eq!(remounts(&["bedfs", "mount", "-o", "ro", "/m"]), None);
    }

    #[test]
    fn the_helper_of_mount_is_understood() {
        assert_eq!(
            spelled(&["bedfs", "bed", "/m", "-o", "rw,_netdev,root=blog"]),
            ["bedfs", "mount", "--fsname=bed", "/m", "--root=blog"]
        );
    }

    #[test]
    fn who_calls_it_as_a_helper_of_mount_is_understood() {
        let called = |words: &[&str]| Called::by(words.iter().map(OsString::from).collect());
        let plain = |words: &[&str]| Called::Plainly(words.iter().map(OsString::from).collect());
        assert_eq!(
            called(&["/sbin/mount.bedfs", "bed", "/m", "-v", "-o", "rw,user", "-t", "fuse.bedfs"]),
            plain(&["bedfs", "mount", "-o", "rw,user", "--fsname=bed", "/m"])
        );
        assert_eq!(called(&["mount.fuse.bedfs", "bed", "/m", "-sf"]), Called::ForShow);
        assert_eq!(called(&["/usr/bin/bedfs", "x", "-f"]), plain(&["/usr/bin/bedfs", "x", "-f"]));
    }

    #[test]
    fn other_commands_are_left_alone() {
        for typed in [
            &["bedfs", "umount", "-o", "x"][..],
            &["bedfs", "--help"],
            &["bedfs", "nonsense"],
            &["bedfs", "unmount", "/m"],
            &["bedfs"],
        ] {
            assert_eq!(spelled(typed), typed);
        }
    }
}
