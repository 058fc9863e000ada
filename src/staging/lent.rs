//! A lent staged file: one that the kernel reads and writes by itself (FUSE passthrough).
//!
//! No write is seen here then. Changes are told by the disk: each moves the file's time of change,
//! which `tells_changes` has made sure of. A write moves it before its bytes are in the file. So who
//! is to answer for the bytes of a generation takes it first, and then waits for the writes that are
//! under way (`come_to_rest`): each that begins later makes another generation.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{Extents, StagedFile};

/// The signal of a lease that is broken: one that is ignored, instead of one that kills.
const LEASE_SIGNAL: libc::c_int = libc::SIGURG;

/// `fcntl`'s number for setting that signal, on every machine that has the generic numbers.
const F_SETSIG: libc::c_int = 10;

/// Writes that must each be told from the one before.
const TRIALS: u64 = 16;

/// Writes to a mapped page that must each be told, the page being brought to the disk after each.
const SYNCS: u32 = 2;

/// What of a file's state on disk moves with each change of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { size: meta.len(), seconds: meta.ctime(), nanoseconds: meta.ctime_nsec() })
    }
}

impl Extents {
    /// Takes in what the kernel changed.
    pub(super) fn look(&mut self, file: &File) {
        let Some(known) = self.lent else { return };
        match Stamp::of(file) {
            Ok(now) if now == known => return,
            Ok(now) => (self.lent, self.len) = (Some(now), now.size),
            // What cannot be told counts as a change.
            Err(error) => tracing::warn!("a staged file cannot be looked at: {error}"),
        }
        self.generation += 1;
        self.is_rewritten = true;
    }
}

impl StagedFile {
    /// Lets the kernel read and write the bytes by itself, and gives what it does that on; `None`
    /// where it must not, since what is written over a base is logged.
    pub fn lend(&self) -> io::Result<Option<&File>> {
        let is_watched = self.watch()?;
        Ok(is_watched.then_some(&self.file))
    }

    /// Has what others write noticed from now on, if that can be.
    pub(super) fn watch(&self) -> io::Result<bool> {
        let mut extents = self.extents();
        if extents.base == 0 && extents.lent.is_none() {
            let stamp = Stamp::of(&self.file)?;
            (extents.lent, extents.len) = (Some(stamp), stamp.size);
        }
        Ok(extents.lent.is_some())
    }

    /// The kernel does not read and write by itself any more.
    pub fn take_back(&self) {
        self.extents().lent = None;
    }

    /// Counts as changed, since a change may not have been told.
    pub fn doubt(&self) {
        let mut extents = self.extents();
        extents.generation += 1;
        extents.is_rewritten = true;
    }

    /// When the bytes were last written.
    pub fn written(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Whether nobody but this value may write to the file. A mapping outlives the close of the file
    /// that it was made of.
    pub fn is_alone(&self) -> bool {
        let file = self.file.as_raw_fd();
        // SAFETY: the descriptor is open as long as `self` lives, and no pointer is passed. The
        // lease, which only a file that is open once can have, ends before anyone could wait for it.
        unsafe {
            libc::fcntl(file, F_SETSIG, LEASE_SIGNAL) == 0
                && libc::fcntl(file, libc::F_SETLEASE, libc::F_WRLCK) == 0
                && libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) == 0
        }
    }

    /// Returns when all writes are in the file that have moved its time of change, and when each
    /// later one will move it: also one in a mapping, where only the first write to a page since it
    /// was last brought to the disk is seen. Whether the bytes were synced for that, as those are that
    /// others write.
    pub(super) fn come_to_rest(&self) -> io::Result<bool> {
        if self.extents().lent.is_none() {
            return Ok(false);
        }
        // SAFETY: the descriptor is open as long as `self` lives, and the name is a C string. The
        // kernel takes the file's lock for this, which a write holds to its end; then it refuses,
        // since there is no such kind of attribute.
        unsafe { libc::fremovexattr(self.file.as_raw_fd(), c"bedfs.none".as_ptr()) };
        self.disk.keeps(|| self.file.sync_data())?;
        Ok(true)
    }

    /// The same bytes under another name in `dir`, lent too.
    pub fn link(&self, dir: &Path, label: &str) -> io::Result<Self> {
        let Some(path) = &self.path else { return Err(io::ErrorKind::Unsupported.into()) };
        let file = self.file.try_clone()?;
        let link = Self::named(label, |builder| {
            builder.make_in(dir, |new| std::fs::hard_link(path, new))
        })?;
        let (_, link) = link.keep().map_err(|error| error.error)?;
        let linked = Self { disk: self.disk.clone(), ..Self::over(file, Some(link), None, 0) };
        linked.watch()?;
        Ok(linked)
    }

    /// A copy of the bytes in `dir`, synced, with all that was written before. For `part`; it goes with
    /// the value. Not for a session thread.
    pub fn copy(&self, dir: &Path) -> io::Result<NamedTempFile> {
        let Some(path) = &self.path else { return Err(io::ErrorKind::Unsupported.into()) };
        self.come_to_rest()?;
        let copy = NamedTempFile::new_in(dir)?;
        std::io::copy(&mut File::open(path)?, &mut copy.as_file())?;
        copy.as_file().sync_data()?;
        Ok(copy)
    }

