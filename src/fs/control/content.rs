//! The content of the control files.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::super::{Fs, Result};
use super::node::Node;
use super::snapshot::Snapshot;
use crate::account::{Cell, Table};
use crate::account::{share_lines, share_table, traffic_lines, traffic_table};
use crate::pending::{self, Pending, Stage};
use crate::state::Phase;
use crate::tree::Error as TreeError;
use crate::types::{FileId, Ino, SERVICE_ZONE};

/// Entries of a folder that are read at a time.
const BATCH: usize = 1000;

/// From when on a silence of the service is told.
const LONG: Duration = Duration::from_secs(10);

impl Fs {
    /// What lies in a folder of the control folder, as far as it is known here.
    pub(super) fn control_children(&self, folder: &Node) -> Result<Vec<(String, Node)>> {
        Ok(match folder {
            Node::Root => Node::ROOT.map(|(name, node)| (name.to_owned(), node)).into(),
            Node::Traffic => self.traffic_files()?,
            Node::Shares => vec![
                ("paid.csv".to_owned(), Node::ShareTable),
                ("paid.jsonl".to_owned(), Node::ShareLines),
            ],
            Node::OfflineLogs => {
                let logs = self.state.offline_logs(i64::MIN, i64::MAX)?;
                let mut days: Vec<Date> = logs.iter().map(|log| day_of(log.hour)).collect();
                days.dedup();
                days.into_iter().map(|day| (day.to_string(), Node::OfflineDay(day))).collect()
            }
            Node::OfflineDay(day) => {
                let first = SERVICE_ZONE.to_timestamp(day.at(0, 0, 0, 0)).unwrap_or_default();
                let first = first.as_second();
                let logs = self.state.offline_logs(first, first + 24 * 3600 - 1)?;
                logs.into_iter().map(|log| (log.place().1, Node::OfflineLog(log.id))).collect()
            }
            _ => return Err(TreeError::NotAFolder.into()),
        })
    }

    /// Two files for each day that is archived, or can still be asked for.
    fn traffic_files(&self) -> Result<Vec<(String, Node)>> {
        let mut days = self.state.traffic_days()?;
        days.extend(self.ledger.traffic.reach());
        days.sort_unstable();
        days.dedup();
        let files = |day: Date| {
            [
                (format!("{day}.csv"), Node::TrafficTable(day)),
                (format!("{day}.jsonl"), Node::TrafficLines(day)),
            ]
        };
        Ok(days.into_iter().flat_map(files).collect())
    }

    /// Asks the service for what the file tells, where what is known here is old.
    pub(super) async fn bring(&self, node: &Node) -> Result<()> {
        match node {
            Node::TrafficTable(day) | Node::TrafficLines(day) => {
                let (is_known, day) = (self.state.day_asked(*day)?.is_some(), *day);
                self.ask(
                    is_known,
                    |_, ledger| async move { Ok(ledger.traffic.look_at(day).await?) },
                )
                .await
            }
            Node::ShareTable | Node::ShareLines => {
                let is_known = self.ledger.shares.known().is_some();
                self.ask(
                    is_known,
                    |_, ledger| async move { Ok(ledger.shares.get().await.map(drop)?) },
                )
                .await
            }
            Node::Account => self.ask_for_account().await,
            _ => Ok(()),
        }
    }

    /// The content, which may take a call.
    pub(super) async fn content(&self, node: &Node) -> Result<Snapshot> {
        match node {
            Node::OfflineLog(id) => {
                let log = self.state.offline_log(id)?.ok_or(TreeError::NotFound)?;
                let path = self.ledger.offline.fetch(&log).await?;
                Ok(Snapshot::of(File::open(path)?)?)
            }
            node => Ok(self.content_here(node)?.ok_or(TreeError::NotFound)?),
        }
    }

