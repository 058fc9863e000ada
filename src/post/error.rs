//! Why a picture was not put into the bed, or has no link.

use std::io;
use std::sync::Arc;

use crate::api;
use crate::names::NameError;
use crate::probe;
use crate::state;
use crate::types::FileId;
use crate::upload;

/// Why there is no link of a picture.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file on this machine cannot be read.
    #[error("{what}: {cause}")]
    Local {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// A folder, a device or the like.
    #[error("it is no file")]
    NotAFile,
    /// Its name is not UTF-8.
    #[error("its name is not UTF-8, the only encoding that the service speaks")]
    NotUtf8,
    /// Nothing tells the kind of bytes that have no name.
    #[error("its content is of no known kind of picture; say what it is called with --name")]
    Kindless,
    /// It is no picture by its content.
    #[error("it is no picture: png, jpeg, gif, webp, bmp, tiff and svg are taken")]
    NotAPicture,
    /// It is larger than what is taken.
    #[error("it has {size} bytes, and {most} are taken at most")]
    TooLarge {
        /// Bytes that it has.
        size: u64,
        /// Bytes that are taken.
        most: u64,
    },
    /// The service would not take a name.
    #[error("{name:?}: {source}; say another with --name, or for a folder with --to")]
    Name {
        /// The name of the picture, or of a folder on the way to it.
        name: String,
        /// Why.
        source: NameError,
    },
    /// The folder is one that mounts clear away.
    #[error("folders whose names begin with .bedfs-scratch- are emptied by mounts; say another")]
    Scratch,
    /// The service keeps the same bytes once in a folder.
    #[error(
        "the same picture is in the folder, and uploading it again would end its link, \
         since the service keeps the same bytes once in a folder; say another folder with --to"
    )]
    Twin,
    /// The picture is there, but its link cannot be had.
    #[error(
        "it is in the bed (file ID {id}), but its link could not be had: {cause}; \
         uploading it again later gives the link"
    )]
    Unlinked {
        /// The picture.
        id: FileId,
        /// Why.
        cause: String,
    },
    /// The service failed or refused.
    #[error(transparent)]
    Api(Arc<api::Error>),
    /// The upload failed.
    #[error(transparent)]
    Upload(#[from] upload::Error),
    /// The state file failed.
    #[error(transparent)]
    State(#[from] state::Error),
    /// What the service does could not be found out.
    #[error("finding out how the service treats the same bytes twice: {0}")]
    Probe(#[from] Arc<probe::Error>),
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}

impl Error {
    pub(super) fn local(what: &'static str, cause: io::Error) -> Self {
        Self::Local { what, cause: Arc::new(cause) }
    }

    /// What the client told, where the service was the reason.
    pub(super) fn api(&self) -> Option<&api::Error> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}
