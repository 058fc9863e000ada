//! The bytes behind a direct link: one GET, its redirects, and a body that may not stall.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED,
    LOCATION, RANGE,
};
use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;
use tokio::time::timeout;

use super::error::Error;
use super::host::{Alone, Host, Hosts, Wait};
use super::instead::{self, Instead};
use super::line::Line;
use super::pulse::Pulse;
use super::scrub;

/// Redirects followed for one GET.
const MOST_REDIRECTS: u32 = 5;

/// What a server tells to tell one content of a link from another: its validators, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// `ETag`, without the mark of a weak one.
    tag: Option<Box<str>>,
    /// `Last-Modified`, as spelled.
    modified: Option<Box<str>>,
}

impl Version {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let tag = text(ETAG).map(|tag| tag.strip_prefix("W/").unwrap_or(tag).into());
        Self { tag, modified: text(LAST_MODIFIED).map(Into::into) }
    }

    /// Whether the two are of different contents, as far as they tell. One validator that agrees
    /// is enough: the nodes of a CDN may each have a tag of their own for the same bytes.
    pub fn contradicts(&self, other: &Self) -> bool {
        let pairs = [(&self.tag, &other.tag), (&self.modified, &other.modified)];
        let told = || pairs.iter().filter_map(|(one, two)| one.as_ref().zip(two.as_ref()));
        told().count() > 0 && told().all(|(one, two)| one != two)
    }
}

/// A body that is being read. Dropping it ends the transfer: what did not come is not paid.
#[derive(Debug)]
pub struct Download {
    /// Whether the server answered with a part (206), not with the whole (200).
    pub status_is_partial: bool,
    /// Where in the file the body begins, in bytes: 0 for the whole.
    pub first: u64,
    /// Bytes of the whole file, if the server says.
    pub total: Option<u64>,
    /// Bytes of the body, if the server says.
    pub length: Option<u64>,
    /// Which content the body is of.
    pub version: Version,
    response: Response,
    what: String,
    host: Arc<Host>,
    /// How long nothing may come.
    stall: Duration,
    pulse: Pulse,
}

/// How links are read.
pub(super) struct Way<'a> {
    pub(super) line: &'a Line,
    pub(super) hosts: &'a Hosts,
    /// How long nothing may come, whatever the host is used to.
    pub(super) longest: Duration,
    pub(super) pulse: Pulse,
    /// Whether bytes that are packed may be called so by the host.
    pub(super) takes_packed: bool,
}

impl Download {
    /// Asks for the first and the last byte of `range`, or for all.
    pub(super) async fn begin(
        way: Way<'_>, url: &str, range: Option<(u64, u64)>,
    ) -> Result<Self, Error> {
        let mut url = Url::parse(url).map_err(|_| Error::Garbled {
            what: "read a link".into(),
            cause: "the link is no URL".into(),
        })?;
        let what = match range {
            Some((first, last)) => format!("read bytes {first}-{last} of {}", scrub::place(&url)),
            None => format!("read {}", scrub::place(&url)),
        };
        let own = instead::extension(url.path());
        for _ in 0..=MOST_REDIRECTS {
            let host = way.hosts.of(&url);
            let response = way.get(&host, &url, range, &what).await?;
            way.pulse.beat();
            match target(&response, &url, &what)? {
                Some(next) => url = next,
                None => return Self::of(response, what, host, &way, &own).await,
            }
        }
        let cause = format!("more than {MOST_REDIRECTS} redirects");
        Err(Error::Garbled { what, cause })
    }

    /// The body of an answer about a file whose link ends with `own`.
    async fn of(
        response: Response, what: String, host: Arc<Host>, way: &Way<'_>, own: &str,
    ) -> Result<Self, Error> {
        let status = response.status();
        let stall = host.patience(Wait::More, way.longest);
        let garbled = |cause: &str| Error::Garbled { what: what.clone(), cause: cause.to_owned() };
        let encoding = response.headers().get(CONTENT_ENCODING);
        let is_fine =
            |encoding: &[u8]| encoding == b"identity" || (way.takes_packed && encoding == b"gzip");
        if encoding.is_some_and(|encoding| !is_fine(encoding.as_bytes())) {
            return Err(garbled("the bytes come encoded, which was not asked for"));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let came_from = instead::extension(response.url().path());
        let instead = instead::placeholder(kind.unwrap_or_default(), own, &came_from);
        if !status.is_success() || instead == Some(Instead::Page) {
            let refused = refused(status, what.clone(), response.url());
            return Err(match (said(response, &what, stall, &host).await, instead) {
                // A link that is refused is worth another one, whatever is said of it.
                (Some(error), _) if !(error.is_refused() && refused.is_expired()) => error,
                (_, Some(instead)) if status.is_success() => Error::Instead { what, instead },
                _ => refused,
            });
        }
        if let Some(instead) = instead {
            return Err(Error::Instead { what, instead });
        }
        let length = response.content_length();
        let (first, total) = match status {
            StatusCode::OK => (0, length),
            StatusCode::PARTIAL_CONTENT => response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| content_range(value.to_str().ok()?))
                .ok_or_else(|| garbled("a part without a usable Content-Range"))?,
            _ => return Err(refused(status, what, response.url())),
        };
        Ok(Self {
            status_is_partial: status == StatusCode::PARTIAL_CONTENT,
            first,
            total,
            length,
            version: Version::of(response.headers()),
            response,
            what,
            stall,
            host,
            pulse: way.pulse.clone(),
        })
    }

