//! [`Tokens`]: the access tokens that live.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::digest;

/// The live tokens, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    live: VecDeque<(String, Instant)>,
}

impl Tokens {
    /// A new token; with `limit` tokens alive, the oldest dies.
    pub(crate) fn issue(&mut self, life: Duration, limit: usize) -> String {
        let now = Instant::now();
        self.live.retain(|(_, end)| *end > now);
        while self.live.len() >= limit.max(1) {
            self.live.pop_front();
        }
        let token = digest::token();
        self.live.push_back((token.clone(), now + life));
        token
    }

    pub(crate) fn is_live(&self, token: &str) -> bool {
        let now = Instant::now();
        self.live.iter().any(|(live, end)| live == token && *end > now)
    }

    /// Ends every live token.
    pub(crate) fn expire(&mut self) {
        self.live.clear();
    }
}
