//! Reading from far away: 40 ms before each answer, 8 MiB a second on each connection.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::index::Index;
use crate::measure::{Dice, Pairs, alternate, curl, read_whole, timed};
use crate::mounted::Mount;
use crate::outcome::Outcome;
use crate::rclone::Rclone;
use crate::reads::{PAGE, fetched};
use crate::run::{MIB, Run};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Measured, Row, Table, Unit};

const FILE: &str = "far.bin";
/// Reads here and there.
const RANDOM: usize = 200;

/// A file at the far service, and a mount.
struct Scene {
    // Dropped first.
    mount: Mount,
    stand: Stand,
    len: usize,
}

impl Scene {
    fn new(run: &Run) -> Outcome<Self> {
        // As large as the service lets a picture be.
        let len = run.size(96 * MIB);
        let stand = Stand::start(&Bed {
            latency: 40,
            bandwidth: Some(8 << 20),
            large: vec![(FILE.to_owned(), len)],
            ..Bed::default()
        })?;
        let mount = Mount::new(&stand.url, &run.on_disk("far")?, &[])?;
        Ok(Self { mount, stand, len })
    }

    /// Seconds for reading all of it with nothing of it here.
    fn ours(&self) -> Outcome<[f64; 1]> {
        self.mount.forget_files()?;
        fs::metadata(self.mount.at(FILE))?;
        Ok([timed(|| read_whole(&self.mount.at(FILE)))?])
    }

    fn beside_curl(&self, run: &Run) -> Outcome<Pairs> {
        let url = self.mount.attribute("url", FILE)?;
        let [pairs] = alternate(run.rounds, || self.ours(), || Ok([curl(&url)?]))?;
        Ok(pairs)
    }

    fn beside_rclone(&self, run: &Run) -> Outcome<Pairs> {
        let index = Index::of(FILE, &self.mount.attribute("url", FILE)?)?;
        let home = run.on_disk("far-rclone")?;
        let others = || {
            let rclone = Rclone::of_index(&home, &index.url)?;
            fs::metadata(rclone.at(FILE))?;
            Ok([timed(|| read_whole(&rclone.at(FILE)))?])
        };
        let [pairs] = alternate(run.rounds, || self.ours(), others)?;
        Ok(pairs)
    }

    fn random(&self) -> Outcome<Measured> {
        self.mount.forget_files()?;
        let before = self.stand.traffic()?;
        let file = File::open(self.mount.at(FILE))?;
        let mut dice = Dice::new(3);
        let mut page = [0; PAGE];
        for _ in 0..RANDOM {
            let page_number = dice.roll() % (self.len / PAGE) as u64;
            file.read_exact_at(&mut page, page_number * PAGE as u64)?;
        }
        fetched(&self.stand, before, RANDOM * PAGE)
    }
}

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let scene = Scene::new(run).map_err(|error| error.to_string());
    let row = |against, aim| {
        let what = "far CDN, sequential read (40 ms, 8 MiB/s a connection)";
        Row { what, against, unit: Unit::Speed, aim }
    };
    table.add([row("one curl", Aim::AtLeast(6.0))], || {
        Ok([scene.as_ref().map_err(String::clone)?.beside_curl(run)?.speed()])
    });
    table.add(
        [row("rclone, 16 streams, the same server behind a redirect", Aim::AtLeast(1.5))],
        || Ok([scene.as_ref().map_err(String::clone)?.beside_rclone(run)?.speed()]),
    );
    let row = Row {
        what: "far CDN, 4 KiB random reads",
        against: "bytes asked",
        unit: Unit::Bytes,
        aim: Aim::AtMost(4.0),
    };
    table.add([row], || Ok([scene.as_ref().map_err(String::clone)?.random()?]));
}
