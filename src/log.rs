//! The log: where its lines go, and how much each room says.

mod file;

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, reload};

use crate::config::{Levels, ROOMS};
pub use file::LogFile;

/// Where the log goes.
#[derive(Debug)]
pub enum Target {
    /// To stderr: a terminal, or the journal of systemd, or whoever has it.
    Stderr,
    /// Into a file that never grows beyond its bound.
    File(PathBuf),
}

/// What can be changed while the program runs.
struct Running {
    filter: reload::Handle<Targets, Registry>,
    /// What was asked for at the start, and what it can be changed to.
    steps: Vec<Levels>,
    step: usize,
}

static RUNNING: OnceLock<Mutex<Running>> = OnceLock::new();

/// Starts the log. Once a process.
pub fn start(levels: &Levels, target: Target) -> io::Result<()> {
    if let Target::File(_) = target {
        log_panics();
    }
    let (filter, handle) = reload::Layer::new(targets(levels));
    let plain = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false);
    let lines = match target {
        Target::File(path) => plain.with_writer(Mutex::new(LogFile::open(path)?)).boxed(),
        Target::Stderr if is_journal() => {
            plain.event_format(Priority).with_writer(io::stderr).boxed()
        }
        Target::Stderr => {
            plain.with_ansi(wants_colours(&io::stderr())).with_writer(io::stderr).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    let mut steps = vec![levels.clone()];
    steps.extend([LevelFilter::DEBUG, LevelFilter::TRACE].map(Levels::from));
    steps.dedup();
    // A second start has panicked above.
    let _first = RUNNING.set(Mutex::new(Running { filter: handle, steps, step: 0 }));
    Ok(())
}

/// Has the log tell of panics too: standard error, where they go, may be closed.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("a bug in bedfs: {panic}");
        before(panic);
    }));
}

/// Has the log say more: as configured, then all of debug, then all of trace, then as configured.
pub fn say_more() {
    let Some(running) = RUNNING.get() else { return };
    let mut running = running.lock().expect("no holder of the lock panics");
    running.step = (running.step + 1) % running.steps.len();
    let levels = running.steps[running.step].clone();
    // The filter is gone only when the program is.
    let _reloaded = running.filter.reload(targets(&levels));
    tracing::warn!("the log level is {levels} from here on");
}

/// Of this program only: what libraries log is of no use to a user.
fn targets(levels: &Levels) -> Targets {
    let all = Targets::new().with_target("bedfs", levels.all);
    // A target stands for all that begin like it: `mount` alone would be `mountpoint` as well.
    let rooms = ROOMS.iter().map(|room| {
        let own = levels.rooms.iter().rev().find(|(name, _)| name == room);
        (format!("bedfs::{room}"), own.map_or(levels.all, |(_, level)| *level))
    });
    all.with_targets(rooms)
}

/// Whether colours are wanted on a stream: on a terminal, unless `NO_COLOR` says something
/// (`no-color.org`).
pub fn wants_colours(stream: &impl IsTerminal) -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_unwanted
}

/// Whether stderr is what systemd connected with its journal, as `systemd.exec(5)` has it told:
/// `JOURNAL_STREAM` holds the device and inode of it.
fn is_journal() -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else { return false };
    let stat = rustix::fs::fstat(io::stderr());
    stat.is_ok_and(|stat| told == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lines for the journal: it knows the time, and takes the priority from `<N>` (`sd-daemon(3)`).
struct Priority;

impl<S, N> FormatEvent<S, N> for Priority
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
