//! A client of the emulator that hides nothing of what happens on the socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bedfs_emulator::{Emulator, Options, Qps};
use md5::{Digest, Md5};
use serde_json::{Value, json};

pub(crate) const MKDIR: &str = "/upload/v1/oss/file/mkdir";
pub(crate) const CREATE: &str = "/upload/v1/oss/file/create";
pub(crate) const GET_UPLOAD_URL: &str = "/upload/v1/oss/file/get_upload_url";
pub(crate) const LIST_PARTS: &str = "/upload/v1/oss/file/list_upload_parts";
pub(crate) const COMPLETE: &str = "/upload/v1/oss/file/upload_complete";
pub(crate) const ASYNC_RESULT: &str = "/upload/v1/oss/file/upload_async_result";
pub(crate) const DELETE: &str = "/api/v1/oss/file/delete";
pub(crate) const MOVE: &str = "/api/v1/oss/file/move";
pub(crate) const LIST: &str = "/api/v1/oss/file/list";
pub(crate) const DETAIL: &str = "/api/v1/oss/file/detail";
pub(crate) const USER_INFO: &str = "/api/v1/user/info";
pub(crate) const ACCESS_TOKEN: &str = "/api/v1/access_token";

/// The path and the query that ask for the detail of a file.
pub(crate) fn detail(id: &str) -> String {
    let id = id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{DETAIL}?fileID={id}")
}

/// How long an answer may take before the test calls it missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn code(&self) -> i64 {
        self.json()["code"].as_i64().expect("the code is a number")
    }

    /// The data of an answer that must be a success.
    pub(crate) fn data(&self) -> Value {
        let json = self.json();
        assert_eq!((self.status, &json["code"]), (200, &json!(0)), "{json}");
        json["data"].clone()
    }

    /// Asserts that this is a refusal with that code.
    pub(crate) fn refused(&self, code: i64) {
        assert_eq!((self.status, self.code()), (200, code), "{}", self.json());
        assert_eq!(self.json()["data"], Value::Null);
    }
}

/// A connection that is kept open.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).expect("the emulator listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
        Connection(stream)
    }

    pub(crate) fn patience(self, patience: Duration) -> Connection {
        self.0.set_read_timeout(Some(patience)).expect("a timeout that is not zero");
        self
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub(crate) fn ask(
        &mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8],
    ) -> io::Result<Answer> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: emulator\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET"
            && method != "HEAD"
            && !headers.iter().any(|(name, _)| *name == "Transfer-Encoding")
        {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut message = request.into_bytes();
        message.extend_from_slice(body);
        self.write(&message)?;
        self.answer(method != "HEAD")
    }

    /// Reads an answer; an error when it does not come, or not whole.
    pub(crate) fn answer(&mut self, has_body: bool) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("the head is ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> =
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut answer = Answer { status: status.expect("a status"), headers, body: Vec::new() };
        let length = answer.header("Content-Length").and_then(|length| length.parse().ok());
        answer.body = vec![0; if has_body { length.expect("a length") } else { 0 }];
        self.0.read_exact(&mut answer.body)?;
        Ok(answer)
    }
}

/// A client with a token.
pub(crate) struct Client {
    /// Host and port.
    pub(crate) address: String,
    pub(crate) token: String,
}

/// An emulator without call limits, changed by `change`, and a client of it.
pub(crate) fn start(change: impl FnOnce(&mut Options)) -> (Emulator, Client) {
    let mut options = Options { qps: Qps::Unlimited, ..Options::default() };
    change(&mut options);
    let emulator = Emulator::start(options).expect("a free port");
    let client = Client::of(&emulator);
    (emulator, client)
}

impl Client {
    /// A client that has asked for a token.
    pub(crate) fn of(emulator: &Emulator) -> Client {
        let address = emulator.base_url().replace("http://", "");
        let mut client = Client { address, token: String::new() };
        client.token = client.ask_for_token();
        client
    }

    pub(crate) fn ask_for_token(&self) -> String {
        let answer = self.post(
            ACCESS_TOKEN,
            json!({"clientID": "emulator-id", "clientSecret": "emulator-secret"}),
        );
        answer.data()["accessToken"].as_str().expect("a token").to_owned()
    }

