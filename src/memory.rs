//! Memory: what is freed goes back to the system, and what is held is shown to nobody.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Bytes from which an allocation is a mapping of its own.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// Has what large tables leave behind while they grow go back to the system. By itself glibc raises
/// the bound from which an allocation is a mapping of its own, up to 32 MiB, with each larger one that
/// is freed; the next ones then leave holes. Before any thread is started.
pub fn give_back_what_is_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator, and no other thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Has the system show nobody what this process holds: no core dump is made of it, and other processes
/// of its user can neither trace it nor read its memory and its environment in `/proc`. Root can.
pub fn keep_private() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
