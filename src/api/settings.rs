//! The settings of a client: where the service is, as whom, how fast and how long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::line::Carrier;
use super::qps::QpsTable;
use super::roots::Roots;
use super::staleness::Staleness;
use crate::types::Secret;

/// What the service gave the developer (`003`: 获取access_token).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `clientID`.
    pub client_id: String,
    /// `clientSecret`.
    pub client_secret: Secret,
}

/// Everything a [`Client`](super::Client) is told before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL of the API host, `https://open-api.123pan.com` for the service itself.
    pub endpoint: String,
    /// What may vouch for hosts, beside what the system trusts.
    pub roots: Roots,
    /// As whom to call.
    pub credentials: Credentials,
    /// An existing folder; `token.json` and `token.lock` live there. Processes that name the same
    /// folder share one token, so it belongs to one account at one endpoint.
    pub token_dir: PathBuf,
    /// Calls a second, for each endpoint.
    pub qps: QpsTable,
    /// One try of a call; also how long a transfer may make no progress.
    pub attempt_timeout: Duration,
    /// One call with all its retries, counted from the start of its first try.
    pub deadline: Duration,
    /// How long the service may show what was before a change.
    pub staleness: Staleness,
    /// What stands in for the network, in a simulation.
    pub carrier: Option<Arc<dyn Carrier>>,
}

impl Settings {
    /// Settings with the documented rates, 15 s for a try and 60 s for a call.
    pub fn new(
        endpoint: impl Into<String>, credentials: Credentials, token_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            roots: Roots::default(),
            credentials,
            token_dir: token_dir.into(),
            qps: QpsTable::documented(),
            attempt_timeout: Duration::from_secs(15),
            deadline: Duration::from_secs(60),
            staleness: Staleness::DEFAULT,
            carrier: None,
        }
    }

    /// The same with this deadline, and with no try that is longer.
    pub fn within(self, deadline: Duration) -> Self {
        Self { attempt_timeout: self.attempt_timeout.min(deadline), deadline, ..self }
    }

    /// The same with these that may vouch for hosts.
    pub fn trusting(self, roots: Roots) -> Self {
        Self { roots, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_secrets() {
        let credentials =
            Credentials { client_id: "id".into(), client_secret: Secret::new("hunter2") };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
