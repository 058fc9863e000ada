//! The access token: held in memory, kept on disk, shared by every process of one account.
//!
//! `token.json` (mode 0600) holds the token, `token.lock` says who may replace it. The service
//! lets three tokens live and an extra one kicks out the oldest, so a new one is asked for by one
//! caller of one process at a time, only after the file has been read again under the lock, and
//! not at all for a while after the service refused to give one or refused one it just gave.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5 as Hasher};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::error::Error;
use super::settings::Credentials;
use super::wire::TokenAnswer;
use crate::aside::aside;
use crate::types::{Md5, Secret};

/// A token is renewed this long before it ends.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);
/// A token this new is believed to be valid whatever the local clock says: that may be wrong.
const NEW: Duration = Duration::from_secs(5 * 60);
/// How long no token is asked for after the credentials were refused.
const PENALTY: Duration = Duration::from_secs(60);
/// The same after the service refused a token that it had just given, at most: it doubles each time,
/// since each token that is asked for throws out another.
const LONGEST_PENALTY: Duration = Duration::from_secs(3600);
/// A token this new is as good as any that could be asked for.
const FRESH: SignedDuration = SignedDuration::from_hours(24);
/// How often a lock that another process holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(25);

/// An access token and until when it is good.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) access: Secret,
    /// `None` where the service told no readable time: then until it is refused.
    ends: Option<Timestamp>,
    /// When this process got it from the service; `None` if it was read from the file.
    pub(super) got: Option<Instant>,
    /// When any process got it, as far as the file tells.
    given: Option<Timestamp>,
}

impl Token {
    /// A token that the service has just given.
    pub(super) fn given(answer: &TokenAnswer) -> Self {
        Self { got: Some(Instant::now()), ..Self::kept(answer, Some(Timestamp::now())) }
    }

    fn kept(answer: &TokenAnswer, given: Option<Timestamp>) -> Self {
        Self {
            access: Secret::new(answer.access_token.as_str()),
            ends: answer.expired_at.parse().ok(),
            got: None,
            given,
        }
    }

    /// Whether the service gave it so short a time ago that another would be no better.
    pub(super) fn is_fresh(&self) -> bool {
        self.given.is_some_and(|given| given.duration_until(Timestamp::now()).abs() < FRESH)
    }

    fn is_over(&self) -> bool {
        let is_new = self.got.is_some_and(|got| got.elapsed() < NEW);
        !is_new && self.ends.is_some_and(|ends| ends.duration_since(Timestamp::now()) < MARGIN)
    }

    /// Whether it can be used by someone to whom the token `refused` was of no use.
    fn serves(&self, refused: Option<&Token>) -> bool {
        !self.is_over() && refused.is_none_or(|refused| refused.access != self.access)
    }
}

/// The token of one client.
pub(super) struct Tokens {
    file: TokenFile,
    /// A turnstile of one: who passes it may read the file and ask the service.
    turn: Semaphore,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    failure: Option<NoToken>,
    /// How many tokens in a row the service gave and refused.
    fruitless: u32,
}

/// The last failure to get a token that is of use.
struct NoToken {
    at: Instant,
    error: Error,
    /// How long no token is asked for.
    penalty: Duration,
}

impl Held {
    /// The answer for a caller who has waited since `since`, if it needs no asking.
    fn answer(&self, refused: Option<&Token>, since: Instant) -> Option<Result<Token, Error>> {
        if let Some(token) = self.token.as_ref().filter(|token| token.serves(refused)) {
            return Some(Ok(token.clone()));
        }
        let failure = self.failure.as_ref()?;
        let holds = failure.at >= since || failure.at.elapsed() < failure.penalty;
        holds.then(|| Err(failure.error.clone()))
    }
}

impl Tokens {
    /// The token kept in the folder `dir`, if these credentials got it.
    pub(super) fn new(dir: PathBuf, credentials: &Credentials) -> Self {
        Self {
            file: TokenFile { dir, owner: fingerprint(credentials) },
            turn: Semaphore::new(1),
            held: Mutex::default(),
        }
    }

