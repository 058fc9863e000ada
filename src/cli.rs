//! The command line: what was typed becomes what is meant, then it is done.

mod account;
mod chart;
mod config;
mod demo;
mod doctor;
mod emulator;
mod leftovers;
mod link;
mod login;
mod logs;
mod mount;
mod options;
mod patience;
mod pending;
mod relink;
mod samples;
mod serve;
mod shares;
mod shell;
mod status;
mod traffic;
mod umount;
mod upload;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ContextKind::{SuggestedArg, SuggestedSubcommand, SuggestedValue};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::{self as configuration, Choice, take_secrets};
use crate::log;
use crate::memory;
use crate::process;
#[cfg(any(test, fuzzing))]
pub use logs::fuzz as fuzz_logs;
use options::Spelled;

/// What goes wrong is told in one line, so any error will do.
type Failure = Box<dyn std::error::Error>;

/// The version, and of a release the commit.
const VERSION: &str = env!("BEDFS_VERSION");

/// The exit status where another try would fail likewise (`EX_CONFIG` of `sysexits.h`).
const MISCONFIGURED: u8 = 78;

/// Mounts a 123pan image bed as a drive.
#[derive(Debug, Parser)]
#[command(name = "bedfs", version = VERSION, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    choice: Choice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount the image bed on a folder.
    Mount(mount::Args),
    /// Wait for uploads, then unmount.
    Umount(umount::Args),
    /// Ask for the credentials, try them, and keep them in the configuration file.
    Login,
    /// What is configured, and who says so.
    Config(config::Args),
    /// Uploads and deletes that are not finished: list, retry, export, discard.
    Pending(pending::Args),
    /// What the direct links used, by file, day or hour.
    Traffic(traffic::Args),
    /// The offline logs of direct links: list, download or merge them.
    Logs(logs::Args),
    /// The paid shares.
    Shares(shares::Args),
    /// Direct links of files in the cloud drive, by number.
    DirectLink(shares::LinkArgs),
    /// What a mount is doing.
    Status(status::Args),
    /// Upload pictures without a mount, and print their links.
    Upload(upload::Args),
    /// Take pictures as PicGo's server does, from programs on this machine.
    Serve(serve::Args),
    /// Print the links of pictures: of files in a mount, or of bed:/path without one.
    Link(link::Args),
    /// Rewrite links in text files to the newest link of the same picture.
    Relink(relink::Args),
    /// Try it out: a mount of an emulated bed with a few pictures, no account needed.
    Demo(demo::Args),
    /// Look whether everything is there that a mount needs, and say how to mend what is not.
    Doctor(doctor::Args),
    /// Run the local stand-in for the service.
    Emulator(emulator::Args),
    /// Print the completions for a shell.
    Completions(shell::Args),
    /// Print a manual page.
    Man(shell::ManArgs),
}

