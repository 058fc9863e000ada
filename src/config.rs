//! The configuration: what the command line, the environment and the file say, in this order of
//! strength, and where state is kept.

mod wishes;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};
use md5::{Digest, Md5 as Hasher};
use serde::Deserialize;

use crate::types::{Md5, Secret};
pub use wishes::{Control, Level, Size, Upload, Wishes};

/// The service (`003`: 接口域名).
const ENDPOINT: &str = "https://open-api.123pan.com";

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

/// The keys of the file that are not of the mount.
const OF_THE_SERVICE: &[&str] = &["endpoint", "client-id", "client-secret", "serve-secret"];

/// What the file `config.toml` says of the service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    endpoint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    serve_secret: Option<Secret>,
}

impl File {
    fn or(self, other: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(other.endpoint),
            client_id: self.client_id.or(other.client_id),
            client_secret: self.client_secret.or(other.client_secret),
            serve_secret: self.serve_secret.or(other.serve_secret),
        }
    }
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
    /// What clients of `bedfs serve` have to know; `None`: nothing.
    pub serve_secret: Option<Secret>,
    /// What the file says of the mount.
    pub wishes: Wishes,
}

impl Config {
    /// Reads the environment and the file.
    pub fn load() -> Result<Self, Error> {
        let path = Self::path()?;
        // A file that was named must be there; the usual one need not.
        let (file, wishes) = read(&path, variable("BEDFS_CONFIG").is_some())?;
        let endpoint = variable("BEDFS_ENDPOINT").or(file.endpoint);
        let id = variable("BEDFS_CLIENT_ID").or(file.client_id);
        let secret = variable("BEDFS_CLIENT_SECRET").map(Secret::new).or(file.client_secret);
        let serve = variable("BEDFS_SERVE_SECRET").map(Secret::new).or(file.serve_secret);
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
            serve_secret: serve.filter(|secret| !secret.reveal().is_empty()),
            wishes,
        })
    }

    /// The file: the one that the environment names, or the usual one. It may not be there.
    pub fn path() -> Result<PathBuf, Error> {
        match variable("BEDFS_CONFIG") {
            Some(path) => Ok(path.into()),
            None => Ok(base()?.config_dir().join("bedfs/config.toml")),
        }
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

    /// The folder for the account's cache of blocks. It is made when it is used.
    pub fn cache_dir(&self) -> Result<PathBuf, Error> {
        Ok(base()?.cache_dir().join("bedfs").join(self.account_name()))
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

/// A variable of the environment, if it says anything.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(about(&error, &text)))?;
    let (mut file, mut wishes) = (File::default(), Wishes::default());
    // Key by key, so that an error can name its key.
    for (key, value) in table {
        // `dir_ttl` and `dir-ttl` are the same key.
        let entry = toml::Table::from_iter([(key.replace('_', "-"), value)]);
        let named = |error: toml::de::Error| wrong(format!("{key}: {}", error.message()));
        if entry.keys().any(|key| OF_THE_SERVICE.contains(&&**key)) {
            file = file.or(entry.try_into().map_err(named)?);
        } else {
            wishes = wishes.or(entry.try_into().map_err(named)?);
        }
    }
    if file.client_secret.is_some() || file.serve_secret.is_some() {
        warn_if_shared(path);
    }
    Ok((file, wishes))
}

/// What the parser says and where, without the line it quotes: the line may hold the secret.
fn about(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.lines().count().max(1), error.message()),
        None => error.message().to_owned(),
    }
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
    use std::time::Duration;

    use super::*;

    fn file(text: &str) -> Result<(File, Wishes), Error> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("config.toml");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        read(&path, true)
    }

    #[test]
    fn the_file_says_the_same_as_the_options() {
        let (file, wishes) = file(
            "client_id = 'me'\nclient-secret = 'no one'\nserve-secret = 'psst'\ndir_ttl = 5\ncache-size = '1M'\numask = '077'\n\
             control = 'visible'\nlog-level = 'debug'\nread-only = true",
        )
        .expect("a right file");
        assert_eq!(file.client_id.as_deref(), Some("me"));
        assert_eq!(format!("{:?}", file.client_secret), "Some(***)");
        assert!(file.serve_secret.is_some_and(|secret| secret.reveal() == "psst"));
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
    fn accounts_and_endpoints_have_folders_of_their_own() {
        let config = |id: &str, endpoint: &str| Config {
            endpoint: endpoint.to_owned(),
            client_id: id.to_owned(),
            client_secret: Secret::new("x"),
            serve_secret: None,
            wishes: Wishes::default(),
        };
        let name = config("me", "http://127.0.0.1:9").account_name();
        assert!(name.starts_with("me@127.0.0.1_9-"), "{name}");
        assert_ne!(name, config("me", "http://127.0.0.1_9").account_name());
        assert!(!config("../..", "x").account_name().contains('/'));
    }
}
