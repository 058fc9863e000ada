//! The base of a staged file: which of its bytes are here, missing, or not wanted any more.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::StagedFile;

/// What a staged file has of a part of its base.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes, filled in.
    Filled(Vec<u8>),
    /// That many bytes are missing.
    Missing(usize),
    /// That many bytes are not wanted any more: written over, or cut off.
    Gone(usize),
}

impl StagedFile {
    /// The first part of the base that is not here, if any.
    pub fn missing(&self) -> Option<Range<u64>> {
        let extents = self.extents();
        extents.missing(0..extents.len)
    }

    /// Puts bytes of the base where they are still missing, and nowhere else.
    pub fn fill(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut extents = self.extents();
        let end = (offset + data.len() as u64).min(extents.base);
        let mut from = offset;
        while let Some(gap) = extents.missing(from..end) {
            let part = &data[(gap.start - offset) as usize..(gap.end - offset) as usize];
            self.change(|open| open.file.write_all_at(part, gap.start))?;
            from = gap.end;
            extents.present.insert(gap.clone());
            extents.is_rewritten |= gap.start < extents.hashed;
            extents.filled.insert(gap);
        }
        Ok(())
    }

    /// Whether bytes of the base are missing, or here and not proven.
    pub fn leans_on_base(&self) -> bool {
        let extents = self.extents();
        extents.missing(0..extents.len).is_some() || !extents.filled.is_empty()
    }

    /// Bytes of a base of `size` bytes that are not wanted any more.
    pub fn gone(&self, size: u64) -> u64 {
        let extents = self.extents();
        let len = |range: &Range<u64>| range.end.min(extents.base).saturating_sub(range.start);
        let present: u64 = extents.present.iter().map(len).sum();
        let filled: u64 = extents.filled.iter().map(len).sum();
        size.saturating_sub(extents.base) + (present - filled)
    }

    /// What is here of the base from `offset` on, at most `len` bytes and at least one.
    pub fn base_part(&self, offset: u64, len: usize) -> io::Result<Part> {
        let extents = self.extents();
        let within = offset..offset + len as u64;
        let len_of = |end: u64| (end.min(within.end) - offset) as usize;
        if let Some(filled) = extents.filled.get(&offset) {
            let mut bytes = vec![0; len_of(filled.end)];
            self.open()?.file.read_exact_at(&mut bytes, offset)?;
            return Ok(Part::Filled(bytes));
        }
        let missing = extents.missing(within.clone());
        if let Some(missing) = missing.as_ref().filter(|missing| missing.start == offset) {
            return Ok(Part::Missing(len_of(missing.end)));
        }
        let next_filled = extents.filled.overlapping(&within).next().map(|next| next.start);
        let next_missing = missing.map(|next| next.start);
        let next = next_filled.into_iter().chain(next_missing).min();
        Ok(Part::Gone(len_of(next.unwrap_or(within.end))))
    }

    /// What was filled in so far is proven to be the base's.
    pub fn settle(&self) -> io::Result<()> {
        let mut extents = self.extents();
        // Nothing that lies over them later would be new to the log.
        self.log(|log| extents.filled.iter().try_for_each(|filled| log.wrote(filled)))?;
        extents.filled.clear();
        Ok(())
    }

    /// Whether nothing was written over the base, nor cut off it.
    pub fn is_untouched(&self) -> bool {
        let extents = self.extents();
        extents.base == extents.len && extents.present == extents.filled
    }

    /// Everything is here, and nothing leans on the base any more.
    pub fn detach(&self) -> io::Result<()> {
        let mut extents = self.extents();
        self.log(|log| log.cut(0))?;
        extents.base = 0;
        extents.filled.clear();
        Ok(())
    }

    /// Forgets what was filled in and is not proven: it is missing again.
    pub fn unfill(&self) {
        let mut extents = self.extents();
        for range in std::mem::take(&mut extents.filled) {
            extents.present.remove(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::staged;
    use super::*;
    use crate::staging::Staged;

    #[test]
    fn what_was_filled_is_told_from_what_was_written() {
        let (_dir, file) = staged(10);
        file.write_at(2, b"xy").expect("written");
        file.fill(0, b"01234").expect("filled");
        file.truncate(9).expect("cut");
        assert_eq!(file.gone(10), 3);
        let part = |offset, len| file.base_part(offset, len).expect("read");
        assert_eq!(part(0, 10), Part::Filled(b"01".to_vec()));
        assert_eq!(part(1, 1), Part::Filled(b"1".to_vec()));
        assert_eq!(part(2, 8), Part::Gone(2));
        assert_eq!(part(4, 6), Part::Filled(b"4".to_vec()));
        assert_eq!(part(5, 5), Part::Missing(4));
        assert_eq!(part(9, 1), Part::Gone(1));
        assert!(file.leans_on_base());
        file.unfill();
        assert_eq!(file.missing(), Some(0..2));
        file.fill(0, b"01..456789").expect("filled");
        file.settle().expect("settled");
        assert!(!file.leans_on_base());
        file.unfill();
        assert_eq!(file.read_at(0, 99).expect("read"), Staged::Bytes(b"01xy45678".to_vec()));
    }
}
