//! The device: the kernel's end of the session, for what is said to it beside answers.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use fuser::BackingId;

use crate::fs::Backing;

/// `FUSE_DEV_IOC_BACKING_CLOSE` of `linux/fuse.h`: the kernel forgets the number of a file.
const BACKING_CLOSE: libc::Ioctl = 0x4004_e502_u32 as libc::Ioctl;

/// `FUSE_NOTIFY_RESEND` of `linux/fuse.h`.
const RESEND: i32 = 7;

/// A descriptor of a session.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Another descriptor of the same device.
    pub fn of(session: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(session.try_clone_to_owned()?.into()))
    }

    /// A number by which the kernel reads and writes the file by itself.
    pub(super) fn register(&self, file: &File) -> io::Result<u32> {
        BackingId::create_raw(&self.0, file)
    }

    /// What the kernel reads and writes by this number, until nobody has that any more.
    pub fn lent(self: &Arc<Self>, number: u32) -> Arc<Backing> {
        let device = Arc::downgrade(self);
        Backing::new(number, move |number| {
            if let Some(device) = device.upgrade() {
                device.give_back(number);
            }
        })
    }

    fn give_back(&self, number: u32) {
        // SAFETY: the call reads one number, which outlives it, from an open device.
        let told = unsafe { libc::ioctl(self.0.as_raw_fd(), BACKING_CLOSE, &raw const number) };
        if told < 0 {
            tracing::debug!("giving back what was lent: {}", io::Error::last_os_error());
        }
    }

    /// Has the kernel give all requests again that are not answered.
    pub fn resend(&self) -> io::Result<()> {
        // `fuse_out_header`: the length, what it is, and no request that it answers.
        let mut word = [0; 16];
        word[..4].copy_from_slice(&16_u32.to_ne_bytes());
        word[4..8].copy_from_slice(&RESEND.to_ne_bytes());
        (&self.0).write_all(&word)
    }
}
