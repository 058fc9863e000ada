//! `bedfs doctor`: looks at what a mount needs, and tries out how the service behaves.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::patience::Patience;
use super::{Failure, start_log};
use crate::api::{Client, Credentials, Roots, Settings};
use crate::checkup::{self, Check, Verdict};
use crate::config::{self, Choice, Config, Wishes};
use crate::probe::{Finding, Probe};
use crate::state::{Lock, State};

/// How long the service may take for one answer while it is only looked whether it is there.
const DEADLINE: Duration = Duration::from_secs(10);

/// What `bedfs doctor` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also try out, in a scratch folder of the bed, how the service behaves where its documents are
    /// silent; takes a minute at most.
    #[arg(long)]
    probe: bool,
}

/// What is settled before the service is asked anything.
struct Patient {
    /// For looking whether the service is there.
    greeter: Client,
    /// For all else.
    client: Client,
    state: PathBuf,
    endpoint: String,
}

/// Prints the report. It holds no secret, and no name or ID of a user's file.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let mut report = Report::begin();
    let config = Config::load(choice);
    let wishes = config.as_ref().map_or_else(|_| Wishes::default(), |config| config.wishes.clone());
    report.checks(checkup::machine(&wishes));
    report.checks(checkup::installed());
    let patient = config.map_err(Failure::from).and_then(|config| patient(&config));
    let patient = match patient {
        Ok(patient) => patient,
        Err(error) => {
            report.fail("configuration", &error.to_string());
            return Ok(report.end());
        }
    };
    report.checks(checkup::folders(&config::path(choice)?, &patient.state));
    report.line(Verdict::Ok, "endpoint", &patient.endpoint);
    let runtime = Runtime::new()?;
    let patience = Patience::with("asking the service");
    let (checks, root) = runtime.block_on(checkup::account(&patient.greeter));
    drop(patience);
    report.checks(checks);
    report.checks(checkup::kept(&patient.state, root.as_deref()));
    if !args.probe {
        return Ok(report.end());
    }
    say(format_args!(""));
    match report.has_failed {
        true => report.fail("probe", "not begun: mend first what failed"),
        false => runtime.block_on(probe(&patient, &mut report)),
    }
    Ok(report.end())
}

fn patient(config: &Config) -> Result<Patient, Failure> {
    let state = config.state_dir()?;
    let qps = config.wishes.qps.as_deref().unwrap_or("").parse()?;
    let credentials = Credentials {
        client_id: config.client_id.clone(),
        client_secret: config.client_secret.clone(),
    };
    let settings = Settings::new(config.endpoint.clone(), credentials, &state);
    let roots = Roots::read_from(config.ca_file.as_deref())?;
    let settings = Settings { qps, ..settings.trusting(roots) };
    let client = Client::new(settings.clone())?;
    let greeter = Client::new(Settings { deadline: DEADLINE, ..settings })?;
    Ok(Patient { greeter, client, state, endpoint: host(&config.endpoint).to_owned() })
}

/// The host of a base address.
fn host(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// Probes, and clears away what it made, also after an interruption. A second interruption leaves
/// that to the next probe.
async fn probe(patient: &Patient, report: &mut Report) {
    let (state, _lock) = match open(&patient.state) {
        Ok(opened) => opened,
        Err(error) => return report.fail("probe", &error.to_string()),
    };
    let probe = Probe::new(&patient.client, &state);
    let outcome = tokio::select! {
        outcome = probe.ask(|finding| report.finding(finding)) => outcome.map_err(Failure::from),
        error = interrupted() => Err(error),
    };
    if let Err(error) = outcome {
        report.fail("probe", &error.to_string());
    }
    let cleared = tokio::select! {
        cleared = probe.clear() => cleared.map_err(Failure::from),
        error = interrupted() => Err(error),
    };
    match cleared {
        Ok(()) => report.line(Verdict::Ok, "probe", "nothing of it is left in the bed"),
        Err(error) => {
            report.fail("probe", &format!("{error}; run: bedfs doctor --probe"));
        }
    }
}

fn open(folder: &Path) -> Result<(State, Lock), Failure> {
    config::make_private(folder)?;
    let lock = Lock::take_for_probe(folder)?;
    Ok((State::open_sound(folder)?, lock))
}

/// Comes to an end when the user or the system wants the program to.
async fn interrupted() -> Failure {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        // Then a signal ends the program as it does any other.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    "interrupted".into()
}

/// Prints a line. A reader that has gone does not keep a probe from clearing away what it made.
fn say(line: std::fmt::Arguments<'_>) {
    let _unread = writeln!(std::io::stdout(), "{line}");
}

/// The report as it is being printed, a line for each thing.
struct Report {
    has_failed: bool,
}

impl Report {
    fn begin() -> Self {
        let today = jiff::Zoned::now().date();
        say(format_args!("bedfs {} doctor, {today}", super::VERSION));
        Self { has_failed: false }
    }

    fn checks(&mut self, checks: Vec<Check>) {
        for check in checks {
            let Check { about, verdict, seen, mend } = check;
            let mend = mend.map(|mend| format!("; {mend}")).unwrap_or_default();
            self.line(verdict, about, &format!("{seen}{mend}"));
        }
    }

    fn finding(&mut self, finding: &Finding) {
        match &finding.outcome {
            Ok((answer, None)) => say(format_args!("learned  {} {answer}", finding.about)),
            Ok((answer, Some(note))) => {
                say(format_args!("learned  {} {answer} ({note})", finding.about));
            }
            Err(error) => {
                self.line(Verdict::Warning, "not learned", &format!("{}: {error}", finding.about));
            }
        }
    }

    fn fail(&mut self, about: &str, why: &str) {
        self.line(Verdict::Failed, about, why);
    }

    fn line(&mut self, verdict: Verdict, about: &str, words: &str) {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
        };
        self.has_failed |= verdict == "failed";
        say(format_args!("{verdict:<8} {about}: {words}"));
    }

    fn end(self) -> ExitCode {
        if self.has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
