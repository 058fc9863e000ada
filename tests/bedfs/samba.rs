//! A file server over a mount: what Samba's clients put, list, rename, get and remove is what it is
//! where a plain folder is shared, and costs so many calls.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::command::kill;
use crate::compare::{self, assert_same, content};
use crate::harness::{Mount, attempt, fast, noise, text, wait_until};
use crate::local_names::changes;
use crate::semantics::{bed_with, no_violations};

/// A server of its own for a mount and a plain folder, ended when dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn new(mount: &Mount) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        drop(socket);
        let own = mount.dir.path().join("samba");
        fs::create_dir(&own).expect("a folder");
        let places = [
            "lock directory",
            "state directory",
            "cache directory",
            "private dir",
            "pid directory",
            "ncalrpc dir",
        ];
        let places: String =
            places.iter().map(|place| format!("{place} = {}\n", own.display())).collect();
        let share = |name: &str, path: &Path| {
            format!("[{name}]\npath = {}\nguest ok = yes\nread only = no\n", path.display())
        };
        let shares = share("bed", &mount.path) + &share("plain", &mount.dir.path().join("plain"));
        let config = format!(
            "[global]\n{places}smb ports = {port}\ninterfaces = 127.0.0.1\nbind interfaces only = yes\n\
             map to guest = Bad User\nguest account = root\nserver role = standalone server\n\
             disable spoolss = yes\nload printers = no\nlog level = 1\n{shares}"
        );
        let config = mount.local("smb.conf", config.as_bytes());
        let process = Command::new("smbd")
            .args(["--foreground", "--no-process-group", "--debug-stdout", "-s"])
            .arg(config)
            // Whose end it tells its whole group.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(fs::File::create(own.join("log")).expect("a log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("smbd, of the package samba");
        let server = Self { process, port };
        wait_until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// Runs commands of `smbclient` in a folder of this machine, and gives what they say.
    fn client(&self, mount: &Mount, share: &str, commands: &str) -> String {
        let port = self.port.to_string();
        let folder = mount.dir.path().join("here");
        let share = format!("//127.0.0.1/{share}");
        let config = mount.dir.path().join("smb.conf");
        let output = attempt(
            "smbclient",
            [
                "-N".as_ref(),
                "-p".as_ref(),
                port.as_ref(),
                "-s".as_ref(),
                config.as_os_str(),
                share.as_ref(),
                "-c".as_ref(),
                format!("lcd {}; {commands}", folder.display()).as_ref(),
            ],
        );
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{commands}: {said}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(self.process.id(), libc::SIGTERM);
        let _ended = self.process.wait();
    }
}

/// The names and sizes of what `ls` lists.
fn listed(said: &str) -> Vec<(String, String)> {
    let lines = said.lines().filter(|line| line.starts_with("  "));
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut listed: Vec<_> =
        words.map(|words| (words[0].to_owned(), words[2].to_owned())).collect();
    listed.sort();
    listed
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn samba_serves_a_mount_as_it_serves_a_folder() {
    let mount = bed_with(fast(), &[], |bed| drop(bed.put("old.jpg", &noise(1, 40_000))));
    for folder in ["plain", "here"] {
        fs::create_dir(mount.dir.path().join(folder)).expect("a folder");
    }
    fs::write(mount.dir.path().join("plain/old.jpg"), noise(1, 40_000)).expect("written");
    for (name, seed) in [("a.jpg", 2), ("b.jpg", 3), ("c.jpg", 4)] {
        fs::write(mount.dir.path().join("here").join(name), noise(seed, 70_000)).expect("written");
    }
    let server = Server::new(&mount);
    // What is created, made, moved, deleted, sent and completed by each.
    for (commands, price) in [
        ("put a.jpg; put b.jpg", [2, 0, 0, 0, 2, 2]),
        ("ls", [0; 6]),
        ("mkdir d; rename b.jpg d\\b.jpg", [0, 1, 1, 0, 0, 0]),
        // A new name is a new object of the same bytes.
        ("rename a.jpg e.jpg", [1, 0, 0, 1, 0, 0]),
        // Over an old version: by a scratch folder.
        ("put c.jpg old.jpg", [1, 1, 1, 1, 1, 1]),
        ("get e.jpg got.jpg; get old.jpg", [0; 6]),
        ("del d\\b.jpg; rmdir d; ls", [0, 0, 0, 2, 0, 0]),
    ] {
        let before = changes(&mount);
        let said = ["plain", "bed"].map(|share| listed(&server.client(&mount, share, commands)));
        assert_eq!(said[1], said[0], "{commands}");
        mount.quiet();
        let wanted = content(&mount.dir.path().join("plain"));
        assert_same(&content(&mount.path), &wanted, commands);
        assert_same(&compare::bed(&mount.emulator), &wanted, commands);
        let made = changes(&mount);
        let paid: Vec<_> = made.iter().zip(before).map(|(now, before)| now - before).collect();
        assert_eq!(paid, price, "{commands}");
    }
    for (name, seed) in [("got.jpg", 2), ("old.jpg", 4)] {
        let got = fs::read(mount.dir.path().join("here").join(name)).expect("read");
        assert!(got == noise(seed, 70_000), "{name}: other bytes");
    }
    drop(server);
    mount.unmount();
    no_violations(&mount);
}
