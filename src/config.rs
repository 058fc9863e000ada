//! The configuration: what the command line, the environment, a profile of the file and the file's
//! top say, in this order of strength, and where state is kept.

mod choice;
mod environment;
mod explain;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod keep;
mod layer;
mod levels;
mod nearest;
mod private;
mod wishes;

use std::path::PathBuf;

use etcetera::{BaseStrategy, choose_base_strategy};
use md5::{Digest, Md5 as Hasher};

use crate::types::{Md5, Secret};
pub use choice::Choice;
pub use environment::{Taken, take_secrets};
pub use explain::{Explained, Explanation};
use file::Sheet;
pub use keep::{Credentials, keep};
use layer::Layer;
pub use layer::unknown_variables;
pub use levels::{Levels, ROOMS};
pub use private::make_private;
pub use wishes::{Control, Size, Upload, Wishes};

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
    /// The file cannot be written.
    #[error("cannot write the configuration {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A variable of the environment has something else than it should.
    #[error("the variable {name} is wrong: {message}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// No client ID or secret anywhere.
    #[error(
        "no {what}: run bedfs login, or set {variable}, or {key} in {path}. 123pan gives both to \
         developers; `bedfs demo` needs neither"
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
    /// A folder that others could put something else in the place of.
    #[error(
        "{path} belongs to another user (number {owner}), who could read and change what bedfs keeps \
         there: remove it, or name another place by XDG_STATE_HOME and XDG_CACHE_HOME"
    )]
    Foreign {
        /// The folder, or the symbolic link in its place.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// There is no home to put anything in.
    #[error("no home folder: set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME")]
    NoHome,
}

/// Everything that is configured, before the command line has its say.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service's base address.
    pub endpoint: String,
    /// Certificates that may vouch for hosts, beside those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The account's client ID.
    pub client_id: String,
    /// The account's client secret.
    pub client_secret: Secret,
    /// What clients of `bedfs serve` have to know; `None`: nothing.
    pub serve_secret: Option<Secret>,
    /// The profile in use; `None`: there is none.
    pub profile: Option<String>,
    /// What the environment and the file say of the mount.
    pub wishes: Wishes,
}

impl Config {
    /// Reads the environment and the file, and what the command line says of the account.
    pub fn load(choice: &Choice) -> Result<Self, Error> {
        let sources = Sources::gather(choice, Wishes::default())?;
        let missing = |what, variable, key| {
            let path = sources.file.clone();
            move || Error::NoCredentials { what, variable, key, path }
        };
        let client_id = sources.client_id();
        let client_id = client_id.ok_or_else(missing("client ID", "BEDFS_CLIENT_ID", "client-id"));
        let client_secret = sources.client_secret();
        let client_secret = client_secret.ok_or_else(missing(
            "client secret",
            "BEDFS_CLIENT_SECRET",
            "client-secret",
        ));
        Ok(Self {
            endpoint: sources.endpoint(),
            ca_file: sources.ca_file(),
            client_id: client_id?,
            client_secret: client_secret?,
            serve_secret: sources.serve_secret(),
            profile: sources.profile.as_ref().map(|(name, _)| name.clone()),
            wishes: sources.wishes(),
        })
    }

    /// The folder for the account's state (token, staged files, log), made if need be.
    pub fn state_dir(&self) -> Result<PathBuf, Error> {
        let base = base()?;
        let home = base.state_dir().unwrap_or_else(|| base.data_dir());
        let path = home.join("bedfs").join(self.account_name());
        private::make(&path)?;
        Ok(path)
    }

    /// The folder for the account's cache of blocks. It is made when it is used.
    pub fn cache_dir(&self) -> Result<PathBuf, Error> {
        Ok(base()?.cache_dir().join("bedfs").join(self.account_name()))
    }

    /// What the account is called where people read it: its profile, or its client ID and host.
    pub fn account(&self) -> String {
        self.profile.clone().unwrap_or_else(|| self.id_and_host())
    }

    fn id_and_host(&self) -> String {
        let host = self.endpoint.split_once("://").map_or(&*self.endpoint, |(_, rest)| rest);
        format!("{}@{host}", self.client_id)
    }

    /// A folder name for this account at this endpoint, told apart by the sum at its end.
    fn account_name(&self) -> String {
        let readable: String = self
            .id_and_host()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "@.-_".contains(c) { c } else { '_' })
            .take(80)
            .collect();
        let exact = format!("{}\n{}", self.client_id, self.endpoint);
        let sum = Md5::new(Hasher::digest(exact.as_bytes()).into()).to_string();
        format!("{readable}-{}", &sum[..8])
    }
}

