//! An account at hand: its client and its state file, for commands that need no mount.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::{Failure, mount, pending};
use crate::api::Client;
use crate::config::{Config, Wishes};
use crate::mount::Plan;
use crate::state::State;

/// What a command works with.
pub(super) struct Account {
    pub(super) client: Client,
    /// A mount may have the file open.
    pub(super) state: Arc<State>,
    pub(super) runtime: Runtime,
    pub(super) plan: Plan,
}

impl Account {
    /// The account that is configured. Nothing is asked of the service yet.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let plan = mount::plan(config, Wishes::default(), PathBuf::new())?;
        let state = match State::open_sound(&plan.state) {
            Err(error) if error.is_damaged() => pending::open(&plan.state)?,
            state => state?,
        };
        Ok(Self {
            client: Client::new(plan.api.clone())?,
            state: Arc::new(state),
            runtime: Runtime::new()?,
            plan,
        })
    }
}
