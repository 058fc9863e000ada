//! [`Reply`]: an answer, before it is written to the connection.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::content::Content;
use crate::digest;
use crate::meter::Meter;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The envelope's code; 0 where there is none.
    pub(crate) code: i64,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    /// What the body's bytes are counted into.
    pub(crate) meter: Meter,
    /// How long to wait before it is written.
    pub(crate) delay: Duration,
    pub(crate) end: End,
    /// Whether every byte is to be another than it should.
    pub(crate) is_corrupt: bool,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Bytes(Bytes),
    Content(Content, Range<u64>),
}

/// How the writing of a body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// With its last byte.
    Whole,
    /// After that many bytes, and with it the connection.
    Cut(u64),
    /// After that many bytes, and then the connection stays silent.
    Stall(u64),
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Content(_, range) => range.end - range.start,
        }
    }
}

impl Reply {
    pub(crate) fn new(status: u16, body: Body) -> Reply {
        Reply {
            status,
            code: 0,
            headers: Vec::new(),
            body,
            meter: Meter::default(),
            delay: Duration::ZERO,
            end: End::Whole,
            is_corrupt: false,
        }
    }

    /// A status and nothing more.
    pub(crate) fn empty(status: u16) -> Reply {
        Reply::new(status, Body::Bytes(Bytes::new()))
    }

    pub(crate) fn text(status: u16, kind: &str, body: impl Into<Bytes>) -> Reply {
        Reply::new(status, Body::Bytes(body.into())).header("Content-Type", kind)
    }

    /// A page of HTML, as a gateway would answer.
    pub(crate) fn html(status: u16) -> Reply {
        let page = format!(
            "<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
        );
        Reply::text(status, "text/html", page)
    }

    /// An error of the storage or of a link's host.
    pub(crate) fn xml(status: u16, code: &str) -> Reply {
        let page = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>\n"
        );
        Reply::text(status, "application/xml", page)
    }

    /// The API's envelope.
    pub(crate) fn envelope(code: i64, message: &str, data: &Value, code_as_string: bool) -> Reply {
        let shown = if code_as_string { json!(code.to_string()) } else { json!(code) };
        let body = json!({"code": shown, "message": message, "data": data, "x-traceID": digest::trace_id()});
        let reply = Reply::text(200, "application/json; charset=utf-8", body.to_string());
        Reply { code, ..reply }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// Whether all of the body is written that the head promises.
    pub(crate) fn is_whole(&self) -> bool {
        self.end == End::Whole
    }

    /// The status line and the headers.
    pub(crate) fn head(&self, keeps_alive: bool) -> String {
        let connection = if keeps_alive { "keep-alive" } else { "close" };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!(
            "Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
            self.body.len()
        ));
        head
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