/// What all sources say, the strongest first.
#[derive(Debug)]
pub struct Sources {
    layers: Vec<Layer>,
    /// The configuration file. It may not be there.
    pub file: PathBuf,
    /// The profile in use, and who named it.
    pub profile: Option<(String, String)>,
    /// The other profiles of the file.
    pub others: Vec<String>,
}

impl Sources {
    /// Reads them all.
    pub fn gather(choice: &Choice, wishes: Wishes) -> Result<Self, Error> {
        // A file that was named must be there; the usual one need not.
        let is_named = choice.config.is_some() || variable("BEDFS_CONFIG").is_some();
        let path = path(choice)?;
        let sheet = file::read(&path, is_named)?;
        if let Some((name, _)) = named_profile(choice).or(sheet.default_profile.clone()) {
            sheet.profile(&name, &path)?;
        }
        Self::of(sheet, path, choice, wishes)
    }

    /// Reads them all for who is about to add an account: the file and the profile may be new.
    pub fn before_login(choice: &Choice) -> Result<Self, Error> {
        let path = path(choice)?;
        Self::of(file::read(&path, false)?, path, choice, Wishes::default())
    }

    fn of(sheet: Sheet, file: PathBuf, choice: &Choice, wishes: Wishes) -> Result<Self, Error> {
        let Sheet { top, profiles, default_profile } = sheet;
        let profile = named_profile(choice).or(default_profile);
        let mut layers = vec![Layer::typed(choice, wishes), Layer::environment(&choice.secrets)?];
        let mut others = Vec::new();
        for (name, layer) in profiles {
            match &profile {
                Some((used, _)) if *used == name => layers.push(layer),
                _ => others.push(name),
            }
        }
        layers.push(top);
        Ok(Self { layers, file, profile, others })
    }

    /// The service's base address.
    pub fn endpoint(&self) -> String {
        self.first(|layer| layer.endpoint.clone()).unwrap_or_else(|| ENDPOINT.to_owned())
    }

    /// Certificates that may vouch for hosts, beside those that the system trusts.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.first(|layer| layer.ca_file.clone())
    }

    fn client_id(&self) -> Option<String> {
        self.first(|layer| layer.client_id.clone())
    }

    fn client_secret(&self) -> Option<Secret> {
        self.secret_layer()?.client_secret.clone()
    }

    /// Who tells the secret. What stands beside another client ID is another account's.
    fn secret_layer(&self) -> Option<&Layer> {
        let id = self.client_id();
        let is_ours = |layer: &&Layer| layer.client_id.is_none() || layer.client_id == id;
        self.layers.iter().filter(is_ours).find(|layer| layer.client_secret.is_some())
    }

    fn serve_secret(&self) -> Option<Secret> {
        let secret = self.first(|layer| layer.serve_secret.clone());
        secret.filter(|secret| !secret.reveal().is_empty())
    }

    fn wishes(&self) -> Wishes {
        let all = self.layers.iter().map(|layer| layer.wishes.clone());
        all.fold(Wishes::default(), Wishes::or)
    }

    fn first<T>(&self, says: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        self.layers.iter().find_map(says)
    }
}

/// The file: the one that is named, or the usual one. It may not be there.
pub fn path(choice: &Choice) -> Result<PathBuf, Error> {
    let named = choice.config.clone().or_else(|| variable("BEDFS_CONFIG").map(PathBuf::from));
    match named {
        Some(path) => Ok(path),
        None => Ok(home_config()?.join("bedfs/config.toml")),
    }
}

/// The folder of the user's configuration, of whatever program.
pub fn home_config() -> Result<PathBuf, Error> {
    Ok(base()?.config_dir())
}

/// The profile that the command line or the environment names, and who does.
fn named_profile(choice: &Choice) -> Option<(String, String)> {
    let typed = choice.profile.clone().map(|name| (name, "--profile".to_owned()));
    typed.or_else(|| Some((variable("BEDFS_PROFILE")?, "BEDFS_PROFILE".to_owned())))
}

/// A variable of the environment, if it says anything.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn base() -> Result<impl BaseStrategy, Error> {
    choose_base_strategy().map_err(|_| Error::NoHome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_endpoints_have_folders_of_their_own() {
        let config = |id: &str, endpoint: &str| Config {
            endpoint: endpoint.to_owned(),
            ca_file: None,
            client_id: id.to_owned(),
            client_secret: Secret::new("x"),
            serve_secret: None,
            profile: None,
            wishes: Wishes::default(),
        };
        let name = config("me", "http://127.0.0.1:9").account_name();
        assert!(name.starts_with("me@127.0.0.1_9-"), "{name}");
        assert_ne!(name, config("me", "http://127.0.0.1_9").account_name());
        assert!(!config("../..", "x").account_name().contains('/'));
    }
}
