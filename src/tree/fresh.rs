//! Freshness: when a folder is listed, and who waits for that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::{Error, Tree};
use crate::types::Ino;

/// How long the old view of a folder serves after a refresh of it failed.
const EXCUSE: Duration = Duration::from_secs(60);

impl Tree {
    /// Makes sure that the folder's children are known and not older than the TTL.
    ///
    /// When a refresh fails the old view serves on; only a folder that was never listed fails.
    pub async fn ensure_listed(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        let known = {
            let table = self.table();
            let folder = table.folder(ino)?;
            let now = Instant::now();
            let fresh = folder.listed.is_some_and(|listed| listed.elapsed() < self.ttl);
            if fresh || folder.excused.is_some_and(|until| now < until) {
                return Ok(());
            }
            folder.listed.is_some()
        };
        match self.listing(ino).await {
            Err(Error::Api(error)) if known => {
                tracing::warn!("showing an older view of {:?}: {error}", self.path(ino));
                if let Ok(folder) = self.table().folder_mut(ino) {
                    folder.excused = Some(Instant::now() + EXCUSE);
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Lists the folder anew, begun after this call.
    pub async fn refresh(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        let running = self.table().folder(ino)?.in_flight.clone();
        if let Some(listing) = running {
            // It began before: its answer may be older than what the caller wants to know.
            let _older = listing.await;
        }
        self.listing(ino).await
    }

    /// Lists the folder at the next use.
    pub fn expire(&self, ino: Ino) {
        if let Ok(folder) = self.table().folder_mut(ino) {
            folder.listed = None;
        }
    }

    /// Lists every folder at its next use.
    pub fn expire_all(&self) {
        self.table().folders_mut().for_each(|folder| folder.listed = None);
    }

    /// The listing in flight, or a new one: all who want one share it.
    async fn listing(self: &Arc<Self>, ino: Ino) -> Result<(), Error> {
        let listing = {
            let mut table = self.table();
            let folder = table.folder_mut(ino)?;
            match &folder.in_flight {
                Some(listing) => listing.clone(),
                None => {
                    let tree = self.clone();
                    let task = tokio::spawn(async move {
                        let result = tree.clone().list_now(ino).await;
                        if let Ok(folder) = tree.table().folder_mut(ino) {
                            folder.in_flight = None;
                        }
                        result
                    });
                    let listing =
                        task.map(|joined| joined.unwrap_or(Err(Error::NotFound))).boxed().shared();
                    folder.in_flight = Some(listing.clone());
                    listing
                }
            }
        };
        listing.await
    }
}
