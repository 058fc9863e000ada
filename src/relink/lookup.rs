//! A look-up: what the links of the bed in a text lead to, at one call an ID at most.

use std::collections::{HashMap, HashSet};

use super::chains::Chains;
use super::scan::{self, Found};
use crate::api::{self, Client};
use crate::types::{Entry, FileId};

/// What is to be said of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leads to a picture of this account.
    Good,
    /// Moderation refused the picture, and it has this status.
    Rejected(i64),
    /// Another link took its place.
    Superseded(String),
    /// It ended, and so did what took its place; or the service has no such picture.
    Dead,
    /// It is of the account of this number.
    OfAnother(String),
    /// It is to a host of the bed, and not to a picture.
    NoPicture,
}

/// Asks the service what became of links, once for each ID.
pub struct Lookup<'a> {
    client: &'a Client,
    /// What took whose place.
    pub chains: Chains,
    /// The account's number, as its links tell it: the last part of their paths but one.
    accounts: HashSet<String>,
    /// Whether links of the account are known that do not tell its number.
    has_bare: bool,
    /// `None` for what is not there.
    asked: HashMap<FileId, Option<Entry>>,
}

impl<'a> Lookup<'a> {
    /// A look-up for the account whose links these are.
    pub fn new<'b>(
        client: &'a Client, chains: Chains, links: impl IntoIterator<Item = &'b str>,
    ) -> Self {
        let (mut accounts, mut has_bare) = (HashSet::new(), false);
        for path in links.into_iter().filter_map(scan::path) {
            match std::str::from_utf8(&path).ok().and_then(Place::of) {
                Some(Place { account: Some(account), .. }) => drop(accounts.insert(account.into())),
                Some(Place { account: None, .. }) => has_bare = true,
                None => {}
            }
        }
        Self { client, chains, accounts, has_bare, asked: HashMap::new() }
    }

    /// The link of an object that took another's place, asked for if the records do not tell it;
    /// `None` if it has none, or is gone.
    pub async fn link(&mut self, object: &FileId) -> Result<Option<String>, api::Error> {
        if let Some(link) = self.chains.link(object) {
            return Ok(Some(link.to_owned()));
        }
        let picture = self.ask(object).await?.as_ref().and_then(Entry::picture);
        let link = picture.and_then(|picture| Some(picture.link.as_ref()?.publish().to_owned()));
        if let Some(link) = &link {
            self.chains.learn(object, link);
        }
        Ok(link)
    }

    /// What is to be said of a link, and where it ends in its text.
    pub async fn verdict(&mut self, found: &Found) -> Result<(Verdict, usize), api::Error> {
        let ended = found.longest(|path| self.chains.newest(path).is_some());
        if let Some((path, end)) = ended
            && let Some(newest) = self.chains.newest(path)
        {
            let link = match self.ask(&newest).await?.is_some() {
                true => self.link(&newest).await?,
                false => None,
            };
            return Ok((link.map_or(Verdict::Dead, Verdict::Superseded), end));
        }
        let (path, end) = found.shortest();
        let place = std::str::from_utf8(path).ok().and_then(Place::of);
        let verdict = match place {
            None => Verdict::NoPicture,
            Some(place) if self.is_foreign(&place) => match place.account {
                Some(number) if place.is_short && is_number(number) => {
                    Verdict::OfAnother(number.to_owned())
                }
                _ => Verdict::NoPicture,
            },
            Some(place) => match self.of_picture(&FileId::new(place.id)).await? {
                Verdict::Dead if !self.is_of_pictures(&place) => Verdict::NoPicture,
                verdict => verdict,
            },
        };
        Ok((verdict, end))
    }

    /// Whether it has the number of an account, but of none that is this one's.
    fn is_foreign(&self, place: &Place<'_>) -> bool {
        let is_ours = |account| self.accounts.is_empty() || self.accounts.contains(account);
        place.account.is_some_and(|account| !is_ours(account))
    }

    /// Whether it has the form of links to pictures here, so that one was there.
    fn is_of_pictures(&self, place: &Place<'_>) -> bool {
        match place.account {
            Some(account) => is_number(account) || self.accounts.contains(account),
            None => self.has_bare && place.has_extension,
        }
    }

    async fn of_picture(&mut self, id: &FileId) -> Result<Verdict, api::Error> {
        let Some(entry) = self.ask(id).await? else { return Ok(Verdict::Dead) };
        Ok(match entry.picture() {
            None => Verdict::NoPicture,
            Some(picture) if picture.is_rejected() => Verdict::Rejected(picture.status),
            Some(_) => Verdict::Good,
        })
    }

    async fn ask(&mut self, id: &FileId) -> Result<&Option<Entry>, api::Error> {
        if !self.asked.contains_key(id) {
            let answer = match self.client.detail(id).await {
                Ok(entry) => Some(entry),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            self.asked.insert(id.clone(), answer);
        }
        Ok(&self.asked[id])
    }
}

/// What the path of a link names: `/UID/FILEID.EXT`, on a domain of the user's own perhaps behind other
/// parts, or `/FILEID.EXT`.
struct Place<'a> {
    account: Option<&'a str>,
    id: &'a str,
    has_extension: bool,
    /// Whether nothing stands before these.
    is_short: bool,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.rsplit('/');
        let name = parts.next()?;
        let account = parts.next();
        let (id, has_extension) = match name.rsplit_once('.') {
            Some((id, _)) => (id, true),
            None => (name, false),
        };
        let is_short = parts.next().is_none();
        (!id.is_empty()).then_some(Self { account, id, has_extension, is_short })
    }
}

fn is_number(account: &str) -> bool {
    !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit())
}
