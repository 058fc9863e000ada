//! `bedfs demo`: an emulated bed with a few pictures, mounted, and a word on what to try.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bedfs_emulator::{Emulator, Options};
use tracing::level_filters::LevelFilter;

use super::{Failure, mount, samples, start_log};
use crate::config::{Config, Wishes};
use crate::mount::Plan;
use crate::mountpoint;
use crate::types::Secret;

/// What `bedfs demo` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to mount on; made if it is not there [default: a new one in the temporary folder].
    mountpoint: Option<PathBuf>,
}

/// The pictures it puts in.
const PICTURES: &[(&str, &[u8])] = &[
    ("sunrise.png", include_bytes!("../../assets/sunrise.png")),
    ("waves.png", include_bytes!("../../assets/waves.png")),
    ("bedfs.svg", include_bytes!("../../assets/bedfs.svg")),
];

/// Mounts until it is interrupted.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::WARN)?;
    let scratch = tempfile::Builder::new().prefix("bedfs-demo-").tempdir()?;
    let folder = match &args.mountpoint {
        Some(folder) => folder.clone(),
        None => scratch.path().join("bed"),
    };
    if !folder.exists() {
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mountpoint = mountpoint::check_free(&folder)?;
    let emulator = Emulator::start(Options::default())?;
    samples::put_in(&emulator)?;
    let plan = plan(&emulator, scratch.path(), mountpoint)?;
    let leftovers = crate::mount::run(&plan, || {
        if let Err(error) = welcome(&plan.mountpoint) {
            eprintln!("bedfs: putting the pictures in: {error}");
        }
    })?;
    emulator.stop();
    Ok(if leftovers.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nothing of the user's own configuration or state is touched.
fn plan(emulator: &Emulator, home: &Path, mountpoint: PathBuf) -> Result<Plan, Failure> {
    let options = Options::default();
    let config = Config {
        endpoint: emulator.base_url(),
        ca_file: None,
        client_id: options.client_id,
        client_secret: Secret::new(options.client_secret),
        serve_secret: None,
        allow_origin: Vec::new(),
        profile: None,
        wishes: Wishes::default(),
    };
    let (state, cache) = (home.join("state"), home.join("cache"));
    mount::plan_in(&config, Wishes::default(), mountpoint, &state, cache)
}

fn welcome(bed: &Path) -> std::io::Result<()> {
    let folder = bed.join("pictures");
    std::fs::create_dir(&folder)?;
    for (name, bytes) in PICTURES {
        std::fs::write(folder.join(name), bytes)?;
    }
    let (bed, first) = (bed.display(), PICTURES[0].0);
    println!(
        "An emulated image bed is mounted on {bed}, with {} pictures in it. Try, in another terminal:

  ls -l {bed}/pictures
  getfattr -n user.bedfs.url {bed}/pictures/{first}        # its public link
  getfattr -n user.bedfs.markdown {bed}/pictures/{first}
  cp YOUR-PICTURE.jpg {bed}/pictures/                         # when cp is done it is published
  cat {bed}/.bedfs/status.json                               # what the mount is doing

Ctrl-C here ends it, and the emulated bed with it. With an account: bedfs mount --help",
        PICTURES.len()
    );
    Ok(())
}
