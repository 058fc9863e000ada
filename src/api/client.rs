//! The client: a method for every endpoint.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use jiff::SignedDuration;
use reqwest::Url;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::download::{Download, Way};
use super::endpoint::Endpoint;
use super::error::{Error, Reply};
use super::figures::Figures;
use super::ledger::AskedBy;
use super::limit;
use super::list::{PAGE, Page, Pages};
use super::progress::{Completed, Created, Part};
use super::pulse::Pulse;
use super::send::{Call, Sender, turn};
use super::settings::Settings;
use super::staleness::Staleness;
use super::upload::Slice;
use super::user::UserInfo;
use super::wire::{
    CreateRequest, DeleteRequest, Garbage, ListAnswer, ListRequest, MkdirAnswer, MkdirRequest,
    MoveRequest, PreuploadRequest, Row, UploadUrlAnswer, UploadUrlRequest,
};
use crate::types::{Account, DeveloperRight, Entry, FileId, Md5};

/// File IDs in one request (`003`: "参数长度最大不超过 100").
const MOST_IDS: usize = 100;

/// Bytes that the system may hold of a slice, and the slowest line that they are waited for on, in
/// bytes a second.
const IN_BUFFERS: u64 = 4 << 20;
const SLOWEST: u64 = 64 << 10;

/// Talks to the service as one account. A clone shares token, limits, connections and figures.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    sender: Sender,
    /// The spelling of a new folder's name that has worked.
    mkdir_spelling: Mutex<Option<Spelling>>,
    /// The way of sending parameters by which the offline logs have come.
    offline_way: OnceLock<AskedBy>,
    staleness: Staleness,
}

/// How `mkdir` spells the name: the sample of `003` sends a text, its table says list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// As a text.
    Text,
    /// As a list of one text.
    List,
}

impl Client {
    /// A client; no request is sent yet. Settings that cannot be used are an error.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let shared = Shared {
            staleness: settings.staleness,
            sender: Sender::new(settings)?,
            mkdir_spelling: Mutex::new(None),
            offline_way: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How long the service may show what was before a change.
    pub fn staleness(&self) -> Staleness {
        self.shared.staleness
    }

    /// Has, or gets, a token that is valid by its expiry time.
    pub async fn check_credentials(&self) -> Result<(), Error> {
        self.shared.sender.check_token().await
    }

    /// One page of at most 100 rows of a folder; `after` is the page before's `next`.
    pub async fn list_page(&self, folder: &FileId, after: Option<&str>) -> Result<Page, Error> {
        let request = ListRequest {
            parent_file_id: (!folder.is_root()).then(|| folder.as_str()),
            limit: PAGE,
            last_file_id: after,
            r#type: 1,
        };
        let call = Call::post(Endpoint::List, &about(folder), &request);
        self.send(&call, |answer: ListAnswer| Page::read(answer, folder)).await
    }

    /// The rows of a folder, page after page.
    pub fn pages(&self, folder: &FileId) -> Pages {
        Pages::new(self.clone(), folder.clone())
    }

    /// All rows of a folder, each ID once: complete or an error.
    pub async fn list_all(&self, folder: &FileId) -> Result<Vec<Entry>, Error> {
        let mut pages = self.pages(folder);
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(rows)
    }

    /// One file or folder. [`Error::is_not_found`] if the service says that it is gone.
    pub async fn detail(&self, id: &FileId) -> Result<Entry, Error> {
        let call = Call::get(Endpoint::Detail, &about(id), &[("fileID", id.as_str())]);
        self.send(&call, |row: Row| {
            // Where the row does not say where it lies: see `Entry::tells_no_parent`.
            let entry = row.entry(id)?;
            if entry.id == *id {
                Ok(entry)
            } else {
                Err(Garbage("it is about another file".into()))
            }
        })
        .await
    }

    /// Makes a folder.
    ///
    /// Until one spelling of the name has worked, a refusal of the first is followed by the other.
    pub async fn mkdir(&self, parent: &FileId, name: &str) -> Result<FileId, Error> {
        let worked = self.mkdir_spelling();
        if let Some(spelling) = worked {
            return self.mkdir_as(spelling, parent, name).await;
        }
        let refused = match self.mkdir_as(Spelling::Text, parent, name).await {
            Err(error) if may_mean_the_spelling(&error) => error,
            answer => return answer,
        };
        match self.mkdir_as(Spelling::List, parent, name).await {
            Err(error) if may_mean_the_spelling(&error) => Err(refused),
            answer => answer,
        }
    }

