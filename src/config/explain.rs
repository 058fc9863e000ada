//! The explanation: each value that holds, where it came from, and what it is stronger than.

use std::path::PathBuf;

use super::choice::Choice;
use super::layer::{self, Layer, all_keys, variable_of};
use super::wishes::{Wishes, keys};
use super::{ENDPOINT, Error, Sources};

/// Everything that is configured, explained.
#[derive(Debug)]
pub struct Explanation {
    /// The file that was read, if it is there.
    pub file: PathBuf,
    /// Whether it is there.
    pub is_there: bool,
    /// The profile in use, and who named it.
    pub profile: Option<(String, String)>,
    /// The other profiles of the file.
    pub others: Vec<String>,
    /// Every key.
    pub values: Vec<Explained>,
    /// What was noticed and is no error.
    pub notes: Vec<String>,
}

/// One key.
#[derive(Debug)]
pub struct Explained {
    /// Its name.
    pub key: String,
    /// The value that holds; of a secret only whether it is set.
    pub value: String,
    /// Who says so.
    pub place: String,
    /// What others say, whom this one is stronger than, the strongest first.
    pub weaker: Vec<(String, String)>,
}

impl Explanation {
    /// Explains what would hold with these words on the command line.
    pub fn of(choice: &Choice, wishes: Wishes) -> Result<Self, Error> {
        let sources = Sources::gather(choice, wishes)?;
        let mut values: Vec<Explained> =
            all_keys().into_iter().map(|key| explained(key, &sources.layers)).collect();
        if let Some(secret) = values.iter_mut().find(|value| value.key == "client-secret") {
            withhold(secret, &sources);
        }
        let unknown = layer::unknown_variables();
        let mut notes: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        if sources.client_secret().is_none() && sources.layers.iter().any(Layer::has_secret) {
            notes.push(
                "the secret that is there belongs to another client ID; run: bedfs login".into(),
            );
        }
        let is_there = sources.file.exists();
        let (profile, others) = (sources.profile, sources.others);
        Ok(Self { file: sources.file, is_there, profile, others, values, notes })
    }
}

fn explained(key: String, layers: &[Layer]) -> Explained {
    let said = layers.iter().filter_map(|layer| {
        let told = layer.told().into_iter().find(|(name, _)| *name == key);
        told.map(|(_, value)| (value, layer.place(&key).to_owned()))
    });
    let mut said = said.collect::<Vec<_>>().into_iter();
    let (value, place) = said.next().unwrap_or_else(|| default(&key));
    Explained { key, value, place, weaker: said.collect() }
}

/// A secret of another account does not hold.
fn withhold(secret: &mut Explained, sources: &Sources) {
    match sources.secret_layer() {
        Some(layer) => secret.place = layer.place(&secret.key).to_owned(),
        None => (secret.value, secret.place) = default(&secret.key),
    }
    let holds = secret.place.clone();
    secret.weaker.retain(|(_, place)| *place != holds);
}

/// What holds where nobody says anything.
fn default(key: &str) -> (String, String) {
    let value = match key {
        "endpoint" => ENDPOINT.to_owned(),
        "client-id" | "client-secret" => "(missing)".to_owned(),
        "ca-file" | "serve-secret" | "allow-origin" => "none".to_owned(),
        _ => {
            keys().into_iter().find(|known| known.name == key).map_or(String::new(), |k| k.default)
        }
    };
    (value, format!("default; {} would set it", variable_of(key)))
}
