//! The kernel, as far as it remembers what the mount told it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use fuser::{INodeNo, Notifier, Session};
use tokio::sync::oneshot;

use super::apart;
use crate::fuse::Adapter;
use crate::tree::News;

/// An offset that means the attributes of a file and not its pages.
const ATTRIBUTES: i64 = -1;

/// `FUSE_DEV_IOC_CLONE` of `linux/fuse.h`: another descriptor of a session, with requests of its own.
const CLONE: libc::Ioctl = 0x8004_e500_u32 as libc::Ioctl;

/// Has the kernel forget what listings changed. In a thread apart: the kernel may wait for an answer of
/// the session before it takes a word. What comes back tells why the thread panicked, which cannot log
/// it.
pub(super) fn tell_news(
    session: &Session<Adapter>, news: Receiver<News>,
) -> io::Result<oneshot::Receiver<&'static str>> {
    let (notifier, device) = (session.notifier(), session.as_fd().as_raw_fd());
    let (say, said) = std::sync::mpsc::sync_channel(1);
    let (panicked, end) = oneshot::channel();
    let tell = move || {
        let begun = if apart::begin() { keep_only(device) } else { Ok(()) };
        let has_begun = begun.is_ok();
        // The mount waits for the word, so the session is there until it is said.
        let _mount_is_there = say.send(begun);
        let tell = || tell_all(&notifier, &news);
        if has_begun && catch_unwind(AssertUnwindSafe(tell)).is_err() {
            // Nobody hears it after the end of the mount.
            let _unheard = panicked.send("it panicked");
        }
    };
    std::thread::Builder::new().name("news".to_owned()).spawn(tell)?;
    said.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))?;
    Ok(end)
}

fn tell_all(notifier: &Notifier, news: &Receiver<News>) {
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
}

/// Has the calling thread, which is apart, use the session by a descriptor that brings no requests, and
/// closes all others.
fn keep_only(device: RawFd) -> io::Result<()> {
    let own = File::options().read(true).write(true).open("/dev/fuse")?;
    let mut of = device as u32;
    // SAFETY: the call reads one number, which outlives it, from an open device.
    let cloned = unsafe { libc::ioctl(own.as_raw_fd(), CLONE, &raw mut of) };
    // SAFETY: nobody else uses this table; whoever in this thread has the number means the session.
    if cloned < 0 || unsafe { libc::dup2(own.as_raw_fd(), device) } < 0 {
        return Err(io::Error::last_os_error());
    }
    drop(own);
    apart::close_all_but(Some(device))
}
