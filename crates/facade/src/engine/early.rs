//! Early trials: when nobody is left to ask, somebody has to find out first whether a place is back.
//!
//! A circuit's open time is there so that a sick place is left in peace while its neighbours serve. When every circuit that
//! a call could use is open, waiting that time out serves nobody: the places are asked by hardly anyone, and callers are
//! refused long after the outage has passed. So a call that would end without having asked anybody may bring one
//! circuit's half-open state forward. The circuit is not passed by: its trials, their number and their verdicts are its own.
//!
//! # Limits
//! Each place is brought forward no sooner than [`EARLY_TRIAL_AFTER`] after its last failure, which includes that of its last
//! trial, and never before a wait that the provider named has passed. Circuits that an operator keeps open stay so.

use std::time::{Duration, Instant};

use super::succession::{Numbers, renew};

/// The least time between a place's last failure and an early trial there. A place is half-open twice a second at the most,
/// for as many trials as its circuit admits, and callers are served again within a second of an outage's end.
pub(super) const EARLY_TRIAL_AFTER: Duration = Duration::from_millis(500);

/// When each of some places may be tried early.
#[derive(Debug, Default)]
pub(super) struct EarlyTrials {
    from: Vec<Option<Instant>>,
}

impl EarlyTrials {
    /// Of what is new among some places, nothing is known.
    pub(super) fn follow(&mut self, numbers: &Numbers) {
        renew(&mut self.from, numbers, |_| None);
    }

    /// A place failed, and perhaps asked to be left alone for a while.
    pub(super) fn on_failure(&mut self, place: usize, wish: Option<Duration>, now: Instant) {
        let from = now.checked_add(wish.unwrap_or_default().max(EARLY_TRIAL_AFTER));
        if let Some(slot) = self.from.get_mut(place) {
            *slot = (*slot).max(from);
        }
    }

    /// From when on a place may be tried early; `None` when it has not failed.
    pub(super) fn from(&self, place: usize) -> Option<Instant> {
        self.from.get(place).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t0() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_place_is_left_alone_after_each_failure_and_as_long_as_it_asked() {
        let now = t0();
        let mut early = EarlyTrials::default();
        early.follow(&Numbers::first(2));
        assert_eq!(early.from(0), None);
        early.on_failure(0, None, now);
        assert_eq!(early.from(0), Some(now + EARLY_TRIAL_AFTER));
        early.on_failure(0, Some(Duration::from_secs(9)), now);
        early.on_failure(0, None, now + Duration::from_secs(1));
        assert_eq!(early.from(0), Some(now + Duration::from_secs(9)), "a wait that was named is kept");
        assert_eq!(early.from(1), None);
        early.on_failure(7, None, now);
        assert_eq!(early.from(7), None);
    }
}
