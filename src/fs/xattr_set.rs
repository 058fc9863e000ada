//! Extended attributes set and removed: controls by a name of ours, and what is kept for the user.
//!
//! A copy brings along what bedfs told of the original. That cannot be set, and is no reason for the
//! copy to fail: it is passed over.

use std::ffi::OsStr;
use std::sync::Arc;

use super::xattr::{CACHED, Kind};
use super::{Error, Fs, Result, control};
use crate::types::{Attributes, Entry, Ino};

/// Setting it on a folder lists the folder anew.
const REFRESH: &str = "refresh";

/// What `user.bedfs.cached` can be set to.
const PIN: &[u8] = b"pin";
const EVICT: &[u8] = b"evict";

impl Fs {
    /// Sets an attribute. `flags` are those of setxattr(2): whether the name must be new, or be there.
    pub async fn setxattr(&self, ino: Ino, name: &OsStr, value: &[u8], flags: i32) -> Result<()> {
        if control::is_control(ino) {
            return Err(Error::NotSupported);
        }
        match Kind::of(name) {
            Kind::Ours(name) => self.control_by(ino, name, value).await,
            Kind::Kept(name) => {
                let set = |set: &mut Attributes| match set.xattrs.get(name).is_some() {
                    true if flags & libc::XATTR_CREATE != 0 => Err(Error::Exists),
                    false if flags & libc::XATTR_REPLACE != 0 => Err(Error::NoAttribute),
                    _ if set.xattrs.set(name, value) => Ok(()),
                    _ => Err(Error::AttributesFull),
                };
                self.change_xattrs(ino, set)
            }
            Kind::Unsupported => Err(Error::NotSupported),
        }
    }

    /// Removes an attribute.
    pub async fn removexattr(&self, ino: Ino, name: &OsStr) -> Result<()> {
        if control::is_control(ino) {
            return Err(Error::NotSupported);
        }
        match Kind::of(name) {
            Kind::Ours(_) => self.tree.info(ino).map(drop).map_err(Error::from),
            Kind::Kept(name) => self.change_xattrs(ino, |set| match set.xattrs.remove(name) {
                true => Ok(()),
                false => Err(Error::NoAttribute),
            }),
            Kind::Unsupported => Err(Error::NotSupported),
        }
    }

    /// Kept as modes and times are.
    fn change_xattrs(
        &self, ino: Ino, change: impl FnOnce(&mut Attributes) -> Result<()>,
    ) -> Result<()> {
        self.writable()?;
        self.tree.change_attributes(ino, change)??;
        self.touch_inode(ino);
        self.keep_attributes(ino)
    }

    /// `user.bedfs.refresh` on a folder lists it anew, and `user.bedfs.cached` keeps a file here or
    /// throws out what is here of it. Anything else changes nothing.
    async fn control_by(&self, ino: Ino, name: &str, value: &[u8]) -> Result<()> {
        let info = self.tree.info(ino)?;
        match (name, info.entry()) {
            (REFRESH, _) if info.is_folder() => Ok(self.tree.refresh(ino).await?),
            (CACHED, Some(entry)) if value == PIN => self.pin(ino, entry.clone()).await,
            (CACHED, Some(entry)) if value == EVICT => {
                self.reader.evict(entry).map_err(Error::Cache)
            }
            _ => Ok(()),
        }
    }

    async fn pin(&self, ino: Ino, entry: Arc<Entry>) -> Result<()> {
        match self.with_link(ino, Some(entry)).await? {
            Some(entry) => self.reader.pin(&entry).map_err(Error::Cache),
            None => Err(Error::NotSupported),
        }
    }
}
