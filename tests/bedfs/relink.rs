//! `bedfs relink`: texts follow their pictures through renames and overwrites, byte for byte, and links
//! that lead nowhere are told.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use bedfs_emulator::{Answers, Options, SelfUrl};

use crate::harness::{Mount, fast, noise, text, wait_until, xattr};
use crate::local_names::sh;
use crate::semantics::{bed, bed_with, no_violations};

fn relink(mount: &Mount, args: &[&str], files: &[&PathBuf]) -> Output {
    mount.bedfs("relink").args(args).args(files).output().expect("bedfs runs")
}

/// What `bedfs relink` says, which must succeed.
fn relinked(mount: &Mount, files: &[&PathBuf]) -> String {
    let output = relink(mount, &[], files);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

fn link(mount: &Mount, path: &str) -> String {
    wait_until("uploaded", || xattr(&mount.at(path), "state").as_deref() == Some("remote"));
    xattr(&mount.at(path), "url").expect("a link")
}

/// A mount of `a.jpg` and `b.jpg`.
fn two() -> Mount {
    bed(|bed| {
        bed.put("a.jpg", &noise(1, 3000));
        bed.put("b.jpg", &noise(2, 3000));
    })
}

/// Does each, and gives what the links of `a.jpg` were before each and after the last.
fn links_over(mount: &Mount, lines: &[(&str, &str)]) -> Vec<String> {
    let mut links = vec![link(mount, "a.jpg")];
    for (line, then) in lines {
        sh(mount, line);
        links.push(link(mount, then));
    }
    links
}

#[test]
fn a_chain_of_renames_and_overwrites_ends_at_the_newest_link() {
    let mount = two();
    mount.local("new", &noise(3, 3000));
    let links = links_over(
        &mount,
        &[
            ("mv a.jpg c.jpg", "c.jpg"),
            ("cp $S/new c.jpg", "c.jpg"),
            ("mkdir d && mv c.jpg d/e.jpg", "d/e.jpg"),
        ],
    );
    let newest = links.last().expect("a link").clone();
    let before: String = links.iter().map(|link| format!("![]({link})\r\n")).collect();
    let file = mount.local("post.md", before.as_bytes());
    for is_mounted in [true, false] {
        fs::write(&file, &before).expect("written");
        mount.emulator.forget_requests();
        let said = relinked(&mount, &[&file]);
        assert_eq!(said, format!("{}: 3 links rewritten\n", file.display()));
        assert_eq!(
            fs::read_to_string(&file).expect("read"),
            format!("![]({newest})\r\n").repeat(4)
        );
        assert_eq!(relinked(&mount, &[&file]), "", "nothing is left to do");
        let own = |request: &&bedfs_emulator::Request| request.endpoint == "cdn";
        assert_eq!(mount.emulator.requests().iter().filter(own).count(), 0);
        if is_mounted {
            mount.unmount();
        }
    }
    no_violations(&mount);
}

#[test]
fn a_picture_that_is_renamed_back_has_its_newest_link() {
    let mount = two();
    let lines = [("mv a.jpg c.jpg", "c.jpg"), ("mv c.jpg a.jpg", "a.jpg")];
    let links = links_over(&mount, &lines);
    let file = mount.local("post.html", links.join(" ").as_bytes());
    relinked(&mount, &[&file]);
    let newest = links[2].as_str();
    assert_eq!(fs::read_to_string(&file).expect("read"), [newest; 3].join(" "));
}

#[test]
fn two_pictures_that_are_swapped_keep_apart() {
    let mount = two();
    let [a, b] = ["a.jpg", "b.jpg"].map(|path| link(&mount, path));
    let file = mount.local("post.md", format!("a: {a}, b: {b}.").as_bytes());
    sh(&mount, "mv a.jpg c.jpg && mv b.jpg a.jpg && mv c.jpg b.jpg");
    let [new_a, new_b] = ["b.jpg", "a.jpg"].map(|path| link(&mount, path));
    relinked(&mount, &[&file]);
    assert_eq!(fs::read_to_string(&file).expect("read"), format!("a: {new_a}, b: {new_b}."));
    assert_eq!(mount.emulator.read("b.jpg"), Some(noise(1, 3000)), "what was a.jpg is b.jpg");
}

#[test]
fn whatever_stands_around_links_stays_byte_for_byte() {
    let answers = Answers { self_url: SelfUrl::OwnDomain, ..Answers::default() };
    let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
        bed.put("a.jpg", &noise(1, 3000));
        bed.put("b.jpg", &noise(2, 3000));
    });
    let served = xattr(&mount.at("a.jpg"), "download_url").expect("a link");
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg")]);
    let [old, new] = [links[0].clone(), links[1].clone()];
    let (_, tail) = old.split_once("//").expect("a link");
    let (_, new_tail) = new.split_once("//").expect("a link");
    let other = link(&mount, "b.jpg");
    let text = |old: &str, served: &str, tail: &str| {
        let mut text = b"\xef\xbb\xbf\xff\xfe\x00 not UTF-8 \r\n".to_vec();
        let nested = |link: &str| link.replace(':', "%3A").replace('/', "%2F");
        let lines = [
            format!("![x]({old}?w=100#top)\r\n{served}\n\n\n"),
            format!("https://{tail}-large {old}.webp {old}/x http://{tail}2"),
            format!("<img src=\"//{tail}\" srcset='{old} 1x, {old} 2x'>"),
            format!("{{\"u\":\"{}\"}}", old.replace('/', "\\/")),
            format!("https://proxy.example/?u={}&w=1 {other}", nested(old)),
        ];
        text.extend_from_slice(lines.join("\r").as_bytes());
        text
    };
    let before = text(&old, &served, tail);
    let kept = format!("https://{tail}-large {old}.webp {old}/x http://{tail}2");
    let changed = format!("https://{new_tail}-large {new}.webp {new}/x http://{new_tail}2");
    let file = mount.local("post.bin", &before);
    // The hosts of its links are among what a mount keeps of listings.
    mount.unmount();
    relinked(&mount, &[&file]);
    let after = fs::read(&file).expect("read");
    let expected = text(&new, &new, new_tail);
    let back = |bytes: &[u8]| {
        let at = bytes.windows(changed.len()).position(|part| part == changed.as_bytes());
        let at = at.expect("it is there");
        [&bytes[..at], kept.as_bytes(), &bytes[at + changed.len()..]].concat()
    };
    assert_eq!(String::from_utf8_lossy(&after), String::from_utf8_lossy(&back(&expected)));
    assert!(after == back(&expected));
}

