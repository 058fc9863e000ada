//! The developer right of an account.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Who has the right for less than so many seconds more is warned.
const SOON: i64 = 7 * 24 * 3600;

/// The right to call the API (开发者权益), which is bought by the month, as `user/info` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeveloperRight {
    /// The service does not tell.
    #[default]
    Untold,
    /// The account has none.
    Missing,
    /// Until this second since the epoch.
    Until(i64),
}

impl DeveloperRight {
    /// Whether the account has it at this second; `None` where the service does not tell.
    pub fn is_held(self, now: i64) -> Option<bool> {
        match self {
            Self::Untold => None,
            Self::Missing => Some(false),
            Self::Until(end) => Some(now < end),
        }
    }

    /// What the user is to be warned of at this second: an end that is near, or was.
    pub fn warning(self, now: i64) -> Option<String> {
        match self {
            Self::Untold => None,
            Self::Until(end) if now + SOON < end => None,
            Self::Until(end) if now < end => Some(format!(
                "{self}, in {}: without it the service refuses all that bedfs asks; renew it at 123pan",
                days(end - now)
            )),
            Self::Missing | Self::Until(_) => Some(format!(
                "{self}: the service refuses all that bedfs asks; buy it at 123pan, and bedfs goes on \
                 by itself within a minute"
            )),
        }
    }

    /// Its end, where that is told, as RFC 3339.
    pub fn end(self) -> Option<Timestamp> {
        match self {
            Self::Until(end) => Timestamp::from_second(end).ok(),
            Self::Untold | Self::Missing => None,
        }
    }
}

fn days(seconds: i64) -> String {
    match seconds / (24 * 3600) {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

impl fmt::Display for DeveloperRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "the developer right (开发者权益) of this account";
        match (self, self.end()) {
            (Self::Until(_), Some(end)) => {
                let (here, now) = (end.to_zoned(TimeZone::system()), Timestamp::now());
                let verb = if now < end { "ends" } else { "ended" };
                write!(f, "{name} {verb} on {}", here.strftime("%Y-%m-%d at %H:%M"))
            }
            (Self::Missing, _) => write!(f, "{name} is missing or has lapsed"),
            (Self::Untold | Self::Until(_), _) => write!(f, "the end of {name} is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_warned_of_seven_days_before() {
        let (end, day) = (2_000_000_000, 24 * 3600);
        let right = DeveloperRight::Until(end);
        assert_eq!(right.warning(end - 7 * day - 1), None);
        assert!(right.warning(end - 7 * day).is_some_and(|words| words.contains("in 7 days")));
        assert!(right.warning(end).is_some_and(|words| words.contains("refuses")));
        assert!(DeveloperRight::Missing.warning(0).is_some_and(|words| words.contains("lapsed")));
        assert_eq!(DeveloperRight::Untold.warning(0), None);
        assert_eq!((right.is_held(end - 1), right.is_held(end)), (Some(true), Some(false)));
    }
}
