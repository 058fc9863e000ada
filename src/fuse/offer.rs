//! The offer: what the kernel said it can do when the session began, and what is taken of it.

use std::io;

use fuser::{InitFlags, KernelConfig};
use serde::{Deserialize, Serialize};

/// Bytes of one write; the session's buffer is touched up to here.
const MAX_WRITE: u32 = 1 << 20;

/// Requests that the kernel may have in flight for read-ahead.
const MAX_BACKGROUND: u16 = 64;

/// What the kernel offered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// The minor version of its protocol 7.
    pub minor: u32,
    /// Its capabilities, a bit each (`FUSE_INIT` of `linux/fuse.h`).
    pub capabilities: u64,
}

impl Offer {
    /// What it offers now.
    pub(super) fn of(config: &KernelConfig) -> Self {
        Self { minor: config.kernel_abi().1, capabilities: config.capabilities().bits() }
    }

    /// Whether it can give requests again that were not answered (Linux 6.9).
    pub fn can_resend(self) -> bool {
        let capabilities = InitFlags::from_bits_retain(self.capabilities);
        capabilities.contains(InitFlags::FUSE_HAS_RESEND)
    }
}

/// Takes what is wanted whoever mounts.
pub(super) fn take(config: &mut KernelConfig) -> io::Result<()> {
    // One by one: a single missing bit refuses the whole set.
    for wanted in [
        InitFlags::FUSE_PARALLEL_DIROPS,
        InitFlags::FUSE_DO_READDIRPLUS,
        InitFlags::FUSE_READDIRPLUS_AUTO,
        // Writes then do not ask for `security.capability`. What is owed for it is kept by files
        // never having a set-ID bit.
        InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    ] {
        if let Err(missing) = config.add_capabilities(wanted) {
            tracing::info!("the kernel lacks {missing:?}");
        }
    }
    let write = config.set_max_write(MAX_WRITE);
    let background = config.set_max_background(MAX_BACKGROUND);
    match (write, background) {
        (Ok(_), Ok(_)) => Ok(()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