#[test]
fn a_signed_link_takes_the_old_signature_and_leaves_other_parameters() {
    let answers = Answers { link_life: Some(Duration::from_secs(3600)), ..Answers::default() };
    let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
        bed.put("a.jpg", &noise(1, 3000));
    });
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg")]);
    let parts = links.iter().map(|link| link.split_once("?auth_key=").expect("it is signed"));
    let bases: Vec<&str> = parts.map(|(base, _)| base).collect();
    let text = |base: &str, key: &str| {
        let nested = base.replace(':', "%3A").replace('/', "%2F");
        format!(
            "({base}?{key}) {base}?w=200&{key}&h=100#x\nhttps://p.example/?u={nested}%3Fw%3D1%26{}&w=1",
            key.replace('=', "%3D")
        )
    };
    let old = text(bases[0], "auth_key=1-a-7-d") + &format!(" Is it {}?", bases[0]);
    let file = mount.local("post.md", old.as_bytes());
    relinked(&mount, &[&file]);
    let after = fs::read_to_string(&file).expect("read");
    let (_, rest) = after.split_once("?auth_key=").expect("it is signed");
    let (key, _) = rest.split_once(')').expect("its end");
    let key = format!("auth_key={key}");
    assert_eq!(after, text(bases[1], &key) + &format!(" Is it {}?{key}?", bases[1]));
    let bare = mount.local("bare.md", format!("{}?w=200&h=100", bases[0]).as_bytes());
    relinked(&mount, &[&bare]);
    let after = fs::read_to_string(&bare).expect("read");
    assert_eq!(after, format!("{}?{key}&w=200&h=100", bases[1]));
}

