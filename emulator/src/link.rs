//! [`Links`]: the direct links of files, and their signatures.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::answers::{Answers, SelfUrl};
use crate::clock;
use crate::digest;
use crate::head::Head;
use crate::node::Node;

/// The account's number, the first part of the path of every link.
pub(crate) const UID: u64 = 1_815_309_870;

/// Makes and checks direct links.
pub(crate) struct Links<'a> {
    /// Scheme, host and port.
    pub(crate) base: &'a str,
    /// What signatures are made with.
    pub(crate) key: &'a str,
    pub(crate) answers: &'a Answers,
}

impl Links<'_> {
    /// `downloadURL`; empty for a folder.
    pub(crate) fn download(&self, node: &Node) -> String {
        if node.is_folder() {
            return String::new();
        }
        let path = path(node);
        let signature =
            self.answers.link_life.map(|life| format!("?auth_key={}", self.auth_key(&path, life)));
        format!("{}{path}{}", self.base, signature.unwrap_or_default())
    }

    /// The link without its signature.
    pub(crate) fn plain(&self, node: &Node) -> String {
        format!("{}{}", self.base, path(node))
    }

    /// `userSelfURL`; empty for a folder.
    pub(crate) fn own(&self, node: &Node) -> String {
        match self.answers.self_url {
            SelfUrl::Same => self.download(node),
            SelfUrl::Empty => String::new(),
            SelfUrl::OwnDomain => {
                let port = self.base.rsplit(':').next().unwrap_or_default();
                self.download(node).replacen(self.base, &format!("http://localhost:{port}"), 1)
            }
        }
    }

    /// Whether a request for a link carries a signature that is right and lives, where one is wanted.
    pub(crate) fn admits(&self, head: &Head) -> bool {
        if self.answers.link_life.is_none() {
            return true;
        }
        let Some(auth_key) = head.query("auth_key") else {
            return false;
        };
        let parts: Vec<&str> = auth_key.split('-').collect();
        let &[expiry, rand, _, _] = parts.as_slice() else {
            return false;
        };
        let deadline = u128::from_str_radix(rand.get(..12).unwrap_or_default(), 16).unwrap_or(0);
        clock::unix_millis_after(Duration::ZERO) < deadline
            && self.sign(head.path(), expiry, rand) == auth_key
    }

    /// `{expiry}-{rand}-{uid}-{md5(path-expiry-rand-uid-key)}`. The expiry is in seconds; the
    /// exact deadline, in milliseconds, is the first 12 hex digits of the rand.
    fn auth_key(&self, path: &str, life: Duration) -> String {
        let deadline = clock::unix_millis_after(life);
        let rand = format!("{deadline:012x}{}", digest::key());
        self.sign(path, &deadline.div_ceil(1000).to_string(), &rand)
    }

    fn sign(&self, path: &str, expiry: &str, rand: &str) -> String {
        let md5 = digest::md5(format!("{path}-{expiry}-{rand}-{UID}-{}", self.key).as_bytes());
        format!("{expiry}-{rand}-{UID}-{md5}")
    }
}

/// The path of a file's link: `/UID/FILEID.EXT`.
fn path(node: &Node) -> String {
    let extension = node.extension();
    let dot = if extension.is_empty() { "" } else { "." };
    format!("/{UID}/{}{dot}{}", node.id, utf8_percent_encode(extension, NON_ALPHANUMERIC))
}

/// The file ID and the extension that a link's path names; None when it is not a link's.
pub(crate) fn parse(path: &str) -> Option<(String, String)> {
    let name = path.strip_prefix(&format!("/{UID}/"))?;
    let (id, extension) = name.split_once('.').unwrap_or((name, ""));
    let decoded = |part| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
    Some((decoded(id)?, decoded(extension)?))
}
