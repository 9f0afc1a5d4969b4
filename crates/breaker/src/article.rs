//! The article's three methods, as a thin layer over the machine.
//!
//! # Their weakness
//! Nothing ties a result to the call it came from. A result recorded while closed counts at once, even if its
//! call began before the outage; one recorded in half-open is taken for the oldest trial's. Permits say which it is:
//! prefer [`Breaker`] or [`SharedBreaker`](crate::SharedBreaker).

use std::collections::VecDeque;
use std::time::Instant;

use crate::{Breaker, BreakerConfig, ConfigError, Permit, State, Verdict};

/// A breaker with the article's names.
#[derive(Debug)]
pub struct ArticleBreaker {
    breaker: Breaker,
    /// Trials of this half-open stay, oldest first; never more than the config admits.
    trials: VecDeque<Permit>,
}

impl ArticleBreaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds.
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        Ok(Self { breaker: Breaker::new(config)?, trials: VecDeque::new() })
    }

    /// Whether a request may go; in half-open a `true` takes one of the trials, which comes back when its lease ends.
    pub fn should_allow_request(&mut self, now: Instant) -> bool {
        let Ok(permit) = self.breaker.acquire(now) else { return false };
        if permit.is_trial() {
            let epoch = self.breaker.epoch();
            self.trials.retain(|trial| trial.epoch() == epoch);
            if self.trials.len()
                >= usize::try_from(self.breaker.config().half_open_max_calls).unwrap_or(usize::MAX)
            {
                // More are known than can be out: the oldest has outlived its lease.
                self.trials.pop_front();
            }
            self.trials.push_back(permit);
        }
        true
    }

    /// A request went well.
    pub fn record_success(&mut self, now: Instant) {
        self.record(Verdict::Success, now);
    }

    /// A request went wrong.
    pub fn record_failure(&mut self, now: Instant) {
        self.record(Verdict::Failure, now);
    }

    fn record(&mut self, verdict: Verdict, now: Instant) {
        self.breaker.advance(now);
        match self.breaker.state(now) {
            State::Closed => self.breaker.report(Permit::issue(self.breaker.epoch(), None), verdict, now),
            State::HalfOpen => {
                if let Some(permit) = self.trials.pop_front() {
                    self.breaker.report(permit, verdict, now);
                }
            }
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// The machine below.
    #[must_use]
    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }
}
