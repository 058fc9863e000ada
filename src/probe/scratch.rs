//! The probe's scratch folders: made in the bed's root, recorded before, and cleared away with all
//! that is in them.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::sleep;

use super::Error;
use super::picture::random;
use super::site::{PREFIX, lock};
use crate::api::{self, Client};
use crate::state::{ScratchRow, State};
use crate::tree::SCRATCH_PREFIX;
use crate::types::{Entry, EntryKind, FileId};

/// What the names of the probe's own begin with, after the prefix of all scratch folders.
const OURS: &str = "probe-";

/// How often, and how far apart, it is looked for what may not be seen yet.
const LOOKS: usize = 5;
const LOOK: Duration = Duration::from_secs(1);
/// How often a folder is made again whose making was lost and that is not found.
const REPEATS: usize = 2;

const FOREIGN: &str =
    "something lies in it that no probe made; look into it, and delete it yourself";

/// A new name for a scratch folder of the probe.
pub(super) fn name() -> String {
    format!("{SCRATCH_PREFIX}{OURS}{}", random())
}

/// Whether an object of this name was made by a probe.
fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(&format!("{SCRATCH_PREFIX}{OURS}"))
}

/// Makes a scratch folder.
pub(super) async fn make(client: &Client, state: &State) -> Result<FileId, Error> {
    let name = name();
    state.probe_begins(&name)?;
    let folder = make_in(client, &FileId::root(), &name).await?;
    state.probe_made(&name, &folder)?;
    Ok(folder)
}

/// Makes a folder. One whose answer was lost is looked for before it is made again.
pub(super) async fn make_in(client: &Client, parent: &FileId, name: &str) -> Result<FileId, Error> {
    for _ in 0..REPEATS {
        match client.mkdir(parent, name).await {
            Err(error) if error.may_be_done() => {}
            made => return Ok(made?),
        }
        if let Some(found) = find(client, parent, name).await? {
            return Ok(found.id);
        }
    }
    Ok(client.mkdir(parent, name).await?)
}

/// Clears away all that probes of this machine recorded; `made` is what this one made.
pub(super) async fn clear(
    client: &Client, state: &State, made: &Mutex<Vec<FileId>>,
) -> Result<(), Error> {
    let mut outcome = Ok(());
    for row in &state.probes()? {
        match clear_row(client, row, made).await {
            Ok(()) => state.probe_gone(&row.name)?,
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

async fn clear_row(
    client: &Client, row: &ScratchRow, made: &Mutex<Vec<FileId>>,
) -> Result<(), Error> {
    let entry = match &row.folder {
        Some(id) => look(client, id).await?,
        None => find(client, &FileId::root(), &row.name).await?,
    };
    let Some(entry) = entry.filter(|entry| *entry.name == *row.name) else {
        return Ok(());
    };
    if entry.kind == EntryKind::Folder {
        empty(client, &entry.id, made).await?;
        // What `delete` does to a full folder is not documented.
        if !rows(client, &entry.id).await?.iter().all(|row| is_ours(&row.name)) {
            return Err(Error::Left(FOREIGN));
        }
    }
    match delete(client, std::slice::from_ref(&entry.id)).await? {
        true => Ok(()),
        false => Err(Error::Left("the service does not delete it")),
    }
}

/// The object of that name in the folder, looked for a few times since a listing may lag.
async fn find(client: &Client, parent: &FileId, name: &str) -> Result<Option<Entry>, Error> {
    for _ in 0..LOOKS {
        let rows = rows(client, parent).await?;
        if let Some(row) = rows.into_iter().find(|row| *row.name == *name) {
            return Ok(Some(row));
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// The object, looked for twice, since it may have been made a moment ago.
async fn look(client: &Client, id: &FileId) -> Result<Option<Entry>, Error> {
    for _ in 0..2 {
        match client.detail(id).await {
            Ok(entry) => return Ok(Some(entry)),
            Err(error) if error.is_not_found() => sleep(LOOK).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Deletes what a probe made in the folder, and nothing else: what is listed there, and what is in
/// `made` and may not be listed yet. A listing may still have what is gone, and not yet have all.
pub(super) async fn empty(
    client: &Client, folder: &FileId, made: &Mutex<Vec<FileId>>,
) -> Result<(), Error> {
    let mut is_done = false;
    for _ in 0..LOOKS {
        let layers = listed(client, folder).await?;
        let is_empty = layers.is_empty();
        let mut there = Vec::new();
        let listed = layers.into_iter().flatten().map(|entry| entry.id);
        let mut seen = HashSet::new();
        let made = lock(made).clone();
        for id in listed.chain(made).filter(|id| seen.insert(id.clone())) {
            there.extend(find_by_id(client, &id).await?);
        }
        if there.is_empty() && is_empty {
            return Ok(());
        }
        is_done = delete_all(client, &there).await?;
        if there.is_empty() || !is_done {
            sleep(LOOK).await;
        }
    }
    if is_done { Ok(()) } else { Err(Error::Left("what is in it does not go")) }
}

/// The object if it is still there and is a probe's.
async fn find_by_id(client: &Client, id: &FileId) -> Result<Option<Entry>, Error> {
    match client.detail(id).await {
        Ok(entry) => Ok(Some(entry).filter(|entry| is_ours(&entry.name))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes files, then folders from the last on, so that each is empty when its turn comes.
async fn delete_all(client: &Client, entries: &[Entry]) -> Result<bool, Error> {
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.kind == EntryKind::Folder);
    let files: Vec<FileId> = files.into_iter().map(|entry| entry.id.clone()).collect();
    let mut is_done = delete(client, &files).await?;
    for folder in folders.iter().rev() {
        is_done &= delete(client, std::slice::from_ref(&folder.id)).await?;
    }
    Ok(is_done)
}

/// What probes made in the folder, and in their folders there, layer by layer.
async fn listed(client: &Client, folder: &FileId) -> Result<Vec<Vec<Entry>>, Error> {
    let mut layer = rows(client, folder).await?;
    layer.retain(|entry| is_ours(&entry.name));
    let mut layers = Vec::new();
    while !layer.is_empty() {
        let mut inner = Vec::new();
        for folder in layer.iter().filter(|entry| entry.kind == EntryKind::Folder) {
            inner.extend(rows(client, &folder.id).await?);
        }
        if !inner.iter().all(|entry| is_ours(&entry.name)) {
            return Err(Error::Left(FOREIGN));
        }
        layers.push(std::mem::replace(&mut layer, inner));
    }
    Ok(layers)
}

/// The rows of a folder; none where listings do not know it yet, or no longer.
async fn rows(client: &Client, folder: &FileId) -> Result<Vec<Entry>, Error> {
    match client.list_all(folder).await {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        rows => Ok(rows?),
    }
}

/// Deletes, and tells whether all are gone. One that is gone already counts, and may spoil a call
/// for the others: then each is deleted by itself.
async fn delete(client: &Client, ids: &[FileId]) -> Result<bool, Error> {
    match client.delete(ids).await {
        Ok(()) => return Ok(true),
        Err(error) if !error.is_not_found() && !error.is_refused() => return Err(error.into()),
        Err(error) if ids.len() == 1 => return Ok(error.is_not_found()),
        Err(_) => {}
    }
    let mut all = true;
    for id in ids {
        match client.delete(std::slice::from_ref(id)).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) if error.is_refused() && is_gone(client, id).await => {}
            Err(error) if error.is_refused() => all = false,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

async fn is_gone(client: &Client, id: &FileId) -> bool {
    client.detail(id).await.is_err_and(|error: api::Error| error.is_not_found())
}
