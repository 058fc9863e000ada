//! The errno table: the one place where what went wrong becomes what the caller of a system call
//! sees.

use super::Error;
use crate::account;
use crate::api;
use crate::bed;
use crate::names::NameError;
use crate::read;
use crate::state;
use crate::tree;
use crate::upload;

/// Codes and words by which the service tells why it refuses. Only the code 5113 is published; the
/// rest is read out of the message, which the documents promise to hold the reason.
const TRAFFIC_USED_UP: i64 = 5113;
const QUOTA_WORDS: &[&str] = &["空间", "容量", "流量", "quota", "space", "traffic"];
const SIZE_WORDS: &[&str] = &["过大", "大小", "too large", "too big", "size"];
const TYPE_WORDS: &[&str] = &["格式", "类型", "format", "type", "extension"];

impl Error {
    /// What the service told, where it was the reason.
    pub fn api(&self) -> Option<&api::Error> {
        match self {
            Self::Unpublished(error) => error.api(),
            Self::Tree(tree::Error::Api(error)) => Some(error),
            Self::Api(error) => Some(error),
            Self::Bed(error) => error.api(),
            Self::Read(read::Error::Fetch { source, .. }) => Some(source),
            Self::Account(error) => error.api(),
            _ => None,
        }
    }

    /// Tells the log of what is tried again. That the developer right has lapsed was told once, by who
    /// asked the service.
    pub(super) fn warn(&self, doing: &str) {
        match self.api().is_some_and(api::Error::lacks_the_right) {
            true => tracing::debug!("{doing}: {self}"),
            false => tracing::warn!("{doing}: {self}"),
        }
    }

    /// The number that the caller of the system call sees.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Exists | Self::Doubled | Self::Twin(_) => libc::EEXIST,
            Self::NotEmpty => libc::ENOTEMPTY,
            Self::IsAFolder => libc::EISDIR,
            Self::IntoItself | Self::Invalid(_) => libc::EINVAL,
            Self::Elsewhere => libc::EXDEV,
            Self::ReadOnly => libc::EROFS,
            Self::NotPermitted => libc::EPERM,
            Self::NotSupported => libc::ENOTSUP,
            Self::NoAttribute => libc::ENODATA,
            Self::AttributesFull => libc::ENOSPC,
            Self::BadHandle => libc::EBADF,
            Self::Stale => libc::ESTALE,
            Self::UnderWay => libc::ETIMEDOUT,
            // The file is there for who closes it; only the way to the service is not.
            Self::Unpublished(error) => match error.errno() {
                libc::ENOENT | libc::ESTALE => libc::EIO,
                errno => errno,
            },
            // `mv` takes EINVAL of a rename for a folder that is moved into itself, whatever it moves.
            Self::Unrenamed(error) => match error.errno() {
                libc::EINVAL => libc::EPERM,
                errno => errno,
            },
            Self::Unreadable { .. } => libc::EIO,
            Self::TooLarge => libc::EFBIG,
            Self::Name(NameError::TooLong) => libc::ENAMETOOLONG,
            Self::Name(_) => libc::EINVAL,
            Self::Staging(error) | Self::Cache(error) => error.raw_os_error().unwrap_or(libc::EIO),
            Self::State(error) => of_state(error),
            Self::Strays(_) | Self::Bug => libc::EIO,
            Self::Tree(error) => of_tree(error),
            Self::Bed(error) => of_bed(error),
            Self::Read(error) => of_read(error),
            Self::Api(error) => of_api(error),
            Self::Account(error) => of_account(error),
        }
    }
}

fn of_account(error: &account::Error) -> i32 {
    match error {
        account::Error::NotEntitled(_) => libc::EACCES,
        account::Error::Api(error) => of_api(error),
        account::Error::State(error) => of_state(error),
        account::Error::Disk { .. } | account::Error::NotTheLog { .. } => libc::EIO,
    }
}

fn of_tree(error: &tree::Error) -> i32 {
    match error {
        tree::Error::NotFound => libc::ENOENT,
        tree::Error::Bug => libc::EIO,
        tree::Error::NotAFolder => libc::ENOTDIR,
        tree::Error::Api(error) => of_api(error),
        tree::Error::State(error) => of_state(error),
    }
}

fn of_bed(error: &bed::Error) -> i32 {
    match error {
        bed::Error::Api(error) => of_api(error),
        bed::Error::Upload(error) => of_upload(error),
        bed::Error::Read(error) => of_read(error),
        bed::Error::Staging(error) => error.raw_os_error().unwrap_or(libc::EIO),
        bed::Error::Unfinished(error) => of_bed(error),
        bed::Error::State(error) => of_state(error),
        bed::Error::Probe(error) => error.api().map_or(libc::EIO, of_api),
        bed::Error::NotEmpty => libc::ENOTEMPTY,
        bed::Error::Unconfirmed { .. } | bed::Error::Corrupted { .. } => libc::EIO,
    }
}

fn of_state(error: &state::Error) -> i32 {
    match error.kind() {
        std::io::ErrorKind::StorageFull => libc::ENOSPC,
        std::io::ErrorKind::ReadOnlyFilesystem => libc::EROFS,
        _ => libc::EIO,
    }
}

fn of_upload(error: &upload::Error) -> i32 {
    match error {
        upload::Error::Api(error) => of_api(error),
        upload::Error::Staging(error) => error.raw_os_error().unwrap_or(libc::EIO),
        upload::Error::Changed => libc::EBUSY,
        upload::Error::Unfinished { .. } => libc::ETIMEDOUT,
        upload::Error::Unlisted { .. } | upload::Error::SliceSize(_) => libc::EIO,
    }
}

fn of_read(error: &read::Error) -> i32 {
    match error {
        read::Error::Fetch { source, .. } => of_api(source),
        read::Error::Rejected { .. } => libc::EACCES,
        read::Error::NoLink { .. }
        | read::Error::Mismatch { .. }
        | read::Error::Corrupted { .. }
        | read::Error::Swapped { .. }
        | read::Error::Short { .. } => libc::EIO,
    }
}

fn of_api(error: &api::Error) -> i32 {
    if error.is_denied() || error.is_expired() || error.is_kept_back() {
        libc::EACCES
    } else if error.is_not_found() {
        libc::ENOENT
    } else if error.is_timed_out() {
        libc::ETIMEDOUT
    } else if let Some(reply) = error.refusal() {
        of_refusal(reply.code, &reply.message)
    } else {
        libc::EIO
    }
}

fn of_refusal(code: i64, message: &str) -> i32 {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if code == TRAFFIC_USED_UP || says(QUOTA_WORDS) {
        libc::EDQUOT
    } else if says(SIZE_WORDS) {
        libc::EFBIG
    } else if says(TYPE_WORDS) {
        libc::EINVAL
    } else {
        libc::EIO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_words() {
        assert_eq!(of_refusal(5113, "x"), libc::EDQUOT);
        assert_eq!(of_refusal(1, "存储空间不足"), libc::EDQUOT);
        assert_eq!(of_refusal(1, "文件过大"), libc::EFBIG);
        assert_eq!(of_refusal(1, "不支持的文件格式"), libc::EINVAL);
        assert_eq!(of_refusal(1, "internal error"), libc::EIO);
    }
}
