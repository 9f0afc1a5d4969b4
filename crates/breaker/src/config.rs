//! When the circuit trips and how it recovers: plain data, checked once by the constructor.

use std::time::Duration;

use crate::{ConfigError, RateRule, Ratio, Thresholds, TripRule, clock};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The most trials of one half-open stay: more is not a trial but traffic.
pub(crate) const MAX_TRIALS: u32 = 1024;
/// The longest count window, in calls: each costs a byte.
pub(crate) const MAX_COUNT_WINDOW: u32 = 1 << 20;
/// The most buckets of a time window: each costs 12 bytes, and finer ones decide nothing.
pub(crate) const MAX_BUCKETS: u32 = 1024;

/// When the circuit trips and how it recovers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Failures in a row that trip the circuit; 0 turns the rule off. Default 5, the article's.
    pub failure_threshold: u32,
    /// Share of failures in a time window that trips the circuit. Default: half of at least 10 within 60 s,
    /// because at 30 % failures five in a row take 586 calls to come by.
    pub failure_rate: Option<RateRule>,
    /// Further rules, checked in this order after the two above; the first that fires names the reason.
    /// Default: none.
    pub rules: Vec<TripRule>,
    /// Whether a rate-limited call is a failure like any other. Default: no, since a quota is not health.
    pub count_rate_limits: bool,

    /// How long the circuit stays open after a trip, before trials. Default 30 s, the article's.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub recovery_timeout: Duration,
    /// Cap of the open time, which then grows by `recovery_factor` with each opening since the last close.
    /// Default none: the open time is constant.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub recovery_timeout_max: Option<Duration>,
    /// Growth of the open time, at least 1; used with `recovery_timeout_max`. Default 2.
    pub recovery_factor: f64,
    /// Open times of the first openings since the last close; after the list `recovery_timeout` begins.
    /// Default empty.
    #[cfg_attr(feature = "serde", serde(with = "crate::durations"))]
    pub recovery_list: Vec<Duration>,
    /// The open time is lengthened by a random share up to this one, so that many clients do not come back in
    /// step. Default 0.
    pub jitter: Ratio,
    /// A callee's wish to be left alone is a floor under the open time, up to this. Default 5 min: a longer
    /// wish is for the client's own cooldown, not for a circuit.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub retry_after_max: Duration,

    /// Trials admitted in one half-open stay, in all; 1 to 1024. A dropped or ignored one gives its slot back.
    /// Default 3, the article's.
    pub half_open_max_calls: u32,
    /// Successful trials that close the circuit; any failed one opens it. 1 to `half_open_max_calls`. Default
    /// 2, the article's.
    pub success_threshold: u32,
    /// Judge the trials together instead, once all have reported: reaching a threshold opens, else the circuit
    /// closes. Default none.
    pub half_open_rate: Option<Thresholds>,
    /// The longest half-open stay; then the circuit opens again. Default none.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub half_open_max_stay: Option<Duration>,
    /// Whether a rate-limited trial is a failed one; if not, it is a success: the callee answers. Default yes.
    pub rate_limited_fails: bool,
    /// How long a trial may hold its slot where `acquire_until` does not say: the end of its lease frees it, and
    /// its late report counts nowhere. None: for ever. Default 2 min, longer than nearly every answer.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub trial_lease: Option<Duration>,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            failure_rate: Some(RateRule::default()),
            rules: Vec::new(),
            count_rate_limits: false,
            recovery_timeout: Duration::from_secs(30),
            recovery_timeout_max: None,
            recovery_factor: 2.0,
            recovery_list: Vec::new(),
            jitter: Ratio::ZERO,
            retry_after_max: Duration::from_secs(300),
            half_open_max_calls: 3,
            success_threshold: 2,
            half_open_rate: None,
            half_open_max_stay: None,
            rate_limited_fails: true,
            trial_lease: Some(Duration::from_secs(120)),
        }
    }
}

