//! The state file: what an account's mounts and commands must not forget, in one SQLite file.
//!
//! It holds the journal (files that are here and not yet at the service, renames under way, deletes
//! not sent, scratch folders), what the user set on files, which link took the place of which, what
//! was learned of the service, what folders held when they were last listed, and the archive of the
//! traffic log. Every method is one transaction that is on disk when it returns.
//! This room is the only home of SQL.

pub mod answer;

mod attributes;
mod changes;
mod deletes;
mod error;
mod known;
mod listings;
mod local;
mod lock;
mod moved;
mod numbers;
mod offline;
mod phase;
mod posted;
mod removal;
mod row;
mod schema;
mod scratch;
mod sent;
mod traffic;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use attributes::Owner;
pub use changes::{ChangeId, FolderChange, Rename};
pub use deletes::Delete;
pub use error::Error;
pub use known::Knowledge;
pub use listings::{EntryChange, Shown};
pub use local::{Acknowledged, LocalRow, Published, Replacing, RowId, Whereabouts};
pub use lock::{Holder, Lock};
pub use moved::Moved;
pub use offline::KnownLog;
pub use phase::Phase;
pub use posted::Posted;
pub use scratch::{Retired, ScratchRow};
pub use sent::Sent;
pub use traffic::{DayAsked, DaySum, FileSum};
pub use writing::Writing;

use crate::aside::in_place;
use crate::disk::Room;

/// In seconds: no listing of the service shows what was longer ago (S5 of the service model).
const OLDEST_LISTING: i64 = 3600;

/// The name of the state file in the account's folder.
pub const FILE: &str = "state.db";

/// What a method gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The open state file. Its methods take a moment of the local disk and never the network.
///
/// What changes it may have to wait until another process has changed it, for seconds; what reads it
/// never does. So a thread of the session may read, and leaves changes to tasks; and whoever has a lock
/// that a thread of the session may want takes the right to write ([`State::writing`]) before the lock.
pub struct State {
    path: PathBuf,
    /// On its disk.
    room: Arc<Room>,
    /// Before any other lock, and not held across an await.
    writer: Mutex<Connection>,
    /// Innermost: nothing is locked under it, and it is not held across an await.
    reader: Mutex<Connection>,
}

impl State {
    /// Opens the state file in the folder of `room`, made if it is not there; one of another form is refused.
    ///
    /// A file that is damaged is set aside under another name, and a new one begun: the second value
    /// tells where it is.
    pub fn open(room: Arc<Room>) -> Result<(Self, Option<PathBuf>)> {
        match Self::open_in(room.clone()) {
            Ok(state) => Ok((state, None)),
            Err(error) if error.is_damaged() => {
                let aside = schema::set_aside(&room.dir().join(FILE))?;
                Ok((Self::open_in(room)?, Some(aside)))
            }
            Err(error) => Err(error),
        }
    }

    /// The same, but for a file that is damaged: that is an error, and stays as it is. For those who
    /// do not hold the lock, since a mount may have the file open.
    pub fn open_sound(dir: &Path) -> Result<Self> {
        Self::open_in(Arc::new(Room::of(dir)))
    }

    fn open_in(room: Arc<Room>) -> Result<Self> {
        let path = room.dir().join(FILE);
        let is_short = |error: &Error| error.is_short_of_room(&room);
        let open = || Ok((schema::open(&path, room.reserved())?, schema::open_to_read(&path)?));
        let (writer, reader) = room.insist(is_short, open)?;
        Ok(Self { path, room, writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    /// The room on the disk of the state file.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Waits until nobody else changes the state file, in this process or another.
    pub fn writing(&self) -> Result<Writing<'_>> {
        in_place(|| {
            let writing = Writing::new(self.writer(), &self.path, &self.room);
            writing.begin_transaction()?;
            Ok(writing)
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut off was rolled back when it was dropped.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` as one transaction, also where the disk is full. `what` says what is being done, for
    /// messages.
    fn write<T>(
        &self, what: &'static str, work: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.writing()?.write(what, work)
    }

    /// The same for what can be learned anew, and is not worth the last room on the disk.
    fn keep<T>(
        &self, what: &'static str, work: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.writing()?.keep(what, work)
    }

    /// Reads, without changing anything, what one transaction left.
    fn read<T>(
        &self, what: &'static str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let transaction = reader.unchecked_transaction()?;
            work(&transaction)
        };
        read().map_err(|source| Error::new(what, &self.path, source))
    }

    /// A number that changes when another process changed the state file.
    pub fn version(&self) -> Result<i64> {
        // What this process writes is no change to the connection that wrote it.
        let version =
            in_place(|| self.writer().query_row("PRAGMA data_version", [], |row| row.get(0)));
        version.map_err(|source| Error::new("looking for changes", &self.path, source))
    }
}
