//! Lending: the kernel reads an open file by itself, from the cache on disk (FUSE passthrough).
//!
//! A file is lent to who opens it for reading while all of its object is in the cache and nothing was
//! written over it here. The kernel mixes no two ways in one file: while it is lent, whoever comes for
//! something else goes *beside*, past the pages that the kernel would keep. So who had the file open
//! before a change goes on reading what it was, and who opens it later gets what it is.

use std::any::Any;
use std::fs::File;
use std::sync::Arc;

use super::Fs;
use super::handle::FileHandle;
use super::local::State;
use crate::types::{Entry, FileId};

/// What the kernel knows the lent bytes by, for as long as it has them.
pub type Backing = Arc<dyn Any + Send + Sync>;

/// An object that is lent, and by what.
#[derive(Debug)]
pub(super) struct Lent {
    object: FileId,
    backing: Backing,
}

/// How a file that was just opened is read and written.
pub enum Way {
    /// By calls, and the kernel keeps its pages.
    Calls,
    /// By calls, and the kernel keeps nothing: others have the file lent.
    Beside,
    /// By the kernel itself.
    Lent(Backing),
}

impl Fs {
    /// How a file that was just opened is to be read and written. `register` makes a file on the
    /// local disk known to the kernel, if it can be lent.
    pub fn way(&self, handle: u64, register: impl FnOnce(&File) -> Option<Backing>) -> Way {
        let Ok(file) = self.handles.file(handle) else { return Way::Calls };
        let mut state = file.local.state();
        let object = self.lendable(&file, &state);
        if let Some(lent) = &state.lent {
            return match object.is_some_and(|object| object.id == lent.object) {
                true => Way::Lent(lent.backing.clone()),
                false => Way::Beside,
            };
        }
        // Who came first, and still has it open, reads by calls.
        let Some(object) = object.filter(|_| state.opens == 1) else { return Way::Calls };
        let Some(backing) = self.reader.whole(&object).and_then(|whole| register(&whole)) else {
            return Way::Calls;
        };
        state.lent = Some(Lent { object: object.id.clone(), backing: backing.clone() });
        Way::Lent(backing)
    }

    /// The object of a file that is opened for reading, if nothing else shows through.
    fn lendable(&self, file: &FileHandle, state: &State) -> Option<Arc<Entry>> {
        if file.writable || state.is_aside || state.is_journaled() {
            return None;
        }
        self.tree.info(file.local.ino).ok()?.entry().cloned()
    }
}
