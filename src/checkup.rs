//! The check-up: what a mount needs of this machine, of the account and of what is kept, looked at
//! one thing after the other. Nothing is changed.

mod account;
mod installed;
mod kept;
mod machine;

use std::path::Path;

use crate::api::Client;
use crate::config::Wishes;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A mount works, but something is not as it should be.
    Warning,
    /// A mount does not work, or loses what it should keep.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was looked at.
    pub about: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// The command or step that mends it.
    pub mend: Option<String>,
}

impl Check {
    fn ok(about: &'static str, seen: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Ok, seen: seen.into(), mend: None }
    }

    fn warning(about: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        let (seen, mend) = (seen.into(), Some(mend.into()));
        Self { about, verdict: Verdict::Warning, seen, mend }
    }

    fn failed(about: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, ..Self::warning(about, seen, mend) }
    }
}

/// Looks at the machine, for a mount with these wishes.
pub fn machine(wishes: &Wishes) -> Vec<Check> {
    machine::checks(wishes)
}

/// Looks at what is installed around the program.
pub fn installed() -> Vec<Check> {
    installed::checks()
}

/// Looks at the configuration file and at the folder of the account's state.
pub fn folders(config: &Path, state: &Path) -> Vec<Check> {
    kept::folders(config, state)
}

/// Looks at the state file, and at the scratch folders in the bed's root where `root` has the names
/// of what lies there.
pub fn kept(state: &Path, root: Option<&[String]>) -> Vec<Check> {
    kept::state_file(state, root)
}

/// Looks at the account; also gives the names of what lies in the bed's root, if it can be listed.
pub async fn account(client: &Client) -> (Vec<Check>, Option<Vec<String>>) {
    account::checks(client).await
}
