//! A failed try: what it tells about the request, and what follows from that.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, timeout};

use super::endpoint::Repeat;
use super::error::{Error, Reply};

/// The first wait between two tries; each further one is twice as long, with up to as much
/// jitter again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait between two tries, before jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// So many deadlines may be spent in a queue that moves.
const FORGIVEN: u32 = 10;
/// A try that cannot last this long is not begun: it would only raise doubts.
const LEAST_TRY: Duration = Duration::from_millis(100);

/// One try that gave no success.
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// What was seen, fit for a message.
    pub(super) cause: String,
    /// How long the service wants to be left alone.
    pub(super) wait: Duration,
}

/// What a failed try tells about its request.
pub(super) enum FailureKind {
    /// Certainly not done; later it may be.
    NotDone,
    /// Certainly not done: an upload is still being checked.
    Checking(Reply),
    /// Certainly not done: 429.
    Throttled,
    /// Certainly not done: the token was refused.
    Denied(Reply),
    /// The service's last word.
    Final(Box<Error>),
    /// Sent, and nothing came in time.
    Unanswered,
    /// Sent, and the connection broke or the server did.
    Broken,
    /// Sent, and the answer cannot be understood.
    Garbled,
}

impl Failure {
    /// A failure without a wish to be left alone.
    pub(super) fn new(kind: FailureKind, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), wait: Duration::ZERO }
    }

    /// The service's last word.
    pub(super) fn last_word(error: Error) -> Self {
        Self::new(FailureKind::Final(Box::new(error)), "")
    }

    /// Whether the request may have been done.
    pub(super) fn is_unsure(&self) -> bool {
        matches!(self.kind, FailureKind::Unanswered | FailureKind::Broken | FailureKind::Garbled)
    }
}

/// The tries of one call: how long they may go on, and what they end with.
pub(super) struct Tries<'a> {
    what: &'a str,
    repeat: Repeat,
    /// The least wait between two tries.
    pause: Duration,
    begin: Instant,
    /// The time that is not counted.
    forgiven: Duration,
    deadline: Duration,
    waits: ExponentialBackoff,
    /// Whether a change of the bed may have been made by a try so far.
    may_be_done: bool,
    /// The last failure that another try followed.
    last: Option<Failure>,
}

impl<'a> Tries<'a> {
    /// The time runs from now.
    pub(super) fn new(what: &'a str, repeat: Repeat, pause: Duration, deadline: Duration) -> Self {
        let waits = ExponentialBuilder::new()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times();
        Self {
            what,
            repeat,
            pause,
            begin: Instant::now(),
            forgiven: Duration::ZERO,
            deadline,
            waits: waits.build(),
            may_be_done: false,
            last: None,
        }
    }

    /// A wait that is not counted: of a queue that moves. All in all it is bounded.
    pub(super) fn forgive(&mut self, wait: Duration) {
        let wait = wait.min((self.deadline * FORGIVEN).saturating_sub(self.forgiven));
        self.forgiven += wait;
    }

    /// What is left of the deadline.
    pub(super) fn left(&self) -> Duration {
        (self.deadline + self.forgiven).saturating_sub(self.begin.elapsed())
    }

    /// The wait before the next try, or what the call ends with.
    pub(super) fn after(&mut self, failure: Failure) -> Result<Duration, Error> {
        let unsure = failure.is_unsure();
        self.may_be_done |= unsure && self.repeat != Repeat::Harmless;
        if unsure && self.repeat == Repeat::Never {
            return Err(self.end(failure));
        }
        if matches!(failure.kind, FailureKind::Final(_) | FailureKind::Denied(_)) {
            return Err(self.end(failure));
        }
        let backoff = self.waits.next().unwrap_or(LONGEST_WAIT);
        let wait = backoff.max(failure.wait).max(self.pause);
        if wait.saturating_add(LEAST_TRY) > self.left() {
            return Err(self.end(failure));
        }
        self.last = Some(failure);
        Ok(wait)
    }

