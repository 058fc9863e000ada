//! [`Emulator`]: a running stand-in for the service, held by whoever started it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::api;
use crate::bed::subtree;
use crate::connection::{self, Door};
use crate::content::Content;
use crate::fault::Fault;
use crate::ledger::{DriveFile, Share, TrafficEntry};
use crate::listener::{SEND_BUFFER, accept, listen};
use crate::lock;
use crate::node::{FileData, Id, Node};
use crate::options::Options;
use crate::record::Request;
use crate::row::Row;
use crate::server::Server;
use crate::tree::Tree;

/// A failing disk is the one thing that can go wrong behind the service's back.
const DISK: &str = "the data folder can be read and written";

/// Where one that listens nowhere says that it is.
const MEMORY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A running emulator. It serves on threads of its own until it is dropped, so that a plain test
/// function can hold it. Paths have `/` between names; the root is the empty path.
#[derive(Debug)]
pub struct Emulator {
    server: Arc<Server>,
    /// Both are there until the drop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts an emulator; it answers from the moment this returns.
    ///
    /// # Errors
    /// When the address is taken, or the data folder cannot be read.
    pub fn start(options: Options) -> io::Result<Emulator> {
        let main = listen(options.listen)?;
        let other = listen(SocketAddr::new(options.listen.ip(), 0))?;
        let server = Arc::new(Server::new(options, main.local_addr()?, other.local_addr()?)?);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("emulator")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&server);
        let thread = std::thread::Builder::new().name("emulator".to_owned()).spawn(move || {
            runtime.spawn(accept(Arc::clone(&shared), main, Door::Main));
            runtime.spawn(accept(shared, other, Door::Other));
            // Either a word or the end of the sender stops the emulator.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(Duration::from_secs(5));
        })?;
        Ok(Emulator { server, stop: Some(stop), thread: Some(thread) })
    }

    /// An emulator that listens nowhere: its connections are those that [`Emulator::connect`] gives.
    ///
    /// # Errors
    /// When the data folder cannot be read.
    pub fn in_memory(options: Options) -> io::Result<Emulator> {
        let (main, other) = (MEMORY, SocketAddr::new(MEMORY.ip(), MEMORY.port() + 1));
        let server = Arc::new(Server::new(options, main, other)?);
        Ok(Emulator { server, stop: None, thread: None })
    }

    /// Opens a connection to where a URL of this emulator leads. It is served by a task of the caller's
    /// runtime, whose clock is the service's.
    pub fn connect(&self, authority: &str) -> DuplexStream {
        let is_other = self.server.other.ends_with(authority);
        let door = if is_other { Door::Other } else { Door::Main };
        let (client, stream) = duplex(SEND_BUFFER);
        tokio::spawn(connection::serve(Arc::clone(&self.server), stream, door));
        client
    }

    /// Goes on, in the caller's runtime, with what went on in one that has ended.
    pub fn go_on(&self) {
        api::go_on(&self.server);
    }

    /// Scheme, host and port: what takes the place of `https://open-api.123pan.com`.
    pub fn base_url(&self) -> String {
        self.server.base.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.listen
    }

    /// Stops the emulator and closes its connections, as a drop does.
    pub fn stop(self) {}

    /// Changes the options, from the next request on.
    pub fn change(&self, change: impl FnOnce(&mut Options)) {
        self.server.change(change);
    }

    /// Makes a folder and those above it, where they are missing, and gives its ID.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn mkdir(&self, path: &str) -> String {
        self.folder(path).as_ref().to_owned()
    }

    /// Creates or replaces a file, and the folders above it, and gives its ID.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn put(&self, path: &str, bytes: &[u8]) -> String {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.remove(path);
        self.put_raw(folder, name, bytes)
    }

    /// Adds a file to a folder under any name at all, even one that it holds, and gives its ID.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn put_raw(&self, folder: &str, name: &str, bytes: &[u8]) -> String {
        let parent = self.folder(folder);
        let mut bed = lock(&self.server.bed);
        let file = FileData::new(bed.store().keep(bytes).expect(DISK));
        file.md5().expect(DISK);
        bed.add_file(&parent, name, file).expect(DISK).as_ref().to_owned()
    }

    /// Adds a folder to a folder under any name at all, even one that it holds, and gives its ID.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn mkdir_raw(&self, folder: &str, name: &str) -> String {
        let parent = self.folder(folder);
        lock(&self.server.bed).add_folder(&parent, name).expect(DISK).as_ref().to_owned()
    }

    /// Adds `count` files of `bytes` bytes to a folder: `pic-000000.jpg` and so on. Their bytes
    /// follow from the number, and take no memory; instant upload does not know them.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn fill(&self, folder: &str, count: usize, bytes: usize) {
        let parent = self.folder(folder);
        let mut bed = lock(&self.server.bed);
        for number in 0..count {
            let file = FileData::new(Content::generated(number as u64, bytes as u64));
            bed.add_file(&parent, &format!("pic-{number:06}.jpg"), file).expect(DISK);
        }
    }

    /// Removes a file, or a folder with all it holds; false when there is none.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn remove(&self, path: &str) -> bool {
        self.id(path).is_some_and(|id| self.remove_id(&id))
    }

    /// Removes a file, or a folder with all it holds, by its ID; false when there is none, or it is
    /// the root.
    ///
    /// # Panics
    /// When the data folder cannot be written.
    pub fn remove_id(&self, id: &str) -> bool {
        let mut bed = lock(&self.server.bed);
        **bed.tree().root() != *id && bed.remove(id).expect(DISK)
    }

    /// Sets the moderation status. Over 100, the direct link answers 403.
    ///
    /// # Panics
    /// When there is no such path.
    pub fn set_status(&self, path: &str, status: i64) {
        let id = self.id(path).expect("the path is there");
        lock(&self.server.bed).modify(&id, |node| node.status = status).expect(DISK);
    }

    /// Sets the times of creation and change, each `YYYY-MM-DD HH:MM:SS` in UTC+8.
    ///
    /// # Panics
    /// When there is no such path.
    pub fn set_times(&self, path: &str, created: &str, updated: &str) {
        let id = self.id(path).expect("the path is there");
        let change = |node: &mut Node| {
            node.created = created.into();
            node.updated = updated.into();
        };
        lock(&self.server.bed).modify(&id, change).expect(DISK);
    }

    /// Lets a file's direct link serve other bytes than its row says.
    ///
    /// # Panics
    /// When there is no file with that ID.
    pub fn replace_content(&self, id: &str, bytes: &[u8]) {
        let mut bed = lock(&self.server.bed);
        let content = bed.store().keep(bytes).expect(DISK);
        let file = |node: &mut Node| {
            node.file.as_mut().expect("the ID is a file's").corrupt(content).expect(DISK);
        };
        assert!(bed.modify(id, file).expect(DISK), "the ID is there");
    }

    /// The bytes that a file's direct link serves.
    ///
    /// # Panics
    /// When the data folder cannot be read.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let bed = lock(&self.server.bed);
        let file = bed.tree().resolve(path)?.file.as_ref()?;
        Some(file.content.read().expect(DISK))
    }

    /// The file or folder at a path.
    ///
    /// # Panics
    /// When the data folder cannot be read.
    pub fn row(&self, path: &str) -> Option<Row> {
        self.rows(|tree| tree.resolve(path).into_iter().map(|node| (String::new(), node)).collect())
            .pop()
            .map(|(_, row)| row)
    }

    /// What a folder holds, by name.
    ///
    /// # Panics
    /// When the data folder cannot be read.
    pub fn list(&self, folder: &str) -> Vec<Row> {
        let rows = self.rows(|tree| {
            let folder = tree.resolve(folder).into_iter();
            folder
                .flat_map(|folder| tree.children(&folder.id))
                .map(|node| (String::new(), node))
                .collect()
        });
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Every path, the root not among them, each folder before what it holds.
    ///
    /// # Panics
    /// When the data folder cannot be read.
    pub fn tree(&self) -> Vec<(String, Row)> {
        self.rows(|tree| {
            let all = tree.resolve("").into_iter().flat_map(|root| subtree(tree, root)).skip(1);
            all.map(|node| (tree.path(&node.id), node)).collect()
        })
    }

    /// Bytes served by direct links so far.
    pub fn total_traffic(&self) -> u64 {
        self.server.traffic()
    }

    /// Adds a row to the direct-link traffic log.
    ///
    /// # Panics
    /// When its time is no time.
    pub fn add_traffic(&self, entry: TrafficEntry) {
        assert!(lock(&self.server.ledger).add_traffic(entry), "a time");
    }

    /// Adds an offline log of the hour `2025010115`, in UTC+8, and gives its ID.
    ///
    /// # Panics
    /// When that is no hour.
    pub fn add_offline_log(&self, hour: &str, name: &str, bytes: &[u8]) -> u64 {
        lock(&self.server.ledger).add_log(hour, name, bytes).expect("an hour")
    }

    /// Forgets the offline logs, as the service does after a time.
    pub fn forget_offline_logs(&self) {
        lock(&self.server.ledger).logs.clear();
    }

    /// Forgets the traffic log, as the service does after a time.
    pub fn forget_traffic(&self) {
        lock(&self.server.ledger).traffic.clear();
    }

    /// Adds a paid share.
    pub fn add_share(&self, share: Share) {
        lock(&self.server.ledger).shares.push(share);
    }

    /// Adds a file of the cloud drive: only its direct link can be asked for.
    pub fn add_drive_file(&self, id: u64, url: &str) {
        lock(&self.server.ledger).drive.push(DriveFile { id, url: url.to_owned() });
    }

    /// Ends every live token.
    pub fn expire_tokens(&self) {
        lock(&self.server.tokens).expire();
    }

    /// Every request since the start or the last [`Emulator::forget_requests`], in the order they
    /// came; of more than 100 000, the latest.
    pub fn requests(&self) -> Vec<Request> {
        self.server.record.requests()
    }

    /// Forgets the requests so far, and starts counting anew.
    pub fn forget_requests(&self) {
        self.server.record.forget();
    }

    /// How many requests an endpoint had since the start or the last [`Emulator::forget_requests`].
    pub fn count(&self, endpoint: &str) -> usize {
        self.server.record.count(endpoint)
    }

    /// Each breach of the documents by the client since the start or the last
    /// [`Emulator::forget_violations`], with the endpoint before it.
    pub fn violations(&self) -> Vec<String> {
        self.server.record.violations()
    }

    /// Forgets the breaches so far.
    pub fn forget_violations(&self) {
        self.server.record.forget_violations();
    }

    /// Arms a fault, after those that are armed already.
    pub fn inject(&self, fault: Fault) {
        lock(&self.server.faults).inject(fault);
    }

    /// Disarms every fault.
    pub fn clear_faults(&self) {
        lock(&self.server.faults).clear();
    }

    /// How many requests a fault keeps without an answer now: of [`FaultKind::HangAfter`] each has
    /// had its work done.
    ///
    /// [`FaultKind::HangAfter`]: crate::FaultKind::HangAfter
    pub fn hanging(&self) -> usize {
        self.server.hanging.load(Ordering::Relaxed)
    }

    fn id(&self, path: &str) -> Option<Id> {
        lock(&self.server.bed).tree().resolve(path).map(|node| Id::clone(&node.id))
    }

    /// The folder at a path, made where it is missing.
    fn folder(&self, path: &str) -> Id {
        let mut bed = lock(&self.server.bed);
        let mut at = Id::clone(bed.tree().root());
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let known = bed.tree().child(&at, name).filter(|node| node.is_folder());
            at = match known.map(|node| Id::clone(&node.id)) {
                Some(id) => id,
                None => bed.add_folder(&at, name).expect(DISK),
            };
        }
        at
    }

    /// The rows of some nodes, each beside what `select` puts beside it.
    fn rows(
        &self, select: impl for<'a> FnOnce(&'a Tree) -> Vec<(String, &'a Node)>,
    ) -> Vec<(String, Row)> {
        let options = self.server.options();
        let links = self.server.links(&options);
        let bed = lock(&self.server.bed);
        let row = |(path, node)| (path, Row::of(node, &links).expect(DISK));
        select(bed.tree()).into_iter().map(row).collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the emulator's thread panicked");
        }
    }
}
