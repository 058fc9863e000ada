//! `kill -9` at every step of a change of one picture: put in, overwritten, renamed, moved, removed.

use bedfs_emulator::{InstantUpload, ReuseFileId};

use crate::crash::Scenario;
use crate::crash_points;

fn new() -> Vec<Scenario> {
    let all = vec![
        Scenario::new("a new picture", 4, &["cp $S/one.jpg d/n.jpg"]),
        Scenario::new("a new picture of three slices", 6, &["cp $S/three.jpg d/n.jpg"]),
        Scenario::new("a picture that the service knows", 1, &["cp $S/known.jpg d/n.jpg"]),
    ];
    in_both_ways(all)
}

pub(crate) fn over() -> Vec<Scenario> {
    let all = vec![
        Scenario::new("an overwrite", 8, &["cp $S/one.jpg d/a.jpg"]),
        Scenario::new("an overwrite where nothing moves", 8, &["cp $S/one.jpg d/a.jpg"])
            .refusing("move"),
        Scenario::new(
            "an append",
            8,
            &["printf tail | dd of=d/a.jpg oflag=append conv=notrunc status=none"],
        ),
        Scenario::new("a cut", 8, &["truncate -s 1000 d/a.jpg"]),
    ];
    in_both_ways(all)
}

pub(crate) fn renamed() -> Vec<Scenario> {
    vec![
        Scenario::new("a rename", 2, &["mv d/a.jpg d/n.jpg"]),
        Scenario::new("a rename over another", 4, &["mv d/a.jpg d/b.jpg"]),
        Scenario::new("a move", 1, &["mv d/a.jpg e/"]).keeping(&["d/a.jpg"]),
        Scenario::new("a move over another", 4, &["mv d/b.jpg e/b.jpg"]).keeping(&["d/b.jpg"]),
        Scenario::new("a rename, then unmounted", 2, &["mv d/a.jpg d/b.jpg"]).and_unmounted(),
        Scenario::new("a rename to a folder under another name", 2, &["mv d/a.jpg e/n.jpg"]),
    ]
}

fn removed() -> Vec<Scenario> {
    vec![
        Scenario::new("a removal", 1, &["rm d/a.jpg"]),
        Scenario::new(
            "a removal while open",
            1,
            &["exec 3< d/a.jpg", "rm d/a.jpg", "cat <&3 >/dev/null", "exec 3<&-"],
        ),
    ]
}

fn elsewhere() -> Vec<Scenario> {
    let (copy, over) = (&["cp $S/one.jpg d/n.jpg"], &["cp $S/one.jpg d/a.jpg"]);
    let (rename, rename_over) = (&["mv d/a.jpg d/n.jpg"], &["mv d/a.jpg d/b.jpg"]);
    let lag = std::time::Duration::from_secs(2);
    vec![
        Scenario::new("a known picture without an ID", 2, &["cp $S/known.jpg d/n.jpg"])
            .answering(|answers| answers.reuse_file_id = ReuseFileId::Empty),
        Scenario::new("a rename without an ID", 2, rename)
            .answering(|answers| answers.reuse_file_id = ReuseFileId::Empty),
        Scenario::new("an upload that is polled", 5, copy).polled(2),
        Scenario::new("an overwrite that is polled", 8, over).polled(1),
        Scenario::new("a rename without instant upload", 5, rename)
            .answering(|answers| answers.instant_upload = InstantUpload::Never),
        Scenario::new("a rename without instant upload that is polled", 6, rename)
            .polled(1)
            .answering(|answers| answers.instant_upload = InstantUpload::Never),
        Scenario::new("a rename over without instant upload", 5, rename_over)
            .answering(|answers| answers.instant_upload = InstantUpload::Never),
        Scenario::new("a new picture under a lag", 4, copy)
            .answering(|answers| answers.list_lag = lag),
        Scenario::new("an overwrite under a lag", 8, over)
            .answering(|answers| answers.list_lag = lag),
        Scenario::new("a rename under a lag", 2, rename)
            .answering(|answers| answers.list_lag = lag),
        Scenario::new("a rename where rows tell no md5", 4, rename)
            .answering(|answers| answers.tells_md5 = false),
        Scenario::new("a rename over where rows tell no md5", 5, rename_over)
            .answering(|answers| answers.tells_md5 = false),
        Scenario::new("a picture aside under two lags", 2, &["mv d/a.jpg d/a.jpg~"])
            .keeping(&["d/a.jpg"])
            .answering(|answers| (answers.list_lag, answers.detail_lags) = (lag, true)),
        Scenario::new("a rename over under two lags", 4, rename_over)
            .answering(|answers| (answers.list_lag, answers.detail_lags) = (lag, true)),
    ]
}

/// The same with either way to close.
pub(crate) fn in_both_ways(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    let background = scenarios.clone().into_iter().map(Scenario::in_background);
    scenarios.iter().cloned().chain(background).collect()
}

/// Every scenario here.
pub(crate) fn all() -> Vec<Scenario> {
    [new(), over(), renamed(), removed(), elsewhere()].concat()
}

#[test]
fn a_copy_that_is_cut_off_is_whole_or_not_there() {
    crash_points::kill(&new());
}

#[test]
fn an_overwrite_that_is_cut_off_leaves_one_of_the_two_versions() {
    crash_points::kill(&over());
}

#[test]
fn a_rename_that_is_cut_off_leaves_one_of_the_two_names() {
    crash_points::kill(&renamed());
}

#[test]
fn a_removal_that_is_cut_off_is_done_if_it_was_acknowledged() {
    crash_points::kill(&removed());
}

#[test]
fn what_is_cut_off_comes_right_whatever_the_service_answers() {
    crash_points::kill(&elsewhere());
}
