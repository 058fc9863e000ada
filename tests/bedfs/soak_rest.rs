//! What a mount holds at rest: memory, descriptors, threads, inodes, staged files, in its process and on
//! the local disk.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::pid;
use crate::harness::{Mount, run};
use crate::journaled::staged;

/// How long is waited for what goes by itself: idle threads after 10 s, connections after 90 s.
const PATIENCE: Duration = Duration::from_secs(100);

/// What may be more: blocks in memory and what the allocator keeps (KiB); idle threads; connections.
const MORE_KIB: u64 = (32 + 16) << 10;
const MORE_THREADS: usize = 4;
const MORE_SOCKETS: usize = 16;

/// Open data files of the cache, at most, each with its sidecar, and the lock.
const CACHED: usize = 2 * 64 + 1;

/// What is held by a mount that does nothing.
pub(crate) struct Rest {
    kib: u64,
    threads: usize,
    sockets: usize,
    /// Data files of the cache that are open, and all other descriptors but sockets.
    cached: usize,
    files: usize,
    /// Descriptors of what has no name any more.
    nameless: Vec<String>,
    /// Beyond one for each folder and file.
    inodes: i64,
    handles: i64,
    staged: Vec<PathBuf>,
    /// Bytes beyond what the cache may hold.
    overfull: u64,
}

impl Rest {
    /// What the mount holds, which must be at rest. The kernel is made to forget what it knows.
    pub(crate) fn of(mount: &Mount) -> Self {
        let shown = 1 + run("find", [mount.path.as_os_str(), "-mindepth".as_ref(), "1".as_ref()])
            .lines()
            .count() as i64;
        // Whatever is asked for that way, the kernel drops the names that it has.
        run("mount", ["-i".as_ref(), "-o".as_ref(), "remount".as_ref(), mount.path.as_os_str()]);
        let status = fs::read(mount.at(".bedfs/status.json")).expect("the status");
        let status: serde_json::Value = serde_json::from_slice(&status).expect("JSON");
        let figure = |name: &str| status[name].as_i64().expect("a number");
        let process = format!("/proc/{}", pid(mount));
        let told = fs::read_to_string(format!("{process}/status")).expect("a process");
        let line = |name: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.split_whitespace().next().expect("a figure").parse::<u64>().expect("a number")
        };
        let open = fs::read_dir(format!("{process}/fd")).expect("descriptors").flatten();
        let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        let open: Vec<String> = open.map(|target| target.display().to_string()).collect();
        let cache = mount.dir.path().join("cache").display().to_string();
        let count = |is_it: &dyn Fn(&String) -> bool| open.iter().filter(|it| is_it(it)).count();
        let sockets = count(&|it| it.starts_with("socket:"));
        let cached = count(&|it| it.starts_with(&cache));
        let nameless = open.iter().filter(|it| it.ends_with("(deleted)")).cloned().collect();
        Self {
            kib: line("VmRSS:"),
            threads: line("Threads:") as usize,
            sockets,
            cached,
            files: open.len() - sockets - cached,
            nameless,
            inodes: figure("inodes") - shown,
            handles: figure("handles"),
            staged: staged(mount),
            overfull: (figure("cache_bytes") - figure("cache_capacity")).max(0) as u64,
        }
    }

    /// What the mount holds now, and what of that it should not, having held this before.
    pub(crate) fn grown(&self, mount: &Mount) -> (Self, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Self::of(mount);
            let leaks = now.beyond(self);
            if leaks.is_empty() || Instant::now() > deadline {
                return (now, leaks);
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn beyond(&self, before: &Self) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut hold = |is_right: bool, what: String| {
            if !is_right {
                leaks.push(what);
            }
        };
        let grown = |what: &str, from: u64, to: u64| format!("{what}: {from} became {to}");
        let [from, to] = [before.kib, self.kib];
        hold(to <= from + MORE_KIB, grown("KiB of memory", from, to));
        let [from, to] = [before.threads, self.threads];
        hold(to <= from + MORE_THREADS, grown("threads", from as u64, to as u64));
        let [from, to] = [before.sockets, self.sockets];
        hold(to <= from + MORE_SOCKETS, grown("connections", from as u64, to as u64));
        let [from, to] = [before.files, self.files];
        hold(to <= from, grown("descriptors of files", from as u64, to as u64));
        hold(self.cached <= CACHED, format!("{} data files of the cache are open", self.cached));
        hold(
            self.nameless.is_empty(),
            format!("files without a name are open: {:?}", self.nameless),
        );
        hold(self.inodes <= 0, format!("{} inodes of nothing that is shown", self.inodes));
        hold(self.handles <= before.handles, format!("{} handles that nobody has", self.handles));
        hold(self.staged.is_empty(), format!("staged files: {:?}", self.staged));
        hold(
            self.overfull == 0,
            format!("{} bytes in the cache that it may not hold", self.overfull),
        );
        leaks
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { kib, threads, sockets, cached, files, inodes, handles, staged, .. } = self;
        write!(
            f,
            "{} MiB, {threads} threads, {files} descriptors of files, {cached} of the cache, \
             {sockets} connections, {inodes} inodes and {handles} handles too many, {} staged files",
            kib >> 10,
            staged.len()
        )
    }
}

/// Every file that is kept here for the mount's account, but for blocks in the cache and older logs.
pub(crate) fn files(mount: &Mount) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    add_files(&mount.dir.path().join("state"), &mut found);
    found.retain(|path| !path.ends_with("/bedfs.log.1"));
    found
}

fn add_files(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => add_files(&path, found),
            path => drop(found.insert(path.display().to_string())),
        }
    }
}
