//! The signals that a mount heeds: those that end it, and SIGUSR2, which has the log say more.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log;

/// The signals of a mount.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on. Inside a runtime.
    pub(super) fn new() -> io::Result<Self> {
        heed_log()?;
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hang_up })
    }

    /// The name of the next one that ends the mount.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
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