    /// The content, from what is known here; `None` where only the service knows it.
    pub(super) fn content_here(&self, node: &Node) -> Result<Option<Snapshot>> {
        let text = |value: Value| Snapshot::Memory(format!("{value:#}\n").into_bytes());
        Ok(Some(match node {
            Node::TrafficTable(day) => {
                self.spool(|out| traffic_table(&self.state, *day, out).map(drop))?
            }
            Node::TrafficLines(day) => {
                self.spool(|out| traffic_lines(&self.state, *day, out).map(drop))?
            }
            Node::ShareTable | Node::ShareLines => {
                let Some(shares) = self.ledger.shares.known() else { return Ok(None) };
                self.spool(|out| match node {
                    Node::ShareTable => share_table(&shares, out).map(drop),
                    _ => share_lines(&shares, out).map(drop),
                })?
            }
            Node::Account => text(self.account_figures()),
            Node::Links => {
                self.keep_listings();
                self.spool(|out| self.links(out))?
            }
            Node::Moved => Snapshot::Memory(self.moved()?),
            Node::Pending => text(self.pending()?),
            Node::Status => text(self.status()?),
            Node::Metrics => Snapshot::Memory(self.metrics()?.into_bytes()),
            _ => return Ok(None),
        }))
    }

    fn spool(
        &self, write: impl FnOnce(&mut tempfile::SpooledTempFile) -> io::Result<()>,
    ) -> Result<Snapshot> {
        Ok(Snapshot::written(&self.options.staging, write)?)
    }

    /// Space, traffic left and membership, as they were told last.
    fn account_figures(&self) -> Value {
        let known = self.account.known();
        json!({
            "space_used": known.map(|account| account.space_used),
            "space_total": known.map(|account| account.space_total),
            "traffic_left": known.map(|account| account.traffic_left),
            "member": known.and_then(|account| account.is_member),
            "developer_right_ends": known.and_then(|account| account.right.end()),
        })
    }

    /// Path, link, md5, size and traffic of every file that is known below the mount's root.
    fn links(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(out, &["path", "link", "md5", "size", "traffic"])?;
        let root = self.tree.folder_id(Ino::ROOT).map_err(io::Error::other)?;
        let mut folders = vec![(root, String::new())];
        while let Some((folder, path)) = folders.pop() {
            self.links_in(&folder, &path, &mut table, &mut folders)?;
        }
        table.end().map(drop)
    }

    fn links_in(
        &self, folder: &FileId, path: &str, table: &mut Table<impl Write>,
        folders: &mut Vec<(FileId, String)>,
    ) -> io::Result<()> {
        let deleted = self.state.deleted_in(folder).map_err(io::Error::other)?;
        let mut after = String::new();
        loop {
            let batch =
                self.state.entries_after(folder, &after, BATCH).map_err(io::Error::other)?;
            let Some((_, last)) = batch.last() else { return Ok(()) };
            after = last.id.as_str().to_owned();
            for (shown, entry) in batch {
                let path = format!("{path}{shown}");
                let Some(picture) = entry.picture() else {
                    folders.push((entry.id, format!("{path}/")));
                    continue;
                };
                if !deleted.contains(&entry.id) {
                    table.row(&[
                        Cell::Text(&path),
                        Cell::Text(picture.link.as_ref().map_or("", |link| link.publish())),
                        Cell::Plain(&picture.md5.map(|md5| md5.to_string()).unwrap_or_default()),
                        Cell::Number(picture.size),
                        Cell::Number(picture.traffic),
                    ])?;
                }
            }
        }
    }

    /// Uploads and deletes that are not finished.
    pub(super) fn pending(&self) -> Result<Value> {
        let (mut under_way, mut there) = (HashMap::new(), HashSet::new());
        for local in self.locals.all() {
            let state = local.state();
            let (open, uploading) = (state.opens > 0, state.uploading);
            // A writer may go on, and the service has all that was written so far.
            let is_there = state.dirty().is_none() && !state.is_aside;
            let kept = state.kept.as_ref().filter(|kept| is_there && kept.phase == Phase::Open);
            there.extend(kept.map(|kept| kept.row));
            let of_row = |row| (row, (open, uploading, state.obstacle().cloned()));
            under_way.extend(state.rows().into_iter().map(of_row));
        }
        let mut all = pending::list(&self.state, &self.options.staging)?;
        all.retain(|pending| pending.row.is_none_or(|row| !there.contains(&row)));
        let tell = |pending: Pending| {
            let here = pending.row.and_then(|row| under_way.get(&row));
            let state = match (here, pending.stage) {
                (Some((_, true, _)), _) => "uploading",
                // Outside of the mounted folder: another mount will see to it.
                (None, Stage::Waiting) if self.inside(&pending.path).is_none() => "elsewhere",
                (_, stage) => stage.name(),
            };
            json!({
                "path": pending.path,
                "operation": operation(pending.stage),
                "state": state,
                "size": pending.size,
                "open": here.is_some_and(|(open, ..)| *open),
                "error": pending.error.as_deref().or(here.and_then(|(.., why)| why.as_deref())),
                "staged": pending.staged,
                "changed": pending.changed.to_string(),
            })
        };
        Ok(all.into_iter().map(tell).collect())
    }

