//! `bedfs link`: the links of pictures, of files in a mount or of paths of the bed without one.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracing::level_filters::LevelFilter;

use super::account::Account;
use super::patience::Patience;
use super::{Failure, one_line, start_log};
use crate::config::{Choice, Config};
use crate::link::{Format, Linked};
use crate::types::{FileId, Md5};
use crate::walk::Walk;

/// What a path of the bed begins with that needs no mount.
const BED: &[u8] = b"bed:";

/// What `bedfs link` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The form of the links.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Files in a mount; or bed:/PATH, from the root of the bed, without one.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Prints a line for each path, in order. Those that fail are told, and the others still printed.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let of_bed = |path: &PathBuf| path.as_os_str().as_bytes().starts_with(BED);
    let account = match args.paths.iter().any(of_bed) {
        true => Some(Account::open(&Config::load(choice)?)?),
        false => None,
    };
    let mut walk = account.as_ref().map(|account| Walk::new(&account.client, &account.state));
    let mut code = ExitCode::SUCCESS;
    for path in &args.paths {
        let linked = match (&account, &mut walk, path.as_os_str().as_bytes().strip_prefix(BED)) {
            (Some(account), Some(walk), Some(path)) => of_path(account, walk, path),
            _ => of_file(path),
        };
        match linked {
            Ok(linked) => writeln!(io::stdout(), "{}", args.format.render(&linked))?,
            Err(error) => {
                let path = one_line(&path.to_string_lossy());
                eprintln!("bedfs: {path}: {}", one_line(&error.to_string()));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// The link of what lies at a path of the bed.
fn of_path(account: &Account, walk: &mut Walk<'_>, path: &[u8]) -> Result<Linked, Failure> {
    let path = std::str::from_utf8(path).map_err(|_| "the path is not UTF-8")?;
    let _patience = Patience::with("looking for a picture");
    account.runtime.block_on(async {
        if path.trim_matches('/').is_empty() {
            return Err("a folder has no link".into());
        }
        let mut entry = walk.find(path).await?;
        if entry.picture().is_none() {
            return Err("a folder has no link".into());
        }
        // A listing just after an upload may not tell it.
        if !entry.has_link() {
            entry = account.client.detail(&entry.id).await?;
        }
        let linked = Linked::of(&entry, path.trim_matches('/'));
        linked.ok_or_else(|| "the service has not told its link yet; try again".into())
    })
}

/// The link of a file in a mount, as its attributes tell it.
fn of_file(path: &Path) -> Result<Linked, Failure> {
    let _patience = Patience::with("asking the mount for a link");
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err("a folder has no link".into());
    }
    let Some(url) = attribute(path, "url")? else {
        return Err(why_not(path)?.into());
    };
    let name = path.canonicalize()?.file_name().unwrap_or(OsStr::new("")).to_owned();
    let md5 = attribute(path, "md5")?;
    Ok(Linked {
        url,
        download_url: attribute(path, "download_url")?,
        self_url: attribute(path, "self_url")?,
        name: name.to_string_lossy().into_owned(),
        path: path.to_string_lossy().into_owned(),
        id: attribute(path, "id")?.map(FileId::new),
        md5: md5.as_deref().map(str::parse::<Md5>).transpose()?,
        size: metadata.len(),
    })
}

/// Why a file has no link.
fn why_not(path: &Path) -> Result<String, Failure> {
    Ok(match attribute(path, "state")? {
        None => "not in a mount of bedfs; without one, say bed:/PATH".to_owned(),
        Some(state) => match (&*state, attribute(path, "error")?) {
            ("failed", Some(error)) => format!("no link yet: its upload failed: {error}"),
            ("local", _) => "no link: it is local, by its name or until it has bytes".to_owned(),
            (state, Some(error)) => format!("no link yet: it is {state}, since {error}"),
            (state, None) => format!("no link yet: it is {state}, and has one once it is uploaded"),
        },
    })
}

/// An attribute of ours; `None` if the file has none of that name.
fn attribute(path: &Path, name: &str) -> io::Result<Option<String>> {
    let value = match xattr::get_deref(path, format!("user.bedfs.{name}")) {
        // Other file systems may have no attributes at all.
        Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => None,
        value => value?,
    };
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}
