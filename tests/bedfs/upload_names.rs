//! Uploads without a mount: what pictures are called in the bed.

use std::io::Write;
use std::process::Stdio;

use crate::harness::text;
use crate::upload::{bed, links, names, png, upload, urls};

#[test]
fn stdin_is_named_by_its_kind_and_the_time() {
    let mount = bed(|_| {});
    let give = |args: &[&str], bytes: &[u8]| {
        let mut command = mount.bedfs("upload");
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("bedfs runs");
        child.stdin.take().expect("piped").write_all(bytes).expect("written");
        child.wait_with_output().expect("bedfs runs")
    };
    assert!(give(&["-"], &png(1)).status.success());
    let name = names(&mount, "").remove(0);
    assert!(name.ends_with(".png") && name.starts_with("20"), "{name}");
    assert!(give(&["--name", "text.txt", "-"], b"no picture").status.success());
    assert_eq!(mount.emulator.read("text.txt").as_deref(), Some(&b"no picture"[..]));
    let output = give(&["-"], b"neither");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    assert!(text(&output.stderr).contains("--name"), "{}", text(&output.stderr));
    let output = give(&["-", "-"], &png(2));
    assert!(text(&output.stderr).contains("may be named once"), "{}", text(&output.stderr));
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_nothing_is_replaced() {
    let mount = bed(|_| {});
    let old = mount.emulator.put("a.png", &png(1));
    mount.emulator.put("a-1.png", &png(2));
    mount.local("a.png", &png(3));
    let output = upload(&mount, &["a.png"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), urls(&mount, &["a-2.png"]));
    assert!(text(&output.stderr).contains("a-2.png"), "{}", text(&output.stderr));
    assert_eq!(mount.emulator.row("a.png").map(|row| row.id), Some(old));
    assert_eq!(mount.emulator.read("a.png"), Some(png(1)));
    assert_eq!(mount.emulator.violations(), [""; 0]);
}

#[test]
fn patterns_name_pictures_and_make_their_folders() {
    let mount = bed(|_| {});
    mount.local("cat.png", &png(1));
    mount.local("dog", &png(2));
    let pattern = "{Y}/{m}/{name}-{md5}.{ext}";
    let before = jiff::Zoned::now().strftime("blog/%Y/%m").to_string();
    let uploaded = links(&mount, &["--to", "blog", "--name", pattern, "cat.png", "dog"]);
    let after = jiff::Zoned::now().strftime("blog/%Y/%m").to_string();
    let folder = if mount.emulator.row(&before).is_some() { before } else { after };
    let row = |stem: &str| {
        let mut rows = mount.emulator.list(&folder).into_iter();
        rows.find(|row| row.name == format!("{stem}-{}.png", row.md5)).expect(stem)
    };
    assert_eq!(uploaded, [row("cat").url, row("dog").url]);
    assert_eq!(mount.emulator.count("mkdir"), 3);
    mount.emulator.forget_requests();
    for (args, words) in [
        (&["--name", "{nonsense}.png", "cat.png"][..], "no field {nonsense}"),
        (&["--name", "{name", "cat.png"], "brace"),
        (&["--name", "a/", "cat.png"], "no name"),
    ] {
        let output = upload(&mount, args);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    for (args, words) in [
        (&["--name", "a:b.png", "cat.png"][..], "refuses ':'"),
        (&["--name", "../a.png", "cat.png"], "reference to a folder"),
        (&["--to", ".bedfs-scratch-1", "cat.png"], "emptied by mounts"),
        (&["--to", "a|b", "cat.png"], "refuses '|'"),
    ] {
        let output = upload(&mount, args);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    assert_eq!(mount.emulator.requests().len(), 0, "nothing is asked for what cannot be");
}

#[test]
fn a_name_without_an_extension_gets_one_and_another_name_is_told() {
    let mount = bed(|_| {});
    mount.local("cat.png", &png(1));
    links(&mount, &["--name", "{name}-of-mine", "cat.png"]);
    assert_eq!(names(&mount, ""), ["cat-of-mine.png"]);
    let output = upload(&mount, &["cat.png"]);
    assert_eq!(text(&output.stdout), format!("{}\n", urls(&mount, &["cat-of-mine.png"])[0]));
    let said = text(&output.stderr);
    assert!(said.contains("there as cat-of-mine.png; --force"), "{said}");
}
