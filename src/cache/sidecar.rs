//! The sidecar of a data file: whose bytes it holds, which blocks, and the checksum of each.
//!
//! A header, then records of 16 bytes that are only ever appended, each after the bytes that it
//! tells of were written. A record that is torn or rotten comes to a block that its checksum
//! refutes, or to none: both are fetched again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::types::FileId;

/// What a sidecar of this layout begins with.
const MAGIC: &[u8; 8] = b"bedfs-b1";

const RECORD: usize = 16;

/// The number in the record of a proof, whose sum is the print of all blocks.
const PROOF: u64 = u64::MAX;

/// The number of a block and its checksum.
pub(super) type Record = (u64, u64);

/// An open sidecar.
#[derive(Debug)]
pub(super) struct Sidecar {
    file: File,
    /// Bytes of the header.
    header: u64,
}

/// What a sidecar told when it was opened.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// Of each block the last record holds.
    pub(super) blocks: Vec<Record>,
    /// The print of the blocks that were proven by md5.
    pub(super) proof: Option<u64>,
}

impl Sidecar {
    /// Begins a sidecar, over one that is there.
    pub(super) fn create(path: &Path, id: &FileId, size: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // What is there is emptied only once it is open: append and truncate exclude each other.
        let mut file = options.create(true).append(true).mode(0o600).open(path)?;
        file.set_len(0)?;
        let header = header(id, size);
        file.write_all(&header)?;
        Ok(Self { file, header: header.len() as u64 })
    }

    /// Opens a sidecar; `None` if it is of another file or layout.
    pub(super) fn open(path: &Path, id: &FileId, size: u64) -> io::Result<Option<(Self, Told)>> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let header = header(id, size);
        let Some(records) = bytes.strip_prefix(&*header) else { return Ok(None) };
        let (records, torn) = records.as_chunks::<RECORD>();
        if !torn.is_empty() {
            file.set_len((bytes.len() - torn.len()) as u64)?;
        }
        let mut told = Told::default();
        for record in records {
            let (number, sum) = record.split_at(RECORD / 2);
            let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
            match word(number) {
                PROOF => told.proof = Some(word(sum)),
                number => told.blocks.push((number, word(sum))),
            }
        }
        Ok(Some((Self { file, header: header.len() as u64 }, told)))
    }

    /// Tells of blocks that were written.
    pub(super) fn append(&self, records: &[Record]) -> io::Result<()> {
        let words = records.iter().flat_map(|(number, sum)| [number, sum]);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        let len = self.len()?;
        // What is written of a record would shift those after it.
        (&self.file).write_all(&bytes).inspect_err(|_| drop(self.file.set_len(len)))
    }

    /// Tells that all blocks together, with this print, were proven by md5.
    pub(super) fn append_proof(&self, print: u64) -> io::Result<()> {
        self.append(&[(PROOF, print)])
    }

    /// Tells of these blocks alone. What is cut off half way tells of fewer.
    pub(super) fn rewrite(&self, records: &[Record]) -> io::Result<()> {
        self.file.set_len(self.header)?;
        self.append(records)
    }

    /// Bytes of the sidecar.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

fn header(id: &FileId, size: u64) -> Vec<u8> {
    let id = id.as_str().as_bytes();
    let words = [size, id.len() as u64].into_iter().flat_map(u64::to_le_bytes);
    MAGIC.iter().copied().chain(words).chain(id.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_told_and_what_is_torn_is_cut_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, id) = (dir.path().join("a"), FileId::new("an ID"));
        let sidecar = Sidecar::create(&path, &id, 9).expect("created");
        sidecar.append(&[(0, 7), (3, 8)]).expect("appended");
        sidecar.append_proof(5).expect("appended");
        let whole = sidecar.len().expect("a length");
        (&sidecar.file).write_all(b"torn").expect("written");
        let open = |id: &FileId, size| Sidecar::open(&path, id, size).expect("readable");
        let (sidecar, told) = open(&id, 9).expect("the same file");
        assert_eq!(told, Told { blocks: vec![(0, 7), (3, 8)], proof: Some(5) });
        assert_eq!(sidecar.len().expect("a length"), whole);
        assert!(open(&FileId::new("an I"), 9).is_none());
        assert!(open(&id, 8).is_none());
    }
}