impl BreakerConfig {
    /// The article's numbers and nothing else: 5 failures in a row (a rate limit is one), 30 s, at most 3
    /// trials, 2 successes close. The lease stays, or a forgotten trial would hold the circuit half-open for ever.
    #[must_use]
    pub fn article() -> Self {
        Self { failure_rate: None, count_rate_limits: true, ..Self::default() }
    }

    /// Checks what spans fields; the constructors call it.
    ///
    /// # Errors
    /// A variant of [`ConfigError`] for the first rule broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        above_zero(self.recovery_timeout, "recovery_timeout")?;
        for step in &self.recovery_list {
            above_zero(*step, "recovery_list")?;
        }
        if let Some(max) = self.recovery_timeout_max.filter(|max| *max < self.recovery_timeout) {
            return Err(ConfigError::MaxBelowBase { base: self.recovery_timeout, max });
        }
        if !(self.recovery_factor.is_finite() && self.recovery_factor >= 1.0) {
            return Err(ConfigError::Factor { value: self.recovery_factor });
        }
        within(self.half_open_max_calls, "half_open_max_calls", MAX_TRIALS)?;
        if self.half_open_rate.is_none() {
            within(self.success_threshold, "success_threshold", MAX_TRIALS)?;
            if self.success_threshold > self.half_open_max_calls {
                let (successes, trials) = (self.success_threshold, self.half_open_max_calls);
                return Err(ConfigError::SuccessesAboveTrials { successes, trials });
            }
        }
        if let Some(stay) = self.half_open_max_stay {
            above_zero(stay, "half_open_max_stay")?;
        }
        if let Some(lease) = self.trial_lease {
            above_zero(lease, "trial_lease")?;
        }
        self.half_open_rate.iter().try_for_each(Thresholds::validate)?;
        self.all_rules().try_for_each(|rule| rule.validate())
    }

    /// Every trip rule in the order of evaluation: the two short forms, then the list.
    pub(crate) fn all_rules(&self) -> impl Iterator<Item = TripRule> + '_ {
        let consecutive = (self.failure_threshold > 0)
            .then_some(TripRule::Consecutive { failures: self.failure_threshold });
        consecutive.into_iter().chain(self.failure_rate.map(TripRule::from)).chain(self.rules.iter().copied())
    }

    /// The open time of the `k`-th opening since the last close, counted from 0:
    /// `min(base * factor^k, max) * (1 + jitter * draw / 2^64)`, and at least the callee's wish, in nanoseconds.
    pub(crate) fn open_time(&self, k: u32, wish: Option<Duration>, draw: u64) -> u64 {
        let wait = match self.recovery_list.get(usize::try_from(k).unwrap_or(usize::MAX)) {
            Some(listed) => *listed,
            None => self.grown(k - u32::try_from(self.recovery_list.len()).unwrap_or(k)),
        };
        let share = self.jitter.get() * unit(draw);
        let extra = Duration::try_from_secs_f64(wait.as_secs_f64() * share).unwrap_or(Duration::MAX);
        let floor = wish.unwrap_or(Duration::ZERO).min(self.retry_after_max);
        clock::nanos(wait.saturating_add(extra).max(floor))
    }

    fn grown(&self, k: u32) -> Duration {
        let Some(max) = self.recovery_timeout_max else { return self.recovery_timeout };
        let factor = self.recovery_factor.powi(i32::try_from(k).unwrap_or(i32::MAX));
        Duration::try_from_secs_f64(self.recovery_timeout.as_secs_f64() * factor).unwrap_or(max).min(max)
    }
}

/// A draw as a fraction of 1: its upper 32 bits, which are more than a jitter can show.
fn unit(draw: u64) -> f64 {
    f64::from(u32::try_from(draw >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

const fn above_zero(value: Duration, field: &'static str) -> Result<(), ConfigError> {
    if value.is_zero() { Err(ConfigError::Zero { field }) } else { Ok(()) }
}

pub(crate) fn within(value: u32, field: &'static str, limit: u32) -> Result<(), ConfigError> {
    match value {
        0 => Err(ConfigError::Zero { field }),
        _ if value > limit => Err(ConfigError::TooLarge { field, value: value.into(), limit: limit.into() }),
        _ => Ok(()),
    }
}
