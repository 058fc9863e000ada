//! The crash of one life: at the n-th moment at which it matters where the program is cut off.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::machine;

/// Counts the moments, and crashes at one of them, if it is to.
pub(crate) struct Crash {
    at: Option<u64>,
    seen: AtomicU64,
    is_dead: AtomicBool,
    death: Notify,
    moment: Mutex<String>,
}

impl fmt::Debug for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crash at {:?}", self.at)
    }
}

impl Crash {
    /// At the moment of this number, from 0; `None`: never.
    pub(crate) fn at(at: Option<u64>) -> Self {
        Self {
            at,
            seen: AtomicU64::new(0),
            is_dead: AtomicBool::new(false),
            death: Notify::new(),
            moment: Mutex::default(),
        }
    }

    /// One of the moments: something is on disk for good, or the service has done something.
    pub(crate) fn point(&self, what: &str) {
        if self.is_dead() {
            return;
        }
        if self.at == Some(self.seen.fetch_add(1, Ordering::Relaxed)) {
            self.die(what);
        }
    }

    /// Crashes now, if it has not.
    pub(crate) fn die(&self, what: &str) {
        if !self.is_dead.swap(true, Ordering::Relaxed) {
            what.clone_into(&mut self.moment.lock().expect("nobody panics with it"));
            machine::seize();
            self.death.notify_waiters();
        }
    }

    /// How many moments there were.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Where it crashed.
    pub(crate) fn moment(&self) -> String {
        self.moment.lock().expect("nobody panics with it").clone()
    }

    /// Goes on at once in what lives, and never in what is dead.
    pub(crate) async fn survive(&self) {
        if self.is_dead() {
            std::future::pending().await
        }
    }

    /// Ends with the crash.
    pub(crate) async fn comes(&self) {
        let death = self.death.notified();
        if !self.is_dead() {
            death.await;
        }
    }
}
