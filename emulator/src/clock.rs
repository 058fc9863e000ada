//! The clock of the service: times as it spells them, in UTC+8.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

const STAMP: &str = "%Y-%m-%d %H:%M:%S";

fn zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

/// Now, as rows spell it: `YYYY-MM-DD HH:MM:SS`.
pub(crate) fn stamp() -> String {
    Timestamp::now().to_zoned(zone()).strftime(STAMP).to_string()
}

/// The Unix second of a time spelled by [`stamp`].
pub(crate) fn unix_second(stamp: &str) -> Option<i64> {
    let civil = DateTime::strptime(STAMP, stamp).ok()?;
    Some(civil.to_zoned(zone()).ok()?.timestamp().as_second())
}

/// The moment that is `life` from now, as `access_token` spells it: RFC 3339 with +08:00.
pub(crate) fn rfc3339_after(life: Duration) -> String {
    let now = Timestamp::now();
    let end = now.checked_add(life).unwrap_or(Timestamp::MAX);
    end.to_zoned(zone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The moment that is `ahead` of now, as the header `Date` spells it.
pub(crate) fn http_date(ahead: Duration) -> String {
    let then = Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Milliseconds since 1970 of the moment that is `life` from now.
pub(crate) fn unix_millis_after(life: Duration) -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_add(life)
        .as_millis()
}

/// The Unix second in which the hour `2025010115` begins.
pub(crate) fn unix_hour(hour: &str) -> Option<i64> {
    let is_hour = hour.len() == 10 && hour.bytes().all(|digit| digit.is_ascii_digit());
    let (day, hour) = is_hour.then(|| hour.split_at(8))?;
    let civil = DateTime::strptime("%Y%m%d %H:%M:%S", format!("{day} {hour}:00:00")).ok()?;
    Some(civil.to_zoned(zone()).ok()?.timestamp().as_second())
}

/// A Unix second in words, by a pattern of `strftime`, in UTC+8.
pub(crate) fn spell(second: i64, pattern: &str) -> String {
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone()).strftime(pattern).to_string()
}

/// The Unix second that is `ahead` of now.
pub(crate) fn now(ahead: Duration) -> i64 {
    Timestamp::now().as_second().saturating_add_unsigned(ahead.as_secs())
}
