//! What is counted of one strategy, and what is told of it in the end.

use std::time::Duration;

use serde::Serialize;
use serde_json::Number;
use sim::Scenario;

use super::strategy::Strategy;
use crate::{demo::schedule::act_at, replay::number};

/// What became of one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) due: Duration,
    pub(super) took: Duration,
    /// The region that gave its answer, if it got a whole one.
    pub(super) served: Option<usize>,
    /// Whether it got the beginning of one.
    pub(super) truncated: bool,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: Duration,
    place: usize,
    sick: bool,
}

/// What is counted of one strategy.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: Vec<Done>,
    attempts: Vec<Attempt>,
}

impl Tally {
    pub(super) fn done(&mut self, done: Done) {
        self.done.push(done);
    }

    pub(super) fn attempt(&mut self, at: Duration, place: usize, sick: bool) {
        self.attempts.push(Attempt { at, place, sick });
    }

    /// What is told of it.
    pub(super) fn report(&self, strategy: Strategy, scenario: &Scenario) -> Outcome {
        let act = |act: usize| move |at: Duration| act_at(&scenario.acts, at) == Some(act);
        let acts = scenario.acts.iter().enumerate().map(|(index, played)| ActOutcome {
            name: played.name.clone(),
            numbers: self.numbers(act(index)),
        });
        let served = |place| count(self.done.iter().filter(|done| done.served == Some(place)));
        let all = count(self.done.iter().filter(|done| done.served.is_some()));
        let regions = scenario.regions.iter().enumerate().map(|(place, region)| RegionOutcome {
            region: region.name.clone(),
            served: served(place),
            share: ratio(served(place), all),
            attempts: count(self.attempts.iter().filter(|attempt| attempt.place == place)),
        });
        Outcome {
            strategy: strategy.name(),
            numbers: self.numbers(|_| true),
            regions: regions.collect(),
            acts: acts.collect(),
        }
    }

    fn numbers(&self, is_meant: impl Fn(Duration) -> bool) -> Numbers {
        let done: Vec<&Done> = self.done.iter().filter(|done| is_meant(done.due)).collect();
        let attempts: Vec<&Attempt> = self.attempts.iter().filter(|attempt| is_meant(attempt.at)).collect();
        let mut times: Vec<Duration> =
            done.iter().filter(|done| done.served.is_some()).map(|done| done.took).collect();
        times.sort_unstable();
        let requests = count(done.iter());
        Numbers {
            requests,
            failed: count(done.iter().filter(|done| done.served.is_none())),
            truncated: count(done.iter().filter(|done| done.truncated)),
            p50_ms: quantile(&times, 50).map(ms),
            p99_ms: quantile(&times, 99).map(ms),
            attempts_per_request: ratio(count(attempts.iter()), requests),
            calls_to_sick: count(attempts.iter().filter(|attempt| attempt.sick)),
        }
    }

    /// By equal parts of the time: the share of requests that failed, in per cent, and the 95th percentile of the times of those
    /// that were answered, in seconds. A part without requests has neither.
    pub(super) fn curves(&self, length: Duration, parts: u32) -> [Vec<Option<f64>>; 2] {
        let part = length / parts.max(1);
        let (mut failed, mut slow) = (Vec::new(), Vec::new());
        for index in 0..parts {
            let (from, until) = (part * index, part * (index + 1));
            let within: Vec<&Done> =
                self.done.iter().filter(|done| from <= done.due && done.due < until).collect();
            let lost = count(within.iter().filter(|done| done.served.is_none()));
            let mut times: Vec<Duration> =
                within.iter().filter(|done| done.served.is_some()).map(|done| done.took).collect();
            times.sort_unstable();
            failed.push((!within.is_empty()).then(|| share(lost, count(within.iter())) * 100.0));
            slow.push(quantile(&times, 95).map(|time| time.as_secs_f64()));
        }
        [failed, slow]
    }
}

/// What is told of one strategy.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) strategy: &'static str,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
    pub(crate) regions: Vec<RegionOutcome>,
    pub(crate) acts: Vec<ActOutcome>,
}

/// The numbers of a whole run, or of an act.
#[derive(Debug, Serialize)]
pub(crate) struct Numbers {
    pub(crate) requests: u64,
    /// Those without a whole answer.
    pub(crate) failed: u64,
    /// Those of them that got the beginning of one.
    pub(crate) truncated: u64,
    /// Of the answered ones: from the question to the end of its answer.
    pub(crate) p50_ms: Option<Number>,
    pub(crate) p99_ms: Option<Number>,
    pub(crate) attempts_per_request: Number,
    /// Attempts at regions while something was wrong with them.
    pub(crate) calls_to_sick: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct RegionOutcome {
    pub(crate) region: String,
    pub(crate) served: u64,
    /// Of all that was answered.
    pub(crate) share: Number,
    pub(crate) attempts: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ActOutcome {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

fn count<T>(all: impl Iterator<Item = T>) -> u64 {
    u64::try_from(all.count()).unwrap_or(u64::MAX)
}

fn ms(time: Duration) -> Number {
    number(time.as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 requests one more or less is nothing")]
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn ratio(part: u64, all: u64) -> Number {
    number(share(part, all))
}

/// The least time that so many per cent of all do not exceed.
fn quantile(sorted: &[Duration], per_cent: usize) -> Option<Duration> {
    let rank = (sorted.len() * per_cent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Some(Duration::from_millis(50)));
        assert_eq!(quantile(&times, 99), Some(Duration::from_millis(99)));
        assert_eq!(quantile(&times[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(quantile(&[], 99), None);
    }
}
