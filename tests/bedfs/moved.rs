//! `.bedfs/moved.csv`: every link that took the place of another, with both of them, path and time;
//! and what keeps its link, of which nothing is recorded.

use std::fs;

use bedfs_emulator::{Answers, Fault, FaultKind, MoveFolder, Options};

use crate::harness::{Mount, attempt, fast, noise, text, wait_until, xattr};
use crate::local_names::sh;
use crate::semantics::{bed, bed_with, names, no_violations, python};

/// One row: old link, new link, path.
type Row = (String, String, String);

/// What is recorded, as Python's reader of CSV understands it. Each time must be one of now.
fn moved(mount: &Mount) -> Vec<Row> {
    let script = "
import csv, datetime, json, sys
with open(sys.argv[1], newline='', encoding='utf-8') as file:
    rows = list(csv.reader(file))
assert rows[0] == ['old_link', 'new_link', 'path', 'time'], rows[0]
now = datetime.datetime.now(datetime.timezone.utc)
for row in rows[1:]:
    time = datetime.datetime.fromisoformat(row[3].replace('Z', '+00:00'))
    assert time.tzinfo and abs((now - time).total_seconds()) < 600, row
print(json.dumps([row[:3] for row in rows[1:]]))
";
    let told = python(script, &[&mount.at(".bedfs/moved.csv")]);
    serde_json::from_str(&told).expect("JSON")
}

fn link(mount: &Mount, path: &str) -> String {
    xattr(&mount.at(path), "url").expect("a link")
}

/// Does it, which must change the link of `from`, and gives the row that it should have made.
fn relinked(mount: &Mount, from: &str, to: &str, line: &str) -> Row {
    let old = link(mount, from);
    sh(mount, line);
    wait_until("uploaded", || xattr(&mount.at(to), "state").as_deref() == Some("remote"));
    let new = link(mount, to);
    assert_ne!(old, new, "{line}");
    (old, new, to.to_owned())
}

#[test]
fn an_overwrite_and_a_rename_are_recorded_with_both_links() {
    let mount = bed(|bed| {
        bed.put("d/a.jpg", &noise(1, 3000));
        bed.put("b.jpg", &noise(2, 3000));
        bed.put("c.jpg", &noise(3, 3000));
    });
    assert_eq!(moved(&mount), []);
    mount.local("new", &noise(4, 3000));
    let mut rows = vec![
        relinked(&mount, "d/a.jpg", "d/a.jpg", "cp $S/new d/a.jpg"),
        relinked(&mount, "d/a.jpg", "d/a.jpg", "printf more >> d/a.jpg"),
        relinked(&mount, "d/a.jpg", "d/a.jpg", "truncate -s 100 d/a.jpg"),
        relinked(
            &mount,
            "d/a.jpg",
            "d/a.jpg",
            "cp $S/new .a.jpg.Xk29aB && mv .a.jpg.Xk29aB d/a.jpg",
        ),
        relinked(&mount, "d/a.jpg", "d/e.jpg", "mv d/a.jpg d/e.jpg"),
        relinked(&mount, "d/e.jpg", "f.jpg", "mv d/e.jpg f.jpg"),
    ];
    assert_eq!(moved(&mount), rows);
    // Both links die where a name is taken from another.
    let over = link(&mount, "c.jpg");
    rows.push(relinked(&mount, "b.jpg", "c.jpg", "mv -f b.jpg c.jpg"));
    rows.push((over, link(&mount, "c.jpg"), "c.jpg".to_owned()));
    assert_eq!(moved(&mount), rows);
    mount.remount(&[]);
    assert_eq!(moved(&mount), rows);
    mount.crash(&[]);
    assert_eq!(moved(&mount), rows);
    no_violations(&mount);
}

#[test]
fn an_editors_save_that_renames_the_old_version_away_is_recorded() {
    let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 3000))));
    mount.local("new", &noise(2, 3000));
    let save = "mv a.jpg a.jpg~ && cp $S/new a.jpg && rm a.jpg~";
    let row = relinked(&mount, "a.jpg", "a.jpg", save);
    assert_eq!(moved(&mount), [row]);
    no_violations(&mount);
}

