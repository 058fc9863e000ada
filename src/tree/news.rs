//! News: what a listing changed of what the kernel may remember.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use super::Tree;
use super::node::Node;
use crate::types::Ino;

/// Listings whose news wait for the kernel.
const MOST: usize = 256;

/// What changed in one folder.
#[derive(Clone, Debug)]
pub struct News {
    /// The folder.
    pub folder: Ino,
    /// Names that went, came, or are another object's.
    pub names: Vec<Arc<str>>,
    /// Files that are the same objects, and of which something else is told.
    pub files: Vec<Ino>,
}

/// Whoever wants to be told.
#[derive(Debug, Default)]
pub(super) struct Listener(OnceLock<SyncSender<News>>);

impl News {
    pub(super) fn of(folder: Ino) -> Self {
        Self { folder, names: Vec::new(), files: Vec::new() }
    }

    /// A node's name goes from its folder, if it comes into another one.
    pub(super) fn of_leaving(node: &Node, into: Ino) -> Option<Self> {
        let folder = node.parent().filter(|parent| *parent != into)?;
        Some(Self { names: vec![node.name.clone()], ..Self::of(folder) })
    }
}

impl Tree {
    /// What listings change from now on. For one who asks once.
    pub fn news(&self) -> Receiver<News> {
        let (sender, receiver) = sync_channel(MOST);
        // A second one hears nothing.
        let _first = self.listener.0.set(sender);
        receiver
    }

    /// With no lock held: the kernel may ask something before it takes the news.
    pub(super) fn tell(&self, news: News) {
        if news.names.is_empty() && news.files.is_empty() {
            return;
        }
        if let Some(listener) = self.listener.0.get() {
            // Nobody listens at the end of the mount. What is too much the kernel forgets by itself,
            // a TTL after it heard of it.
            let _unheard = listener.try_send(news);
        }
    }
}
