//! The schema: the tables of the state file.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Error, Result};

/// How long another process's transaction is waited for. Nobody who only looks waits so long.
pub(super) const BUSY: Duration = Duration::from_secs(30);

/// How often it is looked whether it is over, where SQLite does not wait.
const POLL: Duration = Duration::from_millis(20);

/// What tells a state file from other files of SQLite, and from those of before the first form: "bedf".
const APPLICATION: i64 = 0x6265_6466;

/// The number of the form below.
const FORM: i64 = 1;

/// The form of the file.
const TABLES: &str = "
    -- Files and folders that are here and not, or not as they are, at the service.
    CREATE TABLE local (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        folder TEXT NOT NULL,         -- file ID of the folder
        folder_path TEXT NOT NULL,    -- from the bed's root, for people and for finding it again
        name TEXT NOT NULL,
        is_folder INTEGER NOT NULL,
        is_local INTEGER NOT NULL,    -- its name or place is for this machine only
        staged TEXT,                  -- name in the folder of staged files
        phase TEXT NOT NULL,
        error TEXT,
        base TEXT,                    -- the object that shows through, as JSON
        is_aside INTEGER NOT NULL,    -- the base lies in a scratch folder for this file alone
        origin TEXT,                  -- the path it was taken aside from
        new TEXT,                     -- a replacement under way: the new object and
        old TEXT,                     -- the one whose place it takes, as JSON
        changed INTEGER NOT NULL,     -- seconds since the epoch
        sent TEXT NOT NULL DEFAULT '', -- what uploads to the name may still come about: MD5:SIZE ...
        mode INTEGER, uid INTEGER, gid INTEGER, atime INTEGER, mtime INTEGER, ctime INTEGER,
        xattrs BLOB,                  -- as in attributes
        ino INTEGER
    );
    CREATE INDEX local_removed ON local (phase) WHERE phase = 'removed';
    -- Objects that the user deleted and the service may still have.
    CREATE TABLE deletes (
        object TEXT PRIMARY KEY,
        folder TEXT NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,           -- from the bed's root, for people
        changed INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- Renames of files that take more than one step.
    CREATE TABLE renames (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,         -- the object, as JSON
        folder TEXT NOT NULL,         -- where to
        name TEXT NOT NULL,
        over TEXT,                    -- the object that had the name, as JSON
        path TEXT NOT NULL,           -- for messages and for moved
        ends TEXT NOT NULL,           -- rows of local that end with it: id,...
        made TEXT,                    -- the object under the new name: from then on it only goes forward
        is_undone INTEGER NOT NULL    -- what had the name is only to come back
    );
    -- Folders that are poured into new ones.
    CREATE TABLE pours (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        folder TEXT NOT NULL,
        name TEXT NOT NULL
    );
    -- Scratch folders of this machine; without an ID while they are being made.
    CREATE TABLE scratch (name TEXT PRIMARY KEY, folder TEXT) WITHOUT ROWID;
    -- Objects that were moved into a scratch folder, and where from: not to be deleted there.
    CREATE TABLE retired (
        object TEXT PRIMARY KEY,
        folder TEXT NOT NULL,
        -- Since when it is where it belongs again, though listings may still show it in a scratch folder;
        -- in seconds since the epoch.
        back INTEGER
    ) WITHOUT ROWID;
    -- What the user set, by file ID. Times in nanoseconds since the epoch.
    CREATE TABLE attributes (
        object TEXT PRIMARY KEY,
        mode INTEGER, uid INTEGER, gid INTEGER, atime INTEGER, mtime INTEGER, ctime INTEGER,
        xattrs BLOB,                  -- extended attributes, as `Xattrs` writes them
        ino INTEGER                   -- number of the inode, where it may be another than the ID's
    ) WITHOUT ROWID;
    CREATE INDEX attributes_numbers ON attributes (ino) WHERE ino IS NOT NULL;
    -- Links that took the place of others.
    CREATE TABLE moved (
        id INTEGER PRIMARY KEY,
        changed INTEGER NOT NULL,
        path TEXT NOT NULL,
        old_object TEXT NOT NULL,
        old_link TEXT,
        new_object TEXT,              -- nothing until another takes the path
        new_link TEXT
    );
    -- What was learned of the service where its documents are silent.
    CREATE TABLE known (question TEXT PRIMARY KEY, answer TEXT NOT NULL, changed INTEGER NOT NULL)
        WITHOUT ROWID;
    -- What probes of this machine made in the bed's root; without an ID while it is being made.
    CREATE TABLE probes (name TEXT PRIMARY KEY, folder TEXT) WITHOUT ROWID;
    -- Folders that were listed.
    CREATE TABLE folders (
        id INTEGER PRIMARY KEY,
        folder TEXT NOT NULL UNIQUE,
        listed INTEGER                -- seconds since the epoch; without it nothing is believed
    );
    -- What they held.
    CREATE TABLE entries (
        folder INTEGER NOT NULL,      -- number in folders
        object TEXT NOT NULL,
        shown TEXT NOT NULL,          -- name in the mount
        name TEXT,                    -- at the service, where that is another
        parent TEXT NOT NULL,         -- as the row told it
        size INTEGER,                 -- nothing for a folder, as all up to traffic
        md5 BLOB,
        status INTEGER,
        traffic INTEGER,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        link TEXT,
        own TEXT,                     -- as in the row, where it is not the link
        PRIMARY KEY (folder, object)
    ) WITHOUT ROWID;
    CREATE INDEX entries_folders ON entries (object) WHERE size IS NULL;
    -- Rows of the direct-link traffic log, which the service forgets after three days. An ID may be of
    -- one row for ever, or of a file in the day that was asked for: another day may have the same.
    CREATE TABLE traffic (
        day TEXT NOT NULL,            -- YYYY-MM-DD in UTC+8
        unique_id TEXT NOT NULL,
        file_id TEXT,                 -- where the link names it
        file_name TEXT NOT NULL,
        file_size INTEGER NOT NULL,
        file_path TEXT NOT NULL,
        url TEXT NOT NULL,
        source INTEGER NOT NULL,      -- 1 cloud drive, 2 image bed
        traffic INTEGER NOT NULL,     -- bytes
        PRIMARY KEY (day, unique_id)
    ) WITHOUT ROWID;
    -- What single hours used, where they were asked for.
    CREATE TABLE traffic_hours (
        day TEXT NOT NULL,
        hour INTEGER NOT NULL,
        bed INTEGER NOT NULL,         -- bytes of links of the image bed
        drive INTEGER NOT NULL,       -- bytes of links of the cloud drive
        rows INTEGER NOT NULL,
        PRIMARY KEY (day, hour)
    ) WITHOUT ROWID;
    CREATE INDEX traffic_files ON traffic (file_id, day) WHERE file_id IS NOT NULL;
    CREATE INDEX traffic_paths ON traffic (file_path, day) WHERE file_id IS NULL;
    -- Days of that log that were asked for.
    CREATE TABLE traffic_days (
        day TEXT PRIMARY KEY,
        asked INTEGER NOT NULL,       -- seconds since the epoch
        is_whole INTEGER NOT NULL,    -- the day was over, and nothing of it forgotten
        hours_asked INTEGER           -- the same by the hour, in seconds since the epoch
    ) WITHOUT ROWID;
    -- Logs of hours that the service had, or has.
    CREATE TABLE offline_logs (
        id TEXT PRIMARY KEY,
        hour INTEGER NOT NULL,        -- its beginning, in seconds since the epoch
        name TEXT NOT NULL,
        size INTEGER NOT NULL         -- bytes, packed
    ) WITHOUT ROWID;
    CREATE INDEX offline_hours ON offline_logs (hour);
    -- What commands made without a mount; kept for an hour.
    CREATE TABLE posted (
        object TEXT PRIMARY KEY,
        folder TEXT NOT NULL,
        name TEXT NOT NULL,
        md5 BLOB,                     -- nothing for a folder, as the size
        size INTEGER,
        changed INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// Of the room that is reserved on the disk, what the log of changes may take: 1/4.
const LOG_SHARE: u64 = 4;

/// Bytes of a page of the file.
const PAGE: u64 = 4096;

/// Opens the file and checks it. `reserved` is what is reserved for it on the disk, in bytes.
pub(super) fn open(path: &Path, reserved: u64) -> Result<Connection> {
    let failed = |source| Error::new("opening", path, source);
    // SQLite gives what it puts beside the file the mode of the file.
    let private = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    drop(private.map_err(|error| Error::io("opening the state file", path, error))?);
    let mut db = Connection::open(path).map_err(failed)?;
    db.busy_timeout(BUSY).map_err(failed)?;
    // Readers see the last commit while a writer works; a commit is on disk when it returns.
    use_write_ahead_log(&db).map_err(failed)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    bound_log(&db, reserved / LOG_SHARE).map_err(failed)?;
    check(&db, path)?;
    give_form(&mut db, path)?;
    db.execute_batch(super::traffic::INCOMING).map_err(failed)?;
    Ok(db)
}

/// Opens the file, which was opened before, for reading. In this mode of the file a reader waits for
/// no writer.
pub(super) fn open_to_read(path: &Path) -> Result<Connection> {
    let open = || {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    };
    open().map_err(|source| Error::new("opening", path, source))
}

/// Changing the mode of a new file wants it alone, and SQLite does not wait for that by itself.
fn use_write_ahead_log(db: &Connection) -> rusqlite::Result<()> {
    let begin = Instant::now();
    loop {
        match db.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && begin.elapsed() < BUSY =>
            {
                std::thread::sleep(POLL);
            }
            done => return done,
        }
    }
}

/// Has changes brought from the log into the file before it has more bytes than these, as far as
/// transactions are smaller: what is recorded on a full disk finds its room in the log.
fn bound_log(db: &Connection, bytes: u64) -> rusqlite::Result<()> {
    db.pragma_update(None, "wal_autocheckpoint", (bytes / PAGE).max(1) as i64)?;
    db.pragma_update(None, "journal_size_limit", bytes as i64)
}

fn check(db: &Connection, path: &Path) -> Result<()> {
    let failed = |source| Error::new("checking", path, source);
    let verdict: String =
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict == "ok" {
        return Ok(());
    }
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(failed(rusqlite::Error::SqliteFailure(corrupt, Some(verdict))))
}

/// Has a new file get its form; one of another form is refused.
fn give_form(db: &mut Connection, path: &Path) -> Result<()> {
    let failed = |source| Error::new("giving a form to", path, source);
    // The usual case waits for nobody who writes.
    if form(db).map_err(failed)? == (APPLICATION, FORM) {
        return Ok(());
    }
    let transaction = db
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(|source| Error::new("opening", path, source))?;
    match form(&transaction).map_err(failed)? {
        (APPLICATION, FORM) => return Ok(()),
        (0, 0) => {}
        (APPLICATION, found) => {
            return Err(Error::Newer { path: path.to_owned(), found, known: FORM });
        }
        _ => return Err(Error::Older { path: path.to_owned() }),
    }
    transaction.execute_batch(TABLES).map_err(failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
    transaction.pragma_update(None, "user_version", FORM).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// What the file says that it is, and its form; nothing of either if it is new.
fn form(db: &Connection) -> rusqlite::Result<(i64, i64)> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get(0));
    Ok((number("application_id")?, number("user_version")?))
}

/// Gives a damaged file, with what belongs to it, another name, and tells which.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf> {
    let time = jiff::Zoned::now().strftime("%Y%m%dT%H%M%S%.f");
    let aside = path.with_file_name(format!("{}.damaged-{time}", super::FILE));
    for end in ["", "-wal", "-shm"] {
        let with_end = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        match std::fs::rename(with_end(path), with_end(&aside)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => {
                renamed.map_err(|error| Error::io("setting aside", path, error))?;
            }
        }
    }
    Ok(aside)
}
