//! What an attempt taught, in the registry's own words.

use crate::query::Kind;
use std::time::Duration;

/// The end of an attempt, as far as the choice among deployments is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sample {
    /// It was answered. Without any latency, as by a health check, only health is told: it then does not count as a try.
    Success {
        /// Time to the first content of a stream; absent when it was told by
        /// [`first_token`](crate::Registry::first_token), or for a whole answer.
        first_token: Option<Duration>,
        /// Time to a whole plain answer; absent for a stream, whose length says nothing about the place.
        answer: Option<Duration>,
        /// Tokens used, input and output.
        tokens: u64,
    },
    /// It failed, and the deployment is to blame.
    Failure,
    /// The provider refused it for a quota. Says nothing about health or latency; set a cooldown beside it.
    RateLimited,
    /// It ended in a way that says nothing about the deployment: the caller's own fault, a bad key.
    Neutral,
    /// The caller went away. Without content, the time waited is a lower bound of the latency and only raises the estimate.
    Cancelled {
        /// What was waited for: a stream's first content, or a whole answer.
        kind: Kind,
        /// How long.
        waited: Duration,
        /// Whether content had come; then nothing is learned.
        content: bool,
    },
}

impl Sample {
    /// A stream that went well, its tokens not known.
    #[must_use]
    pub const fn first_token(after: Duration) -> Self {
        Self::Success { first_token: Some(after), answer: None, tokens: 0 }
    }

    /// A whole answer that went well, its tokens not known.
    #[must_use]
    pub const fn answer(after: Duration) -> Self {
        Self::Success { first_token: None, answer: Some(after), tokens: 0 }
    }
}
