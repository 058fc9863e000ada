//! Downloads that are cut, stalled, corrupted or swapped: whoever reads a picture to its end has its
//! bytes or an error, and nothing wrong is ever published.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use bedfs_emulator::{
    Answers, Fault, FaultKind, InstantUpload, Options, RangeAnswer, Redirect, Validator,
};

use crate::bench::all_at_once;
use crate::harness::{Mount, attempt, fast, noise, text, wait_until, xattr};
use crate::semantics::{bed_with, errno, no_violations, open_rw, refresh};

const BLOCK: usize = 128 << 10;
const MIB: usize = 1 << 20;

/// Programs that read all of `$0` into `$1`, each in another way.
const PROGRAMS: &[&str] = &[
    "cat \"$0\" > \"$1\"",
    "cp \"$0\" \"$1\"",
    "dd if=\"$0\" of=\"$1\" bs=64k status=none",
    "dd if=\"$0\" of=\"$1\" bs=1000 status=none",
    "python3 -c 'import mmap, sys
file = open(sys.argv[1], \"rb\")
open(sys.argv[2], \"wb\").write(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))' \"$0\" \"$1\"",
];

fn sh(script: &str, paths: &[&Path]) -> Output {
    let mut args = vec!["-c".as_ref(), script.as_ref()];
    args.extend(paths.iter().map(|path| path.as_os_str()));
    attempt("sh", args)
}

/// What a program makes of a picture; `None` if it fails.
fn copied(mount: &Mount, program: &str, name: &str) -> Option<Vec<u8>> {
    let copy = mount.dir.path().join("copy");
    let output = sh(program, &[&mount.at(name), &copy]);
    output.status.success().then(|| fs::read(&copy).expect("a copy"))
}

/// The picture is read right as soon as those are gone who had it open when it was wrong. Until
/// then it is not read at all.
fn reads_right(mount: &Mount, program: &str, bytes: &[u8]) {
    wait_until("the picture is read", || match copied(mount, program, "a.jpg") {
        Some(read) if read == bytes => true,
        Some(_) => panic!("wrong bytes were read: {program}"),
        None => false,
    });
}

fn corrupt(mount: &Mount) {
    for endpoint in ["cdn", "cdn2"] {
        mount.emulator.inject(Fault::new(endpoint, FaultKind::Corrupt).always());
    }
}

/// The ways in which a link may serve.
fn ways() -> Vec<Answers> {
    let answers = Answers::default;
    vec![
        answers(),
        Answers { range: RangeAnswer::Ignore, ..answers() },
        Answers { redirect: Redirect::OtherHost, ..answers() },
        Answers { validator: Validator::Content, ..answers() },
        Answers { validator: Validator::EachAnswer, ..answers() },
    ]
}

/// A mount of a bed with one picture, `a.jpg`.
fn picture(answers: Answers, bytes: &[u8]) -> Mount {
    bed_with(Options { answers, ..fast() }, &[], |bed| drop(bed.put("a.jpg", bytes)))
}

/// `bytes` with one of them another.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// The bytes in the bed are the old ones, whatever the link served.
fn in_bed(mount: &Mount, name: &str) -> Vec<u8> {
    mount.emulator.read(name).expect("the picture is there")
}

#[test]
fn nobody_reads_a_corrupted_picture_to_its_end() {
    all_at_once(ways(), |answers| {
        for size in [1, 5000, BLOCK, BLOCK + 1, MIB + 5, 9 * MIB] {
            let bytes = noise(size as u64, size);
            let mount = picture(answers.clone(), &bytes);
            for program in PROGRAMS {
                corrupt(&mount);
                let before = mount.emulator.total_traffic();
                assert_eq!(copied(&mount, program, "a.jpg"), None, "{size}: {program}");
                // A picture of one block is fetched twice at a time.
                let most = if size <= BLOCK { 2 * size } else { size + size / 2 + 2 * MIB };
                let paid = mount.emulator.total_traffic() - before;
                let whole = answers.range == RangeAnswer::Ignore;
                assert!(whole || paid <= most as u64, "{size}: {program}: {paid} bytes");
                mount.emulator.clear_faults();
                reads_right(&mount, program, &bytes);
                // What is here by now must not help the next program.
                let other = noise(size as u64 + 1, size);
                mount.emulator.put("a.jpg", &other);
                mount.emulator.put("a.jpg", &bytes);
                refresh(&mount.path);
            }
            no_violations(&mount);
        }
    });
}

#[test]
fn many_readers_at_once_have_the_bytes_or_an_error() {
    let bytes = noise(17, 6 * MIB);
    all_at_once(["1M", "32M"], |cache| {
        let options = ["--cache-size", cache];
        let mount = bed_with(fast(), &options, |bed| drop(bed.put("a.jpg", &bytes)));
        let path = mount.at("a.jpg");
        for is_corrupt in [true, false] {
            if is_corrupt {
                corrupt(&mount);
            }
            all_at_once(0..6, |_| {
                let read = attempt("cat", [&path]);
                assert_eq!(read.status.success(), !is_corrupt, "{cache}");
                assert!(is_corrupt || read.stdout == bytes, "{cache}: other bytes");
            });
            mount.emulator.clear_faults();
            reads_right(&mount, PROGRAMS[0], &bytes);
        }
        no_violations(&mount);
    });
}

#[test]
fn one_wrong_byte_anywhere_is_enough() {
    let bytes = noise(1, 5 * MIB + 7);
    all_at_once([0, BLOCK, 4 * MIB - 1, 4 * MIB, 5 * MIB + 6], |at| {
        let mount = picture(Answers::default(), &bytes);
        let id = mount.emulator.row("a.jpg").expect("the picture").id;
        mount.emulator.replace_content(&id, &flipped(&bytes, at));
        let error = fs::read(mount.at("a.jpg")).expect_err("an error");
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "byte {at}");
        let log = mount.log();
        assert!(log.contains("a.jpg") && log.contains("the listing says"), "{log}");
        mount.emulator.replace_content(&id, &bytes);
        reads_right(&mount, PROGRAMS[0], &bytes);
        no_violations(&mount);
    });
}

#[test]
fn corruption_that_passes_is_not_noticed_in_a_small_picture() {
    let bytes = noise(2, BLOCK);
    let mount = picture(Answers::default(), &bytes);
    mount.emulator.inject(Fault::new("cdn", FaultKind::Corrupt));
    assert!(fs::read(mount.at("a.jpg")).expect("readable") == bytes);
    assert_eq!(mount.emulator.count("cdn"), 2);
    no_violations(&mount);
}

#[test]
fn a_look_at_wrong_bytes_spoils_no_later_reading() {
    let looks = [
        "head -c 4096 \"$0\"",
        "tail -c 4096 \"$0\"",
        "dd if=\"$0\" bs=64k skip=40 count=1",
        "dd if=\"$0\" bs=64k skip=60 count=1; head -c 300000 \"$0\"",
        "head -c 300000 \"$0\"; tail -c 300000 \"$0\"",
    ];
    all_at_once(looks, |look| {
        let bytes = noise(3, 6 * MIB + 1);
        let mount = picture(Answers::default(), &bytes);
        let path = mount.at("a.jpg");
        corrupt(&mount);
        assert!(sh(&format!("({look}) > /dev/null"), &[&path]).status.success(), "{look}");
        mount.emulator.clear_faults();
        // What the look brought may still be found wrong, but not be taken for good.
        reads_right(&mount, PROGRAMS[0], &bytes);
        assert!(fs::read(&path).expect("readable") == bytes, "{look}");
        no_violations(&mount);
    });
}

#[test]
fn a_picture_swapped_while_it_is_read_is_an_error() {
    all_at_once([Validator::None, Validator::Content], |validator| {
        let bytes = noise(4, 12 * MIB);
        let mount = picture(Answers { validator, ..Answers::default() }, &bytes);
        let id = mount.emulator.row("a.jpg").expect("the picture").id;
        let file = File::open(mount.at("a.jpg")).expect("opens");
        let mut part = vec![0; MIB];
        file.read_exact_at(&mut part, 0).expect("the old content");
        mount.emulator.replace_content(&id, &noise(5, 12 * MIB));
        let rest = (1..12).try_for_each(|at| file.read_exact_at(&mut part, (at * MIB) as u64));
        assert_eq!(errno(rest), libc::EIO, "{validator:?}");
        // Neither does the same descriptor get on.
        assert_eq!(errno(file.read_exact_at(&mut part, 11 * MIB as u64)), libc::EIO);
        assert_eq!(errno(fs::read(mount.at("a.jpg"))), libc::EIO, "it is not that of the listing");
        mount.emulator.replace_content(&id, &bytes);
        // Whoever has the wrong half must not get the other one beside it.
        assert_eq!(errno(fs::read(mount.at("a.jpg"))), libc::EIO, "{validator:?}");
        drop(file);
        reads_right(&mount, PROGRAMS[0], &bytes);
        no_violations(&mount);
    });
}

#[test]
fn parts_of_two_versions_are_not_mixed() {
    let (old, new) = (noise(6, 12 * MIB), noise(7, 12 * MIB));
    let mount = picture(Answers { validator: Validator::Content, ..Answers::default() }, &old);
    let id = mount.emulator.row("a.jpg").expect("the picture").id;
    let mut part = vec![0; 4096];
    let file = File::open(mount.at("a.jpg")).expect("opens");
    file.read_exact_at(&mut part, 5 * MIB as u64).expect("the old content");
    mount.emulator.replace_content(&id, &new);
    assert_eq!(errno(file.read_exact_at(&mut part, 9 * MIB as u64)), libc::EIO);
    assert_eq!(errno(file.read_exact_at(&mut part, 2 * MIB as u64)), libc::EIO);
    drop(file);
    for at in [5 * MIB, 9 * MIB] {
        wait_until("the new content", || {
            let file = File::open(mount.at("a.jpg")).expect("opens");
            file.read_exact_at(&mut part, at as u64).is_ok()
        });
        assert!(part == new[at..at + 4096], "at {at}");
    }
    no_violations(&mount);
}

#[test]
fn another_tag_with_every_answer_costs_nothing() {
    let bytes = noise(8, 12 * MIB);
    let mount = picture(Answers { validator: Validator::EachAnswer, ..Answers::default() }, &bytes);
    assert!(fs::read(mount.at("a.jpg")).expect("readable") == bytes);
    assert!(mount.emulator.count("cdn") > 1, "it takes several flights");
    assert_eq!(mount.emulator.total_traffic(), bytes.len() as u64);
    no_violations(&mount);
}

#[test]
fn a_link_that_serves_another_length_is_an_error_until_it_is_right_again() {
    let bytes = noise(9, 3 * MIB);
    all_at_once(ways(), |answers| {
        let mount = picture(answers, &bytes);
        let id = mount.emulator.row("a.jpg").expect("the picture").id;
        for size in [1, bytes.len() - 1, bytes.len() + 1] {
            mount.emulator.replace_content(&id, &noise(10, size));
            assert_eq!(errno(fs::read(mount.at("a.jpg"))), libc::EIO, "{size}");
        }
        mount.emulator.replace_content(&id, &bytes);
        reads_right(&mount, PROGRAMS[0], &bytes);
        no_violations(&mount);
    });
}

#[test]
fn downloads_that_break_off_in_the_middle_are_put_together_right() {
    use FaultKind::{Reset, Stall, Status, Truncate};
    all_at_once(ways(), |answers| {
        let host = if answers.redirect == Redirect::OtherHost { "cdn2" } else { "cdn" };
        let bytes = noise(11, 5 * MIB + 1);
        let mount = picture(answers, &bytes);
        let cut = [Truncate(300_000), Reset, Truncate(1), Status(502), Stall(200_000)];
        cut.into_iter().for_each(|kind| mount.emulator.inject(Fault::new(host, kind)));
        assert!(copied(&mount, PROGRAMS[0], "a.jpg").as_ref() == Some(&bytes));
        no_violations(&mount);
    });
}

/// Changes of a picture `$0` for which its old bytes are needed, and what they make of it.
fn changes(old: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let edited = |at: usize| {
        let mut bytes = old.to_vec();
        bytes[at] = b'x';
        bytes
    };
    vec![
        ("printf x | dd of=\"$0\" oflag=append conv=notrunc status=none", [old, b"x"].concat()),
        ("printf x | dd of=\"$0\" bs=1 seek=70000 conv=notrunc status=none", edited(70_000)),
        ("printf x | dd of=\"$0\" bs=1 conv=notrunc status=none", edited(0)),
        ("truncate -s -1 \"$0\"", old[..old.len() - 1].to_vec()),
    ]
}

#[test]
fn wrong_bytes_are_never_published() {
    all_at_once([BLOCK / 2, 3 * MIB], |size| {
        let old = noise(12, size.max(100_000));
        for (change, new) in changes(&old) {
            let mount = picture(Answers::default(), &old);
            let path = mount.at("a.jpg");
            corrupt(&mount);
            assert!(!sh(change, &[&path]).status.success(), "{size}: {change}");
            assert!(in_bed(&mount, "a.jpg") == old, "{size}: {change}: the old version is gone");
            mount.emulator.clear_faults();
            // What was written is still here. A close publishes it, once the descriptor of the program
            // that failed is gone: before that it is one of two writers that did not write.
            wait_until("the change is published", || {
                let again = sh(": >> \"$0\"", &[&path]);
                assert!(again.status.success(), "{size}: {change}: {}", text(&again.stderr));
                in_bed(&mount, "a.jpg") == new
            });
            assert_eq!(xattr(&path, "state").as_deref(), Some("remote"));
            assert!(fs::read(&path).expect("readable") == new, "{size}: {change}");
            no_violations(&mount);
        }
    });
}

#[test]
fn corruption_that_passes_is_mended_before_it_is_published() {
    let old = noise(13, 3 * MIB);
    all_at_once(changes(&old), |(change, new)| {
        let mount =
            picture(Answers { validator: Validator::EachAnswer, ..Answers::default() }, &old);
        mount.emulator.inject(Fault::new("cdn", FaultKind::Corrupt));
        let output = sh(change, &[&mount.at("a.jpg")]);
        assert!(output.status.success(), "{change}: {}", text(&output.stderr));
        assert!(in_bed(&mount, "a.jpg") == new, "{change}");
        let paid = mount.emulator.total_traffic();
        assert!(paid <= 2 * old.len() as u64, "{change}: {paid} bytes were paid for");
        no_violations(&mount);
    });
}

#[test]
fn wrong_parts_read_before_a_change_are_not_published_with_it() {
    let old = noise(14, 3 * MIB);
    let mount = picture(Answers::default(), &old);
    corrupt(&mount);
    let file = open_rw(&mount.at("a.jpg"));
    file.write_all_at(b"x", old.len() as u64).expect("written");
    let mut part = vec![0; 4096];
    for at in [2 * MIB, MIB] {
        file.read_exact_at(&mut part, at as u64).expect("a part, which nothing can prove");
    }
    mount.emulator.clear_faults();
    drop(file);
    assert!(in_bed(&mount, "a.jpg") == [&old[..], b"x"].concat());
    no_violations(&mount);
}

#[test]
fn a_small_edit_pays_for_the_picture_once() {
    let old = noise(15, 3 * MIB);
    all_at_once(changes(&old), |(change, new)| {
        let mount = picture(Answers::default(), &old);
        assert!(sh(change, &[&mount.at("a.jpg")]).status.success(), "{change}");
        assert!(in_bed(&mount, "a.jpg") == new, "{change}");
        assert_eq!(mount.emulator.total_traffic(), old.len() as u64, "{change}");
        no_violations(&mount);
    });
}

#[test]
fn a_rename_by_way_of_here_publishes_no_wrong_bytes() {
    let old = noise(16, 3 * MIB);
    let mount =
        picture(Answers { instant_upload: InstantUpload::Never, ..Answers::default() }, &old);
    corrupt(&mount);
    let renamed = attempt("mv", [mount.at("a.jpg"), mount.at("b.jpg")]);
    assert!(!renamed.status.success());
    assert_eq!(mount.emulator.tree().len(), 1);
    assert!(in_bed(&mount, "a.jpg") == old);
    mount.emulator.clear_faults();
    let renamed = attempt("mv", [mount.at("a.jpg"), mount.at("b.jpg")]);
    assert!(renamed.status.success(), "{}", text(&renamed.stderr));
    assert!(in_bed(&mount, "b.jpg") == old);
    no_violations(&mount);
}
