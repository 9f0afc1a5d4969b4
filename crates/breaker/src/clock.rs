//! The machine's time: nanoseconds since its origin, which never go back.
//!
//! Why not `Instant` throughout? Arithmetic on `u64` saturates where `Instant` panics, buckets need a time
//! zero, and a word fits an atomic. 2^64 ns are 584 years.

use std::time::{Duration, Instant};

/// Turns instants into nanoseconds since the origin, and refuses to go back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Option<Instant>,
    last: u64,
}

impl Clock {
    /// Without an origin the first instant seen becomes it.
    pub(crate) const fn new(origin: Option<Instant>) -> Self {
        Self { origin, last: 0 }
    }

    /// Time passes up to `now`; a `now` before the last one reads as the last one.
    pub(crate) fn tick(&mut self, now: Instant) -> u64 {
        self.origin.get_or_insert(now);
        self.last = self.at(now);
        self.last
    }

    /// What `tick` would return, changing nothing.
    pub(crate) fn at(&self, now: Instant) -> u64 {
        self.nanos(now).max(self.last)
    }

    /// The latest time seen.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// An instant as nanoseconds since the origin; 0 for what lies before it.
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        self.origin.map_or(0, |origin| nanos(instant.saturating_duration_since(origin)))
    }

    /// The instant of a time; none without an origin, or when it lies beyond what the platform can say.
    pub(crate) fn instant(&self, nanos: u64) -> Option<Instant> {
        self.origin?.checked_add(Duration::from_nanos(nanos))
    }
}

/// A duration in whole nanoseconds, at most `u64::MAX`.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}
