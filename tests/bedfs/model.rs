//! Random operations on a mount and on a plain folder, compared: the same results, the same tree and
//! the same bytes, now and after mounting again. Of empty files the bed is not asked: they are
//! here alone, and a file that was emptied keeps its last version at the service until it is filled.
//!
//! `BEDFS_MODEL_SEED` repeats a run, `BEDFS_MODEL_BATCHES` makes it longer.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedfs_emulator::{Answers, InstantUpload, MoveFolder, MoveToRoot, Options, Redirect};

use crate::bench::{all_at_once, end};
use crate::compare::{assert_same, bed, content};
use crate::harness::{Mount, fast, noise, text};

/// Operations between two comparisons.
const BATCH: usize = 40;

/// Few names, so that operations meet.
const NAMES: &[&str] = &["a.jpg", "b.png", "c", "图.jpg", "with blank"];

/// A generator of numbers: the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }

    /// Up to three names deep.
    fn path(&mut self) -> PathBuf {
        let depth = [1, 1, 2, 2, 2, 3][self.below(6)];
        (0..depth).map(|_| self.name()).collect()
    }

    /// Bytes of one of a few contents, so that the service knows some of them.
    fn bytes(&mut self) -> Vec<u8> {
        let len = [1, 10, 5000, 20_000, 70_000][self.below(5)];
        noise(self.below(3) as u64, len)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(PathBuf, Vec<u8>),
    CreateNew(PathBuf, Vec<u8>),
    Append(PathBuf, Vec<u8>),
    WriteAt(PathBuf, u64, Vec<u8>),
    Truncate(PathBuf, u64),
    /// Opened once: read, written in the middle, synced, read again.
    Edit(PathBuf, u64, Vec<u8>),
    Read(PathBuf),
    ReadAt(PathBuf, u64, usize),
    Stat(PathBuf),
    List(PathBuf),
    MakeFolder(PathBuf),
    RemoveFolder(PathBuf),
    Remove(PathBuf),
    RemoveAll(PathBuf),
    Rename(PathBuf, PathBuf),
    Copy(PathBuf, PathBuf),
    /// Removed while open, read through the open file.
    RemoveOpen(PathBuf),
    /// Mapped, changed in memory, synced.
    Map(PathBuf, u64, Vec<u8>),
}

pub(crate) fn op(dice: &mut Dice) -> Op {
    let path = dice.path();
    let offset = [0, 1, 4096, 9999, 30_000][dice.below(5)];
    match dice.below(41) {
        0..=7 => Op::Write(path, dice.bytes()),
        8 => Op::CreateNew(path, dice.bytes()),
        9 | 10 => Op::Append(path, dice.bytes()),
        11 | 12 => Op::WriteAt(path, offset, dice.bytes()),
        13 | 14 => Op::Truncate(path, offset),
        15 | 16 => Op::Edit(path, offset, dice.bytes()),
        17 | 18 => Op::Read(path),
        19 => Op::ReadAt(path, offset, 6000),
        20 => Op::Stat(path),
        21 => Op::List(path),
        22..=26 => Op::MakeFolder(path),
        27 => Op::RemoveFolder(path),
        28 | 29 => Op::Remove(path),
        30 => Op::RemoveAll(path),
        31..=36 => Op::Rename(path, dice.path()),
        37 | 38 => Op::Copy(path, dice.path()),
        39 => Op::RemoveOpen(path),
        _ => Op::Map(path, offset, dice.bytes()),
    }
}

/// What an operation gives that can be compared.
pub(crate) fn apply(root: &Path, op: &Op) -> Result<Vec<u8>, i32> {
    run(root, op).map_err(|error| error.raw_os_error().unwrap_or(-1))
}

