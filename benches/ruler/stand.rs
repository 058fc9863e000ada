//! [`Stand`]: an emulator in a process of its own, and what it was asked so far.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bedfs_emulator::{Emulator, Options, Qps};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::measure::Dice;
use crate::outcome::Outcome;

/// The word that makes this program an emulator.
pub(crate) const ROLE: &str = "emulator";

/// Calls a second of the rows about limits: ten times what the documents say, so that a row takes
/// seconds and not minutes.
pub(crate) const RATES: &[(&str, u32)] = &[
    ("mkdir", 20),
    ("create", 20),
    ("list", 40),
    ("detail", 50),
    ("get_upload_url", 50),
    ("upload_complete", 50),
    ("upload_async_result", 50),
];

/// What the emulator is to hold, and how slow it is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bed {
    /// Milliseconds before every answer.
    pub(crate) latency: u64,
    /// Bytes a second of each connection.
    pub(crate) bandwidth: Option<u64>,
    /// Whether [`RATES`] are held to; else any number of calls is admitted.
    pub(crate) limited: bool,
    /// Folder, number of files, and bytes of each.
    pub(crate) fill: Vec<(String, usize, usize)>,
    /// Path and bytes of files that are served from memory, at the least cost.
    pub(crate) large: Vec<(String, usize)>,
    /// A folder for what is uploaded; else it is held in memory.
    pub(crate) data: Option<PathBuf>,
}

/// Is an emulator until nothing holds the other end of the input.
pub(crate) fn serve(bed: &str) -> Outcome<()> {
    let bed: Bed = serde_json::from_str(bed)?;
    let rates: HashMap<_, _> =
        RATES.iter().map(|(name, rate)| ((*name).to_owned(), f64::from(*rate))).collect();
    let emulator = Emulator::start(Options {
        latency: Duration::from_millis(bed.latency),
        bandwidth: bed.bandwidth,
        qps: if bed.limited { Qps::Each(rates) } else { Qps::Unlimited },
        data: bed.data,
        control: true,
        ..Options::default()
    })?;
    for (folder, count, bytes) in bed.fill {
        emulator.fill(&folder, count, bytes);
    }
    for (path, bytes) in bed.large {
        emulator.put(&path, &Dice::new(bytes as u64).bytes(bytes));
    }
    println!("{}", emulator.base_url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    emulator.stop();
    Ok(())
}

/// An emulator in a process of its own; it ends with this.
pub(crate) struct Stand {
    process: Child,
    /// Scheme, host and port.
    pub(crate) url: String,
}

impl Stand {
    pub(crate) fn start(bed: &Bed) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([ROLE, &serde_json::to_string(bed)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        let output = process.stdout.take().ok_or("the emulator has no output")?;
        BufReader::new(output).read_line(&mut url)?;
        let url = url.trim().to_owned();
        let stand = Self { process, url };
        if stand.url.is_empty() {
            return Err("the emulator did not start".into());
        }
        Ok(stand)
    }

    /// Calls of each endpoint so far.
    pub(crate) fn calls(&self) -> Outcome<BTreeMap<String, u64>> {
        let stats = self.stats()?;
        let counts = stats["requests"].as_object().ok_or("the emulator tells no requests")?;
        // The control surface itself goes by its path.
        let calls = counts.iter().filter(|(name, _)| !name.starts_with('/'));
        Ok(calls.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0))).collect())
    }

    /// Calls of one endpoint so far.
    pub(crate) fn count(&self, endpoint: &str) -> Outcome<u64> {
        Ok(self.calls()?.get(endpoint).copied().unwrap_or(0))
    }

    /// Bytes served by direct links so far.
    pub(crate) fn traffic(&self) -> Outcome<u64> {
        Ok(self.stats()?["traffic"].as_u64().ok_or("the emulator tells no traffic")?)
    }

    fn stats(&self) -> Outcome<Value> {
        let url = format!("{}/_emulator/stats", self.url);
        let output = Command::new("curl").args(["-sSf", &url]).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // The end of its input ends it, whatever it is doing.
        drop(self.process.stdin.take());
        let _gone = self.process.wait();
    }
}
