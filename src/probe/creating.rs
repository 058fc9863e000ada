//! Creating: bytes that are there already, and no bytes.

use super::Error;
use super::picture::Picture;
use super::site::{Found, Site, name};
use crate::state::answer::{EmptyFile, SameBytes};

/// The one that may cost a picture its life: told only after the first was seen before and after.
pub(super) async fn same_bytes(site: &Site<'_>) -> Result<Found<SameBytes>, Error> {
    let (first_name, second_name) = (name(), name());
    let picture = Picture::new();
    let first = site.put(site.folder, &first_name, &picture).await?;
    let second = match site.upload(site.folder, &second_name, &picture).await {
        Ok(second) => second,
        Err(error) => return Found::refused(SameBytes::Refused, error),
    };
    if second == first || site.vanishes(&first, &first_name, site.folder).await? {
        return Ok(SameBytes::OlderVanishes.into());
    }
    match site.look(&second).await? {
        Some(_) => Ok(SameBytes::BothStay.into()),
        None => Err(Error::Odd("a second picture of the same bytes is neither refused nor there")),
    }
}

pub(super) async fn empty_file(site: &Site<'_>) -> Result<Found<EmptyFile>, Error> {
    match site.upload(site.folder, &name(), &Picture::empty()).await {
        Ok(_) => Ok(EmptyFile::Taken.into()),
        Err(error) => Found::refused(EmptyFile::Refused, error),
    }
}
