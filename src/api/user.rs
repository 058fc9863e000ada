//! The account, as `user/info` tells it.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::tolerant;
use super::wire::{Garbage, seconds};
use crate::types::{Account, DeveloperRight};

/// A time that is so large a number is one of milliseconds: as seconds it would be in the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;

/// `GET user/info`, which is in newer pages of the documentation only. Bytes.
#[derive(Deserialize)]
pub(super) struct UserInfo {
    #[serde(rename = "spaceUsed", default, deserialize_with = "tolerant::any_count")]
    space_used: Option<u64>,
    #[serde(rename = "spacePermanent", default, deserialize_with = "tolerant::any_count")]
    space_permanent: Option<u64>,
    #[serde(rename = "spaceTemp", default, deserialize_with = "tolerant::any_count")]
    space_temp: Option<u64>,
    #[serde(rename = "directTraffic", default, deserialize_with = "tolerant::any_count")]
    direct_traffic: Option<u64>,
    #[serde(default, deserialize_with = "tolerant::any_truth")]
    vip: Option<bool>,
    /// Missing where the service does not tell the right, null where the account has none.
    #[serde(rename = "developerInfo", default, deserialize_with = "developer_right")]
    right: DeveloperRight,
}

fn developer_right<'de, D: Deserializer<'de>>(from: D) -> Result<DeveloperRight, D::Error> {
    let value = Value::deserialize(from)?;
    if matches!(value, Value::Null | Value::Bool(false)) {
        return Ok(DeveloperRight::Missing);
    }
    let end = value.get("endTime").and_then(tolerant::text).map_or(0, |text| moment(&text));
    Ok(if end > 0 { DeveloperRight::Until(end) } else { DeveloperRight::Untold })
}

impl UserInfo {
    /// The account in our words.
    pub(super) fn account(self) -> Result<Account, Garbage> {
        let permanent = self.space_permanent.ok_or_else(|| Garbage::field("spacePermanent"))?;
        Ok(Account {
            space_used: self.space_used.ok_or_else(|| Garbage::field("spaceUsed"))?,
            space_total: permanent.saturating_add(self.space_temp.unwrap_or_default()),
            traffic_left: self.direct_traffic.unwrap_or_default(),
            is_member: self.vip,
            right: self.right,
        })
    }

    /// The right to call the API, whatever else the answer holds.
    pub(super) fn right(&self) -> DeveloperRight {
        self.right
    }
}

/// Seconds since the epoch of a time that may be a number: of seconds or of milliseconds since the epoch.
fn moment(time: &str) -> i64 {
    match time.trim().parse::<i64>() {
        Ok(number) if number >= MILLISECONDS => number / 1000,
        Ok(number) => number,
        Err(_) => seconds(time),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_right_in_every_spelling() {
        let right = |info: Value| UserInfo::deserialize(info).map(|info| info.right).ok();
        let until = Some(DeveloperRight::Until(1_740_991_106));
        for end in [
            json!("2025-03-03 16:38:26"),
            json!("2025-03-03T16:38:26+08:00"),
            json!(1_740_991_106),
            json!("1740991106000"),
        ] {
            let info = json!({"developerInfo": {"startTime": "2025-02-03", "endTime": end}});
            assert_eq!(right(info), until, "{end}");
        }
        assert_eq!(right(json!({"developerInfo": null})), Some(DeveloperRight::Missing));
        for info in [
            json!({}),
            json!({"developerInfo": {"endTime": "soon"}}),
            json!({"developerInfo": [1]}),
        ] {
            assert_eq!(right(info), Some(DeveloperRight::Untold));
        }
    }
}
