//! What a key has used of its minute and what its calls on their way hold: the pure half of a [`Pass`](super::pass::Pass).

use std::time::{Duration, Instant};

use super::window::{Full, Taken, Window};

/// What a key may use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Requests in any minute.
    pub(super) requests: Option<u64>,
    /// Tokens in any minute.
    pub(super) tokens: Option<u64>,
    /// Micro-USD that are left of its budget when nothing is on its way.
    pub(super) left: Option<u64>,
}

/// What a key has used and holds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: Window,
    tokens: Window,
    /// Micro-USD that calls on their way are thought to cost.
    held: u64,
}

/// What one call holds until it is settled.
#[derive(Debug, Default)]
pub(super) struct Held {
    tokens: Option<Taken>,
    micro_usd: u64,
}

/// Why a call may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many requests: so many in a minute are allowed, and there is room after this wait.
    Requests(u64, Duration),
    /// Too many tokens, likewise.
    Tokens(u64, Duration),
    /// It may take more tokens than a whole minute has.
    TooManyTokens(u64),
    /// The budget is spent, or will be by what is on its way.
    Budget,
}

impl Meter {
    /// Lets a call begin that may take so many tokens and cost so much, or none of it.
    ///
    /// # Errors
    /// Nothing is taken, and the longest wait is told.
    pub(super) fn enter(
        &mut self,
        limits: Limits,
        (tokens, micro_usd): (u64, u64),
        now: Instant,
    ) -> Result<Held, Refused> {
        if limits.left.is_some_and(|left| self.held >= left) {
            return Err(Refused::Budget);
        }
        let of_requests = limits.requests.map(|limit| (limit, self.requests.room(1, limit, now)));
        let of_tokens = limits.tokens.map(|limit| (limit, self.tokens.room(tokens, limit, now)));
        match (of_requests, of_tokens) {
            (_, Some((limit, Err(Full::Forever)))) => return Err(Refused::TooManyTokens(limit)),
            (Some((limit, Err(Full::For(wait)))), Some((_, Err(Full::For(other))))) if wait >= other => {
                return Err(Refused::Requests(limit, wait));
            }
            (_, Some((limit, Err(Full::For(wait))))) => return Err(Refused::Tokens(limit, wait)),
            (Some((limit, Err(Full::For(wait)))), _) => return Err(Refused::Requests(limit, wait)),
            // A limit of requests is at least one.
            (Some((_, Ok(()) | Err(Full::Forever))) | None, Some((_, Ok(()))) | None) => {}
        }
        if limits.requests.is_some() {
            self.requests.take(1, now);
        }
        self.held = self.held.saturating_add(micro_usd);
        Ok(Held { tokens: limits.tokens.map(|_| self.tokens.take(tokens, now)), micro_usd })
    }

    /// The call took so many tokens; `None` for as many as it was thought to take. Its cost is booked elsewhere by now, and no longer
    /// held here.
    pub(super) fn settle(&mut self, held: Held, tokens: Option<u64>, now: Instant) {
        self.held = self.held.saturating_sub(held.micro_usd);
        if let (Some(taken), Some(tokens)) = (held.tokens, tokens) {
            self.tokens.settle(taken, tokens, now);
        }
    }
}
