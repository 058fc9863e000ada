//! Calls of the service: what everyday commands cost beside the most that is promised.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::measure::{Dice, wait_until};
use crate::mounted::{Mount, said};
use crate::outcome::Outcome;
use crate::run::{MIB, Run};
use crate::stand::{Bed, Stand};
use crate::table::{Aim, Measured, Row, Table, Unit};

/// What is run in the mount, what it may cost, and how many calls that is.
const COMMANDS: [(&str, &str, f64); 7] = [
    ("cp ../new.jpg a/1.jpg", "create, get_upload_url, put, upload_complete", 4.0),
    ("cp ../new.jpg b/2.jpg", "create: the service has the bytes", 1.0),
    ("ls -l a; getfattr -d a/*", "detail of a link not seen yet", 1.0),
    ("mv b/2.jpg c/", "move", 1.0),
    ("cp ../other.jpg a/1.jpg", "twice a new picture", 8.0),
    ("cat cold/*.jpg", "three ranges of 4 MiB that are not here", 3.0),
    ("cat cold/*.jpg; : again", "nothing: it is here", 0.0),
];

/// How long something is waited for that is bound to come.
const LONG: Duration = Duration::from_secs(120);

/// How long a mount asks for the days of the traffic log, at most.
const ARCHIVING: Duration = Duration::from_secs(5);

pub(crate) fn rows(run: &Run, table: &mut Table) {
    let rows = COMMANDS.map(|(what, against, most)| Row {
        what,
        against,
        unit: Unit::Calls,
        aim: Aim::AtMost(most),
    });
    table.add(rows, || measure(run));
}

fn measure(run: &Run) -> Outcome<[Measured; 7]> {
    let home = run.on_disk("calls")?;
    fs::write(home.join("new.jpg"), Dice::new(6).bytes(300_000))?;
    fs::write(home.join("other.jpg"), Dice::new(7).bytes(300_000))?;
    let fill = vec![("cold".to_owned(), 1, 4 * MIB)];
    let stand = Stand::start(&Bed { fill, ..Bed::default() })?;
    let mount = Mount::new(&stand.url, &home, &[])?;
    in_mount(&mount.path, "mkdir a b c; ls cold")?;
    // A mount asks for the days that the service keeps once, by the clock, and for no command.
    wait_until("the traffic log is asked for", LONG, || Ok(stand.count("direct-link/log")? > 0))?;
    std::thread::sleep(ARCHIVING);
    let mut measured = Vec::new();
    for (command, ..) in COMMANDS {
        measured.push(counted(&stand, &mount, command)?);
    }
    measured.try_into().map_err(|_| "a command was not counted".into())
}

/// Calls that a command makes, those that follow its end among them.
fn counted(stand: &Stand, mount: &Mount, command: &str) -> Outcome<Measured> {
    let before = stand.calls()?;
    in_mount(&mount.path, command)?;
    mount.quiet()?;
    let rose = stand.calls()?.into_iter().filter_map(|(name, count)| {
        let more = count - before.get(&name).copied().unwrap_or(0);
        (more > 0).then_some((name, more))
    });
    let rose: Vec<_> = rose.collect();
    let detail: Vec<_> = rose.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let value = rose.iter().map(|(_, count)| *count as f64).sum();
    Ok(Measured { value, detail: detail.join(", ") })
}

fn in_mount(mount: &Path, command: &str) -> Outcome<()> {
    said(Command::new("sh").args(["-ec", command]).current_dir(mount))
}
