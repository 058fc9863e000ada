//! The developer right, as the service lets it be seen: it refuses the calls of the image bed though it
//! takes the token at `user/info`.
//!
//! No new token is of use then, and each would throw out that of another machine. The calls are tried
//! with the token that is there, one at growing intervals; all between are refused here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::error::{Error, Reply};
use crate::types::{DeveloperRight, Secret};

/// The first interval between two tries; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest: within a minute after the right is back all works again.
const LONGEST: Duration = Duration::from_secs(30);

/// What the service says of a token when it is asked for the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It takes the token, and tells the right so.
    Taken(DeveloperRight),
    /// It refuses the token.
    Refused,
    /// It does not answer that.
    Unknown,
}

/// How a call goes ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Nothing is known against it.
    Free,
    /// The right has lapsed: this is the try that finds out whether it still has.
    Trial,
}

/// What is known of the right of one account.
pub(super) struct Right {
    /// A turnstile of one: who passes it may ask `user/info`.
    pub(super) asking: Semaphore,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    right: DeveloperRight,
    lapse: Option<Lapse>,
    /// The last look, at which token, and when it was begun.
    look: Option<(Secret, Instant, Look)>,
}

struct Lapse {
    reply: Reply,
    /// When a call may try it again, and how long the one after that waits.
    next: Instant,
    pause: Duration,
}

impl Default for Right {
    fn default() -> Self {
        Self { asking: Semaphore::new(1), known: Mutex::default() }
    }
}

impl Right {
    /// Whether a call may go ahead now; while the right has lapsed, one in each interval.
    pub(super) fn admit(&self, what: &str, now: Instant) -> Result<Pass, Error> {
        let mut known = self.known();
        let right = known.right;
        let Some(lapse) = &mut known.lapse else { return Ok(Pass::Free) };
        if now < lapse.next {
            return Err(Error::no_right(what, &lapse.reply, right));
        }
        lapse.pause = (lapse.pause * 2).min(LONGEST);
        lapse.next = now + lapse.pause;
        Ok(Pass::Trial)
    }

    /// How long all calls are refused here, if they are.
    pub(super) fn refused_for(&self) -> Option<Duration> {
        let known = self.known();
        known.lapse.as_ref().map(|lapse| lapse.next.saturating_duration_since(Instant::now()))
    }

    /// What is known of it, and whether the service refuses what wants it.
    pub(super) fn state(&self) -> (DeveloperRight, bool) {
        let known = self.known();
        (known.right, known.lapse.is_some())
    }

    /// A call that wants the right was refused for the lack of it.
    pub(super) fn lapsed(&self, what: &str, reply: &Reply, now: Instant) -> Error {
        let mut known = self.known();
        let error = Error::no_right(what, reply, known.right);
        if known.lapse.is_none() {
            tracing::error!("{error}");
            known.lapse = Some(Lapse { reply: reply.clone(), next: now + FIRST, pause: FIRST });
        }
        error
    }

    /// A call that wants the right was answered.
    pub(super) fn works(&self) {
        if self.known().lapse.take().is_some() {
            tracing::warn!("the service takes the calls of this account again");
        }
    }

    /// `user/info` told of the right. Where it is held, the next call finds out.
    pub(super) fn told(&self, right: DeveloperRight) {
        let mut known = self.known();
        let is_new =
            known.right != right && right.is_held(Timestamp::now().as_second()) == Some(true);
        known.right = right;
        if let (Some(lapse), true) = (&mut known.lapse, is_new) {
            lapse.next = Instant::now();
        }
    }

    /// What a look at this token showed that was begun at `since` or later.
    pub(super) fn seen(&self, token: &Secret, since: Instant) -> Option<Look> {
        let known = self.known();
        let (of, begun, look) = known.look.as_ref()?;
        (of == token && *begun >= since).then_some(*look)
    }

    /// Notes what a look showed.
    pub(super) fn note(&self, token: &Secret, begun: Instant, look: Look) {
        self.known().look = Some((token.clone(), begun, look));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Reply {
        Reply { code: 401, message: "invalid login".into(), trace_id: String::new() }
    }

    #[test]
    fn a_lapsed_right_is_tried_at_growing_intervals_and_at_least_twice_a_minute() {
        let (right, begin) = (Right::default(), Instant::now());
        assert_eq!(right.admit("list", begin).ok(), Some(Pass::Free));
        right.lapsed("list", &reply(), begin);
        let at = |second: &u64| begin + Duration::from_secs(*second);
        let is_tried =
            |second: &u64| right.admit("list", at(second)).is_ok_and(|pass| pass == Pass::Trial);
        let tries: Vec<u64> = (0..130).filter(is_tried).collect();
        assert_eq!(tries, [1, 3, 7, 15, 31, 61, 91, 121]);
        right.works();
        assert_eq!(right.admit("list", at(&130)).ok(), Some(Pass::Free));
        assert_eq!(right.refused_for(), None);
    }

    #[test]
    fn a_right_that_is_told_anew_is_tried_at_once() {
        let (right, now) = (Right::default(), Instant::now());
        right.told(DeveloperRight::Missing);
        right.lapsed("list", &reply(), now);
        assert!(right.admit("list", now).is_err_and(|error| error.lacks_the_right()));
        right.told(DeveloperRight::Until(i64::MAX));
        assert_eq!(right.admit("list", Instant::now()).ok(), Some(Pass::Trial));
        assert!(right.admit("list", Instant::now()).is_err());
    }
}
