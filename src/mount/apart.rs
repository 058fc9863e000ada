//! A thread apart: one that may wait where no signal ends it, for the kernel or for the mount itself.
//!
//! A killed process closes its descriptors when the last thread is gone that shares them. A thread that
//! waits for an answer of its own process would never go: the session stays open then, nobody answers,
//! and all who wait for the mount wait for ever. A thread apart has a table of descriptors of its own,
//! with none in it that brings requests.

use std::io;
use std::os::fd::RawFd;
use std::thread::{Builder, JoinHandle};

/// Does `work`, which uses no descriptor that is open now and logs nothing, in a thread apart.
pub(super) fn spawn<T: Send + 'static>(
    name: &str, work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<JoinHandle<io::Result<T>>> {
    let apart = move || {
        if begin() {
            close_all_but(None)?;
        }
        work()
    };
    Builder::new().name(name.to_owned()).spawn(apart)
}

/// Gives the calling thread a table of descriptors of its own, in which are all that are open now.
/// `false` where that cannot be: before Linux 5.9, and where a sandbox forbids it.
pub(super) fn begin() -> bool {
    heed_no_signal();
    let none = libc::c_uint::MAX;
    // SAFETY: the number is of no descriptor, so none is closed.
    let begun = unsafe { close_range(none, none, libc::CLOSE_RANGE_UNSHARE) };
    let told = begun.inspect_err(|error| {
        tracing::warn!("if this mount is killed, who uses it may wait until umount -f: {error}");
    });
    told.is_ok()
}

/// Leaves signals to other threads: what hands them on is a descriptor, which a thread apart has not, so
/// that a signal which came here would be lost.
fn heed_no_signal() {
    // SAFETY: an all-zero set is a value of that type, and the calls write and read nothing else. A full
    // set is always taken.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

/// Closes what is in the table of a thread that has one of its own, but for one descriptor.
pub(super) fn close_all_but(kept: Option<RawFd>) -> io::Result<()> {
    let last = libc::c_uint::MAX;
    let Some(kept) = kept.map(|kept| kept as libc::c_uint) else {
        // SAFETY: nobody else uses the table, and its thread uses no descriptor by a number from before.
        return unsafe { close_range(0, last, 0) };
    };
    // SAFETY: as above, but for the one that stays.
    unsafe {
        if kept > 0 {
            close_range(0, kept - 1, 0)?;
        }
        close_range(kept + 1, last, 0)
    }
}

/// Closes descriptors.
///
/// # Safety
///
/// Nobody uses them any more in the table of the calling thread.
unsafe fn close_range(
    first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint,
) -> io::Result<()> {
    // SAFETY: the call takes numbers; the caller answers for what they mean.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_thread_apart_has_no_descriptor_and_takes_none_from_others() {
        let file = tempfile::tempfile().expect("a file");
        let own = || fs::read_dir("/proc/thread-self/fd").map(|all| all.count());
        let left = spawn("apart", own).expect("started").join().expect("no panic");
        // That of the folder that is read.
        assert_eq!(left.expect("read"), 1);
        assert!(file.as_raw_fd() > 0 && file.metadata().is_ok());
    }

    #[test]
    fn a_thread_apart_takes_no_signal() {
        let status = || fs::read_to_string("/proc/thread-self/status");
        let status = spawn("apart", status).expect("started").join().expect("no panic");
        let status = status.expect("read");
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = blocked.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        let blocked = blocked.expect("a set");
        for signal in [libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2] {
            assert!(blocked & (1 << (signal - 1)) != 0, "{signal} is not blocked");
        }
    }
}
