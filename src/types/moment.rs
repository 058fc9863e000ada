//! A moment as it is written: nanoseconds since the epoch, less than none before it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(at: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    let nanoseconds = at.map(|at| match at.duration_since(SystemTime::UNIX_EPOCH) {
        // Times of files are in 64 bits of seconds.
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    });
    nanoseconds.serialize(to)
}

pub(super) fn deserialize<'a, D: Deserializer<'a>>(
    from: D,
) -> Result<Option<SystemTime>, D::Error> {
    let nanoseconds = Option::<i128>::deserialize(from)?;
    Ok(nanoseconds.and_then(|at| {
        const SECOND: u128 = 1_000_000_000;
        let size = at.unsigned_abs();
        let span = Duration::new(u64::try_from(size / SECOND).ok()?, (size % SECOND) as u32);
        match at < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(span),
            false => SystemTime::UNIX_EPOCH.checked_add(span),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::super::Attributes;
    use super::*;

    #[test]
    fn moments_before_the_epoch_come_back_too() {
        let span = Duration::new(7, 5);
        let (before, after) = (SystemTime::UNIX_EPOCH - span, SystemTime::UNIX_EPOCH + span);
        let set = Attributes { mtime: Some(before), atime: Some(after), ..Attributes::default() };
        let bytes = postcard::to_allocvec(&set).expect("written");
        assert_eq!(postcard::from_bytes::<Attributes>(&bytes).expect("read"), set);
    }
}
