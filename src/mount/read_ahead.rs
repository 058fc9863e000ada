//! Read-ahead: how far the kernel reads ahead in a file of the mount.
//!
//! The handshake of FUSE can only lower the kernel's 128 KiB; root may raise it afterwards, for this
//! mount alone. Requests for reading then grow with it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// KiB. With twice as much, a look at the first 64 KiB of a file in small reads would ask for more
/// than 256 KiB of it.
const KIB: u32 = 512;

/// Raises the read-ahead of the mount, if this process may.
pub(super) fn raise(mountpoint: &Path) {
    if let Err(error) = try_raise(mountpoint) {
        tracing::debug!("the kernel reads ahead as far as it did: {error}");
    }
}

fn try_raise(mountpoint: &Path) -> io::Result<()> {
    let device = std::fs::metadata(mountpoint)?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    std::fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), KIB.to_string())
}
