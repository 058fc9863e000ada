//! Extended attributes that the user set: a few names, each with any bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that the values of one file may have together.
const VALUES_MAX: usize = 64 << 10;

/// Bytes that its names may have together, each ended by NUL: Linux lists 64 KiB of names at most, and
/// there are others beside these.
const NAMES_MAX: usize = 60 << 10;

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Names and their values, in the order of the names. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs(Option<Arc<Map>>);

impl Xattrs {
    /// The value of a name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.as_ref()?.get(name).map(|value| &**value)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|map| map.keys()).map(|name| &**name)
    }

    /// Gives a name this value. `false`: there is no room for it, and nothing has changed.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        let mut map = self.0.as_deref().cloned().unwrap_or_default();
        map.insert(name.into(), value.into());
        let names: usize = map.keys().map(|name| name.len() + 1).sum();
        let values: usize = map.values().map(|value| value.len()).sum();
        let fits = names <= NAMES_MAX && values <= VALUES_MAX;
        if fits {
            self.0 = Some(Arc::new(map));
        }
        fits
    }

    /// Takes a name away. `false`: there was none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let mut map = self.0.as_deref().cloned().unwrap_or_default();
        let removed = map.remove(name).is_some();
        self.0 = Some(map).filter(|map| !map.is_empty()).map(Arc::new);
        removed
    }

    /// As bytes: each name, NUL, the length of its value (32 bits, the lowest first), the value.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let map = self.0.as_ref()?;
        let mut bytes = Vec::new();
        for (name, value) in map.iter() {
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        Some(bytes)
    }

    /// What was written so. Of damaged bytes what stands before the damage.
    pub fn from_bytes(mut bytes: &[u8]) -> Self {
        let mut map = Map::new();
        while let Some((name, value, rest)) = first(bytes) {
            map.insert(name.into(), value.into());
            bytes = rest;
        }
        Self(Some(map).filter(|map| !map.is_empty()).map(Arc::new))
    }
}

/// The first name and value, and what comes after them.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (len, rest) = bytes[end + 1..].split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((&bytes[..end], value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_read_back_and_damage_costs_what_comes_after_it() {
        let mut set = Xattrs::default();
        assert_eq!(set.to_bytes(), None);
        for (name, value) in
            [("user.a", &b"\0\0"[..]), ("user.b", b""), ("user.\u{56fe}", &[7; 300])]
        {
            assert!(set.set(name.as_bytes(), value));
        }
        let bytes = set.to_bytes().expect("there is something");
        assert_eq!(Xattrs::from_bytes(&bytes), set);
        let cut = Xattrs::from_bytes(&bytes[..bytes.len() - 1]);
        assert_eq!(cut.names().collect::<Vec<_>>(), [&b"user.a"[..], b"user.b"]);
        assert_eq!(Xattrs::from_bytes(b"\xff\xff\xff\xff"), Xattrs::default());
        assert!(set.remove(b"user.a") && !set.remove(b"user.a"));
        assert!(set.remove(b"user.b") && set.remove("user.\u{56fe}".as_bytes()));
        assert_eq!(set, Xattrs::default());
    }

    #[test]
    fn values_and_names_have_bounds_and_what_does_not_fit_changes_nothing() {
        let mut set = Xattrs::default();
        assert!(set.set(b"user.a", &[1; VALUES_MAX]));
        assert!(!set.set(b"user.b", b"x") && !set.set(b"user.a", &[1; VALUES_MAX + 1]));
        assert_eq!(set.get(b"user.a").map(<[u8]>::len), Some(VALUES_MAX));
        assert!(set.set(b"user.a", b""), "in place of what was there");
        let more = (0..).take_while(|n| set.set(format!("user.{n:0250}").as_bytes(), b"")).count();
        assert_eq!(more, (NAMES_MAX - 7) / 256);
    }
}
