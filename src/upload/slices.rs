//! The slices of one upload: sent some at once, and compared with what came of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5 as Hasher};

use super::{Error, Job, pauses};
use crate::api::{self, Client, Part, Slice};
use crate::aside::aside;
use crate::types::Md5;

/// Slices of one file on their way at once.
const AT_ONCE: usize = 4;

/// Tries for one slice without success before the upload fails.
const TRIES: usize = 5;

/// How often it is looked whether what is being sent is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes that are hashed at a time.
const CHUNK: usize = 256 << 10;

/// The slices of an upload that was created. They count from 0 here, and from 1 at the service (`003`).
pub(super) struct Slices<'a> {
    pub(super) client: &'a Client,
    pub(super) job: &'a Job<'a>,
    /// The upload's ID.
    pub(super) preupload: String,
    /// Bytes in each slice but the last.
    pub(super) slice_size: u64,
}

impl Slices<'_> {
    fn count(&self) -> u64 {
        self.job.sum.size.div_ceil(self.slice_size)
    }

    /// Where a slice begins, and how many bytes it has.
    fn range(&self, index: u64) -> (u64, u64) {
        let offset = index * self.slice_size;
        (offset, self.slice_size.min(self.job.sum.size - offset))
    }

    fn number(&self, index: u64) -> Result<u32, Error> {
        u32::try_from(index + 1).map_err(|_| Error::SliceSize(self.slice_size))
    }

    fn bytes(&self) -> Result<Arc<File>, Error> {
        (self.job.bytes)().map_err(|error| Error::Staging(Arc::new(error)))
    }

    /// Sends all.
    pub(super) async fn send_all(&self) -> Result<(), Error> {
        self.send(0..self.count()).await
    }

    async fn send(&self, indices: impl IntoIterator<Item = u64>) -> Result<(), Error> {
        let sending = stream::iter(indices)
            .map(|index| self.send_one(index))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>();
        tokio::select! {
            biased;
            sent = sending => sent,
            // Never completed, so never an object.
            () = self.changes() => Err(Error::Changed),
        }
    }

    /// Ends when nobody wants the bytes any more: sending them on would hold their room, and the place
    /// of others.
    async fn changes(&self) {
        while (self.job.unchanged)() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends again what the storage has not, or has otherwise, and gives how many slices that were. Of
    /// a file of one slice it tells nothing: that is sent again.
    pub(super) async fn send_missing(&self) -> Result<usize, Error> {
        let parts = match self.client.list_upload_parts(&self.preupload).await {
            Ok(parts) => parts,
            // Then all are sent again.
            Err(error) if error.is_refused() || matches!(error, api::Error::Garbled { .. }) => {
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let mut missing = Vec::new();
        for index in 0..self.count() {
            let number = self.number(index)?;
            let part = parts.iter().find(|part| part.number == number);
            if !self.is_there(index, part).await? {
                missing.push(index);
            }
        }
        self.send(missing.iter().copied()).await?;
        Ok(missing.len())
    }

    /// Whether a part is the slice.
    async fn is_there(&self, index: u64, part: Option<&Part>) -> Result<bool, Error> {
        let (offset, len) = self.range(index);
        let Some(part) = part.filter(|part| part.size == len) else { return Ok(false) };
        let Some(md5) = part.md5 else { return Ok(true) };
        let bytes = self.bytes()?;
        let summed = aside(move || sum(&bytes, offset, len)).await;
        Ok(summed.map_err(|error| Error::Staging(Arc::new(error)))? == md5)
    }

    /// Sends one, with a new address for each try: an address expires, and one that was used in vain
    /// may be spent.
    async fn send_one(&self, index: u64) -> Result<(), Error> {
        let ((offset, len), number) = (self.range(index), self.number(index)?);
        let (mut pauses, mut was_odd) = (pauses(TRIES), false);
        loop {
            // The bytes are open, and a connection is, for as long as this is held.
            let turn = self.client.slice_turn().await;
            let url = self.client.get_upload_url(&self.preupload, number).await?;
            let slice = Slice { file: self.bytes()?, offset, len };
            let put = self.client.put_slice(&url, slice).await;
            drop(turn);
            let error = match put {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let is_odd = matches!(error, api::Error::Garbled { .. });
            if is_odd && was_odd {
                // The storage says that always: whether it has the slice is found out at the end.
                tracing::warn!("slice {number} of {:?} counts as sent: {error}", self.job.name);
                return Ok(());
            }
            was_odd = is_odd;
            match pauses.next().filter(|_| error.is_transient() || error.is_expired()) {
                Some(pause) => {
                    tracing::debug!("slice {number} of {:?} goes again: {error}", self.job.name);
                    tokio::time::sleep(pause).await;
                }
                None => return Err(error.into()),
            }
        }
    }
}

/// The md5 of a range of a file.
fn sum(file: &File, offset: u64, len: u64) -> io::Result<Md5> {
    let (mut hasher, mut chunk) = (Hasher::new(), vec![0; CHUNK]);
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let wanted = (end - at).min(CHUNK as u64) as usize;
        file.read_exact_at(&mut chunk[..wanted], at)?;
        hasher.update(&chunk[..wanted]);
        at += wanted as u64;
    }
    Ok(Md5::new(hasher.finalize().into()))
}
