//! The service of a simulation: an answer for each point that its documents leave open.

use std::fmt::Debug;
use std::time::Duration;

use bedfs_emulator::{
    Answers, Checking, Cursor, DeleteFullFolder, DeleteMissing, DuplicateName, InstantUpload,
    ListOrder, MkdirName, MoveFolder, MoveToRoot, RangeAnswer, Redirect, ReuseFileId, SameBytes,
    Validator,
};

use crate::program::Chance;

/// Sets an answer, mostly to the usual one, and tells of it in words where it is another.
fn choose<T: Debug + Clone + PartialEq>(
    chance: &mut Chance, what: &str, all: &[T], answer: &mut T, told: &mut Vec<String>,
) {
    if chance.one_in(3) {
        let chosen = chance.of(all);
        if chosen != *answer {
            told.push(format!("{what}: {chosen:?}"));
            *answer = chosen;
        }
    }
}

/// Answers of a seed, and those that are not the usual ones, in words.
pub(crate) fn of(chance: &mut Chance) -> (Answers, Vec<String>) {
    let mut answers = Answers::default();
    let told = &mut Vec::new();
    let a = &mut answers;
    choose(chance, "mkdir takes", &[MkdirName::String, MkdirName::List], &mut a.mkdir_name, told);
    choose(chance, "same bytes", &[SameBytes::ReplaceOlder], &mut a.same_bytes, told);
    choose(chance, "a name twice", &[DuplicateName::Allow], &mut a.duplicate_create, told);
    choose(chance, "a name twice by move", &[DuplicateName::Allow], &mut a.duplicate_move, told);
    choose(chance, "ID of reuse", &[ReuseFileId::Empty], &mut a.reuse_file_id, told);
    choose(chance, "instant upload", &[InstantUpload::Never], &mut a.instant_upload, told);
    choose(chance, "full folder", &[DeleteFullFolder::Recursive], &mut a.delete_full_folder, told);
    choose(chance, "delete of nothing", &[DeleteMissing::Ok], &mut a.delete_missing, told);
    let folders = [MoveFolder::Refused, MoveFolder::Ignored];
    choose(chance, "move of a folder", &folders, &mut a.move_folder, told);
    let roots = [MoveToRoot::EmptyString, MoveToRoot::RealId, MoveToRoot::Refused];
    choose(chance, "move to the root", &roots, &mut a.move_to_root, told);
    choose(chance, "ranges", &[RangeAnswer::Ignore], &mut a.range, told);
    let validators = [Validator::Content, Validator::EachAnswer];
    choose(chance, "validators", &validators, &mut a.validator, told);
    choose(chance, "redirects", &[Redirect::OtherHost], &mut a.redirect, told);
    let orders = [ListOrder::ById, ListOrder::OldestFirst, ListOrder::ByName];
    choose(chance, "listings are ordered", &orders, &mut a.order, told);
    choose(chance, "cursor", &[Cursor::ThisLast], &mut a.cursor, told);
    choose(chance, "checking is told by", &[Checking::Code], &mut a.checking, told);
    let lags = [2, 10, 25].map(Duration::from_secs);
    choose(chance, "listings lag by", &lags, &mut a.list_lag, told);
    choose(chance, "details lag", &[true], &mut a.detail_lags, told);
    choose(chance, "md5 is told", &[false], &mut a.tells_md5, told);
    choose(chance, "deleted bytes are reused", &[false], &mut a.reuse_after_delete, told);
    let lives = [Some(Duration::from_secs(300))];
    choose(chance, "links live", &lives, &mut a.link_life, told);
    choose(chance, "numbers are strings", &[true], &mut a.numbers_as_strings, told);
    if a.duplicate_create == DuplicateName::Allow {
        (a.list_lag, a.detail_lags) = (Duration::ZERO, false);
    }
    // A detail may be as old as the service model allows (S2), and no older.
    if a.detail_lags {
        a.list_lag = a.list_lag.min(Duration::from_secs(2));
    }
    (answers, std::mem::take(told))
}
