//! The wishes: what one source (the command line, the file) says of a mount, and what holds where
//! none says anything.

use std::error::Error as _;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as _, FromArgMatches as _, ValueEnum};

use super::levels::Levels;

const DIR_TTL: u64 = 60;
const TIMEOUT: u64 = 60;
const SERVICE_LAG: u64 = 30;
const CACHE_SIZE: Size = Size(10 << 30);

/// Bytes, written as a number with K, M or G.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size: bytes are wanted, as 67108864, 64M or 1G");
        let digits = text.trim().trim_end_matches(['B', 'b']).trim_end_matches(['i']);
        let (digits, shift) = match digits.char_indices().last() {
            Some((at, 'k' | 'K')) => (&digits[..at], 10),
            Some((at, 'm' | 'M')) => (&digits[..at], 20),
            Some((at, 'g' | 'G')) => (&digits[..at], 30),
            Some((at, 't' | 'T')) => (&digits[..at], 40),
            _ => (digits, 0),
        };
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [(40, "T"), (30, "G"), (20, "M"), (10, "K")]
            .into_iter()
            .find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        let (shift, letter) = unit.unwrap_or((0, ""));
        write!(f, "{}{letter}", self.0 >> shift)
    }
}

/// How the control folder shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Control {
    /// Reachable, but in no listing.
    #[default]
    Hidden,
    /// Listed as well.
    Visible,
    /// Not there.
    Off,
}

/// When a close returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Upload {
    /// When the service has the bytes and confirmed them.
    #[default]
    Close,
    /// When the bytes are journaled and synced here; the upload follows.
    Background,
}

/// What one source says of the mount: nothing where `None`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Wishes {
    /// Mount without any way to change the bed [default: false].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub read_only: Option<bool>,
    /// Let no file in the mount be run as a program [default: false].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub no_exec: Option<bool>,
    /// Let other users of this machine see the mount [default: false].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub allow_other: Option<bool>,
    /// Owner of everything in the mount [default: who mounts].
    #[arg(long)]
    pub uid: Option<u32>,
    /// Group of everything in the mount [default: who mounts].
    #[arg(long)]
    pub gid: Option<u32>,
    /// Permission bits that nothing has, in octal [default: 022].
    #[arg(long, value_parser = octal)]
    pub umask: Option<u32>,
    /// Mount this folder of the bed instead of all of it [default: all of it].
    #[arg(long, value_name = "PATH")]
    pub root: Option<String>,
    /// When a close returns: once the service has the bytes, or once they are journaled here
    /// [default: close].
    #[arg(long, value_enum)]
    pub upload: Option<Upload>,
    /// Seconds for which a listing of a folder is taken for true [default: 60].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub dir_ttl: Option<u64>,
    /// Seconds for which a request waits while nothing comes from the service [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<NonZeroU64>,
    /// Seconds for which the service may list a folder as it was before a change [default: 30].
    #[arg(long, value_name = "SECONDS")]
    pub service_lag: Option<NonZeroU64>,
    /// Bytes of pictures kept on disk for reading them again, as 512M or 20G; 0 keeps none
    /// [default: 10G].
    #[arg(long, value_name = "BYTES")]
    pub cache_size: Option<Size>,
    /// Calls a second of each endpoint: create=5,list=4 or unlimited [default: as documented].
    #[arg(long, value_name = "NAME=N,…|unlimited")]
    pub qps: Option<String>,
    /// Names that stay on this machine, as patterns: '*~,*.part' [default: what editors, downloads
    /// and file managers leave beside a picture].
    #[arg(long, value_name = "PATTERNS")]
    pub local_names: Option<String>,
    /// Archive the direct-link traffic log once a day, which the service forgets after three
    /// [default: true].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub archive_traffic: Option<bool>,
    /// How the control folder .bedfs shows [default: hidden].
    #[arg(long, value_enum)]
    pub control: Option<Control>,
    /// What is logged, of all and of single rooms, as info,fs=debug: off, error, warn, info, debug
    /// or trace [default: warn].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<Levels>,
    /// The file to log to [default: bedfs.log in the state folder, or the terminal with --foreground].
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number of seconds; 60 is one"))
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.trim_start_matches("0o");
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err(format!("{text:?} is no umask: three octal digits are wanted, as 022")),
    }
}

impl Wishes {
    /// These wishes, and `weaker` ones where these say nothing.
    pub fn or(self, weaker: Self) -> Self {
        Self {
            read_only: self.read_only.or(weaker.read_only),
            no_exec: self.no_exec.or(weaker.no_exec),
            allow_other: self.allow_other.or(weaker.allow_other),
            uid: self.uid.or(weaker.uid),
            gid: self.gid.or(weaker.gid),
            umask: self.umask.or(weaker.umask),
            root: self.root.or(weaker.root),
            upload: self.upload.or(weaker.upload),
            dir_ttl: self.dir_ttl.or(weaker.dir_ttl),
            timeout: self.timeout.or(weaker.timeout),
            service_lag: self.service_lag.or(weaker.service_lag),
            cache_size: self.cache_size.or(weaker.cache_size),
            qps: self.qps.or(weaker.qps),
            local_names: self.local_names.or(weaker.local_names),
            archive_traffic: self.archive_traffic.or(weaker.archive_traffic),
            control: self.control.or(weaker.control),
            log_level: self.log_level.or(weaker.log_level),
            log_file: self.log_file.or(weaker.log_file),
        }
    }

