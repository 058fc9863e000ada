//! `kill -9` at every step of changes of folders and of many files, of the ways in which programs
//! save, and of what is done in a row before anything is uploaded.

use bedfs_emulator::MoveFolder;

use crate::crash::Scenario;
use crate::crash_pictures;
use crate::crash_points;

const FULL: &[&str] = &["full/1.jpg", "full/2.jpg", "full/sub/3.jpg"];

fn folders() -> Vec<Scenario> {
    let fixed = |scenario: Scenario| {
        scenario.answering(|answers| answers.move_folder = MoveFolder::Refused)
    };
    vec![
        Scenario::new("mkdir", 1, &["mkdir d/new"]),
        Scenario::new("mkdir and a copy", 5, &["mkdir new", "cp $S/one.jpg new/"]),
        Scenario::new("rmdir", 2, &["rmdir empty"]),
        Scenario::new("a folder renamed", 4, &["mv full other"]).keeping(FULL),
        fixed(Scenario::new("a folder renamed where none moves", 6, &["mv full other"]))
            .keeping(FULL),
        Scenario::new("a folder moved", 1, &["mv full e/"]).keeping(FULL),
        fixed(Scenario::new("a folder moved where none moves", 6, &["mv full e/"])).keeping(FULL),
    ]
}

pub(crate) fn trees() -> Vec<Scenario> {
    vec![
        Scenario::new("rm -r", 3, &["rm -r five"]).piecewise(),
        Scenario::new(
            "rm -r, then the same names",
            8,
            &["rm -r five", "mkdir five", "cp $S/one.jpg five/1.jpg"],
        )
        .piecewise(),
        Scenario::new("rm and the same name", 5, &["rm d/a.jpg", "cp $S/one.jpg d/a.jpg"]),
    ]
}

pub(crate) fn savers() -> Vec<Scenario> {
    let all = vec![
        Scenario::new("rsync of a changed picture", 8, &["rsync $S/one.jpg d/a.jpg"]).clearing_up(),
        Scenario::new("rsync of a new picture", 4, &["rsync $S/one.jpg d/n.jpg"]).clearing_up(),
        Scenario::new(
            "an editor's save",
            4,
            &["mv d/a.jpg d/a.jpg~", "cp $S/one.jpg d/a.jpg", "rm d/a.jpg~"],
        ),
    ];
    crash_pictures::in_both_ways(all)
}

pub(crate) fn in_a_row() -> Vec<Scenario> {
    let all = vec![
        Scenario::new(
            "a copy that is renamed",
            4,
            &["cp $S/one.jpg d/n.jpg", "mv d/n.jpg d/m.jpg"],
        ),
        Scenario::new("a copy that is moved", 4, &["cp $S/one.jpg d/n.jpg", "mv d/n.jpg e/"]),
        Scenario::new(
            "a copy that is overwritten and removed",
            0,
            &["cp $S/one.jpg d/n.jpg", "cp $S/two.jpg d/n.jpg", "rm d/n.jpg"],
        ),
        Scenario::new(
            "an overwrite that is overwritten and removed",
            1,
            &["cp $S/one.jpg d/a.jpg", "cp $S/two.jpg d/a.jpg", "rm d/a.jpg"],
        ),
        Scenario::new(
            "an overwrite that is renamed over another",
            6,
            &["cp $S/one.jpg d/a.jpg", "mv d/a.jpg d/b.jpg"],
        ),
        Scenario::new(
            "copies into a new folder that is renamed",
            6,
            &["mkdir new", "cp $S/one.jpg new/", "cp $S/known.jpg new/", "mv new other"],
        ),
        Scenario::new("a copy and the end of the mount", 4, &["cp $S/three.jpg d/n.jpg"])
            .and_unmounted(),
        Scenario::new("an overwrite and the end of the mount", 8, &["cp $S/one.jpg d/a.jpg"])
            .and_unmounted(),
    ];
    all.into_iter().map(Scenario::in_background).collect()
}

#[test]
fn a_change_of_a_folder_that_is_cut_off_is_done_or_not() {
    crash_points::kill(&folders());
}

#[test]
fn a_removal_of_a_tree_that_is_cut_off_takes_nothing_else() {
    crash_points::kill(&trees());
}

#[test]
fn a_save_that_is_cut_off_leaves_one_of_the_two_versions() {
    crash_points::kill(&savers());
}

#[test]
fn what_was_acknowledged_in_the_background_comes_about_in_its_order() {
    crash_points::kill(&in_a_row());
}

#[test]
fn there_are_forty_points_at_which_it_is_killed_and_three_hundred_at_which_it_can_be() {
    let scenarios = [crash_pictures::all(), folders(), trees(), savers(), in_a_row()].concat();
    let points: usize = scenarios.iter().map(Scenario::points).sum();
    let some = scenarios.iter().map(|scenario| crash_points::some(scenario).len()).sum::<usize>();
    println!("{some} kill points of at least {points} in {} programs", scenarios.len());
    assert!(points >= 300 && some >= 40, "{points}, {some}");
}