    /// Which link took the place of which, as CSV.
    fn moved(&self) -> Result<Vec<u8>> {
        let mut table = Table::new(Vec::new(), &["old_link", "new_link", "path", "time"])?;
        // What was never told by the service was never published.
        let moved = self.state.moved()?.into_iter();
        for moved in moved.filter(|moved| moved.old_link.is_some()) {
            let time = jiff::Timestamp::from_second(moved.changed).unwrap_or_default().to_string();
            table.row(&[
                Cell::Text(moved.old_link.as_deref().unwrap_or_default()),
                Cell::Text(moved.new_link.as_deref().unwrap_or_default()),
                Cell::Text(&moved.path),
                Cell::Plain(&time),
            ])?;
        }
        Ok(table.end()?)
    }

    pub(super) fn status(&self) -> Result<Value> {
        let pending = self.pending()?;
        let all = pending.as_array().map_or(&[][..], Vec::as_slice);
        let count = |state: &str| {
            all.iter().filter(|file| state.is_empty() || file["state"] == state).count()
        };
        let is_staged = |file: &&Value| !file["staged"].is_null();
        let staged: u64 =
            all.iter().filter(is_staged).filter_map(|file| file["size"].as_u64()).sum();
        let since = jiff::Timestamp::try_from(self.born).map(|at| at.to_string()).ok();
        let account = self.account.known();
        let (right, is_refused) = self.account.right();
        let figures = self.bed.figures().into_iter();
        let calls: Value =
            figures.map(|it| (it.endpoint.to_owned(), Value::from(it.calls))).collect();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "mounted_at": since,
            "uptime_seconds": self.born.elapsed().unwrap_or_default().as_secs(),
            "inodes": self.tree.inodes(),
            "handles": self.handles.count(),
            "pending": count(""),
            "uploading": count("uploading"),
            "failed": count("failed"),
            "staged": all.iter().filter(is_staged).count(),
            "staged_bytes": staged,
            "cache_bytes": self.reader.cache().held(),
            "cache_capacity": self.reader.cache().capacity(),
            "space_used": account.map(|account| account.space_used),
            "space_total": account.map(|account| account.space_total),
            "traffic_left": account.map(|account| account.traffic_left),
            "developer_right_ends": right.end(),
            "refused": is_refused,
            "warnings": self.warnings(),
            "listing": self.tree.listings().into_iter().map(|(path, entries)| {
                json!({"path": path, "entries": entries})
            }).collect::<Vec<_>>(),
            "calls": calls,
        }))
    }

    /// What the user should know of the account, or do about it.
    fn warnings(&self) -> Vec<String> {
        let (right, is_refused) = self.account.right();
        let now = jiff::Timestamp::now().as_second();
        let refused = || "the service refuses this account's calls: see to its developer right (开发者权益) at 123pan";
        let of_right = right.warning(now).or_else(|| is_refused.then(|| refused().to_owned()));
        let silence = self.pulse.silence();
        let of_silence = (silence > LONG).then(|| {
            format!(
                "nothing came from the service for {} s: what needs it waits until it answers",
                silence.as_secs()
            )
        });
        let of_rate = |(endpoint, rate): (&str, f64)| {
            let means = match endpoint {
                "list" => "; a folder of 1,000 pictures takes ten calls of it",
                _ => "",
            };
            format!(
                "{endpoint} is asked {rate:.2} times a second at most, since the service answers 429 to \
                 more{means}"
            )
        };
        let of_rates = self.bed.slowed().into_iter().map(of_rate);
        of_right.into_iter().chain(of_silence).chain(of_rates).collect()
    }
}

/// What is done about something pending.
fn operation(stage: Stage) -> &'static str {
    match stage {
        Stage::Deleting => "delete",
        Stage::Renaming => "rename",
        Stage::Waiting | Stage::Failed | Stage::Open | Stage::Interrupted => "upload",
        Stage::Left => "none",
    }
}

/// The service's day of a second since the epoch.
fn day_of(second: i64) -> Date {
    SERVICE_ZONE.to_datetime(jiff::Timestamp::from_second(second).unwrap_or_default()).date()
}
