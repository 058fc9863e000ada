//! [`Node`]: one file or folder of the bed.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::content::Content;

/// The opaque ID of a file or folder.
pub(crate) type Id = Arc<str>;

/// The name that the service gives the root, to which no path of the bed leads.
pub(crate) const ROOT_NAME: &str = "img_oss";

/// The status of a file that has passed moderation.
pub(crate) const PASSED: i64 = 2;

/// The highest status of a file that is not rejected by moderation.
pub(crate) const NOT_REJECTED: i64 = 100;

/// One file or folder.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: Id,
    /// None for the root.
    pub(crate) parent: Option<Id>,
    pub(crate) name: Arc<str>,
    /// Its place in the order of creation, in the whole bed.
    pub(crate) number: u64,
    pub(crate) status: i64,
    /// As the service spells times.
    pub(crate) created: Arc<str>,
    /// As the service spells times.
    pub(crate) updated: Arc<str>,
    /// None for a folder.
    pub(crate) file: Option<FileData>,
}

/// What a file has and a folder has not.
#[derive(Clone, Debug)]
pub(crate) struct FileData {
    /// What the row says; the content's unless that was replaced behind the row's back.
    pub(crate) size: u64,
    /// What the row says, once somebody has asked.
    md5: Arc<OnceLock<String>>,
    pub(crate) content: Content,
    /// Bytes that were served by the direct link.
    pub(crate) traffic: Arc<AtomicU64>,
}

impl FileData {
    /// A file with that content. Its md5 is found when somebody asks for it.
    pub(crate) fn new(content: Content) -> FileData {
        FileData { size: content.len(), md5: Arc::default(), content, traffic: Arc::default() }
    }

    /// A file of which the md5 is known, or is claimed.
    pub(crate) fn with_md5(content: Content, md5: &str) -> FileData {
        let file = FileData::new(content);
        file.md5.get_or_init(|| md5.to_owned());
        file
    }

    /// Serves other bytes from now on, while the row goes on saying what it said.
    pub(crate) fn corrupt(&mut self, content: Content) -> io::Result<()> {
        self.md5()?;
        self.content = content;
        Ok(())
    }

    pub(crate) fn md5(&self) -> io::Result<&str> {
        if let Some(md5) = self.known_md5() {
            return Ok(md5);
        }
        let md5 = self.content.md5()?;
        Ok(self.md5.get_or_init(|| md5))
    }

    /// The md5, unless it would have to be computed.
    pub(crate) fn known_md5(&self) -> Option<&str> {
        self.md5.get().map(String::as_str)
    }

    pub(crate) fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }
}

impl Node {
    pub(crate) fn is_folder(&self) -> bool {
        self.file.is_none()
    }

    pub(crate) fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.size)
    }

    pub(crate) fn traffic(&self) -> u64 {
        self.file.as_ref().map_or(0, FileData::traffic)
    }

    /// What follows the last dot of a file's name.
    pub(crate) fn extension(&self) -> &str {
        if self.is_folder() { "" } else { extension(&self.name) }
    }
}

/// What follows the last dot of a name.
pub(crate) fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}
