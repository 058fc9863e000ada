//! `bedfs link`: links of files in a mount, and of paths of the bed without one.

use std::path::Path;
use std::process::Output;

use bedfs_emulator::{Answers, Emulator, Options, SelfUrl};
use serde_json::Value;

use crate::harness::{Mount, bedfs, fast, noise, text, xattr};
use crate::semantics::{bed, bed_with, no_violations};

/// Runs `bedfs link`.
fn link<A: AsRef<Path>>(mount: &Mount, args: &[&str], paths: &[A]) -> Output {
    let paths = paths.iter().map(AsRef::as_ref);
    mount.bedfs("link").args(args).args(paths).output().expect("bedfs runs")
}

/// The lines of a `bedfs link` that must succeed.
fn lines<A: AsRef<Path>>(mount: &Mount, args: &[&str], paths: &[A]) -> Vec<String> {
    let output = link(mount, args, paths);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

fn own_domain() -> Options {
    let answers = Answers { self_url: SelfUrl::OwnDomain, ..Answers::default() };
    Options { answers, ..fast() }
}

#[test]
fn every_form_is_that_of_the_attributes() {
    let mount = bed_with(own_domain(), &[], |bed| {
        bed.put("d/a [1].jpg", &noise(1, 3000));
    });
    let file = mount.at("d/a [1].jpg");
    let attribute = |name: &str| xattr(&file, name).expect("it is there");
    let row = mount.emulator.row("d/a [1].jpg").expect("the file");
    for (of_mount, of_bed) in [(true, false), (false, true)] {
        let path = if of_mount { file.clone() } else { "bed:/d/a [1].jpg".into() };
        let print = |format: &str| lines(&mount, &["--format", format], &[&path]).remove(0);
        assert_eq!(lines(&mount, &[], &[&path]), [attribute("url")], "the default");
        for format in ["url", "markdown", "html"] {
            assert_eq!(print(format), attribute(format), "{format}");
        }
        assert_eq!(print("bbcode"), format!("[img]{}[/img]", attribute("url")));
        let json: Value = serde_json::from_str(&print("json")).expect("JSON");
        for name in ["url", "download_url", "self_url", "markdown", "html", "id", "md5"] {
            assert_eq!(json[name], attribute(name), "{name}");
        }
        assert_eq!((&json["size"], &json["md5"]), (&3000.into(), &row.md5.clone().into()));
        let expected = if of_bed { "d/a [1].jpg" } else { file.to_str().expect("UTF-8") };
        assert_eq!(json["path"], expected);
    }
    assert!(attribute("url").starts_with("http://localhost:"), "the user's own domain");
    assert_eq!(mount.emulator.count("cdn"), 0);
    no_violations(&mount);
}

#[test]
fn several_paths_come_in_order_and_one_that_fails_is_told() {
    let mount = bed(|bed| {
        bed.put("a.jpg", b"a");
        bed.put("d/b.jpg", b"b");
    });
    let local = mount.local("plain.txt", b"no link");
    let [a, b] = [mount.at("a.jpg"), mount.at("d/b.jpg")];
    let bad = [mount.at("none.jpg"), mount.at("d"), local];
    let beds = ["bed:/d/none.jpg", "bed:d", "bed:/a.jpg/x", "bed:/"].map(Into::into);
    for bad in bad.into_iter().chain(beds) {
        let output = link(&mount, &[], &[&b, &bad, &a, &Path::new("bed:/d/b.jpg").into()]);
        assert_eq!(output.status.code(), Some(1), "{}", bad.display());
        let expected = [&b, &a, &b].map(|path| xattr(path, "url").expect("a link")).join("\n");
        assert_eq!(text(&output.stdout), expected + "\n", "{}", bad.display());
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(bad.to_str().expect("UTF-8")), "{said}");
    }
    let output = link(&mount, &[], &["bed:/d/none.jpg"]);
    assert!(text(&output.stderr).contains("\"d/none.jpg\""), "{}", text(&output.stderr));
}

#[test]
fn without_a_mount_folders_are_listed_once_and_what_was_kept_is_confirmed() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    for path in ["top.jpg", "d/e/a.jpg", "d/e/b.jpg"] {
        emulator.put(path, path.as_bytes());
    }
    let home = tempfile::tempdir().expect("a folder");
    let print = |paths: &[&str]| {
        emulator.forget_requests();
        let output = bedfs(home.path(), &emulator.base_url()).arg("link").args(paths).output();
        let output = output.expect("bedfs runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), emulator.count("list"), emulator.count("detail"))
    };
    let url_of = |path: &str| emulator.row(path).expect("the file").url + "\n";
    let (both, top) = (url_of("d/e/a.jpg") + &url_of("d/e/b.jpg"), url_of("top.jpg"));
    assert_eq!(print(&["bed:/d/e/a.jpg", "bed:/d/e/b.jpg"]), (both.clone(), 3, 0));
    // A mount keeps what it lists.
    let mount = Mount::in_dir(emulator, home, &[]);
    crate::harness::run("ls", ["-R".as_ref(), mount.path.as_os_str()]);
    mount.unmount();
    let print = |paths: &[&str]| {
        mount.emulator.forget_requests();
        let printed = lines(&mount, &[], paths).join("\n") + "\n";
        (printed, mount.emulator.count("list"), mount.emulator.count("detail"))
    };
    assert_eq!(print(&["bed:/d/e/a.jpg", "bed:/d/e/b.jpg"]), (both, 0, 4));
    assert_eq!(print(&["bed:/top.jpg"]), (top, 0, 1));
    // What others did since is not taken for what it was.
    mount.emulator.remove("d/e/a.jpg");
    mount.emulator.put("d/e/a.jpg", b"another");
    let new = mount.emulator.row("d/e/a.jpg").expect("the file").url + "\n";
    assert_eq!(print(&["bed:/d/e/a.jpg"]), (new, 1, 3));
    no_violations(&mount);
}

#[test]
fn a_file_that_is_not_at_the_service_says_so() {
    let mount = bed(|_| {});
    std::fs::write(mount.at("a.jpg~"), b"local").expect("written");
    let output = link(&mount, &[], &[mount.at("a.jpg~")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("local"), "{}", text(&output.stderr));
}
