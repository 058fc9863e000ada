//! A private folder: one that nobody else can look into, or put something else in the place of.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::Error;

/// Makes a folder and those above it, 0700 each, whatever the umask is.
pub(super) fn make(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::Folder { path: path.to_owned(), source })
}

/// Makes a folder of this program and those above it, 0700 each. If it is there it is closed to
/// others, and the folder above it, which is this program's too, to their changes. Neither may be
/// another user's, who could put something else in its place at any time.
pub fn make_private(path: &Path) -> Result<(), Error> {
    make(path)?;
    let us = rustix::process::geteuid().as_raw();
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        take(above, us, &[us, 0], 0o022)?;
    }
    take(path, us, &[us], 0o077)
}

/// Sees to it that a folder is of one of these users, and, if it is ours, that others have none of these
/// rights to it.
fn take(path: &Path, us: u32, owners: &[u32], closed: u32) -> Result<(), Error> {
    let failed = |source| Error::Folder { path: path.to_owned(), source };
    let (place, folder) = (fs::symlink_metadata(path), fs::metadata(path));
    let (place, folder) = (place.map_err(failed)?, folder.map_err(failed)?);
    let is_foreign = |of: &&Metadata| !owners.contains(&of.uid());
    // A symbolic link of ours may lead to a folder of ours.
    if let Some(foreign) = [&place, &folder].into_iter().find(is_foreign) {
        return Err(Error::Foreign { path: path.to_owned(), owner: foreign.uid() });
    }
    let mode = folder.mode() & 0o7777;
    if folder.uid() != us || mode & closed == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !closed)).map_err(|error| {
        failed(io::Error::other(format!("others have rights to it, and: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    }

    #[test]
    fn what_is_there_and_open_to_others_is_closed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (above, folder) = (dir.path().join("a"), dir.path().join("a/b"));
        make_private(&folder).expect("made");
        assert_eq!((mode(&above), mode(&folder)), (0o700, 0o700));
        chmod(&above, 0o777);
        chmod(&folder, 0o755);
        make_private(&folder).expect("ours");
        assert_eq!((mode(&above), mode(&folder)), (0o755, 0o700));
        let link = dir.path().join("a/link");
        symlink(&folder, &link).expect("a link");
        make_private(&link).expect("ours");
    }

    #[test]
    fn what_is_another_users_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let owner = fs::metadata(dir.path()).expect("there").uid();
        let refused = take(dir.path(), owner + 1, &[owner + 1], 0o077).expect_err("not theirs");
        assert!(refused.to_string().contains("another user"), "{refused}");
    }
}
