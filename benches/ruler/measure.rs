//! [`Pairs`]: times of bedfs beside times of what it is measured against, taken in turn.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::run::MIB;
use crate::table::Measured;

/// What each round took: bedfs, and what it is measured against.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pairs(Vec<(f64, f64)>);

/// Measures both in turn. Each gives its seconds, for each of `N` things.
pub(crate) fn alternate<const N: usize>(
    rounds: usize, mut ours: impl FnMut() -> Outcome<[f64; N]>,
    mut others: impl FnMut() -> Outcome<[f64; N]>,
) -> Outcome<[Pairs; N]> {
    let mut pairs = std::array::from_fn(|_| Pairs::default());
    for _ in 0..rounds {
        let (ours, others) = (ours()?, others()?);
        for (pairs, both) in pairs.iter_mut().zip(ours.into_iter().zip(others)) {
            let pairs: &mut Pairs = pairs;
            pairs.0.push(both);
        }
    }
    Ok(pairs)
}

impl Pairs {
    /// Our time as a multiple of the other's.
    pub(crate) fn time(&self) -> Measured {
        let ratio = median(self.0.iter().map(|(ours, other)| ours / other));
        Measured { value: ratio, detail: self.detail() }
    }

    /// How many times as fast as the other we are.
    pub(crate) fn speed(&self) -> Measured {
        let ratio = median(self.0.iter().map(|(ours, other)| other / ours));
        Measured { value: ratio, detail: self.detail() }
    }

    fn detail(&self) -> String {
        let ours = median(self.0.iter().map(|(ours, _)| *ours));
        let other = median(self.0.iter().map(|(_, other)| *other));
        format!("{} to {}", seconds(ours), seconds(other))
    }
}

/// Seconds as a person reads them.
pub(crate) fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{:.1} ms", value * 1e3) } else { format!("{value:.2} s") }
}

/// The middle one; of an even number, the upper of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds that some work takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Reads a file from its beginning to its end, and gives its length.
pub(crate) fn read_whole(path: &Path) -> Outcome<usize> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; MIB];
    let mut all = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(all),
            count => all += count,
        }
    }
}

/// Seconds that curl takes to fetch a URL and to throw it away, by its own clock.
pub(crate) fn curl(url: &str) -> Outcome<f64> {
    let args = ["-sSfL", "-o", "/dev/null", "-w", "%{time_total}", url];
    let output = Command::new("curl").args(args).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("curl: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Waits until it is so.
pub(crate) fn wait_until(
    what: &str, most: Duration, mut is_so: impl FnMut() -> Outcome<bool>,
) -> Outcome<()> {
    let deadline = Instant::now() + most;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {} s", most.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Random numbers, the same in each run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes that nothing compresses.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.roll().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
