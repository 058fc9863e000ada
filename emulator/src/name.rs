//! The rules for names, and what a file needs to take its place under one.

use crate::answers::{DuplicateName, SameBytes};
use crate::bed::Bed;
use crate::node::{FileData, Id};
use crate::options::Options;
use crate::refusal::Refusal;
use crate::tree::Tree;

/// Names have fewer characters than this.
const CHARACTERS: usize = 255;

/// The characters that no name has.
const FORBIDDEN: &str = "\"\\/:*?|><";

/// Refuses a name that the documents forbid.
pub(crate) fn check(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::breach("the name is empty"));
    }
    if name.chars().count() >= CHARACTERS {
        return Err(Refusal::breach(format!("the name has not less than {CHARACTERS} characters")));
    }
    match name.chars().find(|character| FORBIDDEN.contains(*character)) {
        Some(character) => Err(Refusal::breach(format!("the name has a {character}: {name}"))),
        None => Ok(()),
    }
}

/// Refuses a name that a folder holds already.
pub(crate) fn check_new(tree: &Tree, folder: &str, name: &str) -> Result<(), Refusal> {
    match tree.child(folder, name) {
        Some(_) => Err(Refusal::duplicate_name(name)),
        None => Ok(()),
    }
}

/// Adds a file whose bytes are all there, unless its folder is gone or holds the name by now.
pub(crate) fn place(
    bed: &mut Bed, options: &Options, parent: &Id, name: &str, file: FileData,
) -> Result<Id, Refusal> {
    bed.tree().folder(parent).ok_or_else(Refusal::no_such_file)?;
    if options.answers.duplicate_create == DuplicateName::Refuse {
        check_new(bed.tree(), parent, name)?;
    }
    if options.answers.same_bytes == SameBytes::ReplaceOlder {
        let same = |old: &FileData| {
            old.size == file.size
                && old.known_md5().is_some_and(|md5| file.known_md5() == Some(md5))
        };
        let siblings =
            bed.tree().children(parent).filter(|node| node.file.as_ref().is_some_and(same));
        for older in siblings.map(|node| Id::clone(&node.id)).collect::<Vec<_>>() {
            bed.remove(&older)?;
        }
    }
    Ok(bed.add_file(parent, name, file)?)
}
