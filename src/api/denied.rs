//! A denied call: whether the token is to blame, the developer right, or nothing that lasts.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::endpoint::Endpoint;
use super::error::{Error, Reply};
use super::failure::Failure;
use super::limit::Priority;
use super::right::{Look, Pass};
use super::send::{Call, Sender};
use super::token::Token;
use super::user::UserInfo;

/// How long the account may be asked for, to find out why a call was denied.
const LOOK: Duration = Duration::from_secs(10);

/// The denials of one call so far.
#[derive(Default)]
pub(super) struct Denials {
    /// The token that is of no use, and when the first one was denied.
    refused: Option<(Token, Instant)>,
    /// Whether it was tried again with a token that the service takes elsewhere.
    is_repeated: bool,
}

impl Denials {
    /// The token that another is wanted for.
    pub(super) fn refused(&self) -> Option<&Token> {
        self.refused.as_ref().map(|(token, _)| token)
    }

    fn another_for(&mut self, token: &Token) -> Verdict {
        let first = self.refused.as_ref().map_or_else(Instant::now, |(_, first)| *first);
        self.refused = Some((token.clone(), first));
        Verdict::Another
    }
}

/// What follows from a denial.
pub(super) enum Verdict {
    /// Once more with another token.
    Another,
    /// Once more with the same token.
    Again,
    /// The token is as good as any: the call ends with this.
    End(Error),
    /// A token that was just given is refused: none is asked for for a while.
    GiveUp,
}

impl Sender {
    /// What a call goes ahead with that wants the developer right, if it does.
    pub(super) fn admit(&self, call: &Call<'_>) -> Result<Pass, Error> {
        if call.endpoint.is_of_bed() {
            self.right.admit(&call.what, Instant::now())
        } else {
            Ok(Pass::Free)
        }
    }

    /// The call was answered: what it was to find out is found out.
    pub(super) fn works(&self, pass: Pass) {
        self.tokens.works();
        if pass == Pass::Trial {
            self.right.works();
        }
    }

    /// Why a call was denied that went ahead with `token`, and what follows.
    pub(super) async fn judge(
        &self, call: &Call<'_>, reply: &Reply, (token, pass): (&Token, Pass),
        denials: &mut Denials, left: Duration,
    ) -> Verdict {
        if call.endpoint.is_of_bed() && pass == Pass::Free && self.right.refused_for().is_some() {
            // Found out meanwhile.
            return Verdict::End(self.right.lapsed(&call.what, reply, Instant::now()));
        }
        if self.tokens.has_another(token) {
            return denials.another_for(token);
        }
        let look = match call.endpoint {
            Endpoint::UserInfo => Look::Refused,
            _ => self.look(token, left).await,
        };
        match look {
            Look::Taken(_) if call.endpoint.wants_a_right() => {
                Verdict::End(Error::Refused { what: call.what.clone(), reply: reply.clone() })
            }
            Look::Taken(right) => {
                let is_over = right.is_held(self.now()) == Some(false);
                if is_over || (denials.is_repeated && token.is_fresh()) {
                    return Verdict::End(self.right.lapsed(&call.what, reply, Instant::now()));
                }
                match std::mem::replace(&mut denials.is_repeated, true) {
                    true => denials.another_for(token),
                    false => Verdict::Again,
                }
            }
            Look::Refused | Look::Unknown => {
                let first = denials.refused.as_ref().map(|(_, first)| *first);
                match first.zip(token.got).is_some_and(|(first, got)| got >= first) {
                    true => Verdict::GiveUp,
                    false => denials.another_for(token),
                }
            }
        }
    }

    /// What a refusal means that does not speak of a login, but may be for the lack of the right.
    pub(super) async fn judge_refusal(
        &self, call: &Call<'_>, error: Error, token: &Token, left: Duration,
    ) -> Error {
        if !call.endpoint.is_of_bed() || !error.may_mean_the_right() {
            return error;
        }
        match self.look(token, left).await {
            Look::Taken(right) if right.is_held(self.now()) == Some(false) => {
                let reply = match &error {
                    Error::Status { status, .. } => Reply::of_status(*status),
                    _ => error.refusal().cloned().unwrap_or_else(|| Reply::of_status(403)),
                };
                self.right.lapsed(&call.what, &reply, Instant::now())
            }
            _ => error,
        }
    }

    /// What the service says of the token where no right is wanted. All who wait for it at once
    /// share one answer.
    async fn look(&self, token: &Token, left: Duration) -> Look {
        let since = Instant::now();
        let asked = async {
            let _turn = self.right.asking.acquire().await;
            if let Some(look) = self.right.seen(&token.access, since) {
                return look;
            }
            let begun = Instant::now();
            let look = self.ask_account(token, LOOK.min(left)).await;
            self.right.note(&token.access, begun, look);
            look
        };
        timeout(left, asked).await.unwrap_or(Look::Unknown)
    }

    async fn ask_account(&self, token: &Token, time: Duration) -> Look {
        let call = Call::get(Endpoint::UserInfo, "", &[]);
        let read = |info: UserInfo| Ok(info.right());
        match self.insist(&call, Some(token), time, u32::MAX, read).await {
            Ok(right) => {
                self.right.told(right);
                Look::Taken(right)
            }
            Err(Error::Unauthorized { .. }) => Look::Refused,
            Err(_) => Look::Unknown,
        }
    }

    /// Sends a call with this token, or none, until it succeeds, is refused, or time runs out; after
    /// `most_lost` answers that were lost no more.
    pub(super) async fn insist<A: serde::de::DeserializeOwned, T>(
        &self, call: &Call<'_>, token: Option<&Token>, time: Duration, most_lost: u32,
        read: impl Fn(A) -> Result<T, super::wire::Garbage>,
    ) -> Result<T, Error> {
        let mut start = self.limiter(call).start(Priority::Foreground).await;
        let mut tries = self.tries(call, time);
        let mut lost = 0;
        loop {
            let failure: Failure = match self.attempt(call, token, tries.left(), &read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            self.count(call, &failure, start);
            lost += u32::from(failure.is_unsure());
            if lost > most_lost {
                return Err(tries.end(failure));
            }
            let wait = tries.after(failure)?;
            tokio::time::sleep(wait).await;
            let turn = self.limiter(call).start(Priority::Foreground);
            start = tries.within("its turn", turn).await?;
        }
    }
}
