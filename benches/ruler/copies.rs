//! Copying many small files in, until the last byte is at the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::measure::{Dice, Pairs, alternate, timed, wait_until};
use crate::mounted::{Mount, said};
use crate::outcome::Outcome;
use crate::rclone::Webdav;
use crate::run::Run;
use crate::stand::{Bed, RATES, Stand};
use crate::table::{Aim, Row, Table, Unit};

/// Bytes in each file.
const BYTES: usize = 20 << 10;
/// Far more than it takes.
const LONG: Duration = Duration::from_secs(120);

/// Small files on this machine, others in each round: what the service has is not sent again.
struct Sources {
    folder: PathBuf,
    count: usize,
    dice: Dice,
}

impl Sources {
    fn new(run: &Run, name: &str) -> Outcome<Self> {
        let folder = run.in_memory(name)?;
        Ok(Self { folder, count: run.size(200), dice: Dice::new(5) })
    }

    /// Makes new files, and gives the command that copies them to a folder.
    fn copy(&mut self, to: &Path) -> Outcome<Command> {
        fs::create_dir(to)?;
        let mut cp = Command::new("cp");
        cp.arg("-t").arg(to);
        for number in 0..self.count {
            let path = self.folder.join(format!("{number}.jpg"));
            fs::write(&path, self.dice.bytes(BYTES))?;
            cp.arg(path);
        }
        Ok(cp)
    }
}

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let row = |what, aim| {
        let against = "the creates alone at their limit (20 a second, ten times the documented)";
        Row { what, against, unit: Unit::Time, aim }
    };
    table.add([row("200 small files, --upload close", Aim::Stated)], || {
        Ok([beside_the_limit(run, "close")?.time()])
    });
    table.add([row("200 small files, --upload background", Aim::AtMost(1.15))], || {
        Ok([beside_the_limit(run, "background")?.time()])
    });
    let row = Row {
        what: "200 small files, --upload background, no limits",
        against: "rclone mount over rclone serve webdav",
        unit: Unit::Speed,
        aim: Aim::Stated,
    };
    table.add([row], || Ok([beside_rclone(run)?.speed()]));
}

fn beside_the_limit(run: &Run, upload: &str) -> Outcome<Pairs> {
    let stand = Stand::start(&Bed { limited: true, ..Bed::default() })?;
    let rates: Vec<_> = RATES.iter().map(|(name, rate)| format!("{name}={rate}")).collect();
    let args = ["--upload", upload, "--qps", &rates.join(",")];
    let mount = Mount::new(&stand.url, &run.in_memory(&format!("copies-{upload}"))?, &args)?;
    let mut sources = Sources::new(run, "sources")?;
    let rate = RATES.iter().find(|(name, _)| *name == "create").map_or(1, |(_, rate)| *rate);
    let limit = sources.count as f64 / f64::from(rate);
    let [pairs] = alternate(run.rounds, || ours(&mount, &mut sources), || Ok([limit]))?;
    Ok(pairs)
}

/// Seconds until the last byte of a round is at the service.
fn ours(mount: &Mount, sources: &mut Sources) -> Outcome<[f64; 1]> {
    let mut cp = sources.copy(&mount.at(&fresh()))?;
    mount.quiet()?;
    let seconds = timed(|| {
        said(&mut cp)?;
        mount.quiet()
    })?;
    Ok([seconds])
}

fn beside_rclone(run: &Run) -> Outcome<Pairs> {
    let stand = Stand::start(&Bed::default())?;
    let home = run.in_memory("copies-rclone")?;
    let mount = Mount::new(&stand.url, &home, &["--upload", "background"])?;
    let served = run.in_memory("copies-served")?;
    let webdav = Webdav::serve(&served)?;
    let rclone = webdav.mount(&home)?;
    let mut sources = Sources::new(run, "sources")?;
    let mut sources_of_rclone = Sources::new(run, "sources-rclone")?;
    let others = || {
        let name = fresh();
        let mut cp = sources_of_rclone.copy(&rclone.at(&name))?;
        let (count, served) = (sources_of_rclone.count, served.join(name));
        let seconds = timed(|| {
            said(&mut cp)?;
            wait_until("all are served", LONG, || Ok(are_there(&served, count)))
        })?;
        Ok([seconds])
    };
    let [pairs] = alternate(run.rounds, || ours(&mount, &mut sources), others)?;
    Ok(pairs)
}

/// Whether as many whole files are in the folder.
fn are_there(folder: &Path, count: usize) -> bool {
    let is_whole = |entry: &fs::DirEntry| {
        entry.metadata().is_ok_and(|metadata| metadata.len() == BYTES as u64)
    };
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().filter(is_whole).count() == count)
}

/// A name that no earlier round had.
fn fresh() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("round-{}", LAST.fetch_add(1, Ordering::Relaxed))
}
