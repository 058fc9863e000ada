//! The supervisor: systemd, which is told when the mount answers, that it still does, and when it
//! ends (`sd_notify(3)`). Where nobody supervises, nobody is told.

use std::io;
use std::path::{Path, PathBuf};

use sd_notify::NotifyState;

use super::apart;
use crate::mountpoint;

/// An attribute that no mount has: asking for it is answered by the mount, without a call.
const QUESTION: &str = "user.bedfs.supervisor";

/// Who may be listening.
#[derive(Clone, Copy)]
pub(super) struct Supervisor {
    is_there: bool,
}

impl Supervisor {
    /// One that is told, or one that is not: a mount in the background is not the process that was
    /// started.
    pub(super) fn new(is_there: bool) -> Self {
        Self { is_there }
    }

    /// The mount answers.
    pub(super) fn hear_ready(&self, mountpoint: &Path) {
        let status = format!("Mounted on {}", mountpoint.display());
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The mount ends.
    pub(super) fn hear_end(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Waiting for uploads")]);
    }

    /// Tells, twice in the time of its patience, that the mount still answers. It is asked by the
    /// kernel's way: a mount that hangs is one whose watchdog barks.
    pub(super) fn hear_life(&self, mountpoint: PathBuf) -> io::Result<()> {
        let Some(patience) = sd_notify::watchdog_enabled().filter(|_| self.is_there) else {
            return Ok(());
        };
        let ask = move || -> io::Result<()> {
            loop {
                std::thread::sleep(patience / 2);
                if is_answering(&mountpoint) {
                    // Who does not hear it barks.
                    let _heard = sd_notify::notify(&[NotifyState::Watchdog]);
                }
            }
        };
        apart::spawn("watchdog", ask).map(drop)
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        if self.is_there
            && let Err(error) = sd_notify::notify(state)
        {
            tracing::warn!("telling systemd: {error}");
        }
    }
}

/// Any answer will do, but for that of a connection that is gone.
fn is_answering(mountpoint: &Path) -> bool {
    let answer: io::Result<_> = xattr::get(mountpoint, QUESTION);
    !answer.is_err_and(|error| mountpoint::is_lost(&error))
}
