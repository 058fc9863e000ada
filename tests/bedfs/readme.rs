//! The README: what it says to type works as it is written, in either language.

use std::fs;
use std::process::Command;

use bedfs_emulator::Emulator;

use crate::harness::{BEDFS, bedfs, fast, in_place_of, noise, text};

/// The shell blocks of a file, without comments.
fn blocks(file: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let whole = fs::read_to_string(format!("{path}{file}")).expect("it is there");
    let blocks = whole.split("```sh\n").skip(1).map(|rest| rest.split("```").next());
    let plain = |block: &str| -> String {
        let commands =
            block.lines().map(|line| line.split("  #").next().unwrap_or(line).trim_end());
        commands.map(|command| format!("{command}\n")).collect()
    };
    blocks.map(|block| plain(block.expect("it has an end"))).collect()
}

#[test]
fn both_languages_say_to_type_the_same() {
    let english = blocks("README.md");
    assert!(english.len() >= 4, "{english:?}");
    assert_eq!(blocks("README.zh-CN.md"), english);
}

#[test]
fn the_first_minutes_go_as_they_are_written() {
    let blocks = blocks("README.md");
    let first = blocks.iter().find(|block| block.contains("bedfs mount ~/bed")).expect("the block");
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    let home = tempfile::tempdir().expect("a home");
    let picture = noise(7, 70_000);
    fs::write(home.path().join("picture.jpg"), &picture).expect("a picture");
    let program = std::path::Path::new(BEDFS).parent().expect("a folder");
    let path = std::env::var("PATH").expect("a PATH");
    // The environment of a command of the tests, for a shell.
    let meant = bedfs(home.path(), &emulator.base_url());
    let mut shell = Command::new("sh");
    in_place_of(&meant, &mut shell);
    shell.env("HOME", home.path()).env("PATH", format!("{}:{path}", program.display()));
    let output =
        shell.current_dir(home.path()).args(["-e", "-c", first]).output().expect("sh runs");
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    let row = emulator.row("picture.jpg").expect("it is at the service");
    assert!(text(&output.stdout).contains(&row.url), "{said}");
    assert_eq!(emulator.read("picture.jpg"), Some(picture));
}
