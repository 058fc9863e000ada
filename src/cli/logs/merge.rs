//! The merge: packed logs of hours as one log in the order of time, as GoAccess wants it.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::Failure;
use super::spell;
use crate::state::KnownLog;
use crate::types::SERVICE_ZONE;

/// The most that is held in memory, in bytes: lines of two hours, and where each of them is.
const HELD: usize = 512 << 20;

/// How far from its hour a line of a log may be, in seconds: as long as it took to be written down.
const STRAY: i64 = 3600;

/// Writes the lines of all logs, which come in the order of their hours, into `file`. One that cannot
/// be read is told, and left out. Gives whether none was.
pub(super) fn merge(
    logs: &[(&KnownLog, PathBuf)], file: &Path,
) -> std::result::Result<bool, Failure> {
    if file.as_os_str() == "-" {
        return Ok(write(logs, &mut std::io::stdout().lock())?);
    }
    let failed = |error: Error| format!("writing {}: {error}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let whole = tempfile::Builder::new()
        .prefix(".merged")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let mut out = std::io::BufWriter::new(whole.as_file());
    let all_read = write(logs, &mut out).map_err(failed)?;
    out.flush().map_err(failed)?;
    drop(out);
    whole.persist(file).map_err(|error| failed(error.error))?;
    Ok(all_read)
}

fn write(logs: &[(&KnownLog, PathBuf)], out: &mut impl Write) -> Result<bool> {
    let mut lines = Lines::default();
    let mut all_read = true;
    for hour in logs.chunk_by(|(one, _), (other, _)| one.hour == other.hour) {
        for (log, path) in hour {
            if let Err(error) = lines.read(log, path) {
                eprintln!("bedfs: {}: {}: {error}; left out", spell(log.hour), path.display());
                all_read = false;
            }
        }
        // Later logs have nothing older.
        let begin = hour.first().map_or(i64::MIN, |(log, _)| log.hour);
        lines.write_before(begin.saturating_add(3600 - STRAY), out)?;
    }
    lines.write_before(i64::MAX, out)?;
    Ok(all_read)
}

/// Lines that wait for their turn.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// The second of each, and where in the bytes it is.
    places: Vec<(i64, Range<usize>)>,
}

impl Lines {
    /// Takes in the lines of a log, all or none. One without a time belongs to the line before it.
    fn read(&mut self, log: &KnownLog, path: &Path) -> Result<()> {
        let (bytes, places) = (self.bytes.len(), self.places.len());
        let packed = File::open(path).map(MultiGzDecoder::new);
        let read = packed.and_then(|log_file| self.try_read(log.hour, BufReader::new(log_file)));
        if read.is_err() {
            self.bytes.truncate(bytes);
            self.places.truncate(places);
        }
        read
    }

    fn try_read(&mut self, hour: i64, mut reader: impl BufRead) -> Result<()> {
        let mut last = hour;
        loop {
            let begin = self.bytes.len();
            let held = begin + self.places.len() * size_of::<(i64, Range<usize>)>();
            let room = HELD.saturating_sub(held) as u64;
            if room == 0 {
                return Err(Error::other("it is too large to be sorted"));
            }
            if (&mut reader).take(room).read_until(b'\n', &mut self.bytes)? == 0 {
                return Ok(());
            }
            if self.bytes.last() != Some(&b'\n') {
                self.bytes.push(b'\n');
            }
            let line = String::from_utf8_lossy(&self.bytes[begin..]);
            last = second(&line).unwrap_or(last);
            self.places.push((last, begin..self.bytes.len()));
        }
    }

    /// Writes what is older than a second, and keeps the rest.
    fn write_before(&mut self, second: i64, out: &mut impl Write) -> Result<()> {
        // Stable: lines of one second stay as they were.
        self.places.sort_by_key(|(at, _)| *at);
        let count = self.places.partition_point(|(at, _)| *at < second);
        for (_, place) in self.places.drain(..count) {
            out.write_all(&self.bytes[place])?;
        }
        let mut kept = Vec::new();
        for (_, place) in &mut self.places {
            let begin = kept.len();
            kept.extend_from_slice(&self.bytes[place.clone()]);
            *place = begin..kept.len();
        }
        self.bytes = kept;
        Ok(())
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

/// The fuzzer's door: the lines of a log. Each comes out once, in the order of time.
#[cfg(any(test, fuzzing))]
pub fn logs(bytes: &[u8]) {
    let mut lines = Lines::default();
    lines.try_read(1_750_402_800, bytes).expect("memory is read");
    let mut told = Vec::new();
    lines.write_before(1_750_402_800, &mut told).expect("memory is written");
    lines.write_before(i64::MAX, &mut told).expect("memory is written");
    let sorted = |text: &[u8]| {
        let mut lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort_unstable();
        lines
    };
    let ends = bytes.is_empty() || bytes.ends_with(b"\n");
    let whole = if ends { bytes.to_vec() } else { [bytes, b"\n"].concat() };
    assert_eq!(sorted(&told), sorted(&whole));
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
