//! Phases: how far a local file is on its way.

use serde::{Deserialize, Serialize};

/// How far a local file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Being written: nobody was promised anything yet.
    Open,
    /// It was being written when its mount ended: its bytes stay until the user decides.
    Interrupted,
    /// Closed: its bytes are synced and will get to the service, unless its name is for here only.
    Closed,
    /// The service refused it for good; its bytes stay until the user decides.
    Failed,
    /// The user removed it while its upload was under way: what that may make is to go too.
    Removed,
    /// Not wanted any more: its staged bytes can go.
    Done,
}

impl Phase {
    /// As the state file has it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Interrupted => "interrupted",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Removed => "removed",
            Self::Done => "done",
        }
    }

    /// What was written so.
    pub(super) fn of(text: &str) -> Self {
        match text {
            "open" => Self::Open,
            "interrupted" => Self::Interrupted,
            "closed" => Self::Closed,
            "removed" => Self::Removed,
            "done" => Self::Done,
            // Also what nobody wrote: it keeps the bytes, and does nothing with them.
            _ => Self::Failed,
        }
    }
}
