//! `bedfs completions` and `bedfs man`: the command line, told to shells and to `man`.

use std::io::Write;
use std::process::ExitCode;

use super::Failure;

/// What `bedfs completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints the completions for a shell.
pub(super) fn completions(args: &Args, command: &mut clap::Command) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "bedfs", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page: the program, then each command.
pub(super) fn manual(command: &clap::Command) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for sub in command.get_subcommands() {
        let name = format!("bedfs {}", sub.get_name());
        let sub = sub.clone().display_name(&name).bin_name(&name);
        let page = clap_mangen::Man::new(sub);
        writeln!(text, ".SH \"{}\"", name.to_uppercase())?;
        page.render_description_section(&mut text)?;
        page.render_synopsis_section(&mut text)?;
        page.render_options_section(&mut text)?;
    }
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
