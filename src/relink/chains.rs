//! Chains: which object took the place of which, followed to the newest.

use std::collections::HashMap;

use super::scan;
use crate::state::Moved;
use crate::types::FileId;

/// What every link that ended comes to, by the records of moved links.
#[derive(Debug, Default)]
pub struct Chains {
    /// By the path of a link: the object that it led to.
    objects: HashMap<Vec<u8>, FileId>,
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
        if let Some(path) = scan::path(link) {
            self.objects.insert(path, object.clone());
            self.links.insert(object.clone(), link.to_owned());
        }
    }

    /// The link of an object, if it was told.
    pub fn link(&self, object: &FileId) -> Option<&str> {
        self.links.get(object).map(String::as_str)
    }

    /// Every link that is known.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.links.values().map(String::as_str)
    }

    /// What took the place of the picture that had this path in its link; `None` if nothing did, or
    /// it came back.
    pub fn newest(&self, path: &[u8]) -> Option<FileId> {
        let named = self.objects.get(path).cloned().or_else(|| self.named(path));
        let first = &named?;
        let mut newest = first;
        // Each step is to a later record, so a circle ends with the newest.
        let mut at = None;
        while let Some((next, object)) = self.successors.get(newest).and_then(|all| all.last())
            && at.is_none_or(|at| *next > at)
        {
            (at, newest) = (Some(*next), object);
        }
        (newest != first).then(|| newest.clone())
    }

    /// The object whose ID this path of a link ends with, where its link was never told.
    fn named(&self, path: &[u8]) -> Option<FileId> {
        let name = std::str::from_utf8(path).ok()?.rsplit('/').next()?;
        let id = FileId::new(name.rsplit_once('.').map_or(name, |(id, _)| id));
        (self.successors.contains_key(&id) && !self.links.contains_key(&id)).then_some(id)
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
        chains.newest(format!("/{from}").as_bytes()).map(|id| id.to_string())
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        let records = ["A>B", "X>Y", "B>c", "c>D"];
        for from in ["A", "B"] {
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
