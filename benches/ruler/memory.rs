//! Resident memory of the mount: idle with many names known, and while a large file streams.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::{Dice, read_whole};
use crate::mounted::{Mount, resident};
use crate::outcome::{Failure, Outcome};
use crate::run::{MIB, Run};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Measured, Row, Table, Unit};

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let row = |what, against, most| Row { what, against, unit: Unit::MiB, aim: Aim::AtMost(most) };
    let rows = [
        row("resident memory, idle with 100,000 entries", "the aim alone", 64.0),
        row("the same, the most while they were listed", "the aim alone", 96.0),
    ];
    table.add(rows, || idle(run));
    let rows = [
        row("resident memory at most, 2 GiB written and uploaded", "the aim alone", 96.0),
        row("resident memory at most, 2 GiB read, none of it here", "the aim alone", 96.0),
    ];
    table.add(rows, || streaming(run));
}

fn idle(run: &Run) -> Outcome<[Measured; 2]> {
    let count = run.size(100_000);
    let fill = vec![("many".to_owned(), count, 100)];
    let stand = Stand::start(&Bed { fill, ..Bed::default() })?;
    let mount = Mount::new(&stand.url, &run.in_memory("idle")?, &["--dir-ttl", "3600"])?;
    let mut ls = Command::new("ls");
    let status = ls.arg("-l").arg(mount.at("many")).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err("ls failed".into());
    }
    let pid = mount.pid()?;
    // Idle is when nothing happens any more.
    std::thread::sleep(Duration::from_secs(5));
    let told = |which| Ok::<_, Failure>(measured(resident(pid, which)?));
    Ok([told("VmRSS")?, told("VmHWM")?])
}

fn streaming(run: &Run) -> Outcome<[Measured; 2]> {
    let len = run.size(2048 * MIB);
    let home = run.on_disk("streaming")?;
    let data = Some(home.join("bed"));
    let stand = Stand::start(&Bed { data, ..Bed::default() })?;
    let mount = Mount::new(&stand.url, &home, &[])?;
    let block = Dice::new(8).bytes(MIB);
    let mut file = File::create(mount.at("huge.bin"))?;
    for _ in 0..len / MIB {
        file.write_all(&block)?;
    }
    // The close uploads.
    drop(file);
    let written = resident(mount.pid()?, "VmHWM")?;
    mount.forget_files()?;
    read_whole(&mount.at("huge.bin"))?;
    let read = resident(mount.pid()?, "VmHWM")?;
    drop((mount, stand));
    fs::remove_dir_all(home)?;
    Ok([measured(written), measured(read)])
}

fn measured(value: f64) -> Measured {
    Measured { value, detail: String::new() }
}
