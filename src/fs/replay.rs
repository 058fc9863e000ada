//! Replay: what a mount before this one was cut off in is brought to its end, before anything else is
//! changed; and what failed half way in this one goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::local::LocalFile;
use super::restore::AGAIN;
use super::{Fs, PUT_LOOK, Result, turn};
use crate::api;
use crate::state::{Acknowledged, LocalRow, Phase};
use crate::types::Entry;

/// How often a command that does not wait for ever looks for the folders that something waits for.
const ROUNDS: usize = 3;

/// The longest that what is refused again and again is left alone.
const LONGEST: Duration = Duration::from_secs(600);

/// How often the state file is looked at for what a command wrote into it.
const LOOK: Duration = Duration::from_secs(1);

impl Fs {
    /// Waits until everything was gone on with that a mount before this one was cut off in.
    pub(super) async fn replay_begun(&self) {
        let begin = async {
            while let Err(error) = self.begin_replay().await {
                error.warn("going on with what was cut off");
                tokio::time::sleep(AGAIN).await;
            }
        };
        self.replayed.get_or_init(|| begin).await;
    }

    /// Goes on with everything that a mount before this one left; then takes up what waited, what
    /// commands write into the state file, and what failed half way.
    pub(super) async fn run_replay(self: Arc<Self>) -> Infallible {
        self.replay_begun().await;
        self.walk_to_waiting(ROUNDS).await;
        let fs = self.clone();
        // What no folder is found for holds up nothing else.
        tokio::spawn(async move { fs.walk_to_waiting(usize::MAX).await });
        self.bed.tidy_inherited().await;
        // What was written while it went on so far is taken up by the first look.
        let mut version = None;
        let (mut pause, mut due) = (AGAIN, AGAIN.as_secs());
        let mut round = 0u64;
        loop {
            round += 1;
            tokio::time::sleep(LOOK).await;
            let now = self.state.version().ok();
            if now != version {
                version = now;
                self.take_up_retries();
            }
            if round >= due {
                self.learn_links().await;
                self.resume_replacements();
                if let Err(error) = self.replay_changes(false).await {
                    error.warn("going on with what was cut off");
                }
                // What is refused again and again is asked for less and less.
                pause = match self.is_settled() {
                    Ok(true) => AGAIN,
                    Ok(false) | Err(_) => (pause * 2).min(LONGEST),
                };
                due = round + pause.as_secs();
            }
        }
    }

    /// Goes on with everything that a mount before this one left, once, and finishes it.
    pub async fn catch_up(&self) -> Result<()> {
        self.begin_replay().await?;
        self.clear_removed(|_| true).await?;
        self.walk_to_waiting(ROUNDS).await;
        self.drain().await;
        for local in self.locals.all() {
            self.drop_local(local.ino);
        }
        Ok(())
    }

    async fn begin_replay(&self) -> Result<()> {
        let ending = self.ending()?;
        self.bed.inherit().await?;
        self.replay_changes(true).await?;
        self.take_over_rest(&ending)
    }

    /// Renames that were cut off come first: nothing else is changed meanwhile.
    async fn replay_changes(&self, is_patient: bool) -> Result<()> {
        if !self.is_cut_off()? {
            return Ok(());
        }
        let alone = self.alone();
        let _alone = match is_patient {
            true => alone.await,
            false => match tokio::time::timeout(AGAIN, alone).await {
                Ok(alone) => alone,
                // It is gone on with another time.
                Err(_) => return Ok(()),
            },
        };
        if !self.is_cut_off()? {
            // It was under way, and has come to its end.
            return Ok(());
        }
        // What it comes to is not known, wherever it ends.
        self.tree.doubt_views();
        let replayed = self.bed.replay_changes(is_patient).await;
        self.tree.doubt_views();
        self.pulse.briefly(self.tree.clear_doubts()).await;
        replayed?;
        // Asked only now: what was under way has ended since.
        for row in self.unsettled()? {
            self.settle_aside(row).await?;
        }
        Ok(())
    }

    /// Waits until nothing is renamed and nothing put anywhere, and has it stay so. Others are held up by
    /// neither meanwhile.
    async fn alone(&self) -> (SemaphorePermit<'_>, SemaphorePermit<'_>) {
        loop {
            let renaming = turn(&self.renaming).await;
            if let Some(all) = self.try_nothing_put() {
                return (renaming, all);
            }
            drop(renaming);
            tokio::time::sleep(PUT_LOOK).await;
        }
    }

    /// Whether a change was cut off, or is under way.
    fn is_cut_off(&self) -> Result<bool> {
        Ok(!self.unsettled()?.is_empty() || self.bed.has_changes()?)
    }

    /// Replacements that failed half way go on: the old version may be gone already.
    fn resume_replacements(&self) {
        for local in self.locals.all() {
            let mut state = local.state();
            if state.replacing.is_some() && state.is_given_up() && state.opens == 0 {
                state.kept.iter_mut().for_each(|kept| kept.phase = Phase::Closed);
                self.uploads.add(local.ino);
            }
        }
    }

    /// Whether nothing waits for the service to allow or to tell it.
    fn is_settled(&self) -> Result<bool> {
        let is_half_way = |local: &Arc<LocalFile>| local.state().replacing.is_some();
        Ok(!self.bed.has_changes()?
            && self.state.without_link()?.is_empty()
            && !self.locals.all().iter().any(is_half_way))
    }

    /// Rows of which it has to be asked what became of them.
    fn unsettled(&self) -> Result<Vec<LocalRow>> {
        let mut rows = self.state.locals()?;
        rows.retain(|row| row.is_aside && row.phase == Phase::Open);
        Ok(rows)
    }

    /// A file was being taken aside: it was, or its name is still the one before.
    async fn settle_aside(&self, mut row: LocalRow) -> Result<()> {
        let Some(base) = &row.base else { return Ok(()) };
        let Some(folder) = self.bed.scratch_of(base).await? else {
            // Listings and details may both lag: only a move tells for certain where it is then.
            self.bed.bring_home(base).await?;
            self.state.unwanted(row.id)?;
            self.clear_away(&row);
            return Ok(());
        };
        let base = Entry { parent: folder, ..base.clone() };
        self.state.acknowledge(
            row.id,
            &Acknowledged { base: Some(&base), attributes: &row.attributes, supersedes: None },
        )?;
        (row.base, row.phase) = (Some(base), Phase::Closed);
        self.restorable.add(row);
        Ok(())
    }

    /// Asks for the links of objects that took another's place, where the service did not tell them.
    async fn learn_links(&self) {
        for object in self.state.without_link().unwrap_or_default() {
            let learned = match api::in_background(self.bed.row_with_link(&object)).await {
                Ok(entry) => self.state.learn_link(&entry),
                // It went before its link was told.
                Err(error) if error.api().is_some_and(|error| error.is_not_found()) => {
                    self.state.has_no_link(&object)
                }
                Err(_) => return,
            };
            if let Err(error) = learned {
                tracing::warn!("{error}");
            }
        }
    }
}
