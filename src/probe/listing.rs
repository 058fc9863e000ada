//! Listing and reading: how soon a change is seen, in which order rows come, what a link gives.

use std::time::Duration;

use super::Error;
use super::picture::Picture;
use super::site::{Found, PATIENCE, PREFIX, Site, name};
use crate::state::answer::{AfterCreate, AfterDelete, Freshness, ListOrder, Range};
use crate::types::{Entry, FileId};

/// Names in the order in which their pictures are made, which is neither that of the names nor its
/// reverse, however many of them are taken.
const NAMES: &[&str] = &["m", "c", "x", "g", "t", "a", "p", "e"];
/// So many pictures are made first. More only if their IDs happen to be in another order too.
const LEAST: usize = 5;

/// The first and the last byte of the part that is asked for.
const PART: (u64, u64) = (5, 9);

pub(super) async fn after_create(site: &Site<'_>) -> Result<Found<AfterCreate>, Error> {
    let id = site.upload(site.folder, &name("png"), &Picture::new()).await?;
    let seen = when_seen(site, &id, true).await?;
    Ok(AfterCreate(seen).into())
}

pub(super) async fn after_delete(site: &Site<'_>) -> Result<Found<AfterDelete>, Error> {
    let id = site.put(site.folder, &name("png"), &Picture::new()).await?;
    let is_listed = || async { site.lists(site.folder, &id).await };
    if site.time_until(PATIENCE, is_listed).await?.is_none() {
        return Err(Error::Odd("a new picture is not listed, so it cannot go from a listing"));
    }
    site.client.delete(std::slice::from_ref(&id)).await?;
    let seen = when_seen(site, &id, false).await?;
    Ok(AfterDelete(seen).into())
}

/// How long it takes from now until the picture is there, or is not.
async fn when_seen(site: &Site<'_>, id: &FileId, is_there: bool) -> Result<Freshness, Error> {
    let by_detail = || async { Ok(site.look(id).await?.is_some() == is_there) };
    let by_listing = || async { Ok(site.lists(site.folder, id).await? == is_there) };
    let (detail, listing) = tokio::try_join!(
        site.time_until(PATIENCE, by_detail),
        site.time_until(PATIENCE, by_listing),
    )?;
    let to_tenths = |seen: Duration| Duration::from_millis((seen.as_millis() / 100 * 100) as u64);
    Ok(Freshness { detail: detail.map(to_tenths), listing: listing.map(to_tenths) })
}

pub(super) async fn range(site: &Site<'_>) -> Result<Found<Range>, Error> {
    let picture = Picture::new();
    let id = site.put(site.folder, &name("png"), &picture).await?;
    let entry = site.look(&id).await?;
    let link = entry.as_ref().and_then(|entry| entry.picture()?.link.as_ref());
    let link = link.ok_or(Error::Odd("the row of a picture has no link"))?;
    let download = site.client.download(&link.download, Some(PART)).await?;
    match download.status_is_partial {
        true if download.first == PART.0 => Ok(Range::Part.into()),
        false if download.length.is_none_or(|length| length == picture.len()) => {
            Ok(Range::Whole.into())
        }
        _ => Err(Error::Odd("a link gives something else than was asked for")),
    }
}

pub(super) async fn order(site: &Site<'_>) -> Result<Found<ListOrder>, Error> {
    let folder = site.make_folder().await?;
    let mut made = Vec::new();
    for letter in NAMES {
        let name = format!("{PREFIX}{letter}.png");
        made.push(site.upload(&folder, &name, &Picture::new()).await?);
        if made.len() < LEAST {
            continue;
        }
        let orders = orders(&listed(site, &folder, made.len()).await?, &made);
        // IDs that rise with age are in one order with it: the age is the better word for it.
        if let [only] = orders[..] {
            return Ok(only.into());
        }
        if orders.is_empty() {
            return Ok(ListOrder::Unclear.into());
        }
        if made.len() == NAMES.len() {
            return Ok(orders[0].into());
        }
    }
    Ok(ListOrder::Unclear.into())
}

/// The listing once it has so many rows.
async fn listed(site: &Site<'_>, folder: &FileId, count: usize) -> Result<Vec<Entry>, Error> {
    let is_whole = || async {
        match site.client.list_all(folder).await {
            Ok(rows) => Ok(rows.len() == count),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    };
    if site.time_until(PATIENCE, is_whole).await?.is_none() {
        return Err(Error::Odd("new pictures are not listed"));
    }
    Ok(site.client.list_all(folder).await?)
}

/// The orders in which the rows are; `made` has the IDs, the oldest first.
fn orders(rows: &[Entry], made: &[FileId]) -> Vec<ListOrder> {
    let ages: Vec<_> = rows.iter().map(|row| made.iter().position(|id| *id == row.id)).collect();
    let id = |row: &Entry| (row.id.as_str().len(), row.id.clone());
    let is_number = rows.iter().all(|row| row.id.as_str().bytes().all(|b| b.is_ascii_digit()));
    let by_id = match is_number {
        true => rows.is_sorted_by_key(id),
        false => rows.is_sorted_by_key(|row| row.id.clone()),
    };
    let found = [
        (ListOrder::NewestFirst, ages.is_sorted_by(|a, b| a >= b)),
        (ListOrder::OldestFirst, ages.is_sorted()),
        (ListOrder::ByName, rows.is_sorted_by_key(|row| row.name.clone())),
        (ListOrder::ById, by_id),
    ];
    found.into_iter().filter(|(_, is_so)| *is_so).map(|(order, _)| order).collect()
}
