//! Patience: a line that tells what a command waits for, once that takes a while. On a terminal it moves,
//! and goes away with the wait; elsewhere it is printed once.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::ProgressBar;

/// So long nobody wonders who sits at a terminal.
const SHORT: Duration = Duration::from_millis(300);

/// So long nobody wonders who reads it elsewhere.
const LONGER: Duration = Duration::from_secs(3);

/// How often the line moves.
const TICK: Duration = Duration::from_millis(200);

/// A wait, until it is dropped. Nothing else may be printed meanwhile.
pub(super) struct Patience(Option<(Sender<()>, JoinHandle<()>)>);

impl Patience {
    /// Begins to wait for `what`.
    pub(super) fn with(what: &'static str) -> Self {
        let (over, end) = mpsc::channel();
        let wait = match io::stderr().is_terminal() {
            true => show,
            false => tell,
        };
        Self(Some((over, thread::spawn(move || wait(what, &end)))))
    }

    /// The same where no bar of the command's own is on a terminal.
    pub(super) fn without_bar(what: &'static str) -> Self {
        if io::stderr().is_terminal() { Self(None) } else { Self::with(what) }
    }
}

/// Whether the wait lasts longer than this. Nothing is ever sent: it ends when the sender is dropped.
fn lasts(end: &Receiver<()>, time: Duration) -> bool {
    end.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

/// Shows the line until the wait's end.
fn show(what: &'static str, end: &Receiver<()>) {
    if lasts(end, SHORT) {
        let line = ProgressBar::new_spinner().with_message(what);
        line.enable_steady_tick(TICK);
        let _ = end.recv();
        line.finish_and_clear();
    }
}

fn tell(what: &'static str, end: &Receiver<()>) {
    if lasts(end, LONGER) {
        eprintln!("bedfs: {what} …");
    }
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
