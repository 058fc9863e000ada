//! A listing: the rows of one folder, told by the service in one complete answer, merged into the
//! inode table.
//!
//! Only a complete listing removes anything from view (law 3), and not even that removes what this
//! mount made a moment ago: the listing may lag behind, so `detail` is asked instead.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::table::{Folder, Kind, Table};
use super::{Error, Tree};
use crate::names;
use crate::types::{Attributes, Entry, EntryKind, FileId, Ino};

/// How long `detail` may lag behind what this mount did.
pub(super) const DETAIL_LAG: Duration = Duration::from_secs(5);

/// How long a listing may lag behind what this mount did.
pub(super) const LAG: Duration = Duration::from_secs(30);

/// Root folders of the bed whose names begin so hold what is on its way, and are not shown.
pub const SCRATCH_PREFIX: &str = ".bedfs-scratch-";

/// The name of the control folder, which no remote object may take.
pub const CONTROL_NAME: &str = ".bedfs";

impl Tree {
    /// Lists the folder and merges the answer. A failed listing changes nothing.
    pub(super) async fn list_now(self: Arc<Self>, ino: Ino) -> Result<(), Error> {
        let began = Instant::now();
        let id = self.folder_id(ino)?;
        if id.is_local() {
            self.table().folder_mut(ino)?.listed = Some(began);
            return Ok(());
        }
        let rows = self.client.list_all(&id).await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) if error.is_not_found() && self.is_young(ino) => {
                // The service does not know it yet: what is known of it has to do for a while.
                self.table().folder_mut(ino)?.excused = Some(Instant::now() + DETAIL_LAG);
                return Ok(());
            }
            Err(error) if error.is_not_found() => return Err(Error::NotFound),
            Err(error) => return Err(error.into()),
        };
        if id.is_root() {
            self.learn_root_id(&rows);
        }
        let kept = self.confirm_recent(ino, &rows, began).await?;
        let rows = rows.into_iter().filter(|row| !(id.is_root() && is_scratch(row))).collect();
        let rows = self.without_deleted(&id, rows)?;
        let ids: Vec<&FileId> = rows.iter().map(|row| &row.id).collect();
        let mut attributes = self.state.attributes(&ids)?;
        let reserved: &[&str] = if ino == Ino::ROOT { &[CONTROL_NAME] } else { &[] };
        let named = names::assign(rows, reserved);
        let mut table = self.table();
        if table.folder(ino)?.id.as_ref() != Some(&id) {
            // It was made anew meanwhile: the rows are of the folder that it was.
            return Ok(());
        }
        merge(&mut table, ino, named, &kept, began)?;
        set_attributes(&mut table, ino, &mut attributes)
    }

    /// What is removed here is not shown, though the service may still have it.
    fn without_deleted(&self, folder: &FileId, rows: Vec<Entry>) -> Result<Vec<Entry>, Error> {
        let deleted = self.state.deleted_in(folder)?;
        Ok(rows.into_iter().filter(|row| !deleted.contains(&row.id)).collect())
    }

    fn is_young(&self, ino: Ino) -> bool {
        let table = self.table();
        let since = table.get(ino).ok().and_then(|node| node.since);
        since.is_some_and(|since| since.elapsed() < LAG)
    }

    /// Which of the objects that this mount made a moment ago, and that the listing lacks, exist
    /// all the same.
    async fn confirm_recent(
        &self, ino: Ino, rows: &[Entry], began: Instant,
    ) -> Result<Vec<FileId>, Error> {
        let listed: std::collections::HashSet<_> = rows.iter().map(|row| &row.id).collect();
        let doubtful: Vec<(FileId, Instant)> = {
            let table = self.table();
            let children = table.folder(ino)?.children.values();
            let nodes = children.filter_map(|child| table.get(*child).ok());
            let recent = nodes.filter_map(|node| {
                let since = node.since.filter(|since| *since + LAG > began)?;
                Some((node.kind.id()?.clone(), since))
            });
            recent.filter(|(id, _)| !listed.contains(id)).collect()
        };
        let mut kept = Vec::new();
        for (id, since) in doubtful {
            match self.client.detail(&id).await {
                // `detail` may lag as well, but not as long.
                Err(error) if error.is_not_found() && since.elapsed() > DETAIL_LAG => {}
                // Not a clear no: what was acknowledged stays in view.
                Ok(_) | Err(_) => kept.push(id),
            }
        }
        Ok(kept)
    }
}

impl Kind {
    /// The ID the service knows the object by, if it has it.
    pub(super) fn id(&self) -> Option<&FileId> {
        match self {
            Self::Folder(folder) => folder.id.as_ref(),
            Self::File(entry) => entry.as_ref().map(|entry| &entry.id),
        }
    }
}

