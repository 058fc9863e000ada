//! Processor time of the process that serves the mount, for each GiB, beside rclone's.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::measure::{Dice, median, read_whole, wait_until};
use crate::mounted::{Mount, processor};
use crate::outcome::Outcome;
use crate::rclone::Webdav;
use crate::run::{MIB, Run, drop_caches};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Measured, Row, Table, Unit};

const FILE: &str = "cpu.bin";
const NEW: &str = "new.bin";
const LONG: Duration = Duration::from_secs(120);

/// Seconds a GiB: read cold, read warm (page cache dropped), written until it is at the server.
type Costs = [f64; 3];

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let bedfs =
        ["bedfs: processor, read cold", "bedfs: processor, read warm", "bedfs: processor, written"];
    table.add(rows_of(bedfs, "the mount's process alone"), || over(run, &mut ours(run)?));
    let rclone = [
        "rclone: processor, read cold",
        "rclone: processor, read warm",
        "rclone: processor, written",
    ];
    table.add(rows_of(rclone, "rclone mount's process alone"), || over(run, &mut others(run)?));
}

fn rows_of(whats: [&'static str; 3], against: &'static str) -> [Row; 3] {
    whats.map(|what| Row { what, against, unit: Unit::Processor, aim: Aim::Stated })
}

/// The medians of all rounds.
fn over(run: &Run, round: &mut dyn FnMut() -> Outcome<Costs>) -> Outcome<[Measured; 3]> {
    let rounds: Vec<Costs> = (0..run.rounds).map(|_| round()).collect::<Outcome<_>>()?;
    let gib = len(run) as f64 / (1024 * MIB) as f64;
    Ok(std::array::from_fn(|at| {
        let value = median(rounds.iter().map(|costs| costs[at])) / gib;
        Measured { value, detail: format!("{} MiB a round", len(run) / MIB) }
    }))
}

fn len(run: &Run) -> usize {
    run.size(512 * MIB)
}

fn ours(run: &Run) -> Outcome<impl FnMut() -> Outcome<Costs>> {
    let (len, home) = (len(run), run.on_disk("cpu")?);
    let stand = Stand::start(&Bed {
        data: Some(home.join("bed")),
        fill: vec![("cold".to_owned(), 1, len)],
        ..Bed::default()
    })?;
    let mount = Mount::new(&stand.url, &home, &[])?;
    let mut seed = 10;
    Ok(move || {
        // Both are held for as long as there are rounds; the mount ends first.
        let _held = (&mount, &stand);
        mount.forget_files()?;
        let pid = mount.pid()?;
        let file = mount.at("cold/pic-000000.jpg");
        fs::metadata(&file)?;
        let cold = cost(pid, || read_whole(&file).map(drop))?;
        mount.warm("cold/pic-000000.jpg")?;
        drop_caches()?;
        let warm = cost(pid, || read_whole(&file).map(drop))?;
        let new = mount.at(NEW);
        seed += 1;
        let written = cost(pid, || {
            write(&new, len, seed)?;
            mount.quiet()
        })?;
        fs::remove_file(&new)?;
        mount.quiet()?;
        Ok([cold, warm, written])
    })
}

fn others(run: &Run) -> Outcome<impl FnMut() -> Outcome<Costs>> {
    let (len, home) = (len(run), run.on_disk("cpu-rclone")?);
    let served: PathBuf = home.join("served");
    fs::create_dir(&served)?;
    write(&served.join(FILE), len, 1)?;
    let webdav = Webdav::serve(&served)?;
    let mut seed = 20;
    Ok(move || {
        let rclone = webdav.mount(&home)?;
        let file = rclone.at(FILE);
        fs::metadata(&file)?;
        let cold = cost(rclone.pid(), || read_whole(&file).map(drop))?;
        drop_caches()?;
        let warm = cost(rclone.pid(), || read_whole(&file).map(drop))?;
        let (new, at_server) = (rclone.at(NEW), served.join(NEW));
        seed += 1;
        let written = cost(rclone.pid(), || {
            write(&new, len, seed)?;
            let is_there = || fs::metadata(&at_server).is_ok_and(|it| it.len() == len as u64);
            wait_until("it is served", LONG, || Ok(is_there()))
        })?;
        fs::remove_file(&new)?;
        Ok([cold, warm, written])
    })
}

/// Processor seconds of a process while some work is done.
fn cost(pid: u32, work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let before = processor(pid)?;
    work()?;
    Ok(processor(pid)? - before)
}

/// Writes a file that the server never saw: its first bytes differ with the seed.
fn write(path: &Path, len: usize, seed: u64) -> Outcome<()> {
    let block = Dice::new(9).bytes(MIB);
    let mut file = File::create(path)?;
    file.write_all(&seed.to_le_bytes())?;
    for at in 0..len / MIB {
        let skip = if at == 0 { 8 } else { 0 };
        file.write_all(&block[skip..])?;
    }
    Ok(())
}
