//! Moving: of folders.

use super::Error;
use super::site::{Found, Site};
use crate::api;
use crate::state::answer::MoveFolder;
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
