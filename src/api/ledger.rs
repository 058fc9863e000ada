//! The ledger of the service: the calls for traffic rows (`000`), logs of hours (`001`), links of the
//! cloud drive (`002`) and paid shares (`004`).

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::Client;
use super::endpoint::Endpoint;
use super::error::Error;
use super::numbered::{Numbered, PAGE};
use super::send::Call;
use super::tolerant;
use super::wire::{Garbage, seconds};
use crate::types::{OfflineLog, PaidShare, SERVICE_ZONE, TrafficRow};

/// The rows of a span of time, page after page.
pub struct TrafficPages {
    client: Client,
    from: String,
    to: String,
    pages: Numbered,
}

impl TrafficPages {
    /// The rows of the next page that no page before had; `None` after the last page. After an error
    /// nothing more is to be asked for.
    pub async fn next(&mut self) -> Result<Option<Vec<TrafficRow>>, Error> {
        let Some(number) = self.pages.next() else { return Ok(None) };
        let (page, size) = (number.to_string(), PAGE.to_string());
        let query = [
            ("pageNum", &*page),
            ("pageSize", &*size),
            ("startTime", &*self.from),
            ("endTime", &*self.to),
        ];
        let about = format!("from {} to {}", self.from, self.to);
        let call = Call::get(Endpoint::TrafficLog, &about, &query);
        match self.client.send(&call, |answer| TrafficAnswer::read(answer, number)).await {
            Ok(rows) => Ok(Some(self.pages.add(rows, |row| &row.unique_id))),
            Err(error) if self.pages.ends_with(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How the parameters of a call are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedBy {
    /// In the query, as the table of `001` says.
    Query,
    /// As JSON in a body, as its sample does.
    Body,
}

impl Client {
    /// The rows of the traffic log from one moment to another, both included and to the second.
    pub fn traffic(&self, from: Timestamp, to: Timestamp) -> TrafficPages {
        let spelled = |at: Timestamp| spell(at, "%Y-%m-%d %H:%M:%S");
        let (client, pages) = (self.clone(), Numbered::default());
        TrafficPages { client, from: spelled(from), to: spelled(to), pages }
    }

    /// The offline logs whose hours begin from one moment to another, the newest first as a rule.
    pub async fn offline_logs(
        &self, from: Timestamp, to: Timestamp,
    ) -> Result<Vec<OfflineLog>, Error> {
        let (from, to) = (spell(from, "%Y%m%d%H"), spell(to, "%Y%m%d%H"));
        let mut pages = Numbered::default();
        let mut logs = Vec::new();
        while let Some(page_num) = pages.next() {
            let request =
                OfflineRequest { start_hour: &from, end_hour: &to, page_num, page_size: PAGE };
            match self.offline_page(&request).await {
                Ok(page) => logs.extend(pages.add(page, |log| &log.id)),
                Err(error) if pages.ends_with(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(logs)
    }

    /// One page, by the way that the service is known to hear, else by the one and then the other.
    ///
    /// Who does not hear the query refuses, fails, or finds nothing: so nothing found settles nothing.
    async fn offline_page(&self, request: &OfflineRequest<'_>) -> Result<Vec<OfflineLog>, Error> {
        if let Some(way) = self.offline_way() {
            return self.offline_page_by(way, request).await;
        }
        let by_query = self.offline_page_by(AskedBy::Query, request).await;
        if by_query.as_ref().is_ok_and(|page| !page.is_empty()) {
            self.learn_offline_way(AskedBy::Query);
            return by_query;
        }
        match self.offline_page_by(AskedBy::Body, request).await {
            Ok(page) if !page.is_empty() || by_query.is_err() => {
                self.learn_offline_way(AskedBy::Body);
                Ok(page)
            }
            Ok(_) | Err(_) => by_query,
        }
    }

    async fn offline_page_by(
        &self, way: AskedBy, request: &OfflineRequest<'_>,
    ) -> Result<Vec<OfflineLog>, Error> {
        let about = format!("from {} to {}", request.start_hour, request.end_hour);
        let (number, size) = (request.page_num.to_string(), request.page_size.to_string());
        let query = [
            ("startHour", request.start_hour),
            ("endHour", request.end_hour),
            ("pageNum", &*number),
            ("pageSize", &*size),
        ];
        let call = match way {
            AskedBy::Query => Call::get(Endpoint::OfflineLogs, &about, &query),
            AskedBy::Body => Call::post(Endpoint::OfflineLogs, &about, request),
        };
        self.send(&call, |answer| OfflineAnswer::read(answer, request.page_num)).await
    }

    /// The direct link of a file of the cloud drive, by its number.
    pub async fn drive_link(&self, id: u64) -> Result<String, Error> {
        let id = id.to_string();
        let call = Call::get(Endpoint::DriveLink, &id, &[("fileID", &*id)]);
        self.send(&call, |answer: LinkAnswer| Ok(answer.url)).await
    }

    /// All shares that are paid for.
    pub async fn paid_shares(&self) -> Result<Vec<PaidShare>, Error> {
        let mut shares = Vec::new();
        let mut seen = HashSet::new();
        let mut cursor = "0".to_owned();
        let limit = PAGE.to_string();
        loop {
            let query = [("limit", &*limit), ("lastShareId", &*cursor)];
            let call = Call::get(Endpoint::PaidShares, "", &query);
            let (mut page, next) = self.send(&call, SharesAnswer::read).await?;
            page.retain(|share| seen.insert(share.id.clone()));
            let is_barren = page.is_empty();
            shares.extend(page);
            if is_barren || matches!(&*next, "-1" | "" | "0") {
                return Ok(shares);
            }
            cursor = next;
        }
    }
}

/// A moment as the service writes times, which is in UTC+8.
fn spell(at: Timestamp, pattern: &str) -> String {
    at.to_zoned(jiff::tz::TimeZone::fixed(SERVICE_ZONE)).strftime(pattern).to_string()
}

/// The list of a page. Of the first page it must be there, if only as `null`: an answer without it is
/// garbage, and not a day without rows. Beyond the end some services leave it out.
fn list_of<T>(list: Option<Vec<T>>, page: u32) -> Result<Vec<T>, Garbage> {
    match list {
        None if page == 1 => Err(Garbage::field("list")),
        list => Ok(list.unwrap_or_default()),
    }
}

#[derive(Deserialize)]
pub(super) struct TrafficAnswer {
    #[serde(default, deserialize_with = "tolerant::some_list")]
    list: Option<Vec<TrafficWire>>,
}

#[derive(Deserialize)]
struct TrafficWire {
    #[serde(rename = "uniqueID", deserialize_with = "tolerant::named")]
    unique_id: String,
    #[serde(rename = "fileName", default, deserialize_with = "tolerant::any_text")]
    file_name: String,
    #[serde(rename = "fileSize", default, deserialize_with = "tolerant::any_count")]
    file_size: Option<u64>,
    #[serde(rename = "filePath", default, deserialize_with = "tolerant::any_text")]
    file_path: String,
    #[serde(rename = "directLinkURL", default, deserialize_with = "tolerant::any_text")]
    url: String,
    #[serde(rename = "fileSource", default, deserialize_with = "tolerant::any_number")]
    source: i64,
    #[serde(rename = "totalTraffic", default, deserialize_with = "tolerant::any_count")]
    traffic: Option<u64>,
}

impl TrafficAnswer {
    /// `null` for all of it is a page without rows.
    pub(super) fn read(answer: Option<Self>, page: u32) -> Result<Vec<TrafficRow>, Garbage> {
        let Some(answer) = answer else { return Ok(Vec::new()) };
        let row = |row: TrafficWire| {
            Ok(TrafficRow {
                // A cost that cannot be read is not a cost of nothing.
                traffic: row.traffic.ok_or_else(|| Garbage::field("totalTraffic"))?,
                unique_id: row.unique_id,
                file_name: row.file_name,
                file_size: row.file_size.unwrap_or_default(),
                file_path: row.file_path,
                url: row.url,
                source: row.source,
            })
        };
        list_of(answer.list, page)?.into_iter().map(row).collect()
    }
}

/// `GET direct-link/offline/logs`.
#[derive(Serialize)]
struct OfflineRequest<'a> {
    /// `YYYYMMDDHH` in UTC+8, as `endHour`.
    #[serde(rename = "startHour")]
    start_hour: &'a str,
    #[serde(rename = "endHour")]
    end_hour: &'a str,
    /// From 1.
    #[serde(rename = "pageNum")]
    page_num: u32,
    #[serde(rename = "pageSize")]
    page_size: usize,
}

#[derive(Deserialize)]
pub(super) struct OfflineAnswer {
    #[serde(default, deserialize_with = "tolerant::some_list")]
    list: Option<Vec<OfflineWire>>,
}

#[derive(Deserialize)]
struct OfflineWire {
    #[serde(deserialize_with = "tolerant::named")]
    id: String,
    #[serde(rename = "fileName", default, deserialize_with = "tolerant::any_text")]
    name: String,
    #[serde(rename = "fileSize", default, deserialize_with = "tolerant::any_count")]
    size: Option<u64>,
    #[serde(rename = "logTimeRange", default, deserialize_with = "tolerant::any_text")]
    range: String,
    #[serde(rename = "downloadURL", default, deserialize_with = "tolerant::any_text")]
    url: String,
}

impl OfflineAnswer {
    /// `null` for all of it is a page without rows.
    pub(super) fn read(answer: Option<Self>, page: u32) -> Result<Vec<OfflineLog>, Garbage> {
        let Some(answer) = answer else { return Ok(Vec::new()) };
        let row = |row: OfflineWire| {
            let hour = hour(&row.range).or_else(|| hour_of_name(&row.name));
            Ok(OfflineLog {
                hour: hour.ok_or_else(|| Garbage::field("logTimeRange"))?,
                id: row.id,
                name: row.name,
                size: row.size.unwrap_or_default(),
                url: row.url,
            })
        };
        list_of(answer.list, page)?.into_iter().map(row).collect()
    }
}

/// The Unix second in which `2025-06-20 15:00~16:00` begins.
fn hour(range: &str) -> Option<i64> {
    let begin = range.split('~').next().unwrap_or_default().trim();
    let second = match begin.matches(':').count() {
        1 => seconds(&format!("{begin}:00")),
        _ => seconds(begin),
    };
    (second != 0).then_some(second)
}

/// The Unix second in which the hour begins that a name like `202506201516.gz` begins with.
fn hour_of_name(name: &str) -> Option<i64> {
    let digits = name.get(..10).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = digits.split_at(4);
    let (month, rest) = rest.split_at(2);
    let (day, hour) = rest.split_at(2);
    let second = seconds(&format!("{year}-{month}-{day} {hour}:00:00"));
    (second != 0).then_some(second)
}

#[derive(Deserialize)]
pub(super) struct LinkAnswer {
    #[serde(deserialize_with = "tolerant::named")]
    pub(super) url: String,
}

#[derive(Deserialize)]
pub(super) struct SharesAnswer {
    /// Nothing where nothing follows.
    #[serde(rename = "lastShareId", default, deserialize_with = "tolerant::any_text")]
    last: String,
    #[serde(rename = "shareList", deserialize_with = "tolerant::list")]
    list: Vec<Value>,
}

impl SharesAnswer {
    pub(super) fn read(self) -> Result<(Vec<PaidShare>, String), Garbage> {
        Ok((self.list.iter().map(share).collect::<Result<_, _>>()?, self.last))
    }
}

fn share(row: &Value) -> Result<PaidShare, Garbage> {
    let text = |field: &str| tolerant::text(&row[field]);
    let number = |field: &str| tolerant::whole(&row[field]).unwrap_or_default();
    let count = |field: &str| u64::try_from(number(field)).unwrap_or_default();
    Ok(PaidShare {
        id: text("shareId").ok_or_else(|| Garbage::field("shareId"))?,
        key: text("shareKey").ok_or_else(|| Garbage::field("shareKey"))?,
        name: text("shareName").unwrap_or_default(),
        price: text("payAmount").unwrap_or_default(),
        earned: text("amount").unwrap_or_default(),
        expires: seconds(&text("expiration").unwrap_or_default()),
        is_expired: number("expired") != 0 || row["expired"] == Value::Bool(true),
        traffic_switch: number("trafficSwitch"),
        limit_switch: number("trafficLimitSwitch"),
        traffic_limit: count("trafficLimit"),
        charged: count("bytesCharge"),
        previews: count("previewCount"),
        downloads: count("downloadCount"),
        saves: count("saveCount"),
        row: row.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_by_range_and_by_name() {
        assert_eq!(hour("2025-06-20 15:00~16:00"), Some(1_750_402_800));
        assert_eq!(hour("soon"), None);
        assert_eq!(hour_of_name("202506201516.gz"), Some(1_750_402_800));
        assert_eq!(hour_of_name("2025-06.gz"), None);
    }
}
