//! The send loop: one call as one or more requests, each with a token, a start and a time-out.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::RequestBuilder;
use reqwest::header::{DATE, RETRY_AFTER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::denied::{Denials, Verdict};
use super::endpoint::{Endpoint, Repeat};
use super::envelope::{Answer, Asking};
use super::error::Error;
use super::failure::{Failure, FailureKind, Tries};
use super::figures::{Counts, Figures};
use super::http::Http;
use super::limit::{Limiter, Priority};
use super::line::Line;
use super::pulse::Pulse;
use super::right::{Pass, Right};
use super::scrub::{scrub, transport};
use super::settings::{Credentials, Settings};
use super::token::{Token, Tokens};
use super::wire::{Garbage, TokenAnswer, TokenRequest};
use crate::process::share_of_open_files;
use crate::types::Secret;

/// No answer of the API host is longer, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;
/// Requests for a token that may go unanswered: each may have made one, and three can live.
const MOST_LOST: u32 = 2;
/// How long a call waits that was denied with a token that the service takes.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a call that waits for its start looks whether others are answered.
const LOOK: Duration = Duration::from_millis(500);

/// Calls of one endpoint, and slices, that are under way at once: at most so many, and one in `PART`
/// of the descriptors that the process may have, or half of that for calls.
const MOST_CALLS: usize = 32;
const MOST_SLICES: usize = 64;
const PART: u64 = 16;

/// One call of an endpoint.
pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    /// The endpoint and what it is called for, for messages.
    pub(super) what: String,
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
    pub(super) tokens: Tokens,
    pub(super) right: Right,
    /// By `Endpoint::index`, like `counts`.
    limiters: [Limiter; Endpoint::ALL.len()],
    /// Calls under way at once, each of which may take a connection.
    places: [Semaphore; Endpoint::ALL.len()],
    counts: [Counts; Endpoint::ALL.len()],
    /// Slices under way at once, likewise.
    pub(super) slices: Semaphore,
    pub(super) pulse: Pulse,
    /// How far the service's clock was ahead of this machine's at its last answer.
    clock: Mutex<Option<SignedDuration>>,
    pub(super) attempt_timeout: Duration,
    pub(super) deadline: Duration,
}

