//! What is told while a command waits for the service: on a terminal, and elsewhere.

use std::process::{Command, Output};
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind, Options};

use crate::command::unmounted;
use crate::harness::{BEDFS, Mount, fast, in_place_of, text};

/// What bedfs prints on a terminal, which is stdout and stderr at once. The words are of our own and
/// need no quoting.
fn on_a_terminal(mount: &Mount, words: &str) -> Output {
    let command = mount.bedfs("status");
    let mut script = Command::new("script");
    script.args(["-qefc", &format!("{BEDFS} {words}"), "/dev/null"]);
    in_place_of(&command, &mut script);
    script.output().expect("script runs")
}

/// A bed whose answers take so long, and nothing mounted.
fn answering_in(latency: Duration) -> Mount {
    let mount = unmounted();
    mount.emulator.change(|options| *options = Options { latency, ..fast() });
    mount
}

#[test]
fn a_terminal_is_told_what_is_waited_for() {
    let mount = answering_in(Duration::from_millis(1500));
    let waits = [
        ("shares", "asking for the shares"),
        ("traffic", "asking for the traffic log"),
        ("logs", "asking which logs there are"),
        ("doctor", "asking the service"),
    ];
    for (command, words) in waits {
        let output = on_a_terminal(&mount, command);
        assert!(text(&output.stdout).contains(words), "{command}: {}", text(&output.stdout));
    }
}

#[test]
fn what_is_no_terminal_is_told_once_in_a_line_of_its_own() {
    let mount = answering_in(Duration::from_millis(1500));
    let output = mount.bedfs("shares").arg("--json").output().expect("it runs");
    assert_eq!(text(&output.stdout).trim(), "[]");
    assert_eq!(text(&output.stderr), "bedfs: asking for the shares …\n");
    let picture = mount.local("a.jpg", b"a picture");
    let output = mount.bedfs("upload").arg(picture).output().expect("it runs");
    assert_eq!(text(&output.stdout).lines().count(), 1, "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "bedfs: uploading …\n");
}

#[test]
fn a_mount_that_takes_long_says_so_and_then_in_one_line_why_it_failed() {
    let mount = answering_in(Duration::from_millis(1500));
    let path = mount.path.display().to_string();
    let output = on_a_terminal(&mount, &format!("mount {path}"));
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("mounting"), "{said}");
    mount.unmount();
    let refusal = FaultKind::Refuse { code: 1, message: "not now".to_owned() };
    mount.emulator.inject(Fault::new("*", refusal).always());
    let output = on_a_terminal(&mount, &format!("mount {path}"));
    let said = text(&output.stdout);
    assert!(!output.status.success(), "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    // The line of the wait is taken away before.
    assert!(last.contains("bedfs: ") && last.contains("not now"), "{said:?}");
}
