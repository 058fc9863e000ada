//! The send loop: one call as one or more requests, each with a token, a start and a time-out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::RequestBuilder;
use reqwest::header::{DATE, RETRY_AFTER};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::{Endpoint, Repeat};
use super::envelope::{Answer, Asking};
use super::error::Error;
use super::failure::{Failure, FailureKind, Tries};
use super::figures::{Counts, Figures};
use super::http::Http;
use super::limit::{Limiter, Priority};
use super::pulse::Pulse;
use super::scrub::{scrub, transport};
use super::settings::{Credentials, Settings};
use super::token::{Token, Tokens};
use super::wire::{Garbage, TokenAnswer, TokenRequest};
use crate::types::Secret;

/// No answer of the API host is longer, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;
/// Requests for a token that may go unanswered: each may have made one, and three can live.
const MOST_LOST: u32 = 2;

/// One call of an endpoint.
pub(super) struct Call<'a> {
    endpoint: Endpoint,
    /// The endpoint and what it is called for, for messages.
    what: String,
    query: Vec<(&'a str, &'a str)>,
    /// JSON.
    body: Option<Vec<u8>>,
}

impl<'a> Call<'a> {
    /// A call with a JSON body; `about` names the file or folder.
    pub(super) fn post(endpoint: Endpoint, about: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("texts and numbers are always JSON");
        Self { body: Some(body), ..Self::get(endpoint, about, &[]) }
    }

    /// A call with its parameters in the query.
    pub(super) fn get(endpoint: Endpoint, about: &str, query: &[(&'a str, &'a str)]) -> Self {
        Self {
            endpoint,
            what: format!("{} {about}", endpoint.name()).trim_end().to_owned(),
            query: query.to_vec(),
            body: None,
        }
    }
}

/// Everything a call needs on its way.
pub(super) struct Sender {
    pub(super) http: Http,
    credentials: Credentials,
    tokens: Tokens,
    /// By `Endpoint::index`, like `counts`.
    limiters: [Limiter; Endpoint::ALL.len()],
    counts: [Counts; Endpoint::ALL.len()],
    pub(super) pulse: Pulse,
    /// How far the service's clock was ahead of this machine's at its last answer.
    clock: Mutex<Option<SignedDuration>>,
    pub(super) attempt_timeout: Duration,
    pub(super) deadline: Duration,
}

