//! The merge: packed logs of hours as one log in the order of time, as GoAccess wants it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::Failure;
use crate::account::SERVICE_ZONE;
use crate::state::KnownLog;

/// Writes all lines into `file`. The logs come in the order of their hours: the lines of one hour are
/// held in memory at a time.
pub(super) fn merge(logs: &[(&KnownLog, PathBuf)], file: &Path) -> Result<(), Failure> {
    if file.as_os_str() == "-" {
        return write(logs, &mut std::io::stdout().lock());
    }
    let failed = |error: std::io::Error| format!("writing {}: {error}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let whole = tempfile::Builder::new()
        .prefix(".merged")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let mut out = std::io::BufWriter::new(whole.as_file());
    write(logs, &mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    whole.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}

fn write(logs: &[(&KnownLog, PathBuf)], out: &mut impl Write) -> Result<(), Failure> {
    for hour in logs.chunk_by(|(one, _), (other, _)| one.hour == other.hour) {
        let mut lines = Vec::new();
        for (log, path) in hour {
            read(log, path, &mut lines)
                .map_err(|error| format!("reading {}: {error}", path.display()))?;
        }
        // Stable: lines of one second stay as they were.
        lines.sort_by_key(|(second, _)| *second);
        for (_, line) in &lines {
            out.write_all(line)?;
        }
    }
    Ok(())
}

/// The lines of a log, each with its second. One without a time belongs to the line before it.
fn read(log: &KnownLog, path: &Path, lines: &mut Vec<(i64, Vec<u8>)>) -> std::io::Result<()> {
    let mut reader = BufReader::new(MultiGzDecoder::new(File::open(path)?));
    let mut last = log.hour;
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        last = second(&String::from_utf8_lossy(&line)).unwrap_or(last);
        lines.push((last, line));
    }
}

/// The time of a line: as web servers write it, `[20/Jun/2025:15:00:01 +0800]`, else in ISO 8601 at
/// its beginning, which is the service's where it has no offset.
fn second(line: &str) -> Option<i64> {
    let in_brackets = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    if let Some((time, _)) = in_brackets
        && let Ok(zoned) = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
    {
        return zoned.to_timestamp().ok().map(Timestamp::as_second);
    }
    let words: Vec<&str> = line.splitn(3, [' ', '\t', '|']).collect();
    let first = words.first()?.trim_matches(['"', '[']);
    if let Ok(exact) = first.parse::<Timestamp>() {
        return Some(exact.as_second());
    }
    let second = words.get(1).map_or("", |word| word.trim_matches(['"', ']']));
    let civil = format!("{first} {second}").parse().or_else(|_| first.parse());
    let zoned = civil
        .ok()
        .and_then(|at: jiff::civil::DateTime| at.to_zoned(TimeZone::fixed(SERVICE_ZONE)).ok());
    zoned.map(|zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_lines() {
        let common = "1.2.3.4 - - [20/Jun/2025:15:00:01 +0800] \"GET /a.png\" 200 12";
        assert_eq!(second(common), Some(1_750_402_801));
        assert_eq!(second("2025-06-20 15:00:01 GET /a.png"), Some(1_750_402_801));
        assert_eq!(second("2025-06-20T15:00:01+08:00 GET"), Some(1_750_402_801));
        assert_eq!(second("a line [without] a time"), None);
    }
}
