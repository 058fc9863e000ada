//! [`Rclone`]: the peer, mounted with its best settings for the row.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::measure::wait_until;
use crate::mounted::detach;
use crate::outcome::Outcome;

/// The newest that its users get from its own cache, and no waiting before it uploads.
const BEST: &[&str] = &[
    "--vfs-cache-mode=full",
    "--vfs-write-back=0s",
    "--dir-cache-time=24h",
    "--attr-timeout=24h",
    "--poll-interval=0",
    "--max-read-ahead=1M",
    "--buffer-size=16M",
    "--transfers=16",
];

/// How rclone reads from far away in parallel.
const PARALLEL: &[&str] = &["--vfs-read-chunk-streams=16", "--vfs-read-chunk-size=4M"];

const START: Duration = Duration::from_secs(20);

/// The program; `scripts/bench` says where it is.
fn program() -> Outcome<PathBuf> {
    let path = std::env::var_os("RCLONE").map_or_else(|| PathBuf::from("rclone"), PathBuf::from);
    match Command::new(&path).arg("version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(path),
        _ => Err("rclone is not here (scripts/bench gets it)".into()),
    }
}

/// The first line of what rclone says of itself.
pub(crate) fn version() -> Outcome<String> {
    let output = Command::new(program()?).arg("version").output()?;
    Ok(String::from_utf8(output.stdout)?.lines().next().unwrap_or_default().to_owned())
}

/// `rclone serve webdav` of a folder; it ends with this.
pub(crate) struct Webdav {
    process: Child,
    url: String,
}

impl Webdav {
    pub(crate) fn serve(folder: &Path) -> Outcome<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = plain()?;
        let process = command
            .args(["serve", "webdav", "--addr", &address.to_string()])
            .arg(folder)
            .spawn()?;
        let webdav = Self { process, url: format!("http://{address}") };
        wait_until("rclone serves", START, || Ok(std::net::TcpStream::connect(address).is_ok()))?;
        Ok(webdav)
    }

    /// Mounts what is served; `home` keeps its cache.
    pub(crate) fn mount(&self, home: &Path) -> Outcome<Rclone> {
        let remote = [":webdav:", "--webdav-vendor=rclone", "--webdav-url", &self.url];
        Rclone::mount(home, &remote, &[])
    }
}

impl Drop for Webdav {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// `rclone mount`; it ends with this.
pub(crate) struct Rclone {
    process: Child,
    /// The mount point.
    pub(crate) path: PathBuf,
}

impl Rclone {
    /// A mount of what an index page at `url` leads to, read in parallel.
    pub(crate) fn of_index(home: &Path, url: &str) -> Outcome<Self> {
        Self::mount(home, &[":http:", "--http-url", url], PARALLEL)
    }

    /// With nothing in its cache.
    fn mount(home: &Path, remote: &[&str], more: &[&str]) -> Outcome<Self> {
        let (cache, path) = (home.join("rclone-cache"), home.join("rclone"));
        if cache.exists() {
            fs::remove_dir_all(&cache)?;
        }
        fs::create_dir_all(&path)?;
        let mut command = plain()?;
        command.arg("mount").args(remote).arg(&path).args(BEST).args(more);
        let process = command.arg("--cache-dir").arg(cache).spawn()?;
        let rclone = Self { process, path };
        let shown = rclone.path.to_string_lossy().into_owned();
        wait_until("rclone is mounted", START, || {
            let mounts = fs::read_to_string("/proc/self/mounts")?;
            Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(&shown)))
        })?;
        Ok(rclone)
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        detach(&self.path);
        end(&mut self.process);
    }
}

/// rclone without anything that this machine's users have set.
fn plain() -> Outcome<Command> {
    let mut command = Command::new(program()?);
    command.args(["--config", "", "--log-level", "ERROR"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn end(process: &mut Child) {
    let _gone = process.kill();
    let _reaped = process.wait();
}
