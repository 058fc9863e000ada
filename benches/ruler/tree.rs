//! Folders: what looking at many names costs, in time and in calls, and what removing them does.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::{Pairs, alternate, timed};
use crate::mounted::{Mount, said};
use crate::outcome::{Failure, Outcome};
use crate::rclone::Webdav;
use crate::run::{Run, drop_caches};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Measured, Row, Table, Unit};

const FOLDER: &str = "many";
/// A listing that is true for as long as the row takes.
const LASTING: &[&str] = &["--dir-ttl", "3600"];

/// Two folders of as many files: one at the service and mounted, one on this machine.
struct Scene {
    // Dropped first.
    mount: Mount,
    _stand: Stand,
    native: PathBuf,
}

impl Scene {
    fn new(run: &Run, name: &str, count: usize) -> Outcome<Self> {
        let home = run.in_memory(name)?;
        let native = home.join("native");
        fs::create_dir_all(native.join(FOLDER))?;
        for number in 0..count {
            fs::write(native.join(FOLDER).join(format!("pic-{number:06}.jpg")), [0; 100])?;
        }
        let stand = stand(count)?;
        let mount = Mount::new(&stand.url, &home, LASTING)?;
        list(&mount.at(FOLDER))?;
        Ok(Self { mount, _stand: stand, native })
    }
}

fn stand(count: usize) -> Outcome<Stand> {
    Stand::start(&Bed { fill: vec![(FOLDER.to_owned(), count, 100)], ..Bed::default() })
}

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let row = |what| {
        let against = "rclone mount over rclone serve webdav, both with nothing in the kernel";
        Row { what, against, unit: Unit::Speed, aim: Aim::AtLeast(2.0) }
    };
    let rows = [row("readdir of 20,000 after listing"), row("stat of 20,000 after listing")];
    table.add(rows, || Ok(beside_rclone(run)?.map(|pairs| pairs.speed())));
    let row = Row {
        what: "ls -l of 10,000, hot",
        against: "native, in memory",
        unit: Unit::Time,
        aim: Aim::AtMost(1.5),
    };
    table.add([row], || Ok([ls(run)?.time()]));
    let row =
        |what, against, most| Row { what, against, unit: Unit::Calls, aim: Aim::AtMost(most) };
    let rows = [
        row("list calls: ls -l of 20,000", "100 entries a call", 200.0),
        row("list calls: ls -l of 20,000 after a remount", "none", 0.0),
    ];
    table.add(rows, || lists(run));
    let rows = [row("delete calls: rm -rf of 500", "100 files a call", 6.0)];
    table.add(rows, || Ok([deletes(run)?]));
}

/// Seconds for the names, and then for the attributes of each.
fn look(folder: &Path) -> Outcome<[f64; 2]> {
    drop_caches()?;
    let mut names = Vec::new();
    let listing = timed(|| {
        names = list(folder)?;
        Ok(())
    })?;
    let attributes = timed(|| {
        for name in &names {
            fs::metadata(folder.join(name))?;
        }
        Ok(())
    })?;
    Ok([listing, attributes])
}

fn list(folder: &Path) -> Outcome<Vec<OsString>> {
    Ok(fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?)
}

fn beside_rclone(run: &Run) -> Outcome<[Pairs; 2]> {
    let scene = Scene::new(run, "look", run.size(20_000))?;
    let webdav = Webdav::serve(&scene.native)?;
    let rclone = webdav.mount(&run.in_memory("look-rclone")?)?;
    list(&rclone.at(FOLDER))?;
    alternate(run.rounds, || look(&scene.mount.at(FOLDER)), || look(&rclone.at(FOLDER)))
}

fn ls(run: &Run) -> Outcome<Pairs> {
    let scene = Scene::new(run, "ls", run.size(10_000))?;
    let once = |folder: &Path| {
        ls_of(folder)?;
        Ok([timed(|| ls_of(folder))?])
    };
    let (ours, native) = (scene.mount.at(FOLDER), scene.native.join(FOLDER));
    let [pairs] = alternate(run.rounds, || once(&ours), || once(&native))?;
    Ok(pairs)
}

fn ls_of(folder: &Path) -> Outcome<()> {
    let status = Command::new("ls").arg("-l").arg(folder).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("ls failed".into()) }
}

fn lists(run: &Run) -> Outcome<[Measured; 2]> {
    // The bound is on this very number: sizes do not shrink.
    let stand = stand(20_000)?;
    let mount = Mount::new(&stand.url, &run.in_memory("lists")?, LASTING)?;
    list(&mount.path)?;
    let mut before = stand.count("list")?;
    let mut counted = || {
        ls_of(&mount.at(FOLDER))?;
        let calls = stand.count("list")? - before;
        before += calls;
        Ok::<_, Failure>(calls as f64)
    };
    let first = counted()?;
    mount.remount()?;
    let second = counted()?;
    let told = |value| Measured { value, detail: String::new() };
    Ok([told(first), told(second)])
}

fn deletes(run: &Run) -> Outcome<Measured> {
    let stand = stand(500)?;
    // At the documented rates: without limits there would be no reason to wait for more to delete.
    let mount = Mount::new(&stand.url, &run.in_memory("deletes")?, &["--qps", "delete=1"])?;
    list(&mount.at(FOLDER))?;
    said(Command::new("rm").arg("-rf").arg(mount.at(FOLDER)))?;
    mount.quiet()?;
    Ok(Measured { value: stand.count("delete")? as f64, detail: String::new() })
}