    /// The error that a call ends with whose last try failed so.
    pub(super) fn end(&self, failure: Failure) -> Error {
        let what = self.what.to_owned();
        let cause = failure.cause;
        // A try that was cut short by its own time, not by the deadline, and may not be repeated.
        let is_lost = self.repeat == Repeat::Never && !self.left().is_zero();
        match failure.kind {
            FailureKind::Final(error) => *error,
            FailureKind::Denied(reply) => Error::Unauthorized { what, reply },
            FailureKind::Unanswered if !is_lost => self.out_of_time(cause),
            _ if self.may_be_done => Error::Lost { what, cause },
            FailureKind::Garbled => Error::Garbled { what, cause },
            _ => Error::Unavailable { what, cause },
        }
    }

    fn out_of_time(&self, cause: String) -> Error {
        Error::TimedOut {
            what: self.what.to_owned(),
            waited: self.begin.elapsed(),
            may_be_done: self.may_be_done,
            cause,
        }
    }

    /// The error of a call that has no token for its next try.
    pub(super) fn without_token(&self, error: Error) -> Error {
        if !self.may_be_done {
            return error;
        }
        Error::Lost { what: self.what.to_owned(), cause: error.to_string() }
    }

    /// Waits for what the next try needs, as long as the deadline leaves time for the try.
    pub(super) async fn within<T>(
        &mut self, need: &str, future: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let time = self.left().saturating_sub(LEAST_TRY);
        timeout(time, future).await.map_err(|_| match self.last.take() {
            Some(failure) => self.end(failure),
            None => self.out_of_time(format!("the time ran out waiting for {need}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(repeat: Repeat, deadline: Duration) -> Tries<'static> {
        Tries::new("it", repeat, Duration::ZERO, deadline)
    }

    fn ends(repeat: Repeat, kind: FailureKind) -> Option<Error> {
        tries(repeat, Duration::from_secs(60)).after(Failure::new(kind, "why")).err()
    }

    #[test]
    fn what_may_have_been_done_is_not_repeated() {
        for kind in [FailureKind::Unanswered, FailureKind::Broken, FailureKind::Garbled] {
            let error = ends(Repeat::Never, kind).expect("the end");
            assert!(matches!(error, Error::Lost { .. }) && error.may_be_done());
        }
        assert!(ends(Repeat::Never, FailureKind::NotDone).is_none());
        assert!(ends(Repeat::Never, FailureKind::Throttled).is_none());
        assert!(ends(Repeat::Idempotent, FailureKind::Broken).is_none());
        assert!(ends(Repeat::Harmless, FailureKind::Garbled).is_none());
    }

    #[test]
    fn the_deadline_ends_the_tries() {
        let end = |repeat, kind| {
            tries(repeat, Duration::ZERO).after(Failure::new(kind, "why")).expect_err("the end")
        };
        use FailureKind as Kind;
        assert!(end(Repeat::Harmless, Kind::Unanswered).is_timed_out());
        assert!(!end(Repeat::Harmless, Kind::Unanswered).may_be_done());
        assert!(end(Repeat::Never, Kind::Unanswered).may_be_done());
        let throttled = end(Repeat::Never, Kind::Throttled);
        assert!(matches!(throttled, Error::Unavailable { .. }));
        assert!(end(Repeat::Idempotent, Kind::Unanswered).is_timed_out());
        let broken = end(Repeat::Idempotent, Kind::Broken);
        assert!(matches!(broken, Error::Lost { .. }));
        let garbled = end(Repeat::Harmless, Kind::Garbled);
        assert!(matches!(garbled, Error::Garbled { .. }));
    }

    #[test]
    fn the_service_s_wish_to_be_left_alone_is_honoured() {
        let mut tries = tries(Repeat::Harmless, Duration::from_secs(60));
        let mut failure = Failure::new(FailureKind::Throttled, "429");
        failure.wait = Duration::from_secs(7);
        assert_eq!(tries.after(failure).ok(), Some(Duration::from_secs(7)));
        let mut failure = Failure::new(FailureKind::Throttled, "429");
        failure.wait = Duration::MAX;
        assert!(tries.after(failure).is_err());
    }
}