    async fn mkdir_as(
        &self, spelling: Spelling, parent: &FileId, name: &str,
    ) -> Result<FileId, Error> {
        let about = format!("{name:?} in {}", about(parent));
        let (parent_id, r#type) = (parent.as_str(), 1);
        let call = match spelling {
            Spelling::Text => {
                let request = MkdirRequest { name, parent_id, r#type };
                Call::post(Endpoint::Mkdir, &about, &request)
            }
            Spelling::List => {
                let request = MkdirRequest { name: [name], parent_id, r#type };
                Call::post(Endpoint::Mkdir, &about, &request)
            }
        };
        let made = |answer: MkdirAnswer| {
            // The one of this name; one alone is it whatever it is called.
            let mut list = answer.list;
            let position = list.iter().position(|made| made.filename == name);
            let position = position.or((list.len() == 1).then_some(0));
            let made = position.map(|position| list.swap_remove(position));
            made.map(|made| FileId::new(made.dir_id)).ok_or_else(|| Garbage::field("dirID"))
        };
        let id = self.send(&call, made).await?;
        *self.lock_spelling() = Some(spelling);
        Ok(id)
    }

    /// The spelling with which `mkdir` has worked, if it has.
    fn mkdir_spelling(&self) -> Option<Spelling> {
        *self.lock_spelling()
    }

    fn lock_spelling(&self) -> MutexGuard<'_, Option<Spelling>> {
        let spelling = &self.shared.mkdir_spelling;
        spelling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a file of `size` bytes. If the answer is lost the error [`Error::may_be_done`].
    pub async fn create(
        &self, parent: &FileId, name: &str, md5: Md5, size: u64,
    ) -> Result<Created, Error> {
        let request = CreateRequest {
            parent_file_id: parent.as_str(),
            filename: name,
            etag: md5.to_string(),
            size,
            r#type: 1,
        };
        let about = format!("{name:?} in {}", about(parent));
        let call = Call::post(Endpoint::Create, &about, &request);
        self.send(&call, Created::read).await
    }

    /// Where to PUT slice `slice`, counted from 1. The URL carries a signature: not to be shown.
    pub async fn get_upload_url(&self, preupload: &str, slice: u32) -> Result<String, Error> {
        let request = UploadUrlRequest { preupload_id: preupload, slice_no: slice };
        let about = format!("for slice {slice} of {}", upload(preupload));
        let call = Call::post(Endpoint::GetUploadUrl, &about, &request);
        self.send(&call, |answer: UploadUrlAnswer| match Url::parse(&answer.presigned_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(answer.presigned_url),
            _ => Err(Garbage::field("presignedURL")),
        })
        .await
    }

    /// Sends one slice to the URL that [`Client::get_upload_url`] gave, without any API header.
    ///
    /// One try, without a deadline on the whole: it fails when nothing moves for one attempt's
    /// time. [`Error::is_expired`] asks for a new URL.
    pub async fn put_slice(&self, url: &str, slice: Slice) -> Result<(), Error> {
        let sender = &self.shared.sender;
        // Handed to the system, the last bytes may still be on their way.
        let on_the_way = Duration::from_secs(slice.len.min(IN_BUFFERS) / SLOWEST);
        let last_wait = (sender.attempt_timeout + on_the_way).min(sender.deadline);
        let pulse = sender.pulse.clone();
        slice.put(&sender.http.foreign, url, sender.attempt_timeout, last_wait, pulse).await
    }

    /// Waits until a slice may be sent, which a bounded number are at once.
    pub async fn slice_turn(&self) -> SemaphorePermit<'_> {
        turn(&self.shared.sender.slices).await
    }

    /// The slices that the storage has; none for a file of a single slice (`003`: 文件比对).
    pub async fn list_upload_parts(&self, preupload: &str) -> Result<Vec<Part>, Error> {
        let call = upload_call(Endpoint::ListUploadParts, preupload);
        self.send(&call, Part::read_all).await
    }

    /// Says that all slices are sent. If the answer is lost the error [`Error::may_be_done`].
    pub async fn upload_complete(&self, preupload: &str) -> Result<Completed, Error> {
        let call = upload_call(Endpoint::UploadComplete, preupload);
        Completed::of(self.send(&call, Completed::read).await)
    }

    /// Asks how far the upload is. At least 1 s has to lie between two polls (`003`).
    pub async fn upload_async_result(&self, preupload: &str) -> Result<Completed, Error> {
        let call = upload_call(Endpoint::UploadAsyncResult, preupload);
        Completed::of(self.send(&call, Completed::read).await)
    }

    /// Deletes files and empty folders, 100 in a request; an error may leave some deleted.
    ///
    /// [`Error::is_not_found`] if one is gone already, by an earlier try perhaps.
    pub async fn delete(&self, ids: &[FileId]) -> Result<(), Error> {
        assert!(ids.iter().all(|id| !id.is_root()), "the root stays");
        for batch in ids.chunks(MOST_IDS) {
            let request = DeleteRequest { file_ids: batch.iter().map(FileId::as_str).collect() };
            let call = Call::post(Endpoint::Delete, &about_all(batch), &request);
            self.send(&call, |_: IgnoredAny| Ok(())).await?;
        }
        Ok(())
    }

    /// Moves at most 100 files and folders into `folder`, in one request. They keep their IDs.
    pub async fn move_to(&self, ids: &[FileId], folder: &FileId) -> Result<(), Error> {
        assert!(ids.len() <= MOST_IDS, "one request holds 100 IDs");
        if ids.is_empty() {
            return Ok(());
        }
        let request = MoveRequest {
            file_ids: ids.iter().map(FileId::as_str).collect(),
            to_parent_file_id: folder.as_str(),
        };
        let about = format!("{} to {}", about_all(ids), about(folder));
        let call = Call::post(Endpoint::Move, &about, &request);
        self.send(&call, |_: IgnoredAny| Ok(())).await
    }

    /// The account's space and traffic.
    pub async fn account(&self) -> Result<Account, Error> {
        let call = Call::get(Endpoint::UserInfo, "", &[]);
        let account = self.send(&call, UserInfo::account).await?;
        self.shared.sender.right.told(account.right);
        Ok(account)
    }

    /// The developer right as it was told last, and whether the service refuses what wants it.
    pub fn developer_right(&self) -> (DeveloperRight, bool) {
        self.shared.sender.right.state()
    }

    /// The endpoints that are asked less often since the service wants that (429), and how many times a
    /// second they are.
    pub fn slowed(&self) -> Vec<(&'static str, f64)> {
        self.shared.sender.slowed()
    }

    /// For how long calls are answered here that want the developer right, if the service refuses them:
    /// the next one after that finds out whether it still does.
    pub fn refused_for(&self) -> Option<Duration> {
        self.shared.sender.right.refused_for()
    }

    /// Begins to read a direct link: the bytes of `range`, first and last, or all.
    ///
    /// One try. The server may answer a range with the whole: [`Download::first`] tells.
    pub async fn download(&self, url: &str, range: Option<(u64, u64)>) -> Result<Download, Error> {
        Download::begin(self.way(false), url, range).await
    }

    /// Begins to read a file that is packed with gzip, as it is. Some hosts call that its encoding.
    pub async fn download_packed(&self, url: &str) -> Result<Download, Error> {
        Download::begin(self.way(true), url, None).await
    }

    fn way(&self, takes_packed: bool) -> Way<'_> {
        let sender = &self.shared.sender;
        Way {
            line: &sender.http.foreign,
            hosts: &sender.http.hosts,
            longest: sender.attempt_timeout,
            pulse: sender.pulse.clone(),
            takes_packed,
        }
    }

    /// How far the service's clock is ahead of this machine's, to the second; `None` until an answer
    /// told.
    pub fn clock(&self) -> Option<SignedDuration> {
        self.shared.sender.clock()
    }

    /// What each endpoint has done since the client was made.
    pub fn figures(&self) -> Vec<Figures> {
        self.shared.sender.figures()
    }

    /// Rests between two questions, as the service wants it: that it says nothing meanwhile is no
    /// silence.
    pub async fn rest(&self, time: Duration) {
        self.shared.sender.pulse.beat_during(tokio::time::sleep(time)).await;
    }

    /// The signs of life of the service, to this client and its clones.
    pub fn pulse(&self) -> Pulse {
        self.shared.sender.pulse.clone()
    }

    /// The way by which the offline logs have come, if they have.
    pub(super) fn offline_way(&self) -> Option<AskedBy> {
        self.shared.offline_way.get().copied()
    }

    pub(super) fn learn_offline_way(&self, way: AskedBy) {
        // Whoever was first has seen it work.
        let _known = self.shared.offline_way.set(way);
    }

    pub(super) async fn send<A: DeserializeOwned, T>(
        &self, call: &Call<'_>, read: impl Fn(A) -> Result<T, Garbage>,
    ) -> Result<T, Error> {
        self.shared.sender.send(call, limit::priority(), read).await
    }
}

pub(super) fn about(id: &FileId) -> String {
    if id.is_root() { "the root".into() } else { format!("{:?}", id.as_str()) }
}

fn about_all(ids: &[FileId]) -> String {
    match ids {
        [id] => about(id),
        [first, ..] => format!("{} files, {} the first", ids.len(), about(first)),
        [] => "nothing".into(),
    }
}

/// An upload in a message: its ID is hundreds of characters long.
fn upload(preupload: &str) -> String {
    let start: String = preupload.chars().take(12).collect();
    format!("upload {start:?}…")
}

fn upload_call(endpoint: Endpoint, preupload: &str) -> Call<'_> {
    let request = PreuploadRequest { preupload_id: preupload };
    Call::post(endpoint, &upload(preupload), &request)
}

/// Whether the refusal may be one of the name's spelling: not if it speaks of the name's owner.
fn may_mean_the_spelling(error: &Error) -> bool {
    let names_a_conflict = |reply: &Reply| {
        let message = reply.message.to_lowercase();
        ["重名", "同名", "存在", "exist", "duplicate"].iter().any(|word| message.contains(word))
    };
    match error {
        Error::Refused { reply, .. } => !names_a_conflict(reply),
        Error::Status { status, .. } => matches!(status, 400 | 422),
        _ => false,
    }
}
