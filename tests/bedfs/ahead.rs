//! Reading ahead: what is fetched beyond what is asked for, over how many connections, and what
//! becomes of those that stall or fail. Bytes and requests are counted at the server.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use bedfs_emulator::{Fault, FaultKind, Options, Request};

use crate::bench::all_at_once;
use crate::cache::drop_pages;
use crate::harness::{Mount, fast, noise, run, wait_until};
use crate::semantics::{bed, bed_with, no_violations};

const MIB: usize = 1 << 20;

/// The GETs so far.
fn gets(mount: &Mount) -> Vec<Request> {
    mount.emulator.requests().into_iter().filter(|request| request.endpoint == "cdn").collect()
}

/// How many GETs were under way at once, at least, where a connection is so slow: each lasts for its
/// latency and its bytes.
fn most_at_once(mount: &Mount, latency: Duration, bandwidth: u64) -> usize {
    let last = |get: &Request| latency + Duration::from_secs(get.bytes_out) / bandwidth as u32;
    let gets = gets(mount);
    let under_way = |at| gets.iter().filter(|get| get.at <= at && at < get.at + last(get)).count();
    gets.iter().map(|get| under_way(get.at)).max().unwrap_or(0)
}

#[test]
fn a_look_at_the_first_64_kib_of_a_picture_fetches_at_most_256() {
    let looks = [
        "head -c 65536 \"$0\"",
        "dd if=\"$0\" bs=64k count=1 status=none",
        "dd if=\"$0\" bs=4k count=16 status=none",
        "dd if=\"$0\" bs=1000 count=65 status=none",
    ];
    let mount = bed(|bed| bed.fill("", looks.len(), 3 * MIB / 2));
    for (number, look) in looks.iter().enumerate() {
        let name = format!("pic-{number:06}.jpg");
        let path = mount.at(&name);
        run("sh", ["-c".as_ref(), format!("{look} > /dev/null").as_ref(), path.as_os_str()]);
        let paid = mount.emulator.row(&name).expect("the picture").traffic;
        assert!(paid <= 256 << 10, "{look}: {paid} bytes were fetched");
    }
    no_violations(&mount);
}

#[test]
fn reading_here_and_there_fetches_at_most_four_times_what_is_asked_for() {
    const READS: u64 = 200;
    let mount = bed(|bed| bed.fill("", 1, 64 * MIB));
    let file = File::open(mount.at("pic-000000.jpg")).expect("opens");
    let whole = mount.emulator.read("pic-000000.jpg").expect("the picture");
    let mut page = [0; 4096];
    for number in 1..=READS {
        // No two in a row are near each other.
        let at = number * 7_919 % (64 * MIB as u64 / 4096) * 4096;
        file.read_exact_at(&mut page, at).expect("a page");
        assert!(page[..] == whole[at as usize..at as usize + 4096], "at {at}");
    }
    let paid = mount.emulator.total_traffic();
    assert!(paid <= 4 * READS * 4096, "{paid} bytes were fetched");
    no_violations(&mount);
}

#[test]
fn a_host_that_gives_little_by_each_connection_is_read_by_several() {
    const LATENCY: Duration = Duration::from_millis(50);
    const BANDWIDTH: u64 = 4 << 20;
    let options = Options { latency: LATENCY, bandwidth: Some(BANDWIDTH), ..fast() };
    let mount = bed_with(options, &[], |bed| bed.fill("", 1, 40 * MIB));
    let whole = mount.emulator.read("pic-000000.jpg").expect("the picture");
    assert!(fs::read(mount.at("pic-000000.jpg")).expect("readable") == whole);
    let most = most_at_once(&mount, LATENCY, BANDWIDTH);
    assert!(most >= 4, "{most} at once");
    assert_eq!(mount.emulator.total_traffic(), whole.len() as u64, "no byte is fetched twice");
    no_violations(&mount);
}

/// Waits until nothing is on its way: of a GET that is cut off some bytes are lost on the way.
fn until_all_has_come(mount: &Mount) {
    let mut last = 0;
    wait_until("what is on its way has come", || {
        std::thread::sleep(Duration::from_millis(300));
        let paid = mount.emulator.total_traffic();
        std::mem::replace(&mut last, paid) == paid
    });
}

