//! Reading on this machine: what was read before, beside the native disk, and what was not, beside
//! curl; and the bytes that a look at many pictures fetches.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::measure::{Dice, Pairs, alternate, curl, read_whole, timed};
use crate::mounted::Mount;
use crate::outcome::Outcome;
use crate::run::{MIB, Run, drop_caches, sync};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Measured, Row, Table, Unit};

const BIG: &str = "big/big.bin";
/// Bytes at the front of a picture that tell what it is.
const SNIFF: usize = 64 << 10;
/// Reads here and there of one round.
const RANDOM: usize = 4000;
/// Bytes in each of them.
pub(crate) const PAGE: usize = 4096;

/// A large file at the service, mounted, and one of the same size on the disk.
struct Scene {
    // Dropped first.
    mount: Mount,
    _stand: Stand,
    native: PathBuf,
    len: usize,
}

impl Scene {
    fn new(run: &Run) -> Outcome<Self> {
        let len = run.size(512 * MIB);
        let home = run.on_disk("reads")?;
        let stand = Stand::start(&Bed { large: vec![(BIG.to_owned(), len)], ..Bed::default() })?;
        let mount = Mount::new(&stand.url, &home, &[])?;
        let native = home.join("native.bin");
        fs::write(&native, Dice::new(1).bytes(len))?;
        Ok(Self { mount, _stand: stand, native, len })
    }

    fn ours(&self) -> PathBuf {
        self.mount.at(BIG)
    }

    /// Seconds for reading all of a file.
    fn whole(&self, path: &Path) -> Outcome<[f64; 1]> {
        let seconds = timed(|| match read_whole(path)? {
            len if len == self.len => Ok(()),
            len => Err(format!("{len} bytes of {} were read", self.len).into()),
        })?;
        Ok([seconds])
    }

    /// Seconds for reading pages here and there.
    fn pages(&self, path: &Path, dice: &mut Dice) -> Outcome<[f64; 1]> {
        let file = File::open(path)?;
        let count = (self.len / PAGE) as u64;
        let mut page = [0; PAGE];
        let seconds = timed(|| {
            for _ in 0..RANDOM {
                file.read_exact_at(&mut page, dice.roll() % count * PAGE as u64)?;
            }
            Ok(())
        })?;
        Ok([seconds])
    }
}

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let scene = Scene::new(run).map_err(|error| error.to_string());
    let row = |what, against, aim| Row { what, against, unit: Unit::Time, aim };
    table.add(
        [row("cold sequential read, loopback", "curl of the same URL", Aim::AtMost(1.15))],
        || Ok([cold(run, scene.as_ref().map_err(String::clone)?)?.time()]),
    );
    table.add([row("warm read, page cache dropped", "native disk", Aim::AtMost(1.1))], || {
        Ok([warm(run, scene.as_ref().map_err(String::clone)?, true)?.time()])
    });
    table.add([row("warm read, page cache hot", "native", Aim::AtMost(1.1))], || {
        Ok([warm(run, scene.as_ref().map_err(String::clone)?, false)?.time()])
    });
    table.add(
        [row("4 KiB random reads, warm, page cache dropped", "native disk", Aim::AtMost(1.5))],
        || Ok([random(run, scene.as_ref().map_err(String::clone)?)?.time()]),
    );
    let against = "bytes asked: 64 KiB of each";
    let row = Row {
        what: "first bytes of 200 pictures of 1.5 MiB",
        against,
        unit: Unit::Bytes,
        aim: Aim::AtMost(4.0),
    };
    table.add([row], || Ok([sniffs(run)?]));
}

fn cold(run: &Run, scene: &Scene) -> Outcome<Pairs> {
    let url = scene.mount.attribute("url", BIG)?;
    let ours = || {
        scene.mount.forget_files()?;
        fs::metadata(scene.ours())?;
        scene.whole(&scene.ours())
    };
    let others = || {
        // What bedfs keeps is not written to the disk in curl's turn.
        sync();
        Ok([curl(&url)?])
    };
    let [pairs] = alternate(run.rounds, ours, others)?;
    Ok(pairs)
}

fn warm(run: &Run, scene: &Scene, is_dropped: bool) -> Outcome<Pairs> {
    scene.mount.warm(BIG)?;
    let once = |path: &Path| {
        if is_dropped {
            drop_caches()?;
        } else {
            read_whole(path)?;
        }
        scene.whole(path)
    };
    let [pairs] = alternate(run.rounds, || once(&scene.ours()), || once(&scene.native))?;
    Ok(pairs)
}

fn random(run: &Run, scene: &Scene) -> Outcome<Pairs> {
    scene.mount.warm(BIG)?;
    let once = |path: &Path, dice: &mut Dice| {
        drop_caches()?;
        scene.pages(path, dice)
    };
    let (mut ours, mut others) = (Dice::new(2), Dice::new(2));
    let [pairs] = alternate(
        run.rounds,
        || once(&scene.ours(), &mut ours),
        || once(&scene.native, &mut others),
    )?;
    Ok(pairs)
}

fn sniffs(run: &Run) -> Outcome<Measured> {
    const COUNT: usize = 200;
    let fill = vec![("pictures".to_owned(), COUNT, 3 * MIB / 2)];
    let stand = Stand::start(&Bed { fill, ..Bed::default() })?;
    let mount = Mount::new(&stand.url, &run.on_disk("sniffs")?, &[])?;
    let mut buffer = vec![0; SNIFF];
    for picture in fs::read_dir(mount.at("pictures"))? {
        File::open(picture?.path())?.read_exact(&mut buffer)?;
    }
    fetched(&stand, 0, COUNT * SNIFF)
}

/// Bytes fetched since the traffic was `before`, for each byte asked.
pub(crate) fn fetched(stand: &Stand, before: u64, asked: usize) -> Outcome<Measured> {
    // What was fetched ahead counts as well, though nobody waited for it.
    std::thread::sleep(Duration::from_secs(1));
    let fetched = (stand.traffic()? - before) as f64;
    let asked = asked as f64;
    let mib = MIB as f64;
    let detail = format!("{:.1} MiB for {:.1} MiB", fetched / mib, asked / mib);
    Ok(Measured { value: fetched / asked, detail })
}
