//! [`Head`]: the request line and the headers of an HTTP request.

use std::io;

use bytes::{Buf, BytesMut};

/// The most headers a request may have.
const HEADERS: usize = 64;

/// The request line and the headers.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// The path and the query.
    pub(crate) target: String,
    /// Names and values as they came.
    pub(crate) headers: Vec<(String, String)>,
    is_http_1_1: bool,
}

impl Head {
    /// Takes a head from the front of `bytes`; None when it is not all there.
    pub(crate) fn take(bytes: &mut BytesMut) -> io::Result<Option<Head>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let httparse::Status::Complete(length) = request.parse(bytes).map_err(invalid)? else {
            return Ok(None);
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let head = Head {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers: request
                .headers
                .iter()
                .map(|header| (header.name.to_owned(), text(header.value)))
                .collect(),
            is_http_1_1: request.version == Some(1),
        };
        bytes.advance(length);
        Ok(Some(head))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    /// Whether a header is there and begins with `value`, in any case.
    pub(crate) fn says(&self, name: &str, value: &str) -> bool {
        let said = self.header(name).and_then(|said| said.get(..value.len()));
        said.is_some_and(|said| said.eq_ignore_ascii_case(value))
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of a key of the query, decoded.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(known, _)| known == key).map(|(_, value)| value.into_owned())
    }

    /// The names of the keys of the query.
    pub(crate) fn query_keys(&self) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key.into_owned()).collect()
    }

    /// How many bytes of body follow; None when the head does not say.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Whether a body of unstated length follows.
    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some()
    }

    /// Whether the client wants to be asked for the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.says("expect", "100-continue")
    }

    /// Whether the connection stays open after the answer.
    pub(crate) fn keeps_alive(&self) -> bool {
        if self.is_http_1_1 {
            !self.says("connection", "close")
        } else {
            self.says("connection", "keep-alive")
        }
    }

    /// The headers that belong to the API and to nothing else.
    pub(crate) fn api_headers(&self) -> Vec<&str> {
        ["Authorization", "Platform"]
            .into_iter()
            .filter(|name| self.header(name).is_some())
            .collect()
    }
}
