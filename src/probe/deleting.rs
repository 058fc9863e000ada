//! Deleting: what is full, and what is gone.

use super::Error;
use super::picture::Picture;
use super::site::{Found, Site, name};
use crate::state::answer::{DeleteFull, DeleteGone};

pub(super) async fn full(site: &Site<'_>) -> Result<Found<DeleteFull>, Error> {
    let folder = site.make_folder().await?;
    let picture = site.put(&folder, &name("png"), &Picture::new()).await?;
    if let Err(error) = site.client.delete(std::slice::from_ref(&folder)).await {
        return Found::refused(DeleteFull::Refused, error.into());
    }
    if site.soon(|| async { Ok(site.look(&picture).await?.is_none()) }).await? {
        return Ok(DeleteFull::DeletesAll.into());
    }
    match site.look(&folder).await? {
        None => Ok(DeleteFull::LeavesContent.into()),
        Some(_) => Ok(DeleteFull::DoesNothing.into()),
    }
}

pub(super) async fn gone(site: &Site<'_>) -> Result<Found<DeleteGone>, Error> {
    let picture = site.put(site.folder, &name("png"), &Picture::new()).await?;
    let picture = std::slice::from_ref(&picture);
    site.client.delete(picture).await?;
    match site.client.delete(picture).await {
        Ok(()) => Ok(DeleteGone::Works.into()),
        Err(error) if error.is_not_found() => Ok(DeleteGone::Error.into()),
        Err(error) => Found::refused(DeleteGone::Error, error.into()),
    }
}
