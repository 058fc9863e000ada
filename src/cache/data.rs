//! A data file: the blocks of one remote file, each at its own offset of a sparse file, with a
//! sidecar that tells which are there.
//!
//! A block is written, then its record, and never written again while it is held.

use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rangemap::RangeSet;

use super::print::{Print, sum_of};
use super::sidecar::{Record, Sidecar};
use super::{BLOCK, Key};
use crate::disk;
use crate::types::FileId;

/// What the disk allots at least; only the bound is reckoned with it.
const PAGE: u64 = 4096;

/// An open data file and its sidecar.
#[derive(Debug)]
pub(super) struct DataFile {
    file: File,
    sidecar: Sidecar,
    size: u64,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// Of every block; only of those `present` it means something.
    sums: Vec<u64>,
    present: RangeSet<u64>,
    /// The print of the blocks that were proven by md5.
    proof: Option<u64>,
    /// All blocks are here, and their print is that of the proof.
    is_proven: bool,
}

impl DataFile {
    /// Begins an empty data file, over one that is there.
    pub(super) fn create(dir: &Path, key: Key, id: &FileId, size: u64) -> io::Result<Self> {
        let path = dir.join(key.data());
        // Never written over: who reads what has the name goes on with that.
        super::unless_gone(std::fs::remove_file(&path))?;
        let mut options = OpenOptions::new();
        let file = options.create_new(true).read(true).write(true).mode(0o600).open(path)?;
        file.set_len(size)?;
        let sidecar = Sidecar::create(&dir.join(key.sidecar()), id, size)?;
        Ok(Self::over(file, sidecar, size))
    }

    /// Opens what an earlier mount left; `None` if it is of another file.
    pub(super) fn open(dir: &Path, key: Key, id: &FileId, size: u64) -> io::Result<Option<Self>> {
        let told = Sidecar::open(&dir.join(key.sidecar()), id, size)?;
        let Some((sidecar, told)) = told else { return Ok(None) };
        let file = OpenOptions::new().read(true).write(true).open(dir.join(key.data()))?;
        if file.metadata()?.len() != size {
            return Ok(None);
        }
        let data = Self::over(file, sidecar, size);
        {
            let mut held = data.held();
            for (number, sum) in told.blocks {
                if let Some(known) = held.sums.get_mut(number as usize) {
                    *known = sum;
                    held.present.insert(number..number + 1);
                }
            }
            held.proof = told.proof;
            held.settle();
        }
        Ok(Some(data))
    }

