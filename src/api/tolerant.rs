//! Tolerant readers: one JSON value in any of the spellings the service has been seen to use.
//!
//! Numbers come as strings and the reverse, booleans as numbers, an empty list as `null`. What is
//! still not readable is an error, and none of these errors quotes the value: it may be a secret.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, de};
use serde_json::Value;

/// A whole number: a number or a string of digits.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // Every f64 below 2^53 that has no fraction is exactly the integer it prints as.
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Text: a string, or a number as it is written.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A required text that is not empty.
pub(super) fn named<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let value = Value::deserialize(from)?;
    text(&value)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| D::Error::custom("a text that is not empty is wanted"))
}

/// A required text.
pub(super) fn required_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let value = Value::deserialize(from)?;
    text(&value).ok_or_else(|| D::Error::custom("a text is wanted"))
}

/// An optional text; empty where there is none that can be read.
pub(super) fn any_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(text(&Value::deserialize(from)?).unwrap_or_default())
}

/// A required whole number.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(from)?;
    whole(&value).ok_or_else(|| D::Error::custom("a whole number is wanted"))
}

/// An optional whole number; 0 where there is none that can be read.
pub(super) fn any_number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    Ok(whole(&Value::deserialize(from)?).unwrap_or_default())
}

/// An optional count; `None` where there is none that can be read, or it is below 0.
pub(super) fn any_count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(whole(&Value::deserialize(from)?).and_then(|number| number.try_into().ok()))
}

/// An optional truth: a boolean, 0 or 1, or either of them in quotes.
pub(super) fn any_truth<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(from)?;
    let truth = match &value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => whole(&value).map(|number| number != 0),
    };
    Ok(truth)
}

/// A list, which must be there; `null` is the empty one.
pub(super) fn list<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    match Value::deserialize(from)? {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => {
            items.into_iter().map(|item| T::deserialize(item).map_err(de::Error::custom)).collect()
        }
        _ => Err(D::Error::custom("a list is wanted")),
    }
}

/// A list that may be missing; `null` is the empty one.
pub(super) fn some_list<'de, T, D>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    list(from).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_texts_in_each_other_s_spelling() {
        assert_eq!(whole(&json!("403")), Some(403));
        assert_eq!(whole(&json!(12.0)), Some(12));
        assert_eq!(whole(&json!(12.5)), None);
        assert_eq!(whole(&json!(null)), None);
        assert_eq!(text(&json!(-1)), Some("-1".into()));
        assert_eq!(text(&json!(["x"])), None);
    }

    #[test]
    fn truths() {
        let truth = |value: Value| any_truth(value).expect("any value is read");
        assert_eq!(truth(json!(true)), Some(true));
        assert_eq!(truth(json!(0)), Some(false));
        assert_eq!(truth(json!("1")), Some(true));
        assert_eq!(truth(json!("False")), Some(false));
        assert_eq!(truth(json!({})), None);
    }

    #[test]
    fn lists() {
        let numbers = |value: Value| list::<u8, _>(value);
        assert_eq!(numbers(json!(null)).ok(), Some(vec![]));
        assert_eq!(numbers(json!([1, 2])).ok(), Some(vec![1, 2]));
        assert!(numbers(json!({})).is_err());
    }
}
