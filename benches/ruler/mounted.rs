//! [`Mount`]: bedfs on a mount point, its process, and what it keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bedfs_emulator::Options;
use serde_json::Value;

use crate::measure::{read_whole, wait_until};
use crate::outcome::Outcome;
use crate::run::BEDFS;

/// More than anything here takes.
const LONG: Duration = Duration::from_secs(300);

/// A mount of the built program; it ends with this.
pub(crate) struct Mount {
    program: PathBuf,
    url: String,
    /// What it keeps on the disk: state and cache.
    home: PathBuf,
    args: Vec<String>,
    /// The mount point.
    pub(crate) path: PathBuf,
}

impl Mount {
    /// A mount of the bed at `url`, without limits unless `args` say otherwise.
    pub(crate) fn new(url: &str, home: &Path, args: &[&str]) -> Outcome<Self> {
        Self::of(BEDFS.as_ref(), url, home, args)
    }

    /// The same, of a copy of the program.
    pub(crate) fn of(program: &Path, url: &str, home: &Path, args: &[&str]) -> Outcome<Self> {
        let path = home.join("mnt");
        fs::create_dir_all(&path)?;
        let mount = Self {
            program: program.to_owned(),
            url: url.to_owned(),
            home: home.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            path,
        };
        mount.mount()?;
        Ok(mount)
    }

    /// A path in the mount.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Unmounts and mounts again: what the kernel knew is gone.
    pub(crate) fn remount(&self) -> Outcome<()> {
        self.unmount()?;
        self.mount()
    }

    /// The same, with nothing left of the files that were read, but with what is known of folders.
    pub(crate) fn forget_files(&self) -> Outcome<()> {
        self.unmount()?;
        let cache = self.home.join("cache");
        if cache.exists() {
            fs::remove_dir_all(cache)?;
        }
        self.mount()
    }

    /// Waits until nothing is pending: every byte and every delete is at the service.
    pub(crate) fn quiet(&self) -> Outcome<()> {
        let pending = self.at(".bedfs/pending.json");
        wait_until("nothing is pending", LONG, || Ok(fs::read_to_string(&pending)? == "[]\n"))
    }

    /// Waits until all of a file is in the cache on disk.
    pub(crate) fn warm(&self, path: &str) -> Outcome<()> {
        read_whole(&self.at(path))?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    }

    /// An attribute of bedfs, of a path in the mount.
    pub(crate) fn attribute(&self, name: &str, path: &str) -> Outcome<String> {
        let name = format!("user.bedfs.{name}");
        let mut getfattr = Command::new("getfattr");
        let output = getfattr.args(["--only-values", "-n", &name]).arg(self.at(path)).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> Outcome<u32> {
        let pid = self.status()?["pid"].as_u64().ok_or("the status tells no process")?;
        Ok(u32::try_from(pid)?)
    }

    /// What `.bedfs/status.json` tells.
    pub(crate) fn status(&self) -> Outcome<Value> {
        Ok(serde_json::from_slice(&fs::read(self.at(".bedfs/status.json"))?)?)
    }

    fn mount(&self) -> Outcome<()> {
        let mut mount = self.bedfs("mount");
        if !self.args.iter().any(|arg| arg == "--qps") {
            mount.args(["--qps", "unlimited"]);
        }
        said(mount.args(&self.args).arg(&self.path))
    }

    fn unmount(&self) -> Outcome<()> {
        said(self.bedfs("umount").arg(&self.path))
    }

    fn bedfs(&self, command: &str) -> Command {
        let options = Options::default();
        let mut bedfs = Command::new(&self.program);
        bedfs
            .arg(command)
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("BEDFS_ENDPOINT", &self.url)
            .env("BEDFS_CLIENT_ID", options.client_id)
            .env("BEDFS_CLIENT_SECRET", options.client_secret)
            .env_remove("BEDFS_CONFIG");
        bedfs
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let pid = self.pid();
        if self.unmount().is_ok() {
            return;
        }
        detach(&self.path);
        if let Ok(pid) = pid.and_then(|pid| Ok(libc::pid_t::try_from(pid)?)) {
            // SAFETY: no memory is passed. The process is the one that served this mount.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

/// Runs a command that must succeed.
pub(crate) fn said(command: &mut Command) -> Outcome<()> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let program = command.get_program().to_string_lossy().into_owned();
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", words.lines().last().unwrap_or_default()).into())
        }
    }
}

/// Takes a mount away whose process may not answer.
pub(crate) fn detach(path: &Path) {
    let _told = Command::new("fusermount3").arg("-uz").arg(path).stderr(Stdio::null()).status();
}

/// Seconds of processor time that a process has used.
pub(crate) fn processor(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may have spaces; times are the 14th and 15th field.
    let (_, rest) = stat.rsplit_once(')').ok_or("a process without a name")?;
    let ticks: Vec<f64> =
        rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    // SAFETY: no memory is passed.
    let tick = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(ticks.iter().sum::<f64>() / tick as f64)
}

/// MiB of memory of a process: `VmRSS` is what it has, `VmHWM` the most it had.
pub(crate) fn resident(pid: u32, which: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(which)).ok_or("no memory is told")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no memory is told")?.parse()?;
    Ok(kib / 1024.0)
}
