//! What the service has written down: traffic, logs of hours, paid shares, files of the cloud drive.

use serde_json::{Value, json};

use super::Call;
use crate::answers::{LogEnd, LogReach, LogTotal, UniqueId};
use crate::clock;
use crate::digest;
use crate::ledger::{OfflineLog, Share, TrafficRow};
use crate::lock;
use crate::refusal::Refusal;

const DAY: i64 = 24 * 3600;

/// How far back the two logs go, in days ("仅限查询近三天的日志数据", "近30天").
const TRAFFIC_DAYS: i64 = 3;
const OFFLINE_DAYS: i64 = 30;

/// The most rows of a page of shares ("最大不超过100").
const LIMIT: u64 = 100;

pub(super) fn traffic(call: &Call) -> Result<Value, Refusal> {
    entitled(call)?;
    let fields = &call.fields;
    let time = |key: &str| {
        let text = fields.text(key)?;
        clock::unix_second(text).ok_or_else(|| Refusal::breach(format!("{key} is no time")))
    };
    let (start, end) = (time("startTime")?, time("endTime")?);
    let start = reach(call, start, TRAFFIC_DAYS)?;
    let ledger = lock(&call.server.ledger);
    let rows = ledger.traffic.iter().filter(|row| (start..=end).contains(&row.at));
    // The newest first, as the sample of the other log has it.
    let rows = rows.rev();
    let rows = match call.options.answers.unique_id {
        UniqueId::Row => rows.map(|row| traffic_row(row, &row.unique_id, row.served())).collect(),
        UniqueId::File => of_files(rows),
    };
    page(call, rows)
}

/// One row for each file, which is known by its link.
fn of_files<'a>(rows: impl Iterator<Item = &'a TrafficRow>) -> Vec<Value> {
    let mut files: Vec<(&TrafficRow, u64)> = Vec::new();
    for row in rows {
        match files.iter_mut().find(|(file, _)| file.url == row.url) {
            Some((_, bytes)) => *bytes += row.served(),
            None => files.push((row, row.served())),
        }
    }
    let row = |(row, bytes): (&TrafficRow, u64)| {
        traffic_row(row, &digest::md5(row.url.as_bytes()), bytes)
    };
    files.into_iter().map(row).collect()
}

fn traffic_row(row: &TrafficRow, unique_id: &str, bytes: u64) -> Value {
    json!({
        "uniqueID": unique_id,
        "fileName": row.file_name,
        "fileSize": row.file_size,
        "filePath": row.file_path,
        "directLinkURL": row.url,
        "fileSource": row.source,
        "totalTraffic": bytes,
    })
}

pub(super) fn offline(call: &Call) -> Result<Value, Refusal> {
    entitled(call)?;
    let hour = |key: &str| {
        let text = call.fields.text(key).map_err(|_| unheard(key))?;
        clock::unix_hour(text).ok_or_else(|| Refusal::breach(format!("{key} is no hour")))
    };
    let (start, end) = (hour("startHour")?, hour("endHour")?);
    let start = reach(call, start, OFFLINE_DAYS)?;
    let ledger = lock(&call.server.ledger);
    let mut logs: Vec<&OfflineLog> = ledger.logs.iter().collect();
    logs.retain(|log| (start..=end).contains(&log.hour));
    logs.sort_by_key(|log| std::cmp::Reverse((log.hour, log.id)));
    let row = |log: &&OfflineLog| {
        json!({
            "id": log.id,
            "fileName": log.name,
            "fileSize": log.bytes.len(),
            "logTimeRange": format!(
                "{}~{}",
                clock::spell(log.hour, "%Y-%m-%d %H:%M"),
                clock::spell(log.hour + 3600, "%H:%M"),
            ),
            "downloadURL": format!("{}/offline-logs/{}-{}.gz", call.server.base, log.id, log.key),
        })
    };
    page(call, logs.iter().map(row).collect())
}

/// The parameters came by a way that this service does not read: its silence on which is no breach.
fn unheard(key: &str) -> Refusal {
    Refusal::generic(format!("{key} 不能为空"))
}

/// Refuses an account that is no developer's.
fn entitled(call: &Call) -> Result<(), Refusal> {
    match call.options.answers.no_developer {
        Some(code) => Err(Refusal::new(code, "未开通开发者权益")),
        None => Ok(()),
    }
}

