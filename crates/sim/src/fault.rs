//! What can be wrong with a region, by name, and for which of its requests.
//!
//! A [`Fault`] says what happens, a [`When`] says to whom and how long. Both are plain data: nothing runs while a fault is
//! on, each request asks at its start which faults apply to it. Faults that only delay (`slow`, `slow_first_token`,
//! `slow_tokens`) add up with each other and with one other fault; of the others, the first injected that strikes decides.

use std::{fmt, str::FromStr, time::Duration};

use crate::latency::Draws;

/// One way in which a region fails. The names ([`Fault::name`]) are those of the command line, of scenario files and of
/// `/chaos`; parsing a name gives the fault with its defaults.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// `refuse`: the connection is refused. On sockets the region's port closes while the fault strikes every request;
    /// with a share or a first-n nobody can tell before the request is read, so those are reset instead.
    Refuse,
    /// `reset`: the request is read, then the connection is reset before the head of an answer.
    Reset,
    /// `silent`: the request is read and never answered.
    Silent,
    /// `status`: an answer with this status.
    Status {
        /// The status; default 500.
        code: u16,
        /// `Retry-After`, when given.
        retry_after: Option<Duration>,
        /// The body instead of the provider's usual error form.
        body: Option<String>,
        /// Further headers, as they are; one that is no header is left out.
        headers: Vec<(String, String)>,
    },
    /// `rate_limit`: 429 `rate_limit_exceeded`.
    RateLimit {
        /// `Retry-After`; default 1 s, `None` leaves the header out.
        retry_after: Option<Duration>,
    },
    /// `quota_spent`: 429 of the kind that no waiting heals, `insufficient_quota`.
    QuotaSpent,
    /// `overloaded`: 529 `overloaded_error`.
    Overloaded,
    /// `slow_first_token`: the head (and a stream's role delta) come in time, the first token this much later. A plain
    /// answer is late by as much.
    SlowFirstToken {
        /// How much later; default 5 s.
        delay: Duration,
    },
    /// `slow_tokens`: each token takes this long.
    SlowTokens {
        /// Time a token; default 250 ms.
        delay: Duration,
    },
    /// `slow`: the whole region is slower, first byte and tokens alike.
    Slow {
        /// How many times slower; default 10.
        factor: f64,
    },
    /// `cut`: the connection breaks after this many tokens, without a proper end. A plain answer breaks half way.
    Cut {
        /// Tokens before the break; default 5.
        after: u32,
    },
    /// `stall`: nothing more comes after this many tokens, and the connection stays. A plain answer stops half way.
    Stall {
        /// Tokens before the silence; default 5.
        after: u32,
    },
    /// `malformed`: this frame of a stream, counted from 1, is broken JSON (a shorter stream breaks in its last). A plain
    /// answer is broken JSON with a proper end.
    Malformed {
        /// Which frame; default 3.
        after: u32,
    },
    /// `no_done`: a stream ends properly without its last frame (`[DONE]`, `message_stop`, `response.completed`). Plain
    /// answers are whole.
    NoDone,
    /// `empty`: 200 with nothing in it.
    Empty,
    /// `keepalive_forever`: 200, then comments only, one a second. A plain answer is blank lines in the same measure.
    KeepaliveForever,
    /// `context_length`: 400 `context_length_exceeded`, for generations only.
    ContextLength,
    /// `content_filter`: 400 `content_filter`, for generations only.
    ContentFilter,
    /// `bad_key`: 401 `invalid_api_key`, whatever the key.
    BadKey,
    /// `no_prefill`: 400 for a conversation that ends with an assistant's message; everything else is answered.
    NoPrefill,
}

