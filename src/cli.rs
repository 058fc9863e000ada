//! The command line: what was typed becomes what is meant, then it is done.

mod account;
mod chart;
mod demo;
mod doctor;
mod emulator;
mod link;
mod logs;
mod mount;
mod options;
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
use std::fs::File;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::memory;

/// What goes wrong is told in one line, so any error will do.
type Failure = Box<dyn std::error::Error>;

/// Mounts a 123pan image bed as a drive.
#[derive(Debug, Parser)]
#[command(name = "bedfs", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount the image bed on a folder.
    Mount(mount::Args),
    /// Wait for uploads, then unmount.
    Umount(umount::Args),
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
    /// Print the manual page.
    Man,
}

/// Runs the program and gives its exit code.
pub fn main() -> ExitCode {
    memory::give_back_what_is_freed();
    let names: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(options::spell_out(typed, &names)) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error, &names),
    };
    let done = match cli.command {
        Command::Mount(args) => mount::run(args),
        Command::Umount(args) => umount::run(&args),
        Command::Pending(args) => pending::run(&args),
        Command::Traffic(args) => traffic::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Shares(args) => shares::run(&args),
        Command::DirectLink(args) => shares::direct_links(&args),
        Command::Status(args) => status::run(&args),
        Command::Upload(args) => upload::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Link(args) => link::run(&args),
        Command::Relink(args) => relink::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Emulator(args) => emulator::run(args),
        Command::Completions(args) => shell::completions(&args, &mut Cli::command()),
        Command::Man => shell::manual(&Cli::command()),
    };
    match done {
        Ok(code) => code,
        // Who read the output has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::from(141),
        Err(error) => {
            eprintln!("bedfs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Tells in one line what was typed wrongly; prints the help if that was asked for.
fn misunderstood(error: &clap::Error, commands: &[String]) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let text = error.to_string();
    let about = text.strip_prefix("error: ").unwrap_or(&text);
    // The first paragraph says what; after it come the usage and a hint at the help.
    let lines = about.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    let typed = std::env::args().nth(1).filter(|word| commands.contains(word));
    let help = typed.map_or("bedfs --help".to_owned(), |command| format!("bedfs {command} --help"));
    eprintln!("bedfs: {line} (see {help})");
    ExitCode::from(2)
}

/// A text of others in one line of a terminal, with nothing that would control it.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(plain).collect()
}

/// Where the log goes.
enum Log {
    Stderr,
    File(File),
}

/// Starts the log. Once a process.
fn start_log(level: tracing::Level, log: Log) {
    // Of this program only: what libraries log is of no use to a user.
    let filter = EnvFilter::new(format!("off,bedfs={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match log {
        Log::Stderr => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).with_writer(std::io::stderr).init();
        }
        Log::File(file) => builder.with_ansi(false).with_writer(Mutex::new(file)).init(),
    }
}
