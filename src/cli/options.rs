//! Mount options as `mount(8)` and `/etc/fstab` write them, `-o name=value,…`, spelled out as the
//! options of `bedfs mount` that they are.

use std::ffi::{OsStr, OsString};

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
    "noexec",
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
const FLAGS: &[&str] = &["read-only", "allow-other", "foreground"];

/// The arguments with every `-o` spelled out, and with `bedfs SOURCE MOUNTPOINT` (as the helper of
/// `mount` calls it) made `bedfs mount MOUNTPOINT`.
pub(super) fn spell_out(typed: Vec<OsString>, commands: &[String]) -> Vec<OsString> {
    let mut rest = typed.into_iter();
    let mut plain: Vec<OsString> = rest.next().into_iter().collect();
    let mut rest: Vec<OsString> = rest.collect();
    let is_command =
        |word: &OsString| commands.iter().any(|name| word == name.as_str()) || word == "help";
    let called_by_mount = rest.len() >= 2
        && rest.first().is_some_and(|first| !is_command(first) && !is_option(first))
        && rest.get(1).is_some_and(|second| !is_option(second));
    if called_by_mount {
        rest[0] = "mount".into();
    }
    if rest.first().is_none_or(|first| first != "mount") {
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
    fn the_helper_of_mount_is_understood() {
        assert_eq!(
            spelled(&["bedfs", "bed", "/m", "-o", "rw,_netdev,root=blog"]),
            ["bedfs", "mount", "/m", "--root=blog"]
        );
    }

    #[test]
    fn other_commands_are_left_alone() {
        for typed in [
            &["bedfs", "umount", "-o", "x"][..],
            &["bedfs", "--help"],
            &["bedfs", "nonsense"],
            &["bedfs"],
        ] {
            assert_eq!(spelled(typed), typed);
        }
    }
}