    /// A token that may be valid and is not `refused`: the one held, the one on disk, or the one
    /// that `ask` gets, which is not started unless it is needed.
    pub(super) async fn get(
        &self, refused: Option<&Token>, ask: impl Future<Output = Result<Token, Error>>,
    ) -> Result<Token, Error> {
        let since = Instant::now();
        if let Some(answer) = self.held().answer(refused, since) {
            return answer;
        }
        let _turn = self.turn.acquire().await;
        if let Some(answer) = self.held().answer(refused, since) {
            return answer;
        }
        let _lock = self.file.lock().await;
        if let Some(token) = self.file.read().await.filter(|kept| kept.serves(refused)) {
            self.hold(&token);
            return Ok(token);
        }
        match ask.await {
            Ok(token) => {
                self.hold(&token);
                self.file.write(&token).await;
                Ok(token)
            }
            Err(error) => {
                let penalty = if error.is_unauthorized() { PENALTY } else { Duration::ZERO };
                self.held().failure =
                    Some(NoToken { at: Instant::now(), error: error.clone(), penalty });
                Err(error)
            }
        }
    }

    /// The service refused a token that it had just given: everybody gets `error` for a while.
    pub(super) fn give_up(&self, token: &Token, error: &Error) {
        let mut held = self.held();
        if held.token.as_ref().is_some_and(|held| held.access == token.access) {
            held.token = None;
        }
        let penalty = (PENALTY * 2u32.pow(held.fruitless.min(16))).min(LONGEST_PENALTY);
        held.fruitless += 1;
        held.failure = Some(NoToken { at: Instant::now(), error: error.clone(), penalty });
    }

    /// The service took a token.
    pub(super) fn works(&self) {
        self.held().fruitless = 0;
    }

    /// Whether another token is held already than this one, and serves.
    pub(super) fn has_another(&self, refused: &Token) -> bool {
        self.held().token.as_ref().is_some_and(|token| token.serves(Some(refused)))
    }

    fn hold(&self, token: &Token) {
        let mut held = self.held();
        (held.token, held.failure) = (Some(token.clone()), None);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `token.json` and `token.lock`. Trouble with them is told and survived: the token is then
/// this process's own.
struct TokenFile {
    dir: PathBuf,
    /// Whose token it has to be: one that other credentials got says nothing of these.
    owner: String,
}

/// What `token.json` holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    token: TokenAnswer,
    #[serde(default)]
    owner: String,
    /// When the service gave it.
    #[serde(default)]
    given: Option<Timestamp>,
}

/// Tells credentials apart, and is too short to tell what they are.
fn fingerprint(credentials: &Credentials) -> String {
    let text = format!("{}\n{}", credentials.client_id, credentials.client_secret.reveal());
    let sum = Md5::new(Hasher::digest(text.as_bytes()).into());
    sum.to_string()[..8].to_owned()
}

impl TokenFile {
    /// Waits for the lock, which lasts until the file is dropped.
    async fn lock(&self) -> Option<File> {
        let path = self.dir.join("token.lock");
        let file = aside(move || {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o600);
            options.open(path)
        })
        .await
        .map_err(|error| tracing::warn!("the token is not shared, it cannot be locked: {error}"))
        .ok()?;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                // Polled rather than waited for: a thread that waits cannot be called back.
                Err(TryLockError::WouldBlock) => sleep(LOCK_POLL).await,
                Err(TryLockError::Error(error)) => {
                    tracing::warn!("the token is not shared, it cannot be locked: {error}");
                    return None;
                }
            }
        }
    }

    /// The token on disk; `None` where there is none that can be read.
    async fn read(&self) -> Option<Token> {
        let path = self.dir.join("token.json");
        let bytes = match aside(move || std::fs::read(path)).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("the kept token cannot be read: {error}");
                return None;
            }
        };
        let kept: Kept = serde_json::from_slice(&bytes)
            .map_err(|_| tracing::warn!("the kept token is garbage, a new one is asked for"))
            .ok()?;
        (kept.owner == self.owner).then(|| Token::kept(&kept.token, kept.given))
    }

    /// Replaces the token on disk as a whole.
    async fn write(&self, token: &Token) {
        let kept = Kept {
            token: TokenAnswer {
                access_token: token.access.reveal().to_owned(),
                expired_at: token.ends.map(|ends| ends.to_string()).unwrap_or_default(),
            },
            owner: self.owner.clone(),
            given: token.given,
        };
        let dir = self.dir.clone();
        let written = aside(move || {
            let json = serde_json::to_vec(&kept)?;
            // A named temporary file has mode 0600.
            let mut file = tempfile::Builder::new().prefix(".token").tempfile_in(&dir)?;
            file.write_all(&json)?;
            file.persist(dir.join("token.json"))?;
            Ok::<_, io::Error>(())
        });
        if let Err(error) = written.await {
            tracing::warn!("the token cannot be kept on disk: {error}");
        }
    }
}
