//! An account at hand: its client and its state file, for commands that need no mount.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::{Failure, mount};
use crate::api::Client;
use crate::config::{Config, Wishes};
use crate::state::State;

/// What a command works with.
pub(super) struct Account {
    pub(super) client: Client,
    pub(super) state: Arc<State>,
    pub(super) runtime: Runtime,
    /// The folder of the account's state.
    pub(super) dir: PathBuf,
}

impl Account {
    /// The account that is configured. Nothing is asked of the service yet.
    pub(super) fn open() -> Result<Self, Failure> {
        let plan = mount::plan(&Config::load()?, Wishes::default(), PathBuf::new())?;
        Ok(Self {
            client: Client::new(plan.api)?,
            state: Arc::new(State::open_sound(&plan.state)?),
            runtime: Runtime::new()?,
            dir: plan.state,
        })
    }
}