impl Fault {
    /// Every fault with its defaults, in the order of the list above.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Refuse,
            Self::Reset,
            Self::Silent,
            Self::status(500),
            Self::RateLimit { retry_after: Some(Duration::from_secs(1)) },
            Self::QuotaSpent,
            Self::Overloaded,
            Self::SlowFirstToken { delay: Duration::from_secs(5) },
            Self::SlowTokens { delay: Duration::from_millis(250) },
            Self::Slow { factor: 10.0 },
            Self::Cut { after: 5 },
            Self::Stall { after: 5 },
            Self::Malformed { after: 3 },
            Self::NoDone,
            Self::Empty,
            Self::KeepaliveForever,
            Self::ContextLength,
            Self::ContentFilter,
            Self::BadKey,
            Self::NoPrefill,
        ]
    }

    /// `status` with this code and nothing else.
    pub fn status(code: u16) -> Self {
        Self::Status { code, retry_after: None, body: None, headers: Vec::new() }
    }

    /// The fault's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::Silent => "silent",
            Self::Status { .. } => "status",
            Self::RateLimit { .. } => "rate_limit",
            Self::QuotaSpent => "quota_spent",
            Self::Overloaded => "overloaded",
            Self::SlowFirstToken { .. } => "slow_first_token",
            Self::SlowTokens { .. } => "slow_tokens",
            Self::Slow { .. } => "slow",
            Self::Cut { .. } => "cut",
            Self::Stall { .. } => "stall",
            Self::Malformed { .. } => "malformed",
            Self::NoDone => "no_done",
            Self::Empty => "empty",
            Self::KeepaliveForever => "keepalive_forever",
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
            Self::BadKey => "bad_key",
            Self::NoPrefill => "no_prefill",
        }
    }

    /// Whether the fault only delays, and so adds up with others.
    pub(crate) fn only_delays(&self) -> bool {
        matches!(self, Self::SlowFirstToken { .. } | Self::SlowTokens { .. } | Self::Slow { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no fault's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault `{name}`; faults are {}", Fault::all().iter().map(Fault::name).collect::<Vec<_>>().join(", "))]
#[non_exhaustive]
pub struct UnknownFault {
    /// What was given.
    pub name: String,
}

impl FromStr for Fault {
    type Err = UnknownFault;

    /// The fault of this name, with its defaults.
    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::all()
            .into_iter()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| UnknownFault { name: name.to_owned() })
    }
}

/// Which requests a fault strikes: all of them, a share, the first n, or those between two times. Combined, all must hold.
///
/// Times count from the moment of injection.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct When {
    /// Share of the requests struck, 0..=1; each is drawn by itself.
    pub share: f64,
    /// Only so many requests, the first ones.
    pub first: Option<u32>,
    /// Not before this.
    pub after: Duration,
    /// No longer than this; `None` until cleared.
    pub lasting: Option<Duration>,
}

impl When {
    /// Every request, until cleared.
    pub fn always() -> Self {
        Self { share: 1.0, first: None, after: Duration::ZERO, lasting: None }
    }

    /// Only this share of the requests. Below 0 or not a number counts as 0, above 1 as 1.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = if share >= 0.0 { share.min(1.0) } else { 0.0 };
        self
    }

    /// Only the first `n` requests that the fault applies to.
    #[must_use]
    pub fn first(mut self, n: u32) -> Self {
        self.first = Some(n);
        self
    }

    /// Beginning so much after the injection.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// Ending by itself after so long.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = Some(duration);
        self
    }
}

impl From<Duration> for When {
    /// Every request, for so long.
    fn from(duration: Duration) -> Self {
        Self::always().lasting(duration)
    }
}

/// A fault in a region, with its times on the world's clock.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) fault: Fault,
    share: f64,
    left: Option<u32>,
    from: Duration,
    until: Duration,
}

impl Injection {
    pub(crate) fn new(fault: Fault, when: When, now: Duration) -> Self {
        let from = now.saturating_add(when.after);
        let until = when.lasting.map_or(Duration::MAX, |lasting| from.saturating_add(lasting));
        Self { fault, share: when.share, left: when.first, from, until }
    }

    pub(crate) fn is_active(&self, now: Duration) -> bool {
        self.from <= now && now < self.until && self.left != Some(0)
    }

    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.until <= now || self.left == Some(0)
    }

    /// How long it goes on; `None` is without end.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        (self.until < Duration::MAX).then(|| self.until.saturating_sub(now))
    }

    /// Whether every connection is refused, so that a real port must be closed.
    pub(crate) fn closes_the_port(&self) -> bool {
        self.fault == Fault::Refuse && self.share >= 1.0 && self.left.is_none()
    }

    /// The next instant after `now` at which this fault begins or ends.
    pub(crate) fn next_change(&self, now: Duration) -> Option<Duration> {
        [self.from, self.until].into_iter().find(|&at| at > now && at < Duration::MAX)
    }

    /// Whether the request of these draws is struck; counts it if so.
    pub(crate) fn strikes(&mut self, now: Duration, draws: &mut Draws) -> bool {
        let struck = self.is_active(now) && draws.unit() < self.share;
        if struck && let Some(left) = &mut self.left {
            *left -= 1; // active means that it was above 0
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_own_fault() {
        for fault in Fault::all() {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        let unknown = "explode".parse::<Fault>().unwrap_err().to_string();
        assert!(
            unknown.starts_with("unknown fault `explode`; faults are refuse, reset, silent, status"),
            "{unknown}"
        );
    }

    #[test]
    fn a_share_that_is_no_number_strikes_nobody() {
        assert_eq!(When::always().share(f64::NAN).share.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_window_opens_closes_and_then_is_over() {
        let second = Duration::from_secs(1);
        let injection = Injection::new(Fault::Reset, When::always().after(second).lasting(second), second);
        assert_eq!(injection.next_change(Duration::ZERO), Some(second * 2));
        let active = |at: u32| injection.is_active(second * at);
        assert_eq!([active(1), active(2), active(3)], [false, true, false]);
        assert_eq!(injection.next_change(second * 2), Some(second * 3));
        assert!(injection.is_over(second * 3));
    }
}
