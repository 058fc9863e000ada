//! Uploads without a mount: links in order, nothing twice, nothing replaced, whatever goes wrong.

use std::fs;
use std::process::Output;
use std::time::Duration;

use bedfs_emulator::{
    Emulator, Fault, FaultKind, InstantUpload, Options, ReuseFileId, SameBytes, SelfUrl,
};
use serde_json::Value;

use crate::command::unmounted;
use crate::harness::{Mount, fast, text, xattr};

/// The program without a mount, over a bed that answers so.
pub(crate) fn bed(change: impl FnOnce(&mut Options)) -> Mount {
    let mount = unmounted();
    mount.emulator.change(change);
    unlimited(&mount);
    mount
}

/// The program keeps to no limits of its own.
fn unlimited(mount: &Mount) {
    let folder = mount.dir.path().join("config/bedfs");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.toml"), "qps = 'unlimited'").expect("written");
}

/// Uploads with these arguments, from the folder of local files.
pub(crate) fn upload(mount: &Mount, args: &[&str]) -> Output {
    let mut command = mount.bedfs("upload");
    command.args(args).current_dir(mount.dir.path());
    command.output().expect("bedfs runs")
}

/// The links of an upload that must succeed.
pub(crate) fn links(mount: &Mount, args: &[&str]) -> Vec<String> {
    let output = upload(mount, args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// The links of pictures in the bed.
pub(crate) fn urls(mount: &Mount, paths: &[&str]) -> Vec<String> {
    let url = |path: &&str| mount.emulator.row(path).map(|row| row.url);
    paths.iter().map(|path| url(path).unwrap_or_else(|| panic!("{path} is not there"))).collect()
}

pub(crate) fn png(seed: u64) -> Vec<u8> {
    crate::serve::png(seed, 3000)
}

pub(crate) fn names(mount: &Mount, folder: &str) -> Vec<String> {
    let mut names: Vec<_> = mount.emulator.list(folder).into_iter().map(|row| row.name).collect();
    names.sort();
    names
}

#[test]
fn links_come_in_order_and_in_every_form() {
    let mount = bed(|options| options.answers.self_url = SelfUrl::OwnDomain);
    for (name, seed) in [("a.png", 1), ("b [1].png", 2), ("c.png", 3), ("d.png", 4), ("e.png", 5)] {
        mount.local(name, &png(seed));
    }
    let all = ["a.png", "b [1].png", "c.png", "d.png", "e.png"];
    let uploaded = links(&mount, &all);
    let own: Vec<_> =
        urls(&mount, &all).iter().map(|url| url.replace("127.0.0.1", "localhost")).collect();
    assert_eq!(uploaded, own);
    for (format, line) in [
        ("url", own[1].clone()),
        ("markdown", format!("![b \\[1\\].png]({})", own[1])),
        ("html", format!("<img src=\"{}\" alt=\"b [1].png\">", own[1])),
        ("bbcode", format!("[img]{}[/img]", own[1])),
    ] {
        assert_eq!(links(&mount, &["--format", format, "b [1].png"]), [line], "{format}");
    }
    let json = links(&mount, &["--format", "json", "e.png", "a.png"]);
    let json: Vec<Value> =
        json.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let row = mount.emulator.row("e.png").expect("there");
    assert_eq!(json[0]["url"], own[4].as_str());
    assert_eq!((&json[0]["name"], &json[0]["path"]), (&"e.png".into(), &"e.png".into()));
    assert_eq!((&json[0]["id"], &json[0]["md5"]), (&row.id.into(), &row.md5.into()));
    assert_eq!(
        (json[0]["size"].as_u64(), json[1]["name"].as_str()),
        (Some(row.size), Some("a.png"))
    );
    assert_eq!(mount.emulator.list("").len(), all.len());
    assert_eq!(mount.emulator.violations(), [""; 0]);
}

#[test]
fn what_is_there_gives_its_link_and_no_second_object() {
    // Whoever creates it again makes the one that is published vanish.
    let mount = bed(|options| options.answers.same_bytes = SameBytes::ReplaceOlder);
    mount.local("a.png", &png(1));
    mount.local("b.png", &png(1));
    mount.emulator.put("other/a.png", &png(1));
    let first = links(&mount, &["--to", "blog", "a.png", "b.png", "a.png"]);
    assert_eq!(first, vec![urls(&mount, &["blog/a.png"])[0].clone(); 3]);
    assert_eq!(mount.emulator.count("create"), 1);
    mount.emulator.forget_requests();
    assert_eq!(links(&mount, &["--to", "/blog/", "b.png"]), first[..1]);
    assert_eq!((mount.emulator.count("create"), mount.emulator.count("mkdir")), (0, 0));
    assert_eq!(names(&mount, "blog"), ["a.png"]);
    // Gone in the meantime: it is made again.
    mount.emulator.remove("blog/a.png");
    assert_eq!(links(&mount, &["--to", "blog", "b.png"]), urls(&mount, &["blog/b.png"]));
}

#[test]
fn what_a_mount_knew_to_be_there_costs_one_call() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.fill("big", 250, 1000);
    emulator.put("big/a.png", &png(1));
    let mount = Mount::over(emulator, &[]);
    unlimited(&mount);
    assert_eq!(fs::read_dir(mount.at("big")).expect("listed").count(), 251);
    mount.unmount();
    mount.emulator.forget_requests();
    mount.local("b.png", &png(1));
    assert_eq!(links(&mount, &["--to", "big", "b.png"]), urls(&mount, &["big/a.png"]));
    let count = |endpoint| mount.emulator.count(endpoint);
    assert_eq!((count("detail"), count("list"), count("create")), (1, 0, 0));
    // It went to another folder: it is not there any more.
    mount.emulator.remove("big/a.png");
    mount.emulator.forget_requests();
    assert_eq!(links(&mount, &["--to", "big", "b.png"]), urls(&mount, &["big/b.png"]));
    assert_eq!(count("create"), 1);
}

#[test]
fn force_uploads_again_where_that_ends_no_link() {
    for (same, count) in [(SameBytes::KeepBoth, 2), (SameBytes::ReplaceOlder, 1)] {
        let mount = bed(|options| options.answers.same_bytes = same);
        mount.local("a.png", &png(1));
        let first = links(&mount, &["a.png"]);
        let output = upload(&mount, &["--force", "a.png"]);
        assert_eq!(output.status.success(), count == 2, "{}", text(&output.stderr));
        let stderr = text(&output.stderr);
        let words = if count == 2 { "uploaded as a-1.png" } else { "would end its link" };
        assert!(stderr.contains(words), "{stderr}");
        // Nothing is left of what was tried out.
        assert_eq!(names(&mount, "").len(), count, "{:?}", names(&mount, ""));
        assert_eq!(urls(&mount, &["a.png"]), first);
    }
}

#[test]
fn what_fails_leaves_the_links_of_the_others_in_order() {
    let mount = bed(|_| {});
    mount.local("a.png", &png(1));
    mount.local("b.png", &png(2));
    mount.local("c:d.png", &png(3));
    fs::create_dir(mount.dir.path().join("folder")).expect("made");
    crate::harness::run("mkfifo", [mount.dir.path().join("pipe")]);
    let args = ["missing.png", "a.png", "folder", "c:d.png", "pipe", "b.png"];
    let output = upload(&mount, &args);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines, urls(&mount, &["a.png", "c_d.png", "b.png"]));
    let stderr = text(&output.stderr);
    for words in [
        "missing.png: opening it",
        "folder: it is no file",
        "c:d.png: the service refuses such a name",
        "pipe: it is no file",
    ] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 4, "{stderr}");
}

