//! A layer: what one source says, be it the command line, the environment, a profile of the file or
//! the file's top.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::choice::Choice;
use super::environment::Taken;
use super::nearest::nearest;
use super::origin::Origin;
use super::wishes::{Wishes, keys};
use super::{Error, variable};
use crate::types::Secret;

/// The keys that are not of the mount.
const OF_THE_SERVICE: [&str; 6] =
    ["endpoint", "ca-file", "client-id", "client-secret", "serve-secret", "allow-origin"];

/// Variables that choose what is read, and are no keys.
const CHOOSING: [&str; 2] = ["BEDFS_CONFIG", "BEDFS_PROFILE"];

/// What one source says, and where each key stands in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) endpoint: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<Secret>,
    pub(super) serve_secret: Option<Secret>,
    pub(super) allow_origin: Option<Vec<Origin>>,
    pub(super) wishes: Wishes,
    /// Where each key stands, in words.
    places: BTreeMap<String, String>,
}

impl Layer {
    /// The command line.
    pub(super) fn typed(choice: &Choice, wishes: Wishes) -> Self {
        let Choice { endpoint, ca_file, client_id, .. } = choice.clone();
        let mut layer = Self { endpoint, ca_file, client_id, wishes, ..Self::default() };
        let told: Vec<String> = layer.told().into_iter().map(|(key, _)| key.to_owned()).collect();
        layer.places = told.into_iter().map(|key| (key.clone(), format!("--{key}"))).collect();
        layer
    }

    /// The environment, with the secrets that were taken out of it. A variable without a value says
    /// nothing.
    pub(super) fn environment(taken: &Taken) -> Result<Self, Error> {
        let mut layer = Self::default();
        for key in all_keys() {
            let name = variable_of(&key);
            let secret = taken.value(&key).map(|secret| secret.reveal().to_owned());
            if let Some(value) = secret.or_else(|| variable(&name)) {
                layer
                    .set(&key, value, name.clone())
                    .map_err(|message| Error::Environment { name, message })?;
            }
        }
        Ok(layer)
    }

    /// Takes up one key, which stands at `place`.
    pub(super) fn set(&mut self, key: &str, value: String, place: String) -> Result<(), String> {
        if self.places.contains_key(key) {
            return Err("is there twice".to_owned());
        }
        match key {
            "endpoint" => self.endpoint = Some(value),
            "ca-file" => self.ca_file = Some(value.into()),
            "client-id" => self.client_id = Some(value),
            "client-secret" => self.client_secret = Some(Secret::new(value)),
            "serve-secret" => self.serve_secret = Some(Secret::new(value)),
            "allow-origin" => self.allow_origin = Some(Origin::list(&value)?),
            _ => {
                let wish = Wishes::read(key, &value)?;
                self.wishes = std::mem::take(&mut self.wishes).or(wish);
            }
        }
        self.places.insert(key.to_owned(), place);
        Ok(())
    }

    /// What it says, key by key, in words. Of a secret only that it is there.
    pub(super) fn told(&self) -> Vec<(&'static str, String)> {
        let hidden = |secret: &Option<Secret>| secret.as_ref().map(|_| "(set)".to_owned());
        let service = [
            ("endpoint", self.endpoint.clone()),
            ("ca-file", self.ca_file.as_ref().map(|path| path.display().to_string())),
            ("client-id", self.client_id.clone()),
            ("client-secret", hidden(&self.client_secret)),
            ("serve-secret", hidden(&self.serve_secret)),
            ("allow-origin", self.allow_origin.as_deref().map(listed)),
        ];
        let all = service.into_iter().chain(self.wishes.told());
        all.filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// Where a key stands.
    pub(super) fn place(&self, key: &str) -> &str {
        self.places.get(key).map_or("", String::as_str)
    }

    pub(super) fn has_secret(&self) -> bool {
        self.client_secret.is_some() || self.serve_secret.is_some()
    }
}

fn listed(origins: &[Origin]) -> String {
    origins.iter().map(Origin::as_str).collect::<Vec<_>>().join(",")
}

/// Every key of the file.
pub(super) fn all_keys() -> Vec<String> {
    let service = OF_THE_SERVICE.map(str::to_owned).into_iter();
    service.chain(keys().into_iter().map(|key| key.name)).collect()
}

/// What the names of our variables begin with.
const PREFIX: &str = "BEDFS_";

/// The variable of the environment that says what a key does.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('-', "_").to_uppercase())
}

/// A variable that looks like ours and is none. It is no error: other programs may have theirs.
#[derive(Debug)]
pub struct UnknownVariable {
    name: String,
    /// The one that it probably means.
    near: Option<String>,
}

impl UnknownVariable {
    /// Whether it was probably meant for us.
    pub fn is_misspelt(&self) -> bool {
        self.near.is_some()
    }
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable {} says nothing to bedfs", self.name)?;
        self.near.iter().try_for_each(|near| write!(f, "; did you mean {near}?"))
    }
}

/// Those in the environment.
pub fn unknown_variables() -> Vec<UnknownVariable> {
    let known: Vec<String> = all_keys().iter().map(|key| variable_of(key)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).chain(CHOOSING).collect();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = names.filter(|name| name.starts_with(PREFIX) && !known.contains(&&**name));
    let near = |name: &str| {
        let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        Some(format!("{PREFIX}{}", nearest(name.strip_prefix(PREFIX)?, known)?))
    };
    unknown.map(|name| UnknownVariable { near: near(&name), name }).collect()
}
