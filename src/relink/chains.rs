//! Chains: which object took the place of which, followed to the newest.

use std::collections::{BTreeSet, HashMap};

use crate::state::Moved;
use crate::types::{Address, FileId};

/// What every link that ended comes to, by the records of moved links.
#[derive(Debug, Default)]
pub struct Chains {
    /// By the name that a link ends with: the objects that such links led to, each with the account
    /// that its link tells.
    objects: HashMap<Vec<u8>, Vec<(Option<String>, FileId)>>,
    /// The numbers of the accounts whose links these are.
    accounts: BTreeSet<String>,
    /// The link of each object that has been told.
    links: HashMap<FileId, String>,
    /// What took an object's place, and at which record, the latest last.
    successors: HashMap<FileId, Vec<(usize, FileId)>>,
}

impl Chains {
    /// The chains of these records, the oldest first.
    pub fn new(records: &[Moved]) -> Self {
        let mut chains = Self::default();
        for (at, moved) in records.iter().enumerate() {
            let successors = chains.successors.entry(moved.old_object.clone()).or_default();
            successors.push((at, moved.new_object.clone()));
            for (object, link) in
                [(&moved.old_object, &moved.old_link), (&moved.new_object, &moved.new_link)]
            {
                if let Some(link) = link.as_deref() {
                    chains.learn(object, link);
                }
            }
        }
        chains
    }

    /// The link of an object is known.
    pub fn learn(&mut self, object: &FileId, link: &str) {
        let Some(Address { account, name }) = Address::of(link) else { return };
        self.accounts.extend(account.clone());
        let known = self.objects.entry(name).or_default();
        known.retain(|(known, _)| *known != account);
        known.push((account, object.clone()));
        self.links.insert(object.clone(), link.to_owned());
    }

    /// The object that links to this address lead to, on whatever host of the account: by a link that
    /// was told, else by the ID in it where none was.
    fn object(&self, address: &Address) -> Option<&FileId> {
        let is_of = |one: &Option<String>, other: &Option<String>| {
            one == other || one.is_none() || other.is_none()
        };
        let told = |address: &Address| {
            let known = self.objects.get(&address.name)?;
            let known = known.iter().find(|(account, _)| is_of(account, &address.account));
            known.map(|(_, object)| object)
        };
        let is_ours = address.account.as_ref().is_none_or(|it| self.accounts.contains(it));
        let has_number = is_ours && address.account.is_some();
        let behind = || {
            let mut accounts = self.accounts.iter().filter(|_| !has_number);
            accounts.find_map(|account| told(&address.behind(account)?))
        };
        let by_id = || {
            let (object, _) = self.successors.get_key_value(address.id()?)?;
            Some(object).filter(|object| is_ours && !self.links.contains_key(*object))
        };
        told(address).or_else(behind).or_else(by_id)
    }

    /// The link of an object, if it was told.
    pub fn link(&self, object: &FileId) -> Option<&str> {
        self.links.get(object).map(String::as_str)
    }

    /// Every link that is known.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.links.values().map(String::as_str)
    }

    /// What took the place of the picture that links to this address led to; `None` if nothing did, or
    /// it came back.
    pub fn newest(&self, address: &Address) -> Option<&FileId> {
        let first = self.object(address)?;
        let mut newest = first;
        // Each step is to a later record, so a circle ends with the newest.
        let mut at = None;
        while let Some((next, object)) = self.successors.get(newest).and_then(|all| all.last())
            && at.is_none_or(|at| *next > at)
        {
            (at, newest) = (Some(*next), object);
        }
        (newest != first).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records that `A>B` and the like tell; the link of an object is known unless it is in
    /// lower case.
    fn chains(records: &[&str]) -> Chains {
        let link =
            |object: &str| (object.to_uppercase() == object).then(|| format!("http://h/{object}"));
        let moved = |record: &&str| {
            let (old, new) = record.split_once('>').expect("two objects");
            Moved {
                changed: 0,
                path: String::new(),
                old_object: FileId::new(old),
                old_link: link(old),
                new_object: FileId::new(new),
                new_link: link(new),
            }
        };
        Chains::new(&records.iter().map(moved).collect::<Vec<_>>())
    }

    fn newest(records: &[&str], from: &str) -> Option<String> {
        let chains = chains(records);
        let address = Address::of(&format!("http://h/{from}")).expect("an address");
        chains.newest(&address).map(ToString::to_string)
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        let records = ["A>B", "X>Y", "B>c", "c>D"];
        for from in ["A", "B", "c"] {
            assert_eq!(newest(&records, from).as_deref(), Some("D"), "{from}");
        }
        assert_eq!(newest(&records, "D"), None);
        assert_eq!(newest(&records, "unknown"), None);
    }

    #[test]
    fn a_circle_ends_with_the_newest() {
        assert_eq!(newest(&["A>B", "B>A"], "A"), None);
        assert_eq!(newest(&["A>B", "B>A"], "B").as_deref(), Some("A"));
        let records = ["A>B", "B>A", "A>C"];
        assert_eq!(newest(&records, "A").as_deref(), Some("C"));
        assert_eq!(newest(&records, "B").as_deref(), Some("C"));
        assert_eq!(newest(&["A>A"], "A"), None);
    }
}
