//! Checksums: of one block, and the print of a whole file, which is of its blocks' checksums in
//! order. They notice accidents of the disk; what came over the network is proven by md5.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

/// The checksum of a block.
pub(super) fn sum_of(block: &[u8]) -> u64 {
    XxHash3_64::oneshot(block)
}

/// A print that is being made.
#[derive(Clone, Debug, Default)]
pub struct Print(u64);

impl Print {
    /// Takes in the next block.
    pub fn add(&mut self, block: &[u8]) {
        self.add_sum(sum_of(block));
    }

    /// Takes in the checksum of the next block.
    pub(super) fn add_sum(&mut self, sum: u64) {
        let mut hasher = XxHash3_64::with_seed(self.0);
        hasher.write_u64(sum);
        self.0 = hasher.finish();
    }

    /// The print of what was taken in.
    pub fn finish(&self) -> u64 {
        self.0
    }
}
