//! The machine of a simulation: the clock, the chance and the disk of a thread that simulates. The
//! program gets to them by the C library (`clib`), and knows nothing of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// How long the bed has been as it is when a simulation begins: longer than any listing lags.
const BEFORE: Duration = Duration::from_secs(60);

/// How long it takes to mount again.
const BETWEEN: Duration = Duration::from_secs(2);

thread_local! {
    pub(crate) static CHANCE: Cell<Option<u64>> = const { Cell::new(None) };
    static CLOCK: Cell<Option<Instant>> = const { Cell::new(None) };
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    pub(crate) static DISK: RefCell<Option<Rc<Disk>>> = const { RefCell::new(None) };
    static FULL: Cell<Duration> = const { Cell::new(Duration::ZERO) };
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

/// The disk has no room from now on, for so long.
pub(crate) fn fill_disk(time: Duration) {
    FULL.set(now() + time);
}

/// The runtime is about to end: the clock stands until the next one's.
pub(crate) fn keep_clock() {
    NOW.set(now() + BETWEEN);
    FULL.set(Duration::ZERO);
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

    fn has(&self, file: RawFd) -> bool {
        path_of(file).is_some_and(|path| path.starts_with(&self.root))
    }

    /// A file was synced.
    pub(crate) fn sync(&self, file: RawFd) {
        let Some(path) = path_of(file) else { return };
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

/// Whether a write to a file fails for want of room.
pub(crate) fn has_no_room(file: RawFd) -> bool {
    let is_full =
        FULL.try_with(Cell::get).is_ok_and(|until| until > Duration::ZERO && until > now());
    is_full && DISK.with_borrow(|disk| disk.as_ref().is_some_and(|disk| disk.has(file)))
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

fn path_of(file: RawFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{file}")).ok()
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
