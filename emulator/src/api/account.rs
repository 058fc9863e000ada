//! The account: its tokens and its quotas.

use serde_json::{Value, json};

use super::Call;
use crate::answers::DeveloperInfo;
use crate::clock;
use crate::link::UID;
use crate::lock;
use crate::refusal::Refusal;

pub(super) fn access_token(call: &Call) -> Result<Value, Refusal> {
    let Call { server, options, fields } = call;
    let known = (options.client_id.as_str(), options.client_secret.as_str());
    if (fields.text("clientID")?, fields.text("clientSecret")?) != known {
        return Err(Refusal::generic("clientID or clientSecret is wrong"));
    }
    let token = lock(&server.tokens).issue(options.token_life, options.live_tokens);
    Ok(json!({"accessToken": token, "expiredAt": clock::rfc3339_after(options.token_life)}))
}

pub(super) fn user_info(call: &Call) -> Result<Value, Refusal> {
    let Call { server, options, .. } = call;
    let mut info = json!({
        "uid": UID,
        "nickname": "emulator",
        "headImage": "",
        "passport": "",
        "mail": "",
        "spaceUsed": lock(&server.bed).tree().used(),
        "spacePermanent": options.space_total,
        "spaceTemp": 0,
        "spaceTempExpr": "",
        "vip": true,
        "directTraffic": options.traffic_left.saturating_sub(server.traffic()),
        "isHideUID": false,
        "httpsCount": 0,
    });
    let told = match (options.answers.developer_info, &options.answers.lapsed) {
        (DeveloperInfo::Absent, _) => return Ok(info),
        (DeveloperInfo::NullWhenOver, Some(_)) => Value::Null,
        (DeveloperInfo::NullWhenOver | DeveloperInfo::Kept, _) => {
            let now = clock::now(options.clock_ahead);
            let end = now + i64::try_from(options.right_life.as_secs()).unwrap_or(i64::MAX / 2);
            let spell = |second| clock::spell(second, "%Y-%m-%d %H:%M:%S");
            json!({"startTime": spell(now - 24 * 3600), "endTime": spell(end)})
        }
    };
    info["developerInfo"] = told;
    Ok(info)
}
