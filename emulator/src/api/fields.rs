//! [`Fields`]: the keys and values of a call, each read in the one form that is documented.

use serde_json::{Map, Value};

use crate::head::Head;
use crate::refusal::Refusal;

/// The most IDs that one call takes.
const IDS: usize = 100;

/// The keys and values of a call.
#[derive(Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a body of JSON.
    pub(super) fn of_body(body: &[u8]) -> Result<Fields, Refusal> {
        serde_json::from_slice(body)
            .map(Fields)
            .map_err(|_| Refusal::breach("the body is not a JSON object"))
    }

    /// The fields of a query, all strings.
    pub(super) fn of_query(head: &Head) -> Fields {
        let keys = head.query_keys().into_iter();
        Fields(
            keys.map(|key| {
                let value = head.query(&key).unwrap_or_default();
                (key, Value::String(value))
            })
            .collect(),
        )
    }

    /// Refuses keys that are not documented. Of `type`, where it is, only 1 is.
    pub(super) fn check_keys(&self, known: &[&str]) -> Result<(), Refusal> {
        if let Some(key) = self.0.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::breach(format!("{key} is not a parameter")));
        }
        if known.contains(&"type") && self.number("type")? != 1 {
            return Err(Refusal::breach("type is not 1"));
        }
        Ok(())
    }

    pub(super) fn value(&self, key: &str) -> Result<&Value, Refusal> {
        self.0.get(key).ok_or_else(|| Refusal::breach(format!("{key} is missing")))
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, Refusal> {
        self.value(key)?.as_str().ok_or_else(|| Refusal::breach(format!("{key} is not a string")))
    }

    pub(super) fn optional_text(&self, key: &str) -> Result<Option<&str>, Refusal> {
        if self.0.contains_key(key) { self.text(key).map(Some) } else { Ok(None) }
    }

    /// A whole number, not below 0.
    pub(super) fn number(&self, key: &str) -> Result<u64, Refusal> {
        self.value(key)?
            .as_u64()
            .ok_or_else(|| Refusal::breach(format!("{key} is not a whole number")))
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        if self.0.contains_key(key) { self.number(key).map(Some) } else { Ok(None) }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, Refusal> {
        let list = self.value(key)?.as_array().map(|list| list.iter().map(Value::as_str).collect());
        list.flatten().ok_or_else(|| Refusal::breach(format!("{key} is not a list of strings")))
    }

    /// A list of at least one and at most 100 IDs.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<&str>, Refusal> {
        let ids = self.texts(key)?;
        if (1..=IDS).contains(&ids.len()) {
            Ok(ids)
        } else {
            Err(Refusal::breach(format!("{key} has {} IDs, not 1 to {IDS}", ids.len())))
        }
    }
}
