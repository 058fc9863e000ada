//! The gate: each request passes it, and is held back while this program is about to be replaced.
//!
//! What is held back was not begun, so that the kernel can be asked for it again. A request that only
//! reads at the service is let through and not waited for: it can be done again at any time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The gate of one session.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    held_back: usize,
    under_way: usize,
}

/// A request that passed and is under way until this is dropped, which is after its answer.
#[derive(Debug)]
pub(super) struct Pass(Arc<Gate>);

/// While this is there no request passes.
#[derive(Debug)]
pub struct Shut(Arc<Gate>);

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request pass, as soon as the gate is open.
    pub(super) fn pass(self: &Arc<Self>) -> Pass {
        let mut state = self.state();
        if state.is_shut {
            state.held_back += 1;
            self.changed.notify_all();
            while state.is_shut {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.held_back -= 1;
        }
        state.under_way += 1;
        drop(state);
        Pass(self.clone())
    }

    /// Holds requests back from now on.
    pub fn shut(self: &Arc<Self>) -> Shut {
        self.state().is_shut = true;
        Shut(self.clone())
    }

    fn wait_until(&self, deadline: Instant, is_so: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state();
        while !is_so(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Clone for Pass {
    /// Another part of the same request.
    fn clone(&self) -> Self {
        self.0.state().under_way += 1;
        Self(self.0.clone())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        if state.is_shut {
            self.0.changed.notify_all();
        }
    }
}

impl Shut {
    /// Waits until no request is under way that passed before. False if that took too long.
    pub fn is_idle_by(&self, deadline: Instant) -> bool {
        self.0.wait_until(deadline, |state| state.under_way == 0)
    }

    /// Waits until so many requests are held back.
    pub fn holds_by(&self, requests: usize, deadline: Instant) -> bool {
        self.0.wait_until(deadline, |state| state.held_back >= requests)
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.0.state().is_shut = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_shut_gate_holds_back_what_comes_and_waits_for_what_passed() {
        let gate = Arc::new(Gate::default());
        let first = gate.pass();
        let shut = gate.shut();
        let at_once = Instant::now;
        assert!(!shut.is_idle_by(at_once()));
        let part = first.clone();
        drop(first);
        assert!(!shut.is_idle_by(at_once()) && !shut.holds_by(1, at_once()));
        let later = gate.clone();
        let later = thread::spawn(move || drop(later.pass()));
        assert!(shut.holds_by(1, at_once() + Duration::from_secs(30)));
        drop(part);
        assert!(shut.is_idle_by(at_once()), "what is held back is not under way");
        drop(shut);
        later.join().expect("it passed");
        let shut = gate.shut();
        assert!(shut.is_idle_by(at_once()) && !shut.holds_by(1, at_once()));
    }
}
