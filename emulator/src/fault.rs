//! [`Fault`]: something that goes wrong on purpose.

use std::time::Duration;

/// What is asked of the service itself when a bed is used.
const API: [&str; 9] = [
    "access_token",
    "list",
    "detail",
    "mkdir",
    "create",
    "get_upload_url",
    "upload_complete",
    "move",
    "delete",
];

/// Something that goes wrong on purpose, at one endpoint or at all.
#[derive(Clone, Debug)]
pub struct Fault {
    /// An endpoint's name, or `*` for all.
    pub endpoint: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many requests are let through first.
    pub skip: usize,
    /// How many requests are hit then; `usize::MAX` is for ever.
    pub times: usize,
    /// The chance of each request to be hit, from 0 to 1, by a seeded generator.
    pub probability: f64,
}

impl Fault {
    /// A fault that hits the next request, once.
    pub fn new(endpoint: &str, kind: FaultKind) -> Fault {
        Fault { endpoint: endpoint.to_owned(), kind, skip: 0, times: 1, probability: 1.0 }
    }

    /// Lets `count` requests through first.
    pub fn skip(self, count: usize) -> Fault {
        Fault { skip: count, ..self }
    }

    /// Hits `count` requests.
    pub fn times(self, count: usize) -> Fault {
        Fault { times: count, ..self }
    }

    /// Hits every request.
    pub fn always(self) -> Fault {
        self.times(usize::MAX)
    }

    /// Hits each request with this chance only.
    pub fn probability(self, probability: f64) -> Fault {
        Fault { probability, ..self }
    }

    /// Faults that are worth another try: each request is hit with this chance by one of them.
    pub fn passing(chance: f64) -> Vec<Fault> {
        use FaultKind::{
            EmptyObject, Expired, Garbage, GarbageAfter, LostAnswer, Reset, ResetAfter, Slow,
            Status, Truncate,
        };
        let refusal = |code, message: &str| FaultKind::Refuse { code, message: message.to_owned() };
        let mut anywhere =
            vec![Status(500), Status(503), Reset, ResetAfter, LostAnswer, GarbageAfter];
        anywhere.extend([Truncate(9), Expired, Slow(Duration::from_millis(100))]);
        // From storage or a direct link these would be no faults that pass, but lies.
        let of_api = [Garbage, EmptyObject, refusal(401, "token"), refusal(429, "busy")];
        let each = chance / (anywhere.len() + of_api.len()) as f64;
        let always = |endpoint: &str, kind| Fault::new(endpoint, kind).always().probability(each);
        let mut faults: Vec<_> = anywhere.into_iter().map(|kind| always("*", kind)).collect();
        for endpoint in API {
            faults.extend(of_api.iter().map(|kind| always(endpoint, kind.clone())));
        }
        faults
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// HTTP 200 and an envelope with that code; nothing is done.
    Refuse {
        /// The envelope's code.
        code: i64,
        /// The envelope's message.
        message: String,
    },
    /// An envelope with that code, and this HTTP status; nothing is done.
    RefuseWith {
        /// The HTTP status.
        status: u16,
        /// The envelope's code.
        code: i64,
        /// The envelope's message.
        message: String,
        /// What the header `Retry-After` says, if it is there.
        retry_after: Option<String>,
    },
    /// That HTTP status and a body of HTML; nothing is done. With 200, a slice is lost so.
    Status(u16),
    /// Storage: HTTP 200 and no body, as if the slice were taken; nothing is done.
    Swallow,
    /// The connection is reset before anything is read or answered; nothing is done.
    Reset,
    /// The work is done, then the connection is reset.
    ResetAfter,
    /// The work is done, then HTTP 502 and a body of HTML are answered.
    LostAnswer,
    /// HTTP 200 and a body that is no JSON; nothing is done.
    Garbage,
    /// The work is done, then HTTP 200 and a body that is no JSON are answered.
    GarbageAfter,
    /// HTTP 200 and `{}`; nothing is done.
    EmptyObject,
    /// HTTP 200, code 0 and null for `data`; nothing is done.
    MissingData,
    /// No answer for as long as the client stays; nothing is done.
    Hang,
    /// The work is done, then no answer for as long as the client stays.
    HangAfter,
    /// The work is done, and answered after that long.
    Slow(Duration),
    /// The body ends with the connection after that many bytes, `Content-Length` having said more.
    Truncate(u64),
    /// Direct links: as many bytes as there should be, but others. Storage: others are kept than came.
    Corrupt,
    /// Direct links: that many bytes, then nothing for as long as the client stays.
    Stall(u64),
    /// Direct links, storage and offline logs: HTTP 403.
    Expired,
    /// Direct links: something else than the bytes.
    Instead(Instead),
}

/// What a CDN sends in place of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// That HTTP status, and JSON with code 1010: the reader is in another region.
    Region(u16),
    /// That HTTP status, and JSON with the code "403" and the reader's address.
    Banned(u16),
    /// A redirect to a short video.
    Video,
    /// HTTP 200 and a page of HTML.
    Page,
}

impl FaultKind {
    /// Whether this can go wrong at an endpoint at all.
    fn fits(&self, endpoint: &str) -> bool {
        let link = matches!(endpoint, "cdn" | "cdn2");
        match self {
            FaultKind::Stall(_) | FaultKind::Instead(_) => link,
            FaultKind::Corrupt => link || endpoint == "put",
            FaultKind::Swallow => endpoint == "put",
            FaultKind::Expired => link || matches!(endpoint, "put" | "offline-log"),
            _ => true,
        }
    }
}

/// The faults that are armed, in the order they were injected.
#[derive(Debug)]
pub(crate) struct Faults {
    armed: Vec<Fault>,
    chance: fastrand::Rng,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { armed: Vec::new(), chance: fastrand::Rng::with_seed(123) }
    }
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.armed.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// What goes wrong with the request that has just come in: the first armed fault that hits it.
    pub(crate) fn strike(&mut self, endpoint: &str) -> Option<FaultKind> {
        let Faults { armed, chance } = self;
        let hit = armed.iter_mut().find_map(|fault| {
            let meant = fault.endpoint == "*" || fault.endpoint == endpoint;
            if !meant || !fault.kind.fits(endpoint) || fault.times == 0 {
                return None;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return None;
            }
            if chance.f64() >= fault.probability {
                return None;
            }
            if fault.times != usize::MAX {
                fault.times -= 1;
            }
            Some(fault.kind.clone())
        });
        armed.retain(|fault| fault.times > 0);
        hit
    }
}
