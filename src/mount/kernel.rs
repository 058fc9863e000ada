//! The kernel, as far as it remembers what the mount told it.

use std::ffi::OsStr;
use std::io;
use std::sync::mpsc::Receiver;

use fuser::{INodeNo, Session};

use crate::fuse::Adapter;
use crate::tree::News;

/// An offset that means the attributes of a file and not its pages.
const ATTRIBUTES: i64 = -1;

/// Has the kernel forget what listings changed. In a thread of its own: the kernel may wait for an
/// answer of the session before it takes a word.
pub(super) fn tell_news(session: &Session<Adapter>, news: Receiver<News>) -> io::Result<()> {
    let notifier = session.notifier();
    let tell = move || {
        for News { folder, names, files } in news {
            // What the kernel does not know it cannot forget.
            for name in names {
                let _unknown = notifier.inval_entry(INodeNo(folder.0), OsStr::new(&*name));
            }
            for file in files {
                let _unknown = notifier.inval_inode(INodeNo(file.0), ATTRIBUTES, 0);
            }
            let _unknown = notifier.inval_inode(INodeNo(folder.0), 0, 0);
        }
    };
    std::thread::Builder::new().name("news".to_owned()).spawn(tell).map(drop)
}
