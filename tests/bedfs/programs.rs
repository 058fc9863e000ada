//! Programs that were written for a local disk: what they leave in a folder of pictures, in the mount,
//! in the bed and in a plain folder, is the same, and each changes the bed by so many calls.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bedfs_emulator::{Answers, Emulator, Formats, Options};

use crate::compare::{self, assert_same, content};
use crate::harness::{Mount, fast, noise, run, text, wait_until, xattr};
use crate::local_names::{changes, uploads};
use crate::semantics::{bed_with, names, no_violations};

const SUNRISE: &[u8] = include_bytes!("../../assets/sunrise.png");
const WAVES: &[u8] = include_bytes!("../../assets/waves.png");

const DRAWING: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60">
<rect width="90" height="60" fill="#fed"/><circle cx="45" cy="30" r="20" fill="#06c"/></svg>"##;

/// A program, and how often it creates, makes folders, moves, deletes, sends and completes.
type Priced<'a> = (&'a str, [usize; 6]);

/// A bed with pictures, mounted, and a plain folder of the same.
fn both(args: &[&str]) -> Mount {
    both_of(Formats::Any, args)
}

/// The same, of a service that takes these.
fn both_of(formats: Formats, args: &[&str]) -> Mount {
    let answers = Answers { formats, ..Answers::default() };
    let fill = |bed: &Emulator| {
        bed.put("sunrise.png", SUNRISE);
        bed.put("sub/waves.png", WAVES);
    };
    let mount = bed_with(Options { answers, ..fast() }, args, fill);
    compare_with(&mount);
    mount
}

/// Makes the plain folder, and what programs bring: `new/`, also as `new.tar` and `new.zip`.
fn compare_with(mount: &Mount) {
    let beside = |path: &str| mount.dir.path().join(path);
    fs::create_dir_all(beside("plain/sub")).expect("a folder");
    fs::write(beside("plain/sunrise.png"), SUNRISE).expect("written");
    fs::write(beside("plain/sub/waves.png"), WAVES).expect("written");
    fs::create_dir_all(beside("new/sub")).expect("a folder");
    fs::write(beside("new/a.jpg"), noise(1, 70_000)).expect("written");
    fs::write(beside("new/sub/图 b.png"), noise(2, 3000)).expect("written");
    fs::write(beside("drawing.svg"), DRAWING).expect("written");
    line(mount, &beside("new"), "tar -cf ../new.tar . && python3 -m zipfile -c ../new.zip .");
}

/// Runs a line of shell in a folder. `$S` is what lies beside the mount.
fn line(mount: &Mount, folder: &Path, line: &str) -> String {
    let shell = Command::new("sh")
        .args(["-ec", line])
        .env("S", mount.dir.path())
        .env("HOME", mount.dir.path())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    assert!(shell.status.success(), "{line}: {}", text(&shell.stderr));
    text(&shell.stdout)
}

/// Runs a program in the mount and in the plain folder, and compares what it says and leaves.
fn same(mount: &Mount, (program, price): Priced<'_>) {
    let plain = mount.dir.path().join("plain");
    let said = line(mount, &plain, program);
    assert_eq!(line(mount, &mount.path, program), said, "{program}");
    mount.quiet();
    let wanted = content(&plain);
    assert_same(&content(&mount.path), &wanted, program);
    // What a program keeps of the old version under a name of its own is no picture of the bed.
    let mut public = wanted;
    public.retain(|path, _| !path.ends_with("_original") && !path.ends_with(".bak"));
    assert_same(&compare::bed(&mount.emulator), &public, program);
    assert_eq!(changes(mount), price, "{program}");
    no_violations(mount);
}

#[test]
fn copies_and_archives_leave_what_they_leave_in_a_folder() {
    let into_folders = [2, 2, 0, 0, 2, 2];
    let contents = "find . -type f -printf '%P %s %y\n' | sort; du -cb */*.png | tail -n 1";
    let archive = "tar --sort=name --mtime=@0 --owner=0 --group=0 --mode=644 -cf - *.png sub/*.png";
    for priced in [
        ("cp -a $S/new copied", into_folders),
        ("mkdir tar && tar -xf $S/new.tar -C tar", into_folders),
        ("unzip -q $S/new.zip -d zip", into_folders),
        (&format!("{archive} | md5sum"), [0; 6]),
        (contents, [0; 6]),
        ("cp --reflink=auto $S/new/a.jpg sub/", uploads(1)),
        ("dd if=$S/new/a.jpg of=a.jpg bs=1k conv=fsync status=none", uploads(1)),
        ("gio copy $S/new/a.jpg sub/", uploads(1)),
        // Known bytes in a new place: nothing is sent.
        ("cp -a sub/waves.png .", [1, 0, 0, 0, 0, 0]),
    ] {
        same(&both_of(Formats::PicturesOnly, &[]), priced);
    }
}

