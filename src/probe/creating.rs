//! Creating: names and bytes that are there already, no bytes, what is no picture.

use super::Error;
use super::picture::Picture;
use super::site::{Found, Site, name};
use crate::api::{Created, Spelling};
use crate::state::answer::{
    DuplicateCreate, EmptyFile, InstantAfterDelete, InstantUpload, MkdirName, OtherTypes, SameBytes,
};
use crate::types::FileId;

/// The client finds out by itself.
pub(super) async fn mkdir_name(site: &Site<'_>) -> Result<Found<MkdirName>, Error> {
    site.make_folder().await?;
    match site.client.mkdir_spelling() {
        Some(Spelling::List) => Ok(MkdirName::List.into()),
        Some(Spelling::Text) => Ok(MkdirName::Text.into()),
        None => Err(Error::Odd("a folder was made in no known way")),
    }
}

pub(super) async fn duplicate(site: &Site<'_>) -> Result<Found<DuplicateCreate>, Error> {
    let name = name("png");
    let first = site.put(site.folder, &name, &Picture::new()).await?;
    let second = match site.upload(site.folder, &name, &Picture::new()).await {
        Ok(second) => second,
        Err(error) => return Found::refused(DuplicateCreate::Refused, error),
    };
    if second == first || site.vanishes(&first, &name, site.folder).await? {
        return Ok(DuplicateCreate::OlderVanishes.into());
    }
    match site.look(&second).await? {
        Some(entry) if *entry.name == *name => Ok(DuplicateCreate::BothStay.into()),
        Some(_) => Ok(DuplicateCreate::Renamed.into()),
        None => Err(Error::Odd("a second picture of one name is neither refused nor there")),
    }
}

/// The one that may cost a picture its life: told only after the first was seen before and after.
pub(super) async fn same_bytes(site: &Site<'_>) -> Result<Found<SameBytes>, Error> {
    let (first_name, second_name) = (name("png"), name("png"));
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

pub(super) async fn instant(site: &Site<'_>) -> Result<Found<InstantUpload>, Error> {
    let picture = Picture::new();
    site.put(site.folder, &name("png"), &picture).await?;
    // Elsewhere than the first, which is not to vanish for it.
    let folder = site.make_folder().await?;
    match create(site, &folder, &picture).await? {
        Created::Reused(Some(_)) => Ok(InstantUpload::GivesId.into()),
        Created::Reused(None) => Ok(InstantUpload::GivesNoId.into()),
        Created::Upload { .. } => Ok(InstantUpload::Never.into()),
    }
}

pub(super) async fn instant_after_delete(
    site: &Site<'_>,
) -> Result<Found<InstantAfterDelete>, Error> {
    let picture = Picture::new();
    let first = site.put(site.folder, &name("png"), &picture).await?;
    site.client.delete(std::slice::from_ref(&first)).await?;
    if !site.soon(|| async { Ok(site.look(&first).await?.is_none()) }).await? {
        return Err(Error::Odd("a picture was deleted and is still there"));
    }
    match create(site, site.folder, &picture).await? {
        Created::Reused(_) => Ok(InstantAfterDelete::StillKnown.into()),
        Created::Upload { .. } => Ok(InstantAfterDelete::Forgotten.into()),
    }
}

/// Asks for a picture without sending its bytes.
async fn create(site: &Site<'_>, folder: &FileId, picture: &Picture) -> Result<Created, Error> {
    let sum = picture.sum();
    let created = site.client.create(folder, &name("png"), sum.md5, sum.size).await?;
    if let Created::Reused(Some(id)) = &created {
        site.made(id);
    }
    Ok(created)
}

pub(super) async fn empty_file(site: &Site<'_>) -> Result<Found<EmptyFile>, Error> {
    match site.upload(site.folder, &name("png"), &Picture::empty()).await {
        Ok(_) => Ok(EmptyFile::Taken.into()),
        Err(error) => Found::refused(EmptyFile::Refused, error),
    }
}

pub(super) async fn other_types(site: &Site<'_>) -> Result<Found<OtherTypes>, Error> {
    match site.upload(site.folder, &name("txt"), &Picture::no_picture()).await {
        Ok(_) => Ok(OtherTypes::Taken.into()),
        Err(error) => Found::refused(OtherTypes::Refused, error),
    }
}
