//! The root of a mount: the folder of the bed that it shows.

use std::sync::Arc;

use super::Error;
use crate::api::Client;
use crate::config::Wishes;
use crate::state::State;
use crate::tree::{self, Tree};
use crate::types::{FileId, Ino};

/// The tree, with the names of its root known. What was kept of the way to it may be old.
pub(super) async fn open_tree(
    wishes: &Wishes, client: &Client, state: &Arc<State>,
) -> Result<Arc<Tree>, Error> {
    let path = wishes.root.as_deref().unwrap_or("");
    let mut is_kept = true;
    loop {
        let root = find_root(client, state, path, is_kept).await?;
        let tree = Tree::new(client.clone(), state.clone(), root, wishes.dir_ttl());
        match tree.look(Ino::ROOT).await {
            Err(tree::Error::NotFound) if is_kept => is_kept = false,
            looked => return Ok(looked.map(|_| tree)?),
        }
    }
}

/// The ID of the folder to mount.
async fn find_root(
    client: &Client, state: &State, path: &str, is_kept: bool,
) -> Result<FileId, Error> {
    let mut at = FileId::root();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let missing = || Error::NoRoot { path: path.to_owned(), missing: part.to_owned() };
        at = tree::find_folder(client, state, &at, part, is_kept).await?.ok_or_else(missing)?;
    }
    Ok(at)
}
