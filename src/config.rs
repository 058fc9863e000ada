//! The configuration: what the command line, the environment and the file say, in this order of
//! strength, and where state is kept.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use etcetera::{BaseStrategy, choose_base_strategy};
use md5::{Digest, Md5 as Hasher};
use serde::Deserialize;

use crate::types::{Md5, Secret};

/// The service (`003`: 接口域名).
const ENDPOINT: &str = "https://open-api.123pan.com";

const DIR_TTL: u64 = 60;
const CACHE_SIZE: Size = Size(64 << 20);

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has something else than it should.
    #[error("the configuration {path} is wrong: {message}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// No client ID or secret anywhere.
    #[error(
        "no {what}: set {variable}, or {key} in {path}. 123pan gives both to developers; \
         `bedfs demo` needs neither"
    )]
    NoCredentials {
        /// Which of the two.
        what: &'static str,
        /// The environment variable.
        variable: &'static str,
        /// The key in the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A folder for state cannot be made.
    #[error("cannot make the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no home to put anything in.
    #[error("no home folder: set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME")]
    NoHome,
}

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
    Secret,
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
    /// When a close returns: once the service has the bytes [default: close].
    #[arg(long, value_enum)]
    pub upload: Option<Upload>,
    /// Seconds for which a listing of a folder is taken for true [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub dir_ttl: Option<u64>,
    /// Bytes of pictures kept for reading them again, as 64M or 1G [default: 64M].
    #[arg(long, value_name = "BYTES")]
    #[serde(deserialize_with = "size_text")]
    pub cache_size: Option<Size>,
    /// Calls a second of each endpoint: create=5,list=4 or unlimited [default: as documented].
    #[arg(long, value_name = "NAME=N,…|unlimited")]
    pub qps: Option<String>,
    /// How the control folder .bedfs shows [default: hidden].
    #[arg(long, value_enum)]
    pub control: Option<Control>,
    /// What is logged: error, warn, info, debug, trace [default: warn].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<tracing_level::Level>,
}

/// A level, checked where it is read.
pub mod tracing_level {
    use std::str::FromStr;

    use serde::Deserialize;

    /// How much is logged.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    #[serde(try_from = "String")]
    pub struct Level(pub tracing::Level);

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
            cache_size: self.cache_size.or(weaker.cache_size),
            qps: self.qps.or(weaker.qps),
            control: self.control.or(weaker.control),
            log_level: self.log_level.or(weaker.log_level),
        }
    }

    /// How long a listing is taken for true.
    pub fn dir_ttl(&self) -> Duration {
        Duration::from_secs(self.dir_ttl.unwrap_or(DIR_TTL))
    }

    /// Bytes that the block cache may hold.
    pub fn cache_size(&self) -> u64 {
        self.cache_size.unwrap_or(CACHE_SIZE).0
    }

    /// What is logged.
    pub fn log_level(&self) -> tracing::Level {
        self.log_level.map_or(tracing::Level::WARN, |level| level.0)
    }
}

/// The file `config.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    endpoint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    #[serde(flatten)]
    rest: toml::Table,
}

/// Everything that is configured, before the command line has its say.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service's base address.
    pub endpoint: String,
    /// The account's client ID.
    pub client_id: String,
    /// The account's client secret.
    pub client_secret: Secret,
    /// What the file says of the mount.
    pub wishes: Wishes,
}

impl Config {
    /// Reads the environment and the file.
    pub fn load() -> Result<Self, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let named = variable("BEDFS_CONFIG").map(PathBuf::from);
        let path = match &named {
            Some(path) => path.clone(),
            None => base()?.config_dir().join("bedfs/config.toml"),
        };
        // A file that was named must be there; the usual one need not.
        let (file, wishes) = read(&path, named.is_some())?;
        let endpoint = variable("BEDFS_ENDPOINT").or(file.endpoint);
        let id = variable("BEDFS_CLIENT_ID").or(file.client_id);
        let secret = variable("BEDFS_CLIENT_SECRET").map(Secret::new).or(file.client_secret);
        let missing = |what, variable, key| {
            let path = path.clone();
            move || Error::NoCredentials { what, variable, key, path }
        };
        Ok(Self {
            endpoint: endpoint.unwrap_or_else(|| ENDPOINT.to_owned()),
            client_id: id.ok_or_else(missing("client ID", "BEDFS_CLIENT_ID", "client-id"))?,
            client_secret: secret.ok_or_else(missing(
                "client secret",
                "BEDFS_CLIENT_SECRET",
                "client-secret",
            ))?,
            wishes,
        })
    }

    /// The folder for the account's state (token, staged files, log), made if need be. Nobody else
    /// can look into it.
    pub fn state_dir(&self) -> Result<PathBuf, Error> {
        let base = base()?;
        let home = base.state_dir().unwrap_or_else(|| base.data_dir());
        let path = home.join("bedfs").join(self.account_name());
        make_private(&path)?;
        Ok(path)
    }

    /// A folder name for this account at this endpoint, told apart by the sum at its end.
    fn account_name(&self) -> String {
        let host = self.endpoint.split_once("://").map_or(&*self.endpoint, |(_, rest)| rest);
        let readable: String = format!("{}@{host}", self.client_id)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "@.-_".contains(c) { c } else { '_' })
            .take(80)
            .collect();
        let exact = format!("{}\n{}", self.client_id, self.endpoint);
        let sum = Md5::new(Hasher::digest(exact.as_bytes()).into()).to_string();
        format!("{readable}-{}", &sum[..8])
    }
}

