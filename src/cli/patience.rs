//! Patience: a line on the terminal that tells what a command waits for, once that takes longer than a
//! second. What is no terminal gets nothing.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::ProgressBar;

/// So long nobody wonders.
const SHORT: Duration = Duration::from_secs(1);

/// How often the line moves.
const TICK: Duration = Duration::from_millis(200);

/// A wait, until it is dropped. Nothing else may be printed meanwhile.
pub(super) struct Patience(Option<(Sender<()>, JoinHandle<()>)>);

impl Patience {
    /// Begins to wait for `what`.
    pub(super) fn with(what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let (over, end) = mpsc::channel();
        Self(Some((over, thread::spawn(move || show(what, &end)))))
    }
}

/// Shows the line from the second second on, until the wait's end.
fn show(what: &'static str, end: &Receiver<()>) {
    if end.recv_timeout(SHORT) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let line = ProgressBar::new_spinner().with_message(what);
    line.enable_steady_tick(TICK);
    // Nothing is ever sent: it ends when the sender is dropped.
    let _ = end.recv();
    line.finish_and_clear();
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.0.take() {
            drop(over);
            // It only draws: what became of that changes nothing.
            let _ = thread.join();
        }
    }
}
