//! Settling: what was written is promised, and published now or soon. What fails goes on waiting, or
//! waits for the user.

use std::sync::Arc;

use super::local::LocalFile;
use super::uploads::may_pass;
use super::{Error, Fs, Result, turn};
use crate::config::Upload;
use crate::state::Phase;

impl Fs {
    /// What a close and an fsync do: the bytes are promised, and published now or soon.
    pub(super) async fn settle(&self, local: &Arc<LocalFile>) -> Result<()> {
        self.promise(local).await.inspect_err(|error| {
            if error.is_shortage() {
                self.wait(local, error);
            }
        })?;
        {
            let state = local.state();
            if state.removed || state.dirty().is_none() || self.stays_here(&state) {
                return Ok(());
            }
        }
        match self.options.upload {
            Upload::Close => self.publish_now(local).await,
            Upload::Background => {
                self.uploads.add(local.ino);
                Ok(())
            }
        }
    }

    /// Publishes for someone who waits, and who is told if that fails.
    pub(super) async fn publish_now(&self, local: &Arc<LocalFile>) -> Result<()> {
        let _turn = turn(&local.turn).await;
        self.publish_now_in_turn(local).await
    }

    /// As `publish_now`, for one who has the file's turn.
    pub(super) async fn publish_now_in_turn(&self, local: &Arc<LocalFile>) -> Result<()> {
        let stays = self.stays_here(&local.state());
        let published = match stays {
            true => Ok(()),
            false => self.publish_in_turn(local, None).await,
        };
        published.map_err(|error| {
            // What is promised goes on waiting.
            let is_promised = self.options.upload == Upload::Background && may_pass(&error);
            match is_promised || error.is_shortage() {
                true => self.wait(local, &error),
                false => self.give_up(local, &error),
            }
            Error::Unpublished(Box::new(error))
        })
    }

    /// The file is tried again by itself, and says what it waits for.
    fn wait(&self, local: &LocalFile, error: &Error) {
        local.state().waits_for = Some(error.to_string().into());
        self.uploads.add(local.ino);
    }

    /// The file waits for the user, who is told why.
    pub(super) fn give_up(&self, local: &LocalFile, error: &Error) {
        let text = error.to_string();
        let writing = self.state.writing();
        let mut state = local.state();
        let Some(kept) = &mut state.kept else { return };
        let (row, generation) = (kept.row, kept.staged.generation());
        if kept.phase == Phase::Closed {
            kept.phase = Phase::Failed;
            if let Err(unrecorded) = writing.and_then(|writing| writing.failed(row, &text)) {
                tracing::error!("{unrecorded}");
            }
        }
        (state.waits_for, state.error) = (None, Some((generation, text.into())));
    }
}
