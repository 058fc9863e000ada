//! The conversions between what FUSE says and what the file system means, errors included.

use std::time::SystemTime;

use fuser::{
    Errno, FileAttr, FileType, FopenFlags, INodeNo, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, ReplyXattr,
    Request, TimeOrNow,
};

use crate::account;
use crate::api;
use crate::fs::{Attr, Error, Maker, Opened};
use crate::types::Ino;

/// Bytes of a block for `stat` and `statfs`.
pub(super) const BLOCK: u32 = 4096;

/// A reply that can be an error.
pub(super) trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => {$(
        impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        }
    )*};
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyWrite,
    ReplyXattr,
    ReplyDirectory,
    ReplyDirectoryPlus
);

/// What programs run into all the time is told to those who look for it.
pub(super) fn log(what: &str, error: &Error) {
    if let Error::Name(_) = error {
        // The errno alone would not say which character it was.
        return tracing::warn!("{what}: {error}");
    }
    let is_told = error.api().is_some_and(api::Error::lacks_the_right);
    if is_told || matches!(error, Error::Account(account::Error::NotEntitled(_))) {
        // Told once, by who asked the service.
        return tracing::debug!("{what}: {error}");
    }
    match error.errno() {
        libc::EIO | libc::ETIMEDOUT | libc::EACCES | libc::EDQUOT | libc::ENOSPC => {
            tracing::warn!("{what}: {error}");
        }
        libc::ENOENT | libc::ENODATA => tracing::trace!("{what}: {error}"),
        _ => tracing::debug!("{what}: {error}"),
    }
}

pub(super) fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

pub(super) fn kind(is_folder: bool) -> FileType {
    if is_folder { FileType::Directory } else { FileType::RegularFile }
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: attr.atime,
        mtime: attr.mtime,
        ctime: attr.ctime,
        crtime: attr.created,
        kind: kind(attr.is_folder),
        perm: (attr.mode & 0o7777) as u16,
        // For a folder 1 says "not counted", which `find` understands.
        nlink: u32::from(!attr.is_removed),
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

/// Who asks makes something of these permission bits.
pub(super) fn maker(req: &Request, mode: u32) -> Maker {
    Maker { mode, uid: req.uid(), gid: req.gid() }
}

pub(super) fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    }
}

/// The kernel keeps a file's pages between opens: an inode's content changes only through it. Those
/// that may be wrong it drops.
pub(super) fn open_flags(opened: Opened, read_only: bool) -> FopenFlags {
    let mut flags = match (opened.is_stream, opened.is_doubtful) {
        (true, _) => FopenFlags::FOPEN_DIRECT_IO,
        (false, true) => FopenFlags::empty(),
        (false, false) => FopenFlags::FOPEN_KEEP_CACHE,
    };
    if read_only {
        flags |= FopenFlags::FOPEN_NOFLUSH;
    }
    flags
}

/// A value or its length, as the caller has room for.
pub(super) fn reply_xattr(reply: ReplyXattr, value: &[u8], room: u32) {
    match room as usize {
        0 => reply.size(value.len() as u32),
        room if room < value.len() => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}
