//! The lock: one mount or command of an account at a time may change the bed by the journal. It dies
//! with its process.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Error, Result};

/// The name of the lock file in the account's folder. It holds who has the lock.
const FILE: &str = "state.lock";

/// The same for probes.
const PROBE_FILE: &str = "probe.lock";

/// The lock on an account's journal, or on its probing, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who has the lock, in the words with which it took it.
#[derive(Clone, Debug)]
pub struct Holder(String);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "another bedfs" } else { &self.0 })
    }
}

impl Lock {
    /// Takes the lock for `holder`, as "the mount on /mnt". [`Error::Held`] if another has it.
    pub fn take(dir: &Path, holder: &str) -> Result<Self> {
        Self::take_file(&dir.join(FILE), holder)
    }

    /// Takes the lock on probing, which a mount may be beside.
    pub fn take_for_probe(dir: &Path) -> Result<Self> {
        Self::take_file(&dir.join(PROBE_FILE), "another probe")
    }

    fn take_file(path: &Path, holder: &str) -> Result<Self> {
        let failed = |error| Error::io("locking", path, error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Only for the message: what cannot be read is left out.
                let _unread = file.read_to_string(&mut text);
                return Err(Error::Held { holder: Holder(text.trim().to_owned()) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let told = file.set_len(0).and_then(|()| {
            file.rewind()?;
            write!(file, "{holder} (process {})", std::process::id())
        });
        if let Err(error) = told {
            // The lock holds without its words.
            tracing::debug!("{}: {error}", path.display());
        }
        Ok(Self { _file: file })
    }
}
