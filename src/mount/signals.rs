//! The signals that a mount heeds: those that end it, SIGUSR1, which has another program take its place,
//! and SIGUSR2, which has the log say more.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log;

/// By number.
const OURS: [libc::c_int; 5] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// The signals of a mount.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    upgrade: Signal,
}

/// What a signal says.
pub(super) enum Word {
    /// The mount is to end; the signal's name.
    End(&'static str),
    /// The program that stands where this one was started from is to take its place.
    Upgrade,
}

impl Signals {
    /// Listens from now on. Inside a runtime.
    pub(super) fn new() -> io::Result<Self> {
        heed_log()?;
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        let upgrade = signal(SignalKind::user_defined1())?;
        Ok(Self { terminate, interrupt, hang_up, upgrade })
    }

    /// What the next one says.
    pub(super) async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::End("SIGTERM"),
            _ = self.interrupt.recv() => Word::End("SIGINT"),
            _ = self.hang_up.recv() => Word::End("SIGHUP"),
            _ = self.upgrade.recv() => Word::Upgrade,
        }
    }
}

/// Blocks the signals of a mount for the calling thread, and the program that is run in its place, or lets
/// them come. What comes while they are blocked is heeded then.
pub(super) fn block(is_wanted: bool) -> io::Result<()> {
    let how = if is_wanted { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: an all-zero set is a value of that type, and the calls write and read nothing else.
    let changed = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for number in OURS {
            libc::sigaddset(&raw mut set, number);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut())
    };
    if changed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(changed)) }
}

/// Has each SIGUSR2 from now on change what is logged.
fn heed_log() -> io::Result<()> {
    let mut more = signal(SignalKind::user_defined2())?;
    tokio::spawn(async move {
        while more.recv().await.is_some() {
            log::say_more();
        }
    });
    Ok(())
}
