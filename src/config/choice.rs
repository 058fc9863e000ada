//! The choice: which account is meant, as the command line of every command can say.

use std::path::PathBuf;

use super::environment::Taken;

/// Which account is meant; where nothing is said the environment says it, then the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Account")]
pub struct Choice {
    /// The configuration file [default: $XDG_CONFIG_HOME/bedfs/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The profile of the file, [profile.NAME] [default: what its default-profile names].
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The base address of the service [default: that of 123pan].
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Certificates in PEM that may vouch for hosts, beside those that the system trusts
    /// [default: none].
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The account's client ID. The secret is never an argument: bedfs login asks for it.
    #[arg(long, global = true, value_name = "ID")]
    pub client_id: Option<String>,
    /// The secrets that stood in the environment.
    #[arg(skip)]
    pub secrets: Taken,
}
