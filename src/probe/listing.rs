//! Listing: how soon a change is seen.

use std::time::Duration;

use super::Error;
use super::picture::Picture;
use super::site::{Found, PATIENCE, Site, name};
use crate::state::answer::{AfterCreate, AfterDelete, Freshness};
use crate::types::FileId;

pub(super) async fn after_create(site: &Site<'_>) -> Result<Found<AfterCreate>, Error> {
    let id = site.upload(site.folder, &name(), &Picture::new()).await?;
    let seen = when_seen(site, &id, true).await?;
    Ok(AfterCreate(seen).into())
}

pub(super) async fn after_delete(site: &Site<'_>) -> Result<Found<AfterDelete>, Error> {
    let id = site.put(site.folder, &name(), &Picture::new()).await?;
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
