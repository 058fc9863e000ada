//! Look-ups by number: how a file handle is taken up (`open_by_handle_at`, NFS) after the kernel forgot
//! the inode, in this mount or in one before it.

use super::attr::Attr;
use super::{Error, Fs, Result, control};
use crate::aside::aside;
use crate::tree::Error as TreeError;
use crate::types::{FileId, Ino};

impl Fs {
    /// What an inode calls `.`. The kernel's count of it rises.
    pub(super) async fn lookup_self(&self, ino: Ino) -> Result<Attr> {
        if !control::is_control(ino) && self.tree.info(ino).is_err() {
            self.find_number(ino).await?;
        }
        self.entry(ino)
    }

    /// What a folder calls `..`, likewise.
    pub(super) async fn lookup_parent(&self, ino: Ino) -> Result<Attr> {
        let parent = match control::is_control(ino) {
            true => self.control_parent(ino),
            false => {
                self.lookup_self(ino).await?;
                self.tree.forget(ino, 1);
                let parent = self.tree.info(ino)?.parent;
                parent.or((ino == Ino::ROOT).then_some(ino)).ok_or(TreeError::NotFound)?
            }
        };
        self.entry(parent)
    }

    /// Looks at the folders in which an object of this number was last seen.
    async fn find_number(&self, ino: Ino) -> Result<()> {
        let (state, root) = (self.state.clone(), self.tree.folder_id(Ino::ROOT)?);
        let ways = aside(move || state.ways_to(ino, &root)).await;
        for way in ways? {
            match self.look_along(&way).await {
                Err(Error::Tree(TreeError::NotFound | TreeError::NotAFolder)) => {}
                looked => looked?,
            }
            if self.tree.info(ino).is_ok() {
                return Ok(());
            }
        }
        Err(TreeError::NotFound.into())
    }

    /// Looks at each folder on the way down, as far as they are there.
    async fn look_along(&self, way: &[FileId]) -> Result<()> {
        let mut at = Ino::ROOT;
        for step in way.iter().map(Some).chain([None]) {
            self.tree.ensure_known(at).await?;
            self.restore(at)?;
            match step.and_then(|folder| self.tree.child_of(at, folder)) {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}
