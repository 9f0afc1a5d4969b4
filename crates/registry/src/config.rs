//! How the registry chooses and how long it remembers: plain data, checked once.

use crate::error::ConfigError;
use crate::number::Ratio;
use std::time::Duration;

/// How one is chosen among those that may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Scoring {
    /// The lowest of latency x (in flight + 1) x failure penalty / (weight x ramp): all candidates up to eight, two random
    /// ones above. The default.
    #[default]
    Adaptive,
    /// The article's: a preferred region while its health is above 50, else the best of health / max(1, latency / 50 ms).
    Composite,
    /// The lowest price, an unknown one last; among equal prices the lowest adaptive cost. Looks at all candidates.
    Cheapest,
    /// By chance in proportion to weight x ramp, whatever the latency. Looks at all candidates.
    Weighted,
}

/// How the registry chooses and how long it remembers. Change fields after [`default`](Self::default).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// How one is chosen. Default [`Scoring::Adaptive`].
    pub scoring: Scoring,
    /// With [`Scoring::Composite`]: three failures in a row override the preference. Default `false`, the article's way,
    /// which only advises.
    pub composite_failover: bool,
    /// The time in which a latency estimate forgets 63 % of a sample. At least 1 ms. Default 10 s, as in linkerd and
    /// Finagle: long enough to smooth bursts, short enough that a bad minute is over in a minute.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub decay: Duration,
    /// How long a deployment that is not asked keeps its estimate; then it counts as never heard from and is tried once.
    /// At least `decay`. Default 5 min: at ten calls a minute over three places this costs 4 % of the calls.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub memory: Duration,
    /// The latency that a failure counts as, however fast it came. Default 5 s, linkerd's.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub failure_penalty: Duration,
    /// How long a deployment in doubt (its last news is a failure, or nothing good is known of it) is left to the others
    /// after its last attempt ended; then, idle, it is tried once. Not zero. Default 30 s, the time that a circuit stays
    /// open: who failed once need not wait longer than who failed five times.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub forgive: Duration,
    /// The time in which a recovered deployment comes back from a tenth of its share to all of it. Zero turns the ramp off.
    /// Default 30 s, the time that a circuit stays open.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub ramp: Duration,
    /// By which share the preferred region's latency is lowered. Default 0.2.
    pub preference: Ratio,
    /// By how much at most. Default 150 ms, about one ocean.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub preference_max: Duration,
    /// How much dearer than the best a call's habitual deployment may be and still get it. Default 0.3: what a warm prompt
    /// cache is worth.
    pub affinity: Ratio,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            scoring: Scoring::Adaptive,
            composite_failover: false,
            decay: Duration::from_secs(10),
            memory: Duration::from_secs(300),
            failure_penalty: Duration::from_secs(5),
            forgive: Duration::from_secs(30),
            ramp: Duration::from_secs(30),
            preference: Ratio::constant(0.2),
            preference_max: Duration::from_millis(150),
            affinity: Ratio::constant(0.3),
        }
    }
}

impl RegistryConfig {
    /// The article's registry: [`Scoring::Composite`], all else as by default.
    #[must_use]
    pub fn article() -> Self {
        Self { scoring: Scoring::Composite, ..Self::default() }
    }

    /// Checks the rules between fields; [`Registry::new`](crate::Registry::new) calls it.
    ///
    /// # Errors
    /// [`ConfigError::DecayTooShort`] when `decay` is below 1 ms; [`ConfigError::MemoryBelowDecay`] when `memory` is below
    /// `decay`; [`ConfigError::ForgiveZero`] when `forgive` is zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.decay < Duration::from_millis(1) {
            return Err(ConfigError::DecayTooShort { decay: self.decay });
        }
        if self.memory < self.decay {
            return Err(ConfigError::MemoryBelowDecay { memory: self.memory, decay: self.decay });
        }
        if self.forgive.is_zero() {
            return Err(ConfigError::ForgiveZero);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(RegistryConfig::default().validate(), Ok(()));
        assert_eq!(RegistryConfig::article().validate(), Ok(()));
    }

    #[test]
    fn a_memory_below_the_decay_is_refused() {
        let config = RegistryConfig { memory: Duration::from_secs(9), ..RegistryConfig::default() };
        let error = config.validate().expect_err("9 s is below 10 s");
        assert_eq!(error.to_string(), "memory (9s) is below decay (10s)");
    }

    #[test]
    fn forgiving_at_once_is_refused() {
        let config = RegistryConfig { forgive: Duration::ZERO, ..RegistryConfig::default() };
        assert_eq!(config.validate(), Err(ConfigError::ForgiveZero));
    }
}
