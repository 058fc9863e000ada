//! Refreshing: folders in use are listed again before their listings are too old, and what the state
//! file told is checked while nobody looks at anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use futures_util::future::join_all;

use super::Tree;
use super::fresh::View;
use crate::types::{FileId, Ino};

/// A folder is in use for so long after a look at it, or for two TTLs.
const IN_USE: Duration = Duration::from_secs(60);

/// How often it is looked for what is to be listed, at most and at least.
const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(5);

/// Nobody looks at anything if nobody did for so long.
const IDLE: Duration = Duration::from_secs(60);

impl Tree {
    /// Lists what is to be listed for nobody who waits, for as long as the mount lives.
    pub async fn run_refreshing(self: Arc<Self>) -> Infallible {
        let pause = (self.ttl / 8).clamp(OFTEN, SELDOM);
        let mut looked = Instant::now();
        let mut idle = Instant::now();
        loop {
            tokio::time::sleep(pause).await;
            let (due, last) = self.due();
            looked = last.map_or(looked, |last| last.max(looked));
            due.into_iter().for_each(|ino| self.refresh_behind(ino));
            // One listing in so long is a small share of what the service allows.
            if looked.elapsed() > IDLE && idle.elapsed() >= SELDOM {
                idle = Instant::now();
                if let Some(ino) = self.unchecked() {
                    self.refresh_behind(ino);
                }
            }
        }
    }

    /// Lists the folders in use of which it is not known what became of them.
    pub async fn clear_doubts(self: &Arc<Self>) {
        let doubtful: Vec<Ino> = {
            let table = self.table();
            let is_in_doubt = |ino: &Ino| {
                table.folder(*ino).is_ok_and(|folder| matches!(folder.view, View::Doubtful))
            };
            table.looks.keys().copied().filter(is_in_doubt).collect()
        };
        // What cannot be listed now is when it is looked at, or by itself.
        join_all(doubtful.into_iter().map(|ino| self.refresh(ino))).await;
    }

    /// The folders in use whose listings come to their end, and when the last look was.
    fn due(&self) -> (Vec<Ino>, Option<Instant>) {
        let mut table = self.table();
        let in_use = IN_USE.max(self.ttl * 2);
        table.looks.retain(|_, look| look.elapsed() < in_use);
        let last = table.looks.values().max().copied();
        let is_due = |ino: &Ino| {
            let Ok(folder) = table.folder(*ino) else { return false };
            folder.is_free()
                && match folder.view {
                    // A folder that takes long to list is not listed all the time.
                    View::Listed(at) => at.elapsed() >= (self.ttl / 4 * 3).max(folder.took * 4),
                    View::Kept(due) => due <= Instant::now() + self.ttl / 4,
                    View::Doubtful => true,
                    View::Unknown | View::Unlisted => false,
                }
        };
        (table.looks.keys().copied().filter(is_due).collect(), last)
    }

    /// A folder of which only the state file has told.
    fn unchecked(&self) -> Option<Ino> {
        let told: Vec<(Ino, Option<FileId>)> = {
            let table = self.table();
            let told = table.folders().filter_map(|(ino, folder)| match folder.view {
                View::Kept(_) if folder.is_free() => Some((ino, None)),
                View::Unknown => Some((ino, folder.id.clone())),
                View::Kept(_) | View::Unlisted | View::Doubtful | View::Listed(_) => None,
            });
            told.collect()
        };
        let is_kept = |id: &Option<FileId>| id.as_ref().is_none_or(|id| self.kept.has(id));
        told.into_iter().find(|(_, id)| is_kept(id)).map(|(ino, _)| ino)
    }
}
