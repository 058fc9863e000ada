//! The hosts of direct links: how each has answered of late, hence how long it is waited for, and
//! whether it is to be left alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use reqwest::Url;

/// Waits that are remembered of each kind.
const REMEMBERED: usize = 256;

/// Waits that tell something.
const TELLING: usize = 8;

/// How much longer than nearly all waits a wait may be.
const FACTOR: u32 = 4;

/// The shortest wait that is given up, and the one where nothing is known yet.
const LEAST: Duration = Duration::from_secs(2);
const UNKNOWN: Duration = Duration::from_secs(5);

/// Failures in a row after which a host is left alone: more than two readings that give up.
const MOST_FAILURES: u32 = 12;

/// How long it is left alone; twice as long each time, up to the longest.
const REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The same of a host that has banned this machine.
const BAN: Duration = Duration::from_secs(60);
const LONGEST_BAN: Duration = Duration::from_secs(1800);

/// All hosts, by name and port.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<String, Arc<Host>>>);

/// One host.
#[derive(Debug, Default)]
pub(super) struct Host(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    first_bytes: Waits,
    pauses: Waits,
    /// In a row.
    failures: u32,
    rest: Option<Rest>,
}

/// A host is left alone.
#[derive(Clone, Debug)]
struct Rest {
    until: Instant,
    length: Duration,
    /// The address that it has banned, if that is why.
    ban: Option<String>,
}

/// Why a host is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Alone {
    /// It failed so often in a row.
    Failed(u32),
    /// It has banned this address, and is asked again when so much time has passed.
    Banned(String, Duration),
}

/// The last waits that ended well.
#[derive(Debug, Default)]
struct Waits(VecDeque<Duration>);

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// The head of an answer.
    FirstByte,
    /// More of a body.
    More,
}

impl Hosts {
    pub(super) fn of(&self, url: &Url) -> Arc<Host> {
        let name = url.host_str().unwrap_or_default();
        let name = format!("{name}:{}", url.port_or_known_default().unwrap_or_default());
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(name).or_default().clone()
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait, at most `most`: longer after each failure, so that a host that became slow
    /// is not given up.
    pub(super) fn patience(&self, wait: Wait, most: Duration) -> Duration {
        let mut state = self.state();
        let failures = state.failures.min(8);
        let waits = state.waits(wait);
        let usual = waits.nearly_all().map_or(UNKNOWN, |wait| (wait * FACTOR).max(LEAST));
        (usual * 2_u32.pow(failures)).min(most)
    }

    /// Whether the host may be asked. After a rest one who asks tries it out, and the others go on
    /// leaving it alone.
    pub(super) fn admit(&self) -> Result<(), Alone> {
        let mut state = self.state();
        let (now, failures) = (Instant::now(), state.failures);
        match &mut state.rest {
            Some(rest) if now < rest.until => Err(match &rest.ban {
                Some(address) => Alone::Banned(address.clone(), rest.until - now),
                None => Alone::Failed(failures),
            }),
            Some(rest) => {
                let longest = if rest.ban.is_some() { LONGEST_BAN } else { LONGEST_REST };
                rest.length = (rest.length * 2).min(longest);
                rest.until = now + rest.length;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Told of a wait that ended well.
    pub(super) fn answered(&self, wait: Wait, waited: Duration) {
        let mut state = self.state();
        state.waits(wait).add(waited);
        if let Wait::More = wait {
            (state.failures, state.rest) = (0, None);
        }
    }

    /// Told of an answer, or the lack of one, that is the host's fault.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= MOST_FAILURES && state.rest.is_none() {
            state.rest = Some(Rest { until: Instant::now() + REST, length: REST, ban: None });
        }
    }

    /// Told that the host refuses this machine's address. Of a ban that goes on the rest was made longer
    /// when it was tried out.
    pub(super) fn banned(&self, address: &str) {
        let mut state = self.state();
        if state.rest.as_ref().is_none_or(|rest| rest.ban.is_none()) {
            let until = Instant::now() + BAN;
            state.rest = Some(Rest { until, length: BAN, ban: Some(address.to_owned()) });
        }
    }
}

impl State {
    fn waits(&mut self, wait: Wait) -> &mut Waits {
        match wait {
            Wait::FirstByte => &mut self.first_bytes,
            Wait::More => &mut self.pauses,
        }
    }
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(wait);
    }

    /// The wait that 99 of 100 are no longer than.
    fn nearly_all(&self) -> Option<Duration> {
        let mut waits: Vec<Duration> = self.0.iter().copied().collect();
        let at = (waits.len() * 99 / 100).min(waits.len().saturating_sub(1));
        (waits.len() >= TELLING).then(|| *waits.select_nth_unstable(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(15);

    #[test]
    fn a_host_is_waited_for_as_it_is_used_to_answer() {
        let host = Host::default();
        let patience = || host.patience(Wait::FirstByte, MOST);
        assert_eq!(patience(), UNKNOWN);
        (0..100).for_each(|_| host.answered(Wait::FirstByte, Duration::from_millis(40)));
        assert_eq!(patience(), LEAST);
        (0..100).for_each(|_| host.answered(Wait::FirstByte, Duration::from_secs(1)));
        assert_eq!(patience(), Duration::from_secs(4));
        host.failed();
        assert_eq!(patience(), Duration::from_secs(8));
        host.failed();
        assert_eq!(patience(), MOST);
    }

    #[test]
    fn a_host_that_fails_often_is_left_alone_until_it_answers() {
        let host = Host::default();
        (1..MOST_FAILURES).for_each(|_| host.failed());
        assert_eq!(host.admit(), Ok(()));
        host.failed();
        assert_eq!(host.admit(), Err(Alone::Failed(MOST_FAILURES)));
        host.state().rest = Some(Rest { until: Instant::now(), length: REST, ban: None });
        assert_eq!(host.admit(), Ok(()), "one may try");
        assert!(host.admit().is_err(), "and no other");
        host.answered(Wait::More, Duration::ZERO);
        assert_eq!(host.admit(), Ok(()));
    }

    #[test]
    fn a_host_that_bans_is_left_alone_longer_each_time() {
        let host = Host::default();
        let left = || match host.admit() {
            Err(Alone::Banned(address, left)) if address == "203.0.113.9" => left,
            other => panic!("{other:?}"),
        };
        let is_over = || host.state().rest.as_mut().expect("a rest").until = Instant::now();
        host.banned("203.0.113.9");
        assert!(left() <= BAN);
        is_over();
        assert_eq!(host.admit(), Ok(()), "one may try");
        host.banned("203.0.113.9");
        assert!(left() > BAN);
        is_over();
        assert_eq!(host.admit(), Ok(()));
        host.answered(Wait::More, Duration::ZERO);
        assert_eq!(host.admit(), Ok(()), "it serves again");
    }
}
