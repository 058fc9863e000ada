//! The service client against the emulator, over HTTP: every endpoint, every class of failure.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedfs::api::{
    Client, Completed, Created, Credentials, Download, Error, Figures, QpsTable, Settings, Slice,
};
use bedfs::types::{FileId, Md5, Secret};
use bedfs_emulator::{
    Cursor, Emulator, Fault, FaultKind, InstantUpload, MkdirName, Options, Qps, RangeAnswer,
    Redirect,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The md5 sum of `hello`.
const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";
const ATTEMPT: Duration = Duration::from_millis(600);
const DEADLINE: Duration = Duration::from_secs(6);

/// An emulator, a folder for the token, and a runtime for the client.
struct World {
    emulator: Emulator,
    dir: TempDir,
    runtime: Runtime,
}

impl World {
    fn new(options: Options) -> Self {
        Self {
            emulator: Emulator::start(options).expect("the emulator starts"),
            dir: TempDir::new().expect("a folder"),
            runtime: Runtime::new().expect("a runtime"),
        }
    }

    /// A world without limits on either side.
    fn fast() -> Self {
        Self::new(Options { qps: Qps::Unlimited, ..Options::default() })
    }

    fn settings(&self) -> Settings {
        settings(&self.emulator.base_url(), &self.dir)
    }

    fn client(&self) -> Client {
        Client::new(self.settings()).expect("a client")
    }

    /// A client with the documented limits.
    fn documented(&self) -> Client {
        let qps = QpsTable::documented();
        Client::new(Settings { qps, deadline: DEADLINE * 5, ..self.settings() }).expect("a client")
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn fail(&self, endpoint: &str, kind: FaultKind) {
        self.emulator.inject(Fault::new(endpoint, kind));
    }

    fn fail_always(&self, endpoint: &str, kind: FaultKind) {
        self.emulator.inject(Fault::new(endpoint, kind).always());
    }

    #[track_caller]
    fn assert_clean(&self) {
        let violations = self.emulator.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn settings(endpoint: &str, dir: &TempDir) -> Settings {
    let credentials = Credentials {
        client_id: "emulator-id".into(),
        client_secret: Secret::new("emulator-secret"),
    };
    Settings {
        qps: QpsTable::unlimited(),
        attempt_timeout: ATTEMPT,
        deadline: DEADLINE,
        ..Settings::new(endpoint, credentials, dir.path())
    }
}

/// The `len` bytes at `offset` of a file that holds `bytes`.
fn slice(bytes: &[u8], offset: u64, len: u64) -> Slice {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    Slice { file: Arc::new(file), offset, len }
}

fn md5(hex: &str) -> Md5 {
    hex.parse().expect("an md5 sum")
}

fn root() -> FileId {
    FileId::root()
}

fn figures(client: &Client, endpoint: &str) -> Figures {
    let all = client.figures();
    *all.iter().find(|one| one.endpoint == endpoint).expect("known")
}

async fn bytes(mut download: Download) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

fn link(world: &World, path: &str) -> String {
    world.emulator.row(path).expect("a row").url
}

fn names(world: &World, client: &Client) -> Vec<String> {
    let rows = world.run(client.list_all(&root())).expect("listed");
    let mut names: Vec<String> = rows.iter().map(|row| row.name.to_string()).collect();
    names.sort();
    names
}

// Every endpoint.

/// Sends `content` in slices of 1 MiB and waits until it is there.
async fn upload(client: &Client, folder: &FileId, name: &str, content: &[u8], sum: Md5) -> FileId {
    let size = content.len() as u64;
    let created = client.create(folder, name, sum, size).await;
    let Ok(Created::Upload { preupload, slice_size: 0x10_0000 }) = created else {
        panic!("{created:?}");
    };
    let slices = size.div_ceil(0x10_0000) as u32;
    for number in 0..slices {
        let url = client.get_upload_url(&preupload, number + 1).await;
        let url = url.expect("a URL");
        let offset = u64::from(number) * 0x10_0000;
        let len = (size - offset).min(0x10_0000);
        let put = client.put_slice(&url, slice(content, offset, len));
        put.await.expect("sent");
    }
    let parts = client.list_upload_parts(&preupload).await.expect("parts");
    assert_eq!(parts.iter().map(|part| part.size).sum::<u64>(), size);
    assert_eq!(parts.last().map(|part| part.number), Some(slices));
    let mut completed = client.upload_complete(&preupload).await;
    assert_eq!(completed, Ok(Completed::Pending));
    loop {
        if let Completed::Done(id) = completed.expect("asked") {
            return id;
        }
        tokio::time::sleep(Duration::from_millis(1050)).await;
        completed = client.upload_async_result(&preupload).await;
    }
}

#[test]
fn an_upload_in_slices_from_create_to_delete() {
    let world = World::new(Options { slice_size: 1 << 20, async_polls: 1, ..Options::default() });
    let content: Vec<u8> = (0..2_500_000u32).map(|n| (n % 251) as u8).collect();
    world.emulator.put("copy.jpg", &content);
    let sum = md5(&world.emulator.row("copy.jpg").expect("a row").md5);
    world.emulator.change(|options| options.answers.instant_upload = InstantUpload::Never);
    let client = world.documented();
    world.run(async {
        let album = client.mkdir(&root(), "album").await.expect("made");
        let id = upload(&client, &album, "a.jpg", &content, sum).await;
        let entry = client.detail(&id).await.expect("there");
        assert_eq!((&*entry.name, &entry.parent), ("a.jpg", &album));
        let picture = entry.picture().expect("a file");
        assert_eq!((picture.size, picture.md5), (2_500_000, Some(sum)));
        let ids = [id.clone()];
        client.move_to(&ids, &root()).await.expect("moved");
        let rows = client.list_all(&root()).await.expect("listed");
        assert!(rows.iter().any(|row| row.id == id));
        client.delete(&[id.clone(), album]).await.expect("deleted");
        let gone = client.detail(&id).await.expect_err("gone");
        assert!(gone.is_not_found(), "{gone}");
        let account = client.account().await.expect("figures");
        assert_eq!(account.space_used, 2_500_000);
    });
    world.assert_clean();
}

#[test]
fn an_upload_the_service_has_the_bytes_of() {
    let world = World::fast();
    world.emulator.put("old.jpg", b"hello");
    let client = world.client();
    let created = world.run(client.create(&root(), "new.jpg", md5(HELLO), 5));
    let Ok(Created::Reused(Some(id))) = created else {
        panic!("{created:?}");
    };
    assert_eq!(id.as_str(), world.emulator.row("new.jpg").expect("a row").id);
    world.assert_clean();
}

#[test]
fn mkdir_finds_the_spelling_the_service_wants_and_keeps_it() {
    for (wanted, requests) in [(MkdirName::String, 3), (MkdirName::List, 4)] {
        let world = World::fast();
        let change = |options: &mut Options| options.answers.mkdir_name = wanted;
        world.emulator.change(change);
        let client = world.client();
        for name in ["a", "b", "c"] {
            world.run(client.mkdir(&root(), name)).expect("made");
        }
        assert_eq!(names(&world, &client), ["a", "b", "c"]);
        assert_eq!(world.emulator.count("mkdir"), requests);
        let again = world.run(client.mkdir(&root(), "a")).expect_err("there");
        assert!(again.is_refused() && !again.may_be_done(), "{again}");
    }
}

// Listings.

#[test]
fn a_listing_is_complete_whatever_the_cursor_names() {
    for cursor in [Cursor::NextFirst, Cursor::ThisLast] {
        let world = World::fast();
        let change = |options: &mut Options| options.answers.cursor = cursor;
        world.emulator.change(change);
        world.emulator.fill("", 300, 10);
        let client = world.client();
        let rows = world.run(client.list_all(&root()));
        assert_eq!(rows.expect("listed").len(), 300);
        world.assert_clean();
    }
}

#[test]
fn odd_spellings_are_read() {
    let world = World::fast();
    world.emulator.change(|options| {
        options.answers.code_as_string = true;
        options.answers.numbers_as_strings = true;
        options.answers.booleans_as_numbers = true;
        options.answers.null_lists = true;
    });
    let client = world.client();
    assert!(names(&world, &client).is_empty());
    world.emulator.put("a.jpg", b"hello");
    world.run(async {
        let rows = client.list_all(&root()).await.expect("listed");
        assert_eq!(rows[0].size(), 5);
        assert!(rows[0].created > 1_500_000_000);
        client.account().await.expect("figures");
        let made = client.create(&root(), "b.jpg", md5(HELLO), 5).await;
        assert!(matches!(made, Ok(Created::Reused(Some(_)))), "{made:?}");
    });
}

#[test]
fn a_broken_listing_is_an_error_and_never_an_empty_folder() {
    for kind in [
        FaultKind::EmptyObject,
        FaultKind::MissingData,
        FaultKind::Garbage,
        FaultKind::Truncate(40),
        FaultKind::Status(404),
        FaultKind::Status(503),
    ] {
        let world = World::fast();
        world.emulator.put("a.jpg", b"hello");
        world.fail_always("list", kind.clone());
        let client = Client::new(Settings { deadline: Duration::from_secs(1), ..world.settings() })
            .expect("a client");
        let error = world.run(client.list_all(&root())).expect_err("odd");
        assert!(!error.is_not_found(), "{kind:?}: {error}");
        assert!(!error.may_be_done(), "{kind:?}: {error}");
    }
}

// Retries.

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
        let background = tokio::spawn(detail(&client.background()));
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

#[test]
fn no_message_holds_a_secret_or_a_signature() {
    let world = World::fast();
    let client = world.client();
    let created = world.run(client.create(&root(), "a.jpg", md5(HELLO), 5));
    let Ok(Created::Upload { preupload, .. }) = created else {
        panic!("{created:?}");
    };
    let kept = std::fs::read_to_string(world.dir.path().join("token.json")).expect("kept");
    let token = kept.split('"').nth(3).expect("a token").to_owned();
    let url = world.run(client.get_upload_url(&preupload, 1)).expect("a URL");
    let (_, query) = url.split_once('?').expect("a signature");
    let mut errors = Vec::new();
    world.fail_always(
        "list",
        FaultKind::Refuse { code: 1, message: format!("{token} emulator-secret {url}") },
    );
    errors.push(world.run(client.list_page(&root(), None)).map(drop));
    for kind in [FaultKind::Expired, FaultKind::Reset, FaultKind::Status(500)] {
        world.fail("put", kind);
        errors.push(world.run(client.put_slice(&url, slice(b"hello", 0, 5))));
    }
    errors.push(world.run(client.download(&format!("{url}&x"), None)).map(drop));
    for error in errors {
        let error = error.expect_err("failed");
        let message = format!("{error} {error:?}");
        for secret in [&*token, "emulator-secret", query] {
            assert!(!message.contains(secret), "{message}");
        }
    }
}

fn refusal(code: i64) -> FaultKind {
    FaultKind::Refuse { code, message: "不行".into() }
}