impl Sender {
    /// Touches neither network nor disk.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(&settings.endpoint, &settings.roots, settings.attempt_timeout)?,
            tokens: Tokens::new(settings.token_dir, &settings.credentials),
            credentials: settings.credentials,
            limiters: Endpoint::ALL.map(|endpoint| Limiter::new(settings.qps.rate(endpoint))),
            counts: Endpoint::ALL.map(|_| Counts::default()),
            pulse: Pulse::default(),
            clock: Mutex::default(),
            attempt_timeout: settings.attempt_timeout,
            deadline: settings.deadline,
        })
    }

    /// What every endpoint has done so far.
    pub(super) fn figures(&self) -> Vec<Figures> {
        let read = |endpoint: Endpoint| self.counts[endpoint.index()].read(endpoint);
        Endpoint::ALL.into_iter().map(read).collect()
    }

    /// How far the service's clock is ahead of this machine's, to the second; `None` until an answer
    /// told.
    pub(super) fn clock(&self) -> Option<SignedDuration> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the call until it succeeds, may not be repeated, or its deadline runs out, which is
    /// counted from its first start: the queue before that moves at the limiter's rate.
    pub(super) async fn send<A: DeserializeOwned, T>(
        &self, call: &Call<'_>, priority: Priority, read: impl Fn(A) -> Result<T, Garbage>,
    ) -> Result<T, Error> {
        // Before the start, so that getting a token does not put the request off after it.
        self.check_token().await?;
        let mut start = self.limiter(call).start(priority).await;
        let mut tries = self.tries(call);
        let mut denied = None;
        loop {
            let refused = denied.as_ref().map(|(token, _)| token);
            let token = tries.within("a token", self.token(refused)).await?;
            let token = token.map_err(|error| tries.without_token(error))?;
            let failure = match self.attempt(call, Some(&token), tries.left(), &read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            self.count(call, &failure, start);
            let wait = match failure.kind {
                FailureKind::Denied(reply)
                    if call.endpoint.wants_a_right()
                        && self.accepts(&token, tries.left()).await =>
                {
                    return Err(Error::Refused { what: call.what.clone(), reply });
                }
                FailureKind::Denied(_) => {
                    let first = denied.map_or_else(Instant::now, |(_, first)| first);
                    if token.got.is_some_and(|got| got >= first) {
                        let error = tries.end(failure);
                        self.tokens.give_up(&token, &error);
                        return Err(error);
                    }
                    denied = Some((token, first));
                    Duration::ZERO
                }
                _ => tries.after(failure)?,
            };
            sleep(wait).await;
            let turn = self.limiter(call).start(priority);
            start = tries.within("its turn", turn).await?;
        }
    }

    /// Whether the service takes the token elsewhere: what it refuses then is not the token.
    async fn accepts(&self, token: &Token, left: Duration) -> bool {
        let call = Call::get(Endpoint::UserInfo, "", &[]);
        let asked = async {
            self.limiter(&call).start(Priority::Foreground).await;
            self.attempt(&call, Some(token), left, |_: IgnoredAny| Ok(())).await
        };
        matches!(timeout(left, asked).await, Ok(Ok(())))
    }

    /// Has, or gets, a token that may be valid.
    pub(super) async fn check_token(&self) -> Result<(), Error> {
        let what = Endpoint::AccessToken.name();
        let mut tries = Tries::new(what, Repeat::Harmless, Duration::ZERO, self.deadline);
        tries.within("a token", self.token(None)).await?.map(drop)
    }

    async fn token(&self, refused: Option<&Token>) -> Result<Token, Error> {
        self.tokens.get(refused, self.ask_token()).await
    }

    /// Asks the service for a token (`003`: 获取access_token).
    async fn ask_token(&self) -> Result<Token, Error> {
        let request = TokenRequest {
            client_id: &self.credentials.client_id,
            client_secret: self.credentials.client_secret.reveal(),
        };
        let call = Call::post(Endpoint::AccessToken, "", &request);
        // A little less than the caller has, who is to hear why it failed.
        let deadline = self.deadline / 10 * 9;
        let mut start = self.limiter(&call).start(Priority::Foreground).await;
        let mut tries = Tries::new(&call.what, call.endpoint.repeat(), Duration::ZERO, deadline);
        let mut unsure = 0;
        let read = |answer: TokenAnswer| Ok(Token::given(&answer));
        loop {
            let failure = match self.attempt(&call, None, tries.left(), read).await {
                Ok(token) => return Ok(token),
                Err(failure) => failure,
            };
            self.count(&call, &failure, start);
            unsure += u32::from(failure.is_unsure());
            if unsure > MOST_LOST {
                return Err(tries.end(failure));
            }
            let wait = tries.after(failure).map_err(Error::of_credentials)?;
            sleep(wait).await;
            let turn = self.limiter(&call).start(Priority::Foreground);
            start = tries.within("its turn", turn).await?;
        }
    }

    /// One request and its answer.
    async fn attempt<A: DeserializeOwned, T>(
        &self, call: &Call<'_>, token: Option<&Token>, left: Duration,
        read: impl Fn(A) -> Result<T, Garbage>,
    ) -> Result<T, Failure> {
        Counts::add(&self.counts[call.endpoint.index()].calls);
        let access = token.map(|token| &token.access);
        let mut request = self.http.request(call.endpoint, &call.query, access);
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let time = self.attempt_timeout.min(left);
        let begin = Instant::now();
        self.pulse.ask();
        let answer = timeout(time, exchange(request, &self.pulse)).await;
        self.counts[call.endpoint.index()].took(begin.elapsed());
        let answer = answer.map_err(|_| {
            let cause = format!("nothing came within {:.1} s", time.as_secs_f32());
            Failure::new(FailureKind::Unanswered, cause)
        })??;
        if let Some(date) = answer.date {
            let ahead = date.duration_since(Timestamp::now());
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        tracing::debug!(endpoint = call.endpoint.name(), status = %answer.status, "answered");
        let secrets = [self.credentials.client_secret.reveal(), access.map_or("", Secret::reveal)];
        let data = answer.judge(&Asking {
            what: &call.what,
            host: &self.http.host(),
            secrets: &secrets,
        })?;
        let garbled = |why: String| Failure::new(FailureKind::Garbled, scrub(&why, &secrets));
        let is_object = data.is_object() || data.is_null();
        let answer = A::deserialize(data).map_err(|error| {
            // Of anything but an object the error would quote the value, which may be a secret.
            let why = is_object.then(|| error.to_string());
            garbled(why.unwrap_or_else(|| "\"data\" is no object".into()))
        })?;
        read(answer).map_err(|Garbage(why)| garbled(why))
    }

    fn count(&self, call: &Call<'_>, failure: &Failure, start: Instant) {
        let counts = &self.counts[call.endpoint.index()];
        Counts::add(&counts.errors);
        if matches!(failure.kind, FailureKind::Throttled) {
            Counts::add(&counts.throttled);
            self.limiter(call).throttled(start);
        }
        tracing::debug!("{}: a try failed: {}", call.what, failure.cause);
    }

    fn limiter(&self, call: &Call<'_>) -> &Limiter {
        &self.limiters[call.endpoint.index()]
    }

    fn tries<'a>(&self, call: &'a Call<'_>) -> Tries<'a> {
        let endpoint = call.endpoint;
        Tries::new(&call.what, endpoint.repeat(), endpoint.pause(), self.deadline)
    }
}

/// Sends the request and reads the whole answer.
async fn exchange(request: RequestBuilder, pulse: &Pulse) -> Result<Answer, Failure> {
    let mut response = request.send().await.map_err(not_sent)?;
    pulse.beat();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        pulse.beat();
        if body.len() + chunk.len() > LONGEST_ANSWER {
            let cause = format!("the answer is longer than {LONGEST_ANSWER} bytes");
            return Err(Failure::new(FailureKind::Garbled, cause));
        }
        body.extend_from_slice(&chunk);
    }
    let retry_after = response.headers().get(RETRY_AFTER);
    Ok(Answer {
        status: response.status(),
        retry_after: retry_after
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs),
        date: response.headers().get(DATE).and_then(|value| http_date(value.to_str().ok()?)),
        body,
    })
}

/// The moment that an HTTP date names, as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(zoned.timestamp())
}

/// No answer began: not done if no connection came about, else nobody knows.
fn not_sent(error: reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() {
        Failure::new(FailureKind::NotDone, transport(error))
    } else {
        broken(error)
    }
}

fn broken(error: reqwest::Error) -> Failure {
    Failure::new(FailureKind::Broken, transport(error))
}
