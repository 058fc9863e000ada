//! The probe: tries out how the service behaves where its documents are silent, in a scratch folder
//! of its own in the bed's root, with tiny pictures of its own.
//!
//! It touches nothing that it did not make. Its scratch folders are in the state file before they
//! are in the bed, so that what a probe leaves that was cut off is cleared away by the next.
//!
//! Where one answer is wanted before anything else is done, [`same_bytes`] and its neighbours try
//! out one thing in a folder of the caller's.

mod creating;
mod listing;
mod moving;
mod picture;
mod scratch;
mod site;

use std::sync::{Arc, Mutex};

use crate::api::{self, Client};
use crate::state::answer::{self, Answer};
use crate::state::{self, State};
use crate::types::FileId;
use crate::upload;

use site::{Found, Site};

/// Why the service could not be tried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The service failed or refused.
    #[error(transparent)]
    Api(#[from] Arc<api::Error>),
    /// A picture of the probe could not be uploaded.
    #[error(transparent)]
    Upload(#[from] upload::Error),
    /// What was begun or learned could not be recorded.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The bytes of a picture could not be put on the local disk.
    #[error("writing a picture of the probe: {0}")]
    Disk(Arc<std::io::Error>),
    /// The service did something that tells nothing.
    #[error("{0}")]
    Odd(&'static str),
    /// Something lies in a scratch folder of the probe that the probe did not make, or that the
    /// service does not let go.
    #[error("a scratch folder of a probe stays in the bed's root: {0}")]
    Left(&'static str),
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}

impl Error {
    /// What the client told, where the service was the reason.
    pub fn api(&self) -> Option<&api::Error> {
        match self {
            Self::Api(error) => Some(error),
            Self::Upload(error) => error.api(),
            _ => None,
        }
    }

    /// What the service said if it refused: certainly not done, and not for the moment's sake.
    fn refusal(&self) -> Option<String> {
        let error = self.api()?;
        match error {
            api::Error::Refused { reply, .. } => Some(reply.to_string()),
            api::Error::Status { status, .. } if !error.is_transient() => {
                Some(format!("HTTP status {status}"))
            }
            _ => None,
        }
    }

    /// Whether the same may come out otherwise at another time.
    fn may_pass(&self) -> bool {
        match self {
            Self::Odd(_) | Self::Upload(upload::Error::Unlisted { .. }) => true,
            _ => self.api().is_some_and(|error| error.is_transient() || error.is_not_found()),
        }
    }
}

/// One question and what came of asking it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The question, as the state file keeps it.
    pub question: &'static str,
    /// The question in words.
    pub about: &'static str,
    /// The answer in words and, where the service refused something, what it said; or why there is
    /// none.
    pub outcome: Result<(String, Option<String>), Error>,
}

/// One probe of a bed.
pub struct Probe<'a> {
    client: &'a Client,
    state: &'a State,
    /// What it made, in the order of making.
    made: Mutex<Vec<FileId>>,
}

impl<'a> Probe<'a> {
    /// A probe; nothing is asked yet. The caller holds the lock on probing.
    pub fn new(client: &'a Client, state: &'a State) -> Self {
        Self { client, state, made: Mutex::default() }
    }

    /// Asks everything, tells each finding to `tell`, and keeps the answers in the state file.
    ///
    /// May be dropped at any point. [`Probe::clear`] belongs after it, whatever came of it.
    pub async fn ask(&self, tell: impl FnMut(&Finding)) -> Result<Vec<Finding>, Error> {
        self.clear().await?;
        let folder = scratch::make(self.client, self.state).await?;
        let site = Site::new(self.client, &folder, &self.made);
        let findings = self.ask_all(&site, tell).await;
        // If somebody cleared the folder away meanwhile, what was seen in it tells nothing.
        if site.look(&folder).await?.is_none() {
            return Err(Error::Odd("somebody removed the probe's folder: nothing was learned"));
        }
        for finding in &findings {
            if let Ok((answer, _)) = &finding.outcome {
                self.state.learn(finding.question, answer)?;
            }
        }
        Ok(findings)
    }

    /// Asks only what the same bytes twice in a folder come to, keeps the answer, and clears away what
    /// it made.
    pub async fn ask_same_bytes(&self) -> Result<answer::SameBytes, Error> {
        self.clear().await?;
        let folder = scratch::make(self.client, self.state).await?;
        let site = Site::new(self.client, &folder, &self.made);
        let found = site::ask(|| creating::same_bytes(&site)).await;
        let is_left = site.look(&folder).await.map(|seen| seen.is_some());
        if let Err(error) = self.clear().await {
            tracing::warn!("what was tried out stays in a scratch folder for now: {error}");
        }
        let found = found?.answer;
        if !is_left? {
            return Err(Error::Odd("somebody removed the probe's folder: nothing was learned"));
        }
        self.state.learn_answer(found)?;
        Ok(found)
    }

    async fn ask_all(&self, site: &Site<'_>, tell: impl FnMut(&Finding)) -> Vec<Finding> {
        let mut sheet = Sheet { findings: Vec::new(), tell };
        sheet.ask(|| listing::after_create(site)).await;
        sheet.ask(|| listing::after_delete(site)).await;
        sheet.ask(|| creating::same_bytes(site)).await;
        sheet.ask(|| creating::empty_file(site)).await;
        sheet.ask(|| moving::folder(site)).await;
        sheet.findings
    }

    /// Clears away the scratch folders of all probes of this machine, and what is in them.
    pub async fn clear(&self) -> Result<(), Error> {
        scratch::clear(self.client, self.state, &self.made).await
    }
}

/// The findings so far.
struct Sheet<F> {
    findings: Vec<Finding>,
    tell: F,
}

impl<F: FnMut(&Finding)> Sheet<F> {
    async fn ask<A: Answer, E: Future<Output = Result<Found<A>, Error>>>(
        &mut self, experiment: impl Fn() -> E,
    ) {
        let outcome = site::ask(experiment).await;
        let outcome = outcome.map(|found| (found.answer.text(), found.note));
        let finding = Finding { question: A::QUESTION, about: A::ABOUT, outcome };
        (self.tell)(&finding);
        self.findings.push(finding);
    }
}

/// Whether the same bytes twice in a folder make the older one vanish, tried out in a folder in which
/// nothing else has these bytes. What it makes there is gone afterwards, if the service lets it go.
pub async fn same_bytes(client: &Client, folder: &FileId) -> Result<answer::SameBytes, Error> {
    let made = Mutex::default();
    let site = Site::new(client, folder, &made);
    alone(&site, || creating::same_bytes(&site)).await
}

/// Whether files of no bytes are taken.
pub async fn empty_file(client: &Client, folder: &FileId) -> Result<answer::EmptyFile, Error> {
    let made = Mutex::default();
    let site = Site::new(client, folder, &made);
    alone(&site, || creating::empty_file(&site)).await
}

/// Whether folders can be moved.
pub async fn move_folder(client: &Client, folder: &FileId) -> Result<answer::MoveFolder, Error> {
    let made = Mutex::default();
    let site = Site::new(client, folder, &made);
    alone(&site, || moving::folder(&site)).await
}

/// Makes one experiment, and clears away what it made.
async fn alone<A, E: Future<Output = Result<Found<A>, Error>>>(
    site: &Site<'_>, experiment: impl Fn() -> E,
) -> Result<A, Error> {
    let found = site::ask(experiment).await;
    if let Err(error) = scratch::empty(site.client, site.folder, site.made).await {
        tracing::warn!("what was tried out stays in a scratch folder for now: {error}");
    }
    Ok(found?.answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount asks in tasks.
    #[expect(dead_code, reason = "it has only to compile")]
    fn the_single_questions_can_be_asked_in_tasks(client: &Client, folder: &FileId) {
        fn is_send(_: impl Send) {}
        is_send(same_bytes(client, folder));
        is_send(empty_file(client, folder));
        is_send(move_folder(client, folder));
    }
}
