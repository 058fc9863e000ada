//! Filling: what is missing in a staged file is brought from its base, each byte once.

use std::sync::Arc;

use super::{Bed, Error};
use crate::staging::{Staged, StagedFile};
use crate::types::Entry;

/// Bytes fetched at a time when a whole file must be filled.
const FILL: u64 = 1 << 20;

impl Bed {
    /// Brings everything that is missing in a staged file from its base.
    pub async fn fill(&self, staged: &StagedFile, base: &Arc<Entry>) -> Result<(), Error> {
        while let Some(missing) = staged.missing() {
            let len = (missing.end - missing.start).min(FILL) as usize;
            let bytes = self.reader.read_until(base, missing.start, len, missing.end).await?;
            if bytes.is_empty() {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            staged.fill(missing.start, &bytes)?;
        }
        Ok(())
    }

    /// Bytes of a staged file, the missing ones brought from its base first.
    pub async fn read_staged(
        &self, staged: &StagedFile, base: Option<&Arc<Entry>>, offset: u64, len: usize,
    ) -> Result<Vec<u8>, Error> {
        loop {
            match (staged.read_at(offset, len)?, base) {
                (Staged::Bytes(bytes), _) => return Ok(bytes),
                (Staged::Missing(part), Some(base)) => {
                    let bytes = self
                        .reader
                        .read(base, part.start, (part.end - part.start) as usize)
                        .await?;
                    if bytes.is_empty() {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                    staged.fill(part.start, &bytes)?;
                }
                (Staged::Missing(_), None) => {
                    return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
                }
            }
        }
    }
}
