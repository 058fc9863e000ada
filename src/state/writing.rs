//! The right to write, and what is written by who has a lock: the right is taken before the lock.

use std::path::Path;
use std::sync::MutexGuard;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::local::{LocalRow, Published, RowId, set_done};
use super::row::{ATTRIBUTES, attribute_values, entry_text, now, put_attributes};
use super::{Error, Result, deletes, moved, scratch};
use crate::disk::Room;

/// The right to write, for one transaction: nobody else writes until it is dropped.
pub struct Writing<'a> {
    db: MutexGuard<'a, Connection>,
    path: &'a Path,
    room: &'a Room,
}

impl<'a> Writing<'a> {
    /// On this connection to the file, before its transaction has begun.
    pub(super) fn new(db: MutexGuard<'a, Connection>, path: &'a Path, room: &'a Room) -> Self {
        Self { db, path, room }
    }

    /// Begins the transaction, unless it is begun. Waits for other processes.
    pub(super) fn begin_transaction(&self) -> Result<()> {
        if !self.db.is_autocommit() {
            return Ok(());
        }
        // What reads before it writes could find that another process has written meanwhile.
        self.insist(|| {
            let begun = self.db.execute_batch("BEGIN IMMEDIATE");
            begun.map_err(|source| Error::new("waiting to write", self.path, source))
        })
    }

    /// Does what a full disk must not stop.
    fn insist<T>(&self, work: impl FnMut() -> Result<T>) -> Result<T> {
        self.room.insist(|error: &Error| error.is_short_of_room(self.room), work)
    }

    /// Runs `work` and commits, also where the disk is full. `what` says what is being done, for
    /// messages.
    pub(super) fn write<T>(
        self, what: &'static str, work: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let written = self.insist(|| {
            self.begin_transaction()?;
            self.commit(what, &work)
        });
        self.room.restore();
        written
    }

    /// The same for what can be learned anew, and is not worth the last room on the disk.
    pub(super) fn keep<T>(
        self, what: &'static str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.room.hold().map_err(|error| Error::io(what, self.path, error))?;
        self.commit(what, work)
    }

    fn commit<T>(
        &self, what: &'static str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let value = work(&self.db).and_then(|value| {
            self.db.execute_batch("COMMIT")?;
            Ok(value)
        });
        value.map_err(|source| {
            self.roll_back();
            Error::new(what, self.path, source)
        })
    }

    fn roll_back(&self) {
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!("rolling back in the state file {}: {error}", self.path.display());
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.roll_back();
    }
}

impl Writing<'_> {
    /// A file or folder begins to be here. Its `id` is given by this call, and `changed` set.
    pub fn begin(self, row: &LocalRow) -> Result<RowId> {
        self.write("recording a new file", |db| {
            let sql = format!(
                "INSERT INTO local (folder, folder_path, name, is_folder, is_local, staged, phase, base,
                     is_aside, origin, changed, {ATTRIBUTES})
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            );
            let mut values: Vec<Value> = vec![
                row.folder.as_str().to_owned().into(),
                row.folder_path.clone().into(),
                row.name.clone().into(),
                row.is_folder.into(),
                row.is_local.into(),
                row.staged.clone().into(),
                row.phase.text().to_owned().into(),
                row.base.as_ref().map(entry_text).into(),
                row.is_aside.into(),
                row.origin.clone().into(),
                now().into(),
            ];
            values.extend(attribute_values(&row.attributes).map(Value::from));
            db.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            Ok(RowId(db.last_insert_rowid()))
        })
    }

    /// The service has the bytes that a row keeps.
    pub fn published(self, row: RowId, published: &Published<'_>) -> Result<()> {
        self.write("recording an upload", |db| {
            let Published { path, old, new, attributes, is_done, ends, deletes } = published;
            if let Some(old) = old {
                moved::record(db, path, old, new)?;
                // It came by a scratch folder.
                scratch::back(db, &new.id, &new.parent)?;
            }
            moved::succeed(db, path, new)?;
            deletes::end(db, &new.id)?;
            put_attributes(db, &new.id, attributes)?;
            let sql =
                "UPDATE local SET new = NULL, old = NULL, error = NULL, is_aside = 0, sent = '', base = ?
                       WHERE id = ?";
            db.prepare_cached(sql)?.execute(params![entry_text(new), row.0])?;
            deletes.iter().try_for_each(|delete| deletes::insert(db, delete))?;
            ends.iter().try_for_each(|row| set_done(db, *row))?;
            if *is_done { set_done(db, row) } else { Ok(()) }
        })
    }

    /// The service will not take the file.
    pub fn failed(self, row: RowId, error: &str) -> Result<()> {
        self.write("recording a failure", |db| {
            let sql = "UPDATE local SET phase = 'failed', error = ? WHERE id = ?";
            db.execute(sql, params![error, row.0]).map(drop)
        })
    }

    /// A file whose bytes the service has is written to again. All of it is staged.
    pub fn reopen(self, row: RowId) -> Result<()> {
        self.write("recording a change of a file", |db| {
            let sql = "UPDATE local SET phase = 'open', base = NULL, is_aside = 0, changed = ?
                       WHERE id = ?";
            db.prepare_cached(sql)?.execute(params![now(), row.0]).map(drop)
        })
    }
}
