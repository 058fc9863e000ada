//! A listing: the rows of one folder, told by the service in one complete answer, merged into the
//! inode table.
//!
//! Only a complete listing removes anything from view (law 3), and not even that removes what this
//! mount made a moment ago: the listing may lag behind, so `detail` is asked instead. The rows of a
//! folder that was never listed are shown as their pages come; else all of them wait for the last.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::folder::Changed;
use super::fresh::View;
use super::news::News;
use super::node::{Kind, Node};
use super::table::Table;
use super::{Child, Error, Tree};
use crate::api;
use crate::names;
use crate::types::{Attributes, Entry, EntryKind, FileId, Ino};

/// Root folders of the bed whose names begin so hold what is on its way, and are not shown.
pub const SCRATCH_PREFIX: &str = ".bedfs-scratch-";

/// The name of the control folder, which no remote object may take.
pub const CONTROL_NAME: &str = ".bedfs";

/// What a listing told so far.
struct Merge {
    ino: Ino,
    id: FileId,
    began: Instant,
    /// Nothing of the folder was known before.
    is_first: bool,
    /// Children that are as the rows tell.
    seen: HashSet<Ino>,
    /// Rows that change something, for the end.
    rest: Vec<Entry>,
}

impl Tree {
    /// Lists the folder and merges the answer. A failed listing takes nothing away. The names of a
    /// folder that was never listed go to `names` as they come. While it is not `wanted` others go
    /// first.
    pub(super) async fn list_now(
        self: &Arc<Self>, ino: Ino, names: watch::Sender<Vec<Child>>, wanted: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mut merge = Merge::begin(&mut self.table(), ino, self.client.staleness().listing())?;
        if merge.id.is_local() {
            self.table().folder_mut(ino)?.view = View::Listed(merge.began);
            return Ok(());
        }
        let (mut pages, progress) = (self.client.pages(&merge.id), self.progress(ino));
        loop {
            let is_wanted = *wanted.borrow();
            let page = match is_wanted {
                true => pages.next().await,
                false => api::in_background(pages.next()).await,
            };
            match page {
                Ok(Some(rows)) => {
                    progress.came(rows.len());
                    let new = self.take_page(&mut merge, rows)?;
                    // The end of the listing brings those of the last page.
                    if !new.is_empty() && !pages.is_last() {
                        names.send_modify(|names| names.extend(new));
                    }
                }
                Ok(None) => return self.merge(merge).await,
                Err(error) if error.is_not_found() && self.is_young(ino) => {
                    // The service does not know it yet: what is known of it has to do for a while.
                    self.table().folder_mut(ino)?.excused =
                        Some(Instant::now() + self.client.staleness().detail());
                    return Ok(());
                }
                Err(error) if error.is_not_found() => return Err(Error::NotFound),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in the rows of one page, and gives the names that are new.
    fn take_page(&self, merge: &mut Merge, mut rows: Vec<Entry>) -> Result<Vec<Child>, Error> {
        if merge.id.is_root() {
            self.learn_root_id(&rows);
            rows.retain(|row| !is_scratch(row));
        }
        // What is removed here is not shown, though the service may still have it.
        let deleted = self.state.deleted_in(&merge.id)?;
        rows.retain(|row| !deleted.contains(&row.id));
        let mut attributes = match merge.is_first {
            true => self.attributes(&rows)?,
            false => HashMap::new(),
        };
        let mut table = self.table();
        let mut new = Vec::new();
        for row in rows {
            let number = attributes.get(&row.id).and_then(|set| set.ino);
            if let Some(ino) = merge.take_row(&mut table, row, number)? {
                let node = table.get_mut(ino)?;
                set_attributes(node, &mut attributes);
                new.push(Child { ino, name: node.name.clone(), is_folder: node.is_folder() });
            }
        }
        Ok(new)
    }

    /// What the user set on these objects.
    pub(super) fn attributes(&self, rows: &[Entry]) -> Result<HashMap<FileId, Attributes>, Error> {
        let ids: Vec<&FileId> = rows.iter().map(|row| &row.id).collect();
        Ok(self.state.attributes(&ids)?)
    }

    /// Makes the folder's children what the complete listing says, inode numbers kept by file ID.
    async fn merge(&self, mut merge: Merge) -> Result<(), Error> {
        let ino = merge.ino;
        let kept = self.confirm_recent(&merge).await?;
        let mut attributes = self.attributes(&merge.rest)?;
        let mut table = self.table();
        let folder = table.folder(ino)?;
        if folder.id.as_ref() != Some(&merge.id) {
            // It was made anew meanwhile: the rows are of the folder that it was.
            return Ok(());
        }
        merge.rest.retain(|row| !folder.gone.contains_key(&row.id));
        let (mut news, mut left) = (News::of(ino), Vec::new());
        merge.drop_vanished(&mut table, &kept, &mut news)?;
        for (name, row) in merge.named(&table)? {
            // An inode that lost its name to another row above may be forgotten by now.
            let there = table.find_in(ino, &row.id);
            let is_free = !table.folder(ino)?.children.contains_key(&name);
            let elsewhere = || table.find_elsewhere(ino, &row, merge.began).filter(|_| is_free);
            let child = match there.or_else(elsewhere) {
                Some(child) => {
                    left.extend(News::of_leaving(table.get(child)?, ino));
                    update(&mut table, child, ino, name, &row, &mut news)?;
                    Some(child)
                }
                None => {
                    news.names.push(name.clone());
                    let number = attributes.get(&row.id).and_then(|set| set.ino);
                    adopt(&mut table, ino, name, &row, number)
                }
            };
            if let Some(child) = child {
                set_attributes(table.get_mut(child)?, &mut attributes);
            }
        }
        let folder = table.folder_mut(ino)?;
        if merge.is_first {
            // Built anew from what is in order, the map has no gaps.
            folder.children = std::mem::take(&mut folder.children).into_iter().collect();
        }
        folder.view = View::Listed(Instant::now());
        folder.listed_at = jiff::Timestamp::now().as_second();
        folder.took = merge.began.elapsed();
        folder.excused = None;
        table.unsaved.insert(ino);
        table.has_arrived(ino);
        drop(table);
        self.kept.wake();
        left.into_iter().chain([news]).for_each(|news| self.tell(news));
        Ok(())
    }

    fn is_young(&self, ino: Ino) -> bool {
        let since = self.table().get(ino).ok().and_then(Node::since);
        since.is_some_and(|since| since.elapsed() < self.client.staleness().listing())
    }

    /// Which of the objects that this mount made a moment ago, and that the listing lacks, exist
    /// all the same.
    async fn confirm_recent(&self, merge: &Merge) -> Result<HashSet<FileId>, Error> {
        let (lag, detail_lag) =
            (self.client.staleness().listing(), self.client.staleness().detail());
        let listed: HashSet<&str> = merge.rest.iter().map(|row| row.id.as_str()).collect();
        let doubtful: Vec<(FileId, Instant)> = {
            let table = self.table();
            let children = table.folder(merge.ino)?.children.values();
            let unseen = children.filter(|child| !merge.seen.contains(child));
            let nodes = unseen.filter_map(|child| table.get(*child).ok());
            let recent = nodes.filter_map(|node| {
                let since = node.since().filter(|since| *since + lag > merge.began)?;
                Some((node.id().filter(|id| !listed.contains(id))?, since))
            });
            recent.map(|(id, since)| (FileId::new(id), since)).collect()
        };
        let mut kept = HashSet::new();
        for (id, since) in doubtful {
            match self.client.detail(&id).await {
                // `detail` may lag as well, but not as long.
                Err(error) if error.is_not_found() && since.elapsed() > detail_lag => {}
                // Not a clear no: what was acknowledged stays in view.
                Ok(_) | Err(_) => {
                    kept.insert(id);
                }
            }
        }
        Ok(kept)
    }
}

impl Merge {
    /// What this mount removed within the `lag` of listings is not taken from them.
    fn begin(table: &mut Table, ino: Ino, lag: Duration) -> Result<Self, Error> {
        let began = Instant::now();
        let folder = table.folder_mut(ino)?;
        folder.gone.retain(|_, since| *since + lag > began);
        let id = folder.id.clone().ok_or(Error::NotFound)?;
        let is_known = folder.is_known();
        let mut children = table.folder(ino)?.children.values();
        let is_remote = |child: &Ino| {
            let id = table.get(*child).ok().and_then(|node| node.id().map(FileId::new));
            id.is_some_and(|id| !id.is_local())
        };
        let is_first = !is_known && !children.any(is_remote);
        if is_first {
            table.folder_mut(ino)?.changed = Changed::All;
        }
        Ok(Self { ino, id, began, is_first, seen: HashSet::new(), rest: Vec::new() })
    }

    /// Whether something else than an object may have the name.
    fn is_reserved(&self, name: &str) -> bool {
        self.ino == Ino::ROOT && name == CONTROL_NAME
    }

    /// Takes in one row, and gives its inode if that is new.
    fn take_row(
        &mut self, table: &mut Table, row: Entry, number: Option<Ino>,
    ) -> Result<Option<Ino>, Error> {
        let folder = table.folder(self.ino)?;
        if folder.gone.contains_key(&row.id) {
            return Ok(None);
        }
        let name = names::plain(&row.name).filter(|name| !self.is_reserved(name));
        let is_free = name.as_ref().is_some_and(|name| !folder.children.contains_key(&**name));
        match (table.find_in(self.ino, &row.id), name) {
            (Some(child), Some(name))
                if *table.get(child)?.name == *name && table.is_as_told(child, &row) =>
            {
                self.seen.insert(child);
            }
            (None, Some(name))
                if is_free
                    && self.is_first
                    && table.find_elsewhere(self.ino, &row, self.began).is_none() =>
            {
                let child = table.add_entry(self.ino, Arc::from(&*name), &row, number);
                self.seen.insert(child);
                return Ok(Some(child));
            }
            _ => self.rest.push(row),
        }
        Ok(None)
    }

    /// Takes the children out of view that the service no longer has. What is held here stays, as a
    /// file that the service has not got.
    fn drop_vanished(
        &self, table: &mut Table, kept: &HashSet<FileId>, news: &mut News,
    ) -> Result<(), Error> {
        let listed: HashSet<&str> = self.rest.iter().map(|row| row.id.as_str()).collect();
        let children = table.folder(self.ino)?.children.values();
        let unseen: Vec<Ino> =
            children.filter(|child| !self.seen.contains(child)).copied().collect();
        for child in unseen {
            let node = table.get(child)?;
            let Some(id) = node.id() else { continue };
            let is_ours = node.since().is_some_and(|since| since >= self.began);
            let id_of = FileId::new(id);
            let is_ours = is_ours || table.is_on_its_way(child);
            if listed.contains(id) || is_ours || kept.contains(&id_of) || id_of.is_local() {
                continue;
            }
            news.names.push(node.name.clone());
            match node.kind() {
                Kind::File(_) if node.staged() => table.set_entry(child, None),
                Kind::File(_) | Kind::Folder(_) => table.orphan(child),
            }
        }
        Ok(())
    }

    /// The rest with the names that the mount is to show for it. What has one of these names may have
    /// to give it up, and is among them then.
    fn named(&mut self, table: &Table) -> Result<Vec<(Arc<str>, Entry)>, Error> {
        let mut rows = std::mem::take(&mut self.rest);
        let children = &table.folder(self.ino)?.children;
        let mut holders: HashMap<Ino, Entry> = HashMap::new();
        for row in &rows {
            let holder = names::plain(&row.name).and_then(|name| children.get(&*name));
            if let Some(holder) = holder.filter(|holder| self.seen.contains(holder)) {
                let told = table.entry(*holder).or_else(|| table.folder_row(*holder, &row.name));
                holders.extend(told.map(|told| (*holder, told)));
            }
        }
        rows.extend(holders.into_values());
        Ok(names::assign(rows, |name| self.is_reserved(name)))
    }
}

pub(super) fn is_scratch(row: &Entry) -> bool {
    row.kind == EntryKind::Folder && row.name.starts_with(SCRATCH_PREFIX)
}

/// Gives a child what the user set on it, unless more is known already.
pub(super) fn set_attributes(node: &mut Node, attributes: &mut HashMap<FileId, Attributes>) {
    if attributes.is_empty() {
        return;
    }
    let set = node.id().and_then(|id| attributes.remove(id));
    if let Some(set) = set {
        node.rare_mut().attributes.get_or_insert(set);
    }
}

/// A row of a known object: its inode takes the row, and the name if that changed.
fn update(
    table: &mut Table, child: Ino, ino: Ino, name: Arc<str>, row: &Entry, news: &mut News,
) -> Result<(), Error> {
    let node = table.get(child)?;
    news.files.push(child);
    if node.name != name || node.parent() != Some(ino) {
        news.names.extend([node.name.clone(), name.clone()]);
        table.rename(child, ino, name)?;
    }
    match table.folder_mut(child) {
        Ok(folder) => folder.created = row.created,
        Err(_) => table.set_entry(child, Some(row)),
    }
    Ok(())
}

/// A row of an unknown object. A file staged here under its name is about to replace it; one that
/// stays here hides what others gave its name.
pub(super) fn adopt(
    table: &mut Table, ino: Ino, name: Arc<str>, row: &Entry, number: Option<Ino>,
) -> Option<Ino> {
    let there = table.folder(ino).ok().and_then(|folder| folder.children.get(&name).copied());
    let node = there.and_then(|child| Some((child, table.get(child).ok()?)));
    match node {
        Some((_, node)) if node.local() => None,
        Some((child, node)) if node.staged() && row.kind != EntryKind::Folder => {
            table.set_entry(child, Some(row));
            Some(child)
        }
        _ => Some(table.add_entry(ino, name, row, number)),
    }
}
