//! The fuzzer's door to this room: answers of servers.

use jiff::Timestamp;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::download::content_range;
use super::envelope::{Answer, Asking};
use super::failure::{Failure, FailureKind};
use super::instead;
use super::ledger::{LinkAnswer, OfflineAnswer, SharesAnswer, TrafficAnswer};
use super::list::Page;
use super::progress::{Completed, Created, Part};
use super::scrub::scrub;
use super::send::http_date;
use super::user::UserInfo;
use super::wire::{
    Garbage, ListAnswer, MkdirAnswer, Row, TokenAnswer, UploadUrlAnswer, md5, seconds,
};
use crate::types::{Entry, FileId};

/// What no message may hold.
const SECRET: &str = "hunter2-hunter2";

/// An answer of the API host: two bytes of HTTP status, then the body. No message holds a secret, or
/// what would control a terminal.
pub fn answer(bytes: &[u8]) {
    let Some((&[high, low], body)) = bytes.split_first_chunk() else { return };
    let status = 100 + u16::from_be_bytes([high, low]) % 500;
    let status = StatusCode::from_u16(status).expect("from 100 to 599");
    let answer = Answer { status, retry_after: None, date: None::<Timestamp>, body: body.to_vec() };
    let asking = Asking { what: "it", host: "http://host", secrets: &[SECRET] };
    if let Some(error) = instead::said(body, "it") {
        let told = error.to_string();
        assert!(!told.contains(char::is_control), "{told}");
    }
    match answer.judge(&asking) {
        Ok(data) => read_all(&data),
        Err(failure) => {
            let told = told(failure);
            assert!(!told.contains(SECRET) && !told.contains(char::is_control), "{told}");
        }
    }
}

fn told(failure: Failure) -> String {
    match failure.kind {
        FailureKind::Denied(reply) | FailureKind::Checking(reply) => {
            format!("{} {reply}", failure.cause)
        }
        FailureKind::Final(error) => format!("{} {error}", failure.cause),
        _ => failure.cause,
    }
}

/// Reads the data as each endpoint would.
fn read_all(data: &Value) {
    fn read<A: DeserializeOwned, T>(data: &Value, read: impl Fn(A) -> Result<T, Garbage>) {
        if let Ok(answer) = A::deserialize(data)
            && let Err(Garbage(why)) = read(answer)
        {
            let shown = scrub(&why, &[SECRET]);
            assert!(!shown.contains(SECRET), "{shown}");
        }
    }
    let folder = FileId::new("folder");
    read(data, |answer: ListAnswer| Page::read(answer, &folder));
    read(data, |row: Row| row.entry(&folder));
    read(data, |answer: MkdirAnswer| Ok(answer.list.len()));
    read(data, |answer: TokenAnswer| Ok(answer.access_token));
    read(data, |answer: UploadUrlAnswer| Ok(answer.presigned_url));
    read(data, Created::read);
    read(data, Completed::read);
    read(data, Part::read_all);
    read(data, UserInfo::account);
    read(data, |answer| TrafficAnswer::read(answer, 1));
    read(data, |answer| OfflineAnswer::read(answer, 1));
    read(data, SharesAnswer::read);
    read(data, |answer: LinkAnswer| Ok(answer.url));
}

/// The rows of a page, where the text is one.
pub fn page(bytes: &[u8]) -> Vec<Entry> {
    let answer = serde_json::from_slice::<ListAnswer>(bytes).ok();
    let page = answer.and_then(|answer| Page::read(answer, &FileId::root()).ok());
    page.map(|page| page.entries).unwrap_or_default()
}

/// What servers of bytes write into headers and rows, a line each: what is taken begins inside of the
/// whole.
pub fn headers(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some((first, Some(total))) = content_range(line) {
            assert!(first < total, "{line:?}");
        }
        let _moments = (http_date(line), seconds(line));
        let _sum = md5(line);
    }
}
