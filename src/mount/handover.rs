//! The handover: all that the next program is told, in a file without a name that only it gets.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Plan, Upgrade};
use crate::api::{Credentials, QpsTable, Roots, Settings};
use crate::config::Wishes;
use crate::fs;
use crate::fuse::Offer;
use crate::process::inherited;
use crate::tree;
use crate::types::Secret;

/// What two programs must both understand, in a word that the next one prints when it is asked. To be
/// changed with every change of what is handed over.
pub const PROTOCOL: &str = "bedfs-handover-2";

/// Why a handover cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("what is handed over: {0}")]
    Coding(#[from] postcard::Error),
    #[error("the wish {0}")]
    Wish(String),
    #[error("the calls a second: {0}")]
    Rates(String),
}

/// A path, of whatever bytes.
#[derive(Serialize, Deserialize)]
struct Place(Vec<u8>);

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_owned())
    }
}

impl Place {
    fn path(&self) -> PathBuf {
        OsString::from_vec(self.0.clone()).into()
    }
}

/// What was settled before the mount began.
#[derive(Serialize, Deserialize)]
pub(super) struct Settled {
    mountpoint: Place,
    state: Place,
    cache: Place,
    program: Place,
    log: Option<Place>,
    is_service: bool,
    endpoint: String,
    roots: Roots,
    client_id: String,
    client_secret: String,
    wishes: Vec<(String, String)>,
}

/// All that is handed over. Descriptors are told by their numbers.
#[derive(Serialize, Deserialize)]
pub struct Handover {
    pub(super) settled: Settled,
    pub(super) offer: Offer,
    /// The descriptor of the lock.
    pub(super) lock: RawFd,
    /// That of the session, and others that brought requests of it.
    pub(super) device: RawFd,
    pub(super) others: Vec<RawFd>,
    /// Processes of ours that asked the mount, and wait for the answer.
    pub(super) asked: Vec<libc::pid_t>,
    pub(super) tree: tree::Carried,
    pub(super) fs: fs::Carried,
}

impl Settled {
    /// Of a mount that may be handed over.
    pub(super) fn of(plan: &Plan, upgrade: &Upgrade) -> Self {
        let Settings { endpoint, roots, credentials, .. } = &plan.api;
        Self {
            mountpoint: (&*plan.mountpoint).into(),
            state: (&*plan.state).into(),
            cache: (&*plan.cache).into(),
            program: (&*upgrade.program).into(),
            log: upgrade.log.as_deref().map(Place::from),
            is_service: plan.is_service,
            endpoint: endpoint.clone(),
            roots: roots.clone(),
            client_id: credentials.client_id.clone(),
            client_secret: credentials.client_secret.reveal().to_owned(),
            wishes: plan.wishes.words(),
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let wishes = Wishes::from_words(&self.wishes).map_err(Error::Wish)?;
        let state = self.state.path();
        let credentials = Credentials {
            client_id: self.client_id.clone(),
            client_secret: Secret::new(&*self.client_secret),
        };
        let api = Settings::new(&*self.endpoint, credentials, &state).within(wishes.timeout());
        let qps = wishes.qps.as_deref().unwrap_or("").parse::<QpsTable>();
        let qps = qps.map_err(|error| Error::Rates(error.to_string()))?;
        Ok(Plan {
            mountpoint: self.mountpoint.path(),
            state,
            cache: self.cache.path(),
            api: Settings { qps, ..api.trusting(self.roots.clone()) },
            wishes,
            is_service: self.is_service,
            upgrade: Some(Upgrade {
                program: self.program.path(),
                log: self.log.as_ref().map(Place::path),
            }),
        })
    }
}

impl Handover {
    /// Writes it into a file in memory, which ends with its last descriptor.
    pub(super) fn write(&self) -> Result<OwnedFd, Error> {
        // SAFETY: the name is a C string that outlives the call.
        let number = unsafe { libc::memfd_create(c"bedfs".as_ptr(), libc::MFD_CLOEXEC) };
        if number < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: it is open, and nobody else owns it.
        let mut file: File = unsafe { OwnedFd::from_raw_fd(number) }.into();
        file.write_all(&postcard::to_allocvec(self)?)?;
        Ok(file.into())
    }

    /// Reads what the program before this one left under a descriptor.
    pub fn take(descriptor: RawFd) -> Result<Self, Error> {
        let mut file: File = inherited(descriptor)?.into();
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(postcard::from_bytes(&bytes)?)
    }

    /// The plan of the mount.
    pub fn plan(&self) -> Result<Plan, Error> {
        self.settled.plan()
    }
}
