//! Configurations: plain data with defaults, checked once by the machine that is built from them.

use std::time::Duration;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// How much a [`Budget`](crate::Budget) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BudgetConfig {
    /// The most it holds, and what it starts with. 0 refuses whatever costs anything. Default 500, the AWS SDKs': about 35
    /// retries of attempts that may have been billed, or 100 of refused ones, before an outage stops all retries.
    pub capacity: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { capacity: 500 }
    }
}

/// How a [`Backoff`](crate::Backoff) grows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The first delay, at most `max`. Default 50 ms, the AWS SDKs' (standard mode, v2.1).
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub initial: Duration,
    /// What each delay is multiplied by to give the next, at least 1. Default 2.
    pub multiplier: f64,
    /// The longest delay. Default 20 s, the AWS SDKs'.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max: Duration,
    /// The share of a delay that chance may take away, 0 to 1. Default 1, 'full jitter': anything between nothing and all.
    pub jitter: f64,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(50),
            multiplier: 2.0,
            max: Duration::from_secs(20),
            jitter: 1.0,
        }
    }
}

impl BackoffConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a multiplier below 1 or a jitter outside of 0 to 1, [`ConfigError::Above`] for an
    /// initial delay above the longest.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1.0..=1e9).contains(&self.multiplier) {
            let range = "1 to 1e9";
            return Err(ConfigError::OutOfRange { field: "multiplier", value: self.multiplier, range });
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(ConfigError::OutOfRange { field: "jitter", value: self.jitter, range: "0 to 1" });
        }
        if self.initial > self.max {
            let (value, limit) = (self.initial, self.max);
            return Err(ConfigError::Above { field: "initial", value, bound: "max", limit });
        }
        Ok(())
    }
}

/// How an [`AimdLimit`](crate::AimdLimit) moves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct AimdConfig {
    /// The limit before anything is known, between `min` and `max`. Default 20, as in Netflix' concurrency-limits.
    pub initial: u32,
    /// The least it falls to. 0 acts as 1, because a limit of nothing would never learn again. Default 1: a deployment that
    /// refuses nearly everything is asked by one caller at a time.
    pub min: u32,
    /// The most it grows to. Default 200.
    pub max: u32,
    /// What an overload multiplies it by, 0 to 1. Default 0.9.
    pub backoff: f64,
    /// An attempt that took longer counts as an overload. Default 5 s. Feed it times to the first token: a long answer is no
    /// sign of load.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub timeout: Duration,
}

impl Default for AimdConfig {
    fn default() -> Self {
        Self { initial: 20, min: 1, max: 200, backoff: 0.9, timeout: Duration::from_secs(5) }
    }
}

impl AimdConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a backoff outside of 0 to 1, [`ConfigError::NotWithin`] for an initial limit that is not
    /// between `min` and `max`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.backoff) {
            return Err(ConfigError::OutOfRange { field: "backoff", value: self.backoff, range: "0 to 1" });
        }
        let (min, max, value) = (self.min.max(1), self.max, self.initial);
        if !(min..=max).contains(&value) {
            return Err(ConfigError::NotWithin { field: "initial", value, min, max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(BackoffConfig::default().validate(), Ok(()));
        assert_eq!(AimdConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_number_outside_of_its_range_is_refused_with_its_value() {
        for jitter in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(BackoffConfig { jitter, ..BackoffConfig::default() }.validate().is_err(), "{jitter}");
            assert!(AimdConfig { backoff: jitter, ..AimdConfig::default() }.validate().is_err(), "{jitter}");
        }
        for multiplier in [0.9, -2.0, f64::NAN, f64::INFINITY] {
            assert!(
                BackoffConfig { multiplier, ..BackoffConfig::default() }.validate().is_err(),
                "{multiplier}"
            );
        }
        let error = BackoffConfig { jitter: 2.0, ..BackoffConfig::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "jitter (2) is not within 0 to 1");
    }

    #[test]
    fn a_series_cannot_start_above_its_end() {
        let config = BackoffConfig { initial: Duration::from_secs(21), ..BackoffConfig::default() };
        assert_eq!(config.validate().unwrap_err().to_string(), "initial (21s) is above max (20s)");
    }

    #[test]
    fn a_limit_starts_within_its_bounds() {
        for initial in [0, 201] {
            assert!(AimdConfig { initial, ..AimdConfig::default() }.validate().is_err(), "{initial}");
        }
        let error = AimdConfig { initial: 201, ..AimdConfig::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "initial (201) is not between min (1) and max (200)");
    }
}
