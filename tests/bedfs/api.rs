//! The service client against the emulator, over HTTP: every endpoint, every class of failure.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bedfs::api::{
    Client, Completed, Created, Credentials, Download, Error, Figures, QpsTable, Settings, Slice,
};
use bedfs::types::{FileId, Md5, Secret};
use bedfs_emulator::{Cursor, Emulator, Fault, FaultKind, InstantUpload, MkdirName, Options, Qps};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The md5 sum of `hello`.
pub(crate) const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";
pub(crate) const ATTEMPT: Duration = Duration::from_millis(600);
pub(crate) const DEADLINE: Duration = Duration::from_secs(6);

/// An emulator, a folder for the token, and a runtime for the client.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) dir: TempDir,
    pub(crate) runtime: Runtime,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            emulator: Emulator::start(options).expect("the emulator starts"),
            dir: TempDir::new().expect("a folder"),
            runtime: Runtime::new().expect("a runtime"),
        }
    }

    /// A world without limits on either side.
    pub(crate) fn fast() -> Self {
        Self::new(Options { qps: Qps::Unlimited, ..Options::default() })
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&self.emulator.base_url(), &self.dir)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.settings()).expect("a client")
    }

    /// A client with the documented limits.
    pub(crate) fn documented(&self) -> Client {
        let qps = QpsTable::documented();
        Client::new(Settings { qps, deadline: DEADLINE * 5, ..self.settings() }).expect("a client")
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn fail(&self, endpoint: &str, kind: FaultKind) {
        self.emulator.inject(Fault::new(endpoint, kind));
    }

    pub(crate) fn fail_always(&self, endpoint: &str, kind: FaultKind) {
        self.emulator.inject(Fault::new(endpoint, kind).always());
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let violations = self.emulator.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

pub(crate) fn settings(endpoint: &str, dir: &TempDir) -> Settings {
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
pub(crate) fn slice(bytes: &[u8], offset: u64, len: u64) -> Slice {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    Slice { file: Arc::new(file), offset, len }
}

pub(crate) fn md5(hex: &str) -> Md5 {
    hex.parse().expect("an md5 sum")
}

pub(crate) fn root() -> FileId {
    FileId::root()
}

pub(crate) fn figures(client: &Client, endpoint: &str) -> Figures {
    let all = client.figures();
    all.iter().find(|one| one.endpoint == endpoint).expect("known").clone()
}

pub(crate) async fn bytes(mut download: Download) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

pub(crate) fn link(world: &World, path: &str) -> String {
    world.emulator.row(path).expect("a row").url
}

pub(crate) fn names(world: &World, client: &Client) -> Vec<String> {
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

pub(crate) fn refusal(code: i64) -> FaultKind {
    FaultKind::Refuse { code, message: "不行".into() }
}
