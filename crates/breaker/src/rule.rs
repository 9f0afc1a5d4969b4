//! The rules that trip a circuit, as data: failures in a row, and shares of a window's calls.

use std::time::Duration;

use crate::config::{MAX_BUCKETS, MAX_COUNT_WINDOW, within};
use crate::{ConfigError, TripReason};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(try_from = "f64", into = "f64"))]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);
    /// Half.
    pub const HALF: Self = Self(0.5);
    /// All.
    pub const ONE: Self = Self(1.0);

    /// A ratio of 0 to 1.
    ///
    /// # Errors
    /// [`ConfigError::Ratio`] outside of it, or for what is not a number.
    pub fn new(value: f64) -> Result<Self, ConfigError> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(ConfigError::Ratio { value }) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = ConfigError;

    fn try_from(value: f64) -> Result<Self, ConfigError> {
        Self::new(value)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        ratio.get()
    }
}

/// The short form of the commonest window: a share of failures within a time, in ten buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct RateRule {
    /// The share of failures that trips.
    pub at_least: Ratio,
    /// Below so many calls in the window the rule is silent; 0 acts as 1.
    pub min_calls: u32,
    /// The window.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub within: Duration,
}

impl RateRule {
    /// A share of failures, of at least so many calls, within a time.
    #[must_use]
    pub const fn new(at_least: Ratio, min_calls: u32, within: Duration) -> Self {
        Self { at_least, min_calls, within }
    }
}

impl Default for RateRule {
    /// Half of at least 10 within 60 s.
    fn default() -> Self {
        Self::new(Ratio::HALF, 10, Duration::from_secs(60))
    }
}

/// One way to trip.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum TripRule {
    /// So many failures in a row.
    Consecutive {
        /// How many; 0 turns the rule off.
        failures: u32,
    },
    /// Shares of the last calls.
    CountWindow {
        /// How many calls; 1 to 2^20.
        size: u32,
        /// Below so many calls the rule is silent; 0 acts as 1, more than `size` as `size`.
        min_calls: u32,
        /// What trips.
        thresholds: Thresholds,
    },
    /// Shares of the calls of the last while.
    ///
    /// Bucket edges lie at multiples of `length / buckets` from the breaker's time zero. The bucket that began at
    /// `b` is gone when now >= b + `length`: the window covers between `length` less one bucket and `length`.
    TimeWindow {
        /// How long a while.
        #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
        length: Duration,
        /// In how many steps it slides; 1 to 1024.
        buckets: u32,
        /// Below so many calls the rule is silent; 0 acts as 1.
        min_calls: u32,
        /// What trips.
        thresholds: Thresholds,
    },
}

impl TripRule {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Consecutive { .. } => Ok(()),
            Self::CountWindow { size, thresholds, .. } => {
                within(*size, "size", MAX_COUNT_WINDOW)?;
                thresholds.validate()
            }
            Self::TimeWindow { length, buckets, thresholds, .. } => {
                within(*buckets, "buckets", MAX_BUCKETS)?;
                if length.as_nanos() < u128::from(*buckets) {
                    return Err(ConfigError::BucketsTooNarrow { length: *length, buckets: *buckets });
                }
                thresholds.validate()
            }
        }
    }
}

impl From<RateRule> for TripRule {
    fn from(rule: RateRule) -> Self {
        let thresholds = Thresholds::failure_rate(rule.at_least);
        Self::TimeWindow { length: rule.within, buckets: 10, min_calls: rule.min_calls, thresholds }
    }
}

/// The shares that trip; any of them does, in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Thresholds {
    /// Trips when failures / calls is at least this.
    pub failure_rate: Option<Ratio>,
    /// Trips when successes / calls is below this.
    pub success_rate_below: Option<Ratio>,
    /// Trips when slow calls / calls is at least this. A failure can be slow, too.
    pub slow_rate: Option<Ratio>,
    /// A call is slow when it took longer than this.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub slow_above: Option<Duration>,
}

impl Thresholds {
    /// A share of failures alone.
    #[must_use]
    pub const fn failure_rate(at_least: Ratio) -> Self {
        Self { failure_rate: Some(at_least), success_rate_below: None, slow_rate: None, slow_above: None }
    }

    pub(crate) const fn validate(&self) -> Result<(), ConfigError> {
        if self.slow_rate.is_some() && self.slow_above.is_none() {
            return Err(ConfigError::SlowRateWithoutDuration);
        }
        Ok(())
    }

    /// Whether a call that took this long is slow.
    pub(crate) fn is_slow(&self, duration: Option<Duration>) -> bool {
        matches!((duration, self.slow_above), (Some(took), Some(above)) if took > above)
    }

    /// What these counts say. `counts.total` is above 0.
    pub(crate) fn judge(&self, counts: Counts) -> Option<TripReason> {
        let share = |part: u32| f64::from(part) / f64::from(counts.total);
        let successes = counts.total - counts.failures;
        if self.failure_rate.is_some_and(|at_least| share(counts.failures) >= at_least.get())
            || self.success_rate_below.is_some_and(|below| share(successes) < below.get())
        {
            return Some(TripReason::FailureRate);
        }
        let slow = self.slow_rate.is_some_and(|at_least| share(counts.slow) >= at_least.get());
        slow.then_some(TripReason::SlowRate)
    }
}

/// What was counted: `failures` and `slow` are parts of `total` and may overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All calls.
    pub total: u32,
    /// Those that failed; rate-limited ones are among them.
    pub failures: u32,
    /// Those that were slow.
    pub slow: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, failed: bool, slow: bool) {
        self.total += 1;
        self.failures += u32::from(failed);
        self.slow += u32::from(slow);
    }

    pub(crate) const fn remove(&mut self, gone: Self) {
        self.total -= gone.total;
        self.failures -= gone.failures;
        self.slow -= gone.slow;
    }
}
