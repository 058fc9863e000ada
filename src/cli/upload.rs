//! `bedfs upload`: pictures into the bed without a mount, and their links on stdout.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::level_filters::LevelFilter;

use super::account::Account;
use super::patience::Patience;
use super::{Failure, one_line, start_log};
use crate::config::{Choice, Config};
use crate::link::{Format, Linked};
use crate::names;
use crate::paths;
use crate::post::{Error, Item, Order, Pattern, Post, Sent};

/// What `bedfs upload` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Upload also what is in the folder already, under another name.
    #[arg(long)]
    force: bool,
    /// The form in which links are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The pictures; - is stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Where pictures go to in the bed.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The folder, from the bed's root; made if it is not there [default: the root].
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    to: String,
    /// What they are called there, as {Y}/{m}/{md5}.{ext}; slashes make folders. The fields are
    /// {name}, {ext}, {md5}, {rand} and of the local time {Y}, {m}, {d}, {H}, {M}, {S}
    /// [default: as they are called here].
    #[arg(long, value_name = "PATTERN")]
    name: Option<Pattern>,
}

impl Place {
    pub(super) fn order(self) -> Order {
        Order { to: self.to, name: self.name, ..Order::default() }
    }
}

/// Uploads, and prints a line for each picture that is in the bed then.
pub(super) fn run(args: Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::WARN)?;
    let account = Account::open(&Config::load(choice)?)?;
    let plan = &account.plan;
    let names = args.files.iter().map(|file| (file.display().to_string(), paths::local(file)));
    let names: Vec<(String, PathBuf)> = names.collect();
    let items = items(args.files, &plan.state)?;
    let (client, state) = (account.client.clone(), account.state.clone());
    let post = Post::new(client, state, plan.state.clone(), plan.wishes.dir_ttl());
    let order = Order { force: args.force, ..args.place.order() };
    let mut printer = Printer::new(args.format, names);
    account.runtime.block_on(post.send(&order, items, |sent| printer.tell(sent)));
    printer.end()
}

fn items(files: Vec<PathBuf>, dir: &Path) -> Result<Vec<Item>, Failure> {
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err("stdin holds one picture: - may be named once".into());
    }
    let item = |file: PathBuf| match is_stdin(&file) {
        true => Ok(Item::Bytes { name: None, file: spool(dir)? }),
        false => Ok(Item::Path(paths::local(&file))),
    };
    files.into_iter().map(item).collect()
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// What stdin holds, in a file of this process alone.
fn spool(dir: &Path) -> Result<File, Failure> {
    let mut file = tempfile::tempfile_in(dir)?;
    io::copy(&mut io::stdin().lock(), &mut file)
        .map_err(|error| format!("reading stdin: {error}"))?;
    Ok(file)
}

/// Prints links on stdout and all else on stderr.
struct Printer {
    format: Format,
    /// What names each picture, and the path that is meant.
    names: std::vec::IntoIter<(String, PathBuf)>,
    bar: ProgressBar,
    /// Until the first picture is done.
    patience: Option<Patience>,
    has_failed: bool,
    /// What became of stdout.
    written: io::Result<()>,
}

impl Printer {
    fn new(format: Format, names: Vec<(String, PathBuf)>) -> Self {
        let bar = match io::stderr().is_terminal() {
            true => ProgressBar::new(names.len() as u64),
            false => ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
        };
        let style = ProgressStyle::with_template("{spinner} {pos} of {len} pictures, {elapsed}");
        bar.set_style(style.expect("a right template"));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        let (names, written) = (names.into_iter(), Ok(()));
        let patience = Some(Patience::without_bar("uploading"));
        Self { format, names, bar, patience, has_failed: false, written }
    }

    fn tell(&mut self, sent: Result<Sent, Error>) {
        self.patience = None;
        let (name, path) = self.names.next().unwrap_or_default();
        let name = one_line(&name);
        match sent {
            Ok(sent) => self.print(&name, &path, &sent),
            Err(error) => {
                self.has_failed = true;
                self.say(&format!("{name}: {}", one_line(&error.to_string())));
            }
        }
        self.bar.inc(1);
    }

    fn print(&mut self, name: &str, path: &Path, sent: &Sent) {
        if sent.is_mended {
            let got = one_line(&sent.path);
            self.say(&format!("{name}: the service refuses such a name; it is uploaded as {got}"));
        }
        if sent.wanted.is_some() {
            let got = one_line(&sent.path);
            self.say(&format!("{name}: another picture has this name; it is uploaded as {got}"));
        }
        let own = paths::file_name(path).map(names::mended);
        if !sent.is_new && own.is_some_and(|own| own != "-" && *own != *sent.entry.name) {
            let path = one_line(&sent.path);
            self.say(&format!(
                "{name}: the same picture is there as {path}; --force uploads it again"
            ));
        }
        if sent.entry.picture().is_some_and(|picture| picture.is_rejected()) {
            self.say(&format!("{name}: moderation rejected it, so its link may not work"));
        }
        let Some(linked) = Linked::of(&sent.entry, &sent.path) else { return };
        let line = format!("{}\n", self.format.render(&linked));
        let mut out = io::stdout();
        let print = || out.write_all(line.as_bytes()).and_then(|()| out.flush());
        let written = self.bar.suspend(print);
        self.written = std::mem::replace(&mut self.written, Ok(())).and(written);
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("bedfs: {line}"));
    }

    fn end(self) -> Result<ExitCode, Failure> {
        self.bar.finish_and_clear();
        self.written.map_err(|error| format!("writing the links: {error}"))?;
        Ok(if self.has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