#[test]
fn editors_of_pictures_replace_each_once() {
    // A new version goes into a scratch folder, takes the place of the old one, and that one is deleted.
    let in_place = [1, 1, 1, 1, 1, 1];
    let pillow = "/usr/bin/python3 -c 'from PIL import Image
image = Image.open(\"sunrise.png\")
image.rotate(90).save(\"sunrise.png\")'";
    // The same after a first copy, and where the old version is taken aside instead.
    let (svg, svg_kept) = ([2, 1, 1, 1, 2, 2], [2, 1, 1, 0, 2, 2]);
    for priced in [
        ("mogrify -strip -define png:exclude-chunks=date,time -resize 50% sunrise.png", in_place),
        ("exiftool -q -overwrite_original -Artist=me sunrise.png", in_place),
        (pillow, in_place),
        (
            "dd if=$S/new/a.jpg of=sunrise.png bs=1k conv=notrunc,fsync oflag=append status=none",
            in_place,
        ),
        // It keeps the old version under another name, which stays here.
        ("exiftool -q -Artist=me sunrise.png", [1, 1, 1, 0, 1, 1]),
        ("cp $S/drawing.svg . && chmod 640 drawing.svg && sed -i s/06c/c60/ drawing.svg", svg),
        ("cp $S/drawing.svg . && sed -i.bak s/06c/c60/ drawing.svg", svg_kept),
        ("cp $S/drawing.svg . && printf '<svg/>' | gio save drawing.svg", svg),
    ] {
        for formats in [Formats::Any, Formats::PicturesOnly] {
            same(&both_of(formats, &[]), priced);
        }
    }
}

#[test]
#[ignore = "a large program of others: scripts/test --all"]
fn inkscape_draws_and_replaces_a_picture_once() {
    for priced in [
        ("inkscape -o drawn.png $S/drawing.svg 2>/dev/null", uploads(1)),
        ("inkscape -o sunrise.png $S/drawing.svg 2>/dev/null", [1; 6]),
    ] {
        same(&both_of(Formats::PicturesOnly, &[]), priced);
    }
}

#[test]
fn git_clones_commits_and_collects_garbage() {
    let commit = "git -c user.name=a -c user.email=a@b.c commit -qm";
    let origin = format!("git init -q -b main && git add . && {commit} one");
    let work = format!(
        "git clone -q $S/new g && cd g && cp $S/plain/sunrise.png . && git add . && {commit} two \
         && git gc -q && git fsck && git status --short && git log --format=%s"
    );
    for (args, price) in [
        (&["--local-names", ".git"][..], Some([3, 2, 0, 0, 2, 2])),
        (&["--upload", "background"][..], None),
    ] {
        let mount = both(args);
        line(&mount, &mount.dir.path().join("new"), &origin);
        assert_eq!(line(&mount, &mount.path, &work), "two\none\n", "{args:?}");
        mount.quiet();
        if let Some(price) = price {
            assert_eq!(changes(&mount), price, "only pictures go to the service");
        }
        mount.remount(args);
        let said = line(&mount, &mount.path, "cd g && git fsck && git log --format=%s");
        assert_eq!(said, "two\none\n", "{args:?}, mounted again");
        no_violations(&mount);
    }
}

#[test]
fn sqlite_works_with_a_journal_and_with_a_log() {
    let make = |mode: &str| {
        format!(
            "sqlite3 p.db 'pragma journal_mode = {mode}; create table t (a); \
             insert into t values (1); insert into t values (2);'"
        )
    };
    let look = "sqlite3 p.db 'select sum(a) from t; pragma integrity_check;'";
    for mode in ["delete", "wal"] {
        for args in [&["--local-names", "*.db,*.db-*"][..], &[]] {
            let mount = both(args);
            assert_eq!(line(&mount, &mount.path, &make(mode)), format!("{mode}\n"));
            assert_eq!(line(&mount, &mount.path, look), "3\nok\n", "{mode} {args:?}");
            if !args.is_empty() {
                assert_eq!(changes(&mount), [0; 6], "what stays here costs no call");
            }
            mount.remount(args);
            assert_eq!(names(&mount.path), ["p.db", "sub", "sunrise.png"], "{mode} {args:?}");
            assert_eq!(
                line(&mount, &mount.path, look),
                "3\nok\n",
                "{mode} {args:?}, mounted again"
            );
            no_violations(&mount);
        }
    }
}

#[test]
fn a_watcher_sees_what_programs_do() {
    let mount = both(&[]);
    let events = mount.dir.path().join("events");
    let watch = format!(
        "inotifywait -q -m -e create,close_write,moved_to,delete --format '%e %f' . >{} &
         watcher=$!; sleep 1
         cp $S/new/a.jpg . && mv a.jpg b.jpg && rm b.jpg
         sleep 0.5; kill $watcher",
        events.display()
    );
    line(&mount, &mount.path, &watch);
    let seen = fs::read_to_string(events).expect("events");
    assert_eq!(
        seen.lines().collect::<Vec<_>>(),
        ["CREATE a.jpg", "CLOSE_WRITE,CLOSE a.jpg", "MOVED_TO b.jpg", "DELETE b.jpg"]
    );
}

#[test]
fn a_file_managers_trash_keeps_the_picture_and_its_link() {
    let mount = both(&[]);
    let id = xattr(&mount.at("sub/waves.png"), "id").expect("an ID");
    line(&mount, &mount.path, "gio trash sub/waves.png");
    assert_eq!(names(&mount.at("sub")), [""; 0]);
    let trashed = run("find", [mount.path.as_os_str(), "-name".as_ref(), "waves.png".as_ref()]);
    assert_eq!(fs::read(trashed.trim_end()).expect("the picture in the trash"), WAVES);
    // Aside, in a folder of its own.
    assert_eq!(changes(&mount), [0, 1, 1, 0, 0, 0]);
    run("mv", [trashed.trim_end().as_ref(), mount.at("sub/waves.png").as_os_str()]);
    assert_eq!(xattr(&mount.at("sub/waves.png"), "id"), Some(id));
    no_violations(&mount);
}

#[test]
fn ten_writers_at_once_lose_nothing() {
    let mount = both(&["--upload", "background"]);
    let beside =
        "for i in 0 1 2 3 4 5 6 7 8 9; do cat $S/new/a.jpg - >w$i.png <<END &\n$i\nEND\ndone; wait";
    let appended = "for i in 0 1 2 3 4 5 6 7 8 9; do
        (for j in 1 2 3 4 5; do echo $i-$j >>log.txt; done) & done; wait; sort -u log.txt | wc -l";
    let counted = "echo 0 >n.txt; for i in 0 1 2 3 4 5 6 7 8 9; do
        (for j in 1 2 3; do flock n.txt sh -c 'read n <n.txt; echo $((n + 1)) >n.txt'; done) &
        done; wait; cat n.txt";
    for folder in [&mount.path, &mount.dir.path().join("plain")] {
        line(&mount, folder, beside);
        assert_eq!(line(&mount, folder, appended), "50\n");
        assert_eq!(line(&mount, folder, counted), "30\n");
        // Their order is the scheduler's.
        line(&mount, folder, "sort -o log.sorted log.txt && rm log.txt");
    }
    mount.quiet();
    let wanted = content(&mount.dir.path().join("plain"));
    assert_same(&content(&mount.path), &wanted, "the mount");
    assert_same(&compare::bed(&mount.emulator), &wanted, "the bed");
    no_violations(&mount);
}

#[test]
fn five_thousand_files_go_into_one_folder_at_four_calls_each() {
    const COUNT: usize = 5000;
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    // In memory: what is measured is calls, and 10,000 syncs of a disk take long.
    let dir = tempfile::tempdir_in("/dev/shm").expect("a temporary folder");
    // However slow the machine is, nothing is listed again.
    let mount = Mount::in_dir(emulator, dir, &["--upload", "background", "--dir-ttl", "3600"]);
    let beside = mount.dir.path().join("beside");
    let many = beside.join("many");
    fs::create_dir_all(&many).expect("a folder");
    for number in 0..COUNT {
        fs::write(many.join(format!("{number:04}.jpg")), format!("of {number}")).expect("written");
    }
    run("cp", ["-r".as_ref(), many.as_os_str(), mount.path.as_os_str()]);
    wait_for_uploads(&mount);
    let [created, made, moved, deleted, sent, completed] = changes(&mount);
    assert_eq!([created, made, moved, deleted, sent, completed], [COUNT, 1, 0, 0, COUNT, COUNT]);
    assert_eq!(mount.emulator.count("get_upload_url"), COUNT);
    let lists = mount.emulator.count("list");
    assert!(lists <= 5, "{lists} listings");
    mount.emulator.forget_requests();
    assert_eq!(names(&mount.at("many")).len(), COUNT);
    run("ls", ["-l".as_ref(), mount.at("many").as_os_str()]);
    assert_eq!(["list", "detail"].map(|endpoint| mount.emulator.count(endpoint)), [0, 0]);
    assert_same(&compare::bed(&mount.emulator), &content(&beside), "the bed");
    no_violations(&mount);
}

/// Waits until nothing is pending, for as long as that becomes less.
fn wait_for_uploads(mount: &Mount) {
    let pending = || {
        let status = fs::read(mount.at(".bedfs/status.json")).expect("the status");
        let status: serde_json::Value = serde_json::from_slice(&status).expect("JSON");
        status["pending"].as_u64().expect("a number")
    };
    let mut left = pending();
    while left > 0 {
        wait_until("less is pending", || pending() < left);
        left = pending();
    }
}