#[test]
fn a_file_without_a_link_that_ended_is_not_written() {
    let mount = two();
    sh(&mount, "mv a.jpg c.jpg");
    let file = mount.local("post.md", format!("{} text", link(&mount, "b.jpg")).as_bytes());
    let before = fs::metadata(&file).expect("there");
    assert_eq!(relinked(&mount, &[&file]), "");
    let after = fs::metadata(&file).expect("there");
    let print = |of: &fs::Metadata| (of.ino(), of.mtime_nsec(), of.ctime_nsec());
    assert_eq!(print(&after), print(&before));
}

#[test]
fn a_file_is_replaced_with_its_mode_and_owner_and_behind_its_symbolic_link() {
    let mount = two();
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg")]);
    let file = mount.local("post.md", links[0].as_bytes());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
    std::os::unix::fs::chown(&file, Some(1234), Some(2345)).expect("given away");
    let alias = mount.dir.path().join("alias.md");
    symlink(&file, &alias).expect("linked");
    relinked(&mount, &[&alias]);
    assert_eq!(fs::read_to_string(&file).expect("read"), links[1]);
    let after = fs::metadata(&file).expect("there");
    assert_eq!((after.mode() & 0o7777, after.uid(), after.gid()), (0o640, 1234, 2345));
    assert!(fs::symlink_metadata(&alias).expect("there").is_symlink());
}

#[test]
fn a_dry_run_shows_a_diff_that_patch_takes_and_writes_nothing() {
    let mount = two();
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg")]);
    let with = |link: &str| format!("one\ntwo\nthree\n\n![]({link})\r\nlast");
    let file = mount.local("post.md", with(&links[0]).as_bytes());
    let output = relink(&mount, &["--dry-run"], &[&file]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&file).expect("read"), with(&links[0]));
    let diff = text(&output.stdout);
    let lines: Vec<&str> = diff.split('\n').collect();
    assert!(lines[0].starts_with("--- ") && lines[1].starts_with("+++ "), "{diff}");
    assert!(diff.contains(&format!("-![]({})\r\n+![]({})\r\n", links[0], links[1])), "{diff}");
    assert!(diff.contains("\\ No newline at end of file"), "{diff}");
}

#[test]
fn one_file_that_fails_is_told_and_the_others_are_done() {
    let mount = two();
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg")]);
    let files = ["1.md", "2.md"].map(|name| mount.local(name, links[0].as_bytes()));
    let missing = mount.dir.path().join("none.md");
    let folder = mount.path.clone();
    let output = relink(&mount, &[], &[&files[0], &missing, &folder, &files[1]]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("none.md"), "{said}");
    for file in &files {
        assert_eq!(fs::read_to_string(file).expect("read"), links[1]);
    }
}

