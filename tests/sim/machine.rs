//! The machine of a simulation: the clock, the chance and the disk that a thread gets from its libc.
//!
//! What the program and its libraries ask the C library for is answered here on a thread that
//! simulates, and passed on to the kernel on every other. So nothing of the program knows of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// When a simulation begins, in seconds since the epoch: 2026-01-01.
const BEGIN: i64 = 1_767_225_600;

/// How long the bed has been as it is when a simulation begins: longer than any listing lags.
const BEFORE: Duration = Duration::from_secs(60);

/// How long it takes to mount again.
const BETWEEN: Duration = Duration::from_secs(2);

/// What a monotonic clock shows to who does not ask the runtime, whose clock is the one that moves.
const STILL: i64 = 1_000_000;

thread_local! {
    static CHANCE: Cell<Option<u64>> = const { Cell::new(None) };
    static CLOCK: Cell<Option<Instant>> = const { Cell::new(None) };
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static DISK: RefCell<Option<Rc<Disk>>> = const { RefCell::new(None) };
}

/// Makes this thread one that simulates. All that follows on it is the same for the same seed.
pub(crate) fn simulate(seed: u64) {
    CHANCE.set(Some(seed));
    NOW.set(BEFORE);
}

/// The runtime's clock, which is paused, is the thread's from here on. What went by before is added.
pub(crate) async fn adopt_clock() {
    let begin = Instant::now();
    tokio::time::advance(NOW.get()).await;
    CLOCK.set(Some(begin));
}

/// The runtime is about to end: the clock stands until the next one's.
pub(crate) fn keep_clock() {
    NOW.set(now() + BETWEEN);
    CLOCK.set(None);
}

/// How long the simulation has lasted by its own clock.
pub(crate) fn now() -> Duration {
    match CLOCK.get() {
        // Outside of the runtime its clock is not to be had.
        Some(begin) => NOW.get().max(Instant::now().saturating_duration_since(begin)),
        None => NOW.get(),
    }
}

/// The files below one folder: what was synced of them, and who wants to know of each sync.
pub(crate) struct Disk {
    root: PathBuf,
    /// What a loss of power leaves, by path.
    synced: RefCell<HashMap<PathBuf, Vec<u8>>>,
    on_sync: Box<dyn Fn(&Path)>,
    is_power_lost: bool,
    seized: RefCell<Image>,
}

/// Files and what they hold, by their path below the folder.
pub(crate) type Image = Vec<(PathBuf, Vec<u8>)>;

impl Disk {
    /// The disk of this thread from here on.
    pub(crate) fn begin(
        root: &Path, is_power_lost: bool, on_sync: impl Fn(&Path) + 'static,
    ) -> Rc<Self> {
        let disk = Rc::new(Self {
            root: root.to_owned(),
            synced: RefCell::new(match is_power_lost {
                true => image(root).into_iter().collect(),
                false => HashMap::new(),
            }),
            on_sync: Box::new(on_sync),
            is_power_lost,
            seized: RefCell::default(),
        });
        DISK.set(Some(disk.clone()));
        disk
    }

    /// No disk is simulated any more.
    pub(crate) fn end() {
        DISK.set(None);
    }

    /// What was on the disk at the crash.
    pub(crate) fn seized(&self) -> Image {
        self.seized.take()
    }

    /// What is on the disk when the process dies, or the machine.
    fn image(&self) -> Image {
        let mut files = image(&self.root);
        if self.is_power_lost {
            let synced = self.synced.borrow();
            files.retain_mut(|(path, bytes)| {
                let kept = synced.get(path);
                kept.is_some_and(|kept| {
                    bytes.clone_from(kept);
                    true
                })
            });
        }
        files
    }

    fn sync(&self, file: RawFd) {
        let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{file}")) else { return };
        let Ok(below) = path.strip_prefix(&self.root) else { return };
        if let (true, Ok(bytes)) = (self.is_power_lost, std::fs::read(&path)) {
            self.synced.borrow_mut().insert(below.to_owned(), bytes);
        }
        (self.on_sync)(below);
    }
}

/// The crash comes: what is on this thread's disk now is what the next life finds.
pub(crate) fn seize() {
    if let Some(disk) = DISK.with_borrow(Clone::clone) {
        disk.seized.replace(disk.image());
    }
}

/// The files below a folder. SQLite's shared memory is no file that outlives a process.
fn image(root: &Path) -> Image {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).expect("the folder is the simulation's");
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with("-shm")
                && let Ok(bytes) = std::fs::read(&path)
            {
                let below = path.strip_prefix(root).expect("below the folder").to_owned();
                files.push((below, bytes));
            }
        }
    }
    files.sort();
    files
}

/// Lays files into a folder.
pub(crate) fn lay(root: &Path, image: &Image) {
    for (path, bytes) in image {
        let path = root.join(path);
        let folder = path.parent().expect("it is below the folder");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}

/// What `splitmix64` makes of a number: the next one of the sequence.
pub(crate) fn mix(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The C library's, for all of this process.
///
/// # Safety
/// `buffer` has room for `length` bytes, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut libc::c_void, length: usize, flags: u32) -> isize {
    let Some(mut seed) = CHANCE.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    };
    // SAFETY: the caller has that much room there.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    bytes.fill_with(|| mix(&mut seed) as u8);
    CHANCE.set(Some(seed));
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// The C library's, for all of this process.
///
/// # Safety
/// `time` may be written to, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    if CHANCE.try_with(Cell::get).ok().flatten().is_none() {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as i32 };
    }
    let (seconds, nanos) = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => {
            let now = now();
            (BEGIN + now.as_secs() as i64, i64::from(now.subsec_nanos()))
        }
        _ => (STILL, 0),
    };
    // SAFETY: the caller lets it be written to.
    unsafe { *time = libc::timespec { tv_sec: seconds, tv_nsec: nanos } };
    0
}

/// The C library's, for all of this process.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: i32) -> i32 {
    sync(file, libc::SYS_fsync)
}

/// The C library's, for all of this process.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: i32) -> i32 {
    sync(file, libc::SYS_fdatasync)
}

fn sync(file: i32, call: libc::c_long) -> i32 {
    let disk = DISK.try_with(|disk| disk.borrow().clone()).ok().flatten();
    match disk {
        Some(disk) => {
            disk.sync(file);
            0
        }
        // SAFETY: a number is all it takes; the kernel refuses one that is no file's.
        None => unsafe { libc::syscall(call, file) as i32 },
    }
}
