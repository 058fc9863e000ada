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
    /// The account's number, as its links tell it: the first part of their paths.
    accounts: HashSet<String>,
    /// `None` for what is not there.
    asked: HashMap<FileId, Option<Entry>>,
}

impl<'a> Lookup<'a> {
    /// A look-up for the account whose links these are.
    pub fn new<'b>(
        client: &'a Client, chains: Chains, links: impl IntoIterator<Item = &'b str>,
    ) -> Self {
        let of_account = |link: &str| {
            let path = String::from_utf8(scan::path(link)?).ok()?;
            Some(Place::of(&path)?.account?.to_owned())
        };
        let accounts = links.into_iter().filter_map(of_account).collect();
        Self { client, chains, accounts, asked: HashMap::new() }
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
            && let Some(newest) = self.chains.newest(path).cloned()
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
            Some(Place { account: Some(other), .. }) if self.is_foreign(other) => {
                Verdict::OfAnother(other.to_owned())
            }
            Some(place) => self.of_picture(&FileId::new(place.id)).await?,
        };
        Ok((verdict, end))
    }

    fn is_foreign(&self, account: &str) -> bool {
        !self.accounts.is_empty() && !self.accounts.contains(account)
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

/// What the path of a link names: `/UID/FILEID.EXT`, or on a domain of the user's own perhaps
/// `/FILEID.EXT`.
struct Place<'a> {
    account: Option<&'a str>,
    id: &'a str,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (account, name) = match parts[..] {
            [name] => (None, name),
            [account, name] => (Some(account), name),
            _ => return None,
        };
        let id = name.rsplit_once('.').map_or(name, |(id, _)| id);
        (!id.is_empty()).then_some(Self { account, id })
    }
}