#[test]
fn what_is_fetched_ahead_ends_when_the_reader_does() {
    let mount = bed(|bed| bed.fill("", 1, 200 * MIB));
    let file = File::open(mount.at("pic-000000.jpg")).expect("opens");
    let mut part = vec![0; MIB];
    (0..8).for_each(|at| file.read_exact_at(&mut part, (at * MIB) as u64).expect("a part"));
    until_all_has_come(&mount);
    let paid = || mount.emulator.total_traffic();
    // As much again as was read, and what the kernel asked for beyond that.
    assert!(paid() <= 18 * MIB as u64, "{} bytes were fetched for 8 MiB", paid());
    drop(file);
    no_violations(&mount);
}

#[test]
fn small_seeks_either_way_fetch_nothing_twice() {
    let bytes = noise(1, 12 * MIB);
    let mount = bed(|bed| drop(bed.put("a.jpg", &bytes)));
    let file = File::open(mount.at("a.jpg")).expect("opens");
    let mut part = vec![0; 200_000];
    let mut at = 0;
    for step in [3, -1, 3, 1, -2, 2].into_iter().cycle().take(50) {
        file.read_exact_at(&mut part, at as u64).expect("a part");
        assert!(part == bytes[at..at + part.len()], "at {at}");
        at = at.saturating_add_signed(step * 100_000);
    }
    until_all_has_come(&mount);
    drop(file);
    drop_pages(&mount.at("a.jpg"));
    assert!(fs::read(mount.at("a.jpg")).expect("readable") == bytes);
    assert_eq!(mount.emulator.total_traffic(), bytes.len() as u64);
    no_violations(&mount);
}

#[test]
fn a_range_that_stalls_is_asked_for_again_by_another_connection() {
    let bytes = noise(2, 3 * MIB);
    let mount = bed(|bed| {
        (0..10).for_each(|n| drop(bed.put(&format!("{n}.jpg"), &noise(100 + n, 50_000))));
        bed.put("a.jpg", &bytes);
    });
    // So that it is known how soon the host is used to answer.
    (0..10).for_each(|n| drop(fs::read(mount.at(format!("{n}.jpg"))).expect("readable")));
    mount.emulator.forget_requests();
    mount.emulator.inject(Fault::new("cdn", FaultKind::Stall(1_000_000)).skip(1));
    all_at_once([true, false], |is_reader| match is_reader {
        true => assert!(fs::read(mount.at("a.jpg")).expect("readable") == bytes),
        // Long before a try of a call would be given up.
        false => wait_until("the stalled range is asked for again", || {
            let firsts: Vec<_> = gets(&mount).iter().filter_map(first_byte).collect();
            firsts.iter().any(|first| *first >= 900_000)
        }),
    });
    let served: u64 = gets(&mount).iter().map(|request| request.bytes_out).sum();
    assert!(served < (bytes.len() + MIB / 2) as u64, "{served} bytes were served");
    no_violations(&mount);
}

/// Where the range of a GET begins.
fn first_byte(request: &Request) -> Option<u64> {
    let mut headers = request.headers.iter();
    let (_, range) = headers.find(|(name, _)| name.eq_ignore_ascii_case("range"))?;
    range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

#[test]
fn a_host_that_fails_often_is_left_alone_until_it_is_well_again() {
    const PICTURES: usize = 12;
    let mount = bed(|bed| bed.fill("", PICTURES, 10_000));
    mount.emulator.inject(Fault::new("cdn", FaultKind::Status(503)).always());
    let path = |number: usize| mount.at(format!("pic-{number:06}.jpg"));
    all_at_once(0..PICTURES, |number| {
        assert!(fs::read(path(number)).is_err(), "{number} was read");
    });
    // Without rest each would be tried five times, and once more for the page alone.
    let tries = gets(&mount).len();
    assert!(tries <= 4 * PICTURES, "{tries} tries");
    mount.emulator.clear_faults();
    for number in 0..PICTURES {
        wait_until("the host is tried again", || fs::read(path(number)).is_ok());
    }
    no_violations(&mount);
}
