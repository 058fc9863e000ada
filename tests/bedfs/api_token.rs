//! The access token: got once, shared, renewed, and never asked for in a loop.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bedfs::api::Client;
use bedfs::types::{FileId, Secret};
use bedfs_emulator::{FaultKind, Options, Qps};

use crate::api::{HELLO, World, md5, names, refusal, root};

#[test]
fn many_tasks_at_once_ask_for_one_token() {
    let world = World::fast();
    world.emulator.put("a.jpg", b"hello");
    let clients = [world.client(), world.client()];
    world.run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..20 {
            let client = clients[task % 2].clone();
            tasks.spawn(async move { client.list_page(&root(), None).await.map(drop) });
        }
        for result in tasks.join_all().await {
            result.expect("listed");
        }
    });
    assert_eq!(world.emulator.count("access_token"), 1);
    let kept = std::fs::metadata(world.dir.path().join("token.json")).expect("kept");
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    names(&world, &world.client());
    assert_eq!(world.emulator.count("access_token"), 1);
    world.assert_clean();
}

#[test]
fn a_token_that_ended_is_renewed_once_for_all() {
    let world = World::fast();
    let clients = [world.client(), world.client()];
    for client in &clients {
        names(&world, client);
    }
    world.emulator.expire_tokens();
    world.run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..20 {
            let client = clients[task % 2].clone();
            tasks.spawn(async move {
                client.create(&root(), &format!("{task}.jpg"), md5(HELLO), 5).await
            });
        }
        for result in tasks.join_all().await {
            result.expect("created");
        }
    });
    assert_eq!(world.emulator.count("access_token"), 2);
}

#[test]
fn a_token_that_is_about_to_end_is_renewed_before() {
    let world = World::new(Options {
        token_life: Duration::from_secs(300),
        qps: Qps::Unlimited,
        ..Options::default()
    });
    let client = world.client();
    names(&world, &client);
    names(&world, &client);
    // The process that got it believes in it, whatever the clock says.
    assert_eq!(world.emulator.count("access_token"), 1);
    names(&world, &world.client());
    assert_eq!(world.emulator.count("access_token"), 2);
}

#[test]
fn wrong_credentials_are_asked_about_once() {
    let world = World::fast();
    let mut settings = world.settings();
    settings.credentials.client_secret = Secret::new("wrong-secret");
    let client = Client::new(settings).expect("a client");
    for _ in 0..3 {
        let error = world.run(client.check_credentials()).expect_err("refused");
        assert!(error.is_unauthorized(), "{error}");
        assert!(!error.to_string().contains("wrong-secret"));
        let error = world.run(client.detail(&FileId::new("1"))).expect_err("refused");
        assert!(error.is_unauthorized(), "{error}");
    }
    assert_eq!(world.emulator.count("access_token"), 1);
}

#[test]
fn a_new_token_that_is_refused_ends_the_asking() {
    let world = World::fast();
    let client = world.client();
    world.fail_always("list", refusal(401));
    world.fail_always("user/info", refusal(401));
    for _ in 0..3 {
        let error = world.run(client.list_all(&root())).expect_err("refused");
        assert!(error.is_unauthorized(), "{error}");
    }
    assert_eq!(world.emulator.count("access_token"), 2);
    assert_eq!(world.emulator.count("list"), 2);
}

#[test]
fn a_garbled_token_file_is_replaced() {
    let world = World::fast();
    std::fs::write(world.dir.path().join("token.json"), "{\"acc").expect("written");
    names(&world, &world.client());
    names(&world, &world.client());
    assert_eq!(world.emulator.count("access_token"), 1);
}

#[test]
fn a_token_is_got_through_faults_but_not_asked_for_without_end() {
    let world = World::fast();
    world.fail("access_token", FaultKind::Status(502));
    names(&world, &world.client());
    assert_eq!(world.emulator.count("access_token"), 2);

    let world = World::fast();
    world.fail_always("access_token", FaultKind::GarbageAfter);
    let error = world.run(world.client().check_credentials()).expect_err("garbage");
    assert!(!error.may_be_done(), "{error}");
    assert_eq!(world.emulator.count("access_token"), 3);
}

// Bytes.
