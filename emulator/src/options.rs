//! [`Options`]: everything the emulator can be told.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::answers::Answers;

/// Everything the emulator can be told. The default follows the documents, on the strict side
/// wherever they leave something open.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one. Read at the start only.
    pub listen: SocketAddr,
    /// Scheme, host and port by which clients come here, as through a server of TLS before it; None:
    /// those of the address. Read at the start only.
    pub public: Option<String>,
    /// A folder that keeps the bed on disk, across restarts; None keeps it in memory. Read at the
    /// start only.
    pub data: Option<PathBuf>,
    /// The client ID that `access_token` knows.
    pub client_id: String,
    /// The secret of that client.
    pub client_secret: String,
    /// How many calls a second each endpoint admits.
    pub qps: Qps,
    /// Bytes in each slice of an upload but the last.
    pub slice_size: u64,
    /// Time added before every answer.
    pub latency: Duration,
    /// Bytes a second for each connection to direct links and storage, either way.
    pub bandwidth: Option<u64>,
    /// How long a token lives.
    pub token_life: Duration,
    /// How many tokens live at a time; one more throws out the oldest.
    pub live_tokens: usize,
    /// How long a presigned URL lives.
    pub presigned_life: Duration,
    /// How many polls of `upload_async_result` say "not yet"; with 0, `upload_complete` itself says
    /// that the upload is complete. An upload nobody polls completes after three seconds a poll.
    pub async_polls: u32,
    /// Bytes the account may hold.
    pub space_total: u64,
    /// How long from now the developer right lasts.
    pub right_life: Duration,
    /// Bytes that direct links may serve, from the start on.
    pub traffic_left: u64,
    /// How far the service's clock is ahead, as the header `Date` of every answer tells.
    pub clock_ahead: Duration,
    /// Whether `GET /_emulator/stats` answers.
    pub control: bool,
    /// What to do where the documents leave it open.
    pub answers: Answers,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public: None,
            data: None,
            client_id: "emulator-id".to_owned(),
            client_secret: "emulator-secret".to_owned(),
            qps: Qps::Documented,
            slice_size: 104_857_600,
            latency: Duration::ZERO,
            bandwidth: None,
            token_life: Duration::from_secs(30 * 24 * 3600),
            live_tokens: 3,
            presigned_life: Duration::from_secs(3600),
            async_polls: 0,
            space_total: 2 << 40,
            right_life: Duration::from_secs(365 * 24 * 3600),
            traffic_left: 1 << 40,
            clock_ahead: Duration::ZERO,
            control: false,
            answers: Answers::default(),
        }
    }
}

/// How many calls a second each endpoint admits; one more is answered with code 429.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Qps {
    /// The documents' values for the image bed's siblings; where they have none, the published ones.
    #[default]
    Documented,
    /// Any number.
    Unlimited,
    /// By endpoint name; an endpoint that is not named admits any number. Below 1, one call in so
    /// many seconds.
    Each(HashMap<String, f64>),
}

impl Qps {
    /// The limit of an endpoint, given the documented one; None is no limit.
    pub(crate) fn limit(&self, endpoint: &str, documented: u32) -> Option<f64> {
        match self {
            Qps::Documented => Some(f64::from(documented)),
            Qps::Unlimited => None,
            Qps::Each(limits) => limits.get(endpoint).copied(),
        }
    }
}