#[test]
fn it_works_beside_a_mount_which_then_shows_the_picture() {
    let mount = Mount::with(fast(), &["--dir-ttl", "1", "--upload", "background"]);
    unlimited(&mount);
    fs::create_dir(mount.at("blog")).expect("made");
    // What the mount is about to upload keeps its name.
    mount.emulator.inject(Fault::new("create", FaultKind::Hang));
    fs::write(mount.at("blog/a.png"), png(1)).expect("written");
    mount.local("a.png", &png(2));
    let uploaded = links(&mount, &["--to", "blog", "a.png"]);
    assert_eq!(uploaded, urls(&mount, &["blog/a-1.png"]));
    crate::harness::wait_until("the mount shows it", || mount.at("blog/a-1.png").exists());
    assert_eq!(xattr(&mount.at("blog/a-1.png"), "url").as_deref(), Some(&*uploaded[0]));
    mount.emulator.clear_faults();
    mount.quiet();
    assert_eq!(mount.emulator.read("blog/a.png"), Some(png(1)));
    assert_eq!(names(&mount, "blog"), ["a-1.png", "a.png"]);
}

#[test]
fn what_a_mount_is_about_to_delete_gives_no_link_and_no_name() {
    let mount = Mount::with(fast(), &[]);
    unlimited(&mount);
    fs::create_dir(mount.at("blog")).expect("made");
    mount.local("a.png", &png(1));
    for first_upload in [true, false] {
        match first_upload {
            true => fs::write(mount.at("blog/a.png"), png(1)).expect("written"),
            // The mount does not show it yet, and is told to look.
            false => crate::semantics::refresh(&mount.at("blog")),
        }
        let old = urls(&mount, &["blog/a.png"]);
        mount.emulator.inject(Fault::new("delete", FaultKind::Slow(Duration::from_secs(1))));
        fs::remove_file(mount.at("blog/a.png")).expect("removed");
        let uploaded = links(&mount, &["--to", "blog", "a.png"]);
        mount.quiet();
        assert_eq!(uploaded, urls(&mount, &["blog/a.png"]), "the link lives");
        assert_ne!(uploaded, old);
        assert_eq!(names(&mount, "blog"), ["a.png"]);
    }
}