impl Sender {
    /// Touches neither network nor disk.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let calls = share_of_open_files(2 * PART, 4, MOST_CALLS);
        let slices = share_of_open_files(PART, 8, MOST_SLICES);
        Ok(Self {
            http: Http::new(&settings)?,
            tokens: Tokens::new(settings.token_dir, &settings.credentials),
            right: Right::default(),
            credentials: settings.credentials,
            limiters: Endpoint::ALL.map(|endpoint| Limiter::new(settings.qps.rate(endpoint))),
            places: Endpoint::ALL.map(|_| Semaphore::new(calls)),
            counts: Endpoint::ALL.map(|_| Counts::default()),
            slices: Semaphore::new(slices),
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

    /// The second since the epoch that the service's clock shows, as far as it was told.
    pub(super) fn now(&self) -> i64 {
        Timestamp::now().as_second() + self.clock().unwrap_or_default().as_secs()
    }

    /// Sends the call until it succeeds, may not be repeated, or its deadline runs out, which is
    /// counted from its first start: the queue before that moves at the limiter's rate.
    pub(super) async fn send<A: DeserializeOwned, T>(
        &self, call: &Call<'_>, priority: Priority, read: impl Fn(A) -> Result<T, Garbage>,
    ) -> Result<T, Error> {
        // Before the start, so that getting a token does not put the request off after it.
        self.check_token().await?;
        let mut start = self.turn(call, priority).await;
        // Not before, or those that wait behind others would keep these from their start.
        let _place = turn(&self.places[call.endpoint.index()]).await;
        let mut tries = self.tries(call, self.deadline);
        let mut denials = Denials::default();
        let mut pass = self.admit(call)?;
        loop {
            let token = tries.within("a token", self.token(denials.refused())).await?;
            let token = token.map_err(|error| tries.without_token(error))?;
            let failure = match self.attempt(call, Some(&token), tries.left(), &read).await {
                Ok(answer) => {
                    self.limiter(call).served();
                    self.works(pass);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            self.count(call, &failure, start);
            // The service answers others: this one is as good as not begun.
            let is_queued = matches!(failure.kind, FailureKind::Throttled) && self.moves(call);
            let wait = match failure.kind {
                FailureKind::Denied(ref reply) => {
                    let sent_with = (&token, pass);
                    match self.judge(call, reply, sent_with, &mut denials, tries.left()).await {
                        Verdict::Another => Duration::ZERO,
                        Verdict::Again => AGAIN,
                        Verdict::End(error) => return Err(error),
                        Verdict::GiveUp => {
                            let error = tries.end(failure);
                            self.tokens.give_up(&token, &error);
                            return Err(error);
                        }
                    }
                }
                FailureKind::Checking(reply) if call.endpoint.asks_for_upload() => {
                    return Err(Error::Refused { what: call.what.clone(), reply });
                }
                FailureKind::Final(error) => {
                    return Err(self.judge_refusal(call, *error, &token, tries.left()).await);
                }
                _ if is_queued && !tries.left().is_zero() => Duration::ZERO,
                _ => tries.after(failure)?,
            };
            sleep(wait).await;
            start = match is_queued {
                true => {
                    let queue = Instant::now();
                    let start = self.turn(call, priority).await;
                    tries.forgive(queue.elapsed());
                    start
                }
                false => tries.within("its turn", self.turn(call, priority)).await?,
            };
            if pass == Pass::Free {
                pass = self.admit(call)?;
            }
        }
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
        let time = self.deadline / 10 * 9;
        let read = |answer: TokenAnswer| Ok(Token::given(&answer));
        self.insist(&call, None, time, MOST_LOST, read).await.map_err(Error::of_credentials)
    }

    /// One request and its answer.
    pub(super) async fn attempt<A: DeserializeOwned, T>(
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
        let answer = timeout(time, exchange(&self.http.api, request, &self.pulse)).await;
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

    /// The moment at which the call may start. Where it waits for one since the service wants to be
    /// asked less often, and answers, that is no silence.
    pub(super) async fn turn(&self, call: &Call<'_>, priority: Priority) -> Instant {
        let mut start = pin!(self.limiter(call).start(priority));
        loop {
            match timeout(LOOK, &mut start).await {
                Ok(start) => return start,
                Err(_) if self.moves(call) => self.pulse.beat(),
                Err(_) => {}
            }
        }
    }

    fn moves(&self, call: &Call<'_>) -> bool {
        self.limiter(call).moves(self.deadline)
    }

    /// The endpoints that are slowed down since the service asks for that, and their rates.
    pub(super) fn slowed(&self) -> Vec<(&'static str, f64)> {
        let slowed = |endpoint: Endpoint| {
            let rate = self.limiters[endpoint.index()].slowed()?;
            Some((endpoint.name(), rate))
        };
        Endpoint::ALL.into_iter().filter_map(slowed).collect()
    }

    pub(super) fn count(&self, call: &Call<'_>, failure: &Failure, start: Instant) {
        let counts = &self.counts[call.endpoint.index()];
        Counts::add(&counts.errors);
        if matches!(failure.kind, FailureKind::Throttled) {
            Counts::add(&counts.throttled);
            if let Some(rate) = self.limiter(call).throttled(start, failure.wait) {
                tracing::warn!(
                    "the service wants fewer calls of {name} (429): from here on it is asked {rate:.2} \
                     times a second, or less; a free account is admitted less than a member's",
                    name = call.endpoint.name()
                );
            }
        }
        tracing::debug!("{}: a try failed: {}", call.what, failure.cause);
    }

    pub(super) fn limiter(&self, call: &Call<'_>) -> &Limiter {
        &self.limiters[call.endpoint.index()]
    }

    pub(super) fn tries<'a>(&self, call: &'a Call<'_>, deadline: Duration) -> Tries<'a> {
        let endpoint = call.endpoint;
        Tries::new(&call.what, endpoint.repeat(), endpoint.pause(), deadline)
    }
}

/// Sends the request and reads the whole answer.
async fn exchange(line: &Line, request: RequestBuilder, pulse: &Pulse) -> Result<Answer, Failure> {
    let mut response = line.send(request).await.map_err(not_sent)?;
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
        retry_after: retry_after.and_then(|value| rest(value.to_str().ok()?)),
        date: response.headers().get(DATE).and_then(|value| http_date(value.to_str().ok()?)),
        body,
    })
}

/// How long `Retry-After` says: a number of seconds, or a date.
fn rest(text: &str) -> Option<Duration> {
    let seconds =
        text.trim().parse::<f64>().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    let until = || http_date(text.trim())?.duration_since(Timestamp::now()).try_into().ok();
    seconds.or_else(until)
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

/// One of what there is a bounded number of at once.
pub(super) async fn turn(places: &Semaphore) -> SemaphorePermit<'_> {
    places.acquire().await.expect("the semaphores are never closed")
}