/// The later of a log's beginning and what was asked for, if that may be asked.
fn reach(call: &Call, start: i64, days: i64) -> Result<i64, Refusal> {
    let now = clock::now(call.options.clock_ahead);
    // Days begin at midnight in UTC+8.
    let today = (now + 8 * 3600).div_euclid(DAY) * DAY - 8 * 3600;
    let first = match call.options.answers.log_reach {
        LogReach::Days | LogReach::DaysElseRefuse => today - (days - 1) * DAY,
        LogReach::Hours => now - days * DAY,
    };
    if start < first && call.options.answers.log_reach == LogReach::DaysElseRefuse {
        return Err(Refusal::generic(format!("仅限查询近{days}天的日志数据")));
    }
    Ok(start.max(first))
}

/// The page that is asked for, of `pageSize` rows or of as many as the service gives at most.
fn page(call: &Call, rows: Vec<Value>) -> Result<Value, Refusal> {
    let number = |key: &str| {
        let value = call.fields.value(key).map_err(|_| unheard(key))?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        number
            .filter(|number| *number > 0)
            .ok_or_else(|| Refusal::breach(format!("{key} is no count")))
    };
    let (page, size) = (number("pageNum")?, number("pageSize")?);
    let size = size.min(call.options.answers.log_page);
    let all = rows.len();
    let skip = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let page: Vec<Value> = rows.into_iter().skip(skip).take(size as usize).collect();
    let total = match call.options.answers.log_total {
        LogTotal::True => all,
        LogTotal::Zero => 0,
        LogTotal::OfPage => page.len(),
    };
    match call.options.answers.log_end {
        LogEnd::Null if page.is_empty() => Ok(Value::Null),
        LogEnd::NoList if page.is_empty() && skip > 0 => Ok(json!({"total": total})),
        LogEnd::Refused if page.is_empty() && skip > 0 => Err(Refusal::generic("页数超出范围")),
        _ => Ok(json!({"list": page, "total": total})),
    }
}

pub(super) fn shares(call: &Call) -> Result<Value, Refusal> {
    let number = |key: &str| {
        let text = call.fields.text(key)?;
        text.parse::<u64>().map_err(|_| Refusal::breach(format!("{key} is no number")))
    };
    let limit = number("limit")?;
    if !(1..=LIMIT).contains(&limit) {
        return Err(Refusal::breach(format!("limit is {limit}, not 1 to {LIMIT}")));
    }
    let from = if call.fields.value("lastShareId").is_ok() { number("lastShareId")? } else { 0 };
    let ledger = lock(&call.server.ledger);
    let place = match from {
        0 => 0,
        from => ledger
            .shares
            .iter()
            .position(|share| share.id == from)
            .ok_or_else(|| Refusal::generic("lastShareId does not exist"))?,
    };
    let rows = &ledger.shares[place..];
    let (rows, rest) = rows.split_at(rows.len().min(limit as usize));
    let last = rest.first().map_or(json!(-1), |next| json!(next.id));
    Ok(json!({"shareList": rows.iter().map(share_row).collect::<Vec<_>>(), "lastShareId": last}))
}

fn share_row(share: &Share) -> Value {
    json!({
        "shareId": share.id,
        "shareKey": share.key,
        "shareName": share.name,
        "expiration": share.expiration,
        "expired": u8::from(share.is_expired),
        "trafficSwitch": 4,
        "trafficLimitSwitch": 2,
        "trafficLimit": 1_231_783_478u64,
        "previewCount": 3,
        "downloadCount": 2,
        "saveCount": 1,
        "payAmount": share.price,
        "auditStatus": 0,
        "amount": share.earned,
        "bytesCharge": 4096,
        "createAt": "2025-07-07 18:36:24",
        "updateAt": "2025-07-07 18:56:12",
    })
}

pub(super) fn link(call: &Call) -> Result<Value, Refusal> {
    entitled(call)?;
    let text = call.fields.text("fileID")?;
    let id: u64 = text.parse().map_err(|_| Refusal::breach("fileID is no number"))?;
    let ledger = lock(&call.server.ledger);
    let file = ledger.drive.iter().find(|file| file.id == id).ok_or_else(Refusal::no_such_file)?;
    Ok(json!({"url": file.url}))
}
