//! Attributes: what `stat`, `statfs` and their setters deal in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Error, Fs, Result, control};
use crate::tree::{Info, What};
use crate::types::Ino;

/// What `stat` tells.
#[derive(Clone, Copy, Debug)]
pub struct Attr {
    /// The inode.
    pub ino: Ino,
    /// Whether it is a folder; else it is a file.
    pub is_folder: bool,
    /// Whether no folder names it any more, but a program has it open.
    pub is_removed: bool,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: SystemTime,
    /// Last change of content.
    pub mtime: SystemTime,
    /// Last change of the inode.
    pub ctime: SystemTime,
    /// When the object was made.
    pub created: SystemTime,
}

/// What `statfs` tells.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes that the account may store.
    pub total: u64,
    /// Bytes of these that are free.
    pub free: u64,
    /// Inodes known.
    pub inodes: u64,
}

/// What a `setattr` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SystemTime>,
    /// Last change of content.
    pub mtime: Option<SystemTime>,
    /// The open file by which it was asked for.
    pub handle: Option<u64>,
}

/// Who makes something, and with what permission bits.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    /// Permission bits.
    pub mode: u32,
    /// The maker's user.
    pub uid: u32,
    /// The maker's group.
    pub gid: u32,
}

/// Told while the account's figures are not known: enough for any program that asks first.
const UNKNOWN_SPACE: u64 = 1 << 50;

/// The bits by which a program runs as another. No file has them: a write would have to clear them.
pub(super) const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

impl Fs {
    /// The attributes of an inode.
    pub fn getattr(&self, ino: Ino) -> Result<Attr> {
        if control::is_control(ino) {
            return self.control_attr(ino);
        }
        Ok(self.attr_of(&self.tree.info(ino)?))
    }

    pub(super) fn attr_of(&self, info: &Info) -> Attr {
        let (size, created, updated, bits) = match &info.what {
            What::Folder { created, .. } => (0, *created, *created, 0o777),
            What::File(Some(entry)) => (entry.size(), entry.created, entry.updated, 0o666),
            What::File(None) => (0, 0, 0, 0o666),
        };
        let staged = self.locals.get(info.ino).and_then(|local| local.state().staged().cloned());
        let set = &info.attributes;
        let time = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => UNIX_EPOCH + Duration::from_secs(seconds),
            _ => self.epoch,
        };
        let mtime = set.mtime.unwrap_or(time(updated));
        let mode = set.mode.unwrap_or(bits & !self.options.umask);
        Attr {
            ino: info.ino,
            is_folder: info.is_folder(),
            is_removed: info.parent.is_none() && info.ino != Ino::ROOT,
            size: staged.map_or(size, |staged| staged.size()),
            mode: if info.is_folder() { mode } else { mode & !SET_ID },
            uid: set.uid.unwrap_or(self.options.owner.0),
            gid: set.gid.unwrap_or(self.options.owner.1),
            atime: set.atime.unwrap_or(mtime),
            mtime,
            ctime: set.ctime.unwrap_or(mtime),
            created: time(created),
        }
    }

    /// Changes attributes. A new size without a writer is uploaded before this returns.
    pub async fn setattr(&self, ino: Ino, change: Change) -> Result<Attr> {
        if control::is_control(ino) {
            return Err(Error::NotPermitted);
        }
        self.writable()?;
        if change.mode.is_some_and(|mode| mode & SET_ID != 0) && !self.tree.info(ino)?.is_folder() {
            return Err(Error::NotPermitted);
        }
        if let Some(size) = change.size {
            self.truncate(ino, size).await?;
            if let Some(handle) = change.handle {
                self.mark_written(handle);
            }
        }
        let now = SystemTime::now();
        self.tree.set_attributes(ino, |set| {
            set.mode = change.mode.map(|mode| mode & 0o7777).or(set.mode);
            set.uid = change.uid.or(set.uid);
            set.gid = change.gid.or(set.gid);
            set.atime = change.atime.or(set.atime);
            set.mtime = change.mtime.or(set.mtime);
            set.ctime = Some(now);
        });
        self.keep_attributes(ino)?;
        self.getattr(ino)
    }

    async fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        if i64::try_from(size).is_err() {
            return Err(Error::TooLarge);
        }
        let info = self.tree.info(ino)?;
        if info.is_folder() {
            return Err(Error::IsAFolder);
        }
        if info.parent.is_none() && self.locals.get(ino).is_none() {
            return Err(Error::Stale);
        }
        // A cut that changes no byte is a change all the same.
        self.written(ino);
        if self.getattr(ino)?.size == size {
            return Ok(());
        }
        let local = self.local(ino);
        match size {
            0 => drop(self.stage_anew(&local).await?),
            _ => self.cut(&*self.stage(&local)?, size)?,
        }
        let unwatched = local.state().writers == 0;
        if unwatched { self.settle(&local).await } else { Ok(()) }
    }

    /// Keeps what something was made with, where that is not the usual. `bits` are the permissions
    /// before the mount's umask.
    pub(super) fn set_maker(&self, parent: Ino, ino: Ino, maker: Maker, bits: u32) -> Result<()> {
        self.touch(parent);
        let above = self.getattr(parent)?;
        let (mut mode, mut gid) = (maker.mode & 0o7777, maker.gid);
        if above.mode & libc::S_ISGID != 0 {
            gid = above.gid;
            mode |= if bits & 0o111 != 0 { libc::S_ISGID } else { 0 };
        }
        let usual = &self.options;
        let uid = Some(maker.uid).filter(|uid| !usual.is_uid_fixed && *uid != usual.owner.0);
        let gid = Some(gid).filter(|gid| !usual.is_gid_fixed && *gid != usual.owner.1);
        let mode = Some(mode).filter(|mode| *mode != bits & !usual.umask);
        if (mode, uid, gid) == (None, None, None) {
            return Ok(());
        }
        self.tree.set_attributes(ino, |set| (set.mode, set.uid, set.gid) = (mode, uid, gid));
        self.keep_attributes(ino)
    }

    /// Asks for the account's space, unless it is known of late.
    pub async fn refresh_space(&self) {
        if let Err(error) = self.account.refresh().await {
            tracing::debug!("the account's space is not known: {error}");
        }
    }

    /// The account's space, as last known: never waits.
    pub fn statfs(&self) -> Space {
        let inodes = self.tree.inodes() as u64;
        match self.account.known() {
            Some(account) => Space {
                total: account.space_total,
                free: account.space_total.saturating_sub(account.space_used),
                inodes,
            },
            None => Space { total: UNKNOWN_SPACE, free: UNKNOWN_SPACE, inodes },
        }
    }
}
