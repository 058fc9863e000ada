//! Replay: changes that a crash cut off are brought to their end, from what the state file tells.

use super::folder::Pour;
use super::{Bed, Error};

impl Bed {
    /// Brings every rename and every folder's rename to its end that was cut off. To be done before
    /// anything else is changed; what fails stays for the next time.
    pub async fn replay_changes(&self) -> Result<(), Error> {
        self.inherit().await?;
        for change in self.state.pours()? {
            let pour = Pour { change: change.id, is_resumed: true };
            self.resume_pour(&change, pour).await?;
        }
        for rename in self.state.renames()? {
            tracing::info!("going on with the rename of {:?}", rename.path);
            self.resume_rename(&rename).await?;
        }
        Ok(())
    }

    /// Takes over the scratch folders that mounts before this one left.
    pub async fn inherit(&self) -> Result<(), Error> {
        self.scratch.inherit().await
    }

    /// Whether a change was cut off and waits to be taken up.
    pub fn has_changes(&self) -> Result<bool, Error> {
        Ok(!self.state.renames()?.is_empty() || !self.state.pours()?.is_empty())
    }

    /// Removes the scratch folders that mounts before this one left, but for what is wanted in them.
    pub async fn tidy_inherited(&self) {
        self.scratch.tidy(false).await;
    }
}
