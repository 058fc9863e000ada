//! An account that is admitted few calls, as free ones are: the rate is found, listings come to their
//! end, and the user is told what takes so long.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Fault, FaultKind, Options, Qps};

use crate::api::{World, figures, names, root};
use crate::harness::{Mount, fast, text};

/// Calls of `list` a second that the bed admits: one in two and a half seconds.
const RATE: f64 = 0.4;

#[test]
fn a_listing_comes_to_its_end_though_a_call_waits_longer_than_the_service_may_be_silent() {
    let emulator = Emulator::start(fast()).expect("the emulator starts");
    emulator.fill("big", 500, 10);
    let mount = Mount::over(emulator, &["--timeout", "1", "--dir-ttl", "3600"]);
    let rates = HashMap::from([("list".to_owned(), RATE)]);
    mount.emulator.change(|options| options.qps = Qps::Each(rates));
    let listing = std::thread::scope(|scope| {
        let listing = scope.spawn(|| fs::read_dir(mount.at("big")).map(Iterator::count));
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = mount.bedfs("status").arg(&mount.path).output().expect("runs");
            let status = text(&status.stdout);
            if status.contains("entries so far") && status.contains("429") {
                assert!(status.contains("listing \"/big\": "), "{status}");
                break;
            }
            assert!(Instant::now() < deadline && !listing.is_finished(), "{status}");
        }
        listing.join().expect("no panic")
    });
    assert_eq!(listing.expect("listed"), 500);
    assert!(mount.log().contains("the service wants fewer calls of list"), "{}", mount.log());
}

#[test]
fn who_waits_in_a_crowd_is_served_in_the_end() {
    let rates = HashMap::from([("list".to_owned(), 2.0)]);
    let world = World::new(Options { qps: Qps::Each(rates), ..Options::default() });
    let mut settings = world.settings();
    settings.deadline = Duration::from_secs(2);
    let client = bedfs::api::Client::new(settings).expect("a client");
    names(&world, &client);
    world.run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let client = client.clone();
            tasks.spawn(async move { client.list_page(&root(), None).await.map(drop) });
        }
        for result in tasks.join_all().await {
            result.expect("listed");
        }
    });
    assert!(figures(&client, "list").throttled > 0);
}

#[test]
fn a_wish_to_be_left_alone_is_heeded_in_each_spelling() {
    let world = World::fast();
    let client = world.client();
    let begin = Instant::now();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let soon = soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (status, retry_after) in [(429, "1".to_owned()), (200, soon)] {
        let (code, message) = (429, "请求太频繁".to_owned());
        let retry_after = Some(retry_after);
        let kind = FaultKind::RefuseWith { status, code, message, retry_after };
        world.emulator.inject(Fault::new("list", kind));
        names(&world, &client);
    }
    // What was asked for before came no sooner.
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(world.emulator.count("list"), 4);
}
