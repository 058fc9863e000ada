//! The session: what the kernel is asked for when it mounts.

use std::sync::Arc;
use std::time::Duration;

use fuser::{Config as SessionConfig, MountOption, Session, SessionACL};
use tokio::runtime::Runtime;

use super::{Error, Plan};
use crate::api::Client;
use crate::fs::Fs;
use crate::fuse::{Adapter, Patience};
use crate::mountpoint::SUBTYPE;

/// Session threads. Two let one fill a reply while the other takes a request.
const THREADS: usize = 2;

/// The longest that the kernel answers for itself. Short, since it is not told of what changes
/// elsewhere.
const KERNEL_TTL: Duration = Duration::from_secs(1);

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

/// How the session is to run.
fn config(plan: &Plan) -> SessionConfig {
    let wishes = &plan.wishes;
    let mut config = SessionConfig::default();
    config.mount_options = vec![
        MountOption::FSName(plain(&plan.source)),
        // As `MountOption::Subtype` it would be for fusermount3 alone, and not for root.
        MountOption::CUSTOM(format!("subtype={SUBTYPE}")),
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

/// A source without what would end an option, or a field of the mount table.
fn plain(source: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !",\\#".contains(c);
    source.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}