    fn over(file: File, sidecar: Sidecar, size: u64) -> Self {
        let held = Held {
            sums: vec![0; size.div_ceil(BLOCK) as usize],
            present: RangeSet::new(),
            proof: None,
            is_proven: false,
        };
        Self { file, sidecar, size, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Each change is complete before anything in it can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the blocks that lie here, of those in `numbers`.
    pub(super) fn bytes(&self, numbers: &Range<u64>) -> u64 {
        let held = self.held();
        let blocks = held.present.overlapping(numbers);
        let within = |run: &Range<u64>| run.start.max(numbers.start)..run.end.min(numbers.end);
        blocks.map(within).map(|run| self.span(&run).end - run.start * BLOCK).sum()
    }

    /// What the disk has allotted, about.
    pub(super) fn allotted(&self) -> u64 {
        let up = |bytes: u64| bytes.next_multiple_of(PAGE);
        up(self.bytes(&(0..self.blocks()))) + up(self.sidecar.len().unwrap_or(PAGE))
    }

    fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    /// Where in the file some blocks lie.
    fn span(&self, numbers: &Range<u64>) -> Range<u64> {
        numbers.start * BLOCK..(numbers.end * BLOCK).min(self.size)
    }

    /// Which of the blocks are here.
    pub(super) fn which(&self, numbers: &Range<u64>) -> Vec<u64> {
        let held = self.held();
        let runs = held.present.overlapping(numbers);
        runs.flat_map(|run| run.start.max(numbers.start)..run.end.min(numbers.end)).collect()
    }

    /// Those of the blocks that are here and right, each in its place. What is not right is
    /// dropped; an error means that nothing of the file is to be trusted.
    pub(super) fn read(&self, numbers: Range<u64>) -> io::Result<Vec<Option<Bytes>>> {
        let mut blocks = vec![None; (numbers.end - numbers.start) as usize];
        let runs: Vec<Range<u64>> = self.held().present.overlapping(&numbers).cloned().collect();
        for run in runs {
            let run = run.start.max(numbers.start)..run.end.min(numbers.end);
            let span = self.span(&run);
            let mut bytes = vec![0; (span.end - span.start) as usize];
            self.file.read_exact_at(&mut bytes, span.start)?;
            let mut bytes = Bytes::from(bytes);
            for number in run {
                let block = bytes.split_to(bytes.len().min(BLOCK as usize));
                if self.check(number, &block) {
                    blocks[(number - numbers.start) as usize] = Some(block);
                }
            }
        }
        Ok(blocks)
    }

    /// Whether the block is that which was written; else it is no longer held.
    fn check(&self, number: u64, block: &[u8]) -> bool {
        let found = sum_of(block);
        let mut held = self.held();
        if held.sums[number as usize] == found {
            return true;
        }
        tracing::warn!("block {number} of a cached file is damaged on disk: it is fetched again");
        held.drop_run(number..number + 1);
        false
    }

    /// Writes blocks that are not here yet.
    pub(super) fn write(&self, blocks: &[(u64, Bytes)]) -> io::Result<()> {
        let mut records = Vec::with_capacity(blocks.len());
        for (number, block) in blocks {
            let span = self.span(&(*number..number + 1));
            let is_fit = block.len() as u64 == span.end.saturating_sub(span.start);
            if !is_fit || self.held().present.contains(number) {
                continue;
            }
            records.push((*number, sum_of(block)));
            if let Err(error) = self.file.write_all_at(block, span.start) {
                self.give_back(&records);
                return Err(error);
            }
        }
        self.sidecar.append(&records).inspect_err(|_| self.give_back(&records))?;
        let mut held = self.held();
        for (number, sum) in records {
            held.sums[number as usize] = sum;
            held.present.insert(number..number + 1);
        }
        held.settle();
        Ok(())
    }

    /// Frees the room of blocks that are not held, though they were written, as far as that goes.
    fn give_back(&self, records: &[Record]) {
        for (number, _) in records {
            if let Err(error) = disk::punch(&self.file, &self.span(&(*number..*number + 1))) {
                return tracing::debug!("a block that is not held takes room: {error}");
            }
        }
    }

    /// Whether somebody took the name of the file away.
    pub(super) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Sets the times of the file.
    pub(super) fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.file.set_times(times)
    }

    /// Frees the blocks from `after` on, round to those before it, until about `bytes` are freed.
    pub(super) fn punch(&self, after: u64, bytes: u64) -> io::Result<()> {
        let mut held = self.held();
        let (later, earlier) = (after..u64::MAX, 0..after);
        let runs = held.present.overlapping(&later).chain(held.present.overlapping(&earlier));
        let runs: Vec<Range<u64>> = runs.cloned().collect();
        let mut left = bytes.div_ceil(BLOCK);
        for run in runs {
            let run = run.start..run.end.min(run.start + left);
            disk::punch(&self.file, &self.span(&run))?;
            left -= run.end - run.start;
            held.drop_run(run);
            if left == 0 {
                break;
            }
        }
        let numbers = held.present.iter().cloned().flatten();
        let records: Vec<_> = numbers.map(|number| (number, held.sums[number as usize])).collect();
        self.sidecar.rewrite(&records)
    }

    /// Keeps in mind that all blocks, if they have this print, were proven by md5.
    pub(super) fn prove(&self, print: u64) -> io::Result<()> {
        {
            let mut held = self.held();
            if held.is_proven || held.print() != Some(print) {
                return Ok(());
            }
            (held.proof, held.is_proven) = (Some(print), true);
        }
        self.sidecar.append_proof(print)
    }

    /// Whether all blocks are here and were proven by md5.
    pub(super) fn is_proven(&self) -> bool {
        self.held().is_proven
    }
}

impl Held {
    fn is_whole(&self) -> bool {
        self.present.gaps(&(0..self.sums.len() as u64)).next().is_none()
    }

    /// The print of all blocks, if all are here.
    fn print(&self) -> Option<u64> {
        self.is_whole().then(|| {
            let mut print = Print::default();
            self.sums.iter().for_each(|sum| print.add_sum(*sum));
            print.finish()
        })
    }

    /// Finds out whether what is here by now is what was proven.
    fn settle(&mut self) {
        self.is_proven = self.proof.is_some() && self.print() == self.proof;
    }

    fn drop_run(&mut self, run: Range<u64>) {
        self.present.remove(run);
        self.is_proven = false;
    }
}