fn base() -> Result<impl BaseStrategy, Error> {
    choose_base_strategy().map_err(|_| Error::NoHome)
}

/// Makes a folder and those above it, 0700 each.
pub fn make_private(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::Folder { path: path.to_owned(), source })
}

fn read(path: &Path, must_exist: bool) -> Result<(File, Wishes), Error> {
    let wrong = |message: String| Error::Wrong { path: path.to_owned(), message };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => String::new(),
        Err(source) => {
            return Err(Error::Unreadable { path: path.to_owned(), source });
        }
    };
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(about(&error)))?;
    // `dir_ttl` and `dir-ttl` are the same key.
    let table: toml::Table =
        table.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
    let file: File = table.try_into().map_err(|error| wrong(about(&error)))?;
    let wishes = file.rest.clone().try_into().map_err(|error| wrong(about(&error)))?;
    if file.client_secret.is_some() {
        warn_if_shared(path);
    }
    Ok((file, wishes))
}

/// What the parser says, without the line it quotes: the line may hold the secret.
fn about(error: &toml::de::Error) -> String {
    error.message().to_owned()
}

fn warn_if_shared(path: &Path) {
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
    if mode & 0o077 != 0 {
        let path = path.display();
        eprintln!("bedfs: warning: others can read the secret in {path}; run: chmod 600 '{path}'");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<(File, Wishes), Error> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("config.toml");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        read(&path, true)
    }

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
    fn the_file_says_the_same_as_the_options() {
        let (file, wishes) = file(
            "client_id = 'me'\nclient-secret = 'no one'\ndir_ttl = 5\ncache-size = '1M'\numask = '077'\n\
             control = 'visible'\nlog-level = 'debug'\nread-only = true",
        )
        .expect("a right file");
        assert_eq!(file.client_id.as_deref(), Some("me"));
        assert_eq!(format!("{:?}", file.client_secret), "Some(***)");
        assert_eq!(wishes.dir_ttl(), Duration::from_secs(5));
        assert_eq!((wishes.cache_size(), wishes.umask), (1 << 20, Some(0o77)));
        assert_eq!((wishes.control, wishes.read_only), (Some(Control::Visible), Some(true)));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_without_the_secret() {
        for text in
            ["client-secret = 'hush\n", "client-secret = 'hush'\nnonsense = 1", "dir-ttl = 'long'"]
        {
            let message = file(text).expect_err("a wrong file").to_string();
            assert!(message.contains("config.toml") && !message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn the_stronger_wish_wins() {
        let strong = Wishes { dir_ttl: Some(1), ..Wishes::default() };
        let weak = Wishes { dir_ttl: Some(2), uid: Some(3), ..Wishes::default() };
        let both = strong.or(weak);
        assert_eq!((both.dir_ttl, both.uid), (Some(1), Some(3)));
    }

    #[test]
    fn accounts_and_endpoints_have_folders_of_their_own() {
        let config = |id: &str, endpoint: &str| Config {
            endpoint: endpoint.to_owned(),
            client_id: id.to_owned(),
            client_secret: Secret::new("x"),
            wishes: Wishes::default(),
        };
        let name = config("me", "http://127.0.0.1:9").account_name();
        assert!(name.starts_with("me@127.0.0.1_9-"), "{name}");
        assert_ne!(name, config("me", "http://127.0.0.1_9").account_name());
        assert!(!config("../..", "x").account_name().contains('/'));
    }
}
