//! `bedfs shares` and `bedfs direct-link`: what the account sells, and links into its cloud drive.

use std::io::Write;
use std::process::ExitCode;

use tracing::level_filters::LevelFilter;

use super::account::Account;
use super::patience::Patience;
use super::{Failure, one_line, start_log};
use crate::account::{Shares, share_lines, share_table};
use crate::config::{Choice, Config};

/// What `bedfs shares` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON: an array of the rows as the service tells them, each with its address.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV.
    #[arg(long)]
    csv: bool,
}

/// What `bedfs direct-link` takes.
#[derive(Debug, clap::Args)]
pub(super) struct LinkArgs {
    /// Numbers of files in the cloud drive.
    #[arg(required = true, value_name = "FILEID", value_parser = number)]
    ids: Vec<u64>,
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no number: files of the cloud drive have numbers for IDs (the link of a \
                 picture in the bed is told by bedfs link)"
        )
    })
}

/// Lists the paid shares.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let account = Account::open(&Config::load(choice)?)?;
    let patience = Patience::with("asking for the shares");
    let shares = account.runtime.block_on(Shares::new(account.client.clone()).get())?;
    drop(patience);
    let mut out = std::io::stdout().lock();
    if args.csv {
        share_table(&shares, &mut out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        let lines = String::from_utf8(share_lines(&shares, Vec::new())?)?;
        let rows: Vec<&str> = lines.lines().collect();
        writeln!(out, "[{}]", rows.join(",\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if shares.is_empty() {
        eprintln!("bedfs: the account has no paid shares");
    }
    for share in shares.iter() {
        let state = if share.is_expired { "ended" } else { "open" };
        writeln!(
            out,
            "{}  {:<5}  price {}, earned {}, {} looked, {} downloaded, {} saved  {}",
            one_line(&share.url()),
            state,
            one_line(&share.price),
            one_line(&share.earned),
            share.previews,
            share.downloads,
            share.saves,
            one_line(&share.name)
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the links in the order asked for; those that cannot be had are told on stderr.
pub(super) fn direct_links(args: &LinkArgs, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let account = Account::open(&Config::load(choice)?)?;
    let mut code = ExitCode::SUCCESS;
    for id in &args.ids {
        let patience = Patience::with("asking for a link");
        let link = account.runtime.block_on(account.client.drive_link(*id));
        drop(patience);
        match link {
            Ok(link) => writeln!(std::io::stdout(), "{}", one_line(&link))?,
            Err(error) => {
                eprintln!("bedfs: file {id}: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
