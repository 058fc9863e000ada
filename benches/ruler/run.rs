//! [`Run`]: one run of the ruler: its sizes, its rounds and its folders.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::machine;
use crate::outcome::Outcome;

/// The built program.
pub(crate) const BEDFS: &str = env!("CARGO_BIN_EXE_bedfs");

/// Bytes in a MiB.
pub(crate) const MIB: usize = 1 << 20;

/// The variable that names a folder in memory, where the machine has one.
const MEMORY: &str = "RULER_MEMORY";

/// Frees page cache, names and inodes; only root may.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// One run of the ruler.
pub(crate) struct Run {
    /// How often a row is measured; the median counts.
    pub(crate) rounds: usize,
    /// By how much sizes are divided.
    shrink: usize,
    /// Folders on the disk, for bytes.
    pub(crate) disk: TempDir,
    /// Folders in memory where there are any, for names: a disk's own work on these varies.
    pub(crate) memory: TempDir,
}

impl Run {
    pub(crate) fn new(quick: bool) -> Outcome<Self> {
        let (rounds, shrink) = if quick { (3, 8) } else { (5, 1) };
        let disk = TempDir::with_prefix("ruler-")?;
        let memory = std::env::var_os(MEMORY).map_or_else(std::env::temp_dir, PathBuf::from);
        let memory = TempDir::with_prefix_in("ruler-", memory)?;
        Ok(Self { rounds, shrink, disk, memory })
    }

    /// A size or count of the full run, as this run has it.
    pub(crate) fn size(&self, full: usize) -> usize {
        full / self.shrink
    }

    /// A new folder on the disk.
    pub(crate) fn on_disk(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.disk.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A new folder in memory.
    pub(crate) fn in_memory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.memory.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Touches memory that the rows will use: the first touch of a virtual machine's memory costs
    /// many times the later ones, and would fall on whoever is measured first.
    pub(crate) fn touch_memory(&self) {
        eprintln!("touching memory");
        let mut all = Vec::new();
        let free = machine::memory("MemAvailable").unwrap_or(0);
        for _ in 0..self.size(6 << 10).min(free / 2) / 64 {
            all.push(vec![1_u8; 64 * MIB]);
        }
        std::hint::black_box(&all);
    }
}

/// Writes back what is dirty, and drops page cache, names and inodes.
pub(crate) fn drop_caches() -> Outcome<()> {
    sync();
    fs::write(DROP_CACHES, "3")
        .map_err(|error| format!("dropping the page cache takes root: {error}").into())
}

/// Writes back what is dirty.
pub(crate) fn sync() {
    // SAFETY: no argument, and nothing that could fail.
    unsafe { libc::sync() }
}