#[test]
fn lost_answers_and_a_busy_service_make_neither_less_nor_more() {
    let faults = [
        ("mkdir", FaultKind::LostAnswer),
        ("create", FaultKind::LostAnswer),
        ("upload_complete", FaultKind::LostAnswer),
        ("upload_complete", FaultKind::ResetAfter),
        ("list", FaultKind::Status(500)),
        ("create", FaultKind::Status(503)),
        ("detail", FaultKind::Garbage),
        ("get_upload_url", FaultKind::Status(429)),
        ("create", FaultKind::Refuse { code: 429, message: "too frequent".into() }),
    ];
    for (endpoint, kind) in faults {
        let mount = bed(|options| options.answers.instant_upload = InstantUpload::Never);
        mount.local("a.png", &png(1));
        mount.emulator.inject(Fault::new(endpoint, kind.clone()));
        let uploaded = links(&mount, &["--to", "blog/new", "a.png"]);
        assert_eq!(uploaded, urls(&mount, &["blog/new/a.png"]), "{endpoint} {kind:?}");
        assert_eq!(mount.emulator.tree().len(), 3, "{endpoint} {kind:?}");
        assert_eq!(mount.emulator.violations(), [""; 0], "{endpoint} {kind:?}");
    }
}

#[test]
fn a_service_that_refuses_is_quoted_and_nothing_is_printed() {
    let mount = bed(|_| {});
    mount.local("a.png", &png(1));
    let refusal = FaultKind::Refuse { code: 77, message: "空间不足".into() };
    mount.emulator.inject(Fault::new("create", refusal).always());
    let output = upload(&mount, &["a.png"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("a.png") && stderr.contains("空间不足"), "{stderr}");
    assert!(stderr.contains("trace ID"), "{stderr}");
}

#[test]
fn instant_upload_that_names_no_file_gives_the_link_too() {
    let mount = bed(|options| options.answers.reuse_file_id = ReuseFileId::Empty);
    mount.emulator.put("old.png", &png(1));
    mount.local("a.png", &png(1));
    assert_eq!(links(&mount, &["--to", "blog", "a.png"]), urls(&mount, &["blog/a.png"]));
}

#[test]
fn a_service_that_shows_things_late_gets_nothing_twice() {
    let mount = bed(|options| {
        options.answers.list_lag = Duration::from_secs(3);
        options.answers.detail_lags = true;
        options.answers.same_bytes = SameBytes::ReplaceOlder;
    });
    mount.local("a.png", &png(1));
    mount.local("b.png", &png(1));
    let first = links(&mount, &["--to", "blog", "a.png"]);
    assert_eq!(first, urls(&mount, &["blog/a.png"]));
    mount.emulator.change(|options| {
        options.answers.list_lag = Duration::from_secs(60);
        options.answers.detail_lags = false;
    });
    assert_eq!(links(&mount, &["--to", "blog", "b.png"]), first);
    assert_eq!(names(&mount, "blog"), ["a.png"]);
}

#[test]
fn a_link_that_does_not_come_is_an_error_that_says_where_the_picture_is() {
    let mount = bed(|_| {});
    mount.local("a.png", &png(1));
    let gone = FaultKind::Refuse { code: 5066, message: "文件不存在".into() };
    mount.emulator.inject(Fault::new("detail", gone).always());
    let output = upload(&mount, &["a.png"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    let id = mount.emulator.row("a.png").expect("it is there").id;
    assert!(text(&output.stderr).contains(&id), "{}", text(&output.stderr));
    mount.emulator.clear_faults();
    assert_eq!(links(&mount, &["a.png"]), urls(&mount, &["a.png"]));
}

#[test]
fn programs_that_upload_the_same_at_once_make_one_picture() {
    let mount = bed(|options| {
        options.answers.same_bytes = SameBytes::ReplaceOlder;
        options.answers.instant_upload = InstantUpload::Never;
        options.latency = Duration::from_millis(100);
    });
    mount.emulator.mkdir("blog");
    for number in 0..4 {
        mount.local(&format!("{number}.png"), &png(1));
        fs::create_dir(mount.dir.path().join(number.to_string())).expect("made");
        mount.local(&format!("{number}/same-name.png"), &png(number + 2));
    }
    let printed: Vec<Vec<String>> = std::thread::scope(|scope| {
        let upload = |number: i32| {
            let (mount, own) = (&mount, format!("{number}.png"));
            let named = format!("{number}/same-name.png");
            scope.spawn(move || links(mount, &["--to", "blog", &own, &named]))
        };
        let uploads: Vec<_> = (0..4).map(upload).collect();
        uploads.into_iter().map(|upload| upload.join().expect("uploaded")).collect()
    });
    assert_eq!(mount.emulator.list("blog").len(), 5, "{:?}", names(&mount, "blog"));
    let of = |index: usize| printed.iter().map(move |links| links[index].clone());
    assert!(of(0).all(|link| link == printed[0][0]), "{printed:?}");
    let mut told: Vec<_> = of(1).chain(of(0).take(1)).collect();
    let mut all: Vec<_> = mount.emulator.list("blog").into_iter().map(|row| row.url).collect();
    told.sort();
    all.sort();
    assert_eq!(told, all);
}

#[test]
fn what_moderation_rejected_is_told() {
    let mount = bed(|_| {});
    mount.local("a.png", &png(1));
    links(&mount, &["a.png"]);
    mount.emulator.set_status("a.png", 104);
    let output = upload(&mount, &["a.png"]);
    assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), urls(&mount, &["a.png"]));
    assert!(text(&output.stderr).contains("moderation"), "{}", text(&output.stderr));
}

#[test]
fn who_reads_only_the_first_lines_is_no_error() {
    let mount = bed(|_| {});
    mount.emulator.put("a.png", &png(1));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = mount.bedfs("link");
    let command = command.args(["bed:/a.png", "bed:/a.png"]).stdout(writer);
    let output = command.output().expect("bedfs runs");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), String::new()));
}
