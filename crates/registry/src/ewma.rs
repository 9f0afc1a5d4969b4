//! An average that forgets with time, not with samples.
//!
//! The article's `0.9 x old + 0.1 x new` weighs by count: an idle region keeps an hour-old spike, a busy one forgets it
//! within a blink. Here a sample's weight falls by `e^(-age / decay)` (the form of Finagle's and linkerd's peak EWMA), so
//! that both forget at the same pace. Reading projects to a time and changes nothing.

use std::time::{Duration, Instant};

/// A time-decayed, exponentially weighted moving average; unset until its first sample.
///
/// `value(t) = value x e^(-dt / decay)`; a sample `x` makes it `value x w + x x (1 - w)` with `w = e^(-dt / decay)`.
/// Samples should be finite and not negative; then so is every value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewma {
    value: f64,
    at: Option<Instant>,
    /// 1 / decay in 1/seconds: a multiplication on the path of every pick.
    rate: f64,
}

impl Ewma {
    /// An average that forgets 63 % of a sample in `decay`; below 1 ms acts as 1 ms.
    #[must_use]
    pub fn new(decay: Duration) -> Self {
        Self { value: 0.0, at: None, rate: 1.0 / decay.max(Duration::from_millis(1)).as_secs_f64() }
    }

    /// The value as of the last sample; `None` before the first.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.at.map(|_| self.value)
    }

    /// When the last sample came.
    #[must_use]
    pub const fn updated_at(&self) -> Option<Instant> {
        self.at
    }

    /// The value as it has decayed by `now`; a time before the last sample reads as that sample's time.
    #[must_use]
    pub fn value_at(&self, now: Instant) -> Option<f64> {
        self.at.map(|at| self.value * self.kept(at, now))
    }

    /// Takes a sample. The first is taken as it is; one not newer than the last is dropped.
    pub fn add(&mut self, sample: f64, now: Instant) {
        match self.at {
            None => self.set(sample, now),
            Some(at) if now > at => {
                let kept = self.kept(at, now);
                self.set(self.value * kept + sample * (1.0 - kept), now);
            }
            Some(_) => {}
        }
    }

    /// Takes a sample that replaces the value at once when it is above it (above the *decayed* value), and is averaged in
    /// when it is below: up at once, down slowly. One not newer than the last is dropped.
    pub fn add_peak(&mut self, sample: f64, now: Instant) {
        if self.at.is_none_or(|at| now > at) && !self.raise(sample, now) {
            self.add(sample, now);
        }
    }

    /// Lifts the value to `floor` when it has decayed below it, and says whether it did. Never lowers it; the order of
    /// times does not matter.
    pub fn raise(&mut self, floor: f64, now: Instant) -> bool {
        let lifts = self.value_at(now).is_none_or(|value| floor > value);
        if lifts {
            self.set(floor, self.at.map_or(now, |at| at.max(now)));
        }
        lifts
    }

    /// Forgets all: unset again.
    pub(crate) const fn clear(&mut self) {
        self.at = None;
    }

    const fn set(&mut self, value: f64, at: Instant) {
        self.value = value;
        self.at = Some(at);
    }

    /// The share of a value of `at` that is left at `now`.
    fn kept(&self, at: Instant, now: Instant) -> f64 {
        (-now.saturating_duration_since(at).as_secs_f64() * self.rate).exp()
    }
}
