//! A bed whose service can go away, in each way there is, and come back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bedfs_emulator::{Emulator, Fault, FaultKind, Options};
use tokio::net::TcpSocket;

use crate::command::{Ended, unmounted};
use crate::harness::{ALONE, BEDFS, Mount, bedfs, fast, in_place_of, wait_until};
use crate::journaled::mount_again;

/// How the service is away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Away {
    /// It takes what is asked, and never answers.
    Hangs,
    /// Nobody listens where it was.
    Refuses,
    /// Its host has no address.
    Nowhere,
}

/// A bed that can go away and come back, and what mounts it.
pub(crate) struct Bed {
    pub(crate) mount: Mount,
    /// Where it is mounted, as seen from here.
    pub(crate) root: PathBuf,
    way: Away,
    address: SocketAddr,
    /// Keeps the address for it while nobody listens there.
    kept: Option<TcpSocket>,
    /// Its mount's process, if that is ours.
    _process: Option<Ended>,
}

impl Bed {
    /// A mount with these arguments of a bed that is filled so.
    pub(crate) fn new(way: Away, args: &[&str], fill: impl FnOnce(&Emulator)) -> Self {
        let mut mount = unmounted();
        let data = Some(mount.dir.path().join("bed"));
        mount.emulator = Emulator::start(Options { data, ..fast() }).expect("the emulator starts");
        fill(&mount.emulator);
        let (address, root) = (mount.emulator.address(), mount.path.clone());
        if way != Away::Nowhere {
            mount_again(&mount, args);
            return Self { mount, root, way, address, kept: None, _process: None };
        }
        // In a namespace that has a table of hosts of its own. What is mounted there is reached by the
        // process.
        let hosts = mount.local("hosts", b"127.0.0.1 localhost bed.test\n");
        let url = mount.emulator.base_url().replace("127.0.0.1", "bed.test");
        let mut unshare = Command::new("unshare");
        let script = format!("{ALONE}mount --bind \"$0\" /etc/hosts && exec \"$@\"");
        unshare.args(["--mount", "sh", "-c", &script]).arg(hosts).arg(BEDFS);
        in_place_of(&bedfs(mount.dir.path(), &url), &mut unshare);
        unshare.args(["mount", "--foreground", "--qps", "unlimited"]).args(args).arg(&mount.path);
        let process = Ended(unshare.stdin(Stdio::null()).spawn().expect("unshare runs"));
        let inside = root.strip_prefix("/").expect("an absolute path");
        let root = PathBuf::from(format!("/proc/{}/root", process.0.id())).join(inside);
        wait_until("mounted", || root.join(".bedfs").exists());
        Self { mount, root, way, address, kept: None, _process: Some(process) }
    }

    pub(crate) fn leave(&mut self) {
        match self.way {
            Away::Hangs => self.mount.emulator.inject(Fault::new("*", FaultKind::Hang).always()),
            Away::Refuses => self.stop(),
            Away::Nowhere => {
                self.mount.local("hosts", b"127.0.0.1 localhost\n");
                // What is connected needs no address.
                self.stop();
                self.start();
            }
        }
    }

    pub(crate) fn come_back(&mut self) {
        match self.way {
            Away::Hangs => self.mount.emulator.clear_faults(),
            Away::Refuses => self.start(),
            Away::Nowhere => drop(self.mount.local("hosts", b"127.0.0.1 localhost bed.test\n")),
        }
    }

    fn stop(&mut self) {
        // Another one takes its place here, so that it can be dropped.
        let other = Emulator::start(fast()).expect("an emulator starts");
        std::mem::replace(&mut self.mount.emulator, other).stop();
        let kept = TcpSocket::new_v4().expect("a socket");
        kept.set_reuseaddr(true).and_then(|()| kept.bind(self.address)).expect("it is free");
        self.kept = Some(kept);
    }

    fn start(&mut self) {
        let data = Some(self.mount.dir.path().join("bed"));
        let options = Options { listen: self.address, data, ..fast() };
        drop(self.kept.take());
        self.mount.emulator = Emulator::start(options).expect("the emulator starts");
    }
}
