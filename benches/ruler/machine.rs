//! The machine that a run was made on, in words.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::outcome::Outcome;
use crate::rclone;
use crate::run::{BEDFS, Run};

/// The machine, the programs and the day.
pub(crate) fn tell(run: &Run) -> String {
    let unknown = |told: Outcome<String>| told.unwrap_or_else(|_| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let file_system =
        |path: &Path| unknown(said("stat", &["-f", "-c", "%T", &path.to_string_lossy()]));
    [
        format!(
            "Measured {} by {}, beside {}.",
            unknown(said("date", &["-u", "+%F"])),
            unknown(said(BEDFS, &["--version"])),
            rclone::version().unwrap_or_else(|why| why.to_string())
        ),
        format!(
            "Machine: {}, {cores} cores, {} MiB of memory, Linux {}.",
            unknown(field("/proc/cpuinfo", "model name")),
            unknown(memory("MemTotal").map(|mib| mib.to_string())),
            unknown(said("uname", &["-r"]))
        ),
        format!(
            "Bytes were on {}, names on {}.",
            file_system(run.disk.path()),
            file_system(run.memory.path())
        ),
    ]
    .join("\n")
}

/// MiB of memory, by a name of `/proc/meminfo`.
pub(crate) fn memory(name: &str) -> Outcome<usize> {
    let kib: usize = field("/proc/meminfo", name)?.trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}

/// The first value of a name in a file of the kernel.
fn field(file: &str, name: &str) -> Outcome<String> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("not told")?;
    let (_, value) = line.split_once(':').ok_or("not told")?;
    Ok(value.trim().to_owned())
}

fn said(program: &str, args: &[&str]) -> Outcome<String> {
    let output = Command::new(program).args(args).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
