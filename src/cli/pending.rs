//! `bedfs pending`: the uploads and deletes that are not finished, with a mount or without one.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tracing::level_filters::LevelFilter;

use super::leftovers::{self, Leftover};
use super::patience::Patience;
use super::{Failure, mount, one_line, start_log};
use crate::config::{Choice, Config, Wishes};
use crate::disk::Room;
use crate::mount::Plan;
use crate::mountpoint;
use crate::pending::{self, Pending, STAGING, Stage};
use crate::staging::StagedFile;
use crate::state::{self, Holder, Lock, RowId, State};

/// What is said of a file under a saver's name.
const LEFT: &str = "only on this machine, under a name that programs use while they save: rename it to \
                    have it uploaded, or remove it";

/// What `bedfs pending` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// List all of them, however many.
    #[arg(long, global = true)]
    all: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

/// Paths are from the bed's root, as `list` shows them.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List them [the default]: of many the folders, and some names.
    List,
    /// Try again what failed or was interrupted: all, or these.
    Retry { paths: Vec<String> },
    /// Copy the staged bytes into a folder: of all, or of these.
    Export {
        /// The folder; made if it is not there.
        dir: PathBuf,
        paths: Vec<String>,
    },
    /// Give up the staged bytes of these for ever.
    Discard {
        #[arg(required = true)]
        paths: Vec<String>,
    },
}

/// The account's journal, as a command sees it.
struct Journal {
    plan: Plan,
    state: State,
    staging: PathBuf,
}

/// Lists, retries, exports or discards.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::WARN)?;
    let config = Config::load(choice)?;
    let plan = mount::plan(&config, Wishes::default(), PathBuf::new())?;
    let state = open(&plan.state)?;
    let staging = plan.state.join(STAGING);
    let journal = Journal { plan, state, staging };
    match args.action.as_ref().unwrap_or(&Action::List) {
        Action::List => journal.list(args.all),
        Action::Retry { paths } => journal.retry(paths),
        Action::Export { dir, paths } => journal.export(dir, paths),
        Action::Discard { paths } => journal.discard(paths),
    }
}

/// Opens the state file. A damaged one is set aside only where no mount has it open.
pub(super) fn open(dir: &Path) -> Result<State, Failure> {
    let Ok(_lock) = Lock::take(dir, "bedfs pending") else {
        return Ok(State::open_sound(dir)?);
    };
    let (state, damaged) = State::open(Arc::new(Room::of(dir)))?;
    if let Some(aside) = damaged {
        eprintln!("bedfs: warning: the state file was damaged, and is kept as {}", aside.display());
    }
    Ok(state)
}

impl Journal {
    fn pending(&self) -> Result<Vec<Pending>, Failure> {
        if self.staging.is_dir()
            && let Ok(_lock) = Lock::take(&self.plan.state, "bedfs pending")
        {
            pending::take_over(&self.state, &self.staging)?;
        }
        Ok(pending::list(&self.state, &self.staging)?)
    }

    /// With what programs left under the names of their saves.
    fn with_left(&self) -> Result<Vec<Pending>, Failure> {
        let left = pending::left(&self.state, &self.staging, Timestamp::now())?;
        Ok(self.pending()?.into_iter().chain(left).collect())
    }

    /// With what the mount, if there is one, says that its uploads wait for.
    fn explained(&self) -> Result<Vec<Pending>, Failure> {
        let mut all = self.with_left()?;
        let reasons = self.reasons();
        for pending in all.iter_mut().filter(|pending| pending.error.is_none()) {
            let staged = pending.staged.as_ref().and_then(|path| path.to_str());
            pending.error = staged.and_then(|staged| reasons.get(staged).cloned());
        }
        Ok(all)
    }

    /// By the path of the staged bytes. Nothing of a mount that does not answer, or has no control folder.
    fn reasons(&self) -> HashMap<String, String> {
        let holder = Lock::holder(&self.plan.state);
        let Some(mountpoint) = holder.as_ref().and_then(Holder::mountpoint) else {
            return HashMap::new();
        };
        let path = mountpoint.join(".bedfs/pending.json");
        let told = mountpoint::within(mountpoint::ANSWER, move || fs::read_to_string(path))
            .and_then(Result::ok);
        let rows: Option<Value> = told.and_then(|told| serde_json::from_str(&told).ok());
        let rows = rows.as_ref().and_then(Value::as_array).into_iter().flatten();
        rows.filter_map(|row| Some((row["staged"].as_str()?.into(), row["error"].as_str()?.into())))
            .collect()
    }

    /// Of these files those that are meant: all, or those of these paths, each of which must be there.
    fn chosen(&self, paths: &[String], mut all: Vec<Pending>) -> Result<Vec<Pending>, Failure> {
        all.retain(|pending| pending.row.is_some());
        if paths.is_empty() {
            return Ok(all);
        }
        let wanted: Vec<&str> = paths.iter().map(|path| path.trim_matches('/')).collect();
        if let Some(missing) = wanted.iter().find(|path| all.iter().all(|p| p.path != **path)) {
            let is_left = self.with_left()?.iter().any(|p| p.path == **missing);
            return Err(match is_left {
                true => format!("{missing:?} is no upload: it is {LEFT}"),
                false => format!("{missing:?} is not pending; bedfs pending lists what is"),
            }
            .into());
        }
        all.retain(|pending| wanted.contains(&&*pending.path));
        Ok(all)
    }

