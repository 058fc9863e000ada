//! The client in trouble: what is repeated, what is not, how fast and how long.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bedfs::api::{self, Client, Created, Error, Settings};
use bedfs::types::FileId;
use bedfs_emulator::{FaultKind, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::api::{ATTEMPT, HELLO, World, figures, md5, names, refusal, root, settings};

#[test]
fn a_read_survives_every_fault() {
    for kind in [
        FaultKind::Status(500),
        FaultKind::Status(502),
        FaultKind::Status(429),
        FaultKind::Reset,
        FaultKind::ResetAfter,
        FaultKind::LostAnswer,
        FaultKind::Garbage,
        FaultKind::GarbageAfter,
        FaultKind::EmptyObject,
        FaultKind::MissingData,
        FaultKind::Hang,
        FaultKind::HangAfter,
        FaultKind::Slow(ATTEMPT * 2),
        FaultKind::Truncate(7),
        refusal(20103),
        refusal(429),
        refusal(401),
    ] {
        let world = World::fast();
        world.emulator.put("a.jpg", b"hello");
        let client = world.client();
        world.fail("list", kind.clone());
        assert_eq!(names(&world, &client), ["a.jpg"], "{kind:?}");
        assert_eq!(world.emulator.count("list"), 2, "{kind:?}");
        assert_eq!(figures(&client, "list").calls, 2);
        assert_eq!(figures(&client, "list").errors, 1);
    }
}

#[test]
fn a_create_whose_answer_was_lost_is_not_repeated() {
    for kind in [
        FaultKind::Status(502),
        FaultKind::Reset,
        FaultKind::ResetAfter,
        FaultKind::LostAnswer,
        FaultKind::Garbage,
        FaultKind::GarbageAfter,
        FaultKind::EmptyObject,
        FaultKind::MissingData,
        FaultKind::HangAfter,
        FaultKind::Truncate(7),
    ] {
        let world = World::fast();
        let client = world.client();
        world.fail("create", kind.clone());
        let lost = world.run(client.create(&root(), "a.jpg", md5(HELLO), 5));
        let error = lost.expect_err("lost");
        assert!(error.may_be_done() && error.is_transient(), "{kind:?}: {error}");
        assert_eq!(world.emulator.count("create"), 1, "{kind:?}");
    }
}

#[test]
fn a_create_that_was_certainly_not_done_is_repeated() {
    for kind in
        [FaultKind::Status(429), refusal(429), refusal(20103), refusal(401), FaultKind::Status(401)]
    {
        let world = World::fast();
        let client = world.client();
        world.fail("create", kind.clone());
        let created = world.run(client.create(&root(), "a.jpg", md5(HELLO), 5));
        assert!(matches!(created, Ok(Created::Upload { .. })), "{kind:?}: {created:?}");
    }
}

#[test]
fn a_delete_is_repeated() {
    let world = World::fast();
    let id = FileId::new(world.emulator.put("a.jpg", b"hello"));
    world.fail("delete", FaultKind::Status(502));
    world.run(world.client().delete(&[id])).expect("deleted");
    assert!(world.emulator.row("a.jpg").is_none());
}

#[test]
fn a_refusal_is_told_as_it_is() {
    let world = World::fast();
    world.fail_always("create", refusal(5113));
    let error =
        world.run(world.client().create(&root(), "a.jpg", md5(HELLO), 5)).expect_err("refused");
    assert!(error.is_refused() && !error.may_be_done());
    let reply = error.refusal().expect("a reply");
    assert_eq!((reply.code, &*reply.message), (5113, "不行"));
    let message = error.to_string();
    for part in ["create", "a.jpg", "5113", "不行", "trace ID"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.emulator.count("create"), 1);
}

#[test]
fn the_deadline_ends_everything() {
    let world = World::fast();
    let client = Client::new(Settings { deadline: Duration::from_secs(2), ..world.settings() })
        .expect("a client");
    world.run(client.check_credentials()).expect("a token");
    for kind in [FaultKind::Hang, FaultKind::Status(503), refusal(429)] {
        world.emulator.clear_faults();
        world.fail_always("create", kind.clone());
        world.fail_always("list", kind.clone());
        let begin = Instant::now();
        let error = world.run(client.list_all(&root())).expect_err("never");
        assert!(begin.elapsed() < Duration::from_secs(3), "{kind:?}");
        assert_eq!(error.is_timed_out(), kind == FaultKind::Hang, "{error}");
        let error = world.run(client.create(&root(), "a.jpg", md5(HELLO), 5)).expect_err("never");
        assert_eq!(error.may_be_done(), kind != refusal(429), "{error}");
    }
}

#[test]
fn nobody_at_home_is_unavailable_and_certainly_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let dir = TempDir::new().expect("a folder");
    let client = Client::new(Settings {
        deadline: Duration::from_secs(1),
        ..settings(&format!("http://{address}"), &dir)
    })
    .expect("a client");
    let runtime = Runtime::new().expect("a runtime");
    let error =
        runtime.block_on(client.create(&root(), "a.jpg", md5(HELLO), 5)).expect_err("nobody");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

// Rates.

#[test]
fn the_documented_rates_are_kept() {
    let world = World::new(Options::default());
    let client = world.documented();
    world.run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let client = client.clone();
            tasks.spawn(async move { client.list_page(&root(), None).await.map(drop) });
        }
        for result in tasks.join_all().await {
            result.expect("listed");
        }
    });
    world.assert_clean();
    assert_eq!(figures(&client, "list").throttled, 0);
}

#[test]
fn a_429_slows_down() {
    let world = World::fast();
    let client = world.documented();
    world.run(async {
        client.check_credentials().await.expect("a token");
        world.fail("list", refusal(429));
        client.list_page(&root(), None).await.expect("listed");
        let begin = Instant::now();
        for _ in 0..4 {
            client.list_page(&root(), None).await.expect("listed");
        }
        let four_lists = begin.elapsed();
        assert!(four_lists > Duration::from_millis(1400));
    });
    assert_eq!(figures(&client, "list").throttled, 1);
}

#[test]
fn foreground_calls_go_before_background_calls() {
    let world = World::fast();
    let client = world.documented();
    let id = FileId::new(world.emulator.put("a.jpg", b"hello"));
    let detail = |client: &Client| {
        let (client, id) = (client.clone(), id.clone());
        async move { client.detail(&id).await.map(|_| Instant::now()) }
    };
    world.run(async {
        // The calls of this second, and one in the background that waits for the next.
        for _ in 0..5 {
            detail(&client).await.expect("there");
        }
        let background = tokio::spawn(api::in_background(detail(&client)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut foreground = tokio::task::JoinSet::new();
        for _ in 0..5 {
            foreground.spawn(detail(&client));
        }
        let last = foreground.join_all().await.into_iter();
        let last = last.map(|done| done.expect("there")).max();
        let background = background.await.expect("no panic").expect("there");
        assert!(last < Some(background));
    });
}

// The token.