    /// What a body says that is too short to be the file; `None` if it says nothing.
    pub async fn explain(self) -> Option<Error> {
        let Self { response, what, host, stall, length, .. } = self;
        match length.is_some_and(|length| length <= instead::LONGEST) {
            true => said(response, &what, stall, &host).await,
            false => None,
        }
    }

    /// The next bytes; `None` when all have come. A body shorter than announced is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let begin = Instant::now();
        match timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.host.answered(Wait::More, begin.elapsed());
                self.pulse.received(chunk.as_ref().map_or(0, Bytes::len));
                Ok(chunk)
            }
            Ok(Err(error)) => {
                self.host.failed();
                Err(Error::Unavailable { what: self.what.clone(), cause: scrub::transport(error) })
            }
            Err(_) => {
                self.host.failed();
                Err(stalled(&self.what, self.stall))
            }
        }
    }
}

impl Way<'_> {
    async fn get(
        &self, host: &Host, url: &Url, range: Option<(u64, u64)>, what: &str,
    ) -> Result<Response, Error> {
        let unavailable = |cause| Error::Unavailable { what: what.to_owned(), cause };
        host.admit().map_err(|alone| match alone {
            Alone::Failed(failures) => unavailable(format!(
                "its host failed {failures} times, and is left alone for a moment"
            )),
            Alone::Banned(address, left) => Error::Instead {
                what: what.to_owned(),
                instead: Instead::StillBanned(address, left),
            },
        })?;
        let mut request = self.line.client.get(url.clone());
        if let Some((first, last)) = range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        let (begin, patience) = (Instant::now(), host.patience(Wait::FirstByte, self.longest));
        let answer = match timeout(patience, self.line.send(request)).await {
            Ok(answer) => answer.map_err(|error| unavailable(scrub::transport(error))),
            Err(_) => Err(stalled(what, patience)),
        };
        match &answer {
            Ok(answer) if !answer.status().is_server_error() => {
                host.answered(Wait::FirstByte, begin.elapsed());
            }
            Ok(_) | Err(_) => host.failed(),
        }
        answer
    }
}

/// What a short body says that came in place of the bytes. A host that has banned this reader is left
/// alone from now on.
async fn said(mut response: Response, what: &str, stall: Duration, host: &Host) -> Option<Error> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = timeout(stall, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > instead::LONGEST {
            return None;
        }
    }
    let error = instead::said(&body, what);
    if let Some(Error::Instead { instead: Instead::Banned(address), .. }) = &error {
        host.banned(address);
    }
    error
}

fn stalled(what: &str, stall: Duration) -> Error {
    Error::TimedOut {
        what: what.to_owned(),
        waited: stall,
        may_be_done: false,
        cause: "nothing comes any more".into(),
    }
}

/// Where a redirect leads; `None` if the answer is none.
fn target(response: &Response, from: &Url, what: &str) -> Result<Option<Url>, Error> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let garbled = |cause: &str| Error::Garbled { what: what.to_owned(), cause: cause.to_owned() };
    let next = response
        .headers()
        .get(LOCATION)
        .and_then(|value| from.join(value.to_str().ok()?).ok())
        .filter(|next| matches!(next.scheme(), "http" | "https"))
        .ok_or_else(|| garbled("a redirect to nowhere"))?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(garbled("a redirect from https to http"));
    }
    Ok(Some(next))
}

fn refused(status: StatusCode, what: String, url: &Url) -> Error {
    match status.as_u16() {
        status @ (401 | 403 | 410) => Error::Expired { what, status },
        404 => Error::NotFound { what, cause: "HTTP status 404".into() },
        status => {
            Error::Status { what, host: url.host_str().unwrap_or_default().to_owned(), status }
        }
    }
}

/// The first byte, and the total if it is told, of `bytes FIRST-LAST/TOTAL`.
pub(super) fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(tag: Option<&str>, modified: Option<&str>) -> Version {
        Version { tag: tag.map(Into::into), modified: modified.map(Into::into) }
    }

    #[test]
    fn versions_contradict_where_all_that_both_tell_differs() {
        let known = version(Some("a"), Some("monday"));
        assert!(known.contradicts(&version(Some("b"), Some("friday"))));
        assert!(known.contradicts(&version(Some("b"), None)));
        assert!(known.contradicts(&version(None, Some("friday"))));
        assert!(!known.contradicts(&version(Some("b"), Some("monday"))));
        assert!(!known.contradicts(&version(Some("a"), Some("friday"))));
        assert!(!known.contradicts(&version(None, None)));
    }

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/20"), Some((5, Some(20))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        assert_eq!(content_range("bytes 5-9/9"), None);
        assert_eq!(content_range("bytes */20"), None);
        assert_eq!(content_range("5-9/20"), None);
    }
}
