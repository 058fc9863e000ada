//! The wishes: what one source (the command line, the file) says of a mount, and what holds where
//! none says anything.

use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

const DIR_TTL: u64 = 60;
const TIMEOUT: u64 = 60;
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

/// How the control folder shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Upload {
    /// When the service has the bytes and confirmed them.
    #[default]
    Close,
    /// When the bytes are journaled and synced here; the upload follows.
    Background,
}

/// What one source says of the mount: nothing where `None`.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Wishes {
    /// Mount without any way to change the bed.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub read_only: Option<bool>,
    /// Let other users of this machine see the mount.
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
    #[serde(deserialize_with = "octal_text")]
    pub umask: Option<u32>,
    /// Mount this folder of the bed instead of its root.
    #[arg(long, value_name = "PATH")]
    pub root: Option<String>,
    /// When a close returns: once the service has the bytes, or once they are journaled here
    /// [default: close].
    #[arg(long, value_enum)]
    pub upload: Option<Upload>,
    /// Seconds for which a listing of a folder is taken for true [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub dir_ttl: Option<u64>,
    /// Seconds for which a request waits while nothing comes from the service [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<NonZeroU64>,
    /// Bytes of pictures kept on disk for reading them again, as 512M or 20G; 0 keeps none
    /// [default: 10G].
    #[arg(long, value_name = "BYTES")]
    #[serde(deserialize_with = "size_text")]
    pub cache_size: Option<Size>,
    /// Calls a second of each endpoint: create=5,list=4 or unlimited [default: as documented].
    #[arg(long, value_name = "NAME=N,…|unlimited")]
    pub qps: Option<String>,
    /// Names that stay on this machine, as patterns: '*~,*.part' [default: what editors, downloads
    /// and file managers leave beside a picture].
    #[arg(long, value_name = "PATTERNS")]
    #[serde(deserialize_with = "patterns_text")]
    pub local_names: Option<String>,
    /// Archive the direct-link traffic log once a day, which the service forgets after three
    /// [default: true].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub archive_traffic: Option<bool>,
    /// How the control folder .bedfs shows [default: hidden].
    #[arg(long, value_enum)]
    pub control: Option<Control>,
    /// What is logged: error, warn, info, debug, trace [default: warn].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<Level>,
}

/// How much is logged: checked where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Level(tracing::Level);

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no level: error, warn, info, debug and trace are");
        tracing::Level::from_str(text).map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.trim_start_matches("0o");
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err(format!("{text:?} is no umask: three octal digits are wanted, as 022")),
    }
}

fn octal_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(from)?;
    octal(&text).map(Some).map_err(serde::de::Error::custom)
}

/// Patterns as one text, or as a list of texts.
fn patterns_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        List(Vec<String>),
    }
    Ok(Some(match Either::deserialize(from)? {
        Either::One(text) => text,
        Either::List(texts) => texts.join(","),
    }))
}

fn size_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Size>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Number(bytes) => Ok(Some(Size(bytes))),
        Either::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

impl Wishes {
    /// These wishes, and `weaker` ones where these say nothing.
    pub fn or(self, weaker: Self) -> Self {
        Self {
            read_only: self.read_only.or(weaker.read_only),
            allow_other: self.allow_other.or(weaker.allow_other),
            uid: self.uid.or(weaker.uid),
            gid: self.gid.or(weaker.gid),
            umask: self.umask.or(weaker.umask),
            root: self.root.or(weaker.root),
            upload: self.upload.or(weaker.upload),
            dir_ttl: self.dir_ttl.or(weaker.dir_ttl),
            timeout: self.timeout.or(weaker.timeout),
            cache_size: self.cache_size.or(weaker.cache_size),
            qps: self.qps.or(weaker.qps),
            local_names: self.local_names.or(weaker.local_names),
            archive_traffic: self.archive_traffic.or(weaker.archive_traffic),
            control: self.control.or(weaker.control),
            log_level: self.log_level.or(weaker.log_level),
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
    pub fn log_level(&self) -> tracing::Level {
        self.log_level.map_or(tracing::Level::WARN, |level| level.0)
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
    fn the_stronger_wish_wins() {
        let strong = Wishes { dir_ttl: Some(1), ..Wishes::default() };
        let weak = Wishes { dir_ttl: Some(2), uid: Some(3), ..Wishes::default() };
        let both = strong.or(weak);
        assert_eq!((both.dir_ttl, both.uid), (Some(1), Some(3)));
    }
}
