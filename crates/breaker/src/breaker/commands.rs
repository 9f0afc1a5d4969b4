//! What an operator may say: keep it open, take it out, close it, open it for a while, go by other numbers.

use std::time::{Duration, Instant};

use super::{Breaker, tally::Tally};
use crate::{BreakerConfig, ConfigError, State, TripReason, clock};

impl Breaker {
    /// Keeps the circuit open until another command.
    pub fn force_open(&mut self, now: Instant) {
        self.advance(now);
        if self.state != State::ForcedOpen {
            self.reason = Some(TripReason::Manual);
            self.enter(State::ForcedOpen, self.clock.last());
        }
    }

    /// Takes the breaker out: every call is admitted, none is counted, until another command.
    pub fn disable(&mut self, now: Instant) {
        self.advance(now);
        if self.state != State::Disabled {
            self.reason = None;
            self.enter(State::Disabled, self.clock.last());
        }
    }

    /// Back to closed from any state, with nothing counted. A closed breaker stays in its epoch and forgets its
    /// counts.
    pub fn reset(&mut self, now: Instant) {
        self.advance(now);
        if self.state == State::Closed {
            self.forget();
        } else {
            self.close(self.clock.last());
        }
    }

    /// Open now, for this long, whatever the rules say. Counts as an opening, unless the circuit is open: then
    /// only its end moves.
    pub fn open_for(&mut self, duration: Duration, now: Instant) {
        self.advance(now);
        let now = self.clock.last();
        let until = now.saturating_add(clock::nanos(duration));
        if self.state == State::Open {
            self.until = until;
            self.reason = Some(TripReason::Manual);
        } else {
            self.open(TripReason::Manual, until, now);
        }
    }

    /// Goes by another config from now on, and keeps what it knows: where it stands and since when, the failures in a row, and
    /// the counts of each window that keeps its shape (a window of another length or size begins empty). An open time that runs
    /// keeps its end. Permits stay good. The numbers that lie in wait for a report are judged at the next one; a half-open
    /// stay that its trials would have decided by the new numbers is decided here.
    ///
    /// # Errors
    /// What [`BreakerConfig::validate`] finds; then nothing has changed.
    pub fn set_config(&mut self, config: BreakerConfig, now: Instant) -> Result<(), ConfigError> {
        config.validate()?;
        self.advance(now);
        let mut before = std::mem::take(&mut self.tallies).into_vec();
        self.tallies = config.all_rules().map(|rule| Tally::succeeding(rule, &mut before)).collect();
        self.config = config;
        self.judge_anew(self.clock.last());
        Ok(())
    }
}
