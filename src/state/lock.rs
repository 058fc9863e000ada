//! The lock: one mount or command of an account at a time may change the bed by the journal. It dies
//! with its process.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// The name of the lock file in the account's folder. It holds who has the lock.
const FILE: &str = "state.lock";

/// The same for probes.
const PROBE_FILE: &str = "probe.lock";

/// The same for who waits for the lock: a mount that is ending looks at it, and gives way.
const QUEUE_FILE: &str = "queue.lock";

/// The lock on an account's journal, or on its probing, or the place in front of the journal, until it is
/// dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    holder: Holder,
}

/// Who has the lock.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Holder {
    /// As "the mount on /mnt".
    who: String,
    /// The number of its process.
    pub process: u32,
    /// Where it is mounted, or was; nothing of a command.
    mountpoint: Option<String>,
    /// A mount that only uploads what is left, and gives way to who waits.
    pub is_ending: bool,
}

impl Holder {
    /// Whether it is, or was, mounted there.
    pub fn is_mount_on(&self, mountpoint: &Path) -> bool {
        self.mountpoint() == Some(Path::new(&*mountpoint.to_string_lossy()))
    }

    /// Where it is mounted, or was; nothing of a command.
    pub fn mountpoint(&self) -> Option<&Path> {
        self.mountpoint.as_deref().map(Path::new)
    }

    /// What its name for a person does not say: how to go on.
    pub(super) fn way_out(&self) -> String {
        match &self.mountpoint {
            Some(mountpoint) => format!("to end it, run: bedfs umount {mountpoint}"),
            None => "wait until it has ended".to_owned(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, process, is_ending, .. } = self;
        match is_ending {
            // Its words are read while they are written.
            _ if who.is_empty() => write!(f, "another bedfs"),
            false => write!(f, "{who} (process {process})"),
            true => write!(f, "{who}, which is ending (process {process}),"),
        }
    }
}

impl Lock {
    /// Takes the lock for a command. [`Error::Held`] if another has it.
    pub fn take(dir: &Path, who: &str) -> Result<Self> {
        Self::take_file(&dir.join(FILE), who.to_owned(), None)
    }

    /// Takes the lock for a mount on this folder.
    pub fn take_for_mount(dir: &Path, mountpoint: &Path) -> Result<Self> {
        let mountpoint = mountpoint.to_string_lossy().into_owned();
        Self::take_file(&dir.join(FILE), format!("the mount on {mountpoint}"), Some(mountpoint))
    }

    /// Takes the lock on probing, which a mount may be beside.
    pub fn take_for_probe(dir: &Path) -> Result<Self> {
        Self::take_file(&dir.join(PROBE_FILE), "another probe".to_owned(), None)
    }

    /// Takes the place in front of the lock: a mount that is ending gives way then.
    pub fn queue(dir: &Path) -> Result<Self> {
        Self::take_file(&dir.join(QUEUE_FILE), "another that waits".to_owned(), None)
    }

    /// Whether somebody has the place in front of the lock.
    pub fn is_awaited(dir: &Path) -> bool {
        read_held(&dir.join(QUEUE_FILE)).is_some()
    }

    /// Who has the lock, if somebody has.
    pub fn holder(dir: &Path) -> Option<Holder> {
        read_held(&dir.join(FILE))
    }

    /// Tells who asks that the mount is ending.
    pub fn tell_ending(&mut self) {
        self.holder.is_ending = true;
        self.tell();
    }

    fn take_file(path: &Path, who: String, mountpoint: Option<String>) -> Result<Self> {
        let failed = |error| Error::io("locking", path, error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Held { holder: read_words(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let holder = Holder { who, process: std::process::id(), mountpoint, is_ending: false };
        let mut lock = Self { file, holder };
        lock.tell();
        Ok(lock)
    }

    /// Writes who it is. The lock holds without its words.
    fn tell(&mut self) {
        let mut tell = || -> io::Result<()> {
            let words = serde_json::to_vec(&self.holder)?;
            self.file.rewind()?;
            self.file.write_all(&words)?;
            self.file.set_len(words.len() as u64)
        };
        if let Err(error) = tell() {
            tracing::debug!("who has the lock is not told: {error}");
        }
    }
}

/// Who has the lock on a file, if somebody has.
fn read_held(path: &Path) -> Option<Holder> {
    let mut file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read_words(&mut file)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// What the one who has it wrote; nothing while it is being written.
fn read_words(file: &mut File) -> Holder {
    let mut words = Vec::new();
    let read = file.read_to_end(&mut words).ok();
    read.and_then(|_| serde_json::from_slice(&words).ok()).unwrap_or_default()
}
