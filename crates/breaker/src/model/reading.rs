//! How the naive breaker reads a config: which rules there are, what its thresholds say, how long it stays open.

use std::time::Duration;

use crate::{BreakerConfig, Thresholds, TripReason, TripRule};

/// The trip rules in the order of evaluation, the short forms written out.
pub(super) fn rules(config: &BreakerConfig) -> Vec<TripRule> {
    let mut rules = vec![TripRule::Consecutive { failures: config.failure_threshold }];
    if let Some(rate) = config.failure_rate {
        let (length, min_calls) = (rate.within, rate.min_calls);
        let thresholds = Thresholds { failure_rate: Some(rate.at_least), ..Thresholds::default() };
        rules.push(TripRule::TimeWindow { length, buckets: 10, min_calls, thresholds });
    }
    rules.extend(&config.rules);
    rules
}

/// How long a circuit stays open that has opened so often since the last close: as listed, then constant or growing
/// step by step to the cap; lengthened by its share of jitter; never below the callee's wish.
pub(super) fn open_time(
    config: &BreakerConfig,
    openings: usize,
    wish: Option<Duration>,
    draw: u64,
) -> Duration {
    let mut wait = config.recovery_list.get(openings).copied().unwrap_or(config.recovery_timeout);
    if let Some(max) = config.recovery_timeout_max {
        for _ in config.recovery_list.len()..openings {
            let grown = Duration::try_from_secs_f64(wait.as_secs_f64() * config.recovery_factor);
            wait = grown.unwrap_or(max).min(max);
        }
    }
    let chance = f64::from(u32::try_from(draw >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    let extra = Duration::try_from_secs_f64(wait.as_secs_f64() * (config.jitter.get() * chance));
    let jittered = wait.saturating_add(extra.unwrap_or(Duration::MAX));
    wish.map_or(jittered, |wish| jittered.max(wish.min(config.retry_after_max)))
}

/// What rates ask of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) duration: Option<Duration>,
}

/// Which threshold these calls exceed, if any; no call exceeds none.
pub(super) fn exceeded(calls: &[Outcome], thresholds: &Thresholds) -> Option<TripReason> {
    let number = |calls: usize| f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
    let share = |is_one: &dyn Fn(&&Outcome) -> bool| {
        number(calls.iter().filter(is_one).count()) / number(calls.len())
    };
    let failed = share(&|call| call.failed);
    let went_well = share(&|call| !call.failed);
    let slow =
        share(&|call| call.duration.zip(thresholds.slow_above).is_some_and(|(took, above)| took > above));
    if thresholds.failure_rate.is_some_and(|at_least| failed >= at_least.get())
        || thresholds.success_rate_below.is_some_and(|below| went_well < below.get())
    {
        return Some(TripReason::FailureRate);
    }
    thresholds.slow_rate.filter(|at_least| slow >= at_least.get()).map(|_| TripReason::SlowRate)
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
