//! `bedfs emulator`: the local stand-in for the service, until it is interrupted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bedfs_emulator::{Emulator, Fault, Options, Qps};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, samples};
use crate::config::Size;

/// What `bedfs emulator` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// Keep the content in this folder instead of in memory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Milliseconds added before every answer.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    latency: u64,
    /// Bytes a second of each connection to direct links and storage [default: as many as go].
    #[arg(long, value_name = "BYTES")]
    bandwidth: Option<Size>,
    /// Admit any number of calls a second instead of the documented ones.
    #[arg(long)]
    unlimited: bool,
    /// Of a hundred requests, how many fail in a way that is worth another try.
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(..=100))]
    faults: u8,
}

/// Serves until SIGINT or SIGTERM.
pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let listen = args.listen;
    let options = Options {
        listen,
        data: args.data,
        latency: Duration::from_millis(args.latency),
        bandwidth: args.bandwidth.map(|size| size.0),
        qps: if args.unlimited { Qps::Unlimited } else { Qps::Documented },
        control: true,
        ..Options::default()
    };
    let (id, secret) = (options.client_id.clone(), options.client_secret.clone());
    let emulator = Emulator::start(options).map_err(|error| {
        format!("listening on {listen}: {error}; --listen ADDR names another place, with port 0 a free one")
    })?;
    samples::put_in(&emulator)?;
    if args.faults > 0 {
        let faults = Fault::passing(f64::from(args.faults) / 100.0);
        faults.into_iter().for_each(|fault| emulator.inject(fault));
    }
    // For `eval`: a shell that reads it is set up to mount.
    println!("export BEDFS_ENDPOINT={}", emulator.base_url());
    println!("export BEDFS_CLIENT_ID={id}");
    println!("export BEDFS_CLIENT_SECRET={secret}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok::<(), std::io::Error>(())
    })?;
    emulator.stop();
    Ok(ExitCode::SUCCESS)
}
