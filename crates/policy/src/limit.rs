//! How many attempts one deployment is given at a time, learned from what it refuses.
//!
//! Additive increase, multiplicative decrease, the rule that shares a link among strangers (TCP; here as in Netflix'
//! concurrency-limits, `AIMDLimit`). Rules that watch latency instead (Vegas, gradients) read a long answer as a queue: a
//! language model's answer takes half a second or two minutes in the same state of the server. So what counts is what the
//! server says, 429 or 529, and beyond a timeout the time to the first token.

use std::time::Duration;

use crate::{config::AimdConfig, error::ConfigError};

/// A limit of attempts in flight that grows by one and shrinks by a factor.
///
/// Invariant: the limit stays between `min` (at least 1) and `max`.
///
/// It counts nothing itself: whoever starts attempts compares what is in flight with [`limit`](Self::limit).
#[derive(Clone, Debug, PartialEq)]
pub struct AimdLimit {
    config: AimdConfig,
    limit: u32,
}

impl AimdLimit {
    /// A limit that has seen nothing.
    ///
    /// # Errors
    /// As [`AimdConfig::validate`] says.
    pub fn new(config: AimdConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, limit: config.initial })
    }

    /// How many attempts may be in flight.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// One attempt has ended: `rtt` is its time to the first token (or to its refusal), `in_flight` how many ran when it started,
    /// itself included, and `dropped` whether it was refused for load. Gives the new limit.
    pub fn sample(&mut self, rtt: Duration, in_flight: u32, dropped: bool) -> u32 {
        if dropped || rtt > self.config.timeout { self.on_overload() } else { self.on_success(in_flight) }
    }

    /// An attempt was refused for load. Gives the new limit: `floor(limit * backoff)`.
    ///
    /// Each refusal counts. When many attempts are refused at one instant, tell of one of them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the factor is within 0 to 1, so the product is within 0 and the limit"
    )]
    pub fn on_overload(&mut self) -> u32 {
        let lower = (f64::from(self.limit) * self.config.backoff) as u32;
        self.limit = lower.max(self.config.min).max(1);
        self.limit
    }

    /// An attempt was refused for load while so many were in flight, itself included. Gives the new limit: the lower of the old
    /// one and of what was in flight, times `backoff`, but at least half of the old one.
    ///
    /// What was in flight is what was too much (TCP sets its window from the flight size for this reason, RFC 5681 equation 4),
    /// so a limit that starts far above is soon where it matters; and one odd refusal takes half of it at the most.
    pub fn on_refusal(&mut self, in_flight: u32) -> u32 {
        let half = self.limit / 2;
        self.limit = self.limit.min(in_flight.max(1));
        let lower = self.on_overload();
        self.limit = lower.max(half).max(self.config.min).max(1);
        self.limit
    }

    /// An attempt was served. Gives the new limit: one more when at least half of the old one was in use, since a limit that
    /// nobody presses against has not been tried.
    pub fn on_success(&mut self, in_flight: u32) -> u32 {
        if u64::from(in_flight) * 2 >= u64::from(self.limit) {
            self.limit = self.limit.saturating_add(1).min(self.config.max);
        }
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(initial: u32) -> AimdLimit {
        AimdLimit::new(AimdConfig { initial, ..AimdConfig::default() }).unwrap()
    }

    #[test]
    fn an_idle_limit_does_not_grow() {
        assert_eq!(limit(20).on_success(9), 20);
        assert_eq!(limit(20).on_success(10), 21);
        assert_eq!(limit(200).on_success(u32::MAX), 200);
    }

    #[test]
    fn a_refusal_and_a_late_first_token_are_the_same() {
        let quick = Duration::from_millis(1);
        assert_eq!(limit(30).sample(quick, 30, true), 27);
        assert_eq!(limit(30).sample(Duration::from_millis(5_001), 30, false), 27);
        assert_eq!(limit(30).sample(Duration::from_secs(5), 30, false), 31);
    }

    #[test]
    fn a_refusal_takes_the_limit_to_what_was_in_flight_and_half_of_it_at_most() {
        assert_eq!(limit(60).on_refusal(50), 45);
        assert_eq!(limit(60).on_refusal(100), 54);
        assert_eq!(limit(60).on_refusal(1), 30);
        let mut shrinking = limit(200);
        let series: Vec<u32> = (0..5).map(|_| shrinking.on_refusal(20)).collect();
        assert_eq!(series, [100, 50, 25, 18, 16]);
    }

    #[test]
    fn a_limit_never_falls_to_nothing() {
        let config = AimdConfig { initial: 1, min: 0, max: 5, backoff: 0.0, ..AimdConfig::default() };
        let mut limit = AimdLimit::new(config).unwrap();
        assert_eq!(limit.on_overload(), 1);
        assert_eq!(limit.on_success(1), 2);
    }
}
