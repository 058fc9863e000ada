//! Writing one large new file, until the last write returned and before anything is uploaded.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::measure::{Dice, Pairs, alternate, timed};
use crate::mounted::{Mount, said};
use crate::outcome::Outcome;
use crate::run::{BEDFS, MIB, Run};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Row, Table, Unit};

/// The word that makes this program measure writing for another user.
pub(crate) const ROLE: &str = "write";

const DEVICE: &str = "/dev/fuse";

/// What is measured, also in a process of another user.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    program: PathBuf,
    url: String,
    home: PathBuf,
    bytes: usize,
    rounds: usize,
}

impl Errand {
    fn run(&self) -> Outcome<Pairs> {
        let mount = Mount::of(&self.program, &self.url, &self.home, &["--upload", "background"])?;
        let [pairs] = alternate(
            self.rounds,
            || self.write(&mount.at("staged.bin")),
            || self.write(&self.home.join("native.bin")),
        )?;
        Ok(pairs)
    }

    /// Seconds for writing a new file, which is gone before its close would upload it.
    fn write(&self, path: &Path) -> Outcome<[f64; 1]> {
        let block = Dice::new(4).bytes(MIB);
        let mut file = None;
        let seconds = timed(|| {
            let file = file.insert(File::create(path)?);
            for _ in 0..self.bytes / MIB {
                file.write_all(&block)?;
            }
            Ok(())
        })?;
        fs::remove_file(path)?;
        Ok([seconds])
    }
}

/// Measures in this process, and prints what came of it.
pub(crate) fn as_another_user(errand: &str) -> Outcome<()> {
    let errand: Errand = serde_json::from_str(errand)?;
    println!("{}", serde_json::to_string(&errand.run()?)?);
    Ok(())
}

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let row = |what, aim| Row { what, against: "native disk", unit: Unit::Time, aim };
    table.add([row("staged sequential write of 1 GiB, as root", Aim::AtMost(1.2))], || {
        if !is_root() {
            return Err("the run was not root's".into());
        }
        let stand = Stand::start(&Bed::default())?;
        Ok([errand(run, &stand, "writes")?.run()?.time()])
    });
    table.add([row("staged sequential write of 1 GiB, as a user", Aim::AtMost(2.0))], || {
        let stand = Stand::start(&Bed::default())?;
        let errand = errand(run, &stand, "writes-user")?;
        let pairs = if is_root() { by_nobody(run, errand)? } else { errand.run()? };
        Ok([pairs.time()])
    });
}

fn errand(run: &Run, stand: &Stand, name: &str) -> Outcome<Errand> {
    Ok(Errand {
        program: BEDFS.into(),
        url: stand.url.clone(),
        home: run.on_disk(name)?,
        bytes: run.size(1024 * MIB),
        rounds: run.rounds,
    })
}

fn is_root() -> bool {
    // SAFETY: no argument, and nothing that could fail.
    unsafe { libc::geteuid() == 0 }
}

/// Measures as the user `nobody`, who may not look into the folders that programs are built in.
fn by_nobody(run: &Run, errand: Errand) -> Outcome<Pairs> {
    let _open = OpenDevice::new()?;
    fs::set_permissions(run.disk.path(), Permissions::from_mode(0o711))?;
    let (ruler, program) = (errand.home.join("ruler"), errand.home.join("bedfs"));
    fs::copy(std::env::current_exe()?, &ruler)?;
    fs::copy(BEDFS, &program)?;
    said(Command::new("chown").args(["-R", "65534:65534"]).arg(&errand.home))?;
    let errand = Errand { program, ..errand };
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(ruler)
        .args([ROLE, &serde_json::to_string(&errand)?])
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
    }
}

/// Lets ordinary users mount, as distributions do, until dropped.
struct OpenDevice(Permissions);

impl OpenDevice {
    fn new() -> Outcome<Self> {
        let before = fs::metadata(DEVICE)?.permissions();
        fs::set_permissions(DEVICE, Permissions::from_mode(0o666))?;
        Ok(Self(before))
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        if let Err(error) = fs::set_permissions(DEVICE, self.0.clone()) {
            eprintln!("{DEVICE} is left open to all: {error}");
        }
    }
}
