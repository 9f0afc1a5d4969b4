//! A trip rule at work: what it has counted, and whether that fires it.

use std::time::Duration;

use crate::TripReason;
use crate::clock;
use crate::rule::{Counts, Thresholds, TripRule};
use crate::window::{CountWindow, TimeWindow};

/// A trip rule with its counts.
#[derive(Clone, Debug)]
pub(super) enum Tally {
    Consecutive { failures: u32 },
    Count { window: CountWindow, min_calls: u32, thresholds: Thresholds },
    Time { window: TimeWindow, min_calls: u32, thresholds: Thresholds },
}

impl Tally {
    pub(super) fn new(rule: TripRule) -> Self {
        match rule {
            TripRule::Consecutive { failures } => Self::Consecutive { failures },
            TripRule::CountWindow { size, min_calls, thresholds } => Self::Count {
                window: CountWindow::new(size),
                min_calls: min_calls.clamp(1, size),
                thresholds,
            },
            TripRule::TimeWindow { length, buckets, min_calls, thresholds } => {
                let window = TimeWindow::new(clock::nanos(length), buckets);
                Self::Time { window, min_calls: min_calls.max(1), thresholds }
            }
        }
    }

    /// A rule that takes the place of others: the counts of a window that stays the same window go on, taken out of `before`.
    pub(super) fn succeeding(rule: TripRule, before: &mut Vec<Self>) -> Self {
        let mut fresh = Self::new(rule);
        if let Some(place) = before.iter().position(|old| old.counts_as(&fresh)) {
            match (&mut fresh, before.swap_remove(place)) {
                (Self::Count { window, .. }, Self::Count { window: old, .. }) => *window = old,
                (Self::Time { window, .. }, Self::Time { window: old, .. }) => *window = old,
                _ => {}
            }
        }
        fresh
    }

    /// Whether both have a window, and of the same shape.
    fn counts_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count { window, .. }, Self::Count { window: other, .. }) => window.is_like(other),
            (Self::Time { window, .. }, Self::Time { window: other, .. }) => window.is_like(other),
            _ => false,
        }
    }

    /// Counts a call.
    pub(super) fn record(&mut self, failed: bool, duration: Option<Duration>, now: u64) {
        match self {
            Self::Consecutive { .. } => {}
            Self::Count { window, thresholds, .. } => window.record(failed, thresholds.is_slow(duration)),
            Self::Time { window, thresholds, .. } => {
                window.roll(now);
                window.record(failed, thresholds.is_slow(duration));
            }
        }
    }

    /// Whether it fires, after a record, with so many failures in a row.
    pub(super) fn judge(&self, run: u32) -> Option<TripReason> {
        let (counts, min_calls, thresholds) = match self {
            Self::Consecutive { failures } => {
                return (*failures > 0 && run >= *failures).then_some(TripReason::Consecutive);
            }
            Self::Count { window, min_calls, thresholds } => (window.totals(), *min_calls, thresholds),
            Self::Time { window, min_calls, thresholds } => (window.totals(), *min_calls, thresholds),
        };
        if counts.total < min_calls { None } else { thresholds.judge(counts) }
    }

    pub(super) fn counts(&self, now: u64) -> Option<Counts> {
        match self {
            Self::Consecutive { .. } => None,
            Self::Count { window, .. } => Some(window.totals()),
            Self::Time { window, .. } => Some(window.totals_at(now)),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Consecutive { .. } => {}
            Self::Count { window, .. } => window.clear(),
            Self::Time { window, .. } => window.clear(),
        }
    }
}
