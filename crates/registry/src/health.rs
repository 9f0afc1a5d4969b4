//! The article's health: points for success, a share off for failure, three failures in a row advise failover.
//!
//! These numbers drive [`Scoring::Composite`](crate::Scoring::Composite) and the display. The adaptive score uses the
//! failures in a row alone: at half of its calls failing, health settles near 100.

use crate::latency::millis;
use std::time::{Duration, Instant};

/// Full health.
const FULL: f64 = 100.0;
/// The article's: a success gives ten points.
const GAIN: f64 = 10.0;
/// The article's: a failure leaves 95 %.
const KEPT: f64 = 0.95;
/// The article's: so many failures in a row advise failover.
pub(crate) const ADVISE_AT: u32 = 3;
/// The article's: what a latency is taken for at first, and what the score measures it by.
pub(crate) const NORMAL_MS: f64 = 50.0;
/// The article's: a new latency counts a tenth.
const OLD_SHARE: f64 = 0.9;

/// The article's fields of one region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pub(crate) score: f64,
    pub(crate) failures: u32,
    pub(crate) last_success: Option<Instant>,
    pub(crate) average_ms: f64,
}

impl Health {
    pub(crate) fn new(initial: Option<Duration>) -> Self {
        Self { score: FULL, failures: 0, last_success: None, average_ms: initial.map_or(NORMAL_MS, millis) }
    }

    pub(crate) fn on_success(&mut self, now: Instant) {
        self.score = (self.score + GAIN).min(FULL);
        self.failures = 0;
        self.last_success = Some(now);
    }

    /// Says whether this failure is the one that advises failover: true once in a run of failures.
    pub(crate) fn on_failure(&mut self) -> bool {
        self.score *= KEPT;
        self.failures = self.failures.saturating_add(1);
        self.failures == ADVISE_AT
    }

    pub(crate) fn on_latency(&mut self, latency: Duration) {
        self.average_ms = self.average_ms * OLD_SHARE + millis(latency) * (1.0 - OLD_SHARE);
    }

    pub(crate) const fn failover_advised(&self) -> bool {
        self.failures >= ADVISE_AT
    }
}
