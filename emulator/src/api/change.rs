//! Making folders, deleting, moving.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Call;
use crate::answers::{
    Answers, DeleteFullFolder, DeleteMissing, DuplicateName, MkdirName, MoveFolder, MoveToRoot,
};
use crate::lock;
use crate::name;
use crate::node::{Id, Node};
use crate::refusal::Refusal;
use crate::tree::Tree;

pub(super) fn mkdir(call: &Call) -> Result<Value, Refusal> {
    let names = folder_names(call)?;
    let mut bed = lock(&call.server.bed);
    let parent =
        bed.tree().folder(call.fields.text("parentID")?).ok_or_else(Refusal::no_such_file)?;
    let parent = Id::clone(&parent.id);
    let mut seen = HashSet::new();
    for folder in &names {
        name::check(folder)?;
        name::check_new(bed.tree(), &parent, folder)?;
        if !seen.insert(folder) {
            return Err(Refusal::duplicate_name(folder));
        }
    }
    let mut made = Vec::new();
    for folder in names {
        let id = bed.add_folder(&parent, folder)?;
        made.push(json!({"filename": folder, "dirID": *id}));
    }
    Ok(json!({"list": made}))
}

/// The names to make, in whichever form they may come.
fn folder_names<'a>(call: &'a Call) -> Result<Vec<&'a str>, Refusal> {
    let is_list = call.fields.value("name")?.is_array();
    match (call.options.answers.mkdir_name, is_list) {
        (MkdirName::String, true) => Err(Refusal::generic("name is not a string")),
        (MkdirName::List, false) => Err(Refusal::generic("name is not a list")),
        (_, true) => call.fields.texts("name"),
        (_, false) => Ok(vec![call.fields.text("name")?]),
    }
}

pub(super) fn delete(call: &Call) -> Result<Value, Refusal> {
    let ids = call.fields.ids("fileIDs")?;
    let mut bed = lock(&call.server.bed);
    for id in &ids {
        check_deletable(bed.tree(), id, &call.options.answers)?;
    }
    for id in ids {
        bed.remove(id)?;
    }
    Ok(Value::Null)
}

fn check_deletable(tree: &Tree, id: &str, answers: &Answers) -> Result<(), Refusal> {
    let Some(node) = tree.get(id) else {
        return match answers.delete_missing {
            DeleteMissing::Ok => Ok(()),
            DeleteMissing::Error => Err(Refusal::no_such_file()),
        };
    };
    if node.parent.is_none() {
        return Err(Refusal::generic("the root cannot be deleted"));
    }
    if answers.delete_full_folder == DeleteFullFolder::Refuse && tree.children(id).next().is_some()
    {
        return Err(Refusal::generic(format!("folder is not empty: {}", node.name)));
    }
    Ok(())
}

pub(super) fn relocate(call: &Call) -> Result<Value, Refusal> {
    let ids = call.fields.ids("fileIDs")?;
    let answers = &call.options.answers;
    let mut bed = lock(&call.server.bed);
    let tree = bed.tree();
    let target = target(tree, call.fields.text("toParentFileID")?, answers.move_to_root)?;
    let mut names = HashSet::new();
    for id in &ids {
        let node = tree.get(id).ok_or_else(Refusal::no_such_file)?;
        check_movable(tree, node, &target, answers)?;
        let is_twice = node.parent.as_ref() != Some(&target) && !names.insert(&node.name);
        if is_twice && answers.duplicate_move == DuplicateName::Refuse {
            return Err(Refusal::duplicate_name(&node.name));
        }
    }
    for id in ids {
        let is_folder = bed.tree().get(id).is_some_and(Node::is_folder);
        if !(is_folder && answers.move_folder == MoveFolder::Ignored) {
            bed.modify(id, |node| node.parent = Some(Id::clone(&target)))?;
        }
    }
    Ok(Value::Null)
}

/// The folder that a move goes to.
fn target(tree: &Tree, id: &str, root: MoveToRoot) -> Result<Id, Refusal> {
    let folder = tree.folder(id).ok_or_else(Refusal::no_such_file)?;
    let takes_root = match root {
        MoveToRoot::Either => true,
        MoveToRoot::EmptyString => id.is_empty(),
        MoveToRoot::RealId => !id.is_empty(),
        MoveToRoot::Refused => false,
    };
    if folder.parent.is_none() && !takes_root {
        return Err(Refusal::generic("toParentFileID is not valid"));
    }
    Ok(Id::clone(&folder.id))
}

fn check_movable(tree: &Tree, node: &Node, target: &Id, answers: &Answers) -> Result<(), Refusal> {
    if node.parent.is_none() {
        return Err(Refusal::generic("the root cannot be moved"));
    }
    if node.is_folder() && answers.move_folder == MoveFolder::Refused {
        return Err(Refusal::generic("a folder cannot be moved"));
    }
    if tree.is_within(target, &node.id) {
        return Err(Refusal::generic("a folder cannot be moved into itself"));
    }
    let stays = node.parent.as_ref() == Some(target);
    if !stays && answers.duplicate_move == DuplicateName::Refuse {
        name::check_new(tree, target, &node.name)?;
    }
    Ok(())
}