#[test]
fn what_is_replaced_while_somebody_reads_it_is_recorded() {
    for line in [
        "cp $S/new a.jpg",
        "cp $S/new .a.jpg.Xk29aB && mv .a.jpg.Xk29aB a.jpg",
        "cp $S/new .goutputstream-AB12CD && mv .goutputstream-AB12CD a.jpg",
    ] {
        for args in [&["--upload", "close"][..], &["--upload", "background"]] {
            let mount = bed_with(fast(), args, |bed| drop(bed.put("a.jpg", &noise(1, 3000))));
            mount.local("new", &noise(2, 3000));
            let reader = fs::File::open(mount.at("a.jpg")).expect("opened");
            let row = relinked(&mount, "a.jpg", "a.jpg", line);
            drop(reader);
            mount.quiet();
            assert_eq!(moved(&mount), [row], "{args:?}: {line}");
            no_violations(&mount);
        }
    }
}

#[test]
fn the_record_tells_the_path_from_the_beds_root() {
    let mount = bed_with(fast(), &["--root", "blog/2024"], |bed| {
        bed.put("blog/2024/d/a.jpg", b"a");
    });
    let (old, new, _) = relinked(&mount, "d/a.jpg", "d/b.jpg", "mv d/a.jpg d/b.jpg");
    assert_eq!(moved(&mount), [(old, new, "blog/2024/d/b.jpg".to_owned())]);
    no_violations(&mount);
}

#[test]
fn names_with_commas_quotes_and_newlines_come_out_as_they_are() {
    let mount = bed(|bed| {
        bed.mkdir_raw("", "say \"x\",\n");
        bed.put_raw("say \"x\",\n", "a.jpg", b"quoted");
    });
    let strange = ["a,b.jpg", "it's.jpg", "new\nline.jpg", "图.jpg", " ", "=1+1", "a;b\t.jpg"];
    let mut rows = Vec::new();
    for name in strange {
        fs::write(mount.at("plain.jpg"), noise(1, 2000)).expect("written");
        let old = link(&mount, "plain.jpg");
        fs::rename(mount.at("plain.jpg"), mount.at(name)).expect("renamed");
        // What a spreadsheet would compute has an apostrophe before it.
        let told = if name.starts_with('=') { format!("'{name}") } else { name.to_owned() };
        rows.push((old, link(&mount, name), told));
    }
    // The service allows nobody to give a quote, but others may have: it shows as `:22`.
    let shown = fs::read_dir(&mount.path).expect("listed").map(|entry| entry.expect("listed"));
    let shown = shown.map(|entry| entry.file_name()).find(|name| {
        let name = name.to_string_lossy();
        name.starts_with("say ")
    });
    let folder = shown.expect("the folder").into_string().expect("UTF-8");
    let path = |name: &str| format!("{folder}/{name}");
    let old = link(&mount, &path("a.jpg"));
    fs::rename(mount.at(path("a.jpg")), mount.at(path("b.jpg"))).expect("renamed");
    rows.push((old, link(&mount, &path("b.jpg")), path("b.jpg")));
    assert_eq!(moved(&mount), rows);
    mount.remount(&[]);
    assert_eq!(moved(&mount), rows);
}

#[test]
fn what_keeps_its_link_is_not_recorded() {
    for move_folder in [MoveFolder::Works, MoveFolder::Refused] {
        let answers = Answers { move_folder, ..Answers::default() };
        let mount = bed_with(Options { answers, ..fast() }, &[], |bed| {
            bed.put("d/a.jpg", &noise(1, 3000));
            bed.put("d/sub/b.jpg", &noise(2, 3000));
            bed.mkdir("e");
        });
        mount.local("same", &noise(1, 3000));
        mount.local("new", &noise(3, 3000));
        let before = [link(&mount, "d/a.jpg"), link(&mount, "d/sub/b.jpg")];
        for line in [
            "mv d/a.jpg e/",
            "mv e/a.jpg .",
            "mv a.jpg d/",
            "mv d f",
            "mv f e/",
            "mv e/f d",
            "cp $S/same d/a.jpg",
            "chmod 600 d/a.jpg && touch d/a.jpg",
            "mv d/a.jpg d/a.jpg~ && mv d/a.jpg~ d/a.jpg",
            "cp $S/new new.jpg && rm new.jpg",
            "cp d/a.jpg copy.jpg",
        ] {
            sh(&mount, line);
            mount.quiet();
            let now = ["a.jpg", "sub/b.jpg"].map(|path| find(&mount, path));
            assert_eq!(now, before, "{move_folder:?}: {line}");
            assert_eq!(moved(&mount), [], "{move_folder:?}: {line}");
        }
        no_violations(&mount);
    }
}

