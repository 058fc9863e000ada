//! Bytes on their way: downloads, redirects and slices.

use std::time::Instant;

use bedfs::api::{Completed, Created, Error};
use bedfs_emulator::{FaultKind, Options, RangeAnswer, Redirect};

use crate::api::{ATTEMPT, HELLO, World, bytes, link, md5, names, root, slice};

#[test]
fn a_download_in_whole_and_in_part() {
    let world = World::fast();
    world.emulator.put("a.jpg", b"hello");
    let client = world.client();
    let url = link(&world, "a.jpg");
    world.run(async {
        let whole = client.download(&url, None).await.expect("begun");
        assert_eq!((whole.status_is_partial, whole.first, whole.total), (false, 0, Some(5)));
        assert_eq!(bytes(whole).await.as_deref(), Ok(&b"hello"[..]));
        let part = client.download(&url, Some((1, 3))).await.expect("begun");
        assert_eq!((part.status_is_partial, part.first, part.total), (true, 1, Some(5)));
        assert_eq!(part.length, Some(3));
        assert_eq!(bytes(part).await.as_deref(), Ok(&b"ell"[..]));
        world.emulator.change(|options| options.answers.range = RangeAnswer::Ignore);
        let whole = client.download(&url, Some((1, 3))).await.expect("begun");
        assert_eq!((whole.status_is_partial, whole.first), (false, 0));
        assert_eq!(bytes(whole).await.as_deref(), Ok(&b"hello"[..]));
    });
    world.assert_clean();
}

#[test]
fn a_redirect_is_followed_without_secrets() {
    let world = World::fast();
    world.emulator.put("a.jpg", b"hello");
    world.emulator.change(|options| options.answers.redirect = Redirect::OtherHost);
    let client = world.client();
    names(&world, &client);
    let url = link(&world, "a.jpg");
    let read = world.run(async { bytes(client.download(&url, Some((0, 4))).await?).await });
    assert_eq!(read.as_deref(), Ok(&b"hello"[..]));
    assert_eq!(world.emulator.count("cdn2"), 1);
    for request in world.emulator.requests() {
        let is_api = !request.endpoint.starts_with("cdn");
        let has_secret = |name: &str| {
            let mut headers = request.headers.iter();
            headers.any(|(header, _)| header.eq_ignore_ascii_case(name))
        };
        assert_eq!(has_secret("platform"), is_api, "{request:?}");
        assert!(is_api || !has_secret("authorization"), "{request:?}");
        assert!(!has_secret("referer") && !has_secret("cookie"));
    }
    world.assert_clean();
}

#[test]
fn a_redirect_of_the_api_host_is_an_error() {
    let world = World::fast();
    let client = world.client();
    world.run(client.check_credentials()).expect("a token");
    world.fail_always("list", FaultKind::Status(302));
    let error = world.run(client.list_page(&root(), None)).expect_err("moved");
    assert!(matches!(error, Error::Status { status: 302, .. }), "{error:?}");
}

#[test]
fn a_download_that_fails_says_how() {
    let world = World::fast();
    world.emulator.put("a.jpg", &vec![7; 300_000]);
    let client = world.client();
    let url = link(&world, "a.jpg");
    let read = |kind: FaultKind| {
        world.emulator.clear_faults();
        world.fail("cdn", kind);
        let read = world.run(async { bytes(client.download(&url, None).await?).await });
        read.expect_err("failed")
    };
    assert!(read(FaultKind::Expired).is_expired());
    assert!(read(FaultKind::Status(401)).is_expired());
    assert!(read(FaultKind::Status(410)).is_expired());
    assert!(read(FaultKind::Status(404)).is_not_found());
    assert!(read(FaultKind::Status(503)).is_transient());
    assert!(read(FaultKind::Truncate(100_000)).is_transient());
    assert!(read(FaultKind::Reset).is_transient());
    assert!(read(FaultKind::Stall(100_000)).is_timed_out());
    assert!(read(FaultKind::Hang).is_timed_out());
}

#[test]
fn a_slice_may_take_longer_than_an_attempt() {
    let world = World::new(Options { bandwidth: Some(500_000), ..Options::default() });
    let client = world.client();
    let len = 1_000_000;
    world.run(async {
        let created = client.create(&root(), "a.jpg", md5(HELLO), len).await;
        let Ok(Created::Upload { preupload, .. }) = created else {
            panic!("{created:?}");
        };
        let url = client.get_upload_url(&preupload, 1).await.expect("a URL");
        let begin = Instant::now();
        let put = client.put_slice(&url, slice(&vec![7; len as usize], 0, len));
        put.await.expect("sent");
        assert!(begin.elapsed() > ATTEMPT * 2);
    });
    let requests = world.emulator.requests();
    let put = requests.iter().find(|request| request.endpoint == "put");
    let has = |name: &str| {
        let headers = put.into_iter().flat_map(|put| &put.headers);
        headers.filter(|(header, _)| header.eq_ignore_ascii_case(name)).count()
    };
    assert_eq!((has("content-length"), has("transfer-encoding")), (1, 0));
    world.assert_clean();
}

#[test]
fn a_slice_that_fails_says_how() {
    let world = World::fast();
    let client = world.client();
    let created = world.run(client.create(&root(), "a.jpg", md5(HELLO), 5));
    let Ok(Created::Upload { preupload, .. }) = created else {
        panic!("{created:?}");
    };
    let put = |content: &[u8]| {
        world.run(async {
            let url = client.get_upload_url(&preupload, 1).await.expect("a URL");
            client.put_slice(&url, slice(content, 0, 5)).await
        })
    };
    let failed = |kind: FaultKind| {
        world.emulator.clear_faults();
        world.fail("put", kind);
        put(b"hello").expect_err("failed")
    };
    assert!(failed(FaultKind::Expired).is_expired());
    assert!(failed(FaultKind::Status(503)).is_transient());
    assert!(failed(FaultKind::Reset).is_transient());
    assert!(failed(FaultKind::Hang).is_timed_out());
    world.emulator.clear_faults();
    assert!(matches!(put(b"hell"), Err(Error::Local { .. })));
    put(b"hello").expect("sent");
    let done = world.run(client.upload_complete(&preupload));
    assert!(matches!(done, Ok(Completed::Done(_))), "{done:?}");
    assert_eq!(world.emulator.read("a.jpg").as_deref(), Some(&b"hello"[..]));
    world.assert_clean();
}

// Secrets.
