//! The session: begun by mounting, or gone on with on a device that the program before this one had.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Config as SessionConfig, MountOption, Session, SessionACL};
use tokio::runtime::Runtime;

use super::{Error, Plan, machine};
use crate::api::Client;
use crate::fs::Fs;
use crate::fuse::{Adapter, Offer, Patience};
use crate::mountpoint::SOURCE;

/// Session threads. Two let one fill a reply while the other takes a request.
pub(super) const THREADS: usize = 2;

/// The longest that the kernel answers for itself. Short, since it is not told of what changes
/// elsewhere.
const KERNEL_TTL: Duration = Duration::from_secs(1);

/// `FUSE_INIT` of `linux/fuse.h`, and the length of it: a header, and what is offered.
const INIT: u32 = 26;
const HEADER: usize = 40;
const INIT_LEN: usize = HEADER + 64;

/// `FUSE_INIT_EXT`: the offer goes on after its first 32 bits.
const HAS_HIGH: u32 = 1 << 30;

/// The protocol's major version, and bytes of read-ahead, of which the kernel has its own opinion.
const MAJOR: u32 = 7;
const READ_AHEAD: u32 = 128 << 10;

/// The file system as the session drives it.
pub(super) fn adapter(plan: &Plan, fs: Arc<Fs>, client: &Client, runtime: &Runtime) -> Adapter {
    let patience = Patience { timeout: plan.wishes.timeout(), pulse: client.pulse() };
    let ttl = KERNEL_TTL.min(plan.wishes.dir_ttl());
    Adapter::new(fs, runtime.handle().clone(), patience, ttl)
}

/// Mounts.
pub(super) fn start(plan: &Plan, adapter: Adapter) -> Result<Session<Adapter>, Error> {
    Session::new(adapter, &plan.mountpoint, &config(plan))
        .map_err(|source| Error::Fuse { path: plan.mountpoint.clone(), source })
}

/// Goes on with the session of `device`, to which the kernel made this offer when it began. It is made
/// again in the kernel's place, since it makes it once.
pub(super) fn resume(
    plan: &Plan, adapter: Adapter, device: OwnedFd, offer: Offer,
) -> Result<Session<Adapter>, Error> {
    let failed = machine("taking over the session");
    let (mut kernel, ours) = pair().map_err(&failed)?;
    kernel.write_all(&init(offer)).map_err(&failed)?;
    let config = config(plan);
    let session = Session::from_fd(adapter, ours, config.acl, config).map_err(&failed)?;
    let mut answer = [0; 256];
    let len = kernel.read(&mut answer).map_err(&failed)?;
    if len < 16 || answer[4..8] != [0; 4] {
        return Err(failed(io::ErrorKind::InvalidData.into()));
    }
    // SAFETY: both descriptors are open. Whoever has the number of the session's means its device, and
    // nobody has used it yet but for the offer.
    let put =
        unsafe { libc::dup3(device.as_raw_fd(), session.as_fd().as_raw_fd(), libc::O_CLOEXEC) };
    match put {
        -1 => Err(failed(io::Error::last_os_error())),
        _ => Ok(session),
    }
}

/// Two ends of a socket that keeps what is written at once together, as the device does.
fn pair() -> io::Result<(File, OwnedFd)> {
    let (mut ends, kind) = ([0; 2], libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC);
    // SAFETY: `ends` has room for the two descriptors that are written.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are open, and nobody else owns them.
    let [one, other] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok((one.into(), other))
}

/// The request with which the kernel makes its offer (`fuse_in_header`, `fuse_init_in`).
fn init(offer: Offer) -> [u8; INIT_LEN] {
    let mut bytes = [0; INIT_LEN];
    let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    put(0, INIT_LEN as u32);
    put(4, INIT);
    // The number of the request: any but 0.
    put(8, u32::MAX);
    let (low, high) = (offer.capabilities as u32 | HAS_HIGH, (offer.capabilities >> 32) as u32);
    for (position, word) in [MAJOR, offer.minor, READ_AHEAD, low, high].into_iter().enumerate() {
        put(HEADER + position * 4, word);
    }
    bytes
}

/// How the session is to run.
fn config(plan: &Plan) -> SessionConfig {
    let wishes = &plan.wishes;
    let mut config = SessionConfig::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        MountOption::Subtype(SOURCE.to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
    ];
    if wishes.read_only.unwrap_or(false) {
        config.mount_options.push(MountOption::RO);
    }
    if wishes.no_exec.unwrap_or(false) {
        config.mount_options.push(MountOption::NoExec);
    }
    if wishes.allow_other.unwrap_or(false) {
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config
}