#[test]
fn a_check_tells_what_is_superseded_dead_and_never_yours() {
    let mount = bed(|bed| {
        for name in ["a.jpg", "b.jpg", "dead.jpg", "gone.jpg", "bad.jpg"] {
            bed.put(name, name.as_bytes());
        }
    });
    let [good, dead, bad] = ["b.jpg", "dead.jpg", "bad.jpg"].map(|path| link(&mount, path));
    let gone = link(&mount, "gone.jpg");
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg"), ("mv c.jpg d.jpg", "d.jpg")]);
    sh(&mount, "mv gone.jpg gone2.jpg && rm gone2.jpg");
    mount.quiet();
    mount.emulator.remove("dead.jpg");
    mount.emulator.set_status("bad.jpg", 104);
    let base = mount.emulator.base_url();
    let others = "https://vip.123pan.cn/42/xyz.jpg";
    let prefixed = good.replace(&base, &format!("{base}/pre/fix"));
    let no_picture = ["1/2/3.jpg", "health", "img/x.png"].map(|path| format!("{base}/{path}"));
    let lines = [
        format!("fine: {good} {prefixed} https://elsewhere.example/7/x.jpg"),
        format!("{} {others}", links[0]),
        format!("({dead}) <{dead}>"),
        format!("{base}/1/2/3.jpg {base}/health {base}/img/x.png {bad}"),
        format!("{gone} {}", links[2]),
    ];
    let file = mount.local("post.md", lines.join("\n").as_bytes());
    mount.emulator.forget_requests();
    let output = relink(&mount, &["--check"], &[&file]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
    let at = |line: u32, words: &str| format!("{}:{line}: {words}\n", file.display());
    let expected = [
        at(2, &format!("{} is superseded by {}", links[0], links[2])),
        at(2, &format!("{others} was never yours: it is of account 42")),
        at(3, &format!("{dead} is dead: the service has no such picture")).repeat(2),
        no_picture
            .map(|link| {
                at(4, &format!("{link} was never yours: it leads to no picture of the bed"))
            })
            .concat(),
        at(4, &format!("{bad} is rejected by moderation (status 104)")),
        at(5, &format!("{gone} is dead: the service has no such picture")),
    ];
    assert_eq!(text(&output.stdout), expected.concat());
    // `b.jpg`, what `a.jpg` became, `dead.jpg`, `health`, `bad.jpg` and what `gone.jpg` became: each once.
    assert_eq!(mount.emulator.count("detail"), 6);
    assert_eq!(mount.emulator.count("cdn"), 0, "a link that is looked at is traffic");
    assert_eq!(fs::read_to_string(&file).expect("read"), lines.join("\n"));
    let fine = mount.local("fine.md", lines[0].as_bytes());
    let output = relink(&mount, &["--check"], &[&fine]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
    no_violations(&mount);
}

/// Texts hold old and new hosts of one account side by side, and spell IDs as they like.
#[test]
fn links_are_known_on_all_hosts_of_the_account() {
    let mount = two();
    let links = links_over(&mount, &[("mv a.jpg c.jpg", "c.jpg")]);
    let [old, new] = [&links[0], &links[1]];
    let good = link(&mount, "b.jpg");
    let path = |link: &str| link.replacen(&mount.emulator.base_url(), "", 1);
    let uid = path(old).split('/').nth(1).expect("a number").to_owned();
    let hosts =
        ["vip.123pan.cn", &format!("{uid}.cdn.123clouddisk.com"), &format!("{uid}.v.123pan.cn")]
            .map(str::to_owned);
    let encoded = |link: &str| link.replace('=', "%3D").replace('+', "%2b");
    let text = |of: &dyn Fn(&str) -> String| {
        hosts.iter().map(|host| format!("![]({})\n", of(host))).collect::<String>()
    };
    let lines = [
        text(&|host| format!("https://{host}{}", path(old))),
        text(&|host| format!("http://{host}{}?w=1", encoded(&path(old)))),
        format!(
            "https://{uid}.cdn.123clouddisk.com{}\n",
            path(old).replacen(&format!("/{uid}"), "", 1)
        ),
    ];
    let file = mount.local("post.md", lines.concat().as_bytes());
    assert_eq!(relinked(&mount, &[&file]), format!("{}: 7 links rewritten\n", file.display()));
    let expected = [text(&|_| new.clone()), text(&|_| format!("{new}?w=1")), format!("{new}\n")];
    assert_eq!(fs::read_to_string(&file).expect("read"), expected.concat());

    let theirs = "https://42.cdn.123clouddisk.com/42/xyz.jpg";
    let lines = [
        text(&|host| format!("https://{host}{}", path(&good))),
        text(&|host| format!("https://{host}{}", path(old))),
        format!("{theirs} https://www.123pan.com/s/abc\n"),
    ];
    let file = mount.local("check.md", lines.concat().as_bytes());
    let output = relink(&mount, &["--check"], &[&file]);
    let superseded = (4..).zip(&hosts).map(|(line, host)| {
        format!("{}:{line}: https://{host}{} is superseded by {new}\n", file.display(), path(old))
    });
    let foreign = format!("{}:7: {theirs} was never yours: it is of account 42\n", file.display());
    assert_eq!(text_of(&output), superseded.chain([foreign]).collect::<String>());
    no_violations(&mount);
}

fn text_of(output: &Output) -> String {
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

#[test]
fn where_nothing_is_known_a_check_asks_the_bed_for_its_hosts() {
    let mount = crate::command::unmounted();
    mount.emulator.put("a.jpg", b"a");
    let url = mount.emulator.row("a.jpg").expect("the file").url;
    let file = mount.local("post.md", format!("{url} {}", url.replace(".jpg", "0.jpg")).as_bytes());
    let output = relink(&mount, &["--check"], &[&file]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 1, "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("0.jpg is dead"), "{}", text(&output.stdout));
    assert_eq!(mount.emulator.count("list"), 1);
}
