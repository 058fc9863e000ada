//! `bedfs serve`: takes pictures as PicGo's server does.

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::account::Account;
use super::{Failure, upload};
use crate::config::{Choice, Config, Origin};
use crate::log;
use crate::serve::{self, LISTEN, Setup};

/// What `bedfs serve` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen, on this machine only; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    listen: SocketAddr,
    /// Pages of this origin may upload too, as app://obsidian.md or http://localhost:8080; may be given
    /// several times. Only with a secret (BEDFS_SERVE_SECRET) [default: none].
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<Origin>,
    #[command(flatten)]
    place: upload::Place,
}

/// Serves until a signal comes, and then until what is under way is done.
pub(super) fn run(args: Args, choice: &Choice) -> Result<ExitCode, Failure> {
    let config = Config::load(choice)?;
    log::start(&config.wishes.log_level(), log::Target::Stderr)?;
    let origins = match args.allow_origin.is_empty() {
        true => config.allow_origin.clone(),
        false => args.allow_origin,
    };
    let account = Account::open(&config)?;
    let plan = &account.plan;
    let setup = Setup {
        listen: args.listen,
        secret: config.serve_secret,
        origins,
        order: args.place.order(),
        client: account.client.clone(),
        state: account.state.clone(),
        dir: plan.state.clone(),
        cache: plan.cache.clone(),
        fresh: plan.wishes.dir_ttl(),
    };
    let ready = |address| eprintln!("bedfs: listening on http://{address}");
    account.runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
        };
        serve::run(setup, ready, end).await?;
        Ok(ExitCode::SUCCESS)
    })
}