/// The link of a file, wherever its folder was moved.
fn find(mount: &Mount, path: &str) -> String {
    let folders = ["d", "e", "f", "e/f", ""];
    let place = folders.iter().map(|folder| mount.at(folder).join(path)).find(|path| path.exists());
    xattr(&place.expect("it is somewhere"), "url").expect("a link")
}

#[test]
fn a_kill_right_after_the_command_loses_no_record() {
    for line in [
        "cp $S/new a.jpg",
        "mv a.jpg b.jpg",
        "mv -f c.jpg a.jpg",
        "cp $S/new .a.jpg.Xk29aB && mv .a.jpg.Xk29aB a.jpg",
    ] {
        let mount = bed(|bed| {
            bed.put("a.jpg", &noise(1, 3000));
            bed.put("c.jpg", &noise(2, 3000));
        });
        mount.local("new", &noise(3, 3000));
        let old = link(&mount, "a.jpg");
        names(&mount.path);
        sh(&mount, line);
        mount.crash(&[]);
        mount.quiet();
        let name = if line.contains("b.jpg") { "b.jpg" } else { "a.jpg" };
        let row = mount.emulator.row(name).expect("the file");
        // Its link may have to be asked for first.
        wait_until("the record is whole", || {
            moved(&mount).contains(&(old.clone(), row.url.clone(), name.to_owned()))
        });
        no_violations(&mount);
    }
}

#[test]
fn a_replacement_that_a_kill_cut_off_is_recorded_once_it_is_done() {
    for endpoint in ["delete", "move"] {
        let mount = bed(|bed| drop(bed.put("a.jpg", &noise(1, 3000))));
        let new = mount.local("new", &noise(2, 3000));
        let old = link(&mount, "a.jpg");
        mount.emulator.inject(Fault::new(endpoint, FaultKind::HangAfter).always());
        std::thread::scope(|scope| {
            let copy = scope.spawn(|| attempt("cp", [&new, &mount.at("a.jpg")]));
            wait_until("cut off", || mount.emulator.count(endpoint) > 0);
            mount.emulator.clear_faults();
            mount.crash(&[]);
            copy.join().expect("cp ends");
        });
        mount.quiet();
        let row = mount.emulator.row("a.jpg").expect("the file");
        assert!(mount.emulator.read("a.jpg") == Some(noise(2, 3000)), "{endpoint}");
        assert_eq!(moved(&mount), [(old, row.url, "a.jpg".to_owned())], "{endpoint}");
        no_violations(&mount);
    }
}

#[test]
fn a_link_that_nobody_asked_for_is_known_before_it_ends() {
    let mount = Mount::new();
    for (from, to) in [("a.jpg", "b.jpg"), ("c.jpg", "c.jpg")] {
        fs::write(mount.at(from), noise(1, 3000)).expect("written");
        let old = mount.emulator.row(from).expect("uploaded").id;
        match from == to {
            true => fs::write(mount.at(to), noise(2, 3000)).expect("written"),
            false => fs::rename(mount.at(from), mount.at(to)).expect("renamed"),
        }
        let rows = moved(&mount);
        let (ended, _, path) = rows.last().expect("a row");
        assert!(ended.contains(old.as_str()) && path == to, "{old:?}: {rows:?}");
        // A text may have it from elsewhere.
        let post = mount.local("post.md", format!("![]({ended})").as_bytes());
        let told = mount.bedfs("relink").arg(&post).output().expect("bedfs runs");
        assert!(told.status.success(), "{}", text(&told.stderr));
        let text = fs::read_to_string(&post).expect("readable");
        assert_eq!(text, format!("![]({})", link(&mount, to)));
    }
    // What a program saves under a name of its own never had a link.
    let rows = moved(&mount).len();
    sh(&mount, "for t in sedAb3dE9 d.jpg.QGYOP0 d.jpg.new; do echo $t > $t && mv $t d.jpg; done");
    let told = moved(&mount);
    assert_eq!(told.len(), rows + 2, "each save ends the link of the one before: {told:?}");
    assert!(told.iter().all(|(old, new, _)| !old.is_empty() && !new.is_empty()), "{told:?}");
    no_violations(&mount);
}
