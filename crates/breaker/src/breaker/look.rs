//! What can be read of a breaker: where it stands, why, until when, on what counts. Nothing here changes anything.

use std::time::Instant;

use super::Breaker;
use crate::{BreakerConfig, Counts, State, TripReason};

impl Breaker {
    /// Where the circuit stands at `now`; a projection that changes nothing. An open circuit reads as open until
    /// its first trial is admitted.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let now = self.clock.at(now);
        match self.state {
            State::HalfOpen if self.stay_end().is_some_and(|end| now >= end) => State::Open,
            state => state,
        }
    }

    /// The next instant at which time alone changes an answer: the open time's end, a lease's, the half-open
    /// stay's. None once that instant has been passed to any method, so that a driver sleeping until here never spins.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let next = match self.state {
            State::Open => Some(self.until),
            State::HalfOpen => self.stay_end().into_iter().chain(self.trials.next_lease_end()).min(),
            State::Closed | State::ForcedOpen | State::Disabled => None,
        };
        self.clock.instant(next.filter(|next| *next > self.clock.last())?)
    }

    /// The config it was built from.
    #[must_use]
    pub const fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// The number of the present stay in one state; the first is 0.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How often the circuit has opened; forced stays do not count.
    #[must_use]
    pub const fn opened_total(&self) -> u64 {
        self.opened_total
    }

    /// Why it is open, or was before the present trials; none when closed or disabled.
    #[must_use]
    pub const fn reason(&self) -> Option<TripReason> {
        self.reason
    }

    /// The end of the present open time; none unless open.
    #[must_use]
    pub fn open_until(&self) -> Option<Instant> {
        if self.state == State::Open { self.clock.instant(self.until) } else { None }
    }

    /// When the present state began; none before the first transition.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        if self.epoch == 0 { None } else { self.clock.instant(self.since) }
    }

    /// Failures in a row of the present closed stay, or of the one that tripped.
    #[must_use]
    pub const fn consecutive_failures(&self) -> u32 {
        self.run
    }

    /// What the window of the `rule`-th trip rule holds at `now`, in the order of evaluation: the consecutive
    /// rule if it is on, `failure_rate` if set, then `rules`. None for a rule without a window. After a trip
    /// the counts that caused it stay readable until the circuit closes.
    #[must_use]
    pub fn window(&self, rule: usize, now: Instant) -> Option<Counts> {
        self.tallies.get(rule)?.counts(self.clock.at(now))
    }

    /// What the trials of the present half-open stay, or the last one, have brought.
    #[must_use]
    pub const fn trial_results(&self) -> Counts {
        self.trials.results
    }

    /// Transitions that nobody fetched in time.
    #[must_use]
    pub const fn events_lost(&self) -> u64 {
        self.events_lost
    }
}