fn is_scratch(row: &Entry) -> bool {
    row.kind == EntryKind::Folder && row.name.starts_with(SCRATCH_PREFIX)
}

/// Makes the folder's children what the listing says, inode numbers kept by file ID.
fn merge(
    table: &mut Table, ino: Ino, named: Vec<(Arc<str>, Entry)>, kept: &[FileId], began: Instant,
) -> Result<(), Error> {
    let folder = table.folder_mut(ino)?;
    folder.gone.retain(|_, since| *since + LAG > began);
    let gone = folder.gone.clone();
    let children: Vec<Ino> = folder.children.values().copied().collect();
    let by_id: HashMap<FileId, Ino> = children
        .iter()
        .filter_map(|child| Some((table.get(*child).ok()?.kind.id()?.clone(), *child)))
        .collect();
    let named: Vec<_> = named.into_iter().filter(|(_, row)| !gone.contains_key(&row.id)).collect();
    let listed: std::collections::HashSet<FileId> =
        named.iter().map(|(_, row)| row.id.clone()).collect();
    for child in children {
        drop_if_vanished(table, child, &listed, kept, began);
    }
    for (name, row) in named {
        // An inode that lost its name to another row above may be forgotten by now.
        match by_id.get(&row.id).filter(|child| table.get(**child).is_ok()) {
            Some(child) => update(table, *child, ino, name, row)?,
            None => adopt(table, ino, name, row),
        }
    }
    let folder = table.folder_mut(ino)?;
    folder.listed = Some(Instant::now());
    folder.excused = None;
    Ok(())
}

/// Gives children what the user set on them, unless more is known already.
fn set_attributes(
    table: &mut Table, ino: Ino, attributes: &mut HashMap<FileId, Attributes>,
) -> Result<(), Error> {
    if attributes.is_empty() {
        return Ok(());
    }
    let children: Vec<Ino> = table.folder(ino)?.children.values().copied().collect();
    for child in children {
        let node = table.get_mut(child)?;
        let Some(id) = node.kind.id() else { continue };
        if let Some(set) = attributes.remove(id)
            && node.attributes.is_none()
        {
            node.attributes = Some(Box::new(set));
        }
    }
    Ok(())
}

/// Takes a child out of view that the service no longer has. What is held here stays, as a file
/// that the service has not got.
fn drop_if_vanished(
    table: &mut Table, child: Ino, listed: &std::collections::HashSet<FileId>, kept: &[FileId],
    began: Instant,
) {
    let Ok(node) = table.get_mut(child) else {
        return;
    };
    let Some(id) = node.kind.id() else { return };
    let ours = node.since.is_some_and(|since| since >= began) || kept.contains(id);
    if listed.contains(id) || ours || id.is_local() {
        return;
    }
    match &mut node.kind {
        Kind::File(entry) if node.staged => *entry = None,
        _ => table.orphan(child),
    }
}

/// A row of a known object: its inode takes the row, and the name if that changed.
fn update(
    table: &mut Table, child: Ino, ino: Ino, name: Arc<str>, row: Entry,
) -> Result<(), Error> {
    let node = table.get_mut(child)?;
    match &mut node.kind {
        Kind::File(entry) => *entry = Some(Arc::new(row)),
        Kind::Folder(folder) => folder.created = row.created,
    }
    if node.name != name || node.parent != Some(ino) {
        table.rename(child, ino, name)?;
    }
    Ok(())
}

/// A row of an unknown object. A file staged here under its name is about to replace it.
fn adopt(table: &mut Table, ino: Ino, name: Arc<str>, row: Entry) {
    let there = table.folder(ino).ok().and_then(|folder| folder.children.get(&name).copied());
    if there.is_some_and(|child| table.get(child).is_ok_and(|node| node.local)) {
        // A file that stays here hides what others gave its name.
        return;
    }
    let staged = there.filter(|child| table.get(*child).is_ok_and(|node| node.staged));
    if let Some(child) = staged
        && row.kind != EntryKind::Folder
        && let Ok(node) = table.get_mut(child)
    {
        node.kind = Kind::File(Some(Arc::new(row)));
        return;
    }
    table.add(Some(ino), name, kind_of(row));
}

/// What the table keeps of a row.
pub(super) fn kind_of(row: Entry) -> Kind {
    match row.kind {
        EntryKind::File(_) => Kind::File(Some(Arc::new(row))),
        EntryKind::Folder => Kind::Folder(Box::new(Folder {
            id: Some(row.id),
            created: row.created,
            ..Folder::default()
        })),
    }
}
