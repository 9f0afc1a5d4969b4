//! What a provider said: how much is left, and how long to stay away.

use std::time::{Duration, Instant};

/// Who said that a deployment is to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature: the provider, or we")]
pub enum CooldownOrigin {
    /// The provider named the wait. It is kept whatever happens.
    Named,
    /// We concluded it from a refusal without a wait. It is waived when nobody else is left.
    Inferred,
}

/// What a provider's headers say is left. An absent number says nothing and leaves what was known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Requests that may still be made until the reset.
    pub remaining_requests: Option<u64>,
    /// Tokens that may still be used until the reset.
    pub remaining_tokens: Option<u64>,
    /// When the requests are full again; a minute after the note when absent.
    pub requests_reset_at: Option<Instant>,
    /// When the tokens are full again; a minute after the note when absent.
    pub tokens_reset_at: Option<Instant>,
}

/// What is left of one thing, until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    amount: u64,
    until: Instant,
}

impl Left {
    fn noted(amount: u64, until: Option<Instant>, now: Instant) -> Self {
        // A provider that names no reset counts by the minute, as all known ones do.
        let until = until.or_else(|| now.checked_add(Duration::from_secs(60)));
        Self { amount, until: until.unwrap_or(now) }
    }

    /// Until when `needed` cannot be had; `None` when it can.
    fn lacks(self, needed: u64, now: Instant) -> Option<Instant> {
        (now < self.until && self.amount < needed).then_some(self.until)
    }
}

/// What is left by the provider's word, less what we have used since.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Headroom {
    requests: Option<Left>,
    tokens: Option<Left>,
}

impl Headroom {
    pub(crate) fn note(&mut self, quota: &Quota, now: Instant) {
        if let Some(amount) = quota.remaining_requests {
            self.requests = Some(Left::noted(amount, quota.requests_reset_at, now));
        }
        if let Some(amount) = quota.remaining_tokens {
            self.tokens = Some(Left::noted(amount, quota.tokens_reset_at, now));
        }
    }

    #[inline]
    pub(crate) const fn is_noted(&self) -> bool {
        self.requests.is_some() || self.tokens.is_some()
    }

    pub(crate) const fn spend(&mut self, requests: u64, tokens: u64) {
        if let Some(left) = &mut self.requests {
            left.amount = left.amount.saturating_sub(requests);
        }
        if let Some(left) = &mut self.tokens {
            left.amount = left.amount.saturating_sub(tokens);
        }
    }

    /// Until when a request of `tokens` has no room; `None` when it has.
    pub(crate) fn lacks(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let requests = self.requests.and_then(|left| left.lacks(1, now));
        let tokens = self.tokens.and_then(|left| left.lacks(tokens, now));
        requests.max(tokens)
    }

    pub(crate) fn left(&self, now: Instant) -> (Option<u64>, Option<u64>) {
        let amount = |left: Option<Left>| left.filter(|left| now < left.until).map(|left| left.amount);
        (amount(self.requests), amount(self.tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing_time::t0;

    #[test]
    fn what_is_used_is_no_longer_left() {
        let mut headroom = Headroom::default();
        let quota = Quota { remaining_requests: Some(2), remaining_tokens: Some(100), ..Quota::default() };
        headroom.note(&quota, t0());
        headroom.spend(1, 60);
        assert_eq!(headroom.left(t0()), (Some(1), Some(40)));
        assert_eq!(headroom.lacks(40, t0()), None);
        assert_eq!(headroom.lacks(41, t0()), Some(t0() + Duration::from_secs(60)));
    }

    #[test]
    fn a_reset_fills_it_again() {
        let mut headroom = Headroom::default();
        let reset = t0() + Duration::from_secs(7);
        headroom.note(
            &Quota { remaining_requests: Some(0), requests_reset_at: Some(reset), ..Quota::default() },
            t0(),
        );
        assert_eq!(headroom.lacks(0, t0()), Some(reset));
        assert_eq!(headroom.lacks(0, reset), None);
        assert_eq!(headroom.left(reset), (None, None));
    }
}
