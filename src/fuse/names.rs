//! The names of a folder, as an answer to `readdir`.

use std::sync::Arc;
use std::time::Duration;

use fuser::{INodeNo, ReplyDirectory, ReplyDirectoryPlus};

use super::GENERATION;
use super::convert::{file_attr, kind};
use crate::fs::{DirEntry, Fs};

/// The names of an open folder.
pub(super) type Names = Arc<Vec<DirEntry>>;

/// Fills the answer with the names from `offset` on.
pub(super) fn fill(mut reply: ReplyDirectory, offset: u64, names: &[DirEntry]) {
    for (name, next) in names.iter().zip(1..).skip(offset as usize) {
        if reply.add(INodeNo(name.ino.0), next, kind(name.is_folder), &*name.name) {
            break;
        }
    }
    reply.ok();
}

/// The same with their attributes.
pub(super) fn fill_plus(
    fs: &Fs, ttl: Duration, mut reply: ReplyDirectoryPlus, offset: u64, names: &[DirEntry],
) {
    for (name, next) in names.iter().zip(1..).skip(offset as usize) {
        // The kernel does not count `.` and `..`; the others count before the reply goes.
        let counted = !matches!(&*name.name, "." | "..");
        let attr = if counted { fs.entry(name.ino) } else { fs.getattr(name.ino) };
        let Ok(attr) = attr else { continue };
        let number = INodeNo(name.ino.0);
        if reply.add(number, next, &*name.name, &ttl, &file_attr(&attr), GENERATION) {
            if counted {
                fs.forget(name.ino, 1);
            }
            break;
        }
    }
    reply.ok();
}