    fn list(&self, is_all_wanted: bool) -> Result<ExitCode, Failure> {
        let mut out = std::io::stdout().lock();
        let all = self.explained()?;
        if all.is_empty() {
            eprintln!("bedfs: nothing is pending");
        }
        if is_all_wanted || all.len() <= leftovers::NAMES {
            all.iter().try_for_each(|pending| tell(pending, &mut out))?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "{} are not finished:", leftovers::amount(&all))?;
        leftovers::folders(&all).iter().try_for_each(|folder| writeln!(out, "{folder}"))?;
        let named = leftovers::named(&all);
        named.iter().try_for_each(|pending| tell(pending, &mut out))?;
        writeln!(out, "and {} more: bedfs pending --all lists them", all.len() - named.len())?;
        let stuck = all.iter().filter(|pending| pending.is_stuck()).count();
        match stuck {
            0 => writeln!(out, "a mount goes on with them by itself")?,
            _ => writeln!(
                out,
                "{stuck} wait for you: bedfs pending retry tries them again, bedfs pending export DIR \
                 copies their bytes out"
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A mount that runs takes up what is marked; without one it is done here and now.
    fn retry(&self, paths: &[String]) -> Result<ExitCode, Failure> {
        let chosen = self.chosen(paths, self.pending()?)?;
        let rows: Vec<RowId> = chosen.iter().filter_map(|pending| pending.row).collect();
        self.state.retry(&rows)?;
        let patience = Patience::with("uploading what waits");
        let caught_up = crate::mount::catch_up(&self.plan);
        drop(patience);
        match caught_up {
            Ok(mut left) => {
                left.retain(|pending| pending.row.is_none_or(|row| rows.contains(&row)));
                Ok(mount::report(&left, &mut std::io::stderr()))
            }
            Err(crate::mount::Error::State(state::Error::Held { holder })) => {
                match rows.is_empty() {
                    true => eprintln!("bedfs: no upload waits"),
                    false => eprintln!("bedfs: {holder} goes on with them"),
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn export(&self, dir: &Path, paths: &[String]) -> Result<ExitCode, Failure> {
        for pending in self.chosen(paths, self.with_left()?)? {
            let Some(staged) = &pending.staged else { continue };
            let lacks = pending.is_over_old && StagedFile::reopen(staged)?.missing().is_some();
            if lacks && pending.stage == Stage::Left {
                eprintln!(
                    "bedfs: {} is whole in a hidden folder of the bed alone: copy it from a mount",
                    one_line(&pending.path)
                );
                continue;
            }
            let to = free_place(&dir.join(plain(&pending.path)));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)
                    .map_err(|error| format!("{}: {error}", parent.display()))?;
            }
            fs::copy(staged, &to).map_err(|error| {
                format!("copying {} to {}: {error}", staged.display(), to.display())
            })?;
            if lacks {
                eprintln!(
                    "bedfs: {} was changed in part: what was not written is zeros in the copy",
                    pending.path
                );
            }
            println!("{}", to.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn discard(&self, paths: &[String]) -> Result<ExitCode, Failure> {
        let chosen = self.chosen(paths, self.pending()?)?;
        if let Some(last) = chosen.iter().find(|pending| pending.is_replacing) {
            let path = one_line(&last.path);
            return Err(format!(
                "{path} was taking its old version's place, which may be gone: \
                 run bedfs pending retry first"
            )
            .into());
        }
        let is_of_the_user = |pending: &Pending| pending.stage == Stage::Interrupted;
        // What a mount has at hand is removed there.
        let _lock = match chosen.iter().all(is_of_the_user) {
            true => None,
            false => Some(Lock::take(&self.plan.state, "bedfs pending discard")?),
        };
        for pending in chosen {
            let Some(row) = pending.row else { continue };
            if let Some(staged) = &pending.staged {
                // On a full disk this makes the room for recording it.
                empty(staged).map_err(|error| format!("{}: {error}", staged.display()))?;
            }
            self.state.unwanted(row)?;
            if let Some(staged) = &pending.staged {
                StagedFile::remove_from(staged)
                    .map_err(|error| format!("{}: {error}", staged.display()))?;
            }
            self.state.forget(row)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Cuts a file to nothing, if it is there.
fn empty(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).truncate(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Leftover for Pending {
    fn path(&self) -> &str {
        &self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn is_stuck(&self) -> bool {
        matches!(self.stage, Stage::Failed | Stage::Interrupted)
    }
}

fn tell(pending: &Pending, out: &mut impl Write) -> std::io::Result<()> {
    let Pending { path, stage, size, changed, .. } = pending;
    let at = changed.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
    writeln!(out, "{at}  {:<11}  {size:>12}  {}", stage.name(), one_line(path))?;
    if let Some(error) = &pending.error {
        writeln!(out, "    {}", one_line(error))?;
    }
    if *stage == Stage::Left {
        writeln!(out, "    {LEFT}")?;
    }
    Ok(())
}

/// The path without anything that would lead out of a folder.
fn plain(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
    parts.filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// The path, or one like it that nothing has yet.
fn free_place(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let others = (1u32..).map(|number| path.with_file_name(format!("{number}-{name}")));
    let mut places = std::iter::once(path.to_owned()).chain(others);
    places.find(|place| !place.exists()).unwrap_or_else(|| path.to_owned())
}
