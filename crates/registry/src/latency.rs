//! What a deployment's latency is taken for: what is usual there, and what has lately gone wrong.
//!
//! A peak EWMA alone decays to nothing while nobody asks: at a call a minute every place would look free, and the choice
//! would go round in turn whatever the latencies. So there are two averages. *Usual* is the plain one of real latencies and
//! stands until the next sample, or until it is older than `memory`. *Peak* jumps up at once, also by failures, and decays
//! as time passes. The estimate is the higher: bad news counts at once and is forgotten in seconds, good knowledge lasts
//! for minutes, and nothing lasts for ever.

use crate::ewma::Ewma;
use std::time::{Duration, Instant};

/// One kind of latency of one deployment, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    usual: Ewma,
    peak: Ewma,
    /// When an attempt last ended that told, or failed to tell.
    tried: Option<Instant>,
}

impl Latency {
    pub(crate) fn new(decay: Duration) -> Self {
        Self { usual: Ewma::new(decay), peak: Ewma::new(decay), tried: None }
    }

    /// A real latency. What went wrong longer than `forgive` ago no longer counts beside it.
    pub(crate) fn add(&mut self, sample: Duration, forgive: Duration, now: Instant) {
        let sample_ms = millis(sample);
        if self.tried.is_some_and(|at| now.saturating_duration_since(at) >= forgive) {
            // The rest of a failure's 5 s is still many times a usual latency after three decay times.
            self.peak.clear();
        }
        self.usual.add(sample_ms, now);
        self.peak.add_peak(sample_ms, now);
        // Of several samples of one instant the averages keep the first; the highest still counts.
        self.peak.raise(sample_ms, now);
        self.tried = self.tried.max(Some(now));
    }

    /// An attempt ended and told no latency.
    pub(crate) fn told_nothing(&mut self, now: Instant) {
        self.tried = self.tried.max(Some(now));
    }

    /// When an attempt last ended that told, or failed to tell.
    pub(crate) const fn tried(&self) -> Option<Instant> {
        self.tried
    }

    /// A latency is known to be at least this: a caller gave up, or a failure is to look no cheaper.
    pub(crate) fn raise(&mut self, floor: Duration, now: Instant) {
        self.peak.raise(millis(floor), now);
    }

    /// What is usual, while it is remembered.
    #[inline]
    pub(crate) fn usual_ms(&self, now: Instant, memory: Duration) -> Option<f64> {
        let at = self.usual.updated_at()?;
        self.usual.value().filter(|_| !is_older(at, memory, now))
    }

    /// The estimate that a pick compares, from what is usual, or stands for it while that is not known.
    #[inline]
    pub(crate) fn estimate_ms(&self, base_ms: f64, now: Instant) -> f64 {
        // No sample can bring the peak above its own last value: below the base, its decay need not be computed.
        match self.peak.value() {
            Some(peak_ms) if peak_ms > base_ms => {
                self.peak.value_at(now).map_or(base_ms, |peak_ms| peak_ms.max(base_ms))
            }
            _ => base_ms,
        }
    }
}

/// Whether so much time has passed since `at`: a sum and a comparison, which cost a pick less than a difference.
#[inline]
pub(crate) fn is_older(at: Instant, age: Duration, now: Instant) -> bool {
    at.checked_add(age).is_some_and(|then| then <= now)
}

/// A duration as milliseconds, with its fraction.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