    pub(crate) fn try_ask(
        &self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8],
    ) -> io::Result<Answer> {
        Connection::open(&self.address).ask(method, target, headers, body)
    }

    pub(crate) fn ask(
        &self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8],
    ) -> Answer {
        self.try_ask(method, target, headers, body).expect("an answer")
    }

    pub(crate) fn try_post(&self, path: &str, body: &Value) -> io::Result<Answer> {
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Platform", "open_platform"),
            ("Content-Type", "application/json"),
        ];
        self.try_ask("POST", path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, &body).expect("an answer")
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("Authorization", authorization.as_str()), ("Platform", "open_platform")];
        self.ask("GET", target, &headers, &[])
    }

    /// A page of a listing, and its `lastFileId`.
    pub(crate) fn page(
        &self, parent: &str, limit: u64, last: Option<&str>,
    ) -> (Vec<Value>, String) {
        let mut body = json!({"parentFileId": parent, "limit": limit, "type": 1});
        if let Some(last) = last {
            body["lastFileId"] = json!(last);
        }
        let data = self.post(LIST, body).data();
        let rows = data["fileList"].as_array().expect("a list").clone();
        (rows, text(&data["lastFileId"]))
    }

    /// The names of a listing of at most 100 rows.
    pub(crate) fn names(&self, parent: &str) -> Vec<String> {
        self.page(parent, 100, None).0.iter().map(|row| text(&row["filename"])).collect()
    }

    pub(crate) fn mkdir(&self, name: &str, parent: &str) -> Answer {
        self.post(MKDIR, json!({"name": name, "parentID": parent, "type": 1}))
    }

    pub(crate) fn create(&self, name: &str, parent: &str, bytes: &[u8]) -> Answer {
        let body = json!({
            "parentFileID": parent,
            "filename": name,
            "etag": md5(bytes),
            "size": bytes.len(),
            "type": 1,
        });
        self.post(CREATE, body)
    }

    pub(crate) fn presigned(&self, preupload_id: &str, slice: u64) -> String {
        let answer =
            self.post(GET_UPLOAD_URL, json!({"preuploadID": preupload_id, "sliceNo": slice}));
        self.target(&text(&answer.data()["presignedURL"]))
    }

    pub(crate) fn put(&self, target: &str, bytes: &[u8]) -> Answer {
        self.ask("PUT", target, &[("Content-Type", "application/octet-stream")], bytes)
    }

    pub(crate) fn complete(&self, preupload_id: &str) -> Answer {
        self.post(COMPLETE, json!({"preuploadID": preupload_id}))
    }

    pub(crate) fn poll(&self, preupload_id: &str) -> Answer {
        self.post(ASYNC_RESULT, json!({"preuploadID": preupload_id}))
    }

    /// Creates a file and puts its slices; gives the preupload ID.
    pub(crate) fn put_slices(&self, name: &str, parent: &str, bytes: &[u8]) -> String {
        let created = self.create(name, parent, bytes).data();
        let id = text(&created["preuploadID"]);
        let slice_size = created["sliceSize"].as_u64().expect("a number") as usize;
        for (index, slice) in bytes.chunks(slice_size).enumerate() {
            let target = self.presigned(&id, index as u64 + 1);
            assert_eq!(self.put(&target, slice).status, 200);
        }
        id
    }

    /// Uploads a file that the account does not know; gives its ID.
    pub(crate) fn upload(&self, name: &str, parent: &str, bytes: &[u8]) -> String {
        let id = self.put_slices(name, parent, bytes);
        text(&self.complete(&id).data()["fileID"])
    }

    /// Follows a direct link.
    pub(crate) fn fetch(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", &self.target(url), headers, &[])
    }

    /// The path and query of a URL of this emulator.
    pub(crate) fn target(&self, url: &str) -> String {
        let base = format!("http://{}", self.address);
        url.strip_prefix(&base).expect("a URL of this emulator").to_owned()
    }
}

/// A string of an answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asserts that the last breach that was taken down says `what`.
pub(crate) fn breached(emulator: &Emulator, what: &str) {
    let violations = emulator.violations();
    let last = violations.last().map_or("", String::as_str);
    assert!(last.contains(what), "{violations:?} does not end with {what}");
}

/// Waits for something that is about to happen on the emulator's side.
pub(crate) fn wait_until(mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(10), "it never happened");
        std::thread::sleep(Duration::from_millis(5));
    }
}
