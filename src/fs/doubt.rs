//! Doubt: what is known may not be so any more, since a change failed, or since time went by.
//!
//! Who looks is never held up by that: what was known is shown until the service told anew. Who made a
//! change lists its folders before the failure is told, if the service answers.

use std::sync::Arc;

use super::{Fs, Result};
use crate::account::{AccountCache, Ledger};
use crate::read;
use crate::tree;
use crate::types::Ino;

impl Fs {
    /// A change in these folders failed, or found them other than they are shown.
    pub(super) async fn look_anew(&self, folders: impl IntoIterator<Item = Ino>) {
        let folders: Vec<Ino> = folders.into_iter().collect();
        folders.iter().for_each(|folder| self.tree.doubt_view(*folder));
        self.find_out(&folders).await;
    }

    /// A move of the inode failed that may have come about all the same.
    pub(super) async fn doubt_move(&self, ino: Ino, to: Ino) {
        let from = self.tree.info(ino).ok().and_then(|info| info.parent);
        self.tree.doubt_move(ino, to);
        // First where it may be by now: there is no moment at which neither shows it.
        let folders: Vec<Ino> = [to].into_iter().chain(from.filter(|from| *from != to)).collect();
        self.find_out(&folders).await;
    }

    /// What cannot be read since it is gone is looked for.
    pub(super) async fn look_again(&self, ino: Ino, error: &read::Error) {
        if let read::Error::Fetch { source, .. } = error
            && source.is_not_found()
            && let Ok(Some(parent)) = self.tree.info(ino).map(|info| info.parent)
        {
            self.look_anew([parent]).await;
        }
    }

    /// Asks for what the service tells of the account. Where something `is_known` that is told again if
    /// need be, the answer is waited for no longer than a moment; while the service is silent one such
    /// question is under way at a time.
    pub(super) async fn ask<F: Future<Output = Result<()>> + Send + 'static>(
        &self, is_known: bool, question: impl FnOnce(Arc<AccountCache>, Arc<Ledger>) -> F,
    ) -> Result<()> {
        let asked = question(self.account.clone(), self.ledger.clone());
        if !is_known {
            return asked.await;
        }
        let alone = match self.pulse.is_silent() {
            true => match self.freshening.clone().try_acquire_owned() {
                Ok(alone) => Some(alone),
                Err(_) => return Ok(()),
            },
            false => None,
        };
        let asked = self.runtime.spawn(async move {
            let _alone = alone;
            if let Err(error) = asked.await {
                tracing::debug!("what was told last is told again: {error}");
            }
        });
        // It goes on by itself.
        let _in_time = self.pulse.briefly(asked).await;
        Ok(())
    }

    /// Has the account's figures be those of the last seconds, or told again.
    pub(super) async fn ask_for_account(&self) -> Result<()> {
        let is_known = self.account.known().is_some();
        self.ask(is_known, |account, _| async move { Ok(account.get().await.map(drop)?) }).await
    }

    async fn find_out(&self, folders: &[Ino]) {
        let listed = async {
            for folder in folders {
                self.tree.refresh(*folder).await?;
            }
            Ok::<(), tree::Error>(())
        };
        if let Some(Err(error)) = self.pulse.briefly(listed).await {
            tracing::info!("what a change came to is not known yet: {error}");
        }
    }
}