    /// How long a listing is taken for true.
    pub fn dir_ttl(&self) -> Duration {
        Duration::from_secs(self.dir_ttl.unwrap_or(DIR_TTL))
    }

    /// How long a request waits while nothing comes from the service, and how long one call with
    /// all its tries may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.map_or(TIMEOUT, NonZeroU64::get))
    }

    /// How long listings of the service may lag behind.
    pub fn service_lag(&self) -> Duration {
        Duration::from_secs(self.service_lag.map_or(SERVICE_LAG, NonZeroU64::get))
    }

    /// Bytes that the block cache may hold on disk.
    pub fn cache_size(&self) -> u64 {
        self.cache_size.unwrap_or(CACHE_SIZE).0
    }

    /// The patterns of names that stay here; `None`: the usual ones.
    pub fn local_names(&self) -> Option<impl Iterator<Item = &str>> {
        let text = self.local_names.as_deref()?;
        Some(text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()))
    }

    /// What is logged.
    pub fn log_level(&self) -> Levels {
        self.log_level.clone().unwrap_or_default()
    }

    /// Each wish by its name, in the words that a source would say it with.
    pub(super) fn told(&self) -> Vec<(&'static str, Option<String>)> {
        fn words(value: Option<&impl ToString>) -> Option<String> {
            value.map(ToString::to_string)
        }
        fn name(value: Option<impl ValueEnum>) -> Option<String> {
            Some(value?.to_possible_value()?.get_name().to_owned())
        }
        vec![
            ("read-only", words(self.read_only.as_ref())),
            ("no-exec", words(self.no_exec.as_ref())),
            ("allow-other", words(self.allow_other.as_ref())),
            ("uid", words(self.uid.as_ref())),
            ("gid", words(self.gid.as_ref())),
            ("umask", self.umask.map(|mask| format!("{mask:03o}"))),
            ("root", self.root.clone()),
            ("upload", name(self.upload)),
            ("dir-ttl", words(self.dir_ttl.as_ref())),
            ("timeout", words(self.timeout.as_ref())),
            ("service-lag", words(self.service_lag.as_ref())),
            ("cache-size", words(self.cache_size.as_ref())),
            ("qps", self.qps.clone()),
            ("local-names", self.local_names.clone()),
            ("archive-traffic", words(self.archive_traffic.as_ref())),
            ("control", name(self.control)),
            ("log-level", words(self.log_level.as_ref())),
            ("log-file", self.log_file.as_ref().map(|path| path.display().to_string())),
        ]
    }

    /// The one wish that a source other than the command line says: read as the option is.
    pub(super) fn read(key: &str, value: &str) -> Result<Self, String> {
        let command = Self::augment_args(clap::Command::new("").no_binary_name(true));
        let matches = command.try_get_matches_from([format!("--{key}={value}")]);
        matches.and_then(|matches| Self::from_arg_matches(&matches)).map_err(|error| why(&error))
    }
}

/// A wish as the help tells it.
pub(super) struct Key {
    /// The name of the option.
    pub(super) name: String,
    /// What holds where nobody says anything.
    pub(super) default: String,
}

/// All wishes, in the order of the help.
pub(super) fn keys() -> Vec<Key> {
    let command = Wishes::augment_args(clap::Command::new(""));
    let key = |arg: &clap::Arg| {
        let help = arg.get_help()?.to_string();
        let default = help.split_once("[default: ").map_or("", |(_, rest)| rest);
        let default = default.trim_end_matches(['.', ']']).replace('\n', " ");
        Some(Key { name: arg.get_long()?.to_owned(), default })
    };
    command.get_arguments().filter_map(key).collect()
}

/// What is wrong with a value, without the option's name.
fn why(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let value = text(ContextKind::InvalidValue);
    match (error.kind(), error.source()) {
        (_, Some(reason)) if reason.to_string().contains(&value) => reason.to_string(),
        (_, Some(reason)) => format!("{value:?}: {reason}"),
        (ErrorKind::InvalidValue, None) if value.is_empty() => "a value is wanted".to_owned(),
        (ErrorKind::InvalidValue, None) => {
            format!("{value:?} is none of {}", text(ContextKind::ValidValue))
        }
        (kind, None) => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("64M", 64 << 20), ("1GiB", 1 << 30), ("2k", 2048)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "99999999T"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_told_as_they_are_written() {
        for text in ["0", "4095", "64M", "1G", "3K", "1025M"] {
            assert_eq!(text.parse::<Size>().map(|size| size.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn every_wish_is_told_and_has_a_default() {
        let keys = keys();
        let told: Vec<_> = Wishes::default().told().into_iter().map(|(name, _)| name).collect();
        let mut names: Vec<_> = keys.iter().map(|key| &*key.name).collect();
        assert_eq!(names.len(), told.len());
        names.retain(|name| !told.contains(name));
        assert_eq!(names, <[&str; 0]>::default(), "not told");
        for key in keys {
            assert!(!key.default.is_empty(), "{} has no default", key.name);
        }
    }

    #[test]
    fn the_stronger_wish_wins() {
        let strong = Wishes { dir_ttl: Some(1), ..Wishes::default() };
        let weak = Wishes { dir_ttl: Some(2), uid: Some(3), ..Wishes::default() };
        let both = strong.or(weak);
        assert_eq!((both.dir_ttl, both.uid), (Some(1), Some(3)));
    }
}
