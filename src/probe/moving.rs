//! Moving: folders, to the root, and to where the name exists.

use super::Error;
use super::picture::Picture;
use super::scratch;
use super::site::{Found, Site, name};
use crate::api;
use crate::state::State;
use crate::state::answer::{DuplicateMove, MoveFolder, MoveToRoot};
use crate::types::FileId;

/// How often a move is made again whose answer was lost and that was not done.
const REPEATS: usize = 2;

/// What came of a move.
enum Moved {
    There,
    /// With what the service said.
    Refused(String),
    /// The service said yes, and the object is not there.
    Nowhere,
}

/// Moves, and looks whether the object came there. A move whose answer was lost is looked for before
/// it is made again.
async fn bring<L: Future<Output = Result<bool, api::Error>>>(
    site: &Site<'_>, id: &FileId, folder: &FileId, is_there: impl Fn() -> L,
) -> Result<Moved, Error> {
    let mut repeats = REPEATS;
    loop {
        let Err(error) = site.client.move_to(std::slice::from_ref(id), folder).await else {
            return Ok(if site.soon(is_there).await? { Moved::There } else { Moved::Nowhere });
        };
        if error.may_be_done() && site.soon(&is_there).await? {
            return Ok(Moved::There);
        }
        if error.may_be_done() && repeats > 0 {
            repeats -= 1;
            continue;
        }
        let error = Error::from(error);
        return error.refusal().map(Moved::Refused).ok_or(error);
    }
}

pub(super) async fn folder(site: &Site<'_>) -> Result<Found<MoveFolder>, Error> {
    let (inner, outer) = (site.make_folder().await?, site.make_folder().await?);
    match bring(site, &inner, &outer, async || site.is_in(&inner, &outer).await).await? {
        Moved::There => Ok(MoveFolder::Works.into()),
        Moved::Nowhere => Ok(MoveFolder::DoesNothing.into()),
        Moved::Refused(words) => Ok(Found { answer: MoveFolder::Refused, note: Some(words) }),
    }
}

pub(super) async fn duplicate(site: &Site<'_>) -> Result<Found<DuplicateMove>, Error> {
    let name = name("png");
    let (target, source) = (site.make_folder().await?, site.make_folder().await?);
    let first = site.put(&target, &name, &Picture::new()).await?;
    let second = site.put(&source, &name, &Picture::new()).await?;
    match bring(site, &second, &target, async || site.is_in(&second, &target).await).await? {
        Moved::There => {}
        Moved::Nowhere => return Ok(DuplicateMove::DoesNothing.into()),
        Moved::Refused(words) => {
            return Ok(Found { answer: DuplicateMove::Refused, note: Some(words) });
        }
    }
    if site.vanishes(&first, &name, &target).await? {
        return Ok(DuplicateMove::OlderVanishes.into());
    }
    match site.look(&second).await? {
        Some(entry) if *entry.name == *name => Ok(DuplicateMove::BothStay.into()),
        Some(_) => Ok(DuplicateMove::Renamed.into()),
        None => Err(Error::Odd("a picture that was moved is nowhere")),
    }
}

/// A picture of the probe comes to lie in the bed's root for a moment. It is named and recorded
/// like a scratch folder, so that it is found if the probe ends there.
pub(super) async fn to_root(site: &Site<'_>, state: &State) -> Result<Found<MoveToRoot>, Error> {
    let name = format!("{}.png", scratch::name());
    state.probe_begins(&name)?;
    let id = site.put(site.folder, &name, &Picture::new()).await?;
    state.probe_made(&name, &id)?;
    let real = real_root(site).await?;
    let by_empty = goes_to_root(site, &id, &FileId::root(), real.as_ref()).await?;
    let by_real = match &real {
        Some(real) => goes_to_root(site, &id, real, Some(real)).await?,
        None => None,
    };
    let (answer, note) = match (by_empty, by_real) {
        (None, None) => (MoveToRoot::EitherWay, None),
        (None, words) => (MoveToRoot::Empty, words),
        (words, None) if real.is_some() => (MoveToRoot::RealId, words),
        (words, _) => (MoveToRoot::Never, words),
    };
    site.client.delete(std::slice::from_ref(&id)).await?;
    state.probe_gone(&name)?;
    Ok(Found { answer, note })
}

/// The ID that rows name for the root: the parent of the site's folder, which lies there.
async fn real_root(site: &Site<'_>) -> Result<Option<FileId>, Error> {
    let folder = site.look(site.folder).await?;
    let parent = folder.filter(|folder| !folder.tells_no_parent()).map(|folder| folder.parent);
    Ok(parent.filter(|parent| !parent.is_root()))
}

/// Moves the picture to the root and back again. Gives why not, if it does not go there.
async fn goes_to_root(
    site: &Site<'_>, id: &FileId, root: &FileId, real: Option<&FileId>,
) -> Result<Option<String>, Error> {
    let is_there = || async {
        match site.look(id).await? {
            Some(entry) if entry.tells_no_parent() => site.lists(&FileId::root(), id).await,
            Some(entry) => Ok(entry.parent.is_root() || Some(&entry.parent) == real),
            None => Ok(false),
        }
    };
    match bring(site, id, root, is_there).await? {
        Moved::Refused(words) => return Ok(Some(words)),
        Moved::Nowhere => return Ok(Some("it is said to work and does nothing".to_owned())),
        Moved::There => {}
    }
    match bring(site, id, site.folder, async || site.is_in(id, site.folder).await).await? {
        Moved::There => Ok(None),
        _ => Err(Error::Odd("a picture went to the root and does not come back")),
    }
}
