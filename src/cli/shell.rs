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

/// What `bedfs man` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The page.
    #[arg(value_enum, default_value_t)]
    page: Page,
}

/// A manual page.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Page {
    /// bedfs(1): the program and its commands.
    #[default]
    Bedfs,
    /// mount.bedfs(8): what mount(8) and /etc/fstab can say.
    #[value(name = "mount.bedfs")]
    MountBedfs,
}

/// What the second page says beside the options.
const HELPER: &str = r#".SH DESCRIPTION
\fBmount\fR(8) calls this program for file systems of the type \fBbedfs\fR, as lines of \fBfstab\fR(5)
name them. It is \fBbedfs mount\fR, of which \fBbedfs\fR(1) tells, under another name. The source may be any word; what a user may
mount has \fBuser\fR among its options, and the configuration is then that user's.
.PP
What only tells who mounts and when (\fB_netdev\fR, \fBnofail\fR, \fBnoauto\fR, \fBuser\fR,
\fBx\-systemd.automount\fR) is left to others. The options below may be written with \fB_\fR or
\fB\-\fR; \fBro\fR is \fBread\-only\fR, and \fBnoexec\fR is \fBno\-exec\fR. A comma inside a value is written \fB\e,\fR.
"#;

/// Examples of lines.
const LINES: &str = r#".SH EXAMPLE
.nf
bedfs /mnt/bed bedfs _netdev,nofail,allow_other,uid=1000,gid=1000 0 0
bedfs /mnt/work bedfs noauto,x\-systemd.automount,_netdev,config=/etc/bedfs/config.toml,profile=work 0 0
.fi
.SH "SEE ALSO"
\fBbedfs\fR(1), \fBmount\fR(8), \fBfstab\fR(5), \fBsystemd.mount\fR(5)
"#;

/// Prints the completions for a shell.
pub(super) fn completions(args: &Args, command: &mut clap::Command) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "bedfs", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a manual page.
pub(super) fn manual(args: &ManArgs, command: clap::Command) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    match args.page {
        Page::Bedfs => program(&command, &mut text)?,
        Page::MountBedfs => helper(&command, &mut text)?,
    }
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The program, then each command.
fn program(command: &clap::Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(text)?;
    page.render_name_section(text)?;
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    page.render_options_section(text)?;
    commands_of(command, "bedfs", text)?;
    writeln!(text, ".SH \"SEE ALSO\"\n\\fBmount.bedfs\\fR(8), \\fBfusermount3\\fR(1)")
}

/// The commands of a command, each with its own: there is no other page that tells of them.
fn commands_of(command: &clap::Command, called: &str, text: &mut Vec<u8>) -> std::io::Result<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("{called} {}", sub.get_name());
        let page = clap_mangen::Man::new(sub.clone().display_name(&name).bin_name(&name));
        writeln!(text, ".SH \"{}\"", name.to_uppercase())?;
        page.render_description_section(text)?;
        page.render_synopsis_section(text)?;
        page.render_options_section(text)?;
        commands_of(sub, &name, text)?;
    }
    Ok(())
}

/// The options of `bedfs mount`, as `-o` has them.
fn helper(command: &clap::Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    let version = command.get_version().unwrap_or_default();
    writeln!(text, ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '")?;
    writeln!(text, ".TH mount.bedfs 8 \"\" \"bedfs {version}\"")?;
    writeln!(text, ".SH NAME\nmount.bedfs \\- mount an image bed")?;
    writeln!(
        text,
        ".SH SYNOPSIS\n\\fBmount \\-t bedfs\\fR [\\fB\\-o\\fR \\fIoptions\\fR] \\fIsource\\fR \\fIfolder\\fR"
    )?;
    text.extend_from_slice(HELPER.as_bytes());
    writeln!(text, ".SH OPTIONS")?;
    let mount = command.find_subcommand("mount").into_iter().flat_map(|it| it.get_arguments());
    for arg in mount.chain(command.get_arguments()).filter(|arg| !arg.is_hide_set()) {
        let (Some(name), Some(help)) = (arg.get_long(), arg.get_help()) else { continue };
        let value = arg.get_value_names().filter(|_| arg.is_require_equals_set().eq(&false));
        let value =
            value.and_then(|names| names.first()).filter(|_| arg.get_action().takes_values());
        let value = value.map_or(String::new(), |value| format!("=\\fI{value}\\fR"));
        let name = name.replace('-', "_");
        let help = help.to_string().replace('\\', "\\e").replace('-', "\\-");
        // A line that begins with a quote or a dot would be a command.
        writeln!(text, ".TP\n\\fB{name}\\fR{value}\n\\&{help}")?;
    }
    text.extend_from_slice(LINES.as_bytes());
    Ok(())
}
