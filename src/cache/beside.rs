//! A file of the cache as another process sees it, which does not have the folder.

use std::path::Path;

use md5::{Digest, Md5 as Hasher};

use super::Key;
use crate::types::{Entry, Md5};

/// All bytes of a remote file, if the cache in this folder has them and the md5 proves them. Nothing of
/// the folder is changed, and who has it is not disturbed.
pub fn beside(dir: &Path, file: &Entry) -> Option<Vec<u8>> {
    let md5 = file.picture()?.md5?;
    let path = dir.join(Key::of(&file.id).data());
    // Blocks that are not there are holes, which the sum refutes.
    let is_whole = path.metadata().is_ok_and(|metadata| metadata.len() == file.size());
    let bytes = is_whole.then(|| std::fs::read(&path).ok())??;
    (Md5::new(Hasher::digest(&bytes).into()) == md5).then_some(bytes)
}
