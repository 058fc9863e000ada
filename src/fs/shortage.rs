//! A shortage: what this machine lacks for a moment, as an error tells it. Who waits for it tries again.

use std::io;

use super::Error;
use crate::bed;
use crate::disk;
use crate::probe;
use crate::process;
use crate::tree;
use crate::upload;

impl Error {
    /// Whether it says nothing of the file or the service: this machine was short of room, memory or
    /// descriptors, or could not change the state file.
    pub(super) fn is_shortage(&self) -> bool {
        match self {
            Self::Unpublished(error) | Self::Unrenamed(error) => error.is_shortage(),
            Self::Staging(error) | Self::Cache(error) => is_short(error),
            Self::Unreadable { source, .. } => is_short(source),
            Self::State(_) | Self::Tree(tree::Error::State(_)) => true,
            Self::Bed(error) => of_bed(error),
            _ => false,
        }
    }
}

fn of_bed(error: &bed::Error) -> bool {
    match error {
        bed::Error::Unfinished(error) => of_bed(error),
        bed::Error::Staging(error) => is_short(error),
        bed::Error::State(_) => true,
        bed::Error::Upload(error) => of_upload(error),
        bed::Error::Probe(error) => match &**error {
            probe::Error::State(_) => true,
            probe::Error::Disk(error) => is_short(error),
            probe::Error::Upload(error) => of_upload(error),
            _ => false,
        },
        _ => false,
    }
}

fn of_upload(error: &upload::Error) -> bool {
    matches!(error, upload::Error::Staging(error) if is_short(error))
}

fn is_short(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, WouldBlock};
    disk::is_full(error)
        || process::lacks_descriptors(error)
        || matches!(error.kind(), OutOfMemory | WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn of(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn what_the_machine_lacks_is_told_apart_from_a_disk_that_fails() {
        let lacks = [libc::ENOSPC, libc::EDQUOT, libc::EMFILE, libc::ENFILE, libc::ENOMEM];
        assert!(lacks.into_iter().all(|number| Error::Staging(of(number)).is_shortage()));
        let fails = [libc::EIO, libc::ENOENT, libc::EACCES, libc::EROFS];
        assert!(fails.into_iter().all(|number| !Error::Staging(of(number)).is_shortage()));
    }

    #[test]
    fn it_is_seen_through_all_that_it_went_through() {
        let read = upload::Error::Staging(Arc::new(of(libc::EMFILE)));
        let unfinished = bed::Error::Unfinished(Box::new(bed::Error::Upload(read)));
        assert!(Error::Unpublished(Box::new(unfinished.into())).is_shortage());
        assert!(!Error::from(bed::Error::from(upload::Error::Changed)).is_shortage());
    }
}