/// Runs the program and gives its exit code.
pub fn main() -> ExitCode {
    memory::give_back_what_is_freed();
    if let Err(error) = memory::keep_private() {
        eprintln!("bedfs: warning: a core dump of this process would hold secrets: {error}");
    }
    if let Err(error) = process::raise_open_files() {
        eprintln!("bedfs: warning: the limit of open files stays as low as it is: {error}");
    }
    let names: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let typed: Vec<OsString> = std::env::args_os().collect();
    let typed = match options::Called::by(typed) {
        options::Called::Plainly(typed) => typed,
        options::Called::ForShow => {
            eprintln!("bedfs: nothing is mounted, as -f says");
            return ExitCode::SUCCESS;
        }
    };
    let spelled = options::spell_out(typed, &names);
    if let Some(mountpoint) = options::remounted(&spelled.words) {
        return cannot_remount(Path::new(mountpoint));
    }
    let mut cli = match Cli::try_parse_from(&spelled.words) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error, &names, &spelled),
    };
    // SAFETY: no thread has been started yet.
    cli.choice.secrets = unsafe { take_secrets() };
    match run(cli) {
        Ok(code) => code,
        // Who read the output has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::from(141),
        Err(error) => {
            eprintln!("bedfs: {}", joined(&error.to_string()));
            if is_misconfigured(&*error) {
                ExitCode::from(MISCONFIGURED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Does what is meant.
fn run(Cli { choice, command }: Cli) -> Result<ExitCode, Failure> {
    let choice = &choice;
    // These tell of what is configured themselves.
    if !matches!(command, Command::Config(_) | Command::Doctor(_)) {
        let unknown = configuration::unknown_variables();
        for misspelt in unknown.iter().filter(|unknown| unknown.is_misspelt()) {
            eprintln!("bedfs: warning: {misspelt}");
        }
        if !matches!(command, Command::Login) {
            configuration::check_profile(choice)?;
        }
    }
    match command {
        Command::Mount(args) => mount::run(args, choice),
        Command::Umount(args) => umount::run(&args),
        Command::Login => login::run(choice),
        Command::Config(args) => config::run(args, choice),
        Command::Pending(args) => pending::run(&args, choice),
        Command::Traffic(args) => traffic::run(&args, choice),
        Command::Logs(args) => logs::run(&args, choice),
        Command::Shares(args) => shares::run(&args, choice),
        Command::DirectLink(args) => shares::direct_links(&args, choice),
        Command::Status(args) => status::run(&args),
        Command::Upload(args) => upload::run(args, choice),
        Command::Serve(args) => serve::run(args, choice),
        Command::Link(args) => link::run(&args, choice),
        Command::Relink(args) => relink::run(&args, choice),
        Command::Demo(args) => demo::run(&args),
        Command::Doctor(args) => doctor::run(&args, choice),
        Command::Emulator(args) => emulator::run(args),
        Command::Completions(args) => shell::completions(&args, &mut Cli::command()),
        Command::Man(args) => shell::manual(&args, Cli::command()),
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Whether the configuration has to be mended, the credentials in it among that.
fn is_misconfigured(error: &(dyn std::error::Error + 'static)) -> bool {
    let refused = match error.downcast_ref() {
        Some(crate::mount::Error::Api(error)) => Some(error),
        _ => error.downcast_ref::<crate::api::Error>(),
    };
    refused.is_some_and(crate::api::Error::is_unauthorized)
        || error.is::<configuration::Error>()
        || error.is::<crate::api::NotRoots>()
}

/// Tells what to do in place of `mount -o remount,…`.
fn cannot_remount(mountpoint: &Path) -> ExitCode {
    let path = mountpoint.display();
    eprintln!(
        "bedfs: the options of a mount cannot be changed while it is mounted; run: bedfs umount {path}, \
         then mount it again with other options (read-only: -o ro)"
    );
    ExitCode::FAILURE
}

/// What the parsers of the standard library say of a value, and the same for who typed it.
const WORDS: [(&str, &str); 5] = [
    ("invalid digit found in string", "a whole number is wanted"),
    ("cannot parse integer from empty string", "a whole number is wanted"),
    ("number too large to fit in target type", "that is too large"),
    ("number would be zero for non-zero type", "it must be more than 0"),
    ("invalid socket address syntax", "an address and a port are wanted, as 127.0.0.1:8123"),
];

/// Tells in one line what was typed wrongly; prints the help if that was asked for.
fn misunderstood(error: &clap::Error, commands: &[String], spelled: &Spelled) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let text = error.to_string();
    let about = text.strip_prefix("error: ").unwrap_or(&text);
    // The first paragraph says what; after it come the usage and a hint at the help.
    let lines = about.lines().map(str::trim).take_while(|line| !line.is_empty());
    let mut line = lines.collect::<Vec<_>>().join(" ");
    let meant = [SuggestedArg, SuggestedSubcommand, SuggestedValue];
    let is_secret = line.contains("'--client-secret'");
    if let Some(meant) = meant.into_iter().find_map(|kind| error.get(kind)).filter(|_| !is_secret) {
        line.push_str(&format!("; did you mean {meant}?"));
    }
    if is_secret {
        line.push_str("; the secret is never an argument: bedfs login asks for it");
    }
    for (told, plain) in WORDS {
        line = line.replace(told, plain);
    }
    let typed = std::env::args().nth(1).filter(|word| commands.contains(word));
    let help = typed.map_or("bedfs --help".to_owned(), |command| format!("bedfs {command} --help"));
    eprintln!("bedfs: {} (see {help})", spelled.as_typed(&line));
    ExitCode::from(2)
}

/// A text of others in one line of a terminal, with nothing that would control it.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(plain).collect()
}

/// The lines of a text in one.
fn joined(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    one_line(&lines.join("; "))
}

/// Starts the log of a command that is at a terminal. Once a process.
fn start_log(level: LevelFilter) -> Result<(), Failure> {
    Ok(log::start(&level.into(), log::Target::Stderr)?)
}
