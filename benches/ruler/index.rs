//! [`Index`]: an index page for clients that know no API, whose one link redirects to a direct link.
//!
//! So rclone fetches from the very server that bedfs fetches from, with its latency and its bandwidth.
//! The page and the redirect themselves come at once.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::outcome::Outcome;

/// The page; its thread ends with the program.
pub(crate) struct Index {
    /// Where it is.
    pub(crate) url: String,
}

impl Index {
    /// A page that shows `name`, which is at `link`.
    pub(crate) fn of(name: &'static str, link: &str) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}/", listener.local_addr()?);
        let link = link.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let link = link.clone();
                std::thread::spawn(move || answer(&stream, name, &link));
            }
        });
        Ok(Self { url })
    }
}

/// Answers the requests of a connection until it ends or breaks.
fn answer(mut stream: &TcpStream, name: &str, link: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        // Headers are of no interest; an empty line ends them.
        lines.by_ref().find(String::is_empty);
        let page = format!("<a href=\"{name}\">{name}</a>");
        let body = if request.starts_with("HEAD") { "" } else { &page };
        let reply = if request.contains(name) {
            format!("HTTP/1.1 302 Found\r\nLocation: {link}\r\nContent-Length: 0\r\n\r\n")
        } else {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length";
            format!("{head}: {}\r\n\r\n{body}", page.len())
        };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}
