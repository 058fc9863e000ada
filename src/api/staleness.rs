//! [`Staleness`]: how long the service may show what was before a change. Every pause and every patience
//! that comes of it is derived from here; `docs/design/service-model.md` numbers the assumptions.

use std::time::Duration;

/// How long listings may lag behind, and all else in proportion to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness(Duration);

impl Staleness {
    /// What is assumed of the service itself.
    pub const DEFAULT: Self = Self(Duration::from_secs(30));

    /// The staleness of a service whose listings lag by `listing` at most.
    pub const fn new(listing: Duration) -> Self {
        Self(listing)
    }

    /// S1: a listing shows a change within this.
    pub fn listing(self) -> Duration {
        self.0
    }

    /// S2: a `detail` shows a change within this.
    pub fn detail(self) -> Duration {
        self.0 / 6
    }

    /// S3: what was asked for, and whose answer is lost, comes about within this, or never.
    pub fn effect(self) -> Duration {
        self.0 / 6
    }

    /// S4: the link of a new picture is told within this.
    pub fn link(self) -> Duration {
        self.0 / 2
    }

    /// The pauses between looks for what a listing must show: soon at first, and all of them together as
    /// long as it may lag.
    pub fn listing_looks(self) -> impl Iterator<Item = Duration> {
        Self::looks(self.effect()).chain(Self::looks(self.listing() - self.effect()))
    }

    /// The pauses between looks for what must show within `time`: each twice as long as the one before,
    /// and all of them together that long.
    pub fn looks(time: Duration) -> impl Iterator<Item = Duration> {
        [1, 2, 4, 8].into_iter().map(move |share| time * share / 15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_looks_for_something_take_as_long_as_it_may_take() {
        let lag = Staleness::DEFAULT.listing();
        assert_eq!(Staleness::looks(lag).sum::<Duration>(), lag);
        let pauses: Vec<_> = Staleness::looks(lag).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16]);
        let rest = lag - Staleness::DEFAULT.listing_looks().sum::<Duration>();
        assert!(rest < Duration::from_micros(1), "{rest:?}");
    }

    #[test]
    fn the_assumptions_keep_their_proportions_at_any_scale() {
        let (whole, tenth) = (Staleness::DEFAULT, Staleness::new(Duration::from_secs(3)));
        assert!(whole.detail() <= whole.link() && whole.link() <= whole.listing());
        assert_eq!(whole.detail(), tenth.detail() * 10);
        assert_eq!(whole.effect(), tenth.effect() * 10);
        assert_eq!(whole.link(), tenth.link() * 10);
    }
}
