//! Filling: what is missing in a staged file is brought from its base, each byte once, and held
//! against the base's md5 where that is possible.
//!
//! The md5 is of the whole base. Where little of it was written over or cut off here, that little is
//! fetched as well, only to be hashed; so what is appended to, or edited in a few places, is never
//! published with wrong bytes of the CDN between. Where more of the base is gone, fetching it would
//! cost traffic that is paid for nothing else: then only the lengths are checked, and what the
//! reader finds.

use std::io;
use std::sync::Arc;

use md5::{Digest, Md5 as Hasher};

use super::{Bed, Error};
use crate::disk::is_full;
use crate::read;
use crate::staging::{Part, Staged, StagedFile};
use crate::types::{Entry, Md5};

/// Bytes fetched at a time when a whole file must be filled.
const FILL: usize = 1 << 20;

/// Bytes of a base that are fetched for its md5 alone, at most.
const MOST_FOR_PROOF: u64 = 1 << 20;

impl Bed {
    /// Brings everything that is missing in a staged file from its base. What turns out wrong is
    /// fetched once more.
    pub async fn fill(&self, staged: &StagedFile, base: &Arc<Entry>) -> Result<(), Error> {
        let listed = base.picture().and_then(|picture| picture.md5);
        let provable = staged.gone(base.size()) <= MOST_FOR_PROOF;
        let Some(listed) = listed.filter(|_| provable) else {
            return self.fill_missing(staged, base).await;
        };
        match self.fill_proven(staged, base, listed).await {
            Err(error) if error.is_of_wrong_bytes() => {
                tracing::warn!("{error}; it is fetched once more");
                self.reader.forget(base);
                self.fill_proven(staged, base, listed).await
            }
            // The base may be gone, and all that is wanted of it here: better unproven than lost.
            Err(error) if staged.missing().is_none() => {
                tracing::warn!("{:?} is published without a proof of its base: {error}", base.name);
                Ok(())
            }
            filled => filled,
        }
    }

    async fn fill_missing(&self, staged: &StagedFile, base: &Arc<Entry>) -> Result<(), Error> {
        while let Some(missing) = staged.missing() {
            let len = (missing.end - missing.start).min(FILL as u64) as usize;
            let limit = missing.end;
            let fetch = self.reader.read_until(base, missing.start, len, limit);
            let bytes = fetched(staged, fetch.await)?;
            self.keep(staged, missing.start, &bytes)?;
        }
        Ok(())
    }

    /// Goes through the whole base, and fails with nothing of it left if its md5 is another.
    async fn fill_proven(
        &self, staged: &StagedFile, base: &Arc<Entry>, listed: Md5,
    ) -> Result<(), Error> {
        let mut hasher = Hasher::new();
        let mut offset = 0;
        while offset < base.size() {
            let len = (base.size() - offset).min(FILL as u64) as usize;
            let bytes = match staged.base_part(offset, len)? {
                Part::Filled(bytes) => bytes,
                Part::Missing(len) => {
                    let fetch = self.reader.read_unproven(base, offset, len);
                    let bytes = fetched(staged, fetch.await)?;
                    self.keep(staged, offset, &bytes)?;
                    bytes
                }
                Part::Gone(len) => {
                    fetched(staged, self.reader.read_unproven(base, offset, len).await)?
                }
            };
            hasher.update(&bytes);
            offset += bytes.len() as u64;
        }
        if Md5::new(hasher.finalize().into()) != listed {
            staged.unfill();
            return Err(Error::Corrupted { name: base.name.to_string() });
        }
        staged.settle()?;
        Ok(())
    }

    /// Fills in bytes that were fetched.
    fn keep(&self, staged: &StagedFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.state.room().ask(bytes.len() as u64, || staged.fill(offset, bytes))
    }

    /// Bytes of a staged file, the missing ones brought from its base; they are kept if the disk has
    /// room for them.
    pub async fn read_staged(
        &self, staged: &StagedFile, base: Option<&Arc<Entry>>, offset: u64, len: usize,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            let at = offset + bytes.len() as u64;
            let missing = match staged.read_at(at, len - bytes.len())? {
                Staged::Missing(part) => part,
                Staged::Bytes(rest) => {
                    bytes.extend(rest);
                    return Ok(bytes);
                }
            };
            if let Staged::Bytes(before) = staged.read_at(at, (missing.start - at) as usize)? {
                bytes.extend(before);
            }
            if offset + bytes.len() as u64 == missing.start {
                let base = base.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                let len = (missing.end - missing.start) as usize;
                let fetch = self.reader.read(base, missing.start, len);
                let part = fetched(staged, fetch.await)?;
                match self.keep(staged, missing.start, &part) {
                    Err(error) if !is_full(&error) => return Err(error.into()),
                    Ok(()) | Err(_) => bytes.extend(part),
                }
            }
        }
    }
}

/// Bytes that were read of the base, at least one. Where wrong ones came, those that were filled in
/// before go too.
fn fetched(staged: &StagedFile, read: Result<Vec<u8>, read::Error>) -> Result<Vec<u8>, Error> {
    match read {
        Ok(bytes) if bytes.is_empty() => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            if error.is_of_wrong_bytes() {
                staged.unfill();
            }
            Err(error.into())
        }
    }
}
