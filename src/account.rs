//! The account: its space and traffic, and what the service writes down of it, which is kept here
//! longer than there.

mod figures;
mod offline;
mod refusal;
mod shares;
mod table;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;

use crate::api::{self, Client};
use crate::state::{self, State};

pub use figures::AccountCache;
pub use offline::OfflineLogs;
pub use shares::Shares;
pub use table::{Cell, Table, share_lines, share_table, traffic_lines, traffic_table};
pub use traffic::TrafficLog;

/// What the service writes down of the account.
pub struct Ledger {
    /// Who was served what.
    pub traffic: TrafficLog,
    /// The same by the hour, packed.
    pub offline: OfflineLogs,
    /// What is sold.
    pub shares: Shares,
}

impl Ledger {
    /// The ledger, archived in this state file and, as to offline logs, in the folder `logs`.
    pub fn new(client: &Client, state: &Arc<State>, logs: PathBuf) -> Self {
        Self {
            traffic: TrafficLog::new(client.clone(), state.clone()),
            offline: OfflineLogs::new(client.clone(), state.clone(), logs),
            shares: Shares::new(client.clone()),
        }
    }
}

/// Why what the service writes down cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service refuses to tell it to this account.
    #[error(
        "{0}; the service tells this only to accounts with the developer entitlement \
         (开发者权益): all else works without it"
    )]
    NotEntitled(api::Error),
    /// The call failed.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The state file failed.
    #[error(transparent)]
    State(#[from] Arc<state::Error>),
    /// The local disk failed.
    #[error("{what}: {cause}")]
    Disk {
        /// What was being done, to which file.
        what: String,
        /// What the system said.
        cause: String,
    },
    /// What was downloaded is not what was listed.
    #[error("offline log {name:?}: {why}; try again later")]
    NotTheLog {
        /// As the service calls it.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<state::Error> for Error {
    fn from(error: state::Error) -> Self {
        Self::State(Arc::new(error))
    }
}

impl Error {
    /// The error of the service in it.
    pub fn api(&self) -> Option<&api::Error> {
        match self {
            Self::NotEntitled(error) | Self::Api(error) => Some(error),
            Self::State(_) | Self::Disk { .. } | Self::NotTheLog { .. } => None,
        }
    }
}
