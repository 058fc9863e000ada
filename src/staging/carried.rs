//! A carried staged file: one that is on its way to the program that takes this one's place, and goes
//! on with it under the same descriptors.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rangemap::RangeSet;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::lent::Stamp;
use super::log::ExtentLog;
use super::{Extents, StagedFile};
use crate::process::inherited;

/// What is known of a staged file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    file: RawFd,
    log: Option<RawFd>,
    /// In the folder of staged files; `None`: it has no name any more, or never had one.
    name: Option<String>,
    len: u64,
    base: u64,
    present: Vec<Range<u64>>,
    filled: Vec<Range<u64>>,
    generation: u64,
    lent: Option<Stamp>,
    lost: i32,
}

impl StagedFile {
    /// What the next program has to know of it. The `descriptors` are those that it must get.
    pub fn carry(&self, descriptors: &mut Vec<RawFd>) -> Carried {
        let (file, log) = (self.file.as_raw_fd(), self.log.as_ref().map(ExtentLog::descriptor));
        descriptors.extend([Some(file), log].into_iter().flatten());
        let extents = self.extents();
        Carried {
            file,
            log,
            name: self.name().map(str::to_owned),
            len: extents.len,
            base: extents.base,
            present: extents.present.iter().cloned().collect(),
            filled: extents.filled.iter().cloned().collect(),
            generation: extents.generation,
            lent: extents.lent,
            lost: self.disk.lost(),
        }
    }

    /// Goes on with what another program staged in `dir`.
    pub fn resume(carried: Carried, dir: &Path) -> io::Result<Self> {
        let Carried { file, log, name, len, base, present, filled, generation, lent, lost } =
            carried;
        let whole = |ranges: Vec<Range<u64>>| ranges.into_iter().collect::<RangeSet<u64>>();
        let extents = Extents {
            len,
            base,
            present: whole(present),
            filled: whole(filled),
            generation,
            hashed: 0,
            is_rewritten: false,
            is_followed: false,
            lent,
        };
        Ok(Self {
            file: inherited(file)?.into(),
            disk: Arc::new(Disk::that_lost(lost)),
            path: name.map(|name| dir.join(name)),
            log: log.map(inherited).transpose()?.map(ExtentLog::inherited),
            prefix: Mutex::default(),
            extents: Mutex::new(extents),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Staged;
    use super::super::tests::staged;
    use super::*;

    #[test]
    fn a_carried_file_is_what_it_was() {
        let (dir, file) = staged(10);
        file.write_at(2, b"xy").expect("written");
        file.fill(0, b"01").expect("filled");
        let mut descriptors = Vec::new();
        let mut carried = file.carry(&mut descriptors);
        assert_eq!(descriptors, [carried.file, carried.log.expect("it has a base")]);
        // As after an exec, nobody else has the descriptors.
        for number in [Some(&mut carried.file), carried.log.as_mut()].into_iter().flatten() {
            // SAFETY: the call takes a number and touches no memory.
            *number = unsafe { libc::dup(*number) };
        }
        let bytes = postcard::to_allocvec(&carried).expect("written");
        let carried = postcard::from_bytes(&bytes).expect("read");
        let again = StagedFile::resume(carried, dir.path()).expect("resumed");
        assert_eq!((again.generation(), again.size(), again.path()), (1, 10, file.path()));
        assert_eq!(again.read_at(0, 4).expect("read"), Staged::Bytes(b"01xy".to_vec()));
        assert_eq!(again.missing(), Some(4..10));
        again.write_at(8, b"z").expect("written");
        let reopened = StagedFile::reopen(file.path().expect("a path")).expect("opened");
        assert_eq!(reopened.missing(), Some(0..2), "the log was gone on with");
    }
}
