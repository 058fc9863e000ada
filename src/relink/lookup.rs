//! A look-up: what the links of the bed in a text lead to, at one call an ID at most.

use std::collections::{HashMap, HashSet};

use super::chains::Chains;
use super::scan::Found;
use crate::api::{self, Client};
use crate::types::{Address, Entry, FileId};

/// File IDs are no shorter than this, in bytes.
const ID: usize = 20;

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
    /// The numbers that the account's links tell.
    accounts: HashSet<String>,
    /// What the account's links name.
    known: HashSet<Vec<u8>>,
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
        let (mut accounts, mut known) = (HashSet::new(), HashSet::new());
        let mut has_bare = false;
        for Address { account, name } in links.into_iter().filter_map(Address::of) {
            has_bare |= account.is_none();
            accounts.extend(account);
            known.insert(name);
        }
        Self { client, chains, accounts, known, has_bare, asked: HashMap::new() }
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
        let ended = found.longest(|address| self.chains.newest(address).is_some());
        if let Some((address, end)) = ended
            && let Some(newest) = self.chains.newest(&address).cloned()
        {
            let link = match self.ask(&newest).await?.is_some() {
                true => self.link(&newest).await?,
                false => None,
            };
            return Ok((link.map_or(Verdict::Dead, Verdict::Superseded), end));
        }
        let known = found.longest(|address| self.known.contains(&address.name));
        let (address, end) = match known {
            Some((address, end)) => (Some(address), end),
            None => found.shortest(),
        };
        let verdict = match address.map(|address| self.in_account(address)) {
            None => Verdict::NoPicture,
            Some(address) => self.at(&address).await?,
        };
        Ok((verdict, end))
    }

    /// The same, behind the account's number where other parts stand before it.
    fn in_account(&self, address: Address) -> Address {
        let behind = || self.accounts.iter().find_map(|account| address.behind(account));
        match address.account {
            None => behind().unwrap_or(address),
            Some(_) => address,
        }
    }

    async fn at(&mut self, address: &Address) -> Result<Verdict, api::Error> {
        let is_path = address.name.contains(&b'/');
        let is_ours = match &address.account {
            Some(account) => self.accounts.is_empty() || self.accounts.contains(account),
            None => self.has_bare || !is_path,
        };
        let id = match (address.id(), &address.account) {
            (Some(id), _) if is_ours => FileId::new(id),
            (_, Some(account)) if !is_ours && !is_path => {
                return Ok(Verdict::OfAnother(account.clone()));
            }
            _ => return Ok(Verdict::NoPicture),
        };
        match self.of_picture(&id).await? {
            Verdict::Dead if !self.is_of_pictures(address) => Ok(Verdict::NoPicture),
            verdict => Ok(verdict),
        }
    }

    /// Whether it has the form of links to pictures here, so that one was there. Links of the cloud
    /// drive name paths.
    fn is_of_pictures(&self, address: &Address) -> bool {
        let name = &address.name;
        let is_id =
            !name.contains(&b'/') || (name.len() >= ID && name.iter().all(u8::is_ascii_graphic));
        match address.account {
            Some(_) => is_id || self.known.contains(name),
            None => self.known.contains(name) || (self.has_bare && name.contains(&b'.')),
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
