//! Knowledge: what the service does where its documents are silent, found out when it is needed.

use super::{Bed, Error};
use crate::probe;
use crate::state::answer::{EmptyFile, MoveFolder, SameBytes};

/// The name for which room is made in a scratch folder while something is tried out there.
const PROBE: &str = "bedfs-probe";

impl Bed {
    /// Whether the same bytes twice in one folder make the older picture vanish. Found out once, in
    /// a scratch folder, before a picture is risked.
    pub async fn twins_vanish(&self) -> Result<bool, Error> {
        if let Some(known) = self.state.answer::<SameBytes>()? {
            return Ok(known == SameBytes::OlderVanishes);
        }
        let spot = self.scratch.take(PROBE).await?;
        let found = probe::same_bytes(&self.client, spot.folder()).await;
        spot.free();
        let found = found?;
        self.state.learn_answer(found)?;
        Ok(found == SameBytes::OlderVanishes)
    }

    /// Whether the service is known to take files of no bytes.
    pub fn takes_empty_files(&self) -> bool {
        matches!(self.state.answer(), Ok(Some(EmptyFile::Taken)))
    }

    /// Whether the service is known not to move folders.
    pub(super) fn moves_no_folders(&self) -> Result<bool, Error> {
        let known = self.state.answer::<MoveFolder>()?;
        Ok(known.is_some_and(|known| known != MoveFolder::Works))
    }
}