fn run(root: &Path, op: &Op) -> io::Result<Vec<u8>> {
    let at = |path: &PathBuf| root.join(path);
    let nothing = |()| Vec::new();
    match op {
        Op::Write(path, bytes) => write(&at(path), bytes).map(nothing),
        Op::CreateNew(path, bytes) => {
            let mut file = OpenOptions::new().write(true).create_new(true).open(at(path))?;
            file.write_all(bytes)?;
            close(file).map(nothing)
        }
        Op::Append(path, bytes) => {
            let mut file = OpenOptions::new().append(true).open(at(path))?;
            file.write_all(bytes)?;
            close(file).map(nothing)
        }
        Op::WriteAt(path, offset, bytes) => {
            let file = OpenOptions::new().write(true).open(at(path))?;
            file.write_all_at(bytes, *offset)?;
            close(file).map(nothing)
        }
        Op::Truncate(path, len) => {
            let file = OpenOptions::new().write(true).open(at(path))?;
            file.set_len(*len)?;
            close(file).map(nothing)
        }
        Op::Edit(path, offset, bytes) => edit(&at(path), *offset, bytes),
        Op::Read(path) => fs::read(at(path)),
        Op::ReadAt(path, offset, len) => {
            let file = fs::File::open(at(path))?;
            let mut bytes = vec![0; *len];
            let count = file.read_at(&mut bytes, *offset)?;
            bytes.truncate(count);
            Ok(bytes)
        }
        Op::Stat(path) => {
            let seen = fs::symlink_metadata(at(path))?;
            let size = if seen.is_dir() { 0 } else { seen.size() };
            Ok(format!("{} {size} {}", seen.is_dir(), seen.mode() & 0o777).into_bytes())
        }
        Op::List(path) => {
            let names = fs::read_dir(at(path))?.map(|entry| Ok(entry?.file_name()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(format!("{names:?}").into_bytes())
        }
        Op::MakeFolder(path) => fs::create_dir(at(path)).map(nothing),
        Op::RemoveFolder(path) => fs::remove_dir(at(path)).map(nothing),
        Op::Remove(path) => fs::remove_file(at(path)).map(nothing),
        Op::RemoveAll(path) => fs::remove_dir_all(at(path)).map(nothing),
        Op::Rename(from, to) => fs::rename(at(from), at(to)).map(nothing),
        Op::Copy(from, to) => {
            fs::read(at(from)).and_then(|bytes| write(&at(to), &bytes)).map(nothing)
        }
        Op::RemoveOpen(path) => {
            let mut file = fs::File::open(at(path))?;
            fs::remove_file(at(path))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Op::Map(path, offset, bytes) => map(&at(path), *offset, bytes),
    }
}

/// Closes a file and gives what the close gave, which a drop would not.
fn close(file: fs::File) -> io::Result<()> {
    // SAFETY: the descriptor is owned, and given up here.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    close(file)
}

fn edit(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut seen = vec![0; 100];
    let count = file.read(&mut seen)?;
    seen.truncate(count);
    file.write_all_at(bytes, offset)?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut seen)?;
    Ok(seen)
}

/// Ends with the number of what failed.
const MAP: &str = "
import mmap, os, sys
path, offset, bytes = sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read()
try:
    file = os.open(path, os.O_RDWR)
    size = os.fstat(file).st_size
    if size == 0:
        sys.exit(0)
    view = mmap.mmap(file, size)
    bytes = bytes[:max(size - offset, 0)]
    view[offset:offset + len(bytes)] = bytes
    view.flush()
    view.close()
    os.close(file)
except OSError as error:
    sys.exit(error.errno)
";

/// In a process of its own: where the pages cannot be had it is killed.
fn map(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-ISc", MAP]).arg(path).arg(offset.to_string());
    let mut child =
        python.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Python runs");
    let given = child.stdin.take().expect("piped").write_all(bytes);
    let ended = child.wait().expect("an end");
    match ended.code() {
        Some(0) => given.map(|()| Vec::new()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

fn compare_for(seed: u64, batches: usize, answers: Answers) {
    println!("BEDFS_MODEL_SEED={seed}");
    let mount =
        Mount::with(Options { slice_size: 16 << 10, answers, ..fast() }, &["--umask", "022"]);
    let plain = mount.dir.path().join("plain");
    fs::create_dir(&plain).expect("a folder");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut done: Vec<String> = Vec::new();
    for batch in 0..batches {
        for _ in 0..BATCH {
            let op = op(&mut dice);
            let (here, there) = (apply(&mount.path, &op), apply(&plain, &op));
            let mut line = format!("{op:?}");
            let cut = line.char_indices().nth(90).map_or(line.len(), |(at, _)| at);
            line.truncate(cut);
            done.push(format!("{line} -> {:?}", there.as_ref().map(Vec::len)));
            let last = &done[done.len().saturating_sub(25)..];
            assert!(
                here == there,
                "seed {seed}: {:?} in the mount, {:?} in a folder, after\n{}",
                here.map(|bytes| bytes.len()),
                there.map(|bytes| bytes.len()),
                last.join("\n")
            );
        }
        let what = format!("seed {seed}, batch {batch}");
        let last = done[done.len().saturating_sub(BATCH)..].join("\n");
        mount.quiet();
        let wanted = content(&plain);
        assert_same(&content(&mount.path), &wanted, &format!("{what}, the mount after\n{last}\n"));
        let is_empty = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(Vec::is_empty);
        let empty = wanted.iter().filter(|(_, bytes)| is_empty(bytes));
        let empty: Vec<_> = empty.map(|(path, _)| path.clone()).collect();
        let (mut kept, mut filled) = (bed(&mount.emulator), wanted.clone());
        filled.retain(|_, bytes| !is_empty(bytes));
        kept.retain(|path, _| !empty.contains(path));
        assert_same(&kept, &filled, &format!("{what}, the bed after\n{last}\n"));
        if batch % 2 == 1 {
            end(&mount);
            let again = mount.mount(&["--umask", "022"]);
            assert!(again.status.success(), "{what}: {}", text(&again.stderr));
            assert_same(&content(&mount.path), &wanted, &format!("{what}, mounted again"));
        }
    }
    end(&mount);
    let left = mount.emulator.tree();
    let scratch = left.iter().find(|(path, _)| path.starts_with(".bedfs-scratch-"));
    assert!(scratch.is_none(), "seed {seed}: {scratch:?} is left behind");
    assert!(mount.emulator.violations().is_empty(), "{:?}", mount.emulator.violations());
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_mount_does_what_a_folder_does() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let fresh = u64::from(now.expect("after 1970").subsec_nanos());
    let seed = number("BEDFS_MODEL_SEED").unwrap_or(fresh);
    let batches = number("BEDFS_MODEL_BATCHES").unwrap_or(4) as usize;
    let poor = Answers {
        instant_upload: InstantUpload::Never,
        move_folder: MoveFolder::Refused,
        move_to_root: MoveToRoot::Refused,
        redirect: Redirect::OtherHost,
        ..Answers::default()
    };
    let beds = [(seed, Answers::default()), (seed + 1, Answers::default()), (seed + 2, poor)];
    all_at_once(beds, |(seed, answers)| compare_for(seed, batches, answers));
}
