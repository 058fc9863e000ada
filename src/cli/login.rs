//! `bedfs login`: asks for the credentials, tries them, and keeps them.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;

use super::patience::Patience;
use super::{Failure, start_log};
use crate::api::{self, Client, Roots, Settings};
use crate::config::{self, Choice, Credentials, Sources};
use crate::types::Secret;

/// Asks, tries and keeps. What is not typed at a terminal is read from stdin, a line each.
pub(super) fn run(choice: &Choice) -> Result<ExitCode, Failure> {
    start_log(LevelFilter::ERROR)?;
    let sources = Sources::before_login(choice)?;
    let profile = sources.profile.as_ref().map(|(name, _)| &**name);
    let endpoint = sources.endpoint();
    let client_id = match &choice.client_id {
        Some(id) => id.clone(),
        None => ask("Client ID: ")?,
    };
    let secret = Secret::new(ask_silently("Client secret (not shown): ")?);
    if client_id.is_empty() || secret.reveal().is_empty() {
        return Err(config::Error::Empty.into());
    }
    let ca_file = sources.ca_file();
    try_out(&endpoint, ca_file.as_deref(), &client_id, &secret)?;
    // What was tried is what is kept, unless it stands in the file already.
    let (endpoint, ca_file) = sources.beside_file();
    let ca_file = ca_file.map(std::path::absolute).transpose()?;
    let account = Credentials {
        client_id: &client_id,
        client_secret: &secret,
        endpoint: endpoint.as_deref(),
        ca_file: ca_file.as_deref(),
    };
    config::keep(&sources.file, profile, &account)?;
    let place = profile.map_or(String::new(), |name| format!(", profile {name}"));
    eprintln!("bedfs: the service takes them; kept in {}{place}", sources.file.display());
    Ok(ExitCode::SUCCESS)
}

/// Gets a token by them, which is kept nowhere.
fn try_out(
    endpoint: &str, ca_file: Option<&Path>, client_id: &str, secret: &Secret,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let credentials =
        api::Credentials { client_id: client_id.to_owned(), client_secret: secret.clone() };
    let settings = Settings::new(endpoint.to_owned(), credentials, folder.path());
    let client = Client::new(settings.trusting(Roots::read_from(ca_file)?))?;
    let _patience = Patience::with("asking the service whether it takes them");
    Runtime::new()?.block_on(async {
        client.check_credentials().await?;
        // It may be asked for in vain: the credentials are good all the same.
        let right = client.account().await.map_or_else(|_| Default::default(), |it| it.right);
        if let Some(warning) = right.warning(jiff::Timestamp::now().as_second()) {
            eprintln!("bedfs: warning: {warning}");
        }
        Ok(())
    })
}

fn ask(words: &str) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        io::stderr().write_all(words.as_bytes())?;
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn ask_silently(words: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return ask(words);
    }
    Ok(rpassword::prompt_password(words)?.trim().to_owned())
}
