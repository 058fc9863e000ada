//! Replay: changes that a crash cut off are brought to their end, from what the state file tells.

use std::time::Duration;

use super::folder::Pour;
use super::{Bed, Error};
use crate::api::{self, Staleness};
use crate::probe;
use crate::upload;
impl Bed {
    /// Brings every rename and every folder's rename to its end that was cut off. To be done before
    /// anything else is changed; what fails stays for the next time.
    ///
    /// Who is patient gives a refusal time to pass, as after a crash.
    pub async fn replay_changes(&self, is_patient: bool) -> Result<(), Error> {
        let patience = is_patient.then(|| self.client.staleness().listing());
        for change in self.state.pours()? {
            let resume = || async {
                let pour = Pour { change: change.id, is_resumed: true };
                self.resume_pour(&change, pour).await
            };
            let resumed = patiently(&change.name, patience, resume).await;
            wait_or_skip(&change.name, resumed)?;
        }
        for rename in self.state.renames()? {
            tracing::info!("going on with the rename of {:?}", rename.path);
            let resumed = patiently(&rename.path, patience, || self.resume_rename(&rename)).await;
            wait_or_skip(&rename.path, resumed)?;
        }
        Ok(())
    }

    /// Takes over the scratch folders that mounts before this one left.
    pub async fn inherit(&self) -> Result<(), Error> {
        self.scratch.inherit().await
    }

    /// Clears away what probes of this machine left. For who has the lock of probes.
    pub async fn clear_probes(&self) {
        if let Err(error) = probe::Probe::new(&self.client, &self.state).clear().await {
            tracing::info!("what a probe left stays for now: {error}");
        }
    }

    /// Whether a change was cut off and waits to be taken up.
    pub fn has_changes(&self) -> Result<bool, Error> {
        Ok(!self.state.renames()?.is_empty() || !self.state.pours()?.is_empty())
    }

    /// Removes the scratch folders that mounts before this one left, but for what is wanted in them.
    pub async fn tidy_inherited(&self) {
        self.tidy_scratch(false).await;
    }
}

/// A refusal may come of an object that was made before the crash, and that no listing shows yet.
async fn patiently<R: Future<Output = Result<(), Error>>>(
    what: &str, patience: Option<Duration>, resume: impl Fn() -> R,
) -> Result<(), Error> {
    let mut pauses = patience.into_iter().flat_map(Staleness::looks);
    loop {
        match (resume().await, pauses.next()) {
            (Err(error), Some(pause)) if error.api().is_some_and(api::Error::is_refused) => {
                tracing::info!("{what:?}, again in {:.1} s: {error}", pause.as_secs_f32());
                tokio::time::sleep(pause).await;
            }
            (resumed, _) => return resumed,
        }
    }
}

/// What the service refuses must not hold up the rest: it stays for the next mount.
fn wait_or_skip(what: &str, resumed: Result<(), Error>) -> Result<(), Error> {
    match resumed {
        Err(error) if error.api().is_some_and(api::Error::is_transient) => Err(error),
        Err(error @ Error::Upload(upload::Error::Unfinished { .. })) => Err(error),
        Err(error) => {
            tracing::error!("the rename of {what:?} is not finished: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