    /// Gives the name to a copy in `dir`, in place of the bytes that another name has too.
    pub fn part(&self, copy: NamedTempFile, dir: &Path) -> io::Result<Self> {
        let Some(path) = &self.path else { return Err(io::ErrorKind::Unsupported.into()) };
        copy.persist(path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()?;
        Self::reopen(path)
    }
}

/// Whether the disk of `dir` tells each change of a file by its time of change, one in a mapping too,
/// and who has it open or mapped: then its files can be lent to who writes them.
pub fn tells_changes(dir: &Path) -> io::Result<bool> {
    let staged = StagedFile::nameless(dir, 0)?;
    let tells = |change: &mut dyn FnMut() -> io::Result<()>| {
        let known = Stamp::of(&staged.file)?;
        change()?;
        Ok::<_, io::Error>(Stamp::of(&staged.file)? != known)
    };
    for trial in 0..TRIALS {
        if !tells(&mut || staged.write_at(0, &trial.to_le_bytes()))? {
            return Ok(false);
        }
    }
    if !staged.is_alone() {
        return Ok(false);
    }
    let again = format!("/proc/self/fd/{}", staged.file.as_raw_fd());
    // Once it is closed nothing but the mapping has it.
    let page = Page::map(&File::options().read(true).write(true).open(again)?)?;
    for _ in 0..SYNCS {
        if !tells(&mut || page.change())? {
            return Ok(false);
        }
        staged.file.sync_data()?;
    }
    Ok(!staged.is_alone())
}

/// The first page of a file, mapped as a program maps what it writes.
struct Page(*mut libc::c_void);

impl Page {
    /// Bytes that are mapped: the kernel makes it a page.
    const LEN: usize = 1;

    fn map(file: &File) -> io::Result<Self> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        // SAFETY: a new mapping, at an address that the kernel chooses, of an open file.
        let at = unsafe { libc::mmap(ptr::null_mut(), Self::LEN, prot, libc::MAP_SHARED, fd, 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(at)) }
    }

    /// Has the kernel put a byte there: a disk that is full is an error then, and no signal.
    fn change(&self) -> io::Result<()> {
        let zeros = File::open("/dev/zero")?;
        // SAFETY: the page is mapped for as long as `self` lives, and nobody borrows its bytes.
        match unsafe { libc::read(zeros.as_raw_fd(), self.0, Self::LEN) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `map`, and is used by nobody any more.
        unsafe { libc::munmap(self.0, Self::LEN) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::tests::{not_tested, staged};
    use super::*;

    #[test]
    fn a_change_behind_the_back_of_a_lent_file_is_seen() {
        let (dir, file) = staged(0);
        if !tells_changes(dir.path()).expect("tried") {
            return not_tested("this disk does not tell each change");
        }
        let kernel = file.lend().expect("lent").expect("it has no base");
        let before = file.generation();
        assert_eq!(file.generation(), before, "nothing changed");
        kernel.write_all_at(b"abc", 2).expect("written");
        assert_ne!(file.generation(), before);
        assert_eq!(file.size(), 5);
        let sum = file.sum().expect("hashed");
        assert_eq!((sum.size, sum.generation), (5, file.generation()));
        kernel.write_all_at(b"xyz", 2).expect("written");
        assert_ne!(file.sum().expect("hashed").md5, sum.md5);
        let copy = file.snapshot(dir.path()).expect("copied");
        assert_eq!(copy.generation(), file.generation());
        kernel.write_all_at(b"more", 5).expect("written");
        assert_eq!((copy.size(), file.size()), (5, 9));
    }

    #[test]
    fn who_else_may_write_to_the_file_is_noticed() {
        let (_dir, file) = staged(0);
        if !file.is_alone() {
            return not_tested("this disk has no leases");
        }
        let path = file.path().expect("a path");
        let other = File::options().write(true).open(path).expect("opened");
        assert!(!file.is_alone());
        drop(other);
        assert!(file.is_alone());
    }

    #[test]
    fn what_another_process_goes_on_writing_to_is_watched() {
        let (dir, file) = staged(0);
        if !tells_changes(dir.path()).expect("tried") {
            return not_tested("this disk does not tell each change");
        }
        file.write_at(0, b"before").expect("written");
        let path = file.path().expect("a path");
        let other = File::options().write(true).open(path).expect("opened");
        let again = StagedFile::reopen(path).expect("opened");
        let sum = again.sum().expect("hashed");
        other.write_all_at(b"and after", 0).expect("written");
        assert_ne!(again.generation(), sum.generation);
        assert_eq!(again.sum().expect("hashed").size, 9);
    }

    #[test]
    fn a_file_that_is_parted_keeps_its_name_and_its_bytes() {
        let (dir, file) = staged(0);
        file.write_at(0, b"promised").expect("written");
        let later = file.link(dir.path(), "a.png").expect("linked");
        let copy = file.copy(dir.path()).expect("copied");
        let earlier = file.part(copy, dir.path()).expect("parted");
        later.truncate(0).expect("cut");
        later.write_at(0, b"new").expect("written");
        assert_eq!((earlier.size(), later.size(), file.size()), (8, 3, 8));
        assert_eq!(earlier.path(), file.path());
        assert_ne!(earlier.path(), later.path());
    }

    #[test]
    fn a_disk_that_does_not_tell_what_is_mapped_is_known() {
        let dir = Path::new("/dev/shm");
        let Ok(staged) = StagedFile::nameless(dir, 1) else {
            return not_tested(&format!("there is no {dir:?}"));
        };
        let page = Page::map(&staged.file).expect("mapped");
        page.change().expect("changed");
        let known = Stamp::of(&staged.file).expect("looked at");
        page.change().expect("changed");
        let is_told = Stamp::of(&staged.file).expect("looked at") != known;
        assert!(is_told || !tells_changes(dir).expect("tried"));
    }

    #[test]
    fn a_file_over_a_base_is_not_lent() {
        let (_dir, file) = staged(10);
        assert!(file.lend().expect("looked at").is_none());
    }
}
