//! `bedfs relink`: links in text files, brought to the newest of the same picture, or checked.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use similar::TextDiff;
use tracing::level_filters::LevelFilter;

use super::account::Account;
use super::patience::Patience;
use super::{Failure, one_line, start_log};
use crate::config::{Choice, Config};
use crate::relink::{Chains, Lookup, Scanner, TextFile, Verdict, rewrite};
use crate::types::{FileId, Picture, host};

/// How long the shortest difference of two texts is looked for; after that any will do.
const DIFF: Duration = Duration::from_secs(5);

/// What `bedfs relink` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what would change, as a unified diff, and change nothing.
    #[arg(long, conflicts_with = "check")]
    dry_run: bool,
    /// Report links that lead to nothing, or to what is not yours; change nothing.
    #[arg(long)]
    check: bool,
    /// Files of text, of any kind: Markdown, HTML, JSON, …
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Rewrites or checks each file. One that fails is told, and the others still done.
pub(super) fn run(args: &Args, choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let account = Account::open(&Config::load(choice)?)?;
    account.runtime.block_on(async {
        let mut relink = Relink::begin(&account, args).await?;
        let mut code = ExitCode::SUCCESS;
        for path in &args.files {
            match relink.file(path).await {
                Ok(true) => {}
                Ok(false) => code = ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("bedfs: {}", one_line(&error.to_string()));
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    })
}

struct Relink<'a> {
    args: &'a Args,
    scanner: Scanner,
    lookup: Lookup<'a>,
}

impl<'a> Relink<'a> {
    async fn begin(account: &'a Account, args: &'a Args) -> Result<Self, Failure> {
        let chains = Chains::new(&account.state.moved()?);
        let mut links: Vec<String> = chains.links().map(str::to_owned).collect();
        for link in account.state.links()? {
            links.extend(link.own().map(str::to_owned));
            links.push(link.download.into());
        }
        if links.is_empty() && args.check {
            links = told(account).await?;
        }
        let mut hosts: Vec<&str> = links.iter().filter_map(|link| host(link)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let scanner = Scanner::new(hosts);
        let lookup = Lookup::new(&account.client, chains, links.iter().map(String::as_str));
        Ok(Self { args, scanner, lookup })
    }

    /// Gives whether nothing is wrong with the file's links.
    async fn file(&mut self, path: &Path) -> Result<bool, Failure> {
        let file = TextFile::read(path)?;
        match self.args.check {
            true => self.check(path, &file).await,
            false => self.rewrite(path, &file).await.map(|()| true),
        }
    }

    async fn rewrite(&mut self, path: &Path, file: &TextFile) -> Result<(), Failure> {
        let shown = one_line(&path.to_string_lossy());
        let mut new = rewrite(&file.text, &self.scanner, &self.lookup.chains);
        if !new.unknown.is_empty() {
            self.learn(&new.unknown).await?;
            new = rewrite(&file.text, &self.scanner, &self.lookup.chains);
        }
        if !new.unknown.is_empty() {
            eprintln!(
                "bedfs: {shown}: {} stay: what took their place is gone",
                count(new.unknown.len())
            );
        }
        if new.links == 0 {
            return Ok(());
        }
        if self.args.dry_run {
            let diff =
                TextDiff::configure().timeout(DIFF).diff_lines(&file.text[..], &new.text[..]);
            let mut diff = diff.unified_diff();
            return Ok(diff.header(&shown, &shown).to_writer(io::stdout())?);
        }
        file.replace(&new.text)?;
        Ok(writeln!(io::stdout(), "{shown}: {} rewritten", count(new.links))?)
    }

    async fn learn(&mut self, objects: &[FileId]) -> Result<(), Failure> {
        let _patience = Patience::with("looking what took the place of pictures");
        for object in objects {
            self.lookup.link(object).await?;
        }
        Ok(())
    }

    /// Prints a line for each link with which something is wrong.
    async fn check(&mut self, path: &Path, file: &TextFile) -> Result<bool, Failure> {
        let shown = one_line(&path.to_string_lossy());
        let found: Vec<_> = self.scanner.links(&file.text).collect();
        let (mut line, mut counted, mut all_right) = (1, 0, true);
        for found in found {
            line += file.text[counted..found.start].iter().filter(|byte| **byte == b'\n').count();
            counted = found.start;
            let patience = Patience::with("looking where a link leads");
            let (verdict, end) = self.lookup.verdict(&found).await?;
            drop(patience);
            if let Some(words) = words(&verdict) {
                all_right = false;
                let link = one_line(&String::from_utf8_lossy(&file.text[found.start..end]));
                writeln!(io::stdout(), "{shown}:{line}: {link} {words}")?;
            }
        }
        Ok(all_right)
    }
}

/// What is wrong with a link; `None` if nothing is.
fn words(verdict: &Verdict) -> Option<String> {
    Some(match verdict {
        Verdict::Good => return None,
        Verdict::Rejected(status) => format!("is rejected by moderation (status {status})"),
        Verdict::Superseded(new) => format!("is superseded by {}", one_line(new)),
        Verdict::Dead => "is dead: the service has no such picture".to_owned(),
        Verdict::OfAnother(account) => {
            format!("was never yours: it is of account {}", one_line(account))
        }
        Verdict::NoPicture => "was never yours: it leads to no picture of the bed".to_owned(),
    })
}

/// What the service tells of the bed's root, where nothing is known here: it has the hosts of links.
async fn told(account: &Account) -> Result<Vec<String>, Failure> {
    let _patience = Patience::with("looking at the bed");
    let page = account.client.list_page(&FileId::root(), None).await?;
    let pictures = page.entries.iter().filter_map(|entry| entry.picture());
    let links = pictures.filter_map(|Picture { link, .. }| link.as_ref());
    Ok(links.flat_map(|link| [link.publish().to_owned(), link.download.to_string()]).collect())
}

fn count(links: usize) -> String {
    if links == 1 { "1 link".to_owned() } else { format!("{links} links") }
}
